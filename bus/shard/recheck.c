/* SPDX-License-Identifier: MIT
 * Recheck: does a lane still read the log that it read before? A topic that is deleted and made again, or a log that was cut and
 * filled again, keeps its name and, once it has grown, the same offsets: the client reports nothing. Records that were read
 * before show it: the anchor, delivered last, and the proof, the last that a look has found. Once either has other bytes, or
 * the log ends before it, this is another log.
 *
 * A look reads both again. Records wait for one that began after their fetch if there was a sign since the last (a leader that
 * changed or was away, a connection made again, an end that went back), if the lane's last look is older than log.check.ms, or
 * if somebody has set the offset; else they do not wait, and looks follow a lane that is busy. The proof is kept in the store:
 * what was delivered since is not believed by what it left there. After a sign the lane begins again at its anchor: what was
 * fetched before may have been cut off since, and what comes next would not follow it. */
#include "shard/internal.h"

#include "base/error.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define AGAIN_US (INT64_C(500) * 1000)          /* after a look that failed */
#define UNCHECKED_US (INT64_C(5) * 1000 * 1000) /* a leader that moves fails looks, too, but not for this long */

/* One look asks for a record of each of its lanes, and gives them 2 s together. */
#define LOOK_MOST 256

typedef enum finding { SAME, OTHER, UNKNOWN } finding;

bus_status bui_rechecks_room(bui_shard *shard, bus_error *err)
{
    size_t n = shard->lane_count;
    if (shard->rechecks.list)
        return BUS_OK;
    shard->rechecks.list = calloc(2 * n + 1, sizeof *shard->rechecks.list);
    shard->rechecks.lane = calloc(n + 1, sizeof *shard->rechecks.lane);
    shard->rechecks.anchor = calloc(n + 1, sizeof *shard->rechecks.anchor);
    if (shard->rechecks.list && shard->rechecks.lane && shard->rechecks.anchor)
        return BUS_OK;
    bui_rechecks_free(shard);
    return bui_fail_nomem(err);
}

void bui_rechecks_free(bui_shard *shard)
{
    free(shard->rechecks.list);
    free(shard->rechecks.lane);
    free(shard->rechecks.anchor);
    shard->rechecks.list = NULL;
    shard->rechecks.lane = NULL;
    shard->rechecks.anchor = NULL;
}

static uint64_t doubts(const bui_shard *shard)
{
    return shard->port->ops->doubts ? shard->port->ops->doubts(shard->port) : 0;
}

static bool has_evidence(const bui_position *position)
{
    return position->anchor.offset >= 0 || position->proof.offset >= 0;
}

static void want_look(bui_shard *shard, bui_shard_lane *lane)
{
    lane->wants_recheck = shard->rechecks.wanted = true;
}

/* What was delivered since the last look is looked for again, too; when, on this clock. */
static int64_t looks_again_us(const bui_shard *shard, const bui_shard_lane *lane)
{
    if (lane->sure_serial >= lane->fetched || !lane->sure_us)
        return INT64_MAX;
    return lane->sure_us + shard->options.limits.log_check_ms * 1000;
}

static void look_by(bui_shard *shard, int64_t at_us)
{
    if (at_us < shard->rechecks.look_at_us)
        shard->rechecks.look_at_us = at_us;
}

static void found_same(bui_shard *shard, bui_shard_lane *lane, int64_t at_us, uint64_t serial, uint64_t seen)
{
    lane->sure_us = at_us;
    lane->sure_serial = serial;
    lane->doubts = seen;
    lane->wants_recheck = lane->unsure = lane->unchecked_said = false;
    lane->unchecked_us = 0;
    look_by(shard, looks_again_us(shard, lane));
}

void bui_lane_fetched(bui_shard *shard, bui_shard_lane *lane)
{
    lane->fetched = ++shard->rechecks.fetch_serial;
    look_by(shard, looks_again_us(shard, lane));
    bui_lane_ends(shard, lane, shard->port->ops->end(shard->port, lane->handle)); /* before these are delivered */
}

