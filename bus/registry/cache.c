/* SPDX-License-Identifier: MIT
 * Asker: a table of questions and a thread that asks those that are due. One question is one entry, whoever and however many want
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
    bool asking;               /* by the thread, now */
    bool asked;                /* before */
    int waiters;               /* callers that wait for it */
    bool expected;
    int64_t due_us;            /* ask not before; of REFUSED: not again before */
    bus_backoff backoff;
    bus_error why;             /* the last answer was none */
    bus_framing framing;       /* a schema's: what it is bound to. Never changed */
    const char *name, *json;   /* an id's, of its schema; NULL: a schema's */
    char *subject;
    bus_stamp stamp;
    char number[12];           /* the stamp's answer */
    char question[];
} entry;

struct bus_asker {
    bus_ids ids;               /* first: shards hand it back */
    bus_asker_options options;
    bus_registry *registry;
    bool confluent, registers;
    int64_t unknown_us, wait_us;
    pthread_t thread;
    bool started, away;
    atomic_bool quit;
    pthread_mutex_t lock;      /* what follows */
    bus_asker_metrics metrics;
    pthread_cond_t changed;
    bus_map entries;           /* question to entry, owned */
    size_t refused;            /* about how many of them are refused references */
    bus_throttle refused_lines;
    bus_map stamps;            /* schema's text, by its address, and topic to entry */
    bus_map recalled;          /* questions about ids that stores kept, to the id plus one */
};

#define METRIC(field, name, help, kind) { "bus_registry_" name, help, BUS_METRIC_##kind, offsetof(bus_asker_metrics, field), 0 }

const bus_metric bus_asker_metric_table[] = {
    METRIC(requests, "requests_total", "Questions put to the schema registry.", COUNTER),
    METRIC(refused, "refused_total", "Questions that it answered with no: it lacks the schema, refuses it, or refuses access.", COUNTER),
    METRIC(errors, "errors_total", "Questions that no address answered.", COUNTER),
    METRIC(hits, "hits_total", "Ids to write that were known, from before or from a store.", COUNTER),
    METRIC(misses, "misses_total", "Ids and schemas that had to be asked for.", COUNTER),
    METRIC(forgotten, "forgotten_total", "References that it had refused and that are not remembered any more, for they are more than 1000.", COUNTER),
    METRIC(negative_hits, "negative_hits_total", "Times something was wanted that the registry had refused less than registry.unknown.ms ago.", COUNTER),
    METRIC(request_time, "request_seconds", "Time until the registry answered, or no address did.", HISTOGRAM),
    { 0 },
};

static void free_entry(void *value)
{
    free(((entry *)value)->subject);
    free(value);
}

static bool stopping(void *opaque)
{
    return atomic_load(&((bus_asker *)opaque)->quit);
}

/* ---- entries; with the lock */

/* What is in the way of nobody; it is asked for again when it is wanted again. */
static bool forgettable(const entry *e)
{
    return e->state == ENTRY_REFUSED && !e->json && !e->asking && !e->waiters;
}

/* Without memory they stay. */
static void forget_refused(bus_asker *asker)
{
    const void *key;
    size_t at = 0, len, count = 0;
    void *value;
    entry **list = malloc(asker->entries.count * sizeof(entry *));
    while (list && bus_map_next(&asker->entries, &at, &key, &len, &value))
        if (forgettable(value))
            list[count++] = value;
    for (size_t i = 0; i < count; i++) {
        bus_map_remove(&asker->entries, list[i]->question, strlen(list[i]->question));
        free_entry(list[i]);
    }
    free(list);
    bus_count(&asker->metrics.forgotten, count);
    asker->refused = 0;
}

static entry *entry_of(bus_asker *asker, const char *question)
{
    size_t n = strlen(question);
    entry *found = bus_map_get(&asker->entries, question, n);
    if (found)
        return found;
    if (asker->refused >= REFUSED_MOST)
        forget_refused(asker);
    entry *made = calloc(1, sizeof *made + n + 1);
    if (!made)
        return NULL;
    memcpy(made->question, question, n);
    bus_framing_of_question(question, &made->framing);
    bus_backoff_init(&made->backoff, AGAIN_FIRST_MS, AGAIN_MOST_MS, n);
    if (!bus_map_put(&asker->entries, question, n, made)) {
        free(made);
        return NULL;
    }
    return made;
}

/* Somebody wants it: what was refused a while ago is due again. */
static void renew(bus_asker *asker, entry *e)
{
    if (e->state == ENTRY_REFUSED && e->due_us <= bus_clock_now_us())
        e->state = ENTRY_DUE;
    if (e->state == ENTRY_REFUSED)
        bus_count(&asker->metrics.negative_hits, 1);
    pthread_cond_broadcast(&asker->changed);
}

