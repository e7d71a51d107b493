/* SPDX-License-Identifier: MIT
 * The steps of a history, each drawn from its own chances, and the healing at its end. */
#include "support/sim.h"

#include "base/id.h"
#include <bus/bus.h>
#include <stdlib.h>
#include <string.h>

#define QUIET_MS 120000 /* virtual time to come to rest in */

/* ---- what people do */

static void send_number(sim *s, int number, const bus_header *claims, size_t claim_count)
{
    char id[24], key[8], text[16];
    int value = snprintf(text, sizeof text, "%d", number);
    snprintf(id, sizeof id, "inbox-%d", number);
    int dice = (int)(bui_hash(&number, sizeof number, s->plan->seed) % 11);
    bool keyless = dice == 10, returned = sim_is_returned(number);
    snprintf(key, sizeof key, "%c%d", returned ? 'm' : 'k', dice % SIM_KEYS);
    bus_header headers[8] = { { "ce_specversion", "1.0", 3 },
                              { "ce_id", id, strlen(id) },
                              { "ce_source", "shop", 4 },
                              { "ce_type", "shop.Thing", 10 },
                              { "bus-reply-to", "gateway.replies/0", 17 } };
    size_t own = sim_is_asked(number) ? 5 : 4;
    memcpy(headers + own, claims, claim_count * sizeof *claims);
    const bui_row row = { .key = keyless ? NULL : key,
                          .key_len = keyless ? 0 : strlen(key),
                          .value = text,
                          .value_len = (size_t)value,
                          .headers = headers,
                          .header_count = own + claim_count };
    const struct sim_topic *topic = &sim_topics[returned];
    int32_t partition = keyless ? number % topic->partitions : bui_partition_of(key, strlen(key), topic->partitions);
    sim_note(s, "send %d, key %s, to %s/%d%s", number, keyless ? "none" : key, topic->name, (int)partition,
             claim_count ? ", claiming to be a command" : "");
    sim_append(s, topic->name, partition, &row);
}

static void on_call(bui_call *done, bus_status status, const bus_error *err)
{
    sim_call *call = (sim_call *)done;
    (void)err;
    /* A disk that fails in a commit leaves open what is on it. */
    call->end = call->sim->cut || status == BUS_IO ? CALL_UNKNOWN : status == BUS_OK ? CALL_DONE : CALL_FAILED;
}

static void transact(sim *s)
{
    sim_process *process = &s->process[ALPHA][sim_below(s, SIM_PROCESSES)];
    int key = sim_below(s, SIM_KEYS);
    if (s->calls == SIM_CALLS_MOST || !process->host || !sim_strikes(s, SIM_CALL))
        return;
    sim_call *call = calloc(1, sizeof *call);
    call->call = (bui_call){ .fn = sim_transaction, .opaque = call, .done = on_call };
    call->sim = s;
    call->number = SIM_CALLS + s->step;
    snprintf(call->key, sizeof call->key, "k%d", key);
    int shard = bui_partition_of(call->key, strlen(call->key), SIM_SHARDS);
    bool taken = false, here = sim_chance(s, 400);
    if (bui_host_shard(process->host, shard) && here && sim_strikes(s, SIM_INLINE_RUN)) {
        sim_note(s, "transaction %d, key %s, by its caller", call->number, call->key);
        taken = sim_run_inline(s, process, shard, &call->call);
    }
    if (!taken && process->host && bui_host_shard(process->host, shard)) {
        sim_note(s, "transaction %d, key %s", call->number, call->key);
        taken = bui_shard_call(bui_host_shard(process->host, shard), &call->call, NULL) == BUS_OK;
    }
    if (taken)
        s->call[s->calls++] = call;
    else
        free(call);
}

/* What `bus dlq redrive` and `discard` write: the event's bytes and headers, and the command. */
static void command(sim *s, const sim_letter *letter, const char *word)
{
    char text[80], topic[64];
    bus_header headers[40];
    size_t count = 0;
    int n = snprintf(text, sizeof text, "%s %s %d", word, letter->id, letter->round);
    snprintf(topic, sizeof topic, "%s.redrive", s->service[letter->service].name);
    sim_note(s, "operator: %s/%d: %s, event %d", topic, (int)letter->partition, text, letter->number);
    for (size_t i = 0; i < letter->record.header_count && count < 39; i++) {
        const bus_header *header = &letter->record.headers[i];
        if (strcmp(header->name, "bus-hop") != 0 && strcmp(header->name, "bus-letter") != 0 &&
            strcmp(header->name, "bus-mac") != 0 && strncmp(header->name, "__dlq.", 6) != 0)
            headers[count++] = *header;
    }
    headers[count++] = (bus_header){ "bus-command", text, (size_t)n };
    const bui_row row = { .key = letter->record.key,
                          .key_len = letter->record.key_len,
                          .value = letter->record.value,
                          .value_len = letter->record.value_len,
                          .headers = headers,
                          .header_count = count };
    sim_append(s, topic, letter->partition, &row);
}

