/* SPDX-License-Identifier: MIT
 * Runner: what a bus handle is made of. Threads of one handle:
 *   control   owns the transport: waits for the broker and topics, joins the group, opens, assigns and closes shards (control.c)
 *   seat      one per open shard: steps it (seat.c)
 *   warden    watchdog for stuck handlers, heartbeats, announcements (warden.c)
 *   outlet    runs the publisher's callbacks (outlet.c), started by the first publish
 *   schemas   follows bus.schemas into the catalog (announce.c)
 *   asker     asks the schema registry (asker.c), if there is one
 *   replies   reads this process's reply partition (request.c), started by the first request
 * and prepare threads (pool.c). Callers' threads meet shards only through `seats`, under `seats_lock`. */
#ifndef BUS_SERVICE_RUNNER_H
#define BUS_SERVICE_RUNNER_H

#include "base/clock.h"
#include "base/config.h"
#include "registry/cache.h"
#include "service/completion.h"
#include "shard/shard.h"
#include "shard/topics.h"
#include "store/slot.h"
#include <pthread.h>
#include <stdatomic.h>

typedef struct bus_seat bus_seat;
typedef struct bus_outlet bus_outlet;
typedef struct bus_replies bus_replies;
typedef struct bus_follower bus_follower;

/* What the handle is doing, for people and for readiness. */
typedef enum bus_phase {
    BUS_PHASE_WAITING,   /* for the broker or for topics */
    BUS_PHASE_JOINING,   /* for the group's first answer */
    BUS_PHASE_SERVING,   /* shards are assigned (maybe none: a standby) */
    BUS_PHASE_DETACHED,  /* had an assignment and waits for the next: bus_transact and bus_read still work */
    BUS_PHASE_PAUSED,    /* needs an operator */
    BUS_PHASE_STOPPING,
    BUS_PHASE_ENDED
} bus_phase;
const char *bus_phase_name(bus_phase phase);

typedef struct bus_process_metrics {
    bus_counter assignments, lost, rejoins, heartbeats, announced, schemas_refused, handlers_stuck, status_cut;
    bus_gauge dlq_compacted, ready, shards_open, handlers_stuck_now, started_ms;
} bus_process_metrics;
extern const bus_metric bus_process_metric_table[];

#define BUS_ANNOUNCED 64 /* more are looked up by their texts each time */

struct bus {
    const bus_service *service;        /* NULL: a publisher without a service */
    const char *name;                  /* the service's, or "publisher" */
    bus_config *config;
    const bus_clock *clock;
    bool init;                         /* --init */
    bus_accept accept;                 /* --accept */
    int64_t started_ms;
    int64_t drain_us;                  /* drain.timeout */
    bus_limits limits;
    bus_router *router;
    bus_catalog *catalog;
    bus_keys *keys;                    /* NULL: nothing is signed */
    bus_asker *asker;                  /* NULL: no schema registry */
    char *directory;                   /* <data.dir>/<service> */
    bus_slot *slot;
    bus_pool *pool;                    /* NULL: no route prepares */

    atomic_bool stopping;
    int stop_fd, ended_fd;             /* eventfds; readable for ever once written */
    _Atomic int64_t stop_us;           /* when the stop was noticed, 0 not yet */
    pthread_t control;
    bool control_started;
    bool leaked;                       /* a handler never came back: memory it may touch is left alone */

    pthread_mutex_t state_lock;        /* phase, phase_text, failure */
    pthread_cond_t state_changed;
    bus_phase phase;
    char phase_text[400];              /* why it waits or is paused, "" otherwise */
    bool joined;                       /* an assignment has come at least once */
    bus_status failure;
    bus_error failure_err;

    bus_transport *transport;          /* the control thread's */
    int32_t *partitions;               /* of bus_router_inputs()[i]; the control thread's */

    pthread_rwlock_t seats_lock;       /* `seats`, `shards` and each seat's `shard` */
    bus_seat *seats;
    int shards;                        /* N; 0: not known yet */

    bus_completions completions;
    pthread_mutex_t outlet_lock;
    _Atomic(bus_outlet *) outlet; /* made under the lock, then there until the end */
    _Atomic(const bus_type *) announced[BUS_ANNOUNCED]; /* types of events published here whose schemas others can learn */
    pthread_mutex_t replies_lock;
    bus_replies *replies;
    bus_follower *follower;
    pthread_t warden;
    bool warden_started;
    bus_process_metrics metrics;
};

/* As bus_open; `init` lets a new store be made although the group's commits name another (--init); `accept`: --accept. */
bus_status bus_open_with(const bus_service *service, const bus_config *config, bool init, bus_accept accept, bus **out, bus_error *err);

/* state.c */
void bus_set_phase(bus *bus, bus_phase phase, const char *format, ...) BUS_PRINTF(3, 4);
bus_phase bus_phase_of(bus *bus, char text[400]);    /* text may be NULL */
void bus_end(bus *bus, bus_status status, const bus_error *err); /* ends bus_run; the first failure is kept */
bool bus_stopping(const bus *bus);
/* True once more than drain.timeout and `extra_us` have passed since bus_stop was noticed: stop waiting for others. */
bool bus_out_of_time(bus *bus, int64_t extra_us);
/* Sleeps, but not through bus_stop; true if it was the stop. */
bool bus_nap(bus *bus, int64_t ms);
/* Readiness: false, with the reason, unless deliveries flow on all that is ours. `why` holds `cap` bytes. */
bool bus_ready(bus *bus, char *why, size_t cap);

/* control.c */
void *bus_control_main(void *bus);
/* warden.c */
void *bus_warden_main(void *bus);
/* One look at all handlers; how many are stuck now. */
int bus_watchdog_look(bus *bus);

#endif