void bui_rechecks_attached(bui_shard *shard)
{
    shard->rechecks.count = 0;
    shard->rechecks.again_us = 0;
    shard->rechecks.wanted = true;
    shard->rechecks.look_at_us = 0;
    for (size_t i = 0; i < shard->lane_count; i++) {
        bui_shard_lane *lane = &shard->lane[i];
        const bui_position *position = lane->position;
        bool itself = lane->check_anchor && !position->judging &&
                      (position->proof.offset < 0 || position->proof.offset == position->anchor.offset);
        lane->doubts = doubts(shard);
        lane->sure_us = 0;
        lane->high = 0;
        lane->unsure = lane->unchecked_said = false;
        lane->unchecked_us = 0;
        lane->wants_recheck = has_evidence(position) && !itself && shard->port->ops->recheck;
    }
}

void bui_lane_began_at_anchor(bui_shard *shard, bui_shard_lane *lane)
{
    bui_position *position = lane->position;
    if (lane->sure_us || (position->proof.offset >= 0 && position->proof.offset != position->anchor.offset))
        return;
    found_same(shard, lane, shard->now_us, lane->fetched, lane->doubts);
    bui_position_prove(position, position->anchor);
}

void bui_lane_ends(bui_shard *shard, bui_shard_lane *lane, int64_t end)
{
    if (end < 0)
        return;
    if (end < lane->high && has_evidence(lane->position)) {
        lane->sure_us = 0;
        want_look(shard, lane);
    }
    lane->high = end;
}

bool bui_lane_sure(bui_shard *shard, bui_shard_lane *lane)
{
    uint64_t seen = doubts(shard);
    if (!shard->port->ops->recheck)
        return true;
    if (!has_evidence(lane->position)) { /* nothing was read yet: there is nothing to compare with */
        if (!lane->sure_us || seen != lane->doubts || lane->sure_serial != lane->fetched)
            found_same(shard, lane, shard->now_us, lane->fetched, seen);
        return true;
    }
    int64_t limit = shard->options.limits.log_check_ms * 1000, age = shard->now_us - lane->sure_us;
    bool current = lane->sure_us && seen == lane->doubts && !lane->position->judging;
    lane->unsure = !current || (age >= limit && lane->sure_serial < lane->fetched);
    if (lane->unsure || age >= limit / 2)
        want_look(shard, lane);
    return !lane->unsure;
}

/* ---- asking */

static bool ask(bui_shard *shard)
{
    size_t n = 0, k = 0;
    if (!shard->rechecks.wanted || shard->rechecks.count || shard->rechecks.again_us > shard->now_us)
        return false;
    for (; k < shard->lane_count && n < LOOK_MOST; k++) {
        size_t i = (shard->rechecks.next + k) % shard->lane_count;
        const bui_shard_lane *lane = &shard->lane[i];
        const bui_position *position = lane->position;
        if (!lane->wants_recheck || !lane->handle)
            continue;
        shard->rechecks.lane[n] = i;
        shard->rechecks.anchor[n] = position->anchor;
        shard->rechecks.list[n++] =
            (bui_recheck){ .topic = lane->input->declared->topic,
                           .partition = lane->partition,
                           .place = { { .offset = position->anchor.offset, .kind = position->anchor.kind },
                                      { .offset = position->proof.offset, .kind = position->proof.kind } } };
    }
    shard->lanes.looks += k;
    shard->rechecks.next = k < shard->lane_count ? (shard->rechecks.next + k) % shard->lane_count : 0; /* the others are next */
    shard->rechecks.wanted = n > 0;
    if (!n)
        return false;
    bus_error err = { 0 };
    shard->rechecks.began_us = shard->now_us;
    shard->rechecks.serial = shard->rechecks.fetch_serial;
    shard->rechecks.doubts = doubts(shard);
    if (shard->port->ops->recheck(shard->port, shard->rechecks.list, n, &err)) {
        shard->rechecks.again_us = shard->now_us + AGAIN_US;
        return false;
    }
    shard->rechecks.count = n;
    bui_count(&shard->metrics.log_looks, 1);
    return true;
}

/* ---- what was found */

static finding find(const bui_recheck *look, size_t which, const bui_place *place)
{
    if (place->offset < 0 || place->offset < look->low) /* none, or expired */
        return UNKNOWN;
    if (place->offset >= look->high)
        return OTHER;
    if (!look->place[which].there) /* compacted away */
        return UNKNOWN;
    return look->place[which].hash == place->hash ? SAME : OTHER;
}

