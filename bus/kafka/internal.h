/* SPDX-License-Identifier: MIT
 * What the files of the real transport share. The transport belongs to the control thread, a port and its lanes to the
 * shard's thread; `assign` touches lanes while the ports are idle, as the contract demands. */
#ifndef BUS_KAFKA_INTERNAL_H
#define BUS_KAFKA_INTERNAL_H

#include "kafka/client.h"
#include "kafka/reader.h"
#include "kafka/send.h"
#include "shard/transport.h"
#include <pthread.h>
#include <stdatomic.h>

typedef struct kafka_transport kafka_transport;
typedef struct kafka_port kafka_port;

/* A fetched record's memory: librdkafka's message, and its headers copied. Kept by the port for reuse. */
#define KAFKA_HEADERS_INLINE 16
#define KAFKA_HEADER_BYTES 640
typedef struct kafka_fetched {
    struct kafka_fetched *next;
    rd_kafka_message_t *message;
    void *more;                                  /* array and bytes, when they are more than fit */
    bus_header headers[KAFKA_HEADERS_INLINE];
    char bytes[KAFKA_HEADER_BYTES];
} kafka_fetched;

struct bus_lane {
    struct bus_lane *next;       /* of the transport */
    kafka_port *port;
    const char *topic;           /* interned: outlives the lane, for its unreleased records */
    int32_t partition;
    rd_kafka_queue_t *queue;
    int64_t eof;                 /* offset at the last end of partition */
    int64_t next_offset;         /* offset after the last record taken; until then where the lane began */
    bus_error failure;           /* status BUS_OK: none */
};

/* A producer of a port, made when first used. */
typedef struct kafka_producer {
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;     /* its main queue: delivery reports and errors */
    rd_kafka_event_t *reports;   /* delivery reports half taken */
    bus_kafka_topics topics;
    bool fatal;
    /* Rows refused by `produce` itself: reported like the others. */
    bus_report *refused;
    size_t refused_count, refused_cap;
} kafka_producer;

/* Who looks at logs, for all ports of a transport. Its thread frees it. */
typedef struct kafka_rechecker {
    pthread_t thread;
    pthread_mutex_t lock;        /* `closing`, `ports`, and what they ask */
    pthread_cond_t asked;
    rd_kafka_t *rk;
    kafka_port *ports;
    bool closing;
} kafka_rechecker;

struct kafka_port {
    bus_port port;
    kafka_transport *transport;
    char name[64];
    void (*wake)(void *opaque);
    void *opaque;
    _Atomic bool deaf;           /* a report wakes nobody */
    kafka_fetched *spare;
    rd_kafka_message_t *batch[256];
    kafka_producer producer[BUS_CHANNELS];
    /* The commit under way: answers of older ones are known by their number and dropped. */
    rd_kafka_queue_t *commit_queue;
    uintptr_t commit_number;
    int64_t commit_deadline;     /* 0: none under way */
    int commit_answer;
    bus_error commit_error;
    kafka_rechecker *rechecker;        /* NULL: has not asked yet */
    kafka_port *next_rechecking;
    bus_recheck *recheck;              /* what is asked, then the answer */
    size_t recheck_count;
    uint64_t recheck_number;        /* a newer one supersedes those before */
    bool recheck_asked, recheck_done;
    int64_t refresh_at;             /* when the member may be told again to ask for metadata */
};

struct kafka_transport {
    bus_transport transport;
    char where[128];
    rd_kafka_conf_t *member_conf, *outbox_conf, *reader_conf, *recheck_conf; /* templates */
    _Atomic int64_t least_bytes;                 /* of the outputs' max.message.bytes, as told last; 0: not told */
    rd_kafka_t *tool;            /* for metadata and watermarks */
    rd_kafka_t *rk;              /* the member; NULL before join */
    rd_kafka_queue_t *queue;     /* its consumer queue: group events; changed under the lock, for `wake` */
    pthread_mutex_t lock;
    rd_kafka_queue_t *pulse;     /* what `poll` waits on before joining */
    char group[256];
    kafka_rechecker *rechecker;        /* made by the first look, under the lock */
    bool left;                   /* `leave` was called */
    bus_lane *lanes;
    bool assigning;              /* an ASSIGNED event waits for its answer */
    int32_t *shards;             /* of the last ASSIGNED */
    char **names;                /* interned topic names */
    size_t name_count, name_cap;
    size_t asked;                /* of the names, those whose leaders this member has asked for */
    bus_company company;
    bool company_known;          /* since the last assignment */
};

