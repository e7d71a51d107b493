/* SPDX-License-Identifier: MIT
 * Completion: how the end of an asynchronous call reaches its caller: on the library's thread, or, once the program has
 * asked for bus_fd, on the thread that calls bus_dispatch. */
#ifndef BUS_SERVICE_COMPLETION_H
#define BUS_SERVICE_COMPLETION_H

#include <bus/service.h>
#include <pthread.h>

/* Made before the call is accepted, so that its end needs no memory. */
typedef struct bus_completion bus_completion;
struct bus_completion {
    bus_done done;
    void *opaque;
    bus_status status;
    bus_error *err;         /* of a failure; NULL without memory */
    bus_completion *next;
};

typedef struct bus_completions {
    pthread_mutex_t lock;
    int fd;                 /* -1 until bus_fd */
    bus_completion *first, **last;
} bus_completions;

void bus_completions_init(bus_completions *list);
void bus_completions_free(bus_completions *list);  /* runs what still waits, so that `done` is called exactly once */

bus_completion *bus_completion_new(bus_done done, void *opaque); /* NULL: no memory */
void bus_completion_free(bus_completion *completion);            /* one that was never ended; NULL is a no-op */
/* Ends it (any thread) and takes it. */
void bus_completion_end(bus_completions *list, bus_completion *completion, bus_status status, const bus_error *err);

int bus_completions_fd(bus_completions *list);        /* -1: no descriptor left */
int bus_completions_dispatch(bus_completions *list);  /* runs those waiting; how many */

#endif
