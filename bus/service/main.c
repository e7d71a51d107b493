/* SPDX-License-Identifier: MIT
 * bus_service_main: the whole main of a service program. The one place that prints, reads argv and takes signals. */
#include "base/config.h"
#include "base/stdio.h"
#include "base/error.h"
#include "base/log.h"
#include "base/version.h"
#include "kafka/transport.h"
#include "service/args.h"
#include "service/reload.h"
#include "rebuild/rebuild.h"
#include "service/runner.h"
#include "shard/topics.h"
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_ERROR = 1, EXIT_USAGE = 2, EXIT_REFUSED = 5, EXIT_BROKER = 6, EXIT_INTERRUPTED = 130 };

/* ---- log lines: JSON, or for a terminal plain text */

static void log_json(bus_level level, const char *line, size_t len, void *opaque)
{
    (void)opaque;
    (void)level;
    flockfile(stderr);
    fwrite(line, 1, len, stderr);
    putc('\n', stderr);
    funlockfile(stderr);
}

static void log_plain(bus_level level, const char *line, size_t len, void *opaque)
{
    const bool *color = opaque;
    static const char *const words[] = { "debug", "info ", "warn ", "ERROR" };
    static const char *const paint[] = { "\033[2m", "", "\033[33m", "\033[31m" };
    json_t *object = json_loadb(line, len, 0, NULL);
    const char *ts = json_string_value(json_object_get(object, "ts"));
    const char *where = json_string_value(json_object_get(object, "where"));
    const char *msg = json_string_value(json_object_get(object, "msg"));
    if (ts && where && msg && strlen(ts) >= 19)
        fprintf(stderr, "%s%.8s %s %s: %s%s\n", *color ? paint[level] : "", ts + 11, words[level], where, msg,
                *color && *paint[level] ? "\033[0m" : "");
    else
        log_json(level, line, len, NULL);
    json_decref(object);
}

static bus_level level_of(const bus_config *config)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    const char *name = bui_config_text(config, "log.level");
    for (int i = 0; i < 4; i++)
        if (strcmp(names[i], name) == 0)
            return (bus_level)i;
    return BUS_INFO;
}

static void start_log(bus_level least)
{
    static bool color;
    const char *no_color = getenv("NO_COLOR");
    color = !no_color || !*no_color;
    bus_log_to(least, isatty(STDERR_FILENO) ? log_plain : log_json, &color);
}

/* ---- signals
 *
 * SIGTERM and SIGINT stop; a second one ends the process at once. SIGHUP reads the configuration again. The handler stops the bus itself; the rest is
 * done by the main thread, which `bell` wakes. */

static _Atomic(bus *) running;
static atomic_int stops, stopped_by, hangups; /* a signal may arrive on any thread */
static int bell = -1;

static void on_signal(int number)
{
    int saved = errno;
    if (number == SIGHUP) {
        atomic_store(&hangups, 1);
    } else {
        if (atomic_exchange(&stops, 1))
            _exit(EXIT_INTERRUPTED);
        atomic_store(&stopped_by, number);
        bus *self = atomic_load(&running);
        if (self)
            bus_stop(self);
    }
    ssize_t rung = write(bell, &(uint64_t){ 1 }, sizeof(uint64_t));
    (void)rung; /* only a full counter fails, and that is readable too */
    errno = saved;
}

