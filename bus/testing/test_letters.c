/* SPDX-License-Identifier: MIT
 * bus_test_*, dead letters: what they tell, and an operator's word about them, as `bus dlq` sends it. */
#include "testing/test_internal.h"

#include "base/error.h"
#include "ops/commands.h"
#include "ops/deadletters.h"
#include <stdio.h>
#include <string.h>

#define TOPIC_MOST 260

static void topic_of(const bus_test *test, const char *ending, char out[TOPIC_MOST])
{
    snprintf(out, TOPIC_MOST, "%s.%s", test->service->name, ending);
}

/* All there is on <service>.dlq, folded; NULL: no memory. */
static bui_dead_fold *fold_all(const bus_test *test)
{
    char topic[TOPIC_MOST];
    bui_record record;
    bui_dead_fold *fold = bui_dead_fold_new();
    topic_of(test, "dlq", topic);
    for (uint64_t after = 0; fold && test_next_record(test, topic, &after, &record);)
        if (bui_dead_fold_add(fold, test->service->name, &record, NULL) != BUS_OK) {
            bui_dead_fold_free(fold);
            return NULL;
        }
    return fold;
}

static const char *kept(bus_test *test, const char *text)
{
    const char *copy = bui_arena_copy(&test->arena, text, strlen(text));
    return copy ? copy : "";
}

/* The event where it was first; a letter of what nobody has any more shows the letter's own record. */
static bool event_of(const bus_test *test, const bui_dead *dead, bui_record *out)
{
    char topic[TOPIC_MOST];
    topic_of(test, "dlq", topic);
    return bui_memory_read(test->world->cluster, dead->topic, dead->partition, dead->offset, out) ||
           bui_memory_read(test->world->cluster, topic, dead->shard, dead->record, out);
}

const bus_test_letter *bus_test_letter_at(bus_test *test, size_t at)
{
    bui_dead_fold *fold = fold_all(test);
    bus_test_letter *letter = NULL;
    bui_record record;
    const bui_dead *dead = fold && at < bui_dead_count(fold) ? bui_dead_at(fold, at) : NULL;
    if (dead && (letter = bui_arena_zero(&test->arena, sizeof *letter)))
        *letter = (bus_test_letter){ .id = kept(test, dead->id),
                                     .state = bui_deadletter_state_name(dead->state),
                                     .round = dead->round,
                                     .error_class = kept(test, dead->error_class),
                                     .error = kept(test, dead->error_message),
                                     .attempts = (int)dead->attempts,
                                     .holds_key = bui_dead_holds(dead),
                                     .event = event_of(test, dead, &record) ? test_event_of(test, &record) : NULL };
    bui_dead_fold_free(fold);
    return letter;
}

/* As bui_redrive makes it: the letter's event goes along, or the one that it was made of. */
static bus_status send_command(bus_test *test, bui_command_kind kind, const bui_dead *dead, bus_error *err)
{
    char dlq[TOPIC_MOST], redrive[TOPIC_MOST];
    const bui_body_place none = { .kind = BUI_BODY_NONE };
    bui_command command = { .kind = kind, .id = dead->id, .round = dead->round, .reason = "bus_test", .by = "test" };
    bui_record letter, original;
    bus_header *headers;
    size_t count;
    topic_of(test, "dlq", dlq);
    topic_of(test, "redrive", redrive);
    if (!bui_memory_read(test->world->cluster, dlq, dead->shard, dead->record, &letter))
        return bui_fail(err, BUS_MISSING, "the record of letter %s is no longer on %s", dead->id, dlq);
    if (kind == BUI_COMMAND_REDRIVE) {
        bool elsewhere = !letter.value && dead->body != BUI_BODY_NONE &&
                         bui_memory_read(test->world->cluster, dead->topic, dead->partition, dead->offset, &original);
        command.event = elsewhere ? &original : &letter;
        command.body = command.event->value ? NULL : &none;
    }
    bus_status status = bui_command_headers(&command, &letter, &test->arena, &headers, &count, err);
    if (status != BUS_OK)
        return status;
    const bui_record *event = command.event;
    const bui_row row = { .key = letter.key,
                          .key_len = letter.key_len,
                          .value = event ? event->value : NULL,
                          .value_len = event ? event->value_len : 0,
                          .headers = headers,
                          .header_count = count };
    return bui_memory_append(test->world->cluster, redrive, dead->shard, &row) < 0 ? bui_fail_nomem(err) : BUS_OK;
}

static bus_status command_one(bus_test *test, bui_command_kind kind, const bui_dead *dead, const char *id, bus_error *err)
{
    if (!dead)
        return bui_fail(err, BUS_MISSING, "service %s has no dead letter %s", test->service->name, id);
    if (!bui_dead_is_open(dead))
        return bui_fail(err, BUS_REFUSED, "letter %s is %s already", id, bui_deadletter_state_name(dead->state));
    return send_command(test, kind, dead, err);
}

static bus_status command_all(bus_test *test, bui_command_kind kind, bui_dead_fold *fold, bus_error *err)
{
    size_t open = 0;
    bus_status status = BUS_OK;
    for (size_t i = 0; status == BUS_OK && i < bui_dead_count(fold); i++) {
        const bui_dead *dead = bui_dead_at(fold, i);
        if (!bui_dead_is_open(dead))
            continue;
        open++;
        status = send_command(test, kind, dead, err);
    }
    return status != BUS_OK || open > 0 ? status
                                        : bui_fail(err, BUS_MISSING, "service %s has no open dead letter", test->service->name);
}

static bus_status command(bus_test *test, bui_command_kind kind, const char *id, bus_error *err)
{
    bui_dead_fold *fold = fold_all(test);
    if (!fold)
        return bui_fail_nomem(err);
    bus_status status = id ? command_one(test, kind, bui_dead_find(fold, id, NULL), id, err) : command_all(test, kind, fold, err);
    bui_dead_fold_free(fold);
    return status;
}

bus_status bus_test_redrive(bus_test *test, const char *id, bus_error *err)
{
    return command(test, BUI_COMMAND_REDRIVE, id, err);
}

bus_status bus_test_discard(bus_test *test, const char *id, bus_error *err)
{
    return command(test, BUI_COMMAND_DISCARD, id, err);
}
