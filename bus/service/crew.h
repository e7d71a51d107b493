/* SPDX-License-Identifier: MIT
 * Crew: the threads that run a process's tasks, which are its shards. Up to `most` tasks have a thread each; more than that share
 * `most` threads, and any free one takes what is ready, in order. A task is never run by two threads at once, and each run sees
 * what the run before has written. */
#ifndef BUI_SERVICE_CREW_H
#define BUI_SERVICE_CREW_H

#include "base/waker.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct bui_crew bui_crew;
typedef struct bui_task bui_task;

struct bui_task {
    /* The owner's, set before bui_task_begin: runs it once. Returns how long it may rest unless it is called, in us: 0 not at all,
     * INT64_MAX without end. */
    int64_t (*run)(bui_task *task);
    /* The crew's; zeroed at first. */
    bui_crew *crew;
    _Atomic int state;
    _Atomic bool quit;
    pthread_t thread; /* with a thread of its own: that, and what it sleeps on */
    bui_waker *waker; /* made by the first begin */
    bui_task *next;   /* sharing: of the queue */
    int64_t due_us;   /* when it is due, by bui_clock_now_us */
    size_t alarm;     /* its place among those that have a time, plus one; 0: none */
};

/* For at most so many tasks. NULL: no memory. Threads start with tasks. */
bui_crew *bui_crew_new(int most, int tasks);
/* Every task has ended. NULL is a no-op. */
void bui_crew_free(bui_crew *crew);

/* From here on it runs, first at once; 0 or the error of the system. One thread begins and ends a task. */
int bui_task_begin(bui_crew *crew, bui_task *task);
/* It has something to do: it runs once more after this, soon. Any thread; nothing if it has not begun. */
void bui_task_call(bui_task *task);
/* Waits until nobody runs it; nobody does after that. */
void bui_task_end(bui_task *task);
/* Its run does not return: leaves it and its thread behind. Neither it nor the crew may be freed any more. */
void bui_task_leave(bui_task *task);
/* Frees what an ended task has. */
void bui_task_free(bui_task *task);

/* So many tasks hang: has as many threads more than `most`, so that they hold up nobody else; 0 or the error of the system. Any thread. */
int bui_crew_spare(bui_crew *crew, int hanging);
/* How many threads run tasks; how many tasks are ready and have none. Any thread. */
int bui_crew_threads(bui_crew *crew);
int bui_crew_queued(bui_crew *crew);

#endif
