/* SPDX-License-Identifier: MIT
 * Crew: see the header. The state of a task decides who may run it:
 *
 *     RESTING --call, alarm--> QUEUED --a thread takes it--> RUNNING --> RESTING, or QUEUED again
 *                                                            RUNNING --call--> AGAIN --> QUEUED
 *
 * The thread that takes it from RESTING to QUEUED hands it on, and no other does; the one that takes it from QUEUED to RUNNING runs it. */
#include "service/crew.h"

#include "base/clock.h"
#include "base/wait.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { OFF, RESTING, QUEUED, RUNNING, AGAIN };

typedef struct hand {
    bui_crew *crew;
    pthread_t thread;
    bui_waker *waker;
    struct hand *next; /* of those that have nothing to do */
    bui_task *given;
} hand;

struct bui_crew {
    bool shares;
    int most;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t rested, alarms;
    bui_task *first, **last; /* ready, and no thread free; a thread is idle only if there are none */
    hand *idle;              /* the one that worked last is first: its caches are warm, and the others' stacks are left alone */
    bui_task **alarm;        /* a heap: the earliest first */
    size_t alarm_count;
    int begun, queued, awaited, hand_count;
    bool quit, keeps_time;
    pthread_t keeper;
    hand hand[];
};

static bool turn(bui_task *task, int from, int to)
{
    return atomic_compare_exchange_strong(&task->state, &from, to);
}

/* Also over AGAIN: what that caller has written before is seen from here on. */
static void enter(bui_task *task, int state)
{
    (void)atomic_exchange(&task->state, state);
}

/* ---- a task with a thread of its own */

static void *run_alone(void *arg)
{
    bui_task *task = arg;
    while (!atomic_load(&task->quit)) {
        enter(task, RUNNING);
        int64_t wait_us = task->run(task);
        if (wait_us > 0 && turn(task, RUNNING, RESTING))
            (void)bui_waker_sleep(task->waker, wait_us == INT64_MAX ? -1 : wait_us);
    }
    return NULL;
}

static void count(bui_crew *crew, int more)
{
    pthread_mutex_lock(&crew->lock);
    crew->begun += more;
    pthread_mutex_unlock(&crew->lock);
}

static int begin_alone(bui_crew *crew, bui_task *task)
{
    if (!task->waker)
        task->waker = bui_waker_new();
    if (!task->waker)
        return ENOMEM;
    atomic_store(&task->quit, false);
    atomic_store(&task->state, QUEUED);
    int failed = pthread_create(&task->thread, NULL, run_alone, task);
    if (failed)
        atomic_store(&task->state, OFF);
    else
        count(crew, 1);
    return failed;
}

static void end_alone(bui_crew *crew, bui_task *task)
{
    atomic_store(&task->quit, true);
    bui_waker_wake(task->waker);
    pthread_join(task->thread, NULL);
    atomic_store(&task->state, OFF);
    count(crew, -1);
}

/* ---- alarms, with the lock */

static void place(bui_crew *crew, size_t at, bui_task *task)
{
    crew->alarm[at] = task;
    task->alarm = at + 1;
}

static void rise(bui_crew *crew, size_t at, bui_task *task)
{
    for (; at > 0 && crew->alarm[(at - 1) / 2]->due_us > task->due_us; at = (at - 1) / 2)
        place(crew, at, crew->alarm[(at - 1) / 2]);
    place(crew, at, task);
}

static void sink(bui_crew *crew, size_t at, bui_task *task)
{
    for (size_t child; (child = 2 * at + 1) < crew->alarm_count; at = child) {
        if (child + 1 < crew->alarm_count && crew->alarm[child + 1]->due_us < crew->alarm[child]->due_us)
            child++;
        if (crew->alarm[child]->due_us >= task->due_us)
            break;
        place(crew, at, crew->alarm[child]);
    }
    place(crew, at, task);
}

static void clear_alarm(bui_crew *crew, bui_task *task)
{
    if (!task->alarm)
        return;
    size_t at = task->alarm - 1;
    task->alarm = 0;
    bui_task *moved = crew->alarm[--crew->alarm_count];
    if (moved == task)
        return;
    if (at > 0 && crew->alarm[(at - 1) / 2]->due_us > moved->due_us)
        rise(crew, at, moved);
    else
        sink(crew, at, moved);
}

