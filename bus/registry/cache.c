/* SPDX-License-Identifier: MIT
 * Registry cache: a table of questions and a thread that asks those that are due. One question is one entry, however many want
 * it, so each is in flight once. What failed because no address answers is asked again by itself; what the registry does not
 * know is asked again only if somebody still wants it after registry.unknown.ms. */
#include "registry/cache.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "base/log.h"
#include "base/map.h"
#include "base/throttle.h"
#include "base/wait.h"
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define AGAIN_FIRST_MS 250
#define AGAIN_MOST_MS 30000
#define REFUSED_MOST 1000 /* references of records that the registry does not know: their writers choose how many */

typedef enum entry_state { ENTRY_DUE, ENTRY_KNOWN, ENTRY_REFUSED } entry_state;

typedef struct entry {
    entry_state state;
    bool asking; /* by the thread, now */
    bool asked;  /* before */
    int waiters; /* callers that wait for it */
    bool expected;
    int64_t due_us; /* ask not before; of REFUSED: not again before */
    bui_backoff backoff;
    bus_error why;           /* the last answer was none */
    bui_framing framing;     /* a schema's: what it is bound to. Never changed */
    const char *name, *json; /* an id's, of its schema; NULL: a schema's */
    char *subject;
    bui_stamp stamp;
    char number[12]; /* the stamp's answer */
    char question[];
} entry;

struct bui_registry_cache {
    bui_ids ids; /* first: shards hand it back */
    bui_registry_cache_options options;
    bui_registry *registry;
    bool confluent, registers;
    int64_t unknown_us, wait_us;
    pthread_t thread;
    bool started, away;
    atomic_bool quit;
    pthread_mutex_t lock; /* what follows */
    bui_registry_cache_metrics metrics;
    pthread_cond_t changed;
    bui_map entries; /* question to entry, owned */
    size_t refused;  /* about how many of them are refused references */
    bui_throttle refused_lines;
    bui_map stamps;   /* schema's text, by its address, and topic to entry */
    bui_map recalled; /* questions about ids that stores kept, to the id plus one */
};

#define METRIC(field, name, help, kind) \
    { \
        "bus_registry_" name, help, BUI_METRIC_##kind, offsetof(bui_registry_cache_metrics, field), 0 \
    }

const bui_metric bui_registry_cache_metric_table[] = {
    METRIC(requests, "requests_total", "Requests to the schema registry.", COUNTER),
    METRIC(refused, "refused_total", "Requests that it refused: it does not have the schema, or refuses it, or denies access.",
           COUNTER),
    METRIC(errors, "errors_total", "Requests that no address answered.", COUNTER),
    METRIC(hits, "hits_total", "Schema ids for writing that were known already, or were in a store.", COUNTER),
    METRIC(misses, "misses_total", "Schema ids and schemas that had to be asked for.", COUNTER),
    METRIC(forgotten, "forgotten_total", "Refused references that were forgotten because there were more than 1000.", COUNTER),
    METRIC(negative_hits, "negative_hits_total",
           "Refusals without a request, because the registry had refused the same less than registry.unknown.ms ago.", COUNTER),
    METRIC(request_time, "request_seconds", "Time until the registry answered, or every address failed.", HISTOGRAM),
    { 0 },
};

static void free_entry(void *value)
{
    free(((entry *)value)->subject);
    free(value);
}

static bool stopping(void *opaque)
{
    return atomic_load(&((bui_registry_cache *)opaque)->quit);
}

/* ---- entries; with the lock */

/* What is in the way of nobody; it is asked for again when it is wanted again. */
static bool forgettable(const entry *e)
{
    return e->state == ENTRY_REFUSED && !e->json && !e->asking && !e->waiters;
}

