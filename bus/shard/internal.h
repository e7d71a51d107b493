/* SPDX-License-Identifier: MIT
 * What the files of the shard call of each other. */
#ifndef BUS_SHARD_INTERNAL_H
#define BUS_SHARD_INTERNAL_H

#include "shard/parts.h"

/* The files call each other in one direction: shard, batch, fetch, receive, commands, replays, keys, lost, letters, emit, relay, reports; below
 * them handle, prepare, recheck, and what all use: delivery, lane, input, undo, notice. scripts/check-layers refuses a circle. */

/* undo.c: giving up what cannot stand */
void bus_shard_halt(bus_shard *shard, const bus_error *why);
/* Marks the batch for rollback: status other than BUS_OK ends it, BUS_OK asks for savepoints. Returns BUS_OUT_REDO. */
bus_outcome bus_shard_redo(bus_shard *shard, const bus_error *why);
/* A save around a delivery. */
bool bus_delivery_save(bus_shard *shard);     /* false: redo */
bool bus_delivery_release(bus_shard *shard);
bool bus_delivery_back(bus_shard *shard);

/* notice.c: what writers can cause at will */
#define BUS_SAY_AGAIN_US 10000000
/* May it be logged now? Once in ten seconds; the metrics count all. */
bool bus_shard_may_say(const bus_shard *shard, int64_t *last_us);
/* Counts and tells a record that is no `what`, and is passed over. */
void bus_ignored(bus_shard *shard, const bus_record *record, const char *event, const char *what);

/* trouble.c */
void bus_trouble_look(bus_shard *shard); /* at the end of an iteration */

/* input.c */
bus_shard_input *bus_shard_input_of(bus_shard *shard, const char *topic);
void bus_input_pause(bus_shard *shard, bus_shard_input *input, const char *why, bool schema);

/* lane.c: what a lane holds */
bool bus_lane_resting(const bus_shard *shard, const bus_shard_lane *lane);
void bus_lane_compact(bus_shard *shard, bus_shard_lane *lane);            /* gives settled records back */
void bus_shard_drop_fetched(bus_shard *shard, bus_shard_lane *lane);      /* gives unsettled records back */

/* fetch.c: what the lanes bring */
bool bus_fetch_all(bus_shard *shard);                                     /* true: something can be delivered */
bool bus_lane_allowed(bus_shard *shard, const bus_shard_lane *lane);      /* there is room for what it causes */
void bus_lane_at_end(bus_shard *shard, bus_shard_lane *lane);

/* recheck.c: do lanes still read the logs that they read before? */
bool bus_rechecks_step(bus_shard *shard);                                    /* takes an answer, asks for what is wanted; true: lanes may be sure now */
bool bus_lane_sure(bus_shard *shard, bus_shard_lane *lane);               /* false: its records wait, and a look is wanted */
int64_t bus_rechecks_wait_us(const bus_shard *shard);
bus_status bus_rechecks_room(bus_shard *shard, bus_error *err);              /* once the lanes are listed */
void bus_rechecks_attached(bus_shard *shard);
void bus_lane_began_at_anchor(bus_shard *shard, bus_shard_lane *lane);    /* its first record was the anchor: as good as a look */
void bus_lane_ends(bus_shard_lane *lane, int64_t end);                    /* where its log ends, as last heard */
void bus_rechecks_free(bus_shard *shard);
/* The log is not the one that was read before: says so with the ways out, and halts; one of retry records, which only trigger, is taken as it
 * is: false. */
bool bus_lane_replaced(bus_shard *shard, bus_shard_lane *lane, const char *what);
bool bus_lane_unchecked(const bus_shard *shard, const bus_shard_lane *lane, char *why, size_t cap); /* its looks have failed for a while */

/* batch.c: one transaction */
bool bus_batch_run(bus_shard *shard); /* false: nothing was to be done */
int64_t bus_batch_wait_us(bus_shard *shard);
void bus_batch_free(bus_shard *shard);

/* calls.c: transactions from outside */
void bus_calls_take(bus_shard *shard);              /* into the batch */
bool bus_calls_bring(bus_shard *shard, bus_call *call); /* the same for a visitor's; false: it must queue */
bus_outcome bus_calls_run(bus_shard *shard);
void bus_calls_done(bus_shard *shard);              /* the batch is durable */
void bus_calls_fail(bus_shard *shard, bus_status status, const char *text); /* all, also those still queued */

/* receive.c: from a lane's record to a settled delivery. */
typedef enum bus_taken { BUS_TAKEN, BUS_TAKE_WAIT, BUS_TAKE_REDO } bus_taken;
bus_taken bus_receive(bus_shard *shard, bus_shard_lane *lane, size_t index);
bool bus_receive_anchor_ok(bus_shard *shard, bus_shard_lane *lane, const bus_record *record, bool *skip);

