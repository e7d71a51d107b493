/* SPDX-License-Identifier: MIT
 * Registry client against a server that behaves and misbehaves: what each bad day says, and that nothing is asked twice. */
#include "registry/cache.h"
#include "support/registry_server.h"

#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

/* ---- fixtures */

static void nap_ms(long ms)
{
    struct timespec span = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep(&span, NULL);
}

static const char long_record[] = "{\"type\":\"record\",\"name\":\"t.R\",\"fields\":[{\"name\":\"f\",\"type\":\"long\"}]}";
#define ESCAPED \
    "{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"t.R\\\",\\\"fields\\\":[{\\\"name\\\":\\\"f\\\",\\\"type\\\":\\\"long\\\"}]}"

static bus_config *configured(const char *urls, const char *const *more)
{
    bus_error err = { 0 };
    bus_config *config = bus_config_new();
    assert_int_equal(bus_config_set(config, "registry.url", urls, &err), BUS_OK);
    for (; more && *more; more += 2)
        if (bus_config_set(config, more[0], more[1], &err) != BUS_OK)
            fail_msg("%s", err.text);
    return config;
}

static bui_registry *registry_at(const char *urls, const char *const *more)
{
    bus_error err = { 0 };
    bui_registry *registry = NULL;
    bus_config *config = configured(urls, more);
    if (bui_registry_open(config, NULL, NULL, &registry, &err) != BUS_OK)
        fail_msg("%s", err.text);
    bus_config_free(config);
    return registry;
}

static bus_status schema_of(bui_registry *registry, const char *question, char text[2000], bus_error *err)
{
    bui_buf out;
    bui_buf_init(&out, 1 << 20);
    bus_status status = bui_registry_schema(registry, question, &out, err);
    snprintf(text, 2000, "%.*s", (int)out.len, out.data ? (const char *)out.data : "");
    bui_buf_free(&out);
    return status;
}

/* ---- the API */

