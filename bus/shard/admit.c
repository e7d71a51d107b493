/* SPDX-License-Identifier: MIT
 * Admit: a writer to bus.schemas must not decide what an event means, nor fill what is kept. A name space has a quota, a
 * fingerprint one text, and with keys a speaker: the first word of the name space. */
#include "shard/admit.h"

#include "base/error.h"
#include <string.h>

void bus_admission_init(bus_admission *admission, const bus_config *config, bus_catalog *catalog, const bus_keys *keys)
{
    *admission = (bus_admission){ .config = config, .catalog = catalog, .keys = keys, .closed = bus_config_int(config, "schemas.closed") };
    bus_map_init(&admission->spaces);
}

void bus_admission_free(bus_admission *admission)
{
    bus_map_free(&admission->spaces, NULL);
}

/* "a.b" of "a.b.C"; of a name without one the whole. */
static size_t space_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? (size_t)(dot - name) : strlen(name);
}

static bus_status in_quota(bus_admission *admission, const char *name, bus_error *err)
{
    int64_t most = bus_config_int(admission->config, "schemas.per.namespace");
    size_t len = space_of(name);
    intptr_t count = (intptr_t)bus_map_get(&admission->spaces, name, len);
    if (count >= most)
        return bus_fail(err, BUS_FULL, "%lld schemas of name space %.*s are known here, the most that are kept of one (schemas.per.namespace)",
                        (long long)most, len > 100 ? 100 : (int)len, name);
    return bus_map_put(&admission->spaces, name, len, (void *)(count + 1)) ? BUS_OK : bus_fail_nomem(err);
}

/* With a key that may not speak for all, the first word of the name space is who must have spoken. */
static bool spoken_for(const bus_keys *keys, const bus_record *record, const char *name, bus_error *err)
{
    char speaker[64];
    size_t len = strcspn(name, ".");
    memcpy(speaker, name, len < sizeof speaker ? len : 0);
    speaker[len < sizeof speaker ? len : 0] = 0;
    return bus_record_authentic(keys, record, speaker, err);
}

bus_status bus_admission_take(bus_admission *admission, const bus_record *record, bus_error *err)
{
    /* Known: nothing is to be learnt, but only what its speaker has said is on the topic for others too. */
    const bus_schema *known = bus_catalog_text(admission->catalog, record->value, record->value_len);
    if (known)
        return spoken_for(admission->keys, record, bus_schema_name(known), err) ? BUS_OK : BUS_DENIED;
    if (admission->closed)
        return bus_fail(err, BUS_REFUSED, "schemas.closed: only compiled-in schemas and the registry's are taken");
    bus_status status = bus_catalog_room(admission->catalog, record->value_len, err); /* what is not kept need not be parsed */
    bus_schema *schema = NULL;
    if (status == BUS_OK)
        status = bus_schema_parse(record->value, record->value_len, &schema, err);
    if (status != BUS_OK)
        return status;
    if (!spoken_for(admission->keys, record, bus_schema_name(schema), err))
        status = BUS_DENIED;
    else
        status = in_quota(admission, bus_schema_name(schema), err);
    bus_schema_free(schema);
    return status == BUS_OK ? bus_catalog_add(admission->catalog, record->value, record->value_len, err) : status;
}

void bus_refusals_add(bus_refusals *refusals, const bus_record *record, const bus_error *why)
{
    if (!refusals->count++)
        bus_fail(&refusals->first, why->status, "%s/%d offset %lld is not learnt: %.200s", record->topic, record->partition,
                 (long long)record->offset, why->text);
}