static void in_words(const bui_recheck *look, const bui_place *place, char *out, size_t cap)
{
    if (place->offset >= look->high)
        snprintf(out, cap, "it ends at offset %" PRId64 ", and offset %" PRId64 " was read", look->high, place->offset);
    else
        snprintf(out, cap, "offset %" PRId64 " holds another record than was read there", place->offset);
}

bool bui_lane_replaced(bui_shard *shard, bui_shard_lane *lane, const char *what)
{
    const char *topic = lane->input->declared->topic;
    if (lane->input->declared->retry_tier) {
        bui_count(&shard->metrics.logs_replaced, 1);
        bui_log(BUS_WARN, shard->where, "retry_log_replaced",
                "%s/%d is another log than before (%s): going on, because what "
                "waits is in the store and runs by its timer",
                topic, lane->partition, what);
        return false;
    }
    bus_error err = { 0 };
    bui_fail(&err, BUS_REFUSED,
             "%s/%d is another log than %s has read: %s. The topic was recreated, lost records, or is another cluster's: point "
             "bootstrap.servers at the right one; or stop %s and accept it, with kafka-consumer-groups --group %s --topic %s:%d "
             "--reset-offsets --execute and --to-earliest (all of it is handled) or --to-offset %" PRId64
             " (what is before is not)",
             topic, lane->partition, shard->where, what, shard->name, shard->name, topic, lane->partition, lane->position->next);
    bui_shard_halt(shard, &err);
    return true;
}

/* In a transaction of its own: what is delivered next has ids of the life that begins. */
static bool judge(bui_shard *shard, bui_shard_lane *lane, bool other)
{
    bus_error err = { 0 };
    bus_status status = bui_store_begin(shard->store, &err);
    if (status == BUS_OK && !bui_position_judge(shard->store, lane->position, other))
        status = bui_fail_nomem(&err);
    if (status == BUS_OK)
        status = bui_store_commit(shard->store, &err);
    if (status != BUS_OK) {
        bui_store_rollback(shard->store);
        bui_log(BUS_ERROR, shard->where, "store_failed", "%s; looked at again in %lld ms", err.text,
                (long long)(AGAIN_US / 1000));
        shard->rechecks.again_us = shard->now_us + AGAIN_US;
    }
    return status == BUS_OK;
}

static bool accept(bui_shard *shard, bui_shard_lane *lane, bool other)
{
    if (!judge(shard, lane, other))
        return false;
    if (!other)
        return true;
    bui_count(&shard->metrics.logs_replaced, 1);
    bui_log(
        BUS_WARN, shard->where, "log_accepted",
        "%s/%d is another log than before, and its offset was set: going on at %lld. Its events without ce_id have other ids than those at the same offsets before",
        lane->input->declared->topic, lane->partition, (long long)lane->position->next);
    return true;
}

static void begin_again(bui_shard *shard, bui_shard_lane *lane, bool at_anchor)
{
    int64_t end = shard->port->ops->end(shard->port, lane->handle);
    if (!shard->port->ops->rewind || (lane->at == lane->count && end <= lane->position->next))
        return; /* nothing was fetched that waits */
    bui_shard_drop_fetched(shard, lane);
    lane->start = at_anchor ? lane->position->anchor.offset : lane->position->next;
    lane->check_anchor = at_anchor;
    shard->port->ops->rewind(shard->port, lane->handle, lane->start);
    bui_lane_came(shard, lane); /* what was fetched before may be in the way of a call for what is new */
}

bool bui_lane_unchecked(const bui_shard *shard, const bui_shard_lane *lane, char *why, size_t cap)
{
    if (!lane->handle || !lane->wants_recheck || !lane->unchecked_us || shard->now_us - lane->unchecked_us < UNCHECKED_US)
        return false;
    snprintf(why, cap, "%s",
             lane->unchecked == BUS_MISSING  ? "Kafka has no such partition: was the topic deleted, or created again with fewer?"
             : lane->unchecked == BUS_DENIED ? "Kafka denies it: grant DESCRIBE and READ on the topic"
                                             : "its leader does not answer");
    return true;
}