static void asks_and_is_answered(void **state)
{
    (void)state;
    static const registry_page pages[] = {
        { "GET", "/schemas/ids/7", 200, "{\"schema\":\"" ESCAPED "\"}", 0 },
        { "GET", "/schemas/ids/8", 200, "{\"schema\":\"syntax\",\"schemaType\":\"PROTOBUF\"}", 0 },
        { "GET", "/subjects/a b/versions/latest", 200, "{\"id\":7,\"version\":3,\"schema\":\"" ESCAPED "\"}", 0 },
        { "GET", "/subjects/a b/versions/2", 200, "{\"id\":6,\"version\":2,\"schema\":\"\\\"long\\\"\"}", 0 },
        { "POST", "/subjects/s/versions", 200, "{\"id\":9}", 0 },
        { "POST", "/subjects/bad/versions", 409, "{\"error_code\":409,\"message\":\"reader lacks a default\"}", 0 },
        { "POST", "/subjects/odd/versions", 200, "{\"id\":\"nine\"}", 0 },
        { "POST", "/subjects/s", 200, "{\"subject\":\"s\",\"id\":5,\"version\":1,\"schema\":\"x\"}", 0 },
        { "POST", "/compatibility/subjects/s/versions/latest", 200, "{\"is_compatible\":true}", 0 },
        { "POST", "/compatibility/subjects/bad/versions", 200, "{\"is_compatible\":false,\"messages\":[\"f has no default\"]}",
          0 },
        { "GET", "/config/s", 200, "{\"compatibilityLevel\":\"FULL\"}", 0 },
        { "GET", "/config", 200, "{\"compatibilityLevel\":\"NONE\"}", 0 },
        { 0 }
    };
    registry_server s;
    bus_error err = { 0 };
    bui_registry_level level;
    char text[2000];
    uint32_t id = 0;
    int number = 0;
    registry_server_start(&s, pages);
    bui_registry *registry = registry_at(s.url, NULL);
    assert_int_equal(schema_of(registry, "schemas/ids/7", text, &err), BUS_OK);
    assert_string_equal(text, long_record); /* the exact text */
    assert_int_equal(schema_of(registry, "schemas/ids/8", text, &err), BUS_SCHEMA);
    assert_string_equal(err.text, "schemas/ids/8 is a PROTOBUF schema in the registry; only Avro is read here");
    assert_int_equal(schema_of(registry, "schemas/ids/1", text, &err), BUS_MISSING);
    assert_string_equal(err.text, "the schema registry answered schemas/ids/1 with HTTP status 404: Schema not found");
    assert_false(err.retriable);

    bui_buf out;
    bui_buf_init(&out, 0);
    assert_int_equal(bui_registry_version(registry, "a b", 0, &out, &id, &number, &err), BUS_OK);
    assert_true(id == 7 && number == 3);
    assert_int_equal(bui_registry_version(registry, "a b", 2, &out, &id, &number, &err), BUS_OK);
    assert_true(id == 6 && number == 2);
    bui_buf_free(&out);

    assert_int_equal(bui_registry_register(registry, "s", long_record, &id, &err), BUS_OK);
    assert_int_equal(id, 9);
    pthread_mutex_lock(&s.lock);
    json_t *sent = json_loads(s.last_body, 0, NULL);
    pthread_mutex_unlock(&s.lock);
    assert_string_equal(json_string_value(json_object_get(sent, "schema")), long_record);
    json_decref(sent);
    assert_int_equal(bui_registry_register(registry, "bad", long_record, &id, &err), BUS_SCHEMA);
    assert_non_null(strstr(err.text, "409: reader lacks a default"));
    assert_int_equal(bui_registry_register(registry, "odd", long_record, &id, &err), BUS_CORRUPT);
    assert_int_equal(id, 9);
    assert_int_equal(bui_registry_find(registry, "s", long_record, &id, &err), BUS_OK);
    assert_int_equal(id, 5);
    assert_int_equal(bui_registry_compatible(registry, "s", long_record, &err), BUS_OK);
    assert_int_equal(bui_registry_compatible(registry, "bad", long_record, &err), BUS_SCHEMA);
    assert_string_equal(err.text, "the schema registry calls it incompatible with what bad has: f has no default");
    assert_int_equal(bui_registry_compatible(registry, "new", long_record, &err), BUS_MISSING);
    assert_int_equal(bui_registry_level_of(registry, "s", &level, &err), BUS_OK);
    assert_string_equal(level.text, "FULL");
    assert_int_equal(bui_registry_level_of(registry, "new", &level, &err), BUS_OK);
    assert_string_equal(level.text, "NONE");
    bui_registry_close(registry);
    registry_server_stop(&s);
}

