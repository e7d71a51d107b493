/* SPDX-License-Identifier: MIT
 * Teller: the program that integration tests run where a service is also called from its own threads. It enters texts into its
 * store, each once, and says each on <name>.events; it does so by bus_transact, or for a key that lives elsewhere by bus_request.
 *
 *   teller [--argument ...]              a service program like any other
 *   teller callers N EACH [--p=v ...]    N threads make EACH entries; a line "ok <text>" once one is durable here, "asked <text>"
 *                                        once another process has answered for it
 *   teller outsider N EACH [--p=v ...]   the same by bus_request alone, as a program without a service
 *   teller loop EACH [--p=v ...]         an event loop on bus_fd: bus_transact_async and bus_publish
 *   teller limits [--p=v ...]            what must be refused, one JSON line each
 * A command's number says what to do with its text: 1 enter it and answer, 0 enter it without an answer, 2 call bus_transact in the
 * handler and answer with what it said. Environment: TELLER_NAME (default teller), TELLER_RUN (begins each text).
 *
 *   entry(text, times, key) */
#include "said.h"
#include <bus/bus.h>
#include <poll.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MOST_CALLERS 256

static char commands[200], events[200], replies[200];
static const char *run_name;
static bus *the_bus;

/* ---- the service */

static const bus_migration migrations[] = {
    { "entries", "CREATE TABLE entry(text TEXT NOT NULL PRIMARY KEY, times INTEGER NOT NULL, key TEXT NOT NULL) WITHOUT ROWID" },
    { 0 }
};

typedef struct entry {
    char text[100], key[60];
} entry;

static bus_verdict enter(bus_tx *tx, void *opaque)
{
    const entry *mine = opaque;
    sqlite3_stmt *add = bus_sql(tx, "INSERT INTO entry VALUES(?1, 1, ?2) ON CONFLICT(text) DO UPDATE SET times = times + 1");
    if (!add)
        return BUS_RETRY;
    bus_bind_text(add, 1, bus_str(mine->text));
    bus_bind_text(add, 2, bus_str(mine->key));
    if (sqlite3_step(add) != SQLITE_DONE)
        return bus_retry(tx, "the entry cannot be written");
    echo_Said said = { .number = 1, .text = bus_str(mine->text) };
    bus_emit(tx, &echo_Said_type, bus_str(mine->key), &said);
    return BUS_DONE;
}

static bus_verdict on_said(bus_tx *tx, const bus_event *event, void *shard)
{
    (void)shard;
    const echo_Said *said = bus_event_body(event, &echo_Said_type);
    echo_Said answer = { .number = said->number, .text = said->text };
    entry mine;
    snprintf(mine.text, sizeof mine.text, "%.*s", (int)said->text.len, said->text.at);
    snprintf(mine.key, sizeof mine.key, "%.*s", BUS_TEXT(event->key));
    if (said->number == 2)
        answer.number = bus_transact(the_bus, bus_str(mine.key), enter, &mine, NULL);
    else if (enter(tx, &mine) != BUS_DONE)
        return bus_retry(tx, "the entry cannot be written");
    if (said->number != 0)
        bus_reply(tx, &echo_Said_type, &answer);
    return BUS_DONE;
}

/* ---- callers */

typedef struct caller {
    pthread_t thread;
    int number, each;
    bool outside;
} caller;
static atomic_int failures;

static void told(const bus_event *reply, void *opaque)
{
    const echo_Said *said = bus_event_body(reply, &echo_Said_type);
    const entry *mine = opaque;
    if (!said || said->number != 1 || said->text.len != strlen(mine->text) ||
        memcmp(said->text.at, mine->text, said->text.len) != 0) {
        printf("failed another's answer\n");
        atomic_fetch_add(&failures, 1);
    }
}

static bus_status ask(entry *mine, int64_t number, int timeout_ms, bus_error *err)
{
    echo_Said said = { .number = number, .text = { mine->text, strlen(mine->text) } };
    return bus_request(the_bus,
                       &(bus_publication){ .topic = commands, .type = &echo_Said_type, .key = bus_str(mine->key), .body = &said },
                       &(bus_request_options){ .reply_type = &echo_Said_type, .timeout_ms = timeout_ms }, told, mine, err);
}

static void *call(void *opaque)
{
    caller *one = opaque;
    for (int i = 0; i < one->each; i++) {
        entry mine;
        bus_error err = { 0 };
        const char *how = "ok";
        snprintf(mine.text, sizeof mine.text, "%s-%d-%d", run_name, one->number, i);
        snprintf(mine.key, sizeof mine.key, "key-%d", (one->number * 7 + i) % 32);
        bus_status status = one->outside ? BUS_ELSEWHERE : bus_transact(the_bus, bus_str(mine.key), enter, &mine, &err);
        if (status == BUS_ELSEWHERE) {
            how = "asked";
            status = ask(&mine, 1, 20000, &err);
        }
        if (status == BUS_OK) {
            printf("%s %s\n", how, mine.text); /* one write: stdout is line buffered */
        } else {
            printf("failed %s %s: %s\n", mine.text, bus_status_name(status), err.text);
            atomic_fetch_add(&failures, 1);
        }
    }
    return NULL;
}

