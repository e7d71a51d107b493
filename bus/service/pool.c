/* SPDX-License-Identifier: MIT
 * Pool: a queue of jobs and the threads that take them. */
#include "service/pool.h"
#include "base/error.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct threads {
    bui_pool pool; /* first: the shard sees only this */
    pthread_mutex_t lock;
    pthread_cond_t more;
    bui_job *first, **last;
    bool closing;
    int count;
    pthread_t thread[];
} threads;

static void submit(bui_pool *pool, bui_job *job)
{
    threads *all = (threads *)pool;
    job->next = NULL;
    pthread_mutex_lock(&all->lock);
    *all->last = job;
    all->last = &job->next;
    pthread_cond_signal(&all->more);
    pthread_mutex_unlock(&all->lock);
}

static void *work(void *arg)
{
    threads *all = arg;
    pthread_mutex_lock(&all->lock);
    for (;;) {
        bui_job *job = all->first;
        if (!job) {
            if (all->closing)
                break;
            pthread_cond_wait(&all->more, &all->lock);
            continue;
        }
        all->first = job->next;
        if (!all->first)
            all->last = &all->first;
        pthread_mutex_unlock(&all->lock);
        job->run(job);
        job->done(job); /* the job may be gone after this */
        pthread_mutex_lock(&all->lock);
    }
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

bus_status bui_threads_open(int count, bui_pool **out, bus_error *err)
{
    threads *all = calloc(1, sizeof *all + (size_t)count * sizeof all->thread[0]);
    if (!all)
        return bui_fail_nomem(err);
    all->pool.submit = submit;
    all->last = &all->first;
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->more, NULL);
    for (; all->count < count; all->count++) {
        int failed = pthread_create(&all->thread[all->count], NULL, work, all);
        if (failed) {
            bui_threads_close(&all->pool);
            return bui_fail(err, BUS_IO, "cannot start prepare thread %d of %d: %s; lower prepare.threads or raise ulimit -u",
                            all->count + 1, count, strerror(failed));
        }
    }
    *out = &all->pool;
    return BUS_OK;
}

void bui_threads_close(bui_pool *pool)
{
    if (!pool)
        return;
    threads *all = (threads *)pool;
    pthread_mutex_lock(&all->lock);
    all->closing = true;
    pthread_cond_broadcast(&all->more);
    pthread_mutex_unlock(&all->lock);
    for (int i = 0; i < all->count; i++)
        pthread_join(all->thread[i], NULL);
    pthread_cond_destroy(&all->more);
    pthread_mutex_destroy(&all->lock);
    free(all);
}
