/* SPDX-License-Identifier: MIT
 * Redrive: commands about dead letters. The redrive topic's log settles races: the second one finds the round stale. */
#include "ops/redrive.h"
#include "base/arena.h"
#include "base/error.h"
#include "codec/size.h"
#include "kafka/lag.h"
#include "kafka/publisher.h"
#include "ops/bodies.h"
#include "ops/commands.h"
#include "ops/instances.h"
#include "ops/takes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct sender {
    bui_kafka_publisher *publisher;
    bui_arena arena;
    bui_command command;
    bui_deadletter_outcome *outcomes;
    size_t from, to; /* those of the service at hand */
    int64_t sent, total;
    const bui_watch *watch;
    const bus_config *config;
    int timeout_ms;
    int64_t most; /* largest record of the topic */
    char topic[260];
} sender;

bool bui_outcome_final(const bui_deadletter_outcome *outcome)
{
    const bui_dead *dead = outcome->dead;
    return !outcome->sent || dead->round > outcome->round || dead->state == BUI_DEADLETTER_RESOLVED ||
           dead->state == BUI_DEADLETTER_DISCARDED;
}

bool bui_outcomes_final(const bui_deadletter_outcome *outcomes, size_t count, size_t *known)
{
    while (*known < count && bui_outcome_final(&outcomes[*known]))
        ++*known;
    return *known == count;
}

const char *bui_outcome_word(const bui_deadletter_outcome *outcome, bui_command_kind kind)
{
    const bui_dead *dead = outcome->dead;
    if (outcome->status == BUS_MISSING)
        return "expired";
    if (outcome->status == BUS_REFUSED)
        return dead->state == BUI_DEADLETTER_REDRIVEN   ? "already redriven"
               : dead->state == BUI_DEADLETTER_RESOLVED ? "already resolved"
                                                        : "already discarded";
    if (!outcome->sent)
        return "not sent";
    if (dead->round > outcome->round)
        return "failed again";
    if (dead->state == BUI_DEADLETTER_OPEN)
        return "sent";
    if (dead->state == BUI_DEADLETTER_REDRIVEN)
        return kind == BUI_COMMAND_REDRIVE ? "accepted" : "already redriven";
    if (dead->state == BUI_DEADLETTER_DISCARDED)
        return kind == BUI_COMMAND_DISCARD ? "discarded" : "already discarded";
    return kind == BUI_COMMAND_REDRIVE ? "resolved" : "already resolved";
}

static void published(void *opaque, bus_status status, int32_t partition, int64_t offset, const bus_error *err)
{
    bui_deadletter_outcome *outcome = opaque;
    (void)partition;
    (void)offset;
    outcome->status = status;
    outcome->sent = status == BUS_OK;
    snprintf(outcome->text, sizeof outcome->text, "%s", status != BUS_OK && err ? err->text : "");
}

static int by_service(const void *a, const void *b)
{
    const bui_deadletter_outcome *x = a, *y = b;
    return strcmp(x->dead->service, y->dead->service);
}

/* By service, and within it by address, so that a dead letter's outcome is found by halving. */
static int by_letter(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const bui_deadletter_outcome *)a)->dead, y = (uintptr_t)((const bui_deadletter_outcome *)b)->dead;
    int order = by_service(a, b);
    return order ? order : x < y ? -1 : x > y;
}

static bui_deadletter_outcome *outcome_of(const sender *s, bui_dead *dead)
{
    bui_deadletter_outcome key = { .dead = dead };
    return bsearch(&key, s->outcomes + s->from, s->to - s->from, sizeof key, by_letter);
}

/* The command about a dead letter, with the event that `event` (NULL: nobody) has. */
static bus_status make_row(sender *s, const bui_dead *dead, const bui_record *letter, const bui_record *event,
                           const bui_body_place *body, bui_row *row, bus_error *err)
{
    bus_header *headers;
    size_t count;
    bui_arena_reset(&s->arena);
    s->command.event = event;
    s->command.body = body;
    bus_status status = bui_command_headers(&s->command, letter, &s->arena, &headers, &count, err);
    if (status != BUS_OK)
        return status;
    *row = (bui_row){ .topic = s->topic,
                      .partition = dead->shard,
                      .key = letter->key,
                      .key_len = letter->key_len,
                      .headers = headers,
                      .header_count = count };
    if (event) {
        row->key = event->key;
        row->key_len = event->key_len;
        row->value = event->value;
        row->value_len = event->value_len;
    }
    return BUS_OK;
}

static bool fits(const sender *s, const bui_row *row)
{
    return bui_record_size(row->key, row->key_len, row->value, row->value_len, row->headers, row->header_count) <= s->most;
}