/* delivery.c
 * Builds what a handler sees, from a record; the strings are in the arena. `command` is the kind of command that it came by, as the
 * topic or the store says it: only with one do its own headers say that it is a copy. BUS_CORRUPT: undecodable, delivery usable for
 * a dead letter all the same; BUS_MISSING: unknown schema; BUS_NOMEM. `decode` false: envelope and route only. */
bus_status bus_delivery_read(bus_shard *shard, const bus_record *record, int command, bus_arena *arena, bool decode, bus_delivery *out,
                             bus_error *err);
bus_identity bus_identity_of(const bus_delivery *delivery); /* borrows from it */
/* It is a copy that `bus replay` sent in this run. false: no memory. */
bool bus_delivery_is_copy(bus_delivery *delivery, bus_arena *arena, const char *run, size_t len);
bus_status bus_delivery_decode(bus_shard *shard, bus_delivery *delivery, bus_arena *arena, bus_error *err);
/* Keeps in the store what the registry said of its schema, so that a restart need not ask. Inside the transaction. */
bus_status bus_delivery_keep(bus_shard *shard, const bus_delivery *delivery, bus_error *err);
#define BUS_SEEN_SOURCE 512
size_t bus_seen_source(char out[BUS_SEEN_SOURCE], const bus_identity *event);
/* Headers for a copy of the event, in the arena with room for `more`: its own, less those of one hop, and bus-orig (its text goes to
 * orig_text). NULL: no memory. */
bus_header *bus_copy_headers(const bus_delivery *delivery, size_t more, bus_arena *arena, size_t *count, char orig_text[BUS_ORIG_TEXT]);

/* handle.c: runs a delivery's handler in the cage. With shard->batch.saved the caller holds a save and releases it after DONE;
 * else the handler gets its own. After any other outcome all since the save is undone and `saved` is false. */
bus_outcome bus_handle(bus_shard *shard, bus_delivery *delivery, bus_job_slot *job, bus_tx *tx);
bus_outcome bus_handle_call(bus_shard *shard, bus_call *call, bus_tx *tx);
void bus_tx_init(bus_tx *tx, bus_shard *shard, const bus_delivery *delivery);

/* schema_wait.c: true: its topic pauses until the schema is known. False: it has waited long enough, the delivery is undecodable now. */
bool bus_schema_waits(bus_shard *shard, bus_shard_input *input, bus_delivery *delivery, const bus_error *why);
int bus_schema_waiting(const bus_shard *shard); /* topics that have waited long */

/* emit.c: rows for the outbox. */
typedef struct bus_emission {
    bus_destination *destination;
    const char *event_id;
    const void *key; size_t key_len;
    const void *value; size_t value_len;
    const bus_header *headers; size_t header_count; /* without bus-hop */
    int64_t at;
    int attempt; int64_t not_before; const char *token;
    bool unchecked;                 /* the broker decides whether it takes it; see reports.c */
} bus_emission;
bus_status bus_emit_row(bus_shard *shard, const bus_emission *emission, bus_error *err);
int32_t bus_partitions_of(bus_shard *shard, const char *topic); /* 0: unknown */
bus_status bus_emit_scheduled(bus_shard *shard, const bus_scheduled *event, bus_error *err);

/* sizes.c: what fits a topic. `packed`: the length of the headers in the outbox. */
typedef struct bus_sized {
    const void *key; size_t key_len;
    const void *value; size_t value_len;
    const bus_header *headers; size_t header_count;
    const bus_header *own; size_t own_count;   /* what the hop adds */
    size_t packed;
} bus_sized;
/* BUS_TOO_BIG, saying by how much. `what` begins the sentence. */
bus_status bus_size_check(bus_shard *shard, const char *what, const char *topic, const bus_sized *record, bus_error *err);
int64_t bus_size_most(bus_shard *shard, const char *topic, bool *own); /* own: our property's bound, not the topic's */
void bus_sizes_look_again(bus_shard *shard); /* the broker refused a record: has a limit changed? */

/* keys.c: the key's states. */
bus_outcome bus_key_arrive(bus_shard *shard, bus_delivery *delivery, bus_job_slot *job);
bus_outcome bus_key_run_head(bus_shard *shard, bus_key *key);   /* WAITING or DRAINING */
bus_outcome bus_key_drain(bus_shard *shard, bus_key *key, int most);
bus_outcome bus_key_discard_head(bus_shard *shard, bus_key *key);
/* After an open: heads that had no route go on if this version has one. So many keys a batch; held_at says how far it came. */
bus_outcome bus_keys_look_again(bus_shard *shard, int most);
const bus_key *bus_key_of_token(bus_shard *shard, const bus_slice *token);

