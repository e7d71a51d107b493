/* SPDX-License-Identifier: MIT
 * Crash notes: which delivery is in a handler right now, in an mmapped file. The page survives the process, so
 * the next open knows what killed it, at the price of two stores into memory per event. */
#include "shard/internal.h"

#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAGIC 0x3445544f4e535542u /* "BUSNOTE4" */
#define FATAL_DEATHS 3
#define PROVEN_DEATHS 2 /* of them alone in its process; the first is not, since nobody suspected it */
#define SUSPECTS 64     /* the latest; killers may alternate: one arrives, one is due, one is prepared */
#define STEPS 128       /* prepare steps noted at a time; a pool larger than that runs the rest unnoted */

typedef struct note_page {
    uint64_t magic;
    _Atomic uint64_t running; /* hash of the delivery in a handler, 0: none */
    _Atomic uint64_t alone;   /* hash of the one that ran with nothing beside it in the process, 0: none */
    struct suspect {
        uint64_t hash, deaths, proven;
    } suspect[SUSPECTS];
    uint64_t next;                /* place of the next suspect, over the oldest */
    _Atomic uint64_t step[STEPS]; /* hashes of the deliveries in prepare steps, 0: a free place */
} note_page;

struct bui_crash_note {
    note_page *page;
    bui_isolation *isolation; /* of its process, see isolation.c; NULL: nothing runs beside it */
    bool died, died_in_step;
    _Atomic bool any; /* suspects; else no event needs to be looked up */
    bool any_fatal;   /* of them */
};

/* Of the event and of its round: a redrive gives the event three more deaths, however often its command is read again. */
static uint64_t hash_of(const bui_delivery *delivery)
{
    const uint64_t place[] = { (uint64_t)delivery->event.offset,
                               (uint64_t)(uint32_t)delivery->event.partition << 32 | (uint32_t)delivery->letter_round };
    uint64_t hash = bui_hash(delivery->event.topic, strlen(delivery->event.topic), bui_hash(place, sizeof place, 0));
    if (delivery->run[0]) /* a copy is not its event */
        hash = bui_hash(delivery->run, strlen(delivery->run), hash);
    return hash ? hash : 1;
}

static struct suspect *suspect_of(note_page *page, uint64_t hash)
{
    for (size_t i = 0; i < SUSPECTS; i++)
        if (page->suspect[i].hash == hash)
            return &page->suspect[i];
    return NULL;
}

static bool fatal(const struct suspect *suspect)
{
    return suspect->deaths >= FATAL_DEATHS && suspect->proven >= PROVEN_DEATHS;
}

static void blame(note_page *page, uint64_t hash)
{
    struct suspect *suspect = suspect_of(page, hash);
    if (!suspect) {
        suspect = &page->suspect[page->next++ % SUSPECTS];
        *suspect = (struct suspect){ .hash = hash };
    }
    suspect->deaths++;
    suspect->proven += atomic_load(&page->alone) == hash;
}

/* What ran is suspected; another shard's handler, or a step beside it, may have been the killer. So a suspect runs alone from
 * now on, and only what dies alone is proven. Of several steps none is even suspected, but from now on they run one at a time,
 * so that the next death shows more. */
static void read_deaths(bui_crash_note *note)
{
    note_page *page = note->page;
    uint64_t only = 0;
    int steps = 0;
    for (size_t i = 0; i < STEPS; i++) {
        uint64_t hash = atomic_exchange(&page->step[i], 0);
        if (hash && steps++ == 0)
            only = hash;
    }
    uint64_t running = atomic_exchange(&page->running, 0);
    note->died = running != 0;
    note->died_in_step = steps > 0;
    if (running)
        blame(page, running);
    if (steps == 1)
        blame(page, only);
    atomic_store(&page->alone, 0);
    for (size_t i = 0; i < SUSPECTS; i++) {
        note->any_fatal = note->any_fatal || fatal(&page->suspect[i]);
        note->any = note->any || page->suspect[i].deaths;
    }
}

