/* SPDX-License-Identifier: MIT
 * Isolation: see isolation.h. Who begins an ordinary run writes his note and then looks whether somebody wants to be alone, without a fence, since
 * he does so for each event. Who wants to be alone says so, has the system put a fence into every thread of the process, and then reads
 * the notes of all. */
#include "shard/isolation.h"

#include "base/array.h"
#include "shard/internal.h"
#include <linux/membarrier.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 60000 /* a handler that is stuck must not hold up a whole process without end */

struct bui_isolation {
    bui_isolation *next;
    const void *process;
    bui_crash_note **notes;
    size_t count;
    _Atomic(bui_crash_note *) alone;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bui_isolation *isolations;

static void nap(void)
{
    const struct timespec moment = { 0, 1000000 };
    nanosleep(&moment, NULL);
}

static void fence_all(void)
{
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0 &&
        (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0 ||
         syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0))
        nap(); /* an old kernel: what a thread has written is visible long before that time is over */
}

bui_isolation *bui_isolation_join(const void *process, bui_crash_note *note)
{
    pthread_mutex_lock(&lock);
    bui_isolation *isolation = isolations;
    while (isolation && isolation->process != process)
        isolation = isolation->next;
    if (!isolation && (isolation = calloc(1, sizeof *isolation))) {
        isolation->process = process;
        isolation->next = isolations;
        isolations = isolation;
    }
    bool room = isolation && bui_array_one_more(&isolation->notes, isolation->count, sizeof *isolation->notes);
    if (room) {
        isolation->notes[isolation->count++] = note;
    } else if (isolation && !isolation->count) {
        isolations = isolation->next;
        free(isolation);
    }
    pthread_mutex_unlock(&lock);
    return room ? isolation : NULL;
}

void bui_isolation_leave(bui_isolation *isolation, bui_crash_note *note)
{
    if (!isolation)
        return;
    bui_isolation_give(isolation, note);
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < isolation->count; i++)
        if (isolation->notes[i] == note)
            isolation->notes[i--] = isolation->notes[--isolation->count];
    if (!isolation->count) {
        bui_isolation **at = &isolations;
        while (*at != isolation)
            at = &(*at)->next;
        *at = isolation->next;
        free(isolation->notes);
        free(isolation);
    }
    pthread_mutex_unlock(&lock);
}

static bool quiet(const bui_isolation *isolation, bool (*runs)(const bui_crash_note *))
{
    bool busy = false;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < isolation->count && !busy; i++)
        busy = runs(isolation->notes[i]);
    pthread_mutex_unlock(&lock);
    return !busy;
}

bool bui_isolation_take(bui_isolation *isolation, bui_crash_note *note, bool (*runs)(const bui_crash_note *))
{
    bool mine = false;
    if (!isolation)
        return true;
    for (int ms = 0; ms < PATIENCE_MS; ms++) {
        bui_crash_note *nobody = NULL;
        mine = mine || atomic_compare_exchange_strong(&isolation->alone, &nobody, note);
        if (mine) {
            fence_all();
            if (quiet(isolation, runs))
                return true;
        }
        nap();
    }
    if (mine)
        bui_isolation_give(isolation, note);
    return false;
}

void bui_isolation_give(bui_isolation *isolation, bui_crash_note *note)
{
    if (isolation)
        atomic_compare_exchange_strong(&isolation->alone, &note, NULL);
}

bool bui_isolation_free(const bui_isolation *isolation)
{
    atomic_signal_fence(memory_order_seq_cst);
    return !isolation || !atomic_load_explicit(&((bui_isolation *)(uintptr_t)isolation)->alone, memory_order_relaxed);
}

void bui_isolation_wait(bui_isolation *isolation)
{
    for (int ms = 0; ms < PATIENCE_MS && !bui_isolation_free(isolation); ms++)
        nap();
    if (!bui_isolation_free(isolation)) /* it is stuck, and no longer alone */
        atomic_store(&isolation->alone, NULL);
}