static int callers(int count, int each, bool outside)
{
    static caller all[MOST_CALLERS];
    for (int i = 0; i < count && i < MOST_CALLERS; i++) {
        all[i] = (caller){ .number = i, .each = each, .outside = outside };
        if (pthread_create(&all[i].thread, NULL, call, &all[i]) != 0)
            return 1;
    }
    for (int i = 0; i < count && i < MOST_CALLERS; i++)
        pthread_join(all[i].thread, NULL);
    return atomic_load(&failures) ? 1 : 0;
}

/* ---- an event loop */

static pthread_t loop_thread;
static atomic_int transacted, published, strangers, failed;

static void note(atomic_int *which, bus_status status)
{
    if (!pthread_equal(pthread_self(), loop_thread))
        atomic_fetch_add(&strangers, 1);
    atomic_fetch_add(status == BUS_OK ? which : &failed, 1);
}

static void on_transacted(const bus_result *result, void *opaque)
{
    free(opaque);
    note(&transacted, result->status);
}

static void on_published(const bus_result *result, void *opaque)
{
    (void)opaque;
    note(&published, result->status);
}

static bus_verdict do_nothing(bus_tx *tx, void *opaque)
{
    (void)tx;
    (void)opaque;
    return BUS_DONE;
}

static int loop(int each)
{
    bus_error err = { 0 };
    loop_thread = pthread_self();
    if (bus_transact(the_bus, BUS_STR("key"), do_nothing, NULL, &err) != BUS_OK) /* waits for the first assignment */
        return fprintf(stderr, "%s\n", err.text), 1;
    struct pollfd ready = { .fd = bus_fd(the_bus), .events = POLLIN };
    for (int i = 0; i < each; i++) {
        entry *mine = calloc(1, sizeof *mine);
        char text[100];
        snprintf(mine->text, sizeof mine->text, "%s-async-%d", run_name, i);
        snprintf(mine->key, sizeof mine->key, "key");
        snprintf(text, sizeof text, "%s-published-%d", run_name, i);
        echo_Said said = { .number = 0, .text = { text, strlen(text) } };
        if (bus_transact_async(the_bus, BUS_STR("key"), enter, on_transacted, mine, &err) != BUS_OK ||
            bus_publish(the_bus,
                        &(bus_publication){ .topic = commands, .type = &echo_Said_type, .key = BUS_STR("key"), .body = &said },
                        on_published, NULL, &err) != BUS_OK)
            return fprintf(stderr, "%s\n", err.text), 1;
    }
    usleep(500 * 1000);
    int early = transacted + published + failed, woken = 0;
    while (transacted + published + failed < 2 * each) {
        if (poll(&ready, 1, 20000) <= 0)
            return fprintf(stderr, "the descriptor stays silent\n"), 1;
        woken++;
        bus_dispatch(the_bus);
    }
    int quiet = poll(&ready, 1, 100);
    printf(
        "{\"transacted\":%d,\"published\":%d,\"failed\":%d,\"strangers\":%d,\"early\":%d,\"woken\":%d,\"readable_after\":%d}\n",
        transacted, published, failed, strangers, early, woken, quiet);
    return 0;
}

/* ---- limits */

static bus_verdict reject(bus_tx *tx, void *opaque)
{
    enter(tx, opaque);
    return bus_reject(tx, "not today");
}

static bus_verdict alter(bus_tx *tx, void *opaque)
{
    (void)opaque;
    bus_sql(tx, "ALTER TABLE entry ADD COLUMN more");
    return BUS_DONE;
}

static bus_verdict emit_much(bus_tx *tx, void *opaque)
{
    static char much[2 << 20];
    enter(tx, opaque);
    echo_Said said = { .number = 1, .text = { much, sizeof much } };
    memset(much, 'x', sizeof much);
    bus_emit(tx, &echo_Said_type, BUS_STR("key"), &said);
    return BUS_DONE;
}

static bus_status count_entries(sqlite3 *db, void *opaque, bus_error *err)
{
    (void)err;
    sqlite3_stmt *ask_count;
    if (sqlite3_prepare_v2(db, "SELECT count(*) FROM entry", -1, &ask_count, NULL) != SQLITE_OK)
        return BUS_STORE;
    if (sqlite3_step(ask_count) == SQLITE_ROW)
        *(int *)opaque = sqlite3_column_int(ask_count, 0);
    sqlite3_finalize(ask_count);
    return BUS_OK;
}

static bus_status write_by_reader(sqlite3 *db, void *opaque, bus_error *err)
{
    (void)opaque;
    (void)err;
    return sqlite3_exec(db, "DELETE FROM entry", NULL, NULL, NULL) == SQLITE_OK ? BUS_OK : BUS_STORE;
}