static void puts_references_in(void **state)
{
    (void)state;
    static const registry_page pages[] = {
        { "GET", "/schemas/ids/1", 200,
          "{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"Order\\\",\\\"namespace\\\":\\\"shop\\\",\\\"fields\\\":["
          "{\\\"name\\\":\\\"from\\\",\\\"type\\\":\\\"geo.Place\\\"},{\\\"name\\\":\\\"to\\\",\\\"type\\\":[\\\"null\\\",\\\"geo.Place\\\"]}]}\","
          "\"references\":[{\"name\":\"geo.Place\",\"subject\":\"place\",\"version\":2}]}",
          0 },
        { "GET", "/subjects/place/versions/2", 200,
          "{\"id\":3,\"version\":2,\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"geo.Place\\\","
          "\\\"fields\\\":[{\\\"name\\\":\\\"kind\\\",\\\"type\\\":\\\"Kind\\\"}]}\","
          "\"references\":[{\"name\":\"geo.Kind\",\"subject\":\"kind\",\"version\":1}]}",
          0 },
        { "GET", "/subjects/kind/versions/1", 200,
          "{\"id\":2,\"version\":1,\"schema\":\"{\\\"type\\\":\\\"enum\\\",\\\"name\\\":\\\"Kind\\\","
          "\\\"namespace\\\":\\\"geo\\\",\\\"symbols\\\":[\\\"CITY\\\"]}\"}",
          0 },
        { "GET", "/schemas/ids/2", 200,
          "{\"schema\":\"\\\"x.Loop\\\"\",\"references\":[{\"name\":\"x.Loop\",\"subject\":\"gone\",\"version\":1}]}", 0 },
        { "GET", "/schemas/ids/3", 200,
          "{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"R\\\",\\\"fields\\\":[{\\\"name\\\":\\\"f\\\"}]}\","
          "\"references\":[{\"name\":\"geo.Kind\",\"subject\":\"kind\",\"version\":1}]}",
          0 },
        { 0 }
    };
    registry_server s;
    bus_error err = { 0 };
    char text[2000];
    bui_schema *schema = NULL;
    registry_server_start(&s, pages);
    bui_registry *registry = registry_at(s.url, NULL);
    if (schema_of(registry, "schemas/ids/1", text, &err) != BUS_OK ||
        bui_schema_parse(text, strlen(text), &schema, &err) != BUS_OK)
        fail_msg("%s: %s", text, err.text);
    assert_string_equal(
        bui_schema_canonical(schema),
        "{\"name\":\"shop.Order\",\"type\":\"record\",\"fields\":[{\"name\":\"from\",\"type\":{\"name\":\"geo.Place\",\"type\":\"record\","
        "\"fields\":[{\"name\":\"kind\",\"type\":{\"name\":\"geo.Kind\",\"type\":\"enum\",\"symbols\":[\"CITY\"]}}]}},"
        "{\"name\":\"to\",\"type\":[\"null\",\"geo.Place\"]}]}");
    bui_schema_free(schema);
    assert_int_equal(schema_of(registry, "schemas/ids/2", text, &err), BUS_MISSING);
    /* Found by fuzzing: what was made of the fields before the bad one was lost. */
    assert_int_equal(schema_of(registry, "schemas/ids/3", text, &err), BUS_TOO_BIG);
    assert_string_equal(
        err.text,
        "schemas/ids/3: it cannot be put together with what it refers to: a field without a type, too deep a nesting, or no memory");
    bui_registry_close(registry);
    registry_server_stop(&s);
}

static void survives_bad_days(void **state)
{
    (void)state;
    static const registry_page broken[] = { { "GET", "/schemas/ids/1", 500, "{\"error_code\":50001,\"message\":\"store away\"}",
                                              0 },
                                            { "GET", "/schemas/ids/2", 200, "<html>Sign in</html>", 0 },
                                            { "GET", "/schemas/ids/3", 200, "{\"schema\":\"\\\"long\\\"\"}", 1500 },
                                            { "GET", "/schemas/ids/4", 200, "[]", 0 },
                                            { "GET", "/schemas/ids/5", 200, "{\"schema\":\"{\"}", 0 },
                                            { 0 } };
    static const registry_page good[] = { { "GET", "/schemas/ids/1", 200, "{\"schema\":\"\\\"long\\\"\"}", 0 },
                                          { "GET", "/schemas/ids/2", 200, "{\"schema\":\"\\\"long\\\"\"}", 0 },
                                          { "GET", "/schemas/ids/3", 200, "{\"schema\":\"\\\"long\\\"\"}", 0 },
                                          { 0 } };
    static const char *const quick[] = { "registry.timeout.ms", "300", NULL };
    registry_server bad, other;
    bus_error err = { 0 };
    char text[2000], both[200];
    registry_server_start(&bad, broken);
    registry_server_start(&other, good);
    bui_registry *registry = registry_at(bad.url, quick);
    assert_int_equal(schema_of(registry, "schemas/ids/1", text, &err), BUS_IO);
    assert_true(err.retriable && strstr(err.text, "answered with HTTP status 500"));
    assert_int_equal(schema_of(registry, "schemas/ids/2", text, &err), BUS_IO);
    assert_non_null(strstr(err.text, "not JSON"));
    assert_int_equal(schema_of(registry, "schemas/ids/3", text, &err), BUS_IO);
    assert_true(err.retriable && err.status == BUS_IO && strstr(err.text, "timed out"));
    assert_int_equal(schema_of(registry, "schemas/ids/4", text, &err), BUS_CORRUPT);
    assert_string_equal(err.text, "the schema registry's answer to schemas/ids/4 has no schema");
    assert_int_equal(schema_of(registry, "schemas/ids/5", text, &err), BUS_SCHEMA);
    bui_registry_close(registry);

    /* Another address takes over, and is asked first from then on. A dead one first. */
    snprintf(both, sizeof both, "http://127.0.0.1:1, %s,%s", bad.url, other.url);
    registry = registry_at(both, quick);
    int before = atomic_load(&bad.asked);
    for (int i = 1; i <= 3; i++) {
        char question[BUI_QUESTION];
        snprintf(question, sizeof question, "schemas/ids/%d", i);
        assert_int_equal(schema_of(registry, question, text, &err), BUS_OK);
        assert_string_equal(text, "\"long\"");
    }
    assert_int_equal(atomic_load(&bad.asked), before + 1);
    assert_int_equal(schema_of(registry, "schemas/ids/9", text, &err), BUS_MISSING); /* an answer like any other */
    bui_registry_close(registry);
    registry_server_stop(&bad);
    registry = registry_at("http://127.0.0.1:1", quick);
    assert_int_equal(schema_of(registry, "schemas/ids/1", text, &err), BUS_IO);
    assert_true(err.retriable);
    bui_registry_close(registry);
    registry_server_stop(&other);
}

