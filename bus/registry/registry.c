/* SPDX-License-Identifier: MIT
 * Registry: paths, bodies and what the answers mean. */
#include "registry/registry.h"

#include "base/error.h"
#include "codec/schema.h"
#include "registry/http.h"
#include "registry/bundle.h"
#include <curl/curl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define REFERENCES_MOST 256
#define REFERENCES_DEEP 16
#define JSON_TYPE "application/vnd.schemaregistry.v1+json"

struct bui_registry {
    bui_http *http;
    bui_subject_by by;
};

bus_status bui_registry_open(const bus_config *config, bool (*stop)(void *opaque), void *opaque, bui_registry **out,
                             bus_error *err)
{
    const char *urls = bui_config_text(config, "registry.url");
    if (!*urls) {
        *out = NULL;
        return BUS_OK;
    }
    bui_registry *registry = calloc(1, sizeof *registry);
    if (!registry)
        return bui_fail_nomem(err);
    const char *by = bui_config_text(config, "registry.subject");
    registry->by = strcmp(by, "topic") == 0    ? BUI_SUBJECT_TOPIC
                   : strcmp(by, "record") == 0 ? BUI_SUBJECT_RECORD
                                               : BUI_SUBJECT_TOPIC_RECORD;
    bui_http_options options = {
        .urls = urls,
        .user = bui_config_text(config, "registry.user"),
        .password = bui_config_text(config, "registry.password"),
        .ca_file = bui_config_text(config, "registry.ca.file"),
        .certificate_file = bui_config_text(config, "registry.certificate.file"),
        .key_file = bui_config_text(config, "registry.key.file"),
        .key_password = bui_config_text(config, "registry.key.password"),
        .properties = "registry.",
        .timeout_ms = bui_config_int(config, "registry.timeout.ms"),
        .content_type = JSON_TYPE,
        .accept = JSON_TYPE ", application/json",
        .stop = stop,
        .opaque = opaque,
    };
    bus_status status = bui_http_open(&options, &registry->http, err);
    if (status != BUS_OK) {
        free(registry);
        return status;
    }
    *out = registry;
    return BUS_OK;
}

void bui_registry_close(bui_registry *registry)
{
    if (!registry)
        return;
    bui_http_close(registry->http);
    free(registry);
}

char *bui_registry_subject(const bui_registry *registry, const char *topic, const char *record)
{
    bui_buf out;
    bui_buf_init(&out, 0);
    if (registry->by == BUI_SUBJECT_RECORD)
        bui_buf_text(&out, record);
    else
        bui_buf_printf(&out, "%s-%s", topic, registry->by == BUI_SUBJECT_TOPIC ? "value" : record);
    return bui_buf_take(&out);
}

/* ---- asking */

static bus_status status_of(long code)
{
    switch (code) {
    case 401:
    case 403: return BUS_DENIED;
    case 404: return BUS_MISSING;
    case 409:
    case 422: return BUS_SCHEMA;
    default: return code >= 200 && code < 300 ? BUS_OK : BUS_REFUSED;
    }
}

/* *answer is the caller's, an object or an array. */
static bus_status ask(bui_registry *registry, const char *path, const char *body, json_t **answer, bus_error *err)
{
    json_t *said = NULL;
    long code = 0;
    bus_status status = bui_http_ask(registry->http, path, body, &said, &code, err);
    if (status == BUS_TIMEOUT && err) /* which means a broker, elsewhere */
        err->status = BUS_IO;
    if (status != BUS_OK) {
        bui_fail_in(err, "the schema registry");
        return status == BUS_TIMEOUT ? BUS_IO : status;
    }
    status = status_of(code);
    if (status == BUS_OK) {
        *answer = said;
        return BUS_OK;
    }
    const char *words = json_string_value(json_object_get(said, "message"));
    bui_fail(err, status, "the schema registry answered %.160s with HTTP status %ld%s%.240s%s", path, code, words ? ": " : "",
             words ? words : "", status == BUS_DENIED ? "; see registry.user and registry.password" : "");
    json_decref(said);
    return status;
}

static bus_status nonsense(const char *path, const char *what, bus_error *err)
{
    return bui_fail(err, BUS_CORRUPT, "the schema registry's answer to %.160s has no %s", path, what);
}

/* "subjects/<escaped><rest>"; NULL: no memory */
static char *subject_path(const char *before, const char *subject, const char *rest)
{
    char *escaped = curl_easy_escape(NULL, subject, 0);
    bui_buf path;
    bui_buf_init(&path, 0);
    bui_buf_printf(&path, "%s%s%s", before, escaped ? escaped : "", rest);
    char *text = escaped ? bui_buf_take(&path) : NULL;
    bui_buf_free(&path);
    curl_free(escaped);
    return text;
}

/* ---- schemas and what they refer to */

typedef struct gathering {
    bui_registry *registry;
    json_t *others;
    int asked, depth;
} gathering;

static bus_status gather(gathering *g, const json_t *answer, bus_error *err);

