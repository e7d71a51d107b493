/* SPDX-License-Identifier: MIT
 * Admit: a writer to bus.schemas must not decide what an event means, nor fill what is kept. A name space has a quota, a
 * fingerprint one text, and with keys a speaker: the first word of the name space. */
#include "shard/admit.h"

#include "base/error.h"
#include <string.h>

void bui_admission_init(bui_admission *admission, const bus_config *config, bui_catalog *catalog, const bui_keys *keys)
{
    *admission =
        (bui_admission){ .config = config, .catalog = catalog, .keys = keys, .closed = bui_config_int(config, "schemas.closed") };
    bui_map_init(&admission->spaces);
}

void bui_admission_free(bui_admission *admission)
{
    bui_map_free(&admission->spaces, NULL);
}

/* "a.b" of "a.b.C"; of a name without one the whole. */
static size_t space_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? (size_t)(dot - name) : strlen(name);
}

static bus_status in_quota(bui_admission *admission, const char *name, bus_error *err)
{
    int64_t most = bui_config_int(admission->config, "schemas.per.namespace");
    size_t len = space_of(name);
    intptr_t count = (intptr_t)bui_map_get(&admission->spaces, name, len);
    if (count >= most)
        return bui_fail(err, BUS_FULL,
                        "%lld schemas of name space %.*s are known here, the most that are kept of one (schemas.per.namespace)",
                        (long long)most, len > 100 ? 100 : (int)len, name);
    return bui_map_put(&admission->spaces, name, len, (void *)(count + 1)) ? BUS_OK : bui_fail_nomem(err);
}

/* With a key that may not speak for all, the first word of the name space is who must have spoken. */
static bool spoken_for(const bui_keys *keys, const bui_record *record, const char *name, bus_error *err)
{
    char speaker[64];
    size_t len = strcspn(name, ".");
    memcpy(speaker, name, len < sizeof speaker ? len : 0);
    speaker[len < sizeof speaker ? len : 0] = 0;
    return bui_record_authentic(keys, record, speaker, err);
}

bus_status bui_admission_take(bui_admission *admission, const bui_record *record, bus_error *err)
{
    /* Known: nothing is to be learnt, but only what its speaker has said is on the topic for others too. */
    const bui_schema *known = bui_catalog_text(admission->catalog, record->value, record->value_len);
    if (known)
        return spoken_for(admission->keys, record, bui_schema_name(known), err) ? BUS_OK : BUS_DENIED;
    if (admission->closed)
        return bui_fail(err, BUS_REFUSED, "schemas.closed: only compiled-in schemas and the registry's are taken");
    bus_status status = bui_catalog_room(admission->catalog, record->value_len, err); /* what is not kept need not be parsed */
    bui_schema *schema = NULL;
    if (status == BUS_OK)
        status = bui_schema_parse(record->value, record->value_len, &schema, err);
    if (status != BUS_OK)
        return status;
    if (!spoken_for(admission->keys, record, bui_schema_name(schema), err))
        status = BUS_DENIED;
    else
        status = in_quota(admission, bui_schema_name(schema), err);
    bui_schema_free(schema);
    return status == BUS_OK ? bui_catalog_add(admission->catalog, record->value, record->value_len, err) : status;
}

void bui_refusals_add(bui_refusals *refusals, const bui_record *record, const bus_error *why)
{
    if (!refusals->count++)
        bui_fail(&refusals->first, why->status, "%s/%d offset %lld is not accepted: %.200s", record->topic, record->partition,
                 (long long)record->offset, why->text);
}
