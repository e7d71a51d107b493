/* SPDX-License-Identifier: MIT
 * Status: three pages by libmicrohttpd, one thread. */
#include "service/status.h"
#include "base/error.h"
#include "base/log.h"
#include "service/seat.h"
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUS_LABELS 160

struct bus_status_port {
    bus *self;
    struct MHD_Daemon *daemon;
};

static void metrics(bus *self, bus_buf *body)
{
    char process[BUS_LABELS];
    snprintf(process, sizeof process, "service=\"%s\"", self->name);
    bus_metric_instance all = { &self->metrics, process };
    bus_metrics_render(body, bus_process_metric_table, &all, 1);
    if (self->asker) {
        bus_metric_instance registry = { bus_asker_metrics_of(self->asker), process };
        bus_metrics_render(body, bus_asker_metric_table, &registry, 1);
    }

    /* Shards cannot be closed while this lock is held; none of their threads waits for it in a step. */
    pthread_rwlock_rdlock(&self->seats_lock);
    size_t room = (size_t)self->shards + 1, count = 0;
    bus_metric_instance *open = calloc(room, sizeof *open);
    char (*labels)[BUS_LABELS] = calloc(room, BUS_LABELS);
    for (int i = 0; open && labels && i < self->shards; i++) {
        if (!self->seats[i].shard)
            continue;
        snprintf(labels[count], BUS_LABELS, "service=\"%s\",shard=\"%d\"", self->name, i);
        open[count] = (bus_metric_instance){ bus_shard_metrics_of(self->seats[i].shard), labels[count] };
        count++;
    }
    if (count > 0)
        bus_metrics_render(body, bus_shard_metric_table, open, count);
    pthread_rwlock_unlock(&self->seats_lock);
    free(open);
    free(labels);
}

static void verdict(bus_buf *body, bool good, const char *word, const char *why)
{
    bus_buf_printf(body, "{\"%s\":%s", word, good ? "true" : "false");
    if (!good) {
        bus_buf_text(body, ",\"why\":");
        bus_buf_json(body, why, strlen(why));
    }
    bus_buf_text(body, "}\n");
}

unsigned bus_status_answer(bus *self, const char *path, bus_buf *body, const char **type)
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
        bus_phase phase = bus_phase_of(self, text);
        bool stuck = bus_gauge_read(&self->metrics.handlers_stuck_now) > 0;
        bool alive = phase != BUS_PHASE_ENDED && !stuck;
        snprintf(why, sizeof why, "%s", stuck ? "a handler is stuck, see the log" : text);
        verdict(body, alive, "alive", why);
        return alive ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
    }
    if (strcmp(path, "/readyz") == 0) {
        bool ready = bus_ready(self, why, sizeof why);
        verdict(body, ready, "ready", why);
        return ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
    }
    bus_buf_text(body, "{\"error\":\"there are /metrics, /healthz and /readyz\"}\n");
    return MHD_HTTP_NOT_FOUND;
}

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned code, bus_buf *body, const char *type)
{
    bool ok = bus_buf_ok(body);
    size_t len = ok ? body->len : 0;
    char *bytes = ok ? bus_buf_take(body) : NULL;
    struct MHD_Response *response = MHD_create_response_from_buffer(len, bytes ? bytes : (void *)(uintptr_t)"",
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
    bus_buf body;
    const char *type = "application/json";
    unsigned code = MHD_HTTP_METHOD_NOT_ALLOWED;
    bus_buf_init(&body, 0);
    if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0)
        code = bus_status_answer(opaque, url, &body, &type);
    else
        bus_buf_text(&body, "{\"error\":\"only GET\"}\n");
    enum MHD_Result result = reply(connection, code, &body, type);
    bus_buf_free(&body);
    return result;
}

bus_status bus_status_open(bus *self, bus_status_port **out, bus_error *err)
{
    int port_number = (int)bus_config_int(self->config, "status.port");
    const char *listen = bus_config_text(self->config, "status.listen");
    if (port_number == 0) {
        *out = NULL;
        return BUS_OK;
    }
    struct { struct sockaddr_in four; struct sockaddr_in6 six; } address = { 0 };
    address.four.sin_family = AF_INET;
    address.six.sin6_family = AF_INET6;
    address.four.sin_port = address.six.sin6_port = htons((uint16_t)port_number);
    bool four = inet_pton(AF_INET, listen, &address.four.sin_addr) == 1;
    if (!four && inet_pton(AF_INET6, listen, &address.six.sin6_addr) != 1)
        return bus_fail(err, BUS_CONFIG, "status.listen: \"%s\" is no IPv4 or IPv6 address", listen);
    bus_status_port *port = calloc(1, sizeof *port);
    if (!port)
        return bus_fail_nomem(err);
    port->self = self;
    const struct sockaddr *at = four ? (const struct sockaddr *)&address.four : (const struct sockaddr *)&address.six;
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO | (four ? 0u : (unsigned)MHD_USE_IPv6);
    errno = 0;
    port->daemon = MHD_start_daemon(flags, (uint16_t)port_number, NULL, NULL, on_request, self, MHD_OPTION_SOCK_ADDR, at,
                                    MHD_OPTION_CONNECTION_TIMEOUT, 10u, MHD_OPTION_CONNECTION_LIMIT, 64u, MHD_OPTION_END);
    if (!port->daemon) {
        int reason = errno;
        free(port);
        return bus_fail(err, BUS_IO, "cannot listen on %s:%d for metrics and health: %s; choose another status.port", listen,
                        port_number, reason ? strerror(reason) : "refused");
    }
    bus_log(BUS_INFO, self->name, "status_port", "metrics and health are at http://%s%s%s:%d", four ? "" : "[", listen, four ? "" : "]",
            port_number);
    *out = port;
    return BUS_OK;
}

void bus_status_close(bus_status_port *port)
{
    if (!port)
        return;
    MHD_stop_daemon(port->daemon);
    free(port);
}
