/* SPDX-License-Identifier: MIT
 * A service's whole program on the embedded broker: bus_service_main on a thread of the test, its signals, and threads beside its shards. */
#include "support.h"

#include "shard/topics.h"
#include <arpa/inet.h>
#include <bus/bus.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#define HANGS_MS 60000 /* only tells a hang */

/* ---- the service: a thread beside its shards writes all the time */

static const bus_migration migrations[] = {
    { "ticks", "CREATE TABLE tick(name TEXT NOT NULL PRIMARY KEY, times INTEGER NOT NULL)" }, { 0 }
};

static int token; /* bus_service.opaque */
static pthread_t ticker;
static atomic_int ticks, started, stopped;
static atomic_bool quit;
static bus_status last_tick, start_gives;
static int64_t started_with;

static const bus_property properties[] = {
    { .name = "service.clock.hands", .kind = BUS_PROPERTY_INT, .value = "2", .most = 3, .help = "Hands." }, { 0 }
};

static bus_verdict count_tick(bus_tx *tx, void *opaque)
{
    (void)opaque;
    return bus_sql(tx, "INSERT INTO tick VALUES('t', 1) ON CONFLICT(name) DO UPDATE SET times = times + 1") ? BUS_DONE
                                                                                                            : BUS_RETRY;
}

static void *tick(void *self)
{
    while ((last_tick = bus_transact(self, BUS_STR("k"), count_tick, NULL, NULL)) == BUS_OK && !atomic_load(&quit))
        atomic_fetch_add(&ticks, 1);
    return NULL;
}

static bus_status on_start(bus *self, void *opaque, bus_error *err)
{
    (void)err;
    assert_ptr_equal(opaque, &token);
    atomic_fetch_add(&started, 1);
    started_with = bus_config_int(bus_config_of(self), "service.clock.hands");
    if (start_gives != BUS_OK)
        return start_gives;
    return pthread_create(&ticker, NULL, tick, self) ? BUS_IO : BUS_OK;
}

static void on_stop(bus *self, void *opaque)
{
    assert_ptr_equal(opaque, &token);
    assert_non_null(self);
    atomic_store(&quit, true);
    pthread_join(ticker, NULL);
    atomic_fetch_add(&stopped, 1);
}

static bus_service service = { .name = "clock",
                               .version = "1.4.2",
                               .migrations = migrations,
                               .opaque = &token,
                               .on_start = on_start,
                               .on_stop = on_stop,
                               .properties = properties };

/* ---- the program */

static bui_kafka_broker *broker;
static char dir[64], conf[100], said[100], port[32];
static int stderr_was;

typedef struct run {
    pthread_t thread;
    int argc;
    char *argv[8];
    int code;
    _Atomic bool over;
} run;

static void *run_main(void *opaque)
{
    run *r = opaque;
    r->code = bus_service_main(r->argc, r->argv, &service);
    atomic_store(&r->over, true);
    return NULL;
}

static void configure(const char *more)
{
    FILE *file = fopen(conf, "w");
    assert_non_null(file);
    fprintf(file, "bootstrap.servers = %s\ndata.dir = %s\nshards = 1\n%s", bui_kafka_broker_address(broker), dir, more);
    assert_int_equal(fclose(file), 0);
}

static void begin(run *r, char *more)
{
    *r = (run){ .argc = more ? 4 : 3, .argv = { (char *)(uintptr_t) "clock", (char *)(uintptr_t) "--config", conf, more } };
    atomic_store(&ticks, 0);
    atomic_store(&started, 0);
    atomic_store(&stopped, 0);
    atomic_store(&quit, false);
    int file = open(said, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    stderr_was = dup(STDERR_FILENO);
    assert_true(file >= 0 && stderr_was >= 0 && dup2(file, STDERR_FILENO) >= 0);
    close(file);
    assert_int_equal(pthread_create(&r->thread, NULL, run_main, r), 0);
}

static void end(run *r)
{
    pthread_join(r->thread, NULL);
    assert_true(dup2(stderr_was, STDERR_FILENO) >= 0);
    close(stderr_was);
}

/* Is it on the log? */
static bool logged(const char *event, const char *text)
{
    static char line[20000];
    char word[64];
    bool found = false;
    FILE *file = fopen(said, "r");
    snprintf(word, sizeof word, "\"event\":\"%s\"", event);
    while (file && !found && fgets(line, sizeof line, file))
        found = strstr(line, word) && strstr(line, text);
    if (file)
        fclose(file);
    return found;
}

static int set_up(void **state)
{
    (void)state;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    strcpy(dir, "/tmp/bus-program-XXXXXX");
    if (!mkdtemp(dir) || bui_kafka_broker_open(1, &broker, NULL) != BUS_OK || bind(fd, (struct sockaddr *)&at, len) ||
        getsockname(fd, (struct sockaddr *)&at, &len))
        return -1;
    close(fd);
    snprintf(conf, sizeof conf, "%s/clock.conf", dir);
    snprintf(said, sizeof said, "%s/log", dir);
    snprintf(port, sizeof port, "--status.port=%d", ntohs(at.sin_port));
    const char *topics[] = { "clock.redrive",   "clock.dlq",       "clock.events", "clock.replies", "clock.retry.1s",
                             "clock.retry.30s", "clock.retry.10m", "bus.schemas",  "bus.services" };
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++)
        if (bui_kafka_broker_topic(broker, topics[i], 1, NULL) != BUS_OK)
            return -1;
    start_gives = BUS_OK;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[100];
    bui_kafka_broker_close(broker);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

/* What the status port says; the first bytes. */
static bool page_has(const char *path, const char *text)
{
    static char answer[1 << 17];
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    at.sin_port = htons((uint16_t)atoi(strchr(port, '=') + 1));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    size_t len = 0;
    ssize_t n;
    if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0) {
        dprintf(fd, "GET %s HTTP/1.0\r\n\r\n", path);
        while (len + 1 < sizeof answer && (n = recv(fd, answer + len, sizeof answer - len - 1, 0)) > 0)
            len += (size_t)n;
    }
    close(fd);
    answer[len] = 0;
    return strstr(answer, text) != NULL;
}