static bui_body_place place_of(const char *topic, int32_t partition, int64_t offset)
{
    return (bui_body_place){ BUI_BODY_AT, { topic, strlen(topic) }, partition, offset };
}

/* A dead letter has its event; or it says that it is a tombstone; or it does not carry it: then the event is read where it
 * was. A command that cannot carry it either says where it is, and the service takes it from its store. BUS_MISSING: it is
 * nowhere, or might be. */
static bus_status row_of(sender *s, const bui_dead *dead, const bui_record *letter, bui_original *original, bui_row *row,
                         bus_error *err)
{
    bui_body_place none = { .kind = BUI_BODY_NONE }, at;
    if (letter->value) {
        bus_status status = make_row(s, dead, letter, letter, NULL, row, err);
        if (status != BUS_OK || fits(s, row))
            return status;
        at = place_of(letter->topic, letter->partition, letter->offset);
        return make_row(s, dead, letter, NULL, &at, row, err);
    }
    if (dead->body == BUI_BODY_NONE)
        return make_row(s, dead, letter, letter, &none, row, err);
    bus_status status = bui_original_read(s->config, dead, s->timeout_ms, original, err);
    bool unsaid = dead->body == BUI_BODY_UNSAID && !dead->held; /* by an older version, which left the value out without a word */
    if (status == BUS_OK && (original->record->value || unsaid)) {
        status = make_row(s, dead, letter, original->record, original->record->value ? NULL : &none, row, err);
        if (status != BUS_OK || fits(s, row))
            return status;
    } else if (unsaid) {
        return status;
    }
    at = place_of(dead->topic, dead->partition, dead->offset < 0 ? 0 : dead->offset);
    return make_row(s, dead, letter, NULL, &at, row, err);
}

static bus_status send_one(void *opaque, bui_dead *dead, const bui_record *record, bus_error *err)
{
    sender *s = opaque;
    bui_deadletter_outcome *outcome = outcome_of(s, dead);
    bui_original original = { NULL, NULL };
    bui_row row;
    bus_status status;
    if (!outcome || outcome->status != BUS_MISSING)
        return BUS_OK;
    s->command.id = dead->id;
    s->command.round = dead->round;
    bus_error why = { 0 };
    status = s->command.kind == BUI_COMMAND_DISCARD ? make_row(s, dead, record, NULL, NULL, &row, &why)
                                                    : row_of(s, dead, record, &original, &row, &why);
    if (status != BUS_OK) { /* this dead letter alone */
        bui_original_close(&original);
        snprintf(outcome->text, sizeof outcome->text, "%.199s", why.text);
        if (err && status == BUS_NOMEM)
            *err = why;
        return status == BUS_NOMEM ? status : BUS_OK;
    }
    outcome->status = BUS_CANCELLED; /* until the broker has said otherwise */
    while ((status = bui_kafka_publish(s->publisher, &row, published, outcome, &why)) == BUS_FULL && !bui_watch_stop(s->watch))
        bui_kafka_publisher_poll(s->publisher, 100);
    if (status != BUS_OK && status != BUS_FULL)
        published(outcome, status, 0, 0, &why);
    bui_original_close(&original);
    bui_kafka_publisher_poll(s->publisher, 0);
    s->sent++;
    bui_watch_step(s->watch, s->sent, s->sent, s->total);
    return BUS_OK;
}

/* What is not open gets its answer here; what is, stands as "expired" until its record has been read. */
static int64_t prepare(bui_deadletter_outcome *outcomes, size_t count)
{
    int64_t open = 0;
    for (size_t i = 0; i < count; i++) {
        bui_deadletter_outcome *outcome = &outcomes[i];
        bool is_open = bui_dead_is_open(outcome->dead);
        outcome->round = outcome->dead->round;
        outcome->sent = outcome->stopped = false;
        outcome->status = is_open ? BUS_MISSING : BUS_REFUSED;
        snprintf(outcome->text, sizeof outcome->text, "%s",
                 is_open ? "its record is no longer in the topic" : "it is no longer open");
        open += is_open;
    }
    return open;
}

/* Does anybody take commands there? A service that was renamed, or that nobody runs, would leave them unread without a word. */
typedef enum taker { RUNS, STOPPED, GONE } taker;

/* A process that was stopped stays a member until its session ends; its last heartbeat says that it has ended. */
static bool all_ended(const bus_config *config, const char *service, int timeout_ms)
{
    bui_instances instances = { 0 };
    bus_error ignored = { 0 };
    size_t known = 0, ended = 0;
    if (bui_instances_read(config, timeout_ms, NULL, &instances, &ignored) != BUS_OK)
        return false;
    for (size_t i = 0; i < instances.count; i++)
        if (!strcmp(instances.list[i].service, service)) {
            known++;
            ended += !strcmp(instances.list[i].state, "ended");
        }
    bui_instances_free(&instances);
    return known && known == ended;
}