/* Somebody goes through the dead letters and redrives or discards some, or, once calm, all that are open. */
static void operate(sim *s, const sim_letter *letter, void *opaque)
{
    int *left = opaque;
    if (letter->state != BUI_DEADLETTER_OPEN && letter->state != BUI_DEADLETTER_REDRIVEN)
        return;
    ++*left;
    if (letter->state != BUI_DEADLETTER_OPEN)
        return;
    bool skipped = sim_chance(s, 700), twice = sim_chance(s, 200);
    if (skipped && !s->calm)
        return;
    for (int again = twice && sim_strikes(s, SIM_COMMAND_TWICE) ? 2 : 1; again; again--) {
        bool discard = sim_chance(s, 200) && sim_strikes(s, SIM_DISCARD);
        if (discard || s->calm || sim_strikes(s, SIM_REDRIVE))
            command(s, letter, discard ? "discard" : "redrive");
    }
}

/* ---- what happens to processes and brokers */

/* A process starts, dies here or somewhere inside what it does next, or stops. */
static void upset(sim *s, sim_process *process)
{
    bool dies = sim_chance(s, 300), stops = sim_chance(s, 300);
    int after = sim_below(s, 30);
    if (process->number >= s->plan->processes) {
        return;
    } else if (!process->host) {
        sim_start(s, process);
    } else if (dies) {
        if (sim_strikes(s, SIM_DEATH))
            sim_kill(s, process);
    } else if (stops) {
        if (sim_strikes(s, SIM_STOP))
            sim_stop(s, process);
    } else {
        s->doomed = process;
        s->doomed_after = after;
    }
}

/* A machine whose power is back starts what ran on it, most of the time. */
static void reboot(sim *s)
{
    for (int i = 0; i < SIM_SERVICES; i++) {
        bool starts = s->rebooted[i] && sim_chance(s, 700);
        for (int p = 0; starts && p < s->plan->processes; p++)
            if (!s->process[i][p].host)
                sim_start(s, &s->process[i][p]);
        if (starts)
            sim_rebalance(s, i);
        s->rebooted[i] = false;
    }
}

static void rebalance(sim *s, int service)
{
    if (sim_strikes(s, SIM_REBALANCE))
        sim_rebalance(s, service);
}

static void send(sim *s)
{
    bool again = sim_chance(s, 60), claims = sim_chance(s, 60);
    bus_header claim[3] = { { 0 } };
    size_t count = claims ? sim_claims(s, claim) : 0;
    if (!s->sent_count || !again)
        send_number(s, s->sent[s->sent_count++] = s->step + 1, claim, count);
    else if (sim_strikes(s, SIM_REPEAT))
        send_number(s, s->sent[sim_below(s, s->sent_count)], claim, count);
}

static void set_broker(sim *s)
{
    bool down = !s->down && sim_chance(s, 300);
    if (down && !sim_strikes(s, SIM_AWAY))
        return;
    if (down != s->down)
        sim_note(s, "the broker is %s", down ? "away" : "there");
    s->down = down;
    bui_memory_down(s->cluster, down);
}

static void set_clock(sim *s)
{
    int ms = sim_below(s, 4000) - 2000;
    if (!sim_strikes(s, ms < 0 ? SIM_CLOCK_BACK : SIM_CLOCK_FORWARD))
        return;
    sim_note(s, "the wall clock steps by %d ms", ms);
    bui_virtual_clock_step(&s->clock, ms);
}

static void set_commits(sim *s)
{
    bool fail = sim_chance(s, 300);
    if (fail && !sim_strikes(s, SIM_COMMIT_REFUSED))
        return;
    bui_memory_commits_fail(s->cluster, fail);
}

static void set_looks(sim *s)
{
    bool wait = sim_chance(s, 300);
    if (wait && !sim_strikes(s, SIM_LOOK_WAITS))
        return;
    bui_memory_rechecks_wait(s->cluster, wait);
}

static void zombie(sim *s)
{
    bool lands = sim_chance(s, 700);
    if (!bui_memory_zombies(s->cluster))
        return;
    lands = lands && sim_strikes(s, SIM_ZOMBIE);
    sim_note(s, "what a producer that is gone had sent %s", lands ? "lands" : "is lost");
    bui_memory_zombie_next(s->cluster, lands);
}

static void pass_time(sim *s)
{
    bool long_time = sim_chance(s, 50);
    bui_virtual_clock_advance(&s->clock, sim_below(s, long_time ? 5000000 : 40000));
}

