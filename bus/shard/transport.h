/* SPDX-License-Identifier: MIT
 * Transport: all that a shard knows of Kafka. Two implementations: bus/kafka (librdkafka) and
 * bus/testing/memory_transport.c (in memory, for simulation and tests).
 *
 * A transport is one process's client: membership in the service's consumer group, metadata, committed offsets.
 * Its functions are called by one control thread, except where noted. A port is one shard's share of it: its lanes
 * (one per assigned partition) and its producers; called only by the thread that runs the shard. No function of a
 * port blocks. */
#ifndef BUI_SHARD_TRANSPORT_H
#define BUI_SHARD_TRANSPORT_H

#include <bus/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUI_OFFSET_START (-2)   /* as Kafka's ListOffsets: earliest */
#define BUI_OFFSET_END (-1)     /* latest */
#define BUI_OFFSET_NONE (-1001) /* no offset known */

typedef struct bui_transport bui_transport;
typedef struct bui_port bui_port;
typedef struct bui_lane bui_lane;

/* A record as fetched. Everything is borrowed until bui_port_ops.release. */
typedef struct bui_record {
    const char *topic; /* same pointer for all records of a lane */
    int32_t partition;
    int64_t offset;
    int64_t timestamp; /* ms since the epoch, -1: none */
    const void *key;   /* NULL: none; empty: not NULL, length 0 */
    size_t key_len;
    const void *value; /* NULL: tombstone */
    size_t value_len;
    const bus_header *headers;
    size_t header_count;
    void *handle; /* the transport's */
} bui_record;

/* A record's hash: of what no other record has at this place, unless it is a copy. Kind 1: of key, value, timestamp and headers; kind 0, of
 * key and value, is in stores made before. In delivery.c. */
#define BUI_HASH_KIND 1
uint64_t bui_record_hash(const bui_record *record, int kind);

/* A look at one partition's log: where it begins and ends now, and what is at two places. */
#define BUI_RECHECK_PLACES 2
typedef struct bui_recheck {
    const char *topic;
    int32_t partition;
    struct bui_recheck_place {
        int64_t offset; /* -1: none */
        int kind;       /* of the hash that is wanted */
        bool there;     /* the answer: a record is there, with this hash; false: it was compacted away, or none was there */
        uint64_t hash;
    } place[BUI_RECHECK_PLACES];
    int64_t low, high; /* the answer */
    bus_status status; /* other than BUS_OK: no answer about this one */
} bui_recheck;

/* A partition with an offset and, for commits, metadata. */
typedef struct bui_offset {
    const char *topic;
    int32_t partition;
    int64_t offset;     /* BUI_OFFSET_NONE: none */
    int64_t low, high;  /* filled by `watermarks` */
    char metadata[160]; /* "" if none; longer foreign metadata is cut */
    bus_status status;  /* of this partition, filled by answers */
} bui_offset;

/* What the group told this process. */
typedef enum bui_group_event_kind {
    BUI_GROUP_NONE,     /* nothing within the time-out */
    BUI_GROUP_ASSIGNED, /* these partitions of the lead topic are ours now; answer with `assign` */
    BUI_GROUP_REVOKED,  /* stop deliveries of all shards, then answer with `assign` of nothing */
    BUI_GROUP_LOST,     /* as revoked, but the group has already forgotten us: commits will fail, stores may stay open */
    BUI_GROUP_ERROR     /* err says what; fatal: the client is of no further use */
} bui_group_event_kind;

typedef struct bui_group_event {
    bui_group_event_kind kind;
    int32_t *shards; /* of ASSIGNED: lead partitions; borrowed until the next `poll` */
    size_t count;
    bus_error err;
} bui_group_event;

typedef struct bui_membership {
    const char *group;    /* the service's name */
    const char *lead;     /* its lead topic */
    const char *instance; /* static group.instance.id; NULL: dynamic member */
    int session_ms;
    size_t lanes; /* the most that this process may get; 0: unknown */
} bui_membership;

/* One partition to fetch from. */
typedef struct bui_lane_spec {
    bui_port *port;
    const char *topic;
    int32_t partition;
    int64_t offset; /* a real offset, BUI_OFFSET_START or BUI_OFFSET_END */
    size_t number;  /* the shard's own of the lane, for `ready` */
    bui_lane *lane; /* filled by `assign`; valid until the next `assign` */
} bui_lane_spec;