/* Nothing of it is delivered until a look ends well, and without a topic there is nothing to fetch either: that must not be silent. */
static void look_failed(bui_shard *shard, bui_shard_lane *lane, bus_status status)
{
    char why[128];
    shard->rechecks.again_us = shard->now_us + AGAIN_US;
    lane->unchecked = status;
    if (!lane->unchecked_us)
        lane->unchecked_us = shard->now_us;
    if (lane->unchecked_said || !bui_lane_unchecked(shard, lane, why, sizeof why))
        return;
    lane->unchecked_said = true;
    bui_log(BUS_WARN, shard->where, "log_unchecked",
            "%s/%d cannot be compared with what was read of it: %s; nothing of it is delivered "
            "until it can",
            lane->input->declared->topic, lane->partition, why);
}

static void take(bui_shard *shard, bui_shard_lane *lane, const bui_recheck *look, const bui_place *anchor)
{
    bui_position *position = lane->position;
    char what[160] = "";
    finding last = find(look, 0, anchor), proof = find(look, 1, &position->proof);
    if (look->status != BUS_OK) {
        look_failed(shard, lane, look->status);
        return;
    }
    bool other = last == OTHER || proof == OTHER;
    if (position->judging) {
        if (!accept(shard, lane, other))
            return;
    } else if (other) {
        in_words(look, proof == OTHER ? &position->proof : anchor, what, sizeof what);
        if (bui_lane_replaced(shard, lane, what) || !judge(shard, lane, true))
            return;
    } else if (last == SAME) {
        bui_position_prove(position, *anchor);
    } else if (proof == UNKNOWN) {
        bui_position_prove(position, BUI_NO_PLACE);
    }
    if (lane->doubts != shard->rechecks.doubts)
        begin_again(shard, lane, last == SAME && anchor->offset == position->anchor.offset);
    found_same(shard, lane, shard->rechecks.began_us, shard->rechecks.serial, shard->rechecks.doubts);
}

static bool answered(bui_shard *shard)
{
    bui_recheck *answer = shard->rechecks.list + shard->lane_count;
    size_t n = shard->rechecks.count ? shard->port->ops->rechecked(shard->port, answer, shard->rechecks.count) : 0;
    if (!n)
        return false;
    shard->rechecks.count = 0;
    for (size_t i = 0; i < n && !atomic_load_explicit(&shard->failed, memory_order_relaxed); i++)
        take(shard, &shard->lane[shard->rechecks.lane[i]], &answer[i], &shard->rechecks.anchor[i]);
    return true;
}

/* Which lanes want a look after a sign, or as their last is long ago. All are gone through when the first of them is due. */
static void look_at_all(bui_shard *shard, bool sign)
{
    int64_t due, check_us = shard->options.limits.log_check_ms * 1000;
    shard->rechecks.look_at_us = INT64_MAX;
    shard->lanes.looks += shard->lane_count;
    for (size_t i = 0; i < shard->lane_count; i++) {
        bui_shard_lane *lane = &shard->lane[i];
        if (!lane->handle || lane->wants_recheck)
            continue;
        due = looks_again_us(shard, lane);
        if (has_evidence(lane->position) && (sign || due <= shard->now_us))
            want_look(shard, lane);
        else if (due != INT64_MAX)
            look_by(shard, due > shard->now_us ? due : shard->now_us + check_us);
    }
}

bool bui_rechecks_step(bui_shard *shard)
{
    if (!shard->attached || !shard->rechecks.list || !shard->port->ops->recheck)
        return false;
    bool any = answered(shard);
    if (atomic_load_explicit(&shard->failed, memory_order_relaxed))
        return false;
    uint64_t seen = doubts(shard);
    bool sign = seen != shard->rechecks.doubts_seen;
    if (sign || shard->rechecks.look_at_us <= shard->now_us)
        look_at_all(shard, sign);
    shard->rechecks.doubts_seen = seen;
    return (ask(shard) && answered(shard)) || any;
}

int64_t bui_rechecks_wait_us(const bui_shard *shard)
{
    int64_t at_us = shard->rechecks.wanted ? 0 : shard->rechecks.look_at_us;
    if (!shard->attached || !shard->port->ops->recheck || shard->rechecks.count || at_us == INT64_MAX)
        return INT64_MAX;
    int64_t wait = at_us - shard->now_us, least = shard->rechecks.again_us - shard->now_us;
    wait = wait > least ? wait : least;
    return wait > 0 ? wait : 0;
}