void sim_step(sim *s)
{
    sim_process *process = &s->process[sim_below(s, SIM_SERVICES)][sim_below(s, SIM_PROCESSES)];
    int dice = sim_below(s, 1000), service = sim_below(s, SIM_SERVICES), left = 0;
    if (sim_chance(s, s->storm)) {
        upset(s, process);
        rebalance(s, service);
    }
    reboot(s);
    if (sim_chance(s, s->disk_storm))
        sim_disk_step(s, service);
    if ((dice -= 607) < 0) {
        sim_iteration(s, process, sim_below(s, SIM_SHARDS));
    } else if ((dice -= 100) < 0) {
        sim_hear(s, process);
    } else if ((dice -= 110) < 0) {
        pass_time(s);
    } else if ((dice -= 80) < 0) {
        if (process->host)
            bui_memory_deliver_some(bui_host_transport(process->host), (size_t)sim_below(s, 8) + 1);
    } else if ((dice -= 30) < 0) {
        send(s);
    } else if ((dice -= 10) < 0) {
        zombie(s);
    } else if ((dice -= 10) < 0) {
        transact(s);
    } else if ((dice -= 8) < 0) {
        rebalance(s, service);
    } else if ((dice -= 4) < 0) {
        upset(s, process);
    } else if ((dice -= 3) < 0) {
        set_broker(s);
    } else if ((dice -= 3) < 0) {
        set_clock(s);
    } else if ((dice -= 2) < 0) {
        set_commits(s);
        set_looks(s);
    } else if ((dice -= 3) < 0) {
        sim_letters(s, service, operate, &left);
        sim_rows(s);
    } else if ((dice -= 6) < 0) {
        sim_outage_step(s);
    } else if ((dice -= 3) < 0) {
        sim_noise(s);
        sim_forge(s);
    } else if ((dice -= 8) < 0) {
        sim_trouble_step(s);
    } else if ((dice -= 5) < 0) {
        sim_replay(s);
    } else if ((dice -= 4) < 0) {
        sim_limits_step(s);
    } else if ((dice -= 4) < 0) {
        sim_members_step(s);
    }
}

/* ---- healing */

static void come_to_rest(sim *s)
{
    int64_t end = s->clock.mono_us + QUIET_MS * 1000;
    for (int turns = 0; !s->result->failed; turns++) {
        int64_t due = INT64_MAX;
        if (turns == 200000) {
            sim_fail(s, "it does not come to rest");
            return;
        }
        for (int i = 0; i < SIM_SERVICES * SIM_PROCESSES; i++) {
            sim_process *process = &s->process[0][0] + i;
            if (process->number >= s->plan->processes)
                continue;
            if (!process->host) { /* an event kills still: what a supervisor does */
                sim_start(s, process);
                sim_rebalance(s, process->service);
            }
            sim_hear(s, process);
            for (int shard = 0; shard < SIM_SHARDS; shard++)
                sim_iteration(s, process, shard);
            sim_run_jobs(process);
            int64_t at = process->host ? bui_host_due(process->host) : 0;
            due = at < due ? at : due;
        }
        if (due > end)
            break;
        if (due > s->clock.mono_us)
            bui_virtual_clock_advance(&s->clock, due - s->clock.mono_us);
    }
}

void sim_heal(sim *s)
{
    sim_note(s, "---- everything heals");
    sim_draw_from(s, SIM_HEAL);
    s->calm = true;
    s->doomed = NULL;
    sim_disk_heal(s);
    bui_memory_down(s->cluster, false);
    bui_memory_commits_fail(s->cluster, false);
    sim_limits_raise(s);
    bui_memory_rechecks_wait(s->cluster, false);
    for (int i = 0; i < SIM_SERVICES * SIM_PROCESSES; i++) {
        sim_process *process = &s->process[0][0] + i;
        if (process->host)
            bui_memory_deliver(bui_host_transport(process->host), BUI_FATE_ACK);
        if (process->host && process->older)
            sim_stop(s, process);
        if (!process->host && process->number < s->plan->processes)
            sim_start(s, process);
    }
    sim_stranger_leaves(s);
    while (bui_memory_zombie_next(s->cluster, true))
        ;
    for (int i = 0; i < SIM_SERVICES && !s->result->failed; i++) {
        if (s->broken[i])
            sim_repair(s, i);
        sim_rebalance(s, i);
    }
    come_to_rest(s);
    for (int round = 0; round < 6 && sim_rows(s) && !s->result->failed; round++)
        come_to_rest(s);
    for (int i = 0, left = 0; i < SIM_SERVICES && !s->result->failed; i++)
        sim_letters(s, i, operate, &left); /* too early: they fail again */
    come_to_rest(s);
    sim_note(s, "---- handlers are mended");
    s->mended = true;
    for (int round = 0, left = 1; left && round < 6 && !s->result->failed; round++) {
        left = 0;
        for (int i = 0; i < SIM_SERVICES; i++)
            sim_letters(s, i, operate, &left);
        come_to_rest(s);
    }
}
