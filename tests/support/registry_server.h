/* SPDX-License-Identifier: MIT
 * Registry server: answers a schema registry's client by a script, well or badly, and counts. */
#ifndef BUI_TESTS_REGISTRY_SERVER_H
#define BUI_TESTS_REGISTRY_SERVER_H

#include <pthread.h>
#include <stdatomic.h>

typedef struct registry_page {
    const char *method, *path;
    unsigned code;
    const char *body;
    int slow_ms;
} registry_page; /* ends with a NULL path */

typedef struct registry_server {
    struct MHD_Daemon *daemon;
    const registry_page *_Atomic pages;
    pthread_mutex_t lock;        /* last_body */
    const char *user, *password; /* asked for, if set */
    atomic_int asked;
    char last_body[4000];
    char url[64];
} registry_server;

/* On a free port of this host; what is on no page is answered with 404. Fails the test if it cannot. */
void registry_server_start(registry_server *server, const registry_page *pages);
void registry_server_stop(registry_server *server);

#endif
