/* SPDX-License-Identifier: MIT
 * Translator: a catalog with a registry behind it. */
#include "ops/translator.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"
#include "codec/wire.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define REFUSALS_MOST 10000 /* then all are forgotten: a topic may hold any number of unknown ids */

/* What a registry did not answer with a schema. */
typedef struct refusal {
    int64_t until_us;
    bus_error why;
} refusal;

struct bui_translator {
    const bus_config *config;
    const bui_watch *watch;
    bui_json_form form;
    bui_catalog *catalog;
    bui_registry *registry;   /* NULL: none is configured */
    bui_map refusals;         /* by question */
    refusal away;             /* no address answered */
    const bui_schema *latest; /* what bui_translator_latest found, and its id */
    uint32_t latest_id;
};

static bool stopping(void *opaque)
{
    return bui_watch_stop(((bui_translator *)opaque)->watch);
}

bus_status bui_translator_open(const bus_config *config, bui_json_form form, const bui_watch *watch, bui_translator **out,
                               bus_error *err)
{
    bui_translator *translator = calloc(1, sizeof *translator);
    if (!translator)
        return bui_fail_nomem(err);
    translator->config = config;
    translator->watch = watch;
    translator->form = form;
    bui_map_init(&translator->refusals);
    translator->catalog = bui_catalog_new();
    bus_status status =
        translator->catalog ? bui_registry_open(config, stopping, translator, &translator->registry, err) : bui_fail_nomem(err);
    if (status != BUS_OK) {
        bui_translator_close(translator);
        return status;
    }
    *out = translator;
    return BUS_OK;
}

void bui_translator_close(bui_translator *translator)
{
    if (!translator)
        return;
    bui_registry_close(translator->registry);
    bui_catalog_free(translator->catalog);
    bui_map_free(&translator->refusals, free);
    free(translator);
}

bui_catalog *bui_translator_catalog(bui_translator *translator)
{
    return translator->catalog;
}

/* ---- asking the registry */

static bus_status told_before(const refusal *refused, bus_error *err)
{
    if (err)
        *err = refused->why;
    return refused->why.status;
}

/* Without memory it is asked again. */
static void hold(bui_translator *translator, const char *question, const bus_error *why)
{
    refusal held = { bui_clock_now_us() + bui_config_int(translator->config, "registry.unknown.ms") * 1000, *why };
    if (why->retriable)
        translator->away = held;
    size_t len = strlen(question);
    if (translator->refusals.count >= REFUSALS_MOST)
        bui_map_free(&translator->refusals, free);
    refusal *known = bui_map_get(&translator->refusals, question, len);
    if (!known && (known = malloc(sizeof *known)) && !bui_map_put(&translator->refusals, question, len, known)) {
        free(known);
        return;
    }
    if (known)
        *known = held;
}

static bus_status ask(bui_translator *translator, const bui_framing *framing, const char *question, bus_error *err)
{
    bus_error why = { 0 };
    bus_status status = bui_registry_learn(translator->registry, question, framing, translator->catalog, &why);
    if (status != BUS_OK && status != BUS_CANCELLED && status != BUS_NOMEM)
        hold(translator, question, &why);
    if (status != BUS_OK && err)
        *err = why;
    return status;
}

static bus_status seek(bui_translator *translator, const bui_framing *framing, bus_error *err)
{
    char question[BUI_QUESTION];
    bui_framing_question(framing, question);
    if (!translator->registry)
        return bui_fail(err, BUS_MISSING, "written in a schema registry's framing (%s): set registry.url", question);
    const refusal *refused = bui_map_get(&translator->refusals, question, strlen(question));
    if (refused && refused->until_us > bui_clock_now_us())
        return told_before(refused, err);
    if (translator->away.until_us > bui_clock_now_us())
        return told_before(&translator->away, err);
    return ask(translator, framing, question, err);
}

/* ---- reading */

static bool append_json(const void *value, size_t len, bui_buf *out)
{
    json_t *json = json_loadb(value, len, 0, NULL); /* objects and arrays only */
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    if (text)
        bui_buf_text(out, text);
    bool is_json = text != NULL;
    free(text);
    json_decref(json);
    return is_json;
}