static bool is_known(bus_asker *asker, const entry *e)
{
    bus_count(&asker->metrics.hits, e->state == ENTRY_KNOWN);
    return e->state == ENTRY_KNOWN;
}

static void know_id(entry *e, uint32_t id)
{
    bus_framing_write_id(id, e->stamp.framing);
    snprintf(e->number, sizeof e->number, "%" PRIu32, id);
    e->stamp.question = e->question;
    e->stamp.answer = e->number;
    e->state = ENTRY_KNOWN;
}

/* The question about an id names the subject and the exact schema. It is never sent as it is. */
static char *id_question(const char *subject, const char *json)
{
    char text[BUS_ID_TEXT];
    bus_buf out;
    bus_part part = { json, strlen(json) };
    bus_id_of(&part, 1, text);
    bus_buf_init(&out, 0);
    bus_buf_printf(&out, "subjects/%s/%s", subject, text);
    return bus_buf_take(&out);
}

static entry *new_stamp(bus_asker *asker, const void *key, size_t len, const char *topic, const char *name, const char *json)
{
    char *subject = bus_registry_subject(asker->registry, topic, name);
    char *question = subject ? id_question(subject, json) : NULL;
    entry *e = question ? entry_of(asker, question) : NULL;
    if (e && !e->json) { /* several topics have one subject if it is named by the record alone */
        e->name = name;
        e->json = json;
        e->subject = subject;
        subject = NULL;
        const void *id = bus_map_get(&asker->recalled, question, strlen(question));
        if (id)
            know_id(e, (uint32_t)((uintptr_t)id - 1));
    }
    if (e && !bus_map_put(&asker->stamps, key, len, e))
        e = NULL;
    free(question);
    free(subject);
    return e;
}

/* NULL: no memory */
static entry *stamp_of(bus_asker *asker, const char *topic, const char *name, const char *json)
{
    unsigned char key[sizeof json + 256];
    size_t n = strnlen(topic, 250);
    memcpy(key, &json, sizeof json);
    memcpy(key + sizeof json, topic, n);
    entry *e = bus_map_get(&asker->stamps, key, sizeof json + n);
    return e ? e : new_stamp(asker, key, sizeof json + n, topic, name, json);
}

static bus_status not_yet(const entry *e, bus_error *err)
{
    bus_status refused = e->state == ENTRY_REFUSED && (e->why.status == BUS_SCHEMA || e->why.status == BUS_DENIED) ? e->why.status : BUS_MISSING;
    if (e->why.status)
        bus_fail(err, refused, "%.460s", e->why.text);
    else
        bus_fail(err, refused, "the schema registry is being asked for %.300s", e->json ? e->subject : e->question);
    if (err)
        err->retriable = refused == BUS_MISSING;
    return refused;
}

/* With the lock: until it is known or refused, or time is up. */
static bus_status await(bus_asker *asker, entry *e, bus_error *err)
{
    int64_t until_us = bus_clock_now_us() + asker->wait_us;
    renew(asker, e);
    e->waiters++;
    while (e->state == ENTRY_DUE && !atomic_load(&asker->quit) && bus_clock_now_us() < until_us)
        (void)bus_cond_wait(&asker->changed, &asker->lock, until_us);
    e->waiters--;
    return e->state == ENTRY_KNOWN ? BUS_OK : not_yet(e, err);
}

/* ---- what shards call */

static bus_status consider(bus_asker *asker, entry *e, bus_error *err)
{
    if (is_known(asker, e))
        return BUS_OK;
    if (asker->options.patient) {
        bus_status status = await(asker, e, err);
        asker->options.patient = status == BUS_OK;
        return status;
    }
    renew(asker, e);
    return not_yet(e, err);
}

static void want(bus_ids *ids, const bus_framing *framing, bus_error *err)
{
    bus_asker *asker = (bus_asker *)ids;
    char question[BUS_QUESTION];
    bus_framing_question(framing, question);
    pthread_mutex_lock(&asker->lock);
    entry *e = entry_of(asker, question);
    if (e)
        consider(asker, e, err);
    if (e && e->state == ENTRY_REFUSED && err)
        err->retriable = false; /* the registry has answered: it does not know it */
    pthread_mutex_unlock(&asker->lock);
}

static bus_status stamp(bus_ids *ids, const char *topic, const bus_type *type, const bus_stamp **out, bus_error *err)
{
    bus_asker *asker = (bus_asker *)ids;
    pthread_mutex_lock(&asker->lock);
    entry *e = stamp_of(asker, topic, type->name, type->json);
    bus_status status = e ? consider(asker, e, err) : bus_fail_nomem(err);
    if (status == BUS_OK)
        *out = &e->stamp;
    pthread_mutex_unlock(&asker->lock);
    return status;
}

