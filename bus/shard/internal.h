/* SPDX-License-Identifier: MIT
 * What the files of the shard call of each other. */
#ifndef BUI_SHARD_INTERNAL_H
#define BUI_SHARD_INTERNAL_H

#include "shard/parts.h"

/* The files call each other in one direction: shard, batch, fetch, receive, commands, replays, keys, lost, deadletters, emit,
 * relay, reports; below them handle, prepare, recheck, and what all use: delivery, lane, input, rollback, notice.
 * scripts/check-layers refuses a circle. */

/* rollback.c: giving up what cannot stand */
void bui_shard_halt(bui_shard *shard, const bus_error *why);
/* Marks the batch for rollback: status other than BUS_OK ends it, BUS_OK asks for savepoints. Returns BUI_OUT_REDO. */
bui_outcome bui_shard_redo(bui_shard *shard, const bus_error *why);
/* Writes what the batch's deliveries saved as state; false: redo. */
bool bui_states_written(bui_shard *shard);
bool bui_states_stand(bui_shard *shard); /* false: a handler's SQL had that done, and it failed: redo */
/* A save around a delivery. */
bool bui_delivery_save(bui_shard *shard); /* false: redo */
bool bui_delivery_release(bui_shard *shard);
bool bui_delivery_back(bui_shard *shard);

/* notice.c: what writers can cause at will */
#define BUI_SAY_AGAIN_US 10000000
/* May it be logged now? Once in ten seconds; the metrics count all. */
bool bui_shard_may_say(const bui_shard *shard, int64_t *last_us);
/* Counts and logs a record that is not a `what`, and is skipped. */
void bui_ignored(bui_shard *shard, const bui_record *record, const char *event, const char *what);

/* trouble.c */
void bui_trouble_look(bui_shard *shard); /* at the end of an iteration */

/* input.c */
bui_shard_input *bui_shard_input_of(bui_shard *shard, const char *topic);
void bui_input_pause(bui_shard *shard, bui_shard_input *input, const char *why, bool schema);

/* lane.c: what a lane holds */
bool bui_lane_resting(const bui_shard *shard, const bui_shard_lane *lane);
bus_status bui_lanes_room(bui_shard *shard, bus_error *err); /* once the lanes are listed in shard->lane */
bool bui_lane_listed(bui_shard *shard, size_t *i);          /* the first at or after *i that an iteration looks at; false: none */
void bui_lane_came(bui_shard *shard, bui_shard_lane *lane); /* something came in it: it is listed */
void bui_lanes_came(bui_shard *shard);                      /* in any of them, maybe */
void bui_lanes_none(bui_shard *shard);                      /* they were taken away */
void bui_lanes_ready(bui_shard *shard);                     /* lists those in which something came */
void bui_lanes_sweep(bui_shard *shard);                     /* lets those go with which nothing is to be done */
void bui_lane_compact(bui_shard *shard, bui_shard_lane *lane);       /* gives settled records back */
void bui_shard_drop_fetched(bui_shard *shard, bui_shard_lane *lane); /* gives unsettled records back */

/* fetch.c: what the lanes bring */
bool bui_fetch_all(bui_shard *shard);                                /* true: something can be delivered */
bool bui_lane_allowed(bui_shard *shard, const bui_shard_lane *lane); /* there is room for what it causes */
void bui_lane_at_end(bui_shard *shard, bui_shard_lane *lane);

/* recheck.c: do lanes still read the logs that they read before? */
void bui_lane_fetched(bui_shard *shard, bui_shard_lane *lane); /* it has records that it did not have */
bool bui_rechecks_step(bui_shard *shard); /* takes an answer, asks for what is wanted; true: lanes may be sure now */
bool bui_lane_sure(bui_shard *shard, bui_shard_lane *lane); /* false: its records wait, and a look is wanted */
int64_t bui_rechecks_wait_us(const bui_shard *shard);
bus_status bui_rechecks_room(bui_shard *shard, bus_error *err); /* once the lanes are listed */
void bui_rechecks_attached(bui_shard *shard);
void bui_lane_began_at_anchor(bui_shard *shard, bui_shard_lane *lane);   /* its first record was the anchor: as good as a look */
void bui_lane_ends(bui_shard *shard, bui_shard_lane *lane, int64_t end); /* where its log ends, as last heard */
void bui_rechecks_free(bui_shard *shard);
/* The log is not the one that was read before: logs that with what to do, and halts; one of retry records, which only trigger,
 * is taken as it is: false. */
