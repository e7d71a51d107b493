/* SPDX-License-Identifier: MIT
 * Status: three pages by libmicrohttpd, on one thread of our own that runs its loop. */
#include "service/status.h"
#include "base/error.h"
#include "base/log.h"
#include "base/own_metrics.h"
#include "service/worker.h"
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUI_LABELS 160

/* How long a request may take to arrive and be answered; slow ones make room for others sooner. */
#define REQUEST_US (INT64_C(10) * 1000 * 1000)
#define MOST_CONNECTIONS 64
#define MOST_OF_ADDRESS 16
#define MOST_ACCEPTED 256 /* closed ones among them, until the daemon's next look */
#define REQUEST_BYTES 8192
#define SWEEP_MS 1000

typedef struct caller {
    struct MHD_Connection *connection; /* NULL: a free place */
    int fd;
    struct sockaddr_storage address; /* without the port */
    int64_t since_us;                /* of its request, or of the end of the last one */
} caller;

struct bui_status_port {
    bus *self;
    struct MHD_Daemon *daemon;
    pthread_t thread;
    bool started;
    int stop_fd;
    caller caller[MOST_CONNECTIONS]; /* the thread's alone */
    bui_counter *cut;
};

const bui_metric bui_build_metric_table[] = {
    { "bus_build_info", "1; the labels version (the service's own) and bus (the library's) say what runs.", BUI_METRIC_GAUGE,
      offsetof(bui_build, one), 0 },
    { 0 },
};

static void build(const bus *self, bui_buf *body)
{
    char labels[BUI_LABELS];
    bui_build now;
    const char *version = self->service && self->service->version ? self->service->version : "";
    bui_gauge_set(&now.one, 1);
    snprintf(labels, sizeof labels, "service=\"%s\",version=\"%s\",bus=\"%s\"", self->name, version, BUS_VERSION);
    bui_metrics_render(body, bui_build_metric_table, &(bui_metric_instance){ &now, labels }, 1);
}

static void metrics(bus *self, bui_buf *body)
{
    char process[BUI_LABELS];
    snprintf(process, sizeof process, "service=\"%s\"", self->name);
    bui_metric_instance all = { &self->metrics, process };
    bui_metrics_render(body, bui_process_metric_table, &all, 1);
    build(self, body);
    if (self->registry_cache) {
        bui_metric_instance registry = { bui_registry_cache_metrics_of(self->registry_cache), process };
        bui_metrics_render(body, bui_registry_cache_metric_table, &registry, 1);
    }

    /* Shards cannot be closed while this lock is held; none of their threads waits for it in a step. */
    pthread_rwlock_rdlock(&self->workers_lock);
    size_t room = (size_t)self->shards + 1, count = 0;
    bui_metric_instance *open = calloc(room, sizeof *open);
    char(*labels)[BUI_LABELS] = calloc(room, BUI_LABELS);
    for (int i = 0; open && labels && i < self->shards; i++) {
        if (!self->workers[i].shard)
            continue;
        snprintf(labels[count], BUI_LABELS, "service=\"%s\",shard=\"%d\"", self->name, i);
        open[count] = (bui_metric_instance){ bui_shard_metrics_of(self->workers[i].shard), labels[count] };
        count++;
    }
    if (count > 0)
        bui_metrics_render(body, bui_shard_metric_table, open, count);
    pthread_rwlock_unlock(&self->workers_lock);
    free(open);
    free(labels);
    bui_own_metrics_render(body);
}

static void verdict(bui_buf *body, bool good, const char *word, const char *why)
{
    bui_buf_printf(body, "{\"%s\":%s", word, good ? "true" : "false");
    if (!good) {
        bui_buf_text(body, ",\"why\":");
        bui_buf_json(body, why, strlen(why));
    }
    bui_buf_text(body, "}\n");
}