/* Without memory they stay. */
static void forget_refused(bui_registry_cache *cache)
{
    const void *key;
    size_t at = 0, len, count = 0;
    void *value;
    entry **list = malloc(cache->entries.count * sizeof(entry *));
    while (list && bui_map_next(&cache->entries, &at, &key, &len, &value))
        if (forgettable(value))
            list[count++] = value;
    for (size_t i = 0; i < count; i++) {
        bui_map_remove(&cache->entries, list[i]->question, strlen(list[i]->question));
        free_entry(list[i]);
    }
    free(list);
    bui_count(&cache->metrics.forgotten, count);
    cache->refused = 0;
}

static entry *entry_of(bui_registry_cache *cache, const char *question)
{
    size_t n = strlen(question);
    entry *found = bui_map_get(&cache->entries, question, n);
    if (found)
        return found;
    if (cache->refused >= REFUSED_MOST)
        forget_refused(cache);
    entry *made = calloc(1, sizeof *made + n + 1);
    if (!made)
        return NULL;
    memcpy(made->question, question, n);
    bui_framing_of_question(question, &made->framing);
    bui_backoff_init(&made->backoff, AGAIN_FIRST_MS, AGAIN_MOST_MS, n);
    if (!bui_map_put(&cache->entries, question, n, made)) {
        free(made);
        return NULL;
    }
    return made;
}

/* Somebody wants it: what was refused a while ago is due again. */
static void renew(bui_registry_cache *cache, entry *e)
{
    if (e->state == ENTRY_REFUSED && e->due_us <= bui_clock_now_us())
        e->state = ENTRY_DUE;
    if (e->state == ENTRY_REFUSED)
        bui_count(&cache->metrics.negative_hits, 1);
    pthread_cond_broadcast(&cache->changed);
}

static bool is_known(bui_registry_cache *cache, const entry *e)
{
    bui_count(&cache->metrics.hits, e->state == ENTRY_KNOWN);
    return e->state == ENTRY_KNOWN;
}

static void know_id(entry *e, uint32_t id)
{
    bui_framing_write_id(id, e->stamp.framing);
    snprintf(e->number, sizeof e->number, "%" PRIu32, id);
    e->stamp.question = e->question;
    e->stamp.answer = e->number;
    e->state = ENTRY_KNOWN;
}

/* The question about an id names the subject and the exact schema. It is never sent as it is. */
static char *id_question(const char *subject, const char *json)
{
    char text[BUI_ID_TEXT];
    bui_buf out;
    bui_part part = { json, strlen(json) };
    bui_id_of(&part, 1, text);
    bui_buf_init(&out, 0);
    bui_buf_printf(&out, "subjects/%s/%s", subject, text);
    return bui_buf_take(&out);
}

static entry *new_stamp(bui_registry_cache *cache, const void *key, size_t len, const char *topic, const char *name,
                        const char *json)
{
    char *subject = bui_registry_subject(cache->registry, topic, name);
    char *question = subject ? id_question(subject, json) : NULL;
    entry *e = question ? entry_of(cache, question) : NULL;
    if (e && !e->json) { /* several topics have one subject if it is named by the record alone */
        e->name = name;
        e->json = json;
        e->subject = subject;
        subject = NULL;
        const void *id = bui_map_get(&cache->recalled, question, strlen(question));
        if (id)
            know_id(e, (uint32_t)((uintptr_t)id - 1));
    }
    if (e && !bui_map_put(&cache->stamps, key, len, e))
        e = NULL;
    free(question);
    free(subject);
    return e;
}

/* NULL: no memory */
static entry *stamp_of(bui_registry_cache *cache, const char *topic, const char *name, const char *json)
{
    unsigned char key[sizeof json + 256];
    size_t n = strnlen(topic, 250);
    memcpy(key, &json, sizeof json);
    memcpy(key + sizeof json, topic, n);
    entry *e = bui_map_get(&cache->stamps, key, sizeof json + n);
    return e ? e : new_stamp(cache, key, sizeof json + n, topic, name, json);
}