bool bui_lane_replaced(bui_shard *shard, bui_shard_lane *lane, const char *what);
bool bui_lane_unchecked(const bui_shard *shard, const bui_shard_lane *lane, char *why,
                        size_t cap); /* its looks have failed for a while */

/* batch.c: one transaction */
bool bui_batch_run(bui_shard *shard); /* false: nothing was to be done */
int64_t bui_batch_wait_us(bui_shard *shard);
void bui_batch_free(bui_shard *shard);

/* calls.c: transactions from outside */
void bui_calls_take(bui_shard *shard);                  /* into the batch */
bool bui_calls_bring(bui_shard *shard, bui_call *call); /* the same for an inline caller's; false: it must queue */
bui_outcome bui_calls_run(bui_shard *shard);
void bui_calls_done(bui_shard *shard);                                      /* the batch is durable */
void bui_calls_fail(bui_shard *shard, bus_status status, const char *text); /* all, also those still queued */

/* receive.c: from a lane's record to a settled delivery. */
typedef enum bui_taken { BUI_TAKEN, BUI_TAKE_WAIT, BUI_TAKE_REDO } bui_taken;
bui_taken bui_receive(bui_shard *shard, bui_shard_lane *lane, size_t index);
bool bui_receive_anchor_ok(bui_shard *shard, bui_shard_lane *lane, const bui_record *record, bool *skip);

/* delivery.c Builds what a handler sees, from a record; the strings are in the arena. `command` is the kind of command that it
 * came by, as the topic or the store says it: only with one do its own headers say that it is a copy. BUS_CORRUPT:
 * undecodable, delivery still usable for a dead letter; BUS_MISSING: unknown schema; BUS_NOMEM. `decode` false: envelope and
 * route only. */
bus_status bui_delivery_read(bui_shard *shard, const bui_record *record, int command, bui_arena *arena, bool decode,
                             bui_delivery *out, bus_error *err);
bui_identity bui_identity_of(const bui_delivery *delivery); /* borrows from it */
/* It is a copy that `bus replay` sent in this run. false: no memory. */
bool bui_delivery_is_copy(bui_delivery *delivery, bui_arena *arena, const char *run, size_t len);
bus_status bui_delivery_decode(bui_shard *shard, bui_delivery *delivery, bui_arena *arena, bus_error *err);
/* Keeps in the store what the registry said of its schema, so that a restart need not ask. Inside the transaction. */
bus_status bui_delivery_keep(bui_shard *shard, const bui_delivery *delivery, bus_error *err);
#define BUI_DEDUP_SOURCE 512
size_t bui_dedup_source(char out[BUI_DEDUP_SOURCE], const bui_identity *event);
/* Headers for a copy of the event, in the arena with room for `more`: its own, less those of one hop, and bus-orig (its text goes to
 * orig_text). NULL: no memory. */
bus_header *bui_copy_headers(const bui_delivery *delivery, size_t more, bui_arena *arena, size_t *count,
                             char orig_text[BUI_ORIG_TEXT]);

/* handle.c: runs a delivery's handler in the sandbox. With shard->batch.saved the caller holds a save and releases it after DONE;
 * else the handler gets its own. After any other outcome all since the save is undone and `saved` is false. */
bui_outcome bui_handle(bui_shard *shard, bui_delivery *delivery, bui_job_slot *job, bus_tx *tx);
/* The thread runs code of the shard's user outside of a transaction; NULL: no more. For log lines. */
void bui_shard_beside(const bui_shard *shard);
const char *bui_shard_where(void);
bui_outcome bui_handle_call(bui_shard *shard, bui_call *call, bus_tx *tx);
void bui_tx_init(bus_tx *tx, bui_shard *shard, const bui_delivery *delivery);
bus_status bui_tx_stick(bus_tx *tx, bus_status status); /* the first error of a handler's calls is the delivery's */
bus_tx *bui_tx_running(void);                           /* of the handler or transaction that this thread is inside; NULL: none */

