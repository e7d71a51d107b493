/* SPDX-License-Identifier: MIT
 * Runner: what a bus handle is made of. Threads of one handle:
 *   control   owns the transport: waits for the broker and topics, joins the group, opens, assigns and closes shards (control.c)
 *   the crew    step the shards (worker.c): one each, or workers.max for all (crew.c)
 *   watchdog    looks for stuck handlers, heartbeats, announcements (watchdog.c)
 *   publisher    runs the publisher's callbacks (publisher.c), started by the first publish
 *   schemas   follows bus.schemas into the catalog (announce.c)
 *   registry cache     asks the schema registry (registry/cache.c), if there is one
 *   replies   reads this process's reply partition (request.c), started by the first request
 * and prepare threads (pool.c). Callers' threads meet shards only through `workers`, under `workers_lock`. */
#ifndef BUI_SERVICE_RUNNER_H
#define BUI_SERVICE_RUNNER_H

#include "base/clock.h"
#include "base/config.h"
#include "registry/cache.h"
#include "service/completion.h"
#include "shard/shard.h"
#include "shard/topics.h"
#include "store/slot.h"
#include <pthread.h>
#include <stdatomic.h>

typedef struct bui_crew bui_crew;
typedef struct bui_worker bui_worker;
typedef struct bui_publisher bui_publisher;
typedef struct bui_replies bui_replies;
typedef struct bui_follower bui_follower;

/* What the handle is doing, for people and for readiness. */
typedef enum bui_phase {
    BUI_PHASE_WAITING,  /* for the broker or for topics */
    BUI_PHASE_JOINING,  /* for the group's first answer */
    BUI_PHASE_SERVING,  /* shards are assigned (maybe none: a standby) */
    BUI_PHASE_DETACHED, /* had an assignment and waits for the next: bus_transact and bus_read still work */
    BUI_PHASE_PAUSED,   /* needs an operator */
    BUI_PHASE_STOPPING,
    BUI_PHASE_ENDED
} bui_phase;
const char *bui_phase_name(bui_phase phase);

typedef struct bui_process_metrics {
    bui_counter assignments, lost, rejoins, heartbeats, announced, schemas_refused, handlers_stuck, status_cut;
    bui_gauge dlq_compacted, ready, shards_open, shards_waiting, workers, handlers_stuck_now, started_ms;
} bui_process_metrics;
extern const bui_metric bui_process_metric_table[];

/* Always 1; its labels say which versions run. */
typedef struct bui_build {
    bui_gauge one;
} bui_build;
extern const bui_metric bui_build_metric_table[];

#define BUI_ANNOUNCED 64 /* more are looked up by their texts each time */

struct bus {
    const bus_service *service; /* NULL: a publisher without a service */
    const char *name;           /* the service's, or "publisher" */
    bus_config *config;
    const bui_clock *clock;
    bool init;         /* --init */
    bui_accept accept; /* --accept */
    int64_t started_ms;
    int64_t drain_us; /* drain.timeout */
    bui_limits limits;
    bui_router *router;
    bui_catalog *catalog;
    bui_keys *keys;                     /* NULL: nothing is signed */
    bui_registry_cache *registry_cache; /* NULL: no schema registry */
    char *directory;                    /* <data.dir>/<service> */
    bui_slot *slot;
    bui_pool *pool; /* NULL: no route prepares */

    atomic_bool stopping;
    int stop_fd, ended_fd;   /* eventfds; once written they stay readable */
    _Atomic int64_t stop_us; /* when the stop was noticed, 0 not yet */
    pthread_t control;
    bool control_started;
    bool leaked; /* a handler never came back: memory it may touch is left alone */

    pthread_mutex_t state_lock; /* phase, phase_text, failure */
    pthread_cond_t state_changed;
    bui_phase phase;
    char phase_text[400]; /* why it waits or is paused, "" otherwise */
    bool joined;          /* an assignment has come at least once */
    bus_status failure;
    bus_error failure_err;

    bui_transport *transport; /* the control thread's */
    int32_t *partitions;      /* of bui_router_inputs()[i]; the control thread's */

    pthread_rwlock_t workers_lock; /* `workers`, `shards` and each worker's `shard` */
    bui_worker *workers;
    bui_crew *crew; /* the threads that run them */
    int shards;     /* N; 0: not known yet */

    bui_completions completions;
    pthread_mutex_t publisher_lock;
    _Atomic(bui_publisher *) publisher;                 /* made under the lock, then there until the end */
    _Atomic(const bus_type *) announced[BUI_ANNOUNCED]; /* types of events published here whose schemas others can learn */
    pthread_mutex_t replies_lock;
    bui_replies *replies;
    bui_follower *follower;
    pthread_mutex_t status_lock;
    struct bui_status_port *status_port; /* of bus_serve_status */
    pthread_t watchdog;
    bool watchdog_started;
    bui_process_metrics metrics;
};

/* As bus_open; `init` lets a new store be made although the group's commits name another (--init); `accept`: --accept. */
bus_status bui_open_with(const bus_service *service, const bus_config *config, bool init, bui_accept accept, bus **out,
                         bus_error *err);

/* state.c */
void bui_set_phase(bus *bus, bui_phase phase, const char *format, ...) BUS_PRINTF(3, 4);
bui_phase bui_phase_of(bus *bus, char text[400]);                /* text may be NULL */
void bui_end(bus *bus, bus_status status, const bus_error *err); /* ends bus_run; the first failure is kept */
bool bui_stopping(const bus *bus);
/* True once more than drain.timeout and `extra_us` have passed since bus_stop was noticed: stop waiting for others. */
bool bui_out_of_time(bus *bus, int64_t extra_us);
/* Sleeps, but not through bus_stop; true if it was the stop. */
bool bui_nap(bus *bus, int64_t ms);
/* Readiness: false, with the reason, unless deliveries flow on all that is ours. `why` holds `cap` bytes. */
bool bui_ready(bus *bus, char *why, size_t cap);

/* control.c */
void *bui_control_main(void *bus);
/* watchdog.c */
void *bui_watchdog_main(void *bus);
/* One look at all handlers; how many are stuck now. */
int bui_watchdog_look(bus *bus);

#endif