static taker taker_of(const bus_config *config, const char *service, int timeout_ms)
{
    bui_kafka_group *groups = NULL;
    bui_kafka_lag *lag = NULL;
    size_t count = 0, commits = 0;
    bool members = false;
    bus_error ignored = { 0 };
    if (bui_kafka_groups(config, "bus-redrive", service, timeout_ms, &groups, &count, &ignored) != BUS_OK)
        return RUNS; /* a service that cannot be asked is not blamed */
    for (size_t i = 0; i < count; i++)
        members |= !strcmp(groups[i].name, service) && groups[i].members > 0;
    free(groups);
    if (members && !all_ended(config, service, timeout_ms))
        return RUNS;
    if (bui_kafka_lag_read(config, "bus-redrive", service, NULL, 0, false, timeout_ms, &lag, &commits, &ignored) != BUS_OK)
        return RUNS;
    free(lag);
    return commits ? STOPPED : GONE;
}

static void refuse_service(sender *s, const char *service)
{
    for (size_t i = s->from; i < s->to; i++)
        if (s->outcomes[i].status == BUS_MISSING) {
            s->outcomes[i].status = BUS_INVALID;
            snprintf(s->outcomes[i].text, sizeof s->outcomes[i].text,
                     "nobody takes commands as %.60s: no process is in that group, and it has "
                     "no offsets. Was it renamed? Start it under this name first",
                     service);
        }
}

static bus_status send_service(sender *s, bui_dlq *dlq, bus_error *err)
{
    size_t wanted = 0;
    bui_dead **letters = calloc(s->to - s->from, sizeof(bui_dead *));
    if (!letters)
        return bui_fail_nomem(err);
    for (size_t i = s->from; i < s->to; i++)
        if (s->outcomes[i].status == BUS_MISSING)
            letters[wanted++] = s->outcomes[i].dead;
    snprintf(s->topic, sizeof s->topic, "%s.redrive", s->outcomes[s->from].dead->service);
    s->most = bui_topic_takes(s->config, "bus-redrive", s->topic, s->timeout_ms);
    bus_status status = bui_dlq_records(dlq, letters, wanted, send_one, s, NULL, err);
    free(letters);
    return status;
}

/* False: refused, nobody would read it. */
static bool send_to(sender *s, const bus_config *config, int timeout_ms)
{
    const char *service = s->outcomes[s->from].dead->service;
    taker who = taker_of(config, service, timeout_ms);
    for (size_t i = s->from; i < s->to; i++)
        s->outcomes[i].stopped = who == STOPPED;
    if (who == GONE)
        refuse_service(s, service);
    return who != GONE;
}

bus_status bui_redrive(bui_dlq *dlq, const bus_config *config, bui_command_kind kind, const char *reason, const char *by,
                       bui_deadletter_outcome *outcomes, size_t count, int timeout_ms, const bui_watch *watch, bus_error *err)
{
    sender s = { .command = { .kind = kind, .reason = reason, .by = by },
                 .outcomes = outcomes,
                 .watch = watch,
                 .config = config,
                 .timeout_ms = timeout_ms };
    bus_error late = { 0 };
    qsort(outcomes, count, sizeof *outcomes, by_letter);
    s.total = prepare(outcomes, count);
    if (!s.total)
        return BUS_OK;
    bui_arena_init(&s.arena, 0);
    bus_status status = bui_kafka_publisher_open(config, "bus-redrive", NULL, NULL, &s.publisher, err);
    for (s.from = 0; status == BUS_OK && s.from < count; s.from = s.to) {
        for (s.to = s.from + 1; s.to < count && !by_service(&outcomes[s.from], &outcomes[s.to]); s.to++)
            ;
        if (bui_watch_stop(watch))
            status = bui_fail(err, BUS_CANCELLED, "interrupted before everything was sent");
        else if (send_to(&s, config, timeout_ms))
            status = send_service(&s, dlq, err);
    }
    if (s.publisher) {
        if (bui_kafka_publisher_flush(s.publisher, timeout_ms, &late) == BUS_TIMEOUT && status == BUS_OK)
            status = bui_fail(err, BUS_TIMEOUT,
                              "the broker has not acknowledged all commands in time: look again with "
                              "`bus dlq list`, then repeat; repeating a command does no harm");
        bui_kafka_publisher_close(s.publisher, 0);
    }
    bui_arena_free(&s.arena);
    return status;
}