/* schema_wait.c: true: its topic pauses until the schema is known. False: it has waited long enough, the delivery is undecodable now. */
bool bui_schema_waits(bui_shard *shard, bui_shard_input *input, bui_delivery *delivery, const bus_error *why);
int bui_schema_waiting(const bui_shard *shard); /* topics that have waited long */

/* emit.c: rows for the outbox. */
typedef struct bui_emission {
    bui_destination *destination;
    const char *event_id;
    const void *key;
    size_t key_len;
    const void *value;
    size_t value_len;
    const struct bui_cloud *cloud; /* of a new event: what is said of it; NULL: it is among the headers */
    const bus_header *headers;
    size_t header_count; /* without bus-hop; the full form */
    int64_t at;
    int attempt;
    int64_t not_before;
    const char *token;
    bool event; /* a handler's, no copy: its headers may be packed into the hop */
    bool scheduled;
    bool unchecked; /* the broker decides whether it takes it; see reports.c */
} bui_emission;
bus_status bui_emit_row(bui_shard *shard, const bui_emission *emission, bus_error *err);
int32_t bui_partitions_of(bui_shard *shard, const char *topic); /* 0: unknown */
bus_status bui_emit_scheduled(bui_shard *shard, const bui_scheduled *event, bus_error *err);

/* sizes.c: what fits a topic. `packed`: the length of the headers in the outbox. */
typedef struct bui_sized {
    const void *key;
    size_t key_len;
    const void *value;
    size_t value_len;
    const bus_header *headers;
    size_t header_count;
    const bus_header *own;
    size_t own_count; /* what the hop adds */
    size_t packed;
} bui_sized;
/* BUS_TOO_BIG, saying by how much. `what` begins the sentence. */
bus_status bui_size_check(bui_shard *shard, const char *what, const char *topic, const bui_sized *record, bus_error *err);
int64_t bui_size_most(bui_shard *shard, const char *topic, bool *own); /* own: our property's bound, not the topic's */
void bui_sizes_look_again(bui_shard *shard);                           /* the broker refused a record: has a limit changed? */

/* keys.c: the key's states. */
bui_outcome bui_key_arrive(bui_shard *shard, bui_delivery *delivery, bui_job_slot *job);
bui_outcome bui_key_run_head(bui_shard *shard, bui_key *key); /* WAITING or DRAINING */
bui_outcome bui_key_catch_up(bui_shard *shard, bui_key *key, int most);
bui_outcome bui_key_discard_head(bui_shard *shard, bui_key *key);
/* After an open: heads that had no route go on if this version has one. So many keys a batch; held_at says how far it came. */
bui_outcome bui_keys_look_again(bui_shard *shard, int most);
const bui_key *bui_key_of_token(bui_shard *shard, const bui_slice *token);

/* deadletters.c: dead letters. */
bus_status bui_deadletter_fetch(bui_shard *shard, const char *id, bui_deadletter *out, bool *found, bus_error *err);
bus_status bui_deadletter_open(bui_shard *shard, const bui_delivery *delivery, const bus_tx *why, int attempts, bui_key *holding,
                               bus_error *err);
/* The open dead letter of a head that had no route, and now has: it waits again, due at once. */
bus_status bui_deadletter_take_up(bui_shard *shard, bui_key *key, const bui_delivery *delivery, bus_error *err);
bus_status bui_deadletter_settle(bui_shard *shard, const char *id, bui_deadletter_state state, bus_error *err);
/* Is a dead letter of this event open, or redriven and not through? A copy is asked for its event's. */
bus_status bui_deadletter_is_open(bui_shard *shard, const bui_delivery *delivery, bool *open, bus_error *err);
/* Names in a delivery the dead letter that it is redriven from: its id if it came by command (len > 0), else the one of its
 * event. */
