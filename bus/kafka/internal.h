/* SPDX-License-Identifier: MIT
 * What the files of the real transport share. The transport belongs to the control thread, a port and its lanes to the
 * shard's thread; `assign` touches lanes while the ports are idle, as the contract demands. */
#ifndef BUI_KAFKA_INTERNAL_H
#define BUI_KAFKA_INTERNAL_H

#include "kafka/client.h"
#include "kafka/topic_reader.h"
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
    void *more; /* array and bytes, when they are more than fit */
    bus_header headers[KAFKA_HEADERS_INLINE];
    char bytes[KAFKA_HEADER_BYTES];
} kafka_fetched;

struct bui_lane {
    struct bui_lane *next; /* of the transport */
    kafka_port *port;
    const char *topic; /* interned: outlives the lane, for its unreleased records */
    int32_t partition;
    rd_kafka_queue_t *queue;
    size_t number;            /* the shard's */
    struct bui_lane *waiting; /* the next in the port's list */
    _Atomic bool listed;      /* it is in the list */
    int64_t eof;              /* offset at the last end of partition */
    int64_t next_offset;      /* offset after the last record taken; until then where the lane began */
    bus_error failure;        /* status BUS_OK: none */
};

typedef struct kafka_sender kafka_sender;
typedef struct kafka_place kafka_place;

/* A port's share of a sender (sender.h), joined with its first row. */
typedef struct kafka_producer {
    kafka_sender *sender; /* NULL: not joined */
    kafka_place *place;
    rd_kafka_t *rk;  /* the sender's */
    uint64_t opaque; /* the place's number, above the bits of a row's id */
    size_t out;      /* rows whose ends were not taken yet */
    size_t room;     /* for so many ends */
    bui_kafka_topics topics;
    /* Rows refused by `produce` itself: reported like the others. */
    bui_report *refused;
    size_t refused_count, refused_cap;
} kafka_producer;

/* Who looks at logs, for all ports of a transport. Its thread frees it. */
typedef struct kafka_rechecker {
    pthread_t thread;
    pthread_mutex_t lock; /* `closing`, `ports`, and what they ask */
    pthread_cond_t asked;
    rd_kafka_t *rk;
    kafka_port *ports;
    bool closing;
} kafka_rechecker;

struct kafka_port {
    bui_port port;
    kafka_transport *transport;
    char name[64];
    void (*wake)(void *opaque);
    void *opaque;
    _Atomic(bui_lane *) ready; /* lanes whose queues were empty and are not any more, the last first */
    unsigned turn;             /* which of the senders is its own */
    _Atomic bool deaf;         /* a report wakes nobody */
    kafka_fetched *spare;
    rd_kafka_message_t *batch[256];
    kafka_producer producer[BUI_CHANNELS];
    /* The commit under way: answers of older ones are known by their number and dropped. */
    rd_kafka_queue_t *commit_queue;
    uintptr_t commit_number;
    int64_t commit_deadline; /* 0: none under way */
    int commit_answer;
    bus_error commit_error;
    kafka_rechecker *rechecker; /* NULL: has not asked yet */
    kafka_port *next_rechecking;
    bui_recheck *recheck; /* what is asked, then the answer */
    size_t recheck_count;
    uint64_t recheck_number; /* a newer one supersedes those before */
    bool recheck_asked, recheck_done;
    int64_t refresh_at; /* when the member may be made to ask for metadata again */
};

struct kafka_transport {
    bui_transport transport;
    char where[128];
    const bus_config *config;                                                /* of its opener, which closes the transport first */
    rd_kafka_conf_t *member_conf, *outbox_conf, *reader_conf, *recheck_conf; /* templates */
    _Atomic int64_t least_bytes; /* of the outputs' max.message.bytes, as last reported; 0: not told */
    rd_kafka_t *tool;            /* for metadata and watermarks */
    rd_kafka_t *rk;              /* the member; NULL before join */
    rd_kafka_queue_t *queue;     /* its consumer queue: group events; changed under the lock, for `wake` */
    pthread_mutex_t lock;
    rd_kafka_queue_t *pulse; /* what `poll` waits on before joining */
    char group[256];
    kafka_rechecker *rechecker; /* made by the first look, under the lock */
    bool left;                  /* `leave` was called */
    pthread_mutex_t senders_lock;
    int senders_most;       /* producers.max */
    kafka_sender **senders; /* the current ones, by turn; NULL: none yet */
    _Atomic unsigned ports_opened;
    bui_lane *lanes;
    bool assigning;  /* an ASSIGNED event waits for its answer */
    int32_t *shards; /* of the last ASSIGNED */
    char **names;    /* interned topic names */
    size_t name_count, name_cap;
    size_t asked; /* of the names, those whose leaders this member has asked for */
    bui_company company;
    bool company_known; /* since the last assignment */
};

