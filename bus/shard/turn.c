/* SPDX-License-Identifier: MIT
 * Turn: see turn.h. Who begins an ordinary run writes his note and then looks whether somebody wants to be alone, without a fence, since
 * he does so for each event. Who wants to be alone says so, has the system put a fence into every thread of the process, and then reads
 * the notes of all. */
#include "shard/turn.h"

#include "base/array.h"
#include "shard/internal.h"
#include <linux/membarrier.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 60000 /* a handler that is stuck must not hold up a whole process for ever */

struct bus_turn {
    bus_turn *next;
    const void *process;
    bus_crash_note **notes;
    size_t count;
    _Atomic(bus_crash_note *) alone;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bus_turn *turns;

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
        nap(); /* an old kernel: what a thread has written is seen long before that is over */
}

bus_turn *bus_turn_join(const void *process, bus_crash_note *note)
{
    pthread_mutex_lock(&lock);
    bus_turn *turn = turns;
    while (turn && turn->process != process)
        turn = turn->next;
    if (!turn && (turn = calloc(1, sizeof *turn))) {
        turn->process = process;
        turn->next = turns;
        turns = turn;
    }
    bool room = turn && bus_array_one_more(&turn->notes, turn->count, sizeof *turn->notes);
    if (room) {
        turn->notes[turn->count++] = note;
    } else if (turn && !turn->count) {
        turns = turn->next;
        free(turn);
    }
    pthread_mutex_unlock(&lock);
    return room ? turn : NULL;
}

void bus_turn_leave(bus_turn *turn, bus_crash_note *note)
{
    if (!turn)
        return;
    bus_turn_give(turn, note);
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < turn->count; i++)
        if (turn->notes[i] == note)
            turn->notes[i--] = turn->notes[--turn->count];
    if (!turn->count) {
        bus_turn **at = &turns;
        while (*at != turn)
            at = &(*at)->next;
        *at = turn->next;
        free(turn->notes);
        free(turn);
    }
    pthread_mutex_unlock(&lock);
}

static bool quiet(const bus_turn *turn, bool (*runs)(const bus_crash_note *))
{
    bool busy = false;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < turn->count && !busy; i++)
        busy = runs(turn->notes[i]);
    pthread_mutex_unlock(&lock);
    return !busy;
}

bool bus_turn_take(bus_turn *turn, bus_crash_note *note, bool (*runs)(const bus_crash_note *))
{
    bool mine = false;
    if (!turn)
        return true;
    for (int ms = 0; ms < PATIENCE_MS; ms++) {
        bus_crash_note *nobody = NULL;
        mine = mine || atomic_compare_exchange_strong(&turn->alone, &nobody, note);
        if (mine) {
            fence_all();
            if (quiet(turn, runs))
                return true;
        }
        nap();
    }
    if (mine)
        bus_turn_give(turn, note);
    return false;
}

void bus_turn_give(bus_turn *turn, bus_crash_note *note)
{
    if (turn)
        atomic_compare_exchange_strong(&turn->alone, &note, NULL);
}

bool bus_turn_free(const bus_turn *turn)
{
    atomic_signal_fence(memory_order_seq_cst);
    return !turn || !atomic_load_explicit(&((bus_turn *)(uintptr_t)turn)->alone, memory_order_relaxed);
}

void bus_turn_wait(bus_turn *turn)
{
    for (int ms = 0; ms < PATIENCE_MS && !bus_turn_free(turn); ms++)
        nap();
    if (!bus_turn_free(turn)) /* it is stuck, and no longer alone */
        atomic_store(&turn->alone, NULL);
}
