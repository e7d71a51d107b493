/* SPDX-License-Identifier: MIT
 * Service: one consumer group with its handlers and stores. Declared as constants, run by
 * bus_service_main (a whole program) or bus_open (inside yours). */
#ifndef BUS_SERVICE_H
#define BUS_SERVICE_H

#include <bus/event.h>
#include <bus/publish.h>
#include <bus/tx.h>
#include <bus/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A handler runs inside the shard's transaction, for one event; no I/O here. One thread at a time runs a shard, its open, its
 * handlers and its close, and each sees what the one before has written; it need not be the same thread (workers.max), so what
 * belongs to a thread (thread-local variables, a lock that is held) does not last. `state` is what bus_service.open left there. */
typedef bus_verdict (*bus_handler)(bus_tx *tx, const bus_event *event, void *state);

/* One run of a prepare step, for bus_prepare_keep and bus_prepare_fail. */
typedef struct bus_prepare bus_prepare;

/* Slow or blocking work before the transaction, on a pool thread: one event of a key at a time, at least once. Use event->id as
 * the idempotency key. Leave a result with bus_prepare_keep. Return BUS_DONE to have the handler run, or bus_prepare_fail for the
 * other verdicts. `state` is the handlers': what the step changes there it has to lock. */
typedef bus_verdict (*bus_preparer)(bus_prepare *prepare, const bus_event *event, void *state);

/* Leaves `len` bytes for the handler's bus_prepared_result, instead of what was left before.
 * Thread: the prepare step's.
 * Errors: BUS_TOO_BIG: over 1 MiB; BUS_NOMEM. If the step then returns BUS_DONE all the same, the event is retried.
 * Owner: copies the bytes. */
bus_status bus_prepare_keep(bus_prepare *prepare, const void *bytes, size_t len);

/* Returns `verdict` and keeps the reason, as bus_retry and bus_reject do; for BUS_PAUSE the dependency that is away.
 * Thread: the prepare step's.
 * Errors: none.
 * Owner: copies the reason. */
bus_verdict bus_prepare_fail(bus_prepare *prepare, bus_verdict verdict, const char *reason, ...) BUS_PRINTF(3, 4);

/* What becomes of the key when its event is given up on. */
typedef enum bus_dead_policy {
    BUS_RELEASE_KEY = 0, /* later events of the key go on */
    BUS_HOLD_KEY         /* they stay parked until the letter is redriven or discarded */
} bus_dead_policy;

/* What becomes of a copy that `bus replay` sends to the service. Its event was handled before: for a handler that inserts a row or adds
 * to a sum, handling the copy too is wrong. So a route says whether its handler may run again, which sees bus_event.replay. A copy
 * that fails becomes a dead letter at once: it is not retried, and no event of its key waits for it. */
typedef enum bus_replay_policy {
    BUS_REPLAY_REFUSE = 0, /* it is not handled, but counted and logged; the command says so before it sends */
    BUS_REPLAY_SKIP,       /* it is not handled, and counted */
    BUS_REPLAY_RUN         /* the handler runs */
} bus_replay_policy;

/* Where to begin in a topic that the service has not read before. */
typedef enum bus_start { BUS_FROM_START = 0, BUS_FROM_END } bus_start;

/* One subscription: events of `type` on `topic` go to `handler`. A list ends with a zero topic. Without a type the route is raw: it
 * takes every type of the topic that no other route names, undecoded. With `tombstone` it takes records without a value instead. */
typedef struct bus_route {
    const char *topic;
    const bus_type *type;
    bus_handler handler;
    bus_preparer prepare; /* NULL: no prepare step */
    bus_dead_policy on_dead;
    bus_start start;
    bool tombstone;
    bool compacted;    /* the topic is compacted: missing records raise no alarm, and no event without a key may be emitted */
    const char *scope; /* keys wait per scope; default the topic. Routes sharing a scope share order */
    int attempts;      /* how often to run before a dead letter; default: property retry.attempts */
    bus_replay_policy replay;
    bool replay_emits;    /* what the handler emits, schedules and cancels for a copy counts, too: else it is discarded */
    bool replay_prepares; /* `prepare` runs for a copy, too: else bus_prepared_result gives NULL for it */
} bus_route;

/* What the service writes. A list ends with a zero type. */
typedef struct bus_emits {
    const bus_type *type;
    const char *topic; /* default "<service>.events" */
} bus_emits;

/* One step of the store's own schema. Steps are applied in their order, each once. New ones go to the end; one that was released must
 * not change, which its checksum shows. Every table needs a primary key that is NOT NULL. A list ends with a zero name. */
