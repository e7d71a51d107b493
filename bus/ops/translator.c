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

#define REFUSALS_MOST 10000   /* then all are forgotten: a topic may hold any number of unknown ids */

/* What a registry did not answer with a schema. */
typedef struct refusal { int64_t until_us; bus_error why; } refusal;

struct bus_translator {
    const bus_config *config;
    const bus_watch *watch;
    bus_json_form form;
    bus_catalog *catalog;
    bus_registry *registry;      /* NULL: none is configured */
    bus_map refusals;            /* by question */
    refusal away;                /* no address answered */
    const bus_schema *latest;    /* what bus_translator_latest found, and its id */
    uint32_t latest_id;
};

static bool stopping(void *opaque)
{
    return bus_watch_stop(((bus_translator *)opaque)->watch);
}

bus_status bus_translator_open(const bus_config *config, bus_json_form form, const bus_watch *watch, bus_translator **out, bus_error *err)
{
    bus_translator *translator = calloc(1, sizeof *translator);
    if (!translator)
        return bus_fail_nomem(err);
    translator->config = config;
    translator->watch = watch;
    translator->form = form;
    bus_map_init(&translator->refusals);
    translator->catalog = bus_catalog_new();
    bus_status status = translator->catalog ? bus_registry_open(config, stopping, translator, &translator->registry, err) : bus_fail_nomem(err);
    if (status != BUS_OK) {
        bus_translator_close(translator);
        return status;
    }
    *out = translator;
    return BUS_OK;
}

void bus_translator_close(bus_translator *translator)
{
    if (!translator)
        return;
    bus_registry_close(translator->registry);
    bus_catalog_free(translator->catalog);
    bus_map_free(&translator->refusals, free);
    free(translator);
}

bus_catalog *bus_translator_catalog(bus_translator *translator)
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
static void hold(bus_translator *translator, const char *question, const bus_error *why)
{
    refusal held = { bus_clock_now_us() + bus_config_int(translator->config, "registry.unknown.ms") * 1000, *why };
    if (why->retriable)
        translator->away = held;
    size_t len = strlen(question);
    if (translator->refusals.count >= REFUSALS_MOST)
        bus_map_free(&translator->refusals, free);
    refusal *known = bus_map_get(&translator->refusals, question, len);
    if (!known && (known = malloc(sizeof *known)) && !bus_map_put(&translator->refusals, question, len, known)) {
        free(known);
        return;
    }
    if (known)
        *known = held;
}

static bus_status ask(bus_translator *translator, const bus_framing *framing, const char *question, bus_error *err)
{
    bus_error why = { 0 };
    bus_status status = bus_registry_learn(translator->registry, question, framing, translator->catalog, &why);
    if (status != BUS_OK && status != BUS_CANCELLED && status != BUS_NOMEM)
        hold(translator, question, &why);
    if (status != BUS_OK && err)
        *err = why;
    return status;
}

static bus_status seek(bus_translator *translator, const bus_framing *framing, bus_error *err)
{
    char question[BUS_QUESTION];
    bus_framing_question(framing, question);
    if (!translator->registry)
        return bus_fail(err, BUS_MISSING, "written in a schema registry's framing (%s): set registry.url", question);
    const refusal *refused = bus_map_get(&translator->refusals, question, strlen(question));
    if (refused && refused->until_us > bus_clock_now_us())
        return told_before(refused, err);
    if (translator->away.until_us > bus_clock_now_us())
        return told_before(&translator->away, err);
    return ask(translator, framing, question, err);
}

/* ---- reading */

static bool append_json(const void *value, size_t len, bus_buf *out)
{
    json_t *json = json_loadb(value, len, 0, NULL); /* objects and arrays only */
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    if (text)
        bus_buf_text(out, text);
    bool is_json = text != NULL;
    free(text);
    json_decref(json);
    return is_json;
}