static void shows_who_it_is(void **state)
{
    (void)state;
    static const registry_page pages[] = { { "GET", "/schemas/ids/1", 200, "{\"schema\":\"\\\"long\\\"\"}", 0 }, { 0 } };
    static const char *const right[] = { "registry.user", "ann", "registry.password", "p:w", NULL };
    static const char *const wrong[] = { "registry.user", "ann", "registry.password", "guess", NULL };
    registry_server s;
    bus_error err = { 0 };
    char text[2000];
    registry_server_start(&s, pages);
    s.user = "ann";
    s.password = "p:w";
    bui_registry *registry = registry_at(s.url, right);
    assert_int_equal(schema_of(registry, "schemas/ids/1", text, &err), BUS_OK);
    bui_registry_close(registry);
    registry = registry_at(s.url, wrong);
    assert_int_equal(schema_of(registry, "schemas/ids/1", text, &err), BUS_DENIED);
    assert_null(strstr(err.text, "guess"));
    assert_non_null(strstr(err.text, "see registry.user and registry.password"));
    bui_registry_close(registry);
    registry_server_stop(&s);

    bus_config *config = configured("http://ann:guess@localhost", NULL);
    assert_int_equal(bui_registry_open(config, NULL, NULL, &registry, &err), BUS_CONFIG);
    assert_null(strstr(err.text, "guess"));
    bus_config_free(config);
    config = configured("localhost:8081", NULL);
    assert_int_equal(bui_registry_open(config, NULL, NULL, &registry, &err), BUS_CONFIG);
    assert_string_equal(err.text, "registry.url: \"localhost:8081\" is not an address: it must begin with http:// or https://");
    bus_config_free(config);
}

static void names_subjects(void **state)
{
    (void)state;
    static const char *const by[][2] = { { "topic", "shop.events-value" },
                                         { "record", "shop.Sold" },
                                         { "topic-record", "shop.events-shop.Sold" } };
    for (size_t i = 0; i < 3; i++) {
        const char *const more[] = { "registry.subject", by[i][0], NULL };
        bui_registry *registry = registry_at("http://localhost", more);
        char *subject = bui_registry_subject(registry, "shop.events", "shop.Sold");
        assert_non_null(subject);
        assert_string_equal(subject, by[i][1]);
        free(subject);
        bui_registry_close(registry);
    }
}

/* ---- asking in the background */