bui_crash_note *bui_crash_open(const char *directory, int shard, bus_error *err)
{
    char path[4096];
    bui_crash_note *note = NULL;
    void *page = MAP_FAILED;
    int fd = -1;
    if (snprintf(path, sizeof path, "%s/%d.running", directory, shard) >= (int)sizeof path) {
        bui_fail(err, BUS_INVALID, "the path of %s/%d.running is too long", directory, shard);
        return NULL;
    }
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(note_page)) != 0 ||
        (page = mmap(NULL, sizeof(note_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) == MAP_FAILED) {
        bui_fail(err, errno == ENOSPC ? BUS_FULL : BUS_IO, "%s: %s: the data directory must be writable by this user", path,
                 strerror(errno));
        goto out;
    }
    /* Allocate the block now: on a full disk a write to an unallocated page would be a SIGBUS later. */
    int full = posix_fallocate(fd, 0, sizeof(note_page));
    if (full && full != EOPNOTSUPP && full != EINVAL) {
        bui_fail(err, full == ENOSPC ? BUS_FULL : BUS_IO, "%s: %s: free space on the data directory's disk", path,
                 strerror(full));
        goto out;
    }
    note = calloc(1, sizeof *note);
    if (!note) {
        bui_fail_nomem(err);
        goto out;
    }
    note->page = page;
    if (note->page->magic != MAGIC) {
        memset(page, 0, sizeof(note_page));
        note->page->magic = MAGIC;
    }
    read_deaths(note);
out:
    if (!note && page != MAP_FAILED)
        munmap(page, sizeof(note_page));
    if (fd >= 0)
        close(fd);
    return note;
}

void bui_crash_close(bui_crash_note *note)
{
    if (!note)
        return;
    bui_isolation_leave(note->isolation, note);
    munmap(note->page, sizeof *note->page);
    free(note);
}

void bui_crash_beside(bui_crash_note *note, const void *process)
{
    note->isolation = bui_isolation_join(process, note);
}

/* Any thread. */
static bool runs(const bui_crash_note *note)
{
    bool busy = atomic_load(&note->page->running) != 0;
    for (size_t i = 0; i < STEPS && !busy; i++)
        busy = atomic_load(&note->page->step[i]) != 0;
    return busy;
}

/* Has it been there when the process died? Then alone, if that can be had. */
static bool take_isolation(bui_crash_note *note, uint64_t hash)
{
    const struct suspect *suspect = atomic_load_explicit(&note->any, memory_order_relaxed) ? suspect_of(note->page, hash) : NULL;
    if (!suspect || !suspect->deaths || !bui_isolation_take(note->isolation, note, runs))
        return false;
    atomic_store(&note->page->alone, hash);
    return true;
}

/* It has ended well; with its handler's end it is no longer suspected. */
static void ended(bui_crash_note *note, uint64_t hash, bool handled)
{
    uint64_t alone = hash;
    struct suspect *suspect = handled ? suspect_of(note->page, hash) : NULL;
    if (suspect && !fatal(suspect))
        suspect->deaths = suspect->proven = 0;
    if (atomic_compare_exchange_strong(&note->page->alone, &alone, 0))
        bui_isolation_give(note->isolation, note);
}

void bui_crash_enter(bui_crash_note *note, const bui_delivery *delivery)
{
    uint64_t hash = hash_of(delivery);
    bool alone = take_isolation(note, hash);
    atomic_store_explicit(&note->page->running, hash, memory_order_relaxed);
    while (!alone &&
           !bui_isolation_free(note->isolation)) { /* somebody runs alone, or is about to: it looks at what runs, and we at it */
        atomic_store(&note->page->running, 0);
        bui_isolation_wait(note->isolation);
        atomic_store(&note->page->running, hash);
    }
}

void bui_crash_leave(bui_crash_note *note)
{
    uint64_t hash = atomic_load_explicit(&note->page->running, memory_order_relaxed);
    atomic_store_explicit(&note->page->running, 0, memory_order_relaxed);
    if (atomic_load_explicit(&note->any, memory_order_relaxed))
        ended(note, hash, true);
}

static size_t place_of(bui_crash_note *note, uint64_t hash)
{
    for (size_t i = 0; i < STEPS; i++) {
        uint64_t free_place = 0;
        if (atomic_compare_exchange_strong(&note->page->step[i], &free_place, hash))
            return i;
    }
    return STEPS;
}

size_t bui_crash_enter_step(bui_crash_note *note, const bui_delivery *delivery)
{
    uint64_t hash = hash_of(delivery);
    bool alone = take_isolation(note, hash);
    size_t place = place_of(note, hash);
    while (!alone && !bui_isolation_free(note->isolation)) {
        if (place < STEPS)
            atomic_store(&note->page->step[place], 0);
        bui_isolation_wait(note->isolation);
        place = place_of(note, hash);
    }
    return place;
}

void bui_crash_leave_step(bui_crash_note *note, size_t place)
{
    if (place >= STEPS)
        return;
    uint64_t hash = atomic_exchange(&note->page->step[place], 0);
    if (atomic_load_explicit(&note->any, memory_order_relaxed))
        ended(note, hash, false);
}

bool bui_crash_suspect(const bui_crash_note *note, const bui_delivery *delivery)
{
    const struct suspect *suspect = note->any_fatal ? suspect_of(note->page, hash_of(delivery)) : NULL;
    return suspect && fatal(suspect);
}

bool bui_crash_died(const bui_crash_note *note)
{
    return note->died;
}

bool bui_crash_died_in_step(const bui_crash_note *note)
{
    return note->died_in_step;
}