static bus_status not_yet(const entry *e, bus_error *err)
{
    bus_status refused =
        e->state == ENTRY_REFUSED && (e->why.status == BUS_SCHEMA || e->why.status == BUS_DENIED) ? e->why.status : BUS_MISSING;
    if (e->why.status)
        bui_fail(err, refused, "%.460s", e->why.text);
    else
        bui_fail(err, refused, "the schema registry is being asked for %.300s", e->json ? e->subject : e->question);
    if (err)
        err->retriable = refused == BUS_MISSING;
    return refused;
}

/* With the lock: until it is known or refused, or time is up. */
static bus_status await(bui_registry_cache *cache, entry *e, bus_error *err)
{
    int64_t until_us = bui_clock_now_us() + cache->wait_us;
    renew(cache, e);
    e->waiters++;
    while (e->state == ENTRY_DUE && !atomic_load(&cache->quit) && bui_clock_now_us() < until_us)
        (void)bui_cond_wait(&cache->changed, &cache->lock, until_us);
    e->waiters--;
    return e->state == ENTRY_KNOWN ? BUS_OK : not_yet(e, err);
}

/* ---- what shards call */

static bus_status consider(bui_registry_cache *cache, entry *e, bus_error *err)
{
    if (is_known(cache, e))
        return BUS_OK;
    if (cache->options.patient) {
        bus_status status = await(cache, e, err);
        cache->options.patient = status == BUS_OK;
        return status;
    }
    renew(cache, e);
    return not_yet(e, err);
}

static void want(bui_ids *ids, const bui_framing *framing, bus_error *err)
{
    bui_registry_cache *cache = (bui_registry_cache *)ids;
    char question[BUI_QUESTION];
    bui_framing_question(framing, question);
    pthread_mutex_lock(&cache->lock);
    entry *e = entry_of(cache, question);
    if (e)
        consider(cache, e, err);
    if (e && e->state == ENTRY_REFUSED && err)
        err->retriable = false; /* the registry has answered: it does not know it */
    pthread_mutex_unlock(&cache->lock);
}

static bus_status stamp(bui_ids *ids, const char *topic, const bus_type *type, const bui_stamp **out, bus_error *err)
{
    bui_registry_cache *cache = (bui_registry_cache *)ids;
    pthread_mutex_lock(&cache->lock);
    entry *e = stamp_of(cache, topic, type->name, type->json);
    bus_status status = e ? consider(cache, e, err) : bui_fail_nomem(err);
    if (status == BUS_OK)
        *out = &e->stamp;
    pthread_mutex_unlock(&cache->lock);
    return status;
}

static void recall(bui_ids *ids, const char *question, const char *answer)
{
    bui_registry_cache *cache = (bui_registry_cache *)ids;
    bui_framing framing;
    if (bui_framing_of_question(question, &framing)) { /* without memory it is asked once more */
        bui_catalog_bind(cache->options.catalog, &framing, answer, strlen(answer), NULL);
        return;
    }
    char *end;
    unsigned long long id = strtoull(answer, &end, 10);
    if (*end || end == answer || id > UINT32_MAX)
        return;
    pthread_mutex_lock(&cache->lock);
    entry *e = bui_map_get(&cache->entries, question, strlen(question));
    bui_map_put(&cache->recalled, question, strlen(question), (void *)(uintptr_t)(id + 1));
    if (e && e->state != ENTRY_KNOWN && e->json && !e->asking)
        know_id(e, (uint32_t)id);
    pthread_mutex_unlock(&cache->lock);
}

/* ---- the thread */

static void tell_refused(bui_registry_cache *cache, const entry *e)
{
    char more[BUI_THROTTLE_TEXT];
    uint64_t hidden;
    if (bui_throttle_pass(&cache->refused_lines, bui_clock_now_us(), &hidden))
        bui_log(BUS_WARN, cache->options.where, "registry_refused", "%s%s", e->why.text, bui_throttle_text(hidden, more));
}