static inline kafka_transport *kafka_of(bui_transport *t)
{
    return (kafka_transport *)t;
}
static inline kafka_port *kafka_port_of(bui_port *p)
{
    return (kafka_port *)p;
}

/* company.c */
void kafka_company(bui_transport *t, int timeout_ms, bui_company *out);
void kafka_company_changed(kafka_transport *t, bool lost); /* the group has said something */

/* group.c */
bus_status kafka_join(bui_transport *t, const bui_membership *membership, bus_error *err);
void kafka_leave(bui_transport *t, int timeout_ms);
void kafka_poll(bui_transport *t, int timeout_ms, bui_group_event *out);
void kafka_wake(bui_transport *t);
void kafka_group_free(kafka_transport *t);
bus_status kafka_assign(bui_transport *t, bui_lane_spec *lanes, size_t count, bus_error *err);

/* offsets.c */
bus_status kafka_partitions(bui_transport *t, const char *topic, int timeout_ms, int32_t *out, bus_error *err);
bus_status kafka_largest(bui_transport *t, const char *const *topics, size_t count, int timeout_ms, int64_t *out, bus_error *err);
bus_status kafka_cleanup(bui_transport *t, const char *topic, int timeout_ms, char *out, size_t cap, bus_error *err);
bus_status kafka_watermarks(bui_transport *t, bui_offset *list, size_t count, int timeout_ms, bus_error *err);
bus_status kafka_committed(bui_transport *t, bui_offset *list, size_t count, int timeout_ms, bus_error *err);

/* topic_reader.c: as bui_kafka_reader_open, at most the last `most` offsets of each range; takes conf, also on failure. */
bus_status bui_kafka_reader_open_with(rd_kafka_conf_t *conf, const bui_range *ranges, size_t count, bui_read_order order,
                                      int64_t most, int timeout_ms, bui_kafka_reader **out, bus_error *err);

/* look.c */
bus_status kafka_look(bui_transport *t, bui_look *list, size_t count, int64_t most, int timeout_ms, bui_look_each each,
                      void *opaque, bus_error *err);

/* commit.c */
bus_status kafka_commit(bui_transport *t, const bui_offset *list, size_t count, int timeout_ms, bus_error *err);
void kafka_port_commit(bui_port *p, const bui_offset *list, size_t count);
int kafka_port_committed(bui_port *p, bus_error *err);

/* lane.c */
bus_status kafka_lane_open(kafka_transport *t, const bui_lane_spec *spec, bui_lane **out, bus_error *err);
size_t kafka_ready(bui_port *p, size_t *out, size_t max);

void kafka_lane_close(bui_lane *lane);
size_t kafka_fetch(bui_port *p, bui_lane *lane, bui_record *out, size_t max, bus_error *err);
void kafka_release(bui_port *p, bui_record *records, size_t count);
void kafka_rewind(bui_port *p, bui_lane *lane, int64_t offset);
int64_t kafka_end(bui_port *p, bui_lane *lane);
int64_t kafka_eof(bui_port *p, bui_lane *lane);

/* recheck.c */
void kafka_watch_signs(rd_kafka_conf_t *conf);
uint64_t kafka_doubts(bui_port *port);
bus_status kafka_recheck(bui_port *p, const bui_recheck *list, size_t count, bus_error *err);
size_t kafka_rechecked(bui_port *p, bui_recheck *out, size_t max);
void kafka_recheck_forget(kafka_port *port);
void kafka_recheck_end(kafka_transport *t);

/* producer.c */
bus_status kafka_produce(bui_port *p, bui_channel channel, const bui_row *row, bus_error *err);
size_t kafka_reports(bui_port *p, bui_report *out, size_t max);
void kafka_push(bui_port *port);
bool kafka_hear(bui_port *p, bool reports);
bool kafka_fatal(bui_port *p, bui_channel channel);
bus_status kafka_reset(bui_port *p, bui_channel channel, bus_error *err);

#endif
