/* SPDX-License-Identifier: MIT
 * Members and copies: a stranger joins the consumer group and commits what he likes, a backup of a store that was taken while it ran is put
 * back later, and processes of an older version take shards. What the protocol says: a stranger's offsets do not count, and where nobody
 * can tell whose they are a person is asked; an older copy is refused; and what an older version has no route for waits. None of it loses
 * or doubles anything, so the ledger hears nothing of it. */
#include "support/sim.h"

#include <bus/bus.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the group holds */

/* "<store id> <opens> <age> <flags> ...", written here apart from the library. */
typedef struct signed_offset {
    int64_t opens, age;
    bool strangers;
} signed_offset;

static bool is_ours(const bui_offset *committed, signed_offset *out)
{
    long long opens, age;
    char flags[8];
    if (strlen(committed->metadata) < 38 || sscanf(committed->metadata + 37, "%lld %lld %7s", &opens, &age, flags) != 3)
        return false;
    *out = (signed_offset){ opens, age, strchr(flags, 'f') != NULL };
    return true;
}

/* What the process that had a shard last has said in the group: of the lead topic, which every version reads. */
static bool last_word(const sim *s, int service, int shard, signed_offset *out)
{
    char lead[64];
    bui_offset now;
    snprintf(lead, sizeof lead, "%s.redrive", s->service[service].name);
    return bui_memory_committed(s->cluster, s->service[service].name, lead, shard, &now) && is_ours(&now, out);
}

bool sim_stranger_set(const sim *s, int topic, int32_t partition)
{
    bui_offset now;
    return s->stranger_set[topic][partition] &&
           bui_memory_committed(s->cluster, s->service[sim_topics[topic].reader].name, sim_topics[topic].name, partition, &now) &&
           !*now.metadata;
}

/* Are all offsets that nobody of the service has committed an operator's (no stranger's)? Is there one? */
static void whose(const sim *s, int service, bool *operators, bool *strangers, bool *flagged)
{
    signed_offset ours;
    *operators = *strangers = *flagged = false;
    for (int shard = 0; shard < SIM_SHARDS; shard++)
        *flagged = *flagged || (last_word(s, service, shard, &ours) && ours.strangers);
    for (int t = 0; t < SIM_TOPICS; t++)
        for (int32_t p = 0; sim_topics[t].reader == service && p < sim_topics[t].partitions; p++) {
            bui_offset now;
            if (!bui_memory_committed(s->cluster, s->service[service].name, sim_topics[t].name, p, &now) || is_ours(&now, &ours))
                continue;
            if (sim_stranger_set(s, t, p))
                *strangers = true;
            else
                *operators = true;
        }
}

bool sim_group_is_plain(const sim *s, int service)
{
    bool operators, strangers, flagged;
    whose(s, service, &operators, &strangers, &flagged);
    return !s->strangers && !strangers && !flagged;
}

bool sim_stranger_waits(const sim *s, int service)
{
    bool operators, strangers, flagged;
    whose(s, service, &operators, &strangers, &flagged);
    return strangers;
}

bui_accept sim_answer(const sim *s, int service)
{
    bool operators, strangers, flagged;
    whose(s, service, &operators, &strangers, &flagged);
    return operators ? BUI_ACCEPT_GROUP_OFFSETS : BUI_ACCEPT_STORE_OFFSETS;
}

/* ---- strangers */

static void regroup(sim *s, int strangers)
{
    s->strangers = strangers > 0;
    bui_memory_strangers(s->cluster, strangers);
    for (int i = 0; i < SIM_SERVICES; i++)
        sim_rebalance(s, i);
}

void sim_stranger_leaves(sim *s)
{
    if (!s->strangers)
        return;
    sim_note(s, "the stranger leaves");
    regroup(s, 0);
}

/* It counts as one only while no offset of an operator waits to be obeyed, and no process has been told to obey whatever there
 * is. */
static void join(sim *s)
{
    for (int i = 0; i < SIM_SERVICES; i++) {
        bool operators, strangers, flagged;
        whose(s, i, &operators, &strangers, &flagged);
        for (int p = 0; p < SIM_PROCESSES; p++)
            operators = operators || (s->process[i][p].host && s->process[i][p].accept);
        if (operators)
            return;
    }
    if (!sim_strikes(s, SIM_STRANGER))
        return;
    sim_note(s, "a stranger joins both groups");
    regroup(s, 1);
}