static void tell(bui_registry_cache *cache, const entry *e, bus_status status)
{
    const char *where = cache->options.where;
    bool away = status == BUS_IO;
    if (away && !cache->away)
        bui_log(BUS_WARN, where, "registry_away", "%s; asking again, and what is known already goes on", e->why.text);
    else if (!away && status != BUS_OK && status != BUS_CANCELLED)
        tell_refused(cache, e);
    else if (!away && cache->away)
        bui_log(BUS_INFO, where, "registry_back", "the schema registry answers again");
    if (status != BUS_CANCELLED)
        cache->away = away;
}

/* With the lock, but for the time of the request. */
static void ask(bui_registry_cache *cache, entry *e)
{
    bus_error err = { 0 };
    uint32_t id = 0;
    e->asking = true;
    bui_count(&cache->metrics.requests, 1);
    bui_count(&cache->metrics.misses, !e->asked);
    e->asked = true;
    pthread_mutex_unlock(&cache->lock);
    int64_t since_us = bui_clock_now_us();
    bus_status status = e->json ? bui_registry_id(cache->registry, cache->registers, e->subject, e->name, e->json, &id, &err)
                                : bui_registry_learn(cache->registry, e->question, &e->framing, cache->options.catalog, &err);
    pthread_mutex_lock(&cache->lock);
    bui_observe(&cache->metrics.request_time, bui_clock_now_us() - since_us);
    e->asking = false;
    e->why = err;
    if (status == BUS_OK && e->json) {
        know_id(e, id);
    } else if (status == BUS_OK) {
        e->state = ENTRY_KNOWN;
    } else if (err.retriable) {
        bui_count(&cache->metrics.errors, 1);
        e->due_us = bui_clock_now_us() + bui_backoff_next(&e->backoff) * 1000;
    } else {
        bui_count(&cache->metrics.refused, 1);
        e->state = ENTRY_REFUSED;
        cache->refused += !e->json;
        e->due_us = bui_clock_now_us() + cache->unknown_us;
    }
    tell(cache, e, status);
    pthread_cond_broadcast(&cache->changed);
    bool refused = status == BUS_SCHEMA && e->expected;
    pthread_mutex_unlock(&cache->lock);
    if (refused && cache->options.refused)
        cache->options.refused(&err, cache->options.opaque);
    if (status == BUS_OK && cache->options.news)
        cache->options.news(cache->options.opaque);
    pthread_mutex_lock(&cache->lock);
}

static entry *next_due(bui_registry_cache *cache)
{
    const void *key;
    size_t at = 0, len;
    void *value;
    entry *first = NULL;
    while (bui_map_next(&cache->entries, &at, &key, &len, &value)) {
        entry *e = value;
        if (e->state == ENTRY_DUE && (!first || e->due_us < first->due_us))
            first = e;
    }
    return first;
}

static void *cache_main(void *arg)
{
    bui_registry_cache *cache = arg;
    pthread_mutex_lock(&cache->lock);
    while (!atomic_load(&cache->quit)) {
        entry *e = next_due(cache);
        if (e && e->due_us <= bui_clock_now_us())
            ask(cache, e);
        else if (e)
            (void)bui_cond_wait(&cache->changed, &cache->lock, e->due_us);
        else
            pthread_cond_wait(&cache->changed, &cache->lock);
    }
    pthread_mutex_unlock(&cache->lock);
    return NULL;
}

/* ---- open and close */