static inline kafka_transport *kafka_of(bus_transport *t) { return (kafka_transport *)t; }
static inline kafka_port *kafka_port_of(bus_port *p) { return (kafka_port *)p; }

/* company.c */
void kafka_company(bus_transport *t, int timeout_ms, bus_company *out);
void kafka_company_changed(kafka_transport *t, bool lost); /* the group has said something */

/* group.c */
bus_status kafka_join(bus_transport *t, const bus_membership *membership, bus_error *err);
void kafka_leave(bus_transport *t, int timeout_ms);
void kafka_poll(bus_transport *t, int timeout_ms, bus_group_event *out);
void kafka_wake(bus_transport *t);
void kafka_group_free(kafka_transport *t);
bus_status kafka_assign(bus_transport *t, bus_lane_spec *lanes, size_t count, bus_error *err);

/* offsets.c */
bus_status kafka_partitions(bus_transport *t, const char *topic, int timeout_ms, int32_t *out, bus_error *err);
bus_status kafka_largest(bus_transport *t, const char *const *topics, size_t count, int timeout_ms, int64_t *out, bus_error *err);
bus_status kafka_cleanup(bus_transport *t, const char *topic, int timeout_ms, char *out, size_t cap, bus_error *err);
bus_status kafka_watermarks(bus_transport *t, bus_offset *list, size_t count, int timeout_ms, bus_error *err);
bus_status kafka_committed(bus_transport *t, bus_offset *list, size_t count, int timeout_ms, bus_error *err);

/* reader.c: as bus_kafka_reader_open, at most the last `most` offsets of each range; takes conf, also on failure. */
bus_status bus_kafka_reader_open_with(rd_kafka_conf_t *conf, const bus_range *ranges, size_t count, bus_read_order order, int64_t most,
                                      int timeout_ms, bus_kafka_reader **out, bus_error *err);

/* look.c */
bus_status kafka_look(bus_transport *t, bus_look *list, size_t count, int64_t most, int timeout_ms, bus_look_each each, void *opaque,
                      bus_error *err);

/* commit.c */
bus_status kafka_commit(bus_transport *t, const bus_offset *list, size_t count, int timeout_ms, bus_error *err);
void kafka_port_commit(bus_port *p, const bus_offset *list, size_t count);
int kafka_port_committed(bus_port *p, bus_error *err);

/* lane.c */
bus_status kafka_lane_open(kafka_transport *t, kafka_port *port, const char *topic, int32_t partition, int64_t offset,
                           bus_lane **out, bus_error *err);

void kafka_lane_close(bus_lane *lane);
size_t kafka_fetch(bus_port *p, bus_lane *lane, bus_record *out, size_t max, bus_error *err);
void kafka_release(bus_port *p, bus_record *records, size_t count);
void kafka_rewind(bus_port *p, bus_lane *lane, int64_t offset);
int64_t kafka_end(bus_port *p, bus_lane *lane, int64_t *eof_offset);

/* recheck.c */
void kafka_watch_signs(rd_kafka_conf_t *conf);
uint64_t kafka_doubts(bus_port *port);
bus_status kafka_recheck(bus_port *p, const bus_recheck *list, size_t count, bus_error *err);
size_t kafka_rechecked(bus_port *p, bus_recheck *out, size_t max);
void kafka_recheck_forget(kafka_port *port);
void kafka_recheck_end(kafka_transport *t);

/* producer.c */
bus_status kafka_produce(bus_port *p, bus_channel channel, const bus_row *row, bus_error *err);
size_t kafka_reports(bus_port *p, bus_report *out, size_t max);
void kafka_push(bus_port *port);
bool kafka_hear(bus_port *p, bool reports);
bool kafka_fatal(bus_port *p, bus_channel channel);
bus_status kafka_reset(bus_port *p, bus_channel channel, bus_error *err);
void kafka_producer_end(kafka_producer *producer);

#endif
