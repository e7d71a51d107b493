/* SPDX-License-Identifier: MIT
 * Completion: a queue with an eventfd. */
#include "service/completion.h"
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

void bus_completions_init(bus_completions *list)
{
    pthread_mutex_init(&list->lock, NULL);
    list->fd = -1;
    list->first = NULL;
    list->last = &list->first;
}

void bus_completions_free(bus_completions *list)
{
    bus_completions_dispatch(list);
    if (list->fd >= 0)
        close(list->fd);
    pthread_mutex_destroy(&list->lock);
}

bus_completion *bus_completion_new(bus_done done, void *opaque)
{
    bus_completion *completion = calloc(1, sizeof *completion);
    if (completion) {
        completion->done = done;
        completion->opaque = opaque;
    }
    return completion;
}

void bus_completion_free(bus_completion *completion)
{
    if (!completion)
        return;
    free(completion->err);
    free(completion);
}

static void run(bus_completion *completion, const bus_error *err)
{
    if (completion->done)
        completion->done(completion->opaque, completion->status, completion->status == BUS_OK ? NULL : err);
    bus_completion_free(completion);
}

void bus_completion_end(bus_completions *list, bus_completion *completion, bus_status status, const bus_error *err)
{
    completion->status = status;
    pthread_mutex_lock(&list->lock);
    if (list->fd < 0) {
        pthread_mutex_unlock(&list->lock);
        run(completion, err);
        return;
    }
    if (status != BUS_OK && err && (completion->err = malloc(sizeof *err)))
        *completion->err = *err;
    bool was_empty = !list->first;
    completion->next = NULL;
    *list->last = completion;
    list->last = &completion->next;
    if (was_empty) {
        ssize_t written = write(list->fd, &(uint64_t){ 1 }, sizeof(uint64_t));
        (void)written; /* EAGAIN means that the counter is full, hence readable: what we want */
    }
    pthread_mutex_unlock(&list->lock);
}

int bus_completions_fd(bus_completions *list)
{
    pthread_mutex_lock(&list->lock);
    if (list->fd < 0)
        list->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int fd = list->fd;
    pthread_mutex_unlock(&list->lock);
    return fd;
}

int bus_completions_dispatch(bus_completions *list)
{
    pthread_mutex_lock(&list->lock);
    bus_completion *each = list->first;
    list->first = NULL;
    list->last = &list->first;
    uint64_t drained;
    if (list->fd >= 0 && read(list->fd, &drained, sizeof drained) < 0)
        drained = 0; /* nothing had been signalled */
    pthread_mutex_unlock(&list->lock);
    int count = 0;
    while (each) {
        bus_completion *next = each->next;
        bus_error none = { .status = each->status, .text = "no memory was left for the reason" };
        run(each, each->err ? each->err : &none);
        each = next;
        count++;
    }
    return count;
}