static void set_alarm(bui_crew *crew, bui_task *task, int64_t wait_us)
{
    if (wait_us == INT64_MAX)
        return;
    task->due_us = bui_clock_now_us() + wait_us;
    rise(crew, crew->alarm_count++, task);
    if (crew->alarm[0] == task)
        pthread_cond_signal(&crew->alarms);
}

/* ---- tasks that share threads */

static void queue(bui_crew *crew, bui_task *task)
{
    task->next = NULL;
    *crew->last = task;
    crew->last = &task->next;
    crew->queued++;
}

/* With the lock; the thread to wake, or NULL. */
static hand *give(bui_crew *crew, bui_task *task)
{
    hand *idle = crew->idle;
    clear_alarm(crew, task);
    if (!idle) {
        queue(crew, task);
        return NULL;
    }
    crew->idle = idle->next;
    idle->given = task;
    return idle;
}

/* With the lock. NULL: the crew ends. */
static bui_task *take(bui_crew *crew, hand *mine)
{
    bui_task *task = crew->first;
    if (task) {
        crew->first = task->next;
        crew->queued--;
        if (!crew->first)
            crew->last = &crew->first;
        return task;
    }
    mine->given = NULL;
    mine->next = crew->idle;
    crew->idle = mine;
    while (!mine->given && !crew->quit) {
        pthread_mutex_unlock(&crew->lock);
        (void)bui_waker_sleep(mine->waker, -1);
        pthread_mutex_lock(&crew->lock);
    }
    return mine->given;
}

/* With the lock. Behind those that wait already, even if it has more to do at once: no task keeps a thread that others need. */
static void put_back(bui_crew *crew, bui_task *task, int64_t wait_us)
{
    if (wait_us > 0) {
        set_alarm(crew, task, wait_us); /* first: once it rests it is others' */
        if (turn(task, RUNNING, RESTING)) {
            if (crew->awaited > 0)
                pthread_cond_broadcast(&crew->rested);
            return;
        }
        clear_alarm(crew, task);
    }
    enter(task, QUEUED);
    queue(crew, task);
}

