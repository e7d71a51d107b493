/* SPDX-License-Identifier: MIT
 * HTTP: JSON asked of one service at several addresses, by libcurl: the first that answers sensibly is taken, and asked first the
 * next time. Blocking; any thread. */
#ifndef BUI_REGISTRY_HTTP_H
#define BUI_REGISTRY_HTTP_H

#include <bus/error.h>
#include <stdbool.h>
#include <stdint.h>

struct json_t;

typedef struct bui_http bui_http;

typedef struct bui_http_options {
    const char *urls;            /* http:// or https://, separated by commas; without user and password */
    const char *user, *password; /* basic authentication; NULL or "": none */
    const char *ca_file, *certificate_file, *key_file, *key_password; /* TLS; NULL or "": the system's, none, none, none */
    const char *properties; /* what errors put before "ca.file" and the like; lives as long */
    int64_t timeout_ms;     /* of one request to one address */
    const char *content_type, *accept;
    bool (*stop)(void *opaque); /* may be NULL; asked now and then: true ends a request with BUS_CANCELLED */
    void *opaque;
} bui_http_options;

/* Copies what it is given. BUS_CONFIG: an address that is none, a file that cannot be read, one of certificate and key without the
 * other; BUS_NOMEM. */
bus_status bui_http_open(const bui_http_options *options, bui_http **out, bus_error *err);
void bui_http_close(bui_http *http); /* NULL is a no-op */

/* GET `path`, or POST `body` if it is not NULL. Each address is tried once, until one gives an answer that is below 500, not 429
 * and, from 200 to 299, JSON. BUS_OK: *answer (json_decref it) and *code are set; *answer is NULL where another code came without
 * JSON. BUS_TIMEOUT, BUS_IO, both retriable: none answered, with what the last one said, and what to
 * do about a certificate; BUS_CANCELLED; BUS_NOMEM. */
bus_status bui_http_ask(bui_http *http, const char *path, const char *body, struct json_t **answer, long *code, bus_error *err);

#endif