bus_status bui_deadletter_name(bui_shard *shard, bui_delivery *delivery, bui_slice id, int round, bus_error *err);
/* Changes an open or redriven dead letter's state and publishes that. */
bus_status bui_deadletter_change(bui_shard *shard, bui_deadletter *letter, bui_deadletter_state state, const bus_header *more,
                                 size_t more_count, bus_error *err);
/* A redriven dead letter whose event is nowhere: open again, and saying so. What the command had of it goes along. */
bus_status bui_deadletter_open_again(bui_shard *shard, bui_deadletter *letter, const bui_record *command, const char *why,
                                     bus_error *err);
/* The record of an open dead letter once more: its topic has lost it. */
bus_status bui_deadletter_publish_again(bui_shard *shard, const bui_deadletter *letter, const bui_delivery *delivery,
                                        const bui_deadletter_cause *cause, bool held, bus_error *err);
bus_status bui_deadletter_head_waits(bui_shard *shard, bui_key *key, bus_error *err); /* a held head waits, due at once */

/* lost.c: open dead letters whose records their topic has lost. */
void bui_lost_attached(bui_shard *shard);      /* look at once: another may have had the shard */
void bui_lost_step(bui_shard *shard);          /* asks for a look when it is time, takes what it found */
bool bui_lost_waiting(const bui_shard *shard); /* some are to be published again, and may be now */
bui_outcome bui_lost_run(bui_shard *shard);    /* publishes some. Inside a transaction */
void bui_lost_over(bui_shard *shard);          /* that transaction committed */
int64_t bui_lost_wait_us(const bui_shard *shard);
void bui_lost_free(bui_shard *shard);

/* commands.c: what comes by `<service>.redrive`. */
bui_outcome bui_command_run(bui_shard *shard, const bui_record *record);

/* replays.c: copies sent by `bus replay`. */
bui_outcome bui_replay_receive(bui_shard *shard, const bui_record *record, const bui_envelope *envelope);

/* bodies.c: the bytes of dead letters that do not carry them. */
#define BUI_BODY_TEXT 320
/* `bus-body` for a record about the event that has no value; there: although it has one. The text is in `text`. */
bus_header bui_body_header(const bui_delivery *delivery, bool there, char text[BUI_BODY_TEXT]);
bool bui_body_fits_command(bui_shard *shard, const bus_event *event, const bus_header *headers, size_t count);
/* Keeps them in the store, with the headers of a copy. */
bus_status bui_body_of_letter(bui_shard *shard, const char *letter, const bus_event *event, const bus_header *headers,
                              size_t count, bus_error *err);
/* The command with the event's bytes that the store holds for the dead letter, in the arena; the command as it is if it holds
 * none. */
bus_status bui_body_join(bui_shard *shard, const char *letter, const bui_record *command, bui_record *out, bus_error *err);

/* relay.c */
void bui_relay_reports(bui_shard *shard);
/* Before a row for it is written: what is committed must be sent in order, and without memory a later row would overtake it. */
bool bui_relay_expect(bui_shard *shard, bui_destination *destination);
void bui_relay_committed(bui_shard *shard); /* the rows just added are durable: send them, soon */
void bui_relay_pump(bui_shard *shard);      /* rows that are behind, probes, resets */
/* Inside a transaction; lazily: only what costs nothing. */
bus_status bui_relay_delete_acked(bui_shard *shard, bool lazily, bus_error *err);
void bui_relay_deleted(bui_shard *shard); /* that transaction committed */
bool bui_relay_wants_delete(const bui_shard *shard, bool idle);
/* Before sleeping; true: do not, there are reports. `due`: does something else wait for them? */
bool bui_relay_listen(bui_shard *shard, bool (*due)(const bui_shard *));
int64_t bui_relay_wait_us(const bui_shard *shard);
/* Is a row below this id not acknowledged? refused: also one that waits for an operator. */
bool bui_relay_below(bui_shard *shard, int64_t id, bool refused);
void bui_relay_look(bui_shard *shard); /* look.c: at the claim, before the first row is sent: what is in Kafka goes */
bus_status bui_relay_start(bui_shard *shard, bus_error *err); /* after open: what the outbox still holds */
void bui_relay_free(bui_shard *shard);