/* A partition to look back at, from its end. */
typedef struct bui_look {
    const char *topic;
    int32_t partition;
    int64_t since_ms;  /* records with older timestamps are of no interest */
    bus_status status; /* filled: BUS_OK if all that was asked for has been read; else why not */
} bui_look;
typedef bool (*bui_look_each)(const bui_record *record, void *opaque); /* false: stop */

/* Who else is in the group. A member of ours is one whose client.id is its group.instance.id. */
typedef struct bui_company {
    int strangers;       /* members that are not of this service, now */
    bool had_strangers;  /* or at any assignment of this membership */
    uint64_t membership; /* a number of its own for each time that the group may have been without this process */
    char who[160];       /* the first stranger's client.id and host */
} bui_company;

struct bui_transport_ops {
    /* Joins the group; events then come from `poll`. */
    bus_status (*join)(bui_transport *t, const bui_membership *membership, bus_error *err);
    /* Leaves the group and returns within timeout_ms, whatever the broker does. */
    void (*leave)(bui_transport *t, int timeout_ms);
    /* Waits up to timeout_ms for a group event. Must be called regularly (max.poll.interval.ms). */
    void (*poll)(bui_transport *t, int timeout_ms, bui_group_event *out);
    /* Wakes a `poll` in progress. Any thread. */
    void (*wake)(bui_transport *t);
    /* Replaces the whole set of lanes (count 0: none); former lanes are gone, their unreleased records stay valid until
     * released. May be called at any time while a member, and answers ASSIGNED, REVOKED and LOST. Every port must be
     * idle: no thread may be inside one. */
    bus_status (*assign)(bui_transport *t, bui_lane_spec *lanes, size_t count, bus_error *err);
    /* Number of partitions: BUS_OK, BUS_MISSING if the topic is not there, BUS_BROKER, BUS_DENIED. */
    bus_status (*partitions)(bui_transport *t, const char *topic, int timeout_ms, int32_t *out, bus_error *err);
    /* Fills a topic's cleanup.policy, "" if it is unknown. NULL: nothing is known. */
    bus_status (*cleanup)(bui_transport *t, const char *topic, int timeout_ms, char *out, size_t cap, bus_error *err);
    /* Fills max.message.bytes of each topic, 0 if it is unknown (no such topic, no right to ask). NULL: nothing is known. */
    bus_status (*largest)(bui_transport *t, const char *const *topics, size_t count, int timeout_ms, int64_t *out,
                          bus_error *err);
    /* Fills low and high of each. */
    bus_status (*watermarks)(bui_transport *t, bui_offset *list, size_t count, int timeout_ms, bus_error *err);
    /* Fills offset and metadata of each with what the group has committed. */
    bus_status (*committed)(bui_transport *t, bui_offset *list, size_t count, int timeout_ms, bus_error *err);
    /* Commits and waits for the answer at most timeout_ms. */
    bus_status (*commit)(bui_transport *t, const bui_offset *list, size_t count, int timeout_ms, bus_error *err);
    /* Who is in the group with us, as of the last assignment. What cannot be asked counts as nobody. May be NULL. */
    void (*company)(bui_transport *t, int timeout_ms, bui_company *out);
    /* Gives `each` the committed records of partitions that are not older than asked for (some that are older, too), at most
     * the last `most` offsets of each, to the ends as they are now. The topic of a record is not the list's pointer. What
     * cannot be read has that in its entry's status and harms no other; an error says that nothing could be read. Blocks at
     * most timeout_ms. NULL: it cannot look. */
    bus_status (*look)(bui_transport *t, bui_look *list, size_t count, int64_t most, int timeout_ms, bui_look_each each,
                       void *opaque, bus_error *err);
    /* A port for one shard. `wake` is called from any thread when a lane has records, a report waits, or a commit was
     * answered, having had none. */
    bus_status (*port_open)(bui_transport *t, const char *name, void (*wake)(void *opaque), void *opaque, bui_port **out,
                            bus_error *err);
    /* Discards what the producers hold and frees the port; its lanes must have been unassigned and its records released. */
    void (*port_close)(bui_port *port);
    void (*free)(bui_transport *t);
};

/* Which of a port's producers. */
typedef enum bui_channel { BUI_MAIN, BUI_PROBE, BUI_CHANNELS } bui_channel;

/* One row to send. Copied before `produce` returns. */
typedef struct bui_row {
    int64_t id; /* comes back in the report; 0 to 2^48 - 1 */
    const char *topic;
    int32_t partition;
    const void *key;
    size_t key_len; /* NULL: none */
    const void *value;
    size_t value_len; /* NULL: tombstone */
    const bus_header *headers;
    size_t header_count;
    int64_t timestamp; /* ms, 0: now */
} bui_row;