bus_status bus_translator_read(bus_translator *translator, const bus_record *record, bus_buf *out, bus_error *err)
{
    bus_framing framing;
    bus_framing_of(record->value, record->value_len, record->headers, record->header_count, &framing);
    if (framing.kind == BUS_FRAMED_NOT) {
        if (append_json(record->value, record->value_len, out)) /* the bus's own topics hold JSON */
            return BUS_OK;
        return bus_fail(err, BUS_CORRUPT, "in no framing known here: the first bytes are neither C3 01 (Avro's single-object encoding) nor "
                                          "00 or 01 and a schema registry's reference");
    }
    const bus_schema *schema = bus_catalog_writer(translator->catalog, &framing);
    if (!schema && framing.kind == BUS_FRAMED_FINGERPRINT)
        return bus_fail(err, BUS_MISSING, "written by a schema nobody announced, fingerprint %016" PRIx64 ": give its file with --schema",
                        framing.fingerprint);
    if (!schema) {
        bus_status status = seek(translator, &framing, err);
        if (status != BUS_OK)
            return status;
        schema = bus_catalog_writer(translator->catalog, &framing);
    }
    return bus_json_write_as(translator->form, schema, (const uint8_t *)record->value + framing.skip, record->value_len - framing.skip, out, err);
}

/* ---- writing */

bus_status bus_translator_latest(bus_translator *translator, const char *topic, const char *type, const bus_schema **out, bus_error *err)
{
    if (!translator->registry)
        return bus_fail(err, BUS_MISSING, "no schema registry is configured");
    bus_buf text;
    uint32_t id = 0;
    bus_buf_init(&text, BUS_SCHEMA_MAX_BYTES);
    char *subject = bus_registry_subject(translator->registry, topic, type);
    bus_status status = subject ? bus_registry_version(translator->registry, subject, 0, &text, &id, NULL, err) : bus_fail_nomem(err);
    if (status == BUS_OK && (status = bus_catalog_add(translator->catalog, (const char *)text.data, text.len, err)) != BUS_OK)
        bus_fail_in(err, "the latest of %.200s in the schema registry", subject);
    if (status == BUS_OK) {
        *out = translator->latest = bus_catalog_text(translator->catalog, (const char *)text.data, text.len);
        translator->latest_id = id;
    }
    free(subject);
    bus_buf_free(&text);
    return status;
}

static bus_status id_of(bus_translator *translator, const char *topic, const bus_schema *schema, uint32_t *id, bus_error *err)
{
    if (!translator->registry)
        return bus_fail(err, BUS_CONFIG, "framing = confluent needs a schema registry, whose ids it writes: set registry.url");
    if (schema == translator->latest) { /* its text may not be the one that was registered: some registries write it anew */
        *id = translator->latest_id;
        return BUS_OK;
    }
    bool registers = bus_config_int(translator->config, "registry.register");
    const char *name = bus_schema_name(schema);
    char *subject = bus_registry_subject(translator->registry, topic, name);
    bus_status status = subject ? bus_registry_id(translator->registry, registers, subject, name, bus_schema_json(schema, NULL), id, err)
                                : bus_fail_nomem(err);
    free(subject);
    return status;
}

bus_status bus_translator_prefix(bus_translator *translator, const char *topic, const bus_schema *schema, bus_prefix *out, bus_error *err)
{
    uint32_t id = 0;
    if (strcmp(bus_config_text(translator->config, "framing"), "confluent") != 0) {
        bus_wire_frame(bus_schema_fingerprint(schema), out->bytes);
        out->len = BUS_WIRE_FRAMING;
        return BUS_OK;
    }
    bus_status status = id_of(translator, topic, schema, &id, err);
    if (status != BUS_OK)
        return status;
    bus_framing_write_id(id, out->bytes);
    out->len = BUS_CONFLUENT_FRAMING;
    return BUS_OK;
}

bus_status bus_translator_write(const bus_translator *translator, const bus_prefix *prefix, const bus_schema *schema, const char *json, size_t len,
                                bus_buf *out, bus_error *err)
{
    size_t before = out->len;
    bus_buf_add(out, prefix->bytes, prefix->len);
    bus_status status = bus_json_read_as(translator->form, schema, json, len, out, err);
    if (status != BUS_OK)
        out->len = before;
    return status;
}