/* letters.c: dead letters. */
bus_status bus_letter_fetch(bus_shard *shard, const char *id, bus_letter *out, bool *found, bus_error *err);
bus_status bus_letter_open(bus_shard *shard, const bus_delivery *delivery, const bus_tx *why, int attempts, bus_key *holding, bus_error *err);
/* The open letter of a head that had no route, and now has: it waits again, due at once. */
bus_status bus_letter_take_up(bus_shard *shard, bus_key *key, const bus_delivery *delivery, bus_error *err);
bus_status bus_letter_settle(bus_shard *shard, const char *id, bus_letter_state state, bus_error *err);
/* Is a letter of this event open, or redriven and not through? A copy is asked for its event's. */
bus_status bus_letter_is_open(bus_shard *shard, const bus_delivery *delivery, bool *open, bus_error *err);
/* Names in a delivery the letter that it is redriven from: its id if it came by command (len > 0), else the one of its event. */
bus_status bus_letter_name(bus_shard *shard, bus_delivery *delivery, bus_slice id, int round, bus_error *err);
/* Changes an open or redriven letter's state and tells the topic. */
bus_status bus_letter_change(bus_shard *shard, bus_letter *letter, bus_letter_state state, const bus_header *more, size_t more_count,
                             bus_error *err);
/* A redriven letter whose event is nowhere: open again, and saying so. What the command had of it goes along. */
bus_status bus_letter_open_again(bus_shard *shard, bus_letter *letter, const bus_record *command, const char *why, bus_error *err);
/* The record of an open letter once more: its topic has lost it. */
bus_status bus_letter_publish_again(bus_shard *shard, const bus_letter *letter, const bus_delivery *delivery, const bus_letter_cause *cause,
                                    bool held, bus_error *err);
bus_status bus_letter_head_waits(bus_shard *shard, bus_key *key, bus_error *err); /* a held head waits, due at once */

/* lost.c: open letters whose records their topic has lost. */
void bus_lost_attached(bus_shard *shard);                         /* look at once: another may have had the shard */
void bus_lost_step(bus_shard *shard);                             /* asks for a look when it is time, takes what it found */
bool bus_lost_waiting(const bus_shard *shard);                    /* there are some to be published again */
bus_outcome bus_lost_run(bus_shard *shard);                       /* publishes some. Inside a transaction */
void bus_lost_over(bus_shard *shard);                             /* that transaction committed */
int64_t bus_lost_wait_us(const bus_shard *shard);
void bus_lost_free(bus_shard *shard);

/* commands.c: what comes by `<service>.redrive`. */
bus_outcome bus_command_run(bus_shard *shard, const bus_record *record);

/* replays.c: copies sent by `bus replay`. */
bus_outcome bus_replay_receive(bus_shard *shard, const bus_record *record, const bus_envelope *envelope);

/* bodies.c: the bytes of letters that do not carry them. */
#define BUS_BODY_TEXT 320
/* `bus-body` for a record about the event that has no value; there: although it has one. The text is in `text`. */
bus_header bus_body_header(const bus_delivery *delivery, bool there, char text[BUS_BODY_TEXT]);
bool bus_body_fits_command(bus_shard *shard, const bus_event *event, const bus_header *headers, size_t count);
/* Keeps them in the store, with the headers of a copy. */
bus_status bus_body_of_letter(bus_shard *shard, const char *letter, const bus_event *event, const bus_header *headers, size_t count,
                              bus_error *err);
/* The command with the event's bytes that the store holds for the letter, in the arena; the command as it is if it holds none. */
bus_status bus_body_join(bus_shard *shard, const char *letter, const bus_record *command, bus_record *out, bus_error *err);

/* relay.c */
void bus_relay_reports(bus_shard *shard);
/* Before a row for it is written: what is committed must find its way, and without memory a later row would overtake it. */
bool bus_relay_expect(bus_shard *shard, bus_destination *destination);
void bus_relay_committed(bus_shard *shard);        /* the rows just added are durable: send them, soon */
void bus_relay_pump(bus_shard *shard);             /* rows that are behind, probes, resets */
/* Inside a transaction; lazily: only what costs nothing. */
bus_status bus_relay_delete_acked(bus_shard *shard, bool lazily, bus_error *err);
void bus_relay_deleted(bus_shard *shard);          /* that transaction committed */
bool bus_relay_wants_delete(const bus_shard *shard, bool idle);
/* Before sleeping; true: do not, there are reports. `due`: does something else wait for them? */
bool bus_relay_listen(bus_shard *shard, bool (*due)(const bus_shard *));
int64_t bus_relay_wait_us(const bus_shard *shard);
int64_t bus_relay_lowest(const bus_shard *shard);  /* least id not acknowledged; INT64_MAX: none */
int64_t bus_relay_lowest_of(const bus_shard *shard, bool refused); /* refused: also of destinations that wait for an operator */
void bus_relay_look(bus_shard *shard);             /* look.c: at the claim, before the first row is sent: what is in Kafka goes */
bus_status bus_relay_start(bus_shard *shard, bus_error *err); /* after open: what the outbox still holds */
void bus_relay_free(bus_shard *shard);

