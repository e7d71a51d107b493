/* SPDX-License-Identifier: MIT
 * Registry server: libmicrohttpd, a thread for each connection. */
#include "support/registry_server.h"

#include <microhttpd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

typedef struct upload {
    size_t len;
    char text[4000];
} upload;

static void nap_ms(long ms)
{
    struct timespec span = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep(&span, NULL);
}

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned code, const char *body)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(strlen(body), (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
}

static bool allowed(const registry_server *s, struct MHD_Connection *connection)
{
    char *password = NULL;
    if (!s->user)
        return true;
    char *user = MHD_basic_auth_get_username_password(connection, &password);
    bool good = user && password && strcmp(user, s->user) == 0 && strcmp(password, s->password) == 0;
    MHD_free(user);
    MHD_free(password);
    return good;
}

static enum MHD_Result handle(void *opaque, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *data, size_t *size, void **state)
{
    (void)version;
    registry_server *s = opaque;
    if (!*state) {
        *state = calloc(1, sizeof(upload));
        return *state ? MHD_YES : MHD_NO;
    }
    upload *up = *state;
    if (*size) {
        size_t n = *size < sizeof up->text - 1 - up->len ? *size : sizeof up->text - 1 - up->len;
        memcpy(up->text + up->len, data, n);
        up->len += n;
        *size = 0;
        return MHD_YES;
    }
    atomic_fetch_add(&s->asked, 1);
    pthread_mutex_lock(&s->lock);
    memcpy(s->last_body, up->text, sizeof s->last_body);
    pthread_mutex_unlock(&s->lock);
    free(up);
    *state = NULL;
    if (!allowed(s, connection))
        return reply(connection, 401, "{\"error_code\":401,\"message\":\"Unauthorized\"}");
    for (const registry_page *p = s->pages; p->path; p++)
        if (strcmp(p->path, url) == 0 && strcmp(p->method, method) == 0) {
            nap_ms(p->slow_ms);
            return reply(connection, p->code, p->body);
        }
    return reply(connection, 404, "{\"error_code\":40403,\"message\":\"Schema not found\"}");
}

void registry_server_start(registry_server *s, const registry_page *pages)
{
    *s = (registry_server){ .pages = pages };
    pthread_mutex_init(&s->lock, NULL);
    s->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION, 0, NULL, NULL, handle, s,
                                 MHD_OPTION_END);
    assert_non_null(s->daemon);
    unsigned port = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u/", port);
}

void registry_server_stop(registry_server *s)
{
    MHD_stop_daemon(s->daemon);
}