static void recall(bus_ids *ids, const char *question, const char *answer)
{
    bus_asker *asker = (bus_asker *)ids;
    bus_framing framing;
    if (bus_framing_of_question(question, &framing)) { /* without memory it is asked once more */
        bus_catalog_bind(asker->options.catalog, &framing, answer, strlen(answer), NULL);
        return;
    }
    char *end;
    unsigned long long id = strtoull(answer, &end, 10);
    if (*end || end == answer || id > UINT32_MAX)
        return;
    pthread_mutex_lock(&asker->lock);
    entry *e = bus_map_get(&asker->entries, question, strlen(question));
    bus_map_put(&asker->recalled, question, strlen(question), (void *)(uintptr_t)(id + 1));
    if (e && e->state != ENTRY_KNOWN && e->json && !e->asking)
        know_id(e, (uint32_t)id);
    pthread_mutex_unlock(&asker->lock);
}

/* ---- the thread */

static void tell_refused(bus_asker *asker, const entry *e)
{
    char more[BUS_THROTTLE_TEXT];
    uint64_t hidden;
    if (bus_throttle_pass(&asker->refused_lines, bus_clock_now_us(), &hidden))
        bus_log(BUS_WARN, asker->options.where, "registry_refused", "%s%s", e->why.text, bus_throttle_text(hidden, more));
}

static void tell(bus_asker *asker, const entry *e, bus_status status)
{
    const char *where = asker->options.where;
    bool away = status == BUS_IO;
    if (away && !asker->away)
        bus_log(BUS_WARN, where, "registry_away", "%s; asking on, and what is known already goes on", e->why.text);
    else if (!away && status != BUS_OK && status != BUS_CANCELLED)
        tell_refused(asker, e);
    else if (!away && asker->away)
        bus_log(BUS_INFO, where, "registry_back", "the schema registry answers again");
    if (status != BUS_CANCELLED)
        asker->away = away;
}

/* With the lock, but for the time of the request. */
static void ask(bus_asker *asker, entry *e)
{
    bus_error err = { 0 };
    uint32_t id = 0;
    e->asking = true;
    bus_count(&asker->metrics.requests, 1);
    bus_count(&asker->metrics.misses, !e->asked);
    e->asked = true;
    pthread_mutex_unlock(&asker->lock);
    int64_t since_us = bus_clock_now_us();
    bus_status status = e->json ? bus_registry_id(asker->registry, asker->registers, e->subject, e->name, e->json, &id, &err)
                                : bus_registry_learn(asker->registry, e->question, &e->framing, asker->options.catalog, &err);
    pthread_mutex_lock(&asker->lock);
    bus_observe(&asker->metrics.request_time, bus_clock_now_us() - since_us);
    e->asking = false;
    e->why = err;
    if (status == BUS_OK && e->json) {
        know_id(e, id);
    } else if (status == BUS_OK) {
        e->state = ENTRY_KNOWN;
    } else if (err.retriable) {
        bus_count(&asker->metrics.errors, 1);
        e->due_us = bus_clock_now_us() + bus_backoff_next(&e->backoff) * 1000;
    } else {
        bus_count(&asker->metrics.refused, 1);
        e->state = ENTRY_REFUSED;
        asker->refused += !e->json;
        e->due_us = bus_clock_now_us() + asker->unknown_us;
    }
    tell(asker, e, status);
    pthread_cond_broadcast(&asker->changed);
    bool refused = status == BUS_SCHEMA && e->expected;
    pthread_mutex_unlock(&asker->lock);
    if (refused && asker->options.refused)
        asker->options.refused(&err, asker->options.opaque);
    if (status == BUS_OK && asker->options.news)
        asker->options.news(asker->options.opaque);
    pthread_mutex_lock(&asker->lock);
}

static entry *next_due(bus_asker *asker)
{
    const void *key;
    size_t at = 0, len;
    void *value;
    entry *first = NULL;
    while (bus_map_next(&asker->entries, &at, &key, &len, &value)) {
        entry *e = value;
        if (e->state == ENTRY_DUE && (!first || e->due_us < first->due_us))
            first = e;
    }
    return first;
}

static void *asker_main(void *arg)
{
    bus_asker *asker = arg;
    pthread_mutex_lock(&asker->lock);
    while (!atomic_load(&asker->quit)) {
        entry *e = next_due(asker);
        if (e && e->due_us <= bus_clock_now_us())
            ask(asker, e);
        else if (e)
            (void)bus_cond_wait(&asker->changed, &asker->lock, e->due_us);
        else
            pthread_cond_wait(&asker->changed, &asker->lock);
    }
    pthread_mutex_unlock(&asker->lock);
    return NULL;
}

