/* SPDX-License-Identifier: MIT
 * Scene: one shard of a small service, `svc`, for tests that play one rule of the protocol. Its handlers do what the events
 * say and leave their words in a table, in order.
 *
 * A copy that is replayed runs on `in`, `held` and `steps` (without its step), is skipped on `slow`, refused on `typed`; on `pair`, which has the
 * scope of `in`, it runs and emits. It reads `in`, `pair` and `slow` (dead letters release the key), `held` (hold it), `steps` (with a prepare step) and `typed` (inventory.ReleaseStock, its order_id
 * is the text; tombstones too, which are rejected with the key "reject"), and emits inventory.ReleaseStock to svc.events and payment.RefundPayment to svc.other. An event's
 * text is a name and instructions: "a retry=2" fails twice, "reject", "pause" (while scene.weather is bad), "unready" (so does its prepare step), "die", "die-preparing", "emit",
 * "emit=3", "pass" (emits with the headers it got), "big=9000" (one of so many bytes; "later-big=9000": what is scheduled has so many), "other", "schedule=500", "due=500" (at 500 ms from the scene's start), "name=x" (of the schedule), "cancel=x", "bad-sql", "answer" (see bus_reply), "write" (effect before
 * the verdict). After scene.mended everything succeeds. */
#ifndef TESTS_SUPPORT_SCENE_H
#define TESTS_SUPPORT_SCENE_H

#include "testing/clock.h"
#include "support/snapshot.h"
#include "testing/test_host.h"

typedef struct scene {
    bui_virtual_clock clock;
    bui_memory_cluster *cluster;
    bui_catalog *catalog;
    bus_service service;
    bui_host_options options;
    bui_host *host;
    char data[64];
    const bui_keys *signs; /* what is sent is signed with; NULL: not at all */
    bool mended, weather;
    int runs, replays;             /* of handlers, whatever came of them; of them with a copy that was replayed */
    int prepared;                  /* prepare steps that began */
    bus_event last, last_prepared; /* what was handled and prepared last; of their words only the numbers may be looked at */
    size_t value_len;              /* of the event that a handler of a raw route had last */
    uint64_t value_hash;
    char *big;
    bool cancelled; /* what bus_cancel said last */
    bool dying;     /* the handler has died: see scene_run */
    snapshot *files;
    char text[2048]; /* what scene_effects and the like return */
    bui_memory_fate (*fate)(struct scene *scene, const bui_row *row, bui_channel channel); /* NULL: all acknowledged */
    int asked;                                                                             /* how often `fate` was */
} scene;

/* cmocka's set-up and tear-down; *state is the scene, its process running and at rest. */
int scene_set_up(void **state);
int scene_tear_down(void **state);

/* A fate: no row is answered until the test delivers it. */
bui_memory_fate scene_hold_all(struct scene *scene, const bui_row *row, bui_channel channel);
/* Stored, and its producer is not told. */
bui_memory_fate scene_lose_ack(struct scene *scene, const bui_row *row, bui_channel channel);

/* The process: it ends at a step boundary, as by kill -9 between two steps; and one starts. */
void scene_stop(scene *scene);
void scene_start(scene *scene);
/* Removes the stopped shard's files. */
void scene_lose_store(scene *scene);
/* Runs all there is to do now; then, for `ms`, what falls due. A handler that dies takes the process down: the store is as at
 * the last commit, and another process is started. */
void scene_run(scene *scene);
void scene_pass(scene *scene, int64_t ms);
/* One turn of scene_run; is there more to do now? */
bool scene_iteration(scene *scene);
/* The same at a group's new assignment of the same shard. */
void scene_rebalance(scene *scene);

/* Sends. The id is the text's first word; source "test". `seq` > 0: with the hop of "far/0#1" */
int64_t scene_send(scene *scene, const char *topic, const char *key, const char *text);
int64_t scene_send_hop(scene *scene, const char *topic, const char *source, int64_t seq, const char *key, const char *text);
void scene_send_raw(scene *scene, const char *topic, const char *key, const char *type, const void *value, size_t len);
int64_t scene_send_headers(scene *scene, const char *topic, const char *key, const bus_header *headers, size_t count,
                           const char *text);
/* A command about the at-th dead letter of the dead-letter topic, with the dead letter's own bytes. round 0: as the dead
 * letter says. */
void scene_command(scene *scene, int64_t at, const char *word, int round);

/* Runs SQL on its store from a connection of its own. */
void scene_meddle(scene *scene, const char *sql);
/* The group's offset of a topic to the start, as Kafka's tool sets it: while the group has no members. */
void scene_set_back(scene *scene, const char *topic);

/* As `bus outbox discard` does, by ann@host for `why`, with the first row that Kafka refused. false: none was. */
bool scene_discard_refused(scene *scene);

/* With further headers. */
int64_t scene_send_with(scene *scene, const char *topic, const char *key, const char *text, const bus_header *more, size_t count);
/* What `bus replay --to-service` writes: the seq-th copy of a run, of the record at an offset of a topic. */
void scene_replay(scene *scene, const char *topic, int64_t offset, const char *run, int seq, int most_failures);

/* The words of the effects so far, in order, separated by spaces. */
const char *scene_effects(scene *scene);
/* A topic as "text" words of its events, or of dead letters as "class:state:round" words. */
const char *scene_topic(scene *scene, const char *topic);
const char *scene_letters(scene *scene);
/* How many headers of a record begin so; -1: there is no such record. */
int scene_headers_of(scene *scene, const char *topic, int64_t offset, const char *prefix);
/* One number out of the store. */
int64_t scene_ask(scene *scene, const char *sql);
const bui_shard_metrics *scene_metrics(scene *scene);
/* Why the shard does not run; BUS_OK if it does. The text is in scene->text. */
bus_status scene_failure(scene *scene);

#endif