typedef struct bus_migration {
    const char *name;
    const char *sql;
} bus_migration;

/* What a property of a service's own may be set to. A duration is given as 250ms, 8s or 2h and read in milliseconds, a size as 64k or 1g and read in
 * bytes, true or false are read as 1 and 0, a choice is read as its place in the list. */
typedef enum bus_property_kind {
    BUS_PROPERTY_TEXT = 0,
    BUS_PROPERTY_INT,
    BUS_PROPERTY_BOOL,
    BUS_PROPERTY_DURATION,
    BUS_PROPERTY_SIZE,
    BUS_PROPERTY_CHOICE
} bus_property_kind;

/* A property of the service's own, beside those of the library: set by the same files, environment and arguments, checked as they are, and shown by
 * --help. Programs of other services leave it alone, so one file serves all. A list ends with a zero name. */
typedef struct bus_property {
    const char *
        name; /* "service.<the service's name>." and a-z, 0-9 and '.': service.inventory.low.water; BUS_SERVICE_INVENTORY_LOW_WATER */
    bus_property_kind kind;
    const char *value;   /* the default, as text; NULL: "" */
    int64_t least, most; /* of an int, in ms of a duration, in bytes of a size; both 0: no bounds */
    const char *choices; /* of a choice: "low|medium|high" */
    bool secret;         /* never logged, refused in arguments; <name>.file reads it from a file */
    const char *help;    /* one line */
} bus_property;

/* A running bus: one process's membership in one service, or a publisher without a service. */
typedef struct bus bus;

/* A service. Zero means default; only the name has none. */
typedef struct bus_service {
    const char *name;        /* [a-z][a-z0-9-]{0,62} */
    const bus_route *routes; /* NULL: it reads nothing, and the lead topic tells how many shards there are */
    const bus_emits *emits;
    const bus_migration *migrations;
    /* Called once per opened shard, on a thread that runs nothing else of it meanwhile, after migrations; what it leaves in *state is
     * passed to handlers. NULL: handlers get NULL. */
    bus_status (*open)(struct sqlite3 *db, int shard, void *opaque, void **state, bus_error *err);
    void (*close)(void *state);
    void *opaque;
    const char
        *version; /* of the service itself, up to 31 of A-Z a-z 0-9 . + - _ ~; NULL: none. `--version`, `bus services`, metrics */
    /* For threads of the program beside the shards, which call bus_transact, bus_publish and the like. bus_service_main calls on_start once the
     * bus is open (shards may not be assigned yet: bus_transact waits for that), with bus_service.opaque; what it returns but BUS_OK ends the
     * program. on_stop is called when the bus stops, before it is closed: it has to end every use of `bus`, and join those threads; their calls
     * return BUS_CLOSED or BUS_CANCELLED by then. It is not called if on_start failed. A program that calls bus_open needs neither.
     * Thread: the main thread. */
    bus_status (*on_start)(bus *bus, void *opaque, bus_error *err);
    void (*on_stop)(bus *bus, void *opaque);
    const bus_property *properties; /* of its own; read them by bus_config_text and bus_config_int */
    const struct bus_state *const
        *states; /* of <bus/state.h>, ends with NULL: their tables are made and widened before `migrations` run */
} bus_service;

/* Configuration: a checked set of properties, see docs/configuration.md. */
typedef struct bus_config bus_config;

/* Returns a configuration with every default.
 * Thread: any.
 * Errors: none; NULL without memory.
 * Owner: it is the caller's: bus_config_free. */
bus_config *bus_config_new(void);
void bus_config_free(bus_config *config);

/* Adds the properties that `service` declares, with their defaults, and gives them what was set before. bus_service_main and
 * bus_open do it themselves; a program that calls bus_open calls it first, so that errors name the file and line.
 * Thread: any, one at a time for one configuration.
 * Errors: BUS_INVALID: a declaration is wrong; BUS_CONFIG: a value that was set is; BUS_EXISTS: it has another service's properties;
 * BUS_NOMEM.
 * Owner: borrows what `service` points to until bus_config_free. */
bus_status bus_config_declare(bus_config *config, const bus_service *service, bus_error *err);

/* Read a property, of the library or declared: as text, and as the number that its kind gives (0 for a text). If there is none of
 * that name they return NULL and 0 and log it. Read what handlers need once, in bus_service.open.
 * Thread: any, while nobody changes `config`.
 * Errors: none.
 * Owner: the text is the configuration's, until that is changed or freed. */
const char *bus_config_text(const bus_config *config, const char *name);
int64_t bus_config_int(const bus_config *config, const char *name);