/* Only where the service knows of him, and reads what he sets: the rest are open cases of docs/protocol.md. */
static bool is_known(sim *s, int service, int topic, int32_t partition)
{
    signed_offset ours;
    for (int p = 0; p < SIM_PROCESSES; p++)
        if (s->process[service][p].host && s->process[service][p].older)
            return false;
    bool reads = sim_position(s, service, topic, partition) >= 0;
    sim_readers_close(s);
    return reads && last_word(s, service, partition % SIM_SHARDS, &ours) && ours.strangers;
}

static void commit(sim *s, int topic, int32_t partition)
{
    const struct sim_topic *t = &sim_topics[topic];
    int64_t low = bui_memory_start(s->cluster, t->name, partition), end = bui_memory_end(s->cluster, t->name, partition);
    int64_t to = low + sim_below(s, (int)(end - low) + 1);
    if (t->reader < 0 || !is_known(s, t->reader, topic, partition) || !sim_strikes(s, SIM_STRANGER_COMMITS))
        return;
    sim_note(s, "the stranger commits %lld of %s/%d", (long long)to, t->name, (int)partition);
    bui_memory_commit_foreign(s->cluster, s->service[t->reader].name, t->name, partition, to);
    s->stranger_set[topic][partition] = true;
}

/* ---- copies */

static bool read_meta(sim *s, int service, int shard, signed_offset *out)
{
    sqlite3_stmt *query = NULL;
    sqlite3 *db = sim_reader(s, service, shard);
    bool found = db && sqlite3_prepare_v2(db, "SELECT opens, age FROM bus_meta", -1, &query, NULL) == SQLITE_OK &&
                 sqlite3_step(query) == SQLITE_ROW;
    if (found)
        *out = (signed_offset){ .opens = sqlite3_column_int64(query, 0), .age = sqlite3_column_int64(query, 1) };
    sqlite3_finalize(query);
    sim_readers_close(s);
    return found;
}

static void back_up(sim *s, int service, int shard)
{
    char path[160];
    signed_offset meta;
    if (!read_meta(s, service, shard, &meta))
        return;
    snprintf(path, sizeof path, "%s/%s/%d.db", s->data, s->service[service].name, shard);
    sim_note(s, "operator: the store of %s/%d is backed up while it runs", s->service[service].name, shard);
    s->backup = (sim_backup){
        .copy = disk_copy_take(s->disk, path), .service = service, .shard = shard, .opens = meta.opens, .age = meta.age
    };
}

/* Does the group know more than the copy? What it lacks may have been committed in the last moments alone; then nobody can tell. */
static bool shows(const sim *s, const sim_backup *backup)
{
    signed_offset ours;
    return last_word(s, backup->service, backup->shard, &ours) &&
           (ours.opens > backup->opens || (ours.opens == backup->opens && ours.age > backup->age));
}

/* Put back by mistake: it is refused, and the newest is found again. */
static void restore(sim *s)
{
    sim_backup *backup = &s->backup;
    sim_process *process = &s->process[backup->service][0];
    bus_error err = { 0 };
    if (s->down || !shows(s, backup) || !sim_strikes(s, SIM_OLD_COPY))
        return;
    sim_stop_all(s, backup->service);
    sim_note(s, "operator: the backup of %s/%d is put back", s->service[backup->service].name, backup->shard);
    disk_copy_swap(backup->copy);
    s->doomed = NULL;
    backup->tried = true;
    sim_start(s, process);
    sim_rebalance(s, backup->service);
    sim_hear(s, process);
    backup->tried = false;
    bus_status status = process->host ? bui_host_failure(process->host, backup->shard, &err) : BUS_REFUSED;
    if (process->host && bui_host_shard(process->host, backup->shard) && status == BUS_OK)
        sim_fail(s, "%s/%d: an older copy of the store is taken for the newest", s->service[backup->service].name, backup->shard);
    if (process->host)
        sim_stop(s, process);
    sim_note(s, "operator: the newest store of %s/%d is put back", s->service[backup->service].name, backup->shard);
    disk_copy_swap(backup->copy);
    disk_copy_free(backup->copy);
    s->backup = (sim_backup){ 0 };
    sim_start_all(s, process->service, BUI_ACCEPT_NOTHING);
}

void sim_members_step(sim *s)
{
    int kind = sim_below(s, 100), topic = sim_below(s, SIM_INPUTS), service = sim_below(s, SIM_SERVICES),
        shard = sim_below(s, SIM_SHARDS);
    int32_t partition = sim_below(s, sim_topics[topic].partitions);
    if (kind < 35 && !s->backup.copy)
        back_up(s, service, shard);
    else if (kind < 35)
        restore(s);
    else if (!s->runs_inline)
        return;
    else if (!s->strangers)
        join(s);
    else if (kind < 85)
        commit(s, topic, partition);
    else
        sim_stranger_leaves(s);
}
