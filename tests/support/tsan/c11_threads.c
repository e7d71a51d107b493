/* SPDX-License-Identifier: MIT
 * C11 threads by POSIX threads, for ThreadSanitizer: it intercepts pthread_create and its kin, but not the thrd_create that
 * librdkafka calls, and dies in a thread that it has not seen begin. A program that holds these is bound to them before libc's. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <threads.h>

_Static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t) && sizeof(cnd_t) >= sizeof(pthread_cond_t) &&
                   sizeof(once_flag) == sizeof(pthread_once_t),
               "a C11 object holds a POSIX one");

static int result_of(int failed)
{
    switch (failed) {
    case 0: return thrd_success;
    case ENOMEM: return thrd_nomem;
    case EBUSY: return thrd_busy;
    case ETIMEDOUT: return thrd_timedout;
    default: return thrd_error;
    }
}

typedef struct start {
    thrd_start_t run;
    void *arg;
} start;

static void *run(void *opaque)
{
    start how = *(start *)opaque;
    free(opaque);
    return (void *)(long)how.run(how.arg);
}

int thrd_create(thrd_t *thread, thrd_start_t function, void *arg)
{
    start *how = NULL; /* not by malloc: tests count the product's and make them fail */
    if (posix_memalign((void **)&how, sizeof(void *), sizeof *how))
        return thrd_nomem;
    *how = (start){ function, arg };
    int failed = pthread_create(thread, NULL, run, how);
    if (failed)
        free(how);
    return result_of(failed);
}

int thrd_join(thrd_t thread, int *result)
{
    void *out;
    int failed = pthread_join(thread, &out);
    if (!failed && result)
        *result = (int)(long)out;
    return result_of(failed);
}

int mtx_init(mtx_t *mutex, int type)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, type & mtx_recursive ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_DEFAULT);
    int failed = pthread_mutex_init((pthread_mutex_t *)mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return result_of(failed);
}

int mtx_lock(mtx_t *mutex)
{
    return result_of(pthread_mutex_lock((pthread_mutex_t *)mutex));
}
int mtx_unlock(mtx_t *mutex)
{
    return result_of(pthread_mutex_unlock((pthread_mutex_t *)mutex));
}
void mtx_destroy(mtx_t *mutex)
{
    pthread_mutex_destroy((pthread_mutex_t *)mutex);
}

int cnd_init(cnd_t *cond)
{
    return result_of(pthread_cond_init((pthread_cond_t *)cond, NULL));
}
int cnd_signal(cnd_t *cond)
{
    return result_of(pthread_cond_signal((pthread_cond_t *)cond));
}
int cnd_broadcast(cnd_t *cond)
{
    return result_of(pthread_cond_broadcast((pthread_cond_t *)cond));
}
int cnd_wait(cnd_t *cond, mtx_t *mutex)
{
    return result_of(pthread_cond_wait((pthread_cond_t *)cond, (pthread_mutex_t *)mutex));
}
void cnd_destroy(cnd_t *cond)
{
    pthread_cond_destroy((pthread_cond_t *)cond);
}

int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict mutex, const struct timespec *restrict until)
{
    return result_of(pthread_cond_timedwait((pthread_cond_t *)cond, (pthread_mutex_t *)mutex, until));
}

void call_once(once_flag *flag, void (*function)(void))
{
    pthread_once((pthread_once_t *)flag, function);
}
