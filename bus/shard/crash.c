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

#define MAGIC 0x3345544f4e535542u /* "BUSNOTE3" */
#define FATAL_DEATHS 3
#define SUSPECTS 64 /* the latest; killers may take turns: one arrives, one is due, one is prepared */
#define STEPS 128 /* prepare steps noted at a time; a pool larger than that runs the rest unnoted */

typedef struct note_page {
    uint64_t magic;
    volatile uint64_t running;   /* hash of the delivery in a handler, 0: none */
    struct suspect { uint64_t hash, deaths; } suspect[SUSPECTS];
    uint64_t next;               /* place of the next suspect, over the oldest */
    _Atomic uint64_t step[STEPS]; /* hashes of the deliveries in prepare steps, 0: a free place */
} note_page;

struct bus_crash_note {
    note_page *page;
    bool died, died_in_step;
    bool any_fatal;              /* of the suspects; else no event needs to be looked up */
};

/* Of the event and of its round: an operator who redrives a letter gives it three deaths more, however often its command is read again. */
static uint64_t hash_of(const bus_delivery *delivery)
{
    const uint64_t place[] = { (uint64_t)delivery->event.offset,
                               (uint64_t)(uint32_t)delivery->event.partition << 32 | (uint32_t)delivery->letter_round };
    uint64_t hash = bus_hash(delivery->event.topic, strlen(delivery->event.topic), bus_hash(place, sizeof place, 0));
    if (delivery->run[0]) /* a copy is not its event */
        hash = bus_hash(delivery->run, strlen(delivery->run), hash);
    return hash ? hash : 1;
}

static uint64_t deaths_of(const note_page *page, uint64_t hash)
{
    for (size_t i = 0; i < SUSPECTS; i++)
        if (page->suspect[i].hash == hash)
            return page->suspect[i].deaths;
    return 0;
}

static void blame(note_page *page, uint64_t hash)
{
    for (size_t i = 0; i < SUSPECTS; i++)
        if (page->suspect[i].hash == hash) {
            page->suspect[i].deaths++;
            return;
        }
    page->suspect[page->next++ % SUSPECTS] = (struct suspect){ hash, 1 };
}

/* A handler runs alone and is the one to blame. Of several steps that ran together nobody knows which it was: none is blamed,
 * but from now on they run alone, so that the next death tells. */
static void read_deaths(bus_crash_note *note)
{
    note_page *page = note->page;
    uint64_t only = 0;
    int steps = 0;
    for (size_t i = 0; i < STEPS; i++) {
        uint64_t hash = atomic_exchange(&page->step[i], 0);
        if (hash && steps++ == 0)
            only = hash;
    }
    note->died = page->running != 0;
    note->died_in_step = !note->died && steps > 0;
    if (note->died)
        blame(page, page->running);
    else if (steps == 1)
        blame(page, only);
    page->running = 0;
    for (size_t i = 0; i < SUSPECTS; i++)
        note->any_fatal = note->any_fatal || page->suspect[i].deaths >= FATAL_DEATHS;
}

bus_crash_note *bus_crash_open(const char *directory, int shard, bus_error *err)
{
    char path[4096];
    bus_crash_note *note = NULL;
    void *page = MAP_FAILED;
    int fd = -1;
    if (snprintf(path, sizeof path, "%s/%d.running", directory, shard) >= (int)sizeof path) {
        bus_fail(err, BUS_INVALID, "the path of %s/%d.running is too long", directory, shard);
        return NULL;
    }
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(note_page)) != 0 ||
        (page = mmap(NULL, sizeof(note_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) == MAP_FAILED) {
        bus_fail(err, errno == ENOSPC ? BUS_FULL : BUS_IO, "%s: %s: the data directory must be writable by this user", path,
                 strerror(errno));
        goto out;
    }
    /* Allocate the block now: a write to a hole of a full disk would be a SIGBUS later. */
    int full = posix_fallocate(fd, 0, sizeof(note_page));
    if (full && full != EOPNOTSUPP && full != EINVAL) {
        bus_fail(err, full == ENOSPC ? BUS_FULL : BUS_IO, "%s: %s: free space on the data directory's disk", path, strerror(full));
        goto out;
    }
    note = calloc(1, sizeof *note);
    if (!note) {
        bus_fail_nomem(err);
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

void bus_crash_close(bus_crash_note *note)
{
    if (!note)
        return;
    munmap(note->page, sizeof *note->page);
    free(note);
}

void bus_crash_enter(bus_crash_note *note, const bus_delivery *delivery) { note->page->running = hash_of(delivery); }

void bus_crash_leave(bus_crash_note *note) { note->page->running = 0; }

size_t bus_crash_enter_step(bus_crash_note *note, const bus_delivery *delivery)
{
    uint64_t hash = hash_of(delivery);
    for (size_t i = 0; i < STEPS; i++) {
        uint64_t free_place = 0;
        if (atomic_compare_exchange_strong(&note->page->step[i], &free_place, hash))
            return i;
    }
    return STEPS;
}

void bus_crash_leave_step(bus_crash_note *note, size_t place)
{
    if (place < STEPS)
        atomic_store(&note->page->step[place], 0);
}

bool bus_crash_suspect(const bus_crash_note *note, const bus_delivery *delivery)
{
    return note->any_fatal && deaths_of(note->page, hash_of(delivery)) >= FATAL_DEATHS;
}

bool bus_crash_died(const bus_crash_note *note) { return note->died; }

bool bus_crash_died_in_step(const bus_crash_note *note) { return note->died_in_step; }