/* Return the configuration that is in force: bus_config_of that of a bus, bus_config_here that of the bus whose code the calling
 * thread runs (a handler, a prepare step, a transaction, bus_service.open), NULL in other places.
 * Thread: any.
 * Errors: none.
 * Owner: it is the bus's, and does not change. */
const bus_config *bus_config_of(const bus *bus);
const bus_config *bus_config_here(void);

/* Sets one property. "kafka.X" passes X to librdkafka; "X.file" sets the secret X to what a file holds.
 * Thread: any, one at a time for one configuration.
 * Errors: BUS_CONFIG: unknown name (the text offers the nearest) or wrong value; BUS_IO: the file of a secret cannot be read;
 * BUS_NOMEM.
 * Owner: copies name and value. */
bus_status bus_config_set(bus_config *config, const char *name, const char *value, bus_error *err);

/* Sets what a file says: lines "name = value"; '#' begins a comment line. All of it or, after an error, nothing.
 * Thread: any, one at a time for one configuration.
 * Errors: BUS_IO: it cannot be read; BUS_CONFIG: what is wrong, with file and line; BUS_NOMEM.
 * Owner: keeps nothing of the path. */
bus_status bus_config_read(bus_config *config, const char *path, bus_error *err);

/* Sets what the environment says: bootstrap.servers is BUS_BOOTSTRAP_SERVERS. All of it or, after an error, nothing.
 * Thread: any, one at a time for one configuration, while none changes the environment.
 * Errors: BUS_CONFIG: what is wrong, with the variable's name; BUS_IO: the file of a secret cannot be read; BUS_NOMEM. */
bus_status bus_config_environment(bus_config *config, bus_error *err);

/* As bus_open, for a program compiled with the headers of version `headers`, a BUS_VERSION_NUMBER. For other languages; C and
 * C++ call bus_open.
 * Thread: any.
 * Errors: as bus_open.
 * Owner: as bus_open. */
bus_status bus_open_for(int headers, const bus_service *service, const bus_config *config, bus **out, bus_error *err);

/* Joins the service's group and starts its threads. Returns when configuration and routes are checked, not when shards are
 * assigned: a broker that is away is waited for. `service` NULL opens a publisher: bus_publish, bus_flush and bus_request
 * only. It turns SQLite's statistics of memory off for the process (sqlite3_memory_used, soft heap limits), because all shards meet at
 * their mutex; a program that wants them, or whose other threads may begin to use SQLite at the same time, calls
 * sqlite3_initialize first.
 * Thread: any.
 * Errors: BUS_INVALID: a route or a name is wrong; BUS_SCHEMA: a type's schema is; BUS_CONFIG; BUS_IO; BUS_NOMEM; BUS_FULL: too
 * many processes of this service on this host; BUS_REFUSED: others can write to the data directory or read a key file, or the
 * library's structs are not those of these headers (docs/abi.md).
 * Owner: *out is the caller's: bus_close it. Copies config; borrows `service` and what it points to until bus_close. */
static inline bus_status bus_open(const bus_service *service_, const bus_config *config_, bus **out_, bus_error *err_)
{
    return bus_open_for(BUS_VERSION_NUMBER, service_, config_, out_, err_);
}

/* Serves /metrics, /healthz and /readyz at status.listen and status.port until bus_close; with status.port 0 it does nothing. For
 * a program that calls bus_open: bus_service_main does it itself.
 * Thread: any.
 * Errors: BUS_IO: the port is taken; BUS_CONFIG: status.listen is no address; BUS_EXISTS: it is served already; BUS_NOMEM. */
bus_status bus_serve_status(bus *bus, bus_error *err);

/* Drains (property drain.timeout.ms at most), leaves the group, closes the stores, frees the bus; NULL is a no-op. Whatever was
 * committed and not yet acknowledged leaves at the next open. Reports that still wait for bus_dispatch are given to their
 * `done`. If a handler never returns, the bus is left as it is and logged: end the process.
 * Thread: any but the library's (a handler, a prepare step, a callback); once, when no other call uses the bus.
 * Errors: none. */
void bus_close(bus *bus);

/* Waits until bus_stop is called or the service ends by itself, because going on could lose or double something.
 * Thread: any but the library's.
 * Errors: why it ended: BUS_REFUSED, BUS_CORRUPT, BUS_STORE, BUS_IO or another; the text has the way out. BUS_OK after bus_stop. */
bus_status bus_run(bus *bus, bus_error *err);

/* Makes bus_run return and deliveries end after the batch that is under way.
 * Thread: any, and signal handlers.
 * Errors: none. */
void bus_stop(bus *bus);

