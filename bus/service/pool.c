/* SPDX-License-Identifier: MIT
 * Pool: a queue of jobs and the threads that take them. */
#include "service/pool.h"
#include "base/error.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct threads {
    bus_pool pool;         /* first: the shard sees only this */
    pthread_mutex_t lock;
    pthread_cond_t more;
    bus_job *first, **last;
    bool closing;
    int count;
    pthread_t thread[];
} threads;

static void submit(bus_pool *pool, bus_job *job)
{
    threads *self = (threads *)pool;
    job->next = NULL;
    pthread_mutex_lock(&self->lock);
    *self->last = job;
    self->last = &job->next;
    pthread_cond_signal(&self->more);
    pthread_mutex_unlock(&self->lock);
}

static void *work(void *arg)
{
    threads *self = arg;
    pthread_mutex_lock(&self->lock);
    for (;;) {
        bus_job *job = self->first;
        if (!job) {
            if (self->closing)
                break;
            pthread_cond_wait(&self->more, &self->lock);
            continue;
        }
        self->first = job->next;
        if (!self->first)
            self->last = &self->first;
        pthread_mutex_unlock(&self->lock);
        job->run(job);
        job->done(job); /* the job may be gone after this */
        pthread_mutex_lock(&self->lock);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

bus_status bus_threads_open(int count, bus_pool **out, bus_error *err)
{
    threads *self = calloc(1, sizeof *self + (size_t)count * sizeof self->thread[0]);
    if (!self)
        return bus_fail_nomem(err);
    self->pool.submit = submit;
    self->last = &self->first;
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->more, NULL);
    for (; self->count < count; self->count++) {
        int failed = pthread_create(&self->thread[self->count], NULL, work, self);
        if (failed) {
            bus_threads_close(&self->pool);
            return bus_fail(err, BUS_IO, "cannot start prepare thread %d of %d: %s; lower prepare.threads or raise ulimit -u",
                            self->count + 1, count, strerror(failed));
        }
    }
    *out = &self->pool;
    return BUS_OK;
}

void bus_threads_close(bus_pool *pool)
{
    if (!pool)
        return;
    threads *self = (threads *)pool;
    pthread_mutex_lock(&self->lock);
    self->closing = true;
    pthread_cond_broadcast(&self->more);
    pthread_mutex_unlock(&self->lock);
    for (int i = 0; i < self->count; i++)
        pthread_join(self->thread[i], NULL);
    pthread_cond_destroy(&self->more);
    pthread_mutex_destroy(&self->lock);
    free(self);
}