typedef struct heard {
    atomic_int news, refused;
    bus_error why;
} heard;

static void on_news(void *opaque)
{
    atomic_fetch_add(&((heard *)opaque)->news, 1);
}

static void on_refused(const bus_error *why, void *opaque)
{
    heard *h = opaque;
    h->why = *why;
    atomic_fetch_add(&h->refused, 1);
}

static bui_registry_cache *cache_of(bus_config *config, bui_catalog *catalog, heard *h)
{
    bus_error err = { 0 };
    bui_registry_cache *registry_cache = NULL;
    bui_registry_cache_options options = {
        .config = config, .where = "test", .catalog = catalog, .news = on_news, .refused = on_refused, .opaque = h
    };
    if (bui_registry_cache_open(&options, &registry_cache, &err) != BUS_OK)
        fail_msg("%s", err.text);
    return registry_cache;
}

static bool until(atomic_int *what, int least)
{
    for (int i = 0; i < 500 && atomic_load(what) < least; i++)
        nap_ms(10);
    return atomic_load(what) >= least;
}

static void *wait_for_it(void *arg)
{
    bui_framing framing;
    bus_error err = { 0 };
    bui_framing_of_question("schemas/ids/7", &framing);
    return (void *)(uintptr_t)bui_registry_cache_wait(arg, &framing, &err);
}

/* The ids in records are their writers' choice. */
static void refused_ids_are_bounded(void **state)
{
    (void)state;
    static const registry_page pages[] = { { 0 } };
    static const char *const more[] = { "registry.unknown.ms", "1h", NULL };
    registry_server s;
    heard h = { .news = 0 };
    registry_server_start(&s, pages);
    bus_config *config = configured(s.url, more);
    bui_catalog *catalog = bui_catalog_new();
    bui_registry_cache *registry_cache = cache_of(config, catalog, &h);
    const bui_registry_cache_metrics *metrics = bui_registry_cache_metrics_of(registry_cache);
    for (int i = 0; i < 1001; i++) {
        char question[40];
        bui_framing framing;
        bus_error err = { 0 };
        snprintf(question, sizeof question, "schemas/ids/%d", 1000 + i);
        assert_true(bui_framing_of_question(question, &framing));
        assert_int_equal(bui_counter_read(&metrics->forgotten), 0);
        assert_int_equal(bui_registry_cache_wait(registry_cache, &framing, &err), BUS_MISSING);
    }
    assert_int_equal(bui_counter_read(&metrics->forgotten), 1000);
    bui_registry_cache_close(registry_cache);
    bui_catalog_free(catalog);
    bus_config_free(config);
    registry_server_stop(&s);
}

