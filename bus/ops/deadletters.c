/* SPDX-License-Identifier: MIT
 * Dead letters: the fold over `<service>.dlq`. */
#include "ops/deadletters.h"
#include "base/arena.h"
#include "base/array.h"
#include "base/error.h"
#include "base/id.h"
#include "base/map.h"
#include "ops/places.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bui_dead_fold {
    bui_arena arena;
    bui_map by_id; /* "service/id" -> bui_dead */
    bui_dead **list;
    size_t count, cap, foreign, forged, copied;
    const bui_keys *keys;
    bool failed; /* no memory since the last add */
};

bui_dead_fold *bui_dead_fold_new(void)
{
    bui_dead_fold *fold = calloc(1, sizeof *fold);
    if (!fold)
        return NULL;
    bui_arena_init(&fold->arena, 0);
    bui_map_init(&fold->by_id);
    return fold;
}

void bui_dead_fold_free(bui_dead_fold *fold)
{
    if (!fold)
        return;
    bui_map_free(&fold->by_id, NULL);
    bui_arena_free(&fold->arena);
    free(fold->list);
    free(fold);
}

size_t bui_dead_count(const bui_dead_fold *fold)
{
    return fold->count;
}

void bui_dead_fold_trust(bui_dead_fold *fold, const bui_keys *keys)
{
    fold->keys = keys;
}

size_t bui_dead_forged(const bui_dead_fold *fold)
{
    return fold->forged;
}

size_t bui_dead_copied(const bui_dead_fold *fold)
{
    return fold->copied;
}

size_t bui_dead_foreign(const bui_dead_fold *fold)
{
    return fold->foreign;
}

bui_dead *bui_dead_at(const bui_dead_fold *fold, size_t at)
{
    return at < fold->count ? fold->list[at] : NULL;
}

bui_dead *bui_dead_find(const bui_dead_fold *fold, const char *id, size_t *matches)
{
    bui_dead *found = NULL;
    size_t count = 0;
    for (size_t i = 0; i < fold->count; i++) {
        const char *known = fold->list[i]->id;
        bool exact = !strcmp(known, id);
        if (!exact && !bui_letter_is(known, id))
            continue;
        found = fold->list[i];
        count++;
        if (exact) {
            count = 1;
            break;
        }
    }
    if (matches)
        *matches = count;
    return count == 1 ? found : NULL;
}

static const char *keep(bui_dead_fold *fold, const void *bytes, size_t len)
{
    if (!bytes || !len)
        return "";
    const char *copy = bui_arena_copy(&fold->arena, bytes, len);
    if (!copy)
        fold->failed = true;
    return copy ? copy : "";
}

/* Keeps the known text if the new one is the same: a dead letter redriven many times costs its texts once. */
static const char *keep_if_other(bui_dead_fold *fold, const char *known, bui_slice text)
{
    if (!text.at || (known && bui_slice_is(text, known)))
        return known ? known : "";
    return keep(fold, text.at, text.len);
}

static bui_dead *letter_of(bui_dead_fold *fold, const char *service, const bui_envelope *envelope)
{
    char name[600];
    int len = snprintf(name, sizeof name, "%s/%.*s", service, (int)envelope->letter_id.len, envelope->letter_id.at);
    if (len < 0 || (size_t)len >= sizeof name)
        return NULL;
    bui_dead *dead = bui_map_get(&fold->by_id, name, (size_t)len);
    if (dead)
        return dead;
    if (!bui_array_room(&fold->list, &fold->cap, fold->count + 1, sizeof *fold->list, 64))
        return NULL;
    dead = bui_arena_zero(&fold->arena, sizeof *dead);
    if (!dead)
        return NULL;
    /* The service's name is one text for all its letters. */
    const char *known = fold->count ? fold->list[fold->count - 1]->service : NULL;
    dead->service = known && !strcmp(known, service) ? known : keep(fold, service, strlen(service));
    dead->id = keep(fold, envelope->letter_id.at, envelope->letter_id.len);
    dead->type = dead->event_id = dead->topic = dead->error_class = dead->error_message = dead->replay = "";
    dead->record = BUI_OFFSET_NONE;
    dead->offset = BUI_OFFSET_NONE;
    if (fold->failed || !bui_map_put(&fold->by_id, name, (size_t)len, dead))
        return NULL;
    fold->list[fold->count++] = dead;
    return dead;
}