static bus_status take_signals(bus_error *err)
{
    struct sigaction action = { .sa_handler = on_signal };
    atomic_store(&stops, 0);
    atomic_store(&stopped_by, 0);
    atomic_store(&hangups, 0);
    if (bell < 0 && (bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        return bui_fail(err, BUS_IO, "cannot make an event descriptor: %s; raise ulimit -n", strerror(errno));
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    return BUS_OK;
}

/* ---- tasks */

static int exit_code(bus_status status)
{
    switch (status) {
    case BUS_OK: return EXIT_OK;
    case BUS_CONFIG:
    case BUS_INVALID: return EXIT_USAGE;
    case BUS_REFUSED:
    case BUS_CORRUPT: return EXIT_REFUSED;
    case BUS_BROKER: return EXIT_BROKER;
    case BUS_CANCELLED: return EXIT_INTERRUPTED;
    default: return EXIT_ERROR;
    }
}

static int fail(const char *name, const bus_error *err)
{
    fprintf(stderr, "%s: %s\n", name, err->text);
    return exit_code(err->status);
}

static int print(bui_buf *page, const char *name)
{
    bool ok = bui_buf_ok(page) && fwrite(page->data, 1, page->len, stdout) == page->len && fflush(stdout) == 0;
    if (!ok)
        fprintf(stderr, "%s: cannot write to standard output\n", name);
    bui_buf_free(page);
    return ok ? EXIT_OK : EXIT_ERROR;
}

static bus_status make_router(const bus_service *service, const bus_config *config, bui_router **out, bus_error *err)
{
    return bui_router_new(service, bui_config_text(config, "retry.tiers"), (int)bui_config_int(config, "retry.attempts"), out,
                          err);
}

static int print_topics(const bus_service *service, const bus_config *config)
{
    bui_router *router = NULL;
    bui_topic_need *needs = NULL;
    size_t count;
    bus_error err = { 0 };
    int shards = (int)bui_config_int(config, "shards");
    bus_status status = make_router(service, config, &router, &err);
    if (status == BUS_OK)
        status = bui_topics_of(service->name, router, shards, &needs, &count, &err);
    int code;
    if (status == BUS_OK) {
        bui_buf page;
        bui_buf_init(&page, 0);
        bui_topics_declare(needs, count, config, shards);
        bui_topics_json(needs, count, &page);
        bui_buf_text(&page, "\n");
        code = print(&page, service->name);
    } else {
        code = fail(service->name, &err);
    }
    free(needs);
    bui_router_free(router);
    return code;
}

/* What librdkafka refuses is said before anything is touched. */
static bus_status check_kafka(const bus_service *service, const bus_config *config, bus_error *err)
{
    bui_transport *transport = NULL;
    bus_status status = bui_kafka_transport_open(config, service->name, &transport, err);
    if (status == BUS_OK)
        transport->ops->free(transport);
    return status;
}

static int check(const bus_service *service, const bus_config *config)
{
    bui_router *router = NULL;
    bus_error err = { 0 };
    if (make_router(service, config, &router, &err) != BUS_OK || check_kafka(service, config, &err) != BUS_OK) {
        bui_router_free(router);
        return fail(service->name, &err);
    }
    bui_router_free(router);
    printf("%s: configuration and routes are valid\n", service->name);
    return EXIT_OK;
}

/* ---- run */

/* What the process was started with. */
typedef struct program {
    const bus_service *service;
    bus_config *config;
    const bui_args *args;
    int argc;
    char **argv;
} program;

static void apply_level(const bus_config *config)
{
    start_log(level_of(config));
}

/* What can change while the service runs. */
static const bui_live live[] = { { "log.level", apply_level }, { 0 } };

static void reload(const program *p)
{
    bus_error err = { 0 };
    bui_args args = { 0 };
    bus_config *fresh = bus_config_new();
    bus_status status = fresh ? bus_config_declare(fresh, p->service, &err) : bui_fail_nomem(&err);
    if (status == BUS_OK)
        status = bui_args_read(p->argc, p->argv, fresh, &args, &err);
    if (status == BUS_OK)
        bui_reload(p->service->name, p->config, fresh, live);
    else
        bui_log(BUS_ERROR, p->service->name, "reload_failed", "SIGHUP: %s; nothing is changed", err.text);
    bus_config_free(fresh);
}

/* What signals have asked for. */
static void answer_bell(const program *p)
{
    uint64_t rings;
    ssize_t taken = read(bell, &rings, sizeof rings);
    (void)taken;
    int signal = atomic_exchange(&stopped_by, 0);
    if (signal) {
        bui_log(BUS_INFO, p->service->name, "signal",
                "%s: stops after the batch that is under way, and sends what is committed for at most %s "
                "(drain.timeout.ms); a second signal ends it at once",
                signal == SIGTERM ? "SIGTERM" : "SIGINT", bui_config_text(p->config, "drain.timeout.ms"));
    }
    if (atomic_exchange(&hangups, 0))
        reload(p);
}

static bus_status serve(const program *p, bus *self, bus_error *err)
{
    struct pollfd wait[2] = { { .fd = self->ended_fd, .events = POLLIN }, { .fd = bell, .events = POLLIN } };
    while (!wait[0].revents) {
        if (poll(wait, 2, -1) < 0)
            wait[0].revents = wait[1].revents = 0; /* a signal: its ring is read next */
        if (wait[1].revents)
            answer_bell(p);
    }
    return bus_run(self, err);
}

static bus_status start_user(const bus_service *service, bus *self, bus_error *err)
{
    bus_status status = service->on_start ? service->on_start(self, service->opaque, err) : BUS_OK;
    if (status != BUS_OK && err->status != status) /* it has said nothing, or something else */
        status = bui_fail(err, status, "on_start of %s returned %s", service->name, bus_status_name(status));
    return status;
}

static int run(const program *p)
{
    bus_error err = { 0 };
    bus *self = NULL;
    const bus_service *service = p->service;
    start_log(level_of(p->config));
    bus_status status = take_signals(&err);
    if (status == BUS_OK)
        status = check_kafka(service, p->config, &err);
    if (status == BUS_OK)
        status = bui_open_with(service, p->config, p->args->init, p->args->accept, &self, &err);
    if (status != BUS_OK)
        return fail(service->name, &err);
    atomic_store(&running, self);
    if (atomic_load(&stops)) /* one came before there was anything to stop */
        bus_stop(self);
    status = bus_serve_status(self, &err);
    if (status == BUS_OK)
        status = start_user(service, self, &err);
    if (status == BUS_OK) {
        status = serve(p, self, &err);
        if (service->on_stop)
            service->on_stop(self, service->opaque);
    }
    atomic_store(&running, NULL);
    bus_close(self);
    if (status != BUS_OK)
        return fail(service->name, &err);
    return EXIT_OK;
}

static int rebuild(const bus_service *service, const bus_config *config, const bui_args *args)
{
    bus_error err = { 0 };
    bui_rebuild_report report = { 0 };
    /* What failed then fails again now: old news, unless it is asked for. */
    start_log(bui_config_is_set(config, "log.level") ? level_of(config) : BUS_ERROR);
    bui_rebuild_options options = { .service = service, .config = config, .into = args->into, .incomplete = args->incomplete };
    bus_status status = bui_rebuild(&options, &report, &err);
    if (status != BUS_OK)
        return fail(service->name, &err);
    bui_buf page;
    bui_buf_init(&page, 0);
    bui_rebuild_text(&report, args->json, &page);
    bui_rebuild_report_free(&report);
    return print(&page, service->name);
}

int bus_service_main_for(int headers, int argc, char **argv, const bus_service *service)
{
    bui_args args = { 0 };
    bus_error err = { 0 };
    bui_buf page;
    if (bui_version_check(headers, &err) != BUS_OK)
        return fail(argc > 0 ? argv[0] : "service", &err);
    bui_stdio_hold();
    bus_config *config = bus_config_new();
    if (!config) {
        fputs("no memory\n", stderr);
        return EXIT_ERROR;
    }
    int code = EXIT_OK;
    start_log(BUS_WARN); /* for what is noticed while the configuration is read */
    bus_status status = bus_config_declare(config, service, &err);
    if (status == BUS_OK)
        status = bui_args_read(argc, argv, config, &args, &err);
    bus_log_to(BUS_WARN, NULL, NULL);
    if (status != BUS_OK) {
        code = fail(service->name, &err);
        bus_config_free(config);
        return code == EXIT_REFUSED ? EXIT_USAGE : code;
    }
    switch (args.task) {
    case BUI_TASK_HELP:
        bui_buf_init(&page, 0);
        bui_args_help(service->name, config, &page);
        code = print(&page, service->name);
        break;
    case BUI_TASK_VERSION:
        printf("%s%s%s (bus %s)\n", service->name, service->version ? " " : "", service->version ? service->version : "",
               BUS_VERSION);
        break;
    case BUI_TASK_TOPICS: code = print_topics(service, config); break;
    case BUI_TASK_CHECK: code = check(service, config); break;
    case BUI_TASK_SHOW:
        bui_buf_init(&page, 0);
        if (args.json)
            bui_config_json(config, &page);
        else
            bui_args_show(config, &page);
        code = print(&page, service->name);
        break;
    case BUI_TASK_REBUILD: code = rebuild(service, config, &args); break;
    case BUI_TASK_RUN: code = run(&(program){ service, config, &args, argc, argv }); break;
    }
    bus_config_free(config);
    return code;
}