static bus_status parse_text(const char *path, const json_t *answer, json_t **out, bus_error *err)
{
    const char *text = json_string_value(json_object_get(answer, "schema"));
    const char *type = json_string_value(json_object_get(answer, "schemaType"));
    if (!text)
        return nonsense(path, "schema", err);
    if (type && strcmp(type, "AVRO") != 0)
        return bui_fail(err, BUS_SCHEMA, "%.160s is a %.40s schema in the registry; only Avro is read here", path, type);
    *out = json_loads(text, JSON_DECODE_ANY, NULL);
    return *out ? BUS_OK : bui_fail(err, BUS_SCHEMA, "%.160s: the registry's schema is not JSON", path);
}

static bus_status gather_one(gathering *g, const json_t *reference, bus_error *err)
{
    const char *name = json_string_value(json_object_get(reference, "name"));
    const char *subject = json_string_value(json_object_get(reference, "subject"));
    const json_t *version = json_object_get(reference, "version");
    if (!name || !subject || !json_is_integer(version))
        return bui_fail(err, BUS_CORRUPT, "a reference in the registry lacks its name, subject or version");
    if (json_object_get(g->others, name))
        return BUS_OK;
    if (++g->asked > REFERENCES_MOST || g->depth > REFERENCES_DEEP)
        return bui_fail(err, BUS_TOO_BIG, "the schema refers to more than %d others, or deeper than %d", REFERENCES_MOST,
                        REFERENCES_DEEP);
    char rest[48];
    snprintf(rest, sizeof rest, "/versions/%lld", (long long)json_integer_value(version));
    char *path = subject_path("subjects/", subject, rest);
    json_t *answer = NULL, *schema = NULL;
    bus_status status = path ? ask(g->registry, path, NULL, &answer, err) : bui_fail_nomem(err);
    if (status == BUS_OK)
        status = parse_text(path, answer, &schema, err);
    if (status == BUS_OK && json_object_set(g->others, name, schema))
        status = bui_fail_nomem(err);
    if (status == BUS_OK)
        status = gather(g, answer, err);
    json_decref(schema);
    json_decref(answer);
    free(path);
    return status;
}

static bus_status gather(gathering *g, const json_t *answer, bus_error *err)
{
    const json_t *reference;
    size_t i;
    bus_status status = BUS_OK;
    g->depth++;
    json_array_foreach(json_object_get(answer, "references"), i, reference)
    {
        status = gather_one(g, reference, err);
        if (status != BUS_OK)
            break;
    }
    g->depth--;
    return status;
}

/* The exact text where nothing is referred to, since defaults and comments are part of it. */
static bus_status take_schema(bui_registry *registry, const char *path, const json_t *answer, bui_buf *out, bus_error *err)
{
    json_t *schema = NULL, *whole = NULL;
    char *text = NULL;
    gathering g = { .registry = registry, .others = json_object() };
    bus_status status = g.others ? parse_text(path, answer, &schema, err) : bui_fail_nomem(err);
    if (status == BUS_OK)
        status = gather(&g, answer, err);
    if (status == BUS_OK && json_object_size(g.others) == 0) {
        bui_buf_text(out, json_string_value(json_object_get(answer, "schema")));
    } else if (status == BUS_OK) {
        if ((whole = bui_schema_bundle(schema, g.others)) && (text = json_dumps(whole, JSON_COMPACT | JSON_ENCODE_ANY)))
            bui_buf_text(out, text);
        else
            status = bui_fail(
                err, BUS_TOO_BIG,
                "%.160s: it cannot be put together with what it refers to: a field without a type, too deep a nesting, or "
                "no memory",
                path);
    }
    if (status == BUS_OK && !bui_buf_ok(out))
        status = bui_fail(err, BUS_TOO_BIG, "%.160s: the schema is over %u bytes", path, BUI_SCHEMA_MAX_BYTES);
    free(text);
    json_decref(whole);
    json_decref(schema);
    json_decref(g.others);
    return status;
}

bus_status bui_registry_schema(bui_registry *registry, const char *question, bui_buf *schema, bus_error *err)
{
    json_t *answer = NULL;
    bus_status status = ask(registry, question, NULL, &answer, err);
    if (status == BUS_OK)
        status = take_schema(registry, question, answer, schema, err);
    json_decref(answer);
    return status;
}

static bus_status id_of(const char *path, const json_t *answer, uint32_t *id, bus_error *err)
{
    const json_t *number = json_object_get(answer, "id");
    if (!json_is_integer(number) || json_integer_value(number) < 0 || json_integer_value(number) > UINT32_MAX)
        return nonsense(path, "usable id", err);
    *id = (uint32_t)json_integer_value(number);
    return BUS_OK;
}

