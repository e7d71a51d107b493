/* SPDX-License-Identifier: MIT
 * State: what the threads of a handle share about it: its phase, whether it stops, has ended, is ready. */
#include "service/worker.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *bui_phase_name(bui_phase phase)
{
    static const char *const names[] = { "waiting", "joining", "serving", "detached", "paused", "stopping", "ended" };
    return names[phase];
}

void bui_set_phase(bus *self, bui_phase phase, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    pthread_mutex_lock(&self->state_lock);
    if (self->phase != BUI_PHASE_ENDED) {
        self->phase = phase;
        vsnprintf(self->phase_text, sizeof self->phase_text, format, args);
        pthread_cond_broadcast(&self->state_changed);
    }
    pthread_mutex_unlock(&self->state_lock);
    va_end(args);
}

bui_phase bui_phase_of(bus *self, char text[400])
{
    pthread_mutex_lock(&self->state_lock);
    bui_phase phase = self->phase;
    if (text)
        memcpy(text, self->phase_text, sizeof self->phase_text);
    pthread_mutex_unlock(&self->state_lock);
    return phase;
}

static void raise_fd(int fd)
{
    ssize_t written = write(fd, &(uint64_t){ 1 }, sizeof(uint64_t));
    (void)written; /* only a full counter fails, and that is readable too */
}

void bui_end(bus *self, bus_status status, const bus_error *err)
{
    bui_set_phase(self, BUI_PHASE_ENDED, "%s", err ? err->text : "");
    pthread_mutex_lock(&self->state_lock);
    if (status != BUS_OK && self->failure == BUS_OK) {
        self->failure = status;
        self->failure_err = *err;
        self->failure_err.fatal = true;
    }
    pthread_mutex_unlock(&self->state_lock);
    raise_fd(self->ended_fd);
}

/* Async-signal-safe: an atomic store and a write. */
void bus_stop(bus *self)
{
    int saved = errno;
    atomic_store_explicit(&self->stopping, true, memory_order_release);
    raise_fd(self->stop_fd);
    errno = saved;
}

bool bui_stopping(const bus *self)
{
    return atomic_load_explicit(&((struct bus *)(uintptr_t)self)->stopping, memory_order_acquire);
}

bool bui_out_of_time(bus *self, int64_t extra_us)
{
    if (!bui_stopping(self))
        return false;
    int64_t now = self->clock->mono_us(self->clock), since = 0;
    if (atomic_compare_exchange_strong(&self->stop_us, &since, now))
        since = now;
    return now - since > self->drain_us + extra_us;
}

bool bui_nap(bus *self, int64_t ms)
{
    struct pollfd stop = { .fd = self->stop_fd, .events = POLLIN };
    while (!bui_stopping(self) && poll(&stop, 1, (int)ms) < 0 && errno == EINTR)
        continue;
    return bui_stopping(self);
}

bool bui_ready(bus *self, char *why, size_t cap)
{
    char text[400];
    bui_phase phase = bui_phase_of(self, text);
    if (!self->service)
        return true;
    if (phase != BUI_PHASE_SERVING) {
        snprintf(why, cap, "%s%s%s", bui_phase_name(phase), *text ? ": " : "", text);
        return false;
    }
    if (bui_gauge_read(&self->metrics.handlers_stuck_now) > 0) {
        snprintf(why, cap, "a handler is stuck, see the log");
        return false;
    }
    if (bui_gauge_read(&self->metrics.dlq_compacted)) {
        snprintf(why, cap, "topic %s is compacted: it loses dead letters", bui_router_dlq(self->router));
        return false;
    }
    int assigned = 0, flowing = 0;
    bool well = true;
    pthread_rwlock_rdlock(&self->workers_lock);
    for (int i = 0; i < self->shards; i++) {
        bui_worker *worker = &self->workers[i];
        bool mine = atomic_load(&worker->assigned), claimed = atomic_load(&worker->claimed);
        assigned += mine;
        flowing += mine && claimed;
        if (well && mine && claimed && worker->shard)
            well = bui_shard_well(worker->shard, why, cap);
    }
    pthread_rwlock_unlock(&self->workers_lock);
    if (flowing < assigned)
        snprintf(why, cap, "%d of %d assigned shards cannot be taken yet, see the log", assigned - flowing, assigned);
    return flowing == assigned && well;
}