bus_status bui_translator_read(bui_translator *translator, const bui_record *record, bui_buf *out, bus_error *err)
{
    bui_framing framing;
    bui_framing_of(record->value, record->value_len, record->headers, record->header_count, &framing);
    if (framing.kind == BUI_FRAMED_NOT) {
        if (append_json(record->value, record->value_len, out)) /* the bus's own topics hold JSON */
            return BUS_OK;
        return bui_fail(err, BUS_CORRUPT,
                        "in no framing known here: the first bytes are neither C3 01 (Avro's single-object encoding) nor "
                        "00 or 01 and a schema registry's reference");
    }
    const bui_schema *schema = bui_catalog_writer(translator->catalog, &framing);
    if (!schema && framing.kind == BUI_FRAMED_FINGERPRINT)
        return bui_fail(err, BUS_MISSING,
                        "written by a schema nobody announced, fingerprint %016" PRIx64 ": give its file with --schema",
                        framing.fingerprint);
    if (!schema) {
        bus_status status = seek(translator, &framing, err);
        if (status != BUS_OK)
            return status;
        schema = bui_catalog_writer(translator->catalog, &framing);
    }
    return bui_json_write_as(translator->form, schema, (const uint8_t *)record->value + framing.skip,
                             record->value_len - framing.skip, out, err);
}

/* ---- writing */

bus_status bui_translator_latest(bui_translator *translator, const char *topic, const char *type, const bui_schema **out,
                                 bus_error *err)
{
    if (!translator->registry)
        return bui_fail(err, BUS_MISSING, "no schema registry is configured");
    bui_buf text;
    uint32_t id = 0;
    bui_buf_init(&text, BUI_SCHEMA_MAX_BYTES);
    char *subject = bui_registry_subject(translator->registry, topic, type);
    bus_status status =
        subject ? bui_registry_version(translator->registry, subject, 0, &text, &id, NULL, err) : bui_fail_nomem(err);
    if (status == BUS_OK) {
        status = bui_catalog_add(translator->catalog, (const char *)text.data, text.len, err);
        if (status != BUS_OK)
            bui_fail_in(err, "the latest of %.200s in the schema registry", subject);
    }
    if (status == BUS_OK) {
        *out = translator->latest = bui_catalog_text(translator->catalog, (const char *)text.data, text.len);
        translator->latest_id = id;
    }
    free(subject);
    bui_buf_free(&text);
    return status;
}

static bus_status id_of(bui_translator *translator, const char *topic, const bui_schema *schema, uint32_t *id, bus_error *err)
{
    if (!translator->registry)
        return bui_fail(err, BUS_CONFIG, "framing = confluent needs a schema registry, whose ids it writes: set registry.url");
    if (schema == translator->latest) { /* its text may not be the one that was registered: some registries rewrite it */
        *id = translator->latest_id;
        return BUS_OK;
    }
    bool registers = bui_config_int(translator->config, "registry.register");
    const char *name = bui_schema_name(schema);
    char *subject = bui_registry_subject(translator->registry, topic, name);
    bus_status status =
        subject ? bui_registry_id(translator->registry, registers, subject, name, bui_schema_json(schema, NULL), id, err)
                : bui_fail_nomem(err);
    free(subject);
    return status;
}

bus_status bui_translator_prefix(bui_translator *translator, const char *topic, const bui_schema *schema, bui_prefix *out,
                                 bus_error *err)
{
    uint32_t id = 0;
    if (strcmp(bui_config_text(translator->config, "framing"), "confluent") != 0) {
        bui_wire_frame(bui_schema_fingerprint(schema), out->bytes);
        out->len = BUI_WIRE_FRAMING;
        return BUS_OK;
    }
    bus_status status = id_of(translator, topic, schema, &id, err);
    if (status != BUS_OK)
        return status;
    bui_framing_write_id(id, out->bytes);
    out->len = BUI_CONFLUENT_FRAMING;
    return BUS_OK;
}

bus_status bui_translator_write(const bui_translator *translator, const bui_prefix *prefix, const bui_schema *schema,
                                const char *json, size_t len, bui_buf *out, bus_error *err)
{
    size_t before = out->len;
    bui_buf_add(out, prefix->bytes, prefix->len);
    bus_status status = bui_json_read_as(translator->form, schema, json, len, out, err);
    if (status != BUS_OK)
        out->len = before;
    return status;
}