bus_status bui_registry_version(bui_registry *registry, const char *subject, int version, bui_buf *schema, uint32_t *id,
                                int *number, bus_error *err)
{
    char rest[40];
    uint32_t got;
    json_t *answer = NULL;
    if (version)
        snprintf(rest, sizeof rest, "/versions/%d", version);
    else
        snprintf(rest, sizeof rest, "/versions/latest");
    char *path = subject_path("subjects/", subject, rest);
    bus_status status = path ? ask(registry, path, NULL, &answer, err) : bui_fail_nomem(err);
    if (status == BUS_OK)
        status = id_of(path, answer, &got, err);
    if (status == BUS_OK)
        status = take_schema(registry, path, answer, schema, err);
    if (status == BUS_OK && id)
        *id = got;
    if (status == BUS_OK && number)
        *number = (int)json_integer_value(json_object_get(answer, "version"));
    json_decref(answer);
    free(path);
    return status;
}

bus_status bui_registry_learn(bui_registry *registry, const char *question, const bui_framing *framing, bui_catalog *catalog,
                              bus_error *err)
{
    bui_buf text;
    bui_buf_init(&text, BUI_SCHEMA_MAX_BYTES);
    bus_status status = bui_registry_schema(registry, question, &text, err);
    if (status == BUS_OK) {
        status = bui_catalog_bind(catalog, framing, (const char *)text.data, text.len, err);
        if (status != BUS_OK)
            bui_fail_in(err, "%s of the schema registry", question);
    }
    bui_buf_free(&text);
    return status;
}

/* ---- registering */

static bus_status post_schema(bui_registry *registry, const char *before, const char *subject, const char *rest, const char *json,
                              json_t **answer, bus_error *err)
{
    json_t *body = json_pack("{s:s}", "schema", json);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    char *path = text ? subject_path(before, subject, rest) : NULL;
    bus_status status = path ? ask(registry, path, text, answer, err) : bui_fail_nomem(err);
    json_decref(body);
    free(text);
    free(path);
    return status;
}

static bus_status post_for_id(bui_registry *registry, const char *subject, const char *rest, const char *json, uint32_t *id,
                              bus_error *err)
{
    json_t *answer = NULL;
    bus_status status = post_schema(registry, "subjects/", subject, rest, json, &answer, err);
    if (status == BUS_OK)
        status = id_of(subject, answer, id, err);
    json_decref(answer);
    return status;
}

bus_status bui_registry_register(bui_registry *registry, const char *subject, const char *json, uint32_t *id, bus_error *err)
{
    return post_for_id(registry, subject, "/versions", json, id, err);
}

bus_status bui_registry_find(bui_registry *registry, const char *subject, const char *json, uint32_t *id, bus_error *err)
{
    return post_for_id(registry, subject, "", json, id, err);
}

bus_status bui_registry_id(bui_registry *registry, bool registers, const char *subject, const char *name, const char *json,
                           uint32_t *id, bus_error *err)
{
    if (registers)
        return bui_registry_register(registry, subject, json, id, err);
    bus_status status = bui_registry_find(registry, subject, json, id, err);
    if (status == BUS_MISSING)
        bui_fail_in(err, "registry.register is false, and %.100s is not under %.200s", name, subject);
    return status;
}

/* Against all versions that the subject's level asks for; a registry that cannot do so compares with the latest. */
bus_status bui_registry_compatible(bui_registry *registry, const char *subject, const char *json, bus_error *err)
{
    static const char before[] = "compatibility/subjects/";
    json_t *answer = NULL;
    bus_error why = { 0 };
    bus_status status = post_schema(registry, before, subject, "/versions?verbose=true", json, &answer, &why);
    if (status == BUS_MISSING || status == BUS_REFUSED)
        status = post_schema(registry, before, subject, "/versions/latest?verbose=true", json, &answer, &why);
    const json_t *good = json_object_get(answer, "is_compatible");
    if (status == BUS_OK && !json_is_boolean(good))
        status = nonsense(subject, "is_compatible", &why);
    if (status == BUS_OK && json_is_false(good)) {
        const char *words = json_string_value(json_array_get(json_object_get(answer, "messages"), 0));
        status = bui_fail(&why, BUS_SCHEMA, "the schema registry calls it incompatible with what %.160s has%s%.240s", subject,
                          words ? ": " : "", words ? words : "");
    }
    json_decref(answer);
    if (status != BUS_OK && err)
        *err = why;
    return status;
}

bus_status bui_registry_level_of(bui_registry *registry, const char *subject, bui_registry_level *out, bus_error *err)
{
    json_t *answer = NULL;
    bus_error why = { 0 };
    char *path = subject_path("config/", subject, "?defaultToGlobal=true");
    bus_status status = path ? ask(registry, path, NULL, &answer, &why) : bui_fail_nomem(&why);
    if (status == BUS_MISSING)
        status = ask(registry, "config", NULL, &answer, &why);
    const char *level = json_string_value(json_object_get(answer, "compatibilityLevel"));
    if (status == BUS_OK && !level)
        status = nonsense("config", "compatibilityLevel", &why);
    if (status == BUS_OK)
        snprintf(out->text, sizeof out->text, "%s", level);
    else if (err)
        *err = why;
    json_decref(answer);
    free(path);
    return status;
}