/* How a send ended. */
typedef enum bui_report_kind {
    BUI_REPORT_ACKED,  /* stored, at `offset` */
    BUI_REPORT_UNSURE, /* acknowledged without an offset, or unknown: send it again */
    BUI_REPORT_TOPIC,  /* this topic or partition is at fault: denied, missing, timestamps refused ... */
    BUI_REPORT_RECORD, /* maybe this record: too large, corrupt, invalid; alone it tells */
    BUI_REPORT_FAILED  /* anything else: stop, wait for all reports, rewind */
} bui_report_kind;

typedef struct bui_report {
    bui_channel channel;
    int64_t id;
    bui_report_kind kind;
    int64_t offset;
    char text[160]; /* of the error */
} bui_report;

struct bui_port_ops {
    /* Takes up to `max` records of a lane, oldest first, without waiting. Sets *err and returns 0 if the lane has
     * failed: BUS_MISSING (its topic is gone), BUS_CORRUPT (its offset is outside the log: auto.offset.reset=error),
     * BUS_DENIED. */
    size_t (*fetch)(bui_port *port, bui_lane *lane, bui_record *out, size_t max, bus_error *err);
    /* Gives records back. */
    void (*release)(bui_port *port, bui_record *records, size_t count);
    /* The lane's current end of log as far as known, for lag. */
    int64_t (*end)(bui_port *port, bui_lane *lane);
    /* The offset at the last end of partition that the fetcher has reached (transactions leave offsets without records before it), or
     * BUI_OFFSET_NONE. Costs nothing. */
    int64_t (*eof)(bui_port *port, bui_lane *lane);
    /* Queues a row on a channel; BUS_OK, BUS_FULL (local queue: stop and go on after reports), or
     * BUS_CLOSED: the producer has become fatal, call `reset`. */
    bus_status (*produce)(bui_port *port, bui_channel channel, const bui_row *row, bus_error *err);
    /* Takes up to `max` reports, in any order between destinations. */
    size_t (*reports)(bui_port *port, bui_report *out, size_t max);
    /* Whether a report wakes the shard from now on (at first it does). True: there are some already. */
    bool (*hear)(bui_port *port, bool reports);
    /* Sends rows that linger in the producers, without waiting for them. NULL: none linger there. */
    void (*push)(bui_port *port);
    /* True if the channel's producer has become fatal and must be `reset`. */
    bool (*fatal)(bui_port *port, bui_channel channel);
    /* Replaces the channel's producer by a new one; rows still out are forgotten: no report of them comes any more. */
    bus_status (*reset)(bui_port *port, bui_channel channel, bus_error *err);
    /* Starts committing offsets (with metadata) for the group; a newer call supersedes an unanswered one. The answer
     * is taken by `committed`: 0 none yet, 1 ok, -1 failed (err). Failure is not grave: SQLite is the truth. */
    void (*commit)(bui_port *port, const bui_offset *list, size_t count);
    int (*committed)(bui_port *port, bus_error *err);
    /* Starts a look at logs; NULL: they are never another. The answer wakes the shard and is taken by `looked`: as many as were asked for, in the
     * same order, without their topics' names; 0: none yet. A newer look supersedes an unanswered one. */
    bus_status (*recheck)(bui_port *port, const bui_recheck *list, size_t count, bus_error *err);
    size_t (*rechecked)(bui_port *port, bui_recheck *out, size_t max);
    /* Makes a lane go on at this offset: what was fetched before and not taken is dropped. NULL: cannot. */
    void (*rewind)(bui_port *port, bui_lane *lane, int64_t offset);
    /* Grows with each sign that a log read by this port may not be the one it was: a leader that changed or was away, a connection made
     * again, metadata asked for. Before any record that came after the sign. */
    uint64_t (*doubts)(bui_port *port);
    /* Takes the numbers of up to `max` lanes in which something came (records, an end, a failure) since they were last taken. A lane
     * that still holds what came then is not named again: go on with `fetch` until it gives nothing. NULL: any lane may have something. */
    size_t (*ready)(bui_port *port, size_t *out, size_t max);
};

struct bui_transport {
    const struct bui_transport_ops *ops;
};
struct bui_port {
    const struct bui_port_ops *ops;
};

#endif