/* ---- open and close */

bus_status bus_asker_open(const bus_asker_options *options, bus_asker **out, bus_error *err)
{
    const bus_config *config = options->config;
    bool confluent = strcmp(bus_config_text(config, "framing"), "confluent") == 0;
    if (!*bus_config_text(config, "registry.url")) {
        if (confluent)
            return bus_fail(err, BUS_CONFIG, "framing = confluent needs a schema registry, whose ids it writes: set registry.url");
        *out = NULL;
        return BUS_OK;
    }
    bus_asker *asker = calloc(1, sizeof *asker);
    if (!asker)
        return bus_fail_nomem(err);
    asker->options = *options;
    asker->confluent = confluent;
    asker->registers = bus_config_int(config, "registry.register");
    asker->unknown_us = bus_config_int(config, "registry.unknown.ms") * 1000;
    asker->wait_us = bus_config_int(config, "registry.timeout.ms") * 2000;
    asker->ids = (bus_ids){ .want = want, .stamp = confluent ? stamp : NULL, .recall = recall };
    bus_cond_init(&asker->changed);
    pthread_mutex_init(&asker->lock, NULL);
    bus_map_init(&asker->entries);
    bus_map_init(&asker->stamps);
    bus_map_init(&asker->recalled);
    bus_status status = bus_registry_open(config, stopping, asker, &asker->registry, err);
    if (status == BUS_OK) {
        int failed = pthread_create(&asker->thread, NULL, asker_main, asker);
        asker->started = !failed;
        if (failed)
            status = bus_fail(err, BUS_IO, "cannot start a thread: %s; raise ulimit -u", strerror(failed));
    }
    if (status != BUS_OK) {
        bus_asker_close(asker);
        return status;
    }
    *out = asker;
    return BUS_OK;
}

void bus_asker_close(bus_asker *asker)
{
    if (!asker)
        return;
    pthread_mutex_lock(&asker->lock);
    atomic_store(&asker->quit, true);
    pthread_cond_broadcast(&asker->changed);
    pthread_mutex_unlock(&asker->lock);
    if (asker->started)
        pthread_join(asker->thread, NULL);
    bus_registry_close(asker->registry);
    bus_map_free(&asker->stamps, NULL);
    bus_map_free(&asker->recalled, NULL);
    bus_map_free(&asker->entries, free_entry);
    pthread_cond_destroy(&asker->changed);
    pthread_mutex_destroy(&asker->lock);
    free(asker);
}

bus_ids *bus_asker_ids(bus_asker *asker)
{
    return asker ? &asker->ids : NULL;
}

const bus_asker_metrics *bus_asker_metrics_of(const bus_asker *asker)
{
    return &asker->metrics;
}

/* ---- callers that may wait */

bus_status bus_asker_expect(bus_asker *asker, const char *topic, const bus_type *type, bus_error *err)
{
    if (!asker || !asker->confluent)
        return BUS_OK;
    pthread_mutex_lock(&asker->lock);
    entry *e = stamp_of(asker, topic, type->name, type->json);
    if (e)
        e->expected = true;
    pthread_cond_broadcast(&asker->changed);
    pthread_mutex_unlock(&asker->lock);
    return e ? BUS_OK : bus_fail_nomem(err);
}

bus_status bus_asker_stamp(bus_asker *asker, const char *topic, const char *name, const char *json, const bus_stamp **out, bus_error *err)
{
    if (!asker || !asker->confluent) {
        *out = NULL;
        return BUS_OK;
    }
    pthread_mutex_lock(&asker->lock);
    entry *e = stamp_of(asker, topic, name, json);
    bus_status status = !e ? bus_fail_nomem(err) : is_known(asker, e) ? BUS_OK : await(asker, e, err);
    if (status == BUS_OK)
        *out = &e->stamp;
    pthread_mutex_unlock(&asker->lock);
    return status;
}

bus_status bus_asker_wait(bus_asker *asker, const bus_framing *framing, bus_error *err)
{
    char question[BUS_QUESTION];
    if (!asker || !framing->reference_len || bus_catalog_writer(asker->options.catalog, framing))
        return BUS_OK;
    bus_framing_question(framing, question);
    pthread_mutex_lock(&asker->lock);
    entry *e = entry_of(asker, question);
    bus_status status = e ? await(asker, e, err) : bus_fail_nomem(err);
    pthread_mutex_unlock(&asker->lock);
    return status;
}