/* refused.c: rows that Kafka does not take. */
bus_status bus_refused_start(bus_shard *shard, bus_error *err);  /* after open: what waits for an operator */
bus_outcome bus_refused_command(bus_shard *shard, const bus_record *record, const bus_envelope *envelope);
void bus_refused_decided(bus_shard *shard);                      /* the batch's decisions are durable */
int64_t bus_refused_waiting(const bus_shard *shard);             /* destinations that wait behind one */

/* commits.c: the metadata of our commits, and those that are not ours */
bool bus_commit_read(const char *metadata, bus_commit_text *out);       /* false: not ours */
void bus_commit_write(const bus_shard *shard, char out[BUS_COMMIT_TEXT]);
bool bus_commit_last(const bus_offset *committed, size_t count, bus_commit_text *out);
void bus_commit_look_around(bus_shard *shard);                          /* who else is in the group */
/* Does a committed offset that is not ours move the position `next`? BUS_REFUSED: nobody but a person can tell. */
bus_status bus_commit_counts(bus_shard *shard, const bus_offset *committed, int64_t next, bool *counts, bus_error *err);

/* offsets.c: telling Kafka, and the claim */
void bus_offsets_step(bus_shard *shard);
int64_t bus_offsets_wait_us(const bus_shard *shard);
bool bus_offsets_due(const bus_shard *shard); /* a commit, or a drain, waits for acknowledgements now */
bool bus_offsets_settled(const bus_shard *shard);
bus_status bus_offsets_expire(bus_shard *shard, bus_error *err); /* marks of sources that fell silent. Inside a transaction */

/* prepare.c */
void bus_prepare_fetched(bus_shard *shard, bus_shard_lane *lane, size_t from); /* submits what it may */
/* The step of a key's head, begun if it is not yet; NULL: no memory. Look at its state. */
bus_job_slot *bus_prepare_head(bus_shard *shard, const bus_key *key, const bus_delivery *delivery, const bus_parked *parked);
void bus_prepare_again(bus_shard *shard, bus_job_slot *slot);
bus_job_slot *bus_prepare_head_done(bus_shard *shard); /* the next head whose step is done; NULL: none */
void bus_prepare_batch_over(bus_shard *shard, bool committed); /* heads settled in the batch leave, or stay for its rerun */
void bus_prepare_settled(bus_shard *shard, bus_job_slot *slot); /* its event is settled: the next of its key may run */
void bus_prepare_collect(bus_shard *shard);
/* A step is done and others are out: wait a moment for those, rather than commit each alone? Asked again and again; when the moment
 * is over: no, until a batch has begun. */
bool bus_prepare_gathers(bus_shard *shard);
void bus_prepare_drop_lane(bus_shard *shard, bus_shard_lane *lane);
void bus_prepare_free(bus_shard *shard);
bus_record bus_parked_record(const bus_parked *parked, bus_arena *arena); /* the record it was; headers in the arena */
bool bus_prepare_topic(const bus_shard *shard, const char *topic);

#define BUS_HEAD_LEASE_MS 10000 /* a head whose step runs is looked at again after this long */

/* crash.c */
bus_crash_note *bus_crash_open(const char *directory, int shard, bus_error *err);
void bus_crash_close(bus_crash_note *note);
/* From now on it takes turns with the other notes of `process`: see turn.h. */
void bus_crash_beside(bus_crash_note *note, const void *process);
void bus_crash_enter(bus_crash_note *note, const bus_delivery *delivery);
void bus_crash_leave(bus_crash_note *note);
/* The same around a prepare step, on any thread; `place` is what enter gave. */
size_t bus_crash_enter_step(bus_crash_note *note, const bus_delivery *delivery);
void bus_crash_leave_step(bus_crash_note *note, size_t place);
bool bus_crash_suspect(const bus_crash_note *note, const bus_delivery *delivery); /* three deaths, and it was proven: not to be run */
bool bus_crash_died(const bus_crash_note *note);   /* the process died in a handler before this open */
bool bus_crash_died_in_step(const bus_crash_note *note); /* or in prepare steps; if it was one, that one is suspected */

#endif