/* What a record that carries the event says of it. */
static void take_event(bui_dead_fold *fold, bui_dead *dead, const bui_envelope *envelope, const bui_record *record)
{
    bui_slice topic = bui_record_header(record, "__dlq.errors.topic");
    dead->record = record->offset;
    dead->body = envelope->body.kind;
    bui_slice run = bui_record_header(record, BUI_HEADER_REPLAY);
    if (run.at)
        dead->replay = keep_if_other(fold, dead->replay, run);
    dead->type = keep_if_other(fold, dead->type, envelope->type);
    dead->event_id = keep_if_other(fold, dead->event_id, envelope->id);
    if (envelope->orig.topic.at) {
        dead->topic = keep_if_other(fold, dead->topic, envelope->orig.topic);
        dead->partition = envelope->orig.partition;
        dead->offset = envelope->orig.offset;
        dead->timestamp = envelope->orig.timestamp;
    } else if (topic.at) {
        dead->topic = keep_if_other(fold, dead->topic, topic);
        dead->partition = (int32_t)bui_record_number(record, "__dlq.errors.partition", 0);
        dead->offset = bui_record_number(record, "__dlq.errors.offset", BUI_OFFSET_NONE);
    }
    if (record->key && !dead->key) {
        dead->key = keep(fold, record->key, record->key_len); /* "" for an empty key, which is not no key */
        dead->key_len = record->key_len;
    }
}

static void take_failure(bui_dead_fold *fold, bui_dead *dead, const bui_envelope *envelope, const bui_record *record)
{
    dead->error_class = keep_if_other(fold, dead->error_class, envelope->error_class);
    dead->error_message = keep_if_other(fold, dead->error_message, envelope->error_message);
    dead->attempts = bui_record_number(record, "__dlq.errors.delivery.count", dead->attempts);
    dead->first_failed =
        bui_record_number(record, BUI_HEADER_FIRST_FAILED, dead->first_failed ? dead->first_failed : record->timestamp);
    dead->last_failed = bui_record_number(record, BUI_HEADER_LAST_FAILED, record->timestamp);
}

static bool take_change(bui_dead_fold *fold, bui_dead *dead, const bui_envelope *envelope, const bui_record *record)
{
    char error[600] = "";
    bui_slice reason = bui_record_header(record, BUI_HEADER_REASON), by = bui_record_header(record, BUI_HEADER_OPERATOR);
    bui_dead_change *change = bui_arena_zero(&fold->arena, sizeof *change);
    if (!change)
        return false;
    if (envelope->letter == BUI_DEADLETTER_OPEN && (envelope->error_class.at || envelope->error_message.at))
        snprintf(error, sizeof error, "%.*s: %.*s", (int)envelope->error_class.len,
                 envelope->error_class.at ? envelope->error_class.at : "", (int)envelope->error_message.len,
                 envelope->error_message.at ? envelope->error_message.at : "");
    *change = (bui_dead_change){ .at = record->timestamp,
                                 .offset = record->offset,
                                 .round = envelope->letter_round,
                                 .state = envelope->letter,
                                 .error = keep(fold, error, strlen(error)),
                                 .reason = keep(fold, reason.at, reason.len),
                                 .by = keep(fold, by.at, by.len) };
    if (dead->last_change)
        dead->last_change->next = change;
    else
        dead->changes = change;
    dead->last_change = change;
    return !fold->failed;
}

bus_status bui_dead_fold_add(bui_dead_fold *fold, const char *service, const bui_record *record, bus_error *err)
{
    bui_envelope envelope;
    if (bui_envelope_read(record->headers, record->header_count, &envelope, NULL) != BUS_OK ||
        envelope.letter == BUI_DEADLETTER_NONE || !bui_is_letter_id(envelope.letter_id.at, envelope.letter_id.len)) {
        fold->foreign++;
        return BUS_OK;
    }
    bool copied = envelope.hop.topic.at && !bui_slice_is(envelope.hop.topic, record->topic);
    if (copied) { /* the service that was meant to have it goes by its own topic, and no other knows the dead letter */
        fold->copied++;
        return BUS_OK;
    }
    if (!bui_record_authentic(fold->keys, record, service, NULL)) {
        fold->forged++;
        return BUS_OK;
    }
    fold->failed = false;
    bui_dead *dead = letter_of(fold, service, &envelope);
    if (!dead)
        return bui_fail_nomem(err);
    bool known = dead->changes != NULL;
    if (known &&
        (envelope.letter_round < dead->round || (envelope.letter_round == dead->round && envelope.letter <= dead->state)))
        return BUS_OK;
    /* Only opening begins a round; whatever else names another than the dead letter's would hide what comes. */
    if (known && envelope.letter != BUI_DEADLETTER_OPEN && envelope.letter_round != dead->round) {
        fold->forged++;
        return BUS_OK;
    }
    dead->shard = record->partition;
    dead->round = envelope.letter_round;
    dead->state = envelope.letter;
    /* A topic whose beginning has expired may start with a later change: better its copy of the event than none. */
    if (envelope.letter == BUI_DEADLETTER_OPEN || dead->record == BUI_OFFSET_NONE)
        take_event(fold, dead, &envelope, record);
    if (envelope.letter == BUI_DEADLETTER_OPEN) {
        take_failure(fold, dead, &envelope, record);
        dead->held = bui_slice_is(bui_record_header(record, BUI_HEADER_HELD), BUI_HELD_YES);
    }
    if (!take_change(fold, dead, &envelope, record) || fold->failed)
        return bui_fail_nomem(err);
    return BUS_OK;
}

