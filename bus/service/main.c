/* SPDX-License-Identifier: MIT
 * bus_service_main: the whole main of a service program. The one place that prints, reads argv and takes signals. */
#include "base/config.h"
#include "base/stdio.h"
#include "base/error.h"
#include "base/log.h"
#include "kafka/transport.h"
#include "service/args.h"
#include "rebuild/rebuild.h"
#include "service/runner.h"
#include "service/status.h"
#include "shard/topics.h"
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_ERROR = 1, EXIT_USAGE = 2, EXIT_REFUSED = 5, EXIT_BROKER = 6, EXIT_INTERRUPTED = 130 };

/* ---- log lines: JSON, or for a terminal plain text */

static void log_json(void *opaque, bus_level level, const char *line, size_t len)
{
    (void)opaque;
    (void)level;
    flockfile(stderr);
    fwrite(line, 1, len, stderr);
    putc('\n', stderr);
    funlockfile(stderr);
}

static void log_plain(void *opaque, bus_level level, const char *line, size_t len)
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
        log_json(NULL, level, line, len);
    json_decref(object);
}

static bus_level level_of(const bus_config *config)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    const char *name = bus_config_text(config, "log.level");
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
    bus_log_to(isatty(STDERR_FILENO) ? log_plain : log_json, &color, least);
}

/* ---- signals */

static _Atomic(bus *) running;
static volatile sig_atomic_t signals;

static void on_signal(int number)
{
    (void)number;
    if (signals++ > 0)
        _exit(EXIT_INTERRUPTED);
    bus *self = atomic_load(&running);
    if (self)
        bus_stop(self);
}

static void take_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal };
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
}

/* ---- tasks */

static int exit_code(bus_status status)
{
    switch (status) {
    case BUS_OK:
        return EXIT_OK;
    case BUS_CONFIG:
    case BUS_INVALID:
        return EXIT_USAGE;
    case BUS_REFUSED:
    case BUS_CORRUPT:
        return EXIT_REFUSED;
    case BUS_BROKER:
        return EXIT_BROKER;
    case BUS_CANCELLED:
        return EXIT_INTERRUPTED;
    default:
        return EXIT_ERROR;
    }
}

static int fail(const char *name, const bus_error *err)
{
    fprintf(stderr, "%s: %s\n", name, err->text);
    return exit_code(err->status);
}

static int print(bus_buf *page, const char *name)
{
    bool ok = bus_buf_ok(page) && fwrite(page->data, 1, page->len, stdout) == page->len && fflush(stdout) == 0;
    if (!ok)
        fprintf(stderr, "%s: cannot write to standard output\n", name);
    bus_buf_free(page);
    return ok ? EXIT_OK : EXIT_ERROR;
}

static bus_status make_router(const bus_service *service, const bus_config *config, bus_router **out, bus_error *err)
{
    return bus_router_new(service, bus_config_text(config, "retry.tiers"), (int)bus_config_int(config, "retry.attempts"), out, err);
}

static int print_topics(const bus_service *service, const bus_config *config)
{
    bus_router *router = NULL;
    bus_topic_need *needs = NULL;
    size_t count;
    bus_error err = { 0 };
    int shards = (int)bus_config_int(config, "shards");
    bus_status status = make_router(service, config, &router, &err);
    if (status == BUS_OK)
        status = bus_topics_of(service->name, router, shards, &needs, &count, &err);
    int code;
    if (status == BUS_OK) {
        bus_buf page;
        bus_buf_init(&page, 0);
        bus_topics_declare(needs, count, config, shards);
        bus_topics_json(needs, count, &page);
        bus_buf_text(&page, "\n");
        code = print(&page, service->name);
    } else {
        code = fail(service->name, &err);
    }
    free(needs);
    bus_router_free(router);
    return code;
}

/* What librdkafka refuses is said before anything is touched. */
static bus_status check_kafka(const bus_service *service, const bus_config *config, bus_error *err)
{
    bus_transport *transport = NULL;
    bus_status status = bus_kafka_transport_open(config, service->name, &transport, err);
    if (status == BUS_OK)
        transport->ops->free(transport);
    return status;
}

static int check(const bus_service *service, const bus_config *config)
{
    bus_router *router = NULL;
    bus_error err = { 0 };
    if (make_router(service, config, &router, &err) != BUS_OK || check_kafka(service, config, &err) != BUS_OK) {
        bus_router_free(router);
        return fail(service->name, &err);
    }
    bus_router_free(router);
    printf("%s: configuration and routes are good\n", service->name);
    return EXIT_OK;
}

static int run(const bus_service *service, const bus_config *config, const bus_args *args)
{
    bus_error err = { 0 };
    bus *self = NULL;
    bus_status_port *port = NULL;
    start_log(level_of(config));
    take_signals();
    bus_status status = check_kafka(service, config, &err);
    if (status == BUS_OK)
        status = bus_open_with(service, config, args->init, args->accept, &self, &err);
    if (status != BUS_OK)
        return fail(service->name, &err);
    atomic_store(&running, self);
    if (signals > 0) /* one came before there was anything to stop */
        bus_stop(self);
    status = bus_status_open(self, &port, &err);
    if (status == BUS_OK)
        status = bus_run(self, &err);
    atomic_store(&running, NULL);
    bus_status_close(port);
    bus_close(self);
    if (status != BUS_OK)
        return fail(service->name, &err);
    return EXIT_OK;
}

static int rebuild(const bus_service *service, const bus_config *config, const bus_args *args)
{
    bus_error err = { 0 };
    bus_rebuild_report report = { 0 };
    /* What failed then fails again now: old news, unless it is asked for. */
    start_log(bus_config_is_set(config, "log.level") ? level_of(config) : BUS_ERROR);
    bus_rebuild_options options = { .service = service, .config = config, .into = args->into, .incomplete = args->incomplete };
    bus_status status = bus_rebuild(&options, &report, &err);
    if (status != BUS_OK)
        return fail(service->name, &err);
    bus_buf page;
    bus_buf_init(&page, 0);
    bus_rebuild_text(&report, args->json, &page);
    bus_rebuild_report_free(&report);
    return print(&page, service->name);
}

int bus_service_main(int argc, char **argv, const bus_service *service)
{
    bus_args args = { 0 };
    bus_error err = { 0 };
    bus_buf page;
    bus_stdio_hold();
    bus_config *config = bus_config_new();
    if (!config) {
        fputs("no memory\n", stderr);
        return EXIT_ERROR;
    }
    int code = EXIT_OK;
    start_log(BUS_WARN); /* for what is noticed while the configuration is read */
    bus_status status = bus_args_read(argc, argv, config, &args, &err);
    bus_log_to(NULL, NULL, BUS_WARN);
    if (status != BUS_OK) {
        code = fail(service->name, &err);
        bus_config_free(config);
        return code == EXIT_REFUSED ? EXIT_USAGE : code;
    }
    switch (args.task) {
    case BUS_TASK_HELP:
        bus_buf_init(&page, 0);
        bus_args_help(service->name, &page);
        code = print(&page, service->name);
        break;
    case BUS_TASK_VERSION:
        printf("%s (bus %s)\n", service->name, BUS_VERSION);
        break;
    case BUS_TASK_TOPICS:
        code = print_topics(service, config);
        break;
    case BUS_TASK_CHECK:
        code = check(service, config);
        break;
    case BUS_TASK_REBUILD:
        code = rebuild(service, config, &args);
        break;
    case BUS_TASK_RUN:
        code = run(service, config, &args);
        break;
    }
    bus_config_free(config);
    return code;
}