static bus_status read_for_ever(sqlite3 *db, void *opaque, bus_error *err)
{
    (void)opaque;
    (void)err;
    sqlite3_exec(db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n", NULL, NULL, NULL);
    return BUS_OK;
}

static int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void tell(const char *what, int64_t since, bus_status status, const bus_error *err)
{
    printf("{\"what\":\"%s\",\"status\":\"%s\",\"ms\":%lld,\"text\":\"%s\"}\n", what, bus_status_name(status),
           (long long)(clock_ms() - since), status == BUS_OK ? "" : err->text);
}

static void inside(const bus_event *reply, void *opaque)
{
    const echo_Said *said = bus_event_body(reply, &echo_Said_type);
    *(int64_t *)opaque = said ? said->number : -1;
}

#define TELL(what, call) \
    do { \
        bus_error err = { 0 }; \
        int64_t since = clock_ms(); \
        bus_status status = (call); \
        tell(what, since, status, &err); \
    } while (0)

static int limits(void)
{
    entry mine = { "limit", "key" };
    echo_Said said = { .number = 2, .text = { "inside", 6 } };
    int64_t answer = -1;
    int entries = -1;
    TELL("good", bus_transact(the_bus, BUS_STR("key"), enter, &mine, &err));
    snprintf(mine.text, sizeof mine.text, "never");
    TELL("rejected", bus_transact(the_bus, BUS_STR("key"), reject, &mine, &err));
    TELL("ddl", bus_transact(the_bus, BUS_STR("key"), alter, NULL, &err));
    TELL("too big", bus_transact(the_bus, BUS_STR("key"), emit_much, &mine, &err));
    TELL("no key", bus_transact(the_bus, bus_str(NULL), enter, &mine, &err));
    TELL("read", bus_read(the_bus, BUS_STR("key"), count_entries, &entries, &err));
    TELL("write by reader", bus_read(the_bus, BUS_STR("key"), write_by_reader, NULL, &err));
    TELL("slow reader", bus_read(the_bus, BUS_STR("key"), read_for_ever, NULL, &err));
    TELL("inside",
         bus_request(the_bus,
                     &(bus_publication){ .topic = commands, .type = &echo_Said_type, .key = BUS_STR("key"), .body = &said },
                     &(bus_request_options){ .reply_type = &echo_Said_type, .timeout_ms = 20000 }, inside, &answer, &err));
    snprintf(mine.text, sizeof mine.text, "unanswered");
    TELL("deadline", ask(&mine, 0, 700, &err));
    printf("{\"what\":\"counts\",\"entries\":%d,\"inside\":\"%s\"}\n", entries, bus_status_name((bus_status)answer));
    return 0;
}

/* ---- main */

static int open_bus(const bus_service *service, int argc, char **argv, bus_error *err)
{
    bus_config *config = bus_config_new();
    bus_status status = config ? bus_config_environment(config, err) : BUS_NOMEM;
    for (int i = 0; i < argc && status == BUS_OK; i++) {
        char name[100];
        const char *equals = strchr(argv[i], '=');
        if (strncmp(argv[i], "--", 2) != 0 || !equals)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(equals - argv[i] - 2), argv[i] + 2);
        status = bus_config_set(config, name, equals + 1, err);
    }
    if (status == BUS_OK && !service)
        status = bus_config_set(config, "replies.topic", replies, err);
    if (status == BUS_OK)
        status = bus_open(service, config, &the_bus, err);
    bus_config_free(config);
    return status == BUS_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *name = getenv("TELLER_NAME"), *mode = argc > 1 ? argv[1] : "--help";
    name = name ? name : "teller";
    run_name = getenv("TELLER_RUN") ? getenv("TELLER_RUN") : "run";
    snprintf(commands, sizeof commands, "%s.commands", name);
    snprintf(events, sizeof events, "%s.events", name);
    snprintf(replies, sizeof replies, "%s.replies", name);
    const bus_route routes[] = { { .topic = commands, .type = &echo_Said_type, .handler = on_said }, { 0 } };
    const bus_emits emits[] = { { &echo_Said_type, events }, { 0 } };
    const bus_service service = { .name = name, .routes = routes, .emits = emits, .migrations = migrations };
    if (mode[0] == '-')
        return bus_service_main(argc, argv, &service);

    bus_error err = { 0 };
    bool outside = strcmp(mode, "outsider") == 0;
    setvbuf(stdout, NULL, _IOLBF, 1 << 16);
    int code = open_bus(outside ? NULL : &service, argc, argv, &err);
    if (code == 0 && (outside || strcmp(mode, "callers") == 0) && argc > 3)
        code = callers(atoi(argv[2]), atoi(argv[3]), outside);
    else if (code == 0 && strcmp(mode, "loop") == 0 && argc > 2)
        code = loop(atoi(argv[2]));
    else if (code == 0 && strcmp(mode, "limits") == 0)
        code = limits();
    else
        fprintf(stderr, "teller %s: %s\n", mode, code ? err.text : "no such mode");
    bus_close(the_bus);
    return code;
}
