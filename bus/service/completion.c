/* SPDX-License-Identifier: MIT
 * Completion: a queue with an eventfd. */
#include "service/completion.h"
#include "base/error.h"
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

void bui_completions_init(bui_completions *list)
{
    pthread_mutex_init(&list->lock, NULL);
    list->fd = -1;
    list->first = NULL;
    list->last = &list->first;
}

void bui_completions_free(bui_completions *list)
{
    bui_completions_dispatch(list);
    if (list->fd >= 0)
        close(list->fd);
    pthread_mutex_destroy(&list->lock);
}

bui_completion *bui_completion_new(bus_done done, void *opaque)
{
    bui_completion *completion = calloc(1, sizeof *completion);
    if (completion) {
        completion->done = done;
        completion->opaque = opaque;
    }
    return completion;
}

void bui_completion_free(bui_completion *completion)
{
    if (!completion)
        return;
    free(completion->err);
    free(completion);
}

static void run(bui_completion *completion, const bus_error *err)
{
    bus_result result = completion->result;
    bus_error unsaid;
    result.error = result.status == BUS_OK ? NULL : err;
    if (result.status != BUS_OK && !err) {
        bui_fail(&unsaid, result.status, "failed, and there was no memory to say why");
        result.error = &unsaid;
    }
    if (completion->done)
        completion->done(&result, completion->opaque);
    bui_completion_free(completion);
}

void bui_completion_end(bui_completions *list, bui_completion *completion, const bus_result *result)
{
    completion->result = *result;
    pthread_mutex_lock(&list->lock);
    if (list->fd < 0) {
        pthread_mutex_unlock(&list->lock);
        run(completion, result->error);
        return;
    }
    if (result->status != BUS_OK && result->error && (completion->err = malloc(sizeof *completion->err)))
        *completion->err = *result->error;
    bool was_empty = !list->first;
    completion->next = NULL;
    *list->last = completion;
    list->last = &completion->next;
    if (was_empty) {
        ssize_t written = write(list->fd, &(uint64_t){ 1 }, sizeof(uint64_t));
        (void)written; /* EAGAIN means that the counter is full, so readable: what we want */
    }
    pthread_mutex_unlock(&list->lock);
}

int bui_completions_fd(bui_completions *list)
{
    pthread_mutex_lock(&list->lock);
    if (list->fd < 0)
        list->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int fd = list->fd;
    pthread_mutex_unlock(&list->lock);
    return fd;
}

int bui_completions_dispatch(bui_completions *list)
{
    pthread_mutex_lock(&list->lock);
    bui_completion *each = list->first;
    list->first = NULL;
    list->last = &list->first;
    uint64_t drained;
    if (list->fd >= 0 && read(list->fd, &drained, sizeof drained) < 0)
        drained = 0; /* nothing had been signalled */
    pthread_mutex_unlock(&list->lock);
    int count = 0;
    while (each) {
        bui_completion *next = each->next;
        run(each, each->err);
        each = next;
        count++;
    }
    return count;
}