/* refused.c: rows that Kafka does not take. */
bus_status bui_refused_start(bui_shard *shard, bus_error *err); /* after open: what waits for an operator */
bui_outcome bui_refused_command(bui_shard *shard, const bui_record *record, const bui_envelope *envelope);
void bui_refused_decided(bui_shard *shard);          /* the batch's decisions are durable */
int64_t bui_refused_waiting(const bui_shard *shard); /* destinations that wait behind one */

/* commits.c: the metadata of our commits, and those that are not ours */
bool bui_commit_read(const char *metadata, bui_commit_text *out); /* false: not ours */
void bui_commit_write(const bui_shard *shard, char out[BUI_COMMIT_TEXT]);
bool bui_commit_last(const bui_offset *committed, size_t count, bui_commit_text *out);
void bui_commit_look_around(bui_shard *shard); /* who else is in the group */
/* Does a committed offset that is not ours move the position `next`? BUS_REFUSED: nobody but a person can tell. */
bus_status bui_commit_counts(bui_shard *shard, const bui_offset *committed, int64_t next, bool *counts, bus_error *err);

/* offsets.c: telling Kafka, and the claim */
void bui_offsets_step(bui_shard *shard);
int64_t bui_offsets_wait_us(const bui_shard *shard);
bool bui_offsets_due(const bui_shard *shard); /* a commit, or a drain, waits for acknowledgements now */
bool bui_offsets_settled(const bui_shard *shard);
bool bui_offsets_expire_due(const bui_shard *shard);
bus_status bui_offsets_expire(bui_shard *shard,
                              bus_error *err); /* marks of silent sources, settled dead letters. Inside a transaction */

/* prepare.c */
void bui_prepare_fetched(bui_shard *shard, bui_shard_lane *lane, size_t from); /* submits what it may */
/* The step of a key's head, begun if it is not yet; NULL: no memory. Look at its state. */
bui_job_slot *bui_prepare_head(bui_shard *shard, const bui_key *key, const bui_delivery *delivery, const bui_parked *parked);
void bui_prepare_again(bui_shard *shard, bui_job_slot *slot);
bui_job_slot *bui_prepare_head_done(bui_shard *shard);          /* the next head whose step is done; NULL: none */
void bui_prepare_batch_over(bui_shard *shard, bool committed);  /* heads settled in the batch leave, or stay for its rerun */
void bui_prepare_settled(bui_shard *shard, bui_job_slot *slot); /* its event is settled: the next of its key may run */
void bui_prepare_collect(bui_shard *shard);
/* A step is done and others are out: wait a moment for those, rather than commit each alone? Asked repeatedly; when the moment
 * is over: no, until a batch has begun. */
bool bui_prepare_gathers(bui_shard *shard);
void bui_prepare_drop_lane(bui_shard *shard, bui_shard_lane *lane);
void bui_prepare_free(bui_shard *shard);
bui_record bui_parked_record(const bui_parked *parked, bui_arena *arena); /* the record it was; headers in the arena */
bool bui_prepare_topic(const bui_shard *shard, const char *topic);

#define BUI_HEAD_LEASE_MS 10000 /* a head whose step runs is looked at again after this long */

/* crash.c */
bui_crash_note *bui_crash_open(const char *directory, int shard, bus_error *err);
void bui_crash_close(bui_crash_note *note);
/* From now on it takes part in the isolation of `process`: see isolation.h. */
void bui_crash_beside(bui_crash_note *note, const void *process);
void bui_crash_enter(bui_crash_note *note, const bui_delivery *delivery);
void bui_crash_leave(bui_crash_note *note);
/* The same around a prepare step, on any thread; `place` is what enter gave. */
size_t bui_crash_enter_step(bui_crash_note *note, const bui_delivery *delivery);
void bui_crash_leave_step(bui_crash_note *note, size_t place);
bool bui_crash_suspect(const bui_crash_note *note,
                       const bui_delivery *delivery);    /* three deaths, and it was proven: not to be run */
bool bui_crash_died(const bui_crash_note *note);         /* the process died in a handler before this open */
bool bui_crash_died_in_step(const bui_crash_note *note); /* or in prepare steps; if it was one, that one is suspected */

#endif
