/* SPDX-License-Identifier: MIT
 * Completion: how the end of an asynchronous call reaches its caller: on the library's thread, or, once the program has
 * asked for bus_fd, on the thread that calls bus_dispatch. */
#ifndef BUI_SERVICE_COMPLETION_H
#define BUI_SERVICE_COMPLETION_H

#include <bus/service.h>
#include <pthread.h>

/* Made before the call is accepted, so that its end needs no memory. */
typedef struct bui_completion bui_completion;
struct bui_completion {
    bus_done done;
    void *opaque;
    bus_result result; /* its error is not set */
    bus_error *err;    /* of a failure; NULL without memory */
    bui_completion *next;
};

typedef struct bui_completions {
    pthread_mutex_t lock;
    int fd; /* -1 until bus_fd */
    bui_completion *first, **last;
} bui_completions;

void bui_completions_init(bui_completions *list);
void bui_completions_free(bui_completions *list); /* runs what still waits, so that `done` is called exactly once */

bui_completion *bui_completion_new(bus_done done, void *opaque); /* NULL: no memory */
void bui_completion_free(bui_completion *completion);            /* one that was never ended; NULL is a no-op */
/* Ends it (any thread) and takes it; copies the result. */
void bui_completion_end(bui_completions *list, bui_completion *completion, const bus_result *result);

int bui_completions_fd(bui_completions *list);       /* -1: no descriptor left */
int bui_completions_dispatch(bui_completions *list); /* runs those waiting; how many */

#endif