bool bui_dead_matches(const bui_dead *dead, const bui_dead_filter *filter)
{
    if (!filter)
        return true;
    if (filter->states && !(filter->states & (1u << dead->state)))
        return false;
    if (filter->type && strcmp(filter->type, dead->type) != 0)
        return false;
    if (filter->topic && strcmp(filter->topic, dead->topic) != 0)
        return false;
    if (filter->error) {
        char whole[600];
        snprintf(whole, sizeof whole, "%s: %s", dead->error_class, dead->error_message);
        if (!strstr(whole, filter->error))
            return false;
    }
    if (filter->key && (!dead->key || dead->key_len != filter->key_len || memcmp(dead->key, filter->key, filter->key_len) != 0))
        return false;
    return dead->last_failed >= filter->since && (!filter->until || dead->last_failed < filter->until);
}

void bui_error_pattern(const char *error_class, const char *message, char *out, size_t cap)
{
    char whole[600];
    size_t at = 0;
    snprintf(whole, sizeof whole, "%s%s%s", error_class, *error_class && *message ? ": " : "", message);
    for (const char *word = whole; *word && at + 1 < cap;) {
        size_t len = 0;
        bool digit = false;
        while (isalnum((unsigned char)word[len]) || word[len] == '_' || (word[len] == '-' && len)) {
            digit |= isdigit((unsigned char)word[len]) != 0;
            len++;
        }
        if (digit) {
            out[at++] = '#';
        } else {
            size_t n = len ? len : 1;
            n = n < cap - 1 - at ? n : cap - 1 - at;
            memcpy(out + at, word, n);
            at += n;
        }
        word += len ? len : 1;
    }
    out[at] = 0;
}

static int larger_first(const void *a, const void *b)
{
    const bui_dead_group *x = a, *y = b;
    if (x->letters != y->letters)
        return x->letters < y->letters ? 1 : -1;
    int order = strcmp(x->service ? x->service : "", y->service ? y->service : "");
    return order ? order : strcmp(x->type ? x->type : "", y->type ? y->type : "");
}

static void count_in(bui_dead_group *group, const bui_dead *dead)
{
    if (!group->letters || dead->first_failed < group->first)
        group->first = dead->first_failed;
    if (!group->letters || dead->last_failed > group->last)
        group->last = dead->last_failed;
    group->letters++;
    group->by_state[dead->state]++;
    group->held += bui_dead_holds(dead);
}

bus_status bui_dead_group_by(bui_dead_fold *fold, unsigned by, const bui_dead_filter *filter, bui_dead_group **out, size_t *count,
                             bus_error *err)
{
    bui_map index;
    bui_dead_group *groups = NULL;
    size_t used = 0, cap = 0;
    bus_status status = BUS_OK;
    bui_map_init(&index);
    for (size_t i = 0; i < fold->count; i++) {
        const bui_dead *dead = fold->list[i];
        char error[300] = "", name[1500];
        if (!bui_dead_matches(dead, filter))
            continue;
        if (by & BUI_GROUP_BY_ERROR)
            bui_error_pattern(dead->error_class, dead->error_message, error, sizeof error);
        int len = snprintf(name, sizeof name, "%s\n%s\n%s\n%s", by & BUI_GROUP_BY_SERVICE ? dead->service : "",
                           by & BUI_GROUP_BY_TYPE ? dead->type : "", by & BUI_GROUP_BY_TOPIC ? dead->topic : "", error);
        size_t at = (size_t)(uintptr_t)bui_map_get(&index, name, (size_t)len); /* place + 1 */
        if (!at) {
            if (!bui_array_room(&groups, &cap, used + 1, sizeof *groups, 16))
                goto nomem;
            fold->failed = false;
            groups[used] = (bui_dead_group){ .service = by & BUI_GROUP_BY_SERVICE ? dead->service : NULL,
                                             .type = by & BUI_GROUP_BY_TYPE ? dead->type : NULL,
                                             .topic = by & BUI_GROUP_BY_TOPIC ? dead->topic : NULL,
                                             .error = by & BUI_GROUP_BY_ERROR ? keep(fold, error, strlen(error)) : NULL };
            at = ++used;
            if (fold->failed || !bui_map_put(&index, name, (size_t)len, (void *)(uintptr_t)at))
                goto nomem;
        }
        count_in(&groups[at - 1], dead);
    }
    if (used)
        qsort(groups, used, sizeof *groups, larger_first);
    *out = groups;
    *count = used;
    groups = NULL;
    goto out;
nomem:
    status = bui_fail_nomem(err);
out:
    bui_map_free(&index, NULL);
    free(groups);
    return status;
}