bus_status bui_registry_cache_open(const bui_registry_cache_options *options, bui_registry_cache **out, bus_error *err)
{
    const bus_config *config = options->config;
    bool confluent = strcmp(bui_config_text(config, "framing"), "confluent") == 0;
    if (!*bui_config_text(config, "registry.url")) {
        if (confluent)
            return bui_fail(err, BUS_CONFIG,
                            "framing = confluent needs a schema registry, whose ids it writes: set registry.url");
        *out = NULL;
        return BUS_OK;
    }
    bui_registry_cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return bui_fail_nomem(err);
    cache->options = *options;
    cache->confluent = confluent;
    cache->registers = bui_config_int(config, "registry.register");
    cache->unknown_us = bui_config_int(config, "registry.unknown.ms") * 1000;
    cache->wait_us = bui_config_int(config, "registry.timeout.ms") * 2000;
    cache->ids = (bui_ids){ .want = want, .stamp = confluent ? stamp : NULL, .recall = recall };
    bui_cond_init(&cache->changed);
    pthread_mutex_init(&cache->lock, NULL);
    bui_map_init(&cache->entries);
    bui_map_init(&cache->stamps);
    bui_map_init(&cache->recalled);
    bus_status status = bui_registry_open(config, stopping, cache, &cache->registry, err);
    if (status == BUS_OK) {
        int failed = pthread_create(&cache->thread, NULL, cache_main, cache);
        cache->started = !failed;
        if (failed)
            status = bui_fail(err, BUS_IO, "cannot start a thread: %s; raise ulimit -u", strerror(failed));
    }
    if (status != BUS_OK) {
        bui_registry_cache_close(cache);
        return status;
    }
    *out = cache;
    return BUS_OK;
}

void bui_registry_cache_close(bui_registry_cache *cache)
{
    if (!cache)
        return;
    pthread_mutex_lock(&cache->lock);
    atomic_store(&cache->quit, true);
    pthread_cond_broadcast(&cache->changed);
    pthread_mutex_unlock(&cache->lock);
    if (cache->started)
        pthread_join(cache->thread, NULL);
    bui_registry_close(cache->registry);
    bui_map_free(&cache->stamps, NULL);
    bui_map_free(&cache->recalled, NULL);
    bui_map_free(&cache->entries, free_entry);
    pthread_cond_destroy(&cache->changed);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

bui_ids *bui_registry_cache_ids(bui_registry_cache *cache)
{
    return cache ? &cache->ids : NULL;
}

const bui_registry_cache_metrics *bui_registry_cache_metrics_of(const bui_registry_cache *cache)
{
    return &cache->metrics;
}

/* ---- callers that may wait */

bus_status bui_registry_cache_expect(bui_registry_cache *cache, const char *topic, const bus_type *type, bus_error *err)
{
    if (!cache || !cache->confluent)
        return BUS_OK;
    pthread_mutex_lock(&cache->lock);
    entry *e = stamp_of(cache, topic, type->name, type->json);
    if (e)
        e->expected = true;
    pthread_cond_broadcast(&cache->changed);
    pthread_mutex_unlock(&cache->lock);
    return e ? BUS_OK : bui_fail_nomem(err);
}

bus_status bui_registry_cache_stamp(bui_registry_cache *cache, const char *topic, const char *name, const char *json,
                                    const bui_stamp **out, bus_error *err)
{
    if (!cache || !cache->confluent) {
        *out = NULL;
        return BUS_OK;
    }
    pthread_mutex_lock(&cache->lock);
    entry *e = stamp_of(cache, topic, name, json);
    bus_status status = !e ? bui_fail_nomem(err) : is_known(cache, e) ? BUS_OK : await(cache, e, err);
    if (status == BUS_OK)
        *out = &e->stamp;
    pthread_mutex_unlock(&cache->lock);
    return status;
}

bus_status bui_registry_cache_wait(bui_registry_cache *cache, const bui_framing *framing, bus_error *err)
{
    char question[BUI_QUESTION];
    if (!cache || !framing->reference_len || bui_catalog_writer(cache->options.catalog, framing))
        return BUS_OK;
    bui_framing_question(framing, question);
    pthread_mutex_lock(&cache->lock);
    entry *e = entry_of(cache, question);
    bus_status status = e ? await(cache, e, err) : bui_fail_nomem(err);
    pthread_mutex_unlock(&cache->lock);
    return status;
}