/* For a program with its own event loop: returns a descriptor that is readable while reports for bus_transact_async and
 * bus_publish wait. bus_dispatch calls their `done` and returns how many; before the first bus_fd the library's threads call it.
 * Thread: any.
 * Errors: none; -1: the process has no descriptor left (ulimit -n).
 * Owner: the descriptor is the bus's: poll it, do not read or close it. */
int bus_fd(bus *bus);
int bus_dispatch(bus *bus);

/* A function run inside the store's transaction; what it returns but BUS_DONE rolls it back. */
typedef bus_verdict (*bus_transaction)(bus_tx *tx, void *opaque);

/* Runs `fn` in a transaction of the shard that owns `key` and returns when it is durable. Callers at the same time share a
 * commit. `fn` runs where the shard's handlers run or, while the shard rests, on the caller's thread, which should have 128 KiB of
 * stack: always alone in its shard. Right after bus_open it waits for the first assignment (open.wait.ms at most). The caller cannot be
 * cancelled meanwhile.
 * Thread: any but a handler's (BUS_INVALID there) and one on which the library calls `done`, which would wait for itself.
 * Errors: BUS_REFUSED: `fn` returned a verdict other than BUS_DONE, whose reason is in err; it was rolled back, as with any of
 * fn's sticky errors, which are returned as they are. BUS_ELSEWHERE: the shard is another process's. BUS_BROKER: no shard was
 * assigned in time. BUS_FULL: the outbox is at its bound, or the disk is full. BUS_INVALID: no key, and several shards; or the
 * bus has no service. BUS_CLOSED: stopping, or the shard is leaving. BUS_NOMEM. BUS_IO: the disk failed; should the process end
 * now, the transaction may be found committed at the next open.
 * Owner: `key`, `fn` and `opaque` are used until it returns. */
bus_status bus_transact(bus *bus, bus_string key, bus_transaction fn, void *opaque, bus_error *err);

/* As bus_transact without waiting: `done` is called exactly once if BUS_OK is returned, else never. It may be NULL.
 * Thread: any but a handler's (BUS_INVALID there).
 * Errors: as bus_transact, but BUS_BROKER at once while no shard is assigned; what becomes of the transaction itself is told to
 * `done`.
 * Owner: keeps nothing of `key`; `opaque` must live until `done` has been called. */
bus_status bus_transact_async(bus *bus, bus_string key, bus_transaction fn, bus_done done, void *opaque, bus_error *err);

/* A function that reads a snapshot; what it returns is what bus_read returns. */
typedef bus_status (*bus_reader)(struct sqlite3 *db, void *opaque, bus_error *err);

/* Runs `fn` on a query-only snapshot of the shard that owns `key`, beside the writer; at most store.read.max.ms, then SQLite
 * interrupts it. It sees what was committed: not what a handler has written that still runs.
 * Thread: any; `fn` runs on it.
 * Errors: those of `fn`; BUS_TIMEOUT: interrupted; BUS_ELSEWHERE: the shard is another process's; BUS_BROKER: no shard is
 * assigned yet; BUS_INVALID: no key, and several shards; or the bus has no service; BUS_STORE: SQLite cannot read; BUS_NOMEM.
 * Owner: `db` is valid inside `fn`; statements left open are finalized. */
bus_status bus_read(bus *bus, bus_string key, bus_reader fn, void *opaque, bus_error *err);

/* As bus_service_main, for a program compiled with the headers of version `headers`; see bus_open_for.
 * Thread: the main thread.
 * Errors: as bus_service_main.
 * Owner: as bus_service_main. */
int bus_service_main_for(int headers, int argc, char **argv, const bus_service *service);

/* The whole main of a service: parses argv (--help tells), reads configuration, logs JSON to stderr,
 * serves metrics and health, returns the exit code. The only function that prints, reads argv or takes signals. SIGTERM and
 * SIGINT stop and drain; a second one ends the process at once with exit code 130, and whatever was committed leaves at the next
 * start. SIGHUP reads the configuration again and applies what can change while the service runs (log.level); if it is wrong,
 * the log says so and nothing changes.
 * Thread: the main thread, once.
 * Errors: none but the exit code, which it returns: 0 ended as asked, 1 an error, 2 wrong usage or configuration, 5 refused, 6
 * no broker (bus-service(7)).
 * Owner: borrows `service` until it returns. */
static inline int bus_service_main(int argc_, char **argv_, const bus_service *service_)
{
    return bus_service_main_for(BUS_VERSION_NUMBER, argc_, argv_, service_);
}

#ifdef __cplusplus
}
#endif
#endif