/* ---- tests */

static void threads_beside_the_shards_start_and_stop_with_the_program(void **state)
{
    (void)state;
    run r;
    configure("service.clock.hands = 3\nservice.other.hands = 9\n");
    begin(&r, port);
    EVENTUALLY(HANGS_MS, atomic_load(&ticks) > 10 || atomic_load(&r.over));
    bool served =
        page_has("/metrics", "bus_build_info{service=\"clock\",version=\"1.4.2\",bus=\"") && page_has("/healthz", "200 OK");
    kill(getpid(), SIGTERM);
    end(&r);
    assert_true(served);
    assert_int_equal(r.code, 0);
    assert_int_equal(atomic_load(&started), 1);
    assert_int_equal(atomic_load(&stopped), 1);
    assert_int_equal(started_with, 3);
    assert_true(last_tick == BUS_OK || last_tick == BUS_CLOSED || last_tick == BUS_CANCELLED || last_tick == BUS_ELSEWHERE);
    assert_true(logged("signal", "SIGTERM: stops after the batch"));
}

static void a_start_that_fails_ends_the_program(void **state)
{
    (void)state;
    run r;
    start_gives = BUS_MISSING;
    configure("");
    begin(&r, NULL);
    end(&r);
    assert_int_equal(r.code, 1);
    assert_int_equal(atomic_load(&stopped), 0);
    FILE *file = fopen(said, "r");
    char line[500] = "";
    while (fgets(line, sizeof line, file) && !strstr(line, "on_start"))
        continue;
    fclose(file);
    assert_string_equal(line, "clock: on_start of clock returned BUS_MISSING\n");
}

static void a_hangup_reads_the_configuration_again(void **state)
{
    (void)state;
    run r;
    configure("log.level = info\n");
    begin(&r, NULL);
    EVENTUALLY(HANGS_MS, atomic_load(&ticks) > 0 || atomic_load(&r.over));
    configure("log.level = debug\nshards = two\n");
    kill(getpid(), SIGHUP);
    EVENTUALLY(HANGS_MS, logged("reload_failed", "clock.conf:5: shards is \\\"two\\\": give a whole number"));
    bool untouched = !logged("reloaded", "");
    configure("log.level = warn\nbatch.records = 7\nkafka.sasl.password = sesame\nservice.clock.hands = 1\n");
    kill(getpid(), SIGHUP);
    EVENTUALLY(HANGS_MS, logged("reload_waits", "from the next start: batch.records, service.clock.hands, kafka.sasl.password"));
    bool quiet = !logged("reloaded", ""); /* it is an info line, and only warnings are wanted by then */
    configure("log.level = info\n");
    kill(getpid(), SIGHUP);
    EVENTUALLY(HANGS_MS, logged("reloaded", "log.level is info"));
    kill(getpid(), SIGINT);
    end(&r);
    assert_true(untouched && quiet);
    assert_int_equal(r.code, 0);
    assert_true(logged("signal", "SIGINT"));
    assert_false(logged("reload_waits", "sesame"));
}

#define PROGRAM(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROGRAM(threads_beside_the_shards_start_and_stop_with_the_program),
        PROGRAM(a_start_that_fails_ends_the_program),
        PROGRAM(a_hangup_reads_the_configuration_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