static void asks_each_question_once(void **state)
{
    (void)state;
    static const registry_page pages[] = { { "GET", "/schemas/ids/7", 200, "{\"schema\":\"" ESCAPED "\"}", 200 }, { 0 } };
    static const char *const more[] = { "registry.unknown.ms", "1s", NULL };
    registry_server s;
    heard h = { .news = 0 };
    bus_error err = { 0 };
    bui_framing seven, gone;
    registry_server_start(&s, pages);
    bus_config *config = configured(s.url, more);
    bui_catalog *catalog = bui_catalog_new();
    bui_registry_cache *registry_cache = cache_of(config, catalog, &h);
    bui_ids *ids = bui_registry_cache_ids(registry_cache);
    assert_true(bui_framing_of_question("schemas/ids/7", &seven) && bui_framing_of_question("schemas/ids/404", &gone));

    /* Many want it while it is being asked for: one request. */
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, wait_for_it, registry_cache);
    for (int i = 0; i < 50; i++)
        ids->want(ids, &seven, &err);
    for (int i = 0; i < 4; i++) {
        void *status;
        pthread_join(threads[i], &status);
        assert_int_equal((uintptr_t)status, BUS_OK);
    }
    assert_int_equal(atomic_load(&s.asked), 1);
    assert_true(until(&h.news, 1));
    assert_string_equal(bui_schema_json(bui_catalog_writer(catalog, &seven), NULL), long_record);
    ids->want(ids, &seven, &err);
    nap_ms(50);
    assert_int_equal(atomic_load(&s.asked), 1);

    /* Not there: not asked again for a while, then once more. */
    ids->want(ids, &gone, &err);
    assert_true(until(&s.asked, 2));
    for (int i = 0; i < 20; i++) {
        nap_ms(5);
        ids->want(ids, &gone, &err);
    }
    assert_int_equal(atomic_load(&s.asked), 2);
    assert_int_equal(err.status, BUS_MISSING);
    assert_non_null(strstr(err.text, "404: Schema not found"));
    nap_ms(1100);
    ids->want(ids, &gone, &err);
    assert_true(until(&s.asked, 3));
    const bui_registry_cache_metrics *metrics = bui_registry_cache_metrics_of(registry_cache);
    for (int i = 0; i < 200 && bui_counter_read(&metrics->refused) < 2; i++)
        nap_ms(5); /* the server has been asked; its answer may be on the way */
    assert_int_equal(bui_counter_read(&metrics->requests), 3);
    assert_int_equal(bui_counter_read(&metrics->refused), 2);
    assert_int_equal(bui_counter_read(&metrics->errors), 0);
    assert_int_equal(bui_counter_read(&metrics->misses), 2);
    assert_true(bui_counter_read(&metrics->negative_hits) >= 15);
    bui_registry_cache_close(registry_cache);
    bui_catalog_free(catalog);
    bus_config_free(config);
    registry_server_stop(&s);
}

static void gives_ids_to_write(void **state)
{
    (void)state;
    static const registry_page pages[] = { { "POST", "/subjects/shop.events-t.R/versions", 200, "{\"id\":258}", 0 },
                                           { "POST", "/subjects/shop.bad-t.R/versions", 409,
                                             "{\"error_code\":409,\"message\":\"no\"}", 0 },
                                           { 0 } };
    static const char *const more[] = { "framing", "confluent", NULL };
    const bus_type type = { .layout = BUS_TYPE_LAYOUT, .name = "t.R", .json = long_record };
    registry_server s;
    heard h = { .news = 0 };
    bus_error err = { 0 };
    const bui_stamp *stamp = NULL, *again = NULL;
    registry_server_start(&s, pages);
    bus_config *config = configured(s.url, more);
    bui_catalog *catalog = bui_catalog_new();
    bui_registry_cache *registry_cache = cache_of(config, catalog, &h);
    bui_ids *ids = bui_registry_cache_ids(registry_cache);
    assert_int_equal(bui_registry_cache_expect(registry_cache, "shop.events", &type, &err), BUS_OK);
    assert_int_equal(bui_registry_cache_stamp(registry_cache, "shop.events", type.name, type.json, &stamp, &err), BUS_OK);
    assert_memory_equal(stamp->framing, "\0\0\0\1\2", 5);
    assert_string_equal(stamp->answer, "258");
    assert_int_equal(ids->stamp(ids, "shop.events", &type, &again, &err), BUS_OK);
    assert_ptr_equal(again, stamp);
    assert_int_equal(atomic_load(&s.asked), 1);
    char question[200], answer[20];
    snprintf(question, sizeof question, "%s", stamp->question);
    snprintf(answer, sizeof answer, "%s", stamp->answer);

    /* A shard does not wait. */
    assert_int_equal(ids->stamp(ids, "shop.bad", &type, &again, &err), BUS_MISSING);
    assert_true(err.retriable);
    assert_int_equal(bui_registry_cache_stamp(registry_cache, "shop.bad", type.name, type.json, &again, &err), BUS_SCHEMA);
    assert_int_equal(atomic_load(&h.refused), 0);
    assert_int_equal(bui_registry_cache_expect(registry_cache, "other.bad", &type, &err),
                     BUS_OK); /* 404: the registry is odd, but refuses no schema */
    bui_registry_cache_close(registry_cache);

    /* A service that writes what the registry refuses is told. */
    registry_cache = cache_of(config, catalog, &h);
    assert_int_equal(bui_registry_cache_expect(registry_cache, "shop.bad", &type, &err), BUS_OK);
    assert_true(until(&h.refused, 1));
    assert_int_equal(h.why.status, BUS_SCHEMA);
    bui_registry_cache_close(registry_cache);
    registry_server_stop(&s);

    /* With what a store kept nothing is asked, and the registry may be away. */
    registry_cache = cache_of(config, catalog, &h);
    ids = bui_registry_cache_ids(registry_cache);
    ids->recall(ids, question, answer);
    ids->recall(ids, "schemas/ids/31", long_record);
    assert_int_equal(ids->stamp(ids, "shop.events", &type, &stamp, &err), BUS_OK);
    assert_memory_equal(stamp->framing, "\0\0\0\1\2", 5);
    bui_framing framing;
    assert_true(bui_framing_of_question("schemas/ids/31", &framing));
    assert_int_equal(bui_registry_cache_wait(registry_cache, &framing, &err), BUS_OK);
    assert_int_equal(bui_counter_read(&bui_registry_cache_metrics_of(registry_cache)->requests), 0);
    assert_int_equal(bui_counter_read(&bui_registry_cache_metrics_of(registry_cache)->hits), 1);
    bui_registry_cache_close(registry_cache);
    bui_catalog_free(catalog);
    bus_config_free(config);
}