unsigned bui_status_answer(bus *self, const char *path, bui_buf *body, const char **type)
{
    char why[500] = "";
    *type = "application/json";
    if (strcmp(path, "/metrics") == 0) {
        *type = "text/plain; version=0.0.4; charset=utf-8";
        metrics(self, body);
        return MHD_HTTP_OK;
    }
    if (strcmp(path, "/healthz") == 0) {
        char text[400];
        bui_phase phase = bui_phase_of(self, text);
        bool stuck = bui_gauge_read(&self->metrics.handlers_stuck_now) > 0;
        bool alive = phase != BUI_PHASE_ENDED && !stuck;
        snprintf(why, sizeof why, "%s", stuck ? "a handler is stuck, see the log" : text);
        verdict(body, alive, "alive", why);
        return alive ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
    }
    if (strcmp(path, "/readyz") == 0) {
        bool ready = bui_ready(self, why, sizeof why);
        verdict(body, ready, "ready", why);
        return ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
    }
    bui_buf_text(body, "{\"error\":\"there are /metrics, /healthz and /readyz\"}\n");
    return MHD_HTTP_NOT_FOUND;
}

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned code, bui_buf *body, const char *type)
{
    bool ok = bui_buf_ok(body);
    size_t len = ok ? body->len : 0;
    char *bytes = ok ? bui_buf_take(body) : NULL;
    struct MHD_Response *response = MHD_create_response_from_buffer(len, bytes ? bytes : (void *)(uintptr_t) "",
                                                                    bytes ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (!response) {
        free(bytes);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    enum MHD_Result queued = MHD_queue_response(connection, ok ? code : MHD_HTTP_INTERNAL_SERVER_ERROR, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result on_request(void *opaque, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_len, void **state)
{
    (void)version;
    (void)upload;
    static int seen;
    if (!*state) { /* headers only; the answer comes with the next call, when the request is whole */
        *state = &seen;
        return MHD_YES;
    }
    if (*upload_len) {
        *upload_len = 0;
        return MHD_YES;
    }
    bui_buf body;
    const char *type = "application/json";
    unsigned code = MHD_HTTP_METHOD_NOT_ALLOWED;
    bui_buf_init(&body, 0);
    if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0)
        code = bui_status_answer(opaque, url, &body, &type);
    else
        bui_buf_text(&body, "{\"error\":\"only GET\"}\n");
    enum MHD_Result result = reply(connection, code, &body, type);
    bui_buf_free(&body);
    return result;
}

/* ---- connections
 *
 * A client that connects and sends little or nothing must not keep others from an answer: a request has a total time, and where an address
 * or all of them have as many connections as are allowed, the oldest ends for the newest. A whole request takes milliseconds, so
 * that is a slow one. It is shut down; the daemon sees the end of its stream and closes it. */

static void hang_up(bui_status_port *port, caller *who)
{
    shutdown(who->fd, SHUT_RDWR);
    who->connection = NULL;
    bui_count(port->cut, 1);
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* The oldest, of `address` or (NULL) of all; *count: how many there are. */
static caller *oldest(bui_status_port *port, const struct sockaddr_storage *address, int *count)
{
    caller *found = NULL;
    *count = 0;
    for (caller *at = port->caller; at < port->caller + MOST_CONNECTIONS; at++) {
        if (!at->connection || (address && !same_address(&at->address, address)))
            continue;
        ++*count;
        if (!found || at->since_us < found->since_us)
            found = at;
    }
    return found;
}

static void address_of(struct MHD_Connection *connection, struct sockaddr_storage *out)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    memset(out, 0, sizeof *out);
    out->ss_family = info && info->client_addr ? info->client_addr->sa_family : AF_UNSPEC;
    if (out->ss_family == AF_INET)
        ((struct sockaddr_in *)out)->sin_addr = ((const struct sockaddr_in *)(const void *)info->client_addr)->sin_addr;
    else if (out->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)out)->sin6_addr = ((const struct sockaddr_in6 *)(const void *)info->client_addr)->sin6_addr;
}

static void welcome(bui_status_port *port, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    caller new = { .connection = connection,
                   .fd = fd ? fd->connect_fd : -1,
                   .since_us = port->self->clock->mono_us(port->self->clock) };
    address_of(connection, &new.address);
    int count;
    caller *old = oldest(port, &new.address, &count);
    if (count >= MOST_OF_ADDRESS)
        hang_up(port, old);
    old = oldest(port, NULL, &count);
    if (count >= MOST_CONNECTIONS)
        hang_up(port, old);
    for (caller *at = port->caller; at < port->caller + MOST_CONNECTIONS; at++)
        if (!at->connection) {
            *at = new;
            return;
        }
}

static caller *caller_of(bui_status_port *port, const struct MHD_Connection *connection)
{
    for (caller *at = port->caller; at < port->caller + MOST_CONNECTIONS; at++)
        if (at->connection == connection)
            return at;
    return NULL;
}

static void on_connection(void *opaque, struct MHD_Connection *connection, void **state, enum MHD_ConnectionNotificationCode code)
{
    bui_status_port *port = opaque;
    caller *known;
    (void)state;
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        welcome(port, connection);
    else if ((known = caller_of(port, connection)))
        known->connection = NULL;
}

static void on_answered(void *opaque, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
    bui_status_port *port = opaque;
    caller *known = caller_of(port, connection);
    (void)state;
    (void)code;
    if (known)
        known->since_us = port->self->clock->mono_us(port->self->clock);
}

/* Returns how many are left. */
static int sweep(bui_status_port *port)
{
    int64_t now = port->self->clock->mono_us(port->self->clock);
    int left = 0;
    for (caller *at = port->caller; at < port->caller + MOST_CONNECTIONS; at++) {
        if (at->connection && now - at->since_us > REQUEST_US)
            hang_up(port, at);
        left += at->connection != NULL;
    }
    return left;
}

/* The daemon runs here, and nowhere else: its callbacks need no lock. */
static void *serve(void *opaque)
{
    bui_status_port *port = opaque;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(port->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd wait[2] = { { .fd = info->epoll_fd, .events = POLLIN }, { .fd = port->stop_fd, .events = POLLIN } };
    for (;;) {
        MHD_UNSIGNED_LONG_LONG due;
        int ms = sweep(port) ? SWEEP_MS : -1;
        if (MHD_get_timeout(port->daemon, &due) == MHD_YES && (ms < 0 || due < (MHD_UNSIGNED_LONG_LONG)ms))
            ms = due > SWEEP_MS ? SWEEP_MS : (int)due;
        (void)poll(wait, 2, ms);
        if (wait[1].revents)
            return NULL;
        MHD_run(port->daemon);
    }
}

static bus_status start(bui_status_port *port, bus_error *err)
{
    port->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int failed = port->stop_fd < 0 ? errno : pthread_create(&port->thread, NULL, serve, port);
    port->started = !failed;
    return failed
               ? bui_fail(err, BUS_IO, "cannot start the thread of the status port: %s; raise ulimit -u or -n", strerror(failed))
               : BUS_OK;
}

bus_status bui_status_open(bus *self, bui_status_port **out, bus_error *err)
{
    int port_number = (int)bui_config_int(self->config, "status.port");
    const char *listen = bui_config_text(self->config, "status.listen");
    if (port_number == 0) {
        *out = NULL;
        return BUS_OK;
    }
    struct {
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } address = { 0 };
    address.four.sin_family = AF_INET;
    address.six.sin6_family = AF_INET6;
    address.four.sin_port = address.six.sin6_port = htons((uint16_t)port_number);
    bool four = inet_pton(AF_INET, listen, &address.four.sin_addr) == 1;
    if (!four && inet_pton(AF_INET6, listen, &address.six.sin6_addr) != 1)
        return bui_fail(err, BUS_CONFIG, "status.listen: \"%s\" is not an IPv4 or IPv6 address", listen);
    bui_status_port *port = calloc(1, sizeof *port);
    if (!port)
        return bui_fail_nomem(err);
    port->self = self;
    const struct sockaddr *at = four ? (const struct sockaddr *)&address.four : (const struct sockaddr *)&address.six;
    unsigned flags = MHD_USE_EPOLL | (four ? 0u : (unsigned)MHD_USE_IPv6);
    port->stop_fd = -1;
    port->cut = &self->metrics.status_cut;
    errno = 0;
    port->daemon = MHD_start_daemon(flags, (uint16_t)port_number, NULL, NULL, on_request, self, MHD_OPTION_SOCK_ADDR, at,
                                    MHD_OPTION_CONNECTION_LIMIT, (unsigned)MOST_ACCEPTED, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                                    (size_t)REQUEST_BYTES, MHD_OPTION_NOTIFY_CONNECTION, on_connection, port,
                                    MHD_OPTION_NOTIFY_COMPLETED, on_answered, port, MHD_OPTION_END);
    if (!port->daemon) {
        int reason = errno;
        free(port);
        return bui_fail(err, BUS_IO, "cannot listen on %s:%d for metrics and health: %s; choose another status.port", listen,
                        port_number, reason ? strerror(reason) : "refused");
    }
    bus_status status = start(port, err);
    if (status != BUS_OK) {
        bui_status_close(port);
        return status;
    }
    bui_log(BUS_INFO, self->name, "status_port", "metrics and health are at http://%s%s%s:%d", four ? "" : "[", listen,
            four ? "" : "]", port_number);
    *out = port;
    return BUS_OK;
}

bus_status bus_serve_status(bus *self, bus_error *err)
{
    pthread_mutex_lock(&self->status_lock);
    bus_status status = self->status_port ? bui_fail(err, BUS_EXISTS, "the status port of %s is open already", self->name)
                                          : bui_status_open(self, &self->status_port, err);
    pthread_mutex_unlock(&self->status_lock);
    return status;
}

void bui_status_close(bui_status_port *port)
{
    if (!port)
        return;
    if (port->started) {
        ssize_t written = write(port->stop_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
        (void)written; /* only a full counter fails, and that is readable too */
        pthread_join(port->thread, NULL);
    }
    MHD_stop_daemon(port->daemon);
    if (port->stop_fd >= 0)
        close(port->stop_fd);
    free(port);
}