static void *run_shared(void *arg)
{
    hand *mine = arg;
    bui_crew *crew = mine->crew;
    pthread_mutex_lock(&crew->lock);
    for (bui_task *task; (task = take(crew, mine));) {
        pthread_mutex_unlock(&crew->lock);
        enter(task, RUNNING);
        int64_t wait_us = task->run(task);
        pthread_mutex_lock(&crew->lock);
        put_back(crew, task, wait_us);
    }
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

/* A thread of its own, since each of the others may be inside a handler when the time has come. */
static void *keep_time(void *arg)
{
    bui_crew *crew = arg;
    pthread_mutex_lock(&crew->lock);
    while (!crew->quit) {
        bui_task *task = crew->alarm_count > 0 ? crew->alarm[0] : NULL;
        if (!task) {
            pthread_cond_wait(&crew->alarms, &crew->lock);
        } else if (task->due_us > bui_clock_now_us()) {
            (void)bui_cond_wait(&crew->alarms, &crew->lock, task->due_us);
        } else {
            clear_alarm(crew, task);
            hand *idle = turn(task, RESTING, QUEUED) ? give(crew, task) : NULL; /* else somebody else hands it on */
            if (idle)
                bui_waker_wake(idle->waker);
        }
    }
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

/* With the lock. */
static int hire(bui_crew *crew)
{
    hand *new = &crew->hand[crew->hand_count];
    *new = (hand){ .crew = crew, .waker = bui_waker_new() };
    int failed = new->waker ? pthread_create(&new->thread, NULL, run_shared, new) : ENOMEM;
    if (failed)
        bui_waker_free(new->waker);
    else
        crew->hand_count++;
    return failed;
}

static int begin_shared(bui_crew *crew, bui_task *task)
{
    int failed = 0;
    pthread_mutex_lock(&crew->lock);
    if (!crew->keeps_time) {
        failed = pthread_create(&crew->keeper, NULL, keep_time, crew);
        crew->keeps_time = failed == 0;
    }
    if (failed == 0 && crew->hand_count < crew->most && crew->hand_count <= crew->begun)
        failed = hire(crew);
    if (failed == 0) {
        crew->begun++;
        atomic_store(&task->state, RESTING);
    }
    pthread_mutex_unlock(&crew->lock);
    if (failed == 0)
        bui_task_call(task);
    return failed;
}

static void end_shared(bui_crew *crew, bui_task *task)
{
    pthread_mutex_lock(&crew->lock);
    crew->awaited++;
    while (!turn(task, RESTING, OFF))
        pthread_cond_wait(&crew->rested, &crew->lock);
    crew->awaited--;
    crew->begun--;
    clear_alarm(crew, task);
    pthread_mutex_unlock(&crew->lock);
}

int bui_crew_spare(bui_crew *crew, int hanging)
{
    int failed = 0;
    if (!crew->shares)
        return 0;
    pthread_mutex_lock(&crew->lock);
    while (failed == 0 && crew->hand_count < crew->most + hanging && crew->hand_count < crew->begun)
        failed = hire(crew);
    pthread_mutex_unlock(&crew->lock);
    return failed;
}

/* ---- both */

int bui_task_begin(bui_crew *crew, bui_task *task)
{
    task->crew = crew;
    return crew->shares ? begin_shared(crew, task) : begin_alone(crew, task);
}

/* What the caller has written before is seen by the run that follows: the state is written whatever it is. */
void bui_task_call(bui_task *task)
{
    int seen = atomic_load(&task->state);
    while (!atomic_compare_exchange_weak(&task->state, &seen, seen == RESTING ? QUEUED : seen == RUNNING ? AGAIN : seen))
        continue;
    if (seen != RESTING)
        return;
    bui_crew *crew = task->crew;
    if (!crew->shares) {
        bui_waker_wake(task->waker);
        return;
    }
    pthread_mutex_lock(&crew->lock);
    hand *idle = give(crew, task);
    pthread_mutex_unlock(&crew->lock);
    if (idle)
        bui_waker_wake(idle->waker);
}

void bui_task_end(bui_task *task)
{
    if (task->crew->shares)
        end_shared(task->crew, task);
    else
        end_alone(task->crew, task);
}

void bui_task_leave(bui_task *task)
{
    if (!task->crew->shares)
        pthread_detach(task->thread);
}

void bui_task_free(bui_task *task)
{
    bui_waker_free(task->waker);
}

int bui_crew_threads(bui_crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    int threads = crew->shares ? crew->hand_count : crew->begun;
    pthread_mutex_unlock(&crew->lock);
    return threads;
}

int bui_crew_queued(bui_crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    int queued = crew->queued;
    pthread_mutex_unlock(&crew->lock);
    return queued;
}

bui_crew *bui_crew_new(int most, int tasks)
{
    bool shares = tasks > most;
    bui_crew *crew = calloc(1, sizeof *crew + (shares ? (size_t)tasks * sizeof crew->hand[0] : 0));
    bui_task **alarm = shares ? calloc((size_t)tasks, sizeof(bui_task *)) : NULL;
    if (!crew || (shares && !alarm)) {
        free(alarm);
        free(crew);
        return NULL;
    }
    crew->shares = shares;
    crew->most = most;
    crew->alarm = alarm;
    crew->last = &crew->first;
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->rested, NULL);
    bui_cond_init(&crew->alarms);
    return crew;
}

void bui_crew_free(bui_crew *crew)
{
    if (!crew)
        return;
    pthread_mutex_lock(&crew->lock);
    crew->quit = true;
    pthread_cond_signal(&crew->alarms);
    pthread_mutex_unlock(&crew->lock);
    for (int i = 0; i < crew->hand_count; i++) {
        bui_waker_wake(crew->hand[i].waker);
        pthread_join(crew->hand[i].thread, NULL);
        bui_waker_free(crew->hand[i].waker);
    }
    if (crew->keeps_time)
        pthread_join(crew->keeper, NULL);
    pthread_cond_destroy(&crew->alarms);
    pthread_cond_destroy(&crew->rested);
    pthread_mutex_destroy(&crew->lock);
    free(crew->alarm);
    free(crew);
}