static void comes_back_by_itself(void **state)
{
    (void)state;
    static const registry_page down[] = { { "GET", "/schemas/ids/7", 503, "", 0 }, { 0 } };
    static const registry_page up[] = { { "GET", "/schemas/ids/7", 200, "{\"schema\":\"" ESCAPED "\"}", 0 }, { 0 } };
    registry_server s;
    heard h = { .news = 0 };
    bus_error err = { 0 };
    bui_framing seven;
    registry_server_start(&s, down);
    bus_config *config = configured(s.url, NULL);
    bui_catalog *catalog = bui_catalog_new();
    bui_registry_cache *registry_cache = cache_of(config, catalog, &h);
    assert_true(bui_framing_of_question("schemas/ids/7", &seven));
    bui_ids *ids = bui_registry_cache_ids(registry_cache);
    ids->want(ids, &seven, &err);
    assert_true(until(&s.asked, 2)); /* without being asked for again */
    ids->want(ids, &seven, &err);
    assert_non_null(strstr(err.text, "HTTP status 503"));
    s.pages = up;
    assert_true(until(&h.news, 1));
    assert_non_null(bui_catalog_writer(catalog, &seven));
    bui_registry_cache_close(registry_cache);
    bui_catalog_free(catalog);
    bus_config_free(config);
    registry_server_stop(&s);
}

static void needs_a_registry_for_its_framing(void **state)
{
    (void)state;
    bus_error err = { 0 };
    bui_registry_cache *registry_cache = NULL;
    bus_config *config = bus_config_new();
    bui_registry_cache_options options = { .config = config, .where = "test" };
    assert_int_equal(bui_registry_cache_open(&options, &registry_cache, &err), BUS_OK);
    assert_null(registry_cache);
    assert_int_equal(bus_config_set(config, "framing", "confluent", &err), BUS_OK);
    assert_int_equal(bui_registry_cache_open(&options, &registry_cache, &err), BUS_CONFIG);
    assert_string_equal(err.text, "framing = confluent needs a schema registry, whose ids it writes: set registry.url");
    bus_config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_and_is_answered),    cmocka_unit_test(puts_references_in),
        cmocka_unit_test(survives_bad_days),       cmocka_unit_test(shows_who_it_is),
        cmocka_unit_test(names_subjects),          cmocka_unit_test(asks_each_question_once),
        cmocka_unit_test(refused_ids_are_bounded), cmocka_unit_test(gives_ids_to_write),
        cmocka_unit_test(comes_back_by_itself),    cmocka_unit_test(needs_a_registry_for_its_framing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
