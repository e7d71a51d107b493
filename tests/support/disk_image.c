/* SPDX-License-Identifier: MIT
 * Disk image: a log of writes between the cache and the medium. */
#include "support/disk_image.h"

#include <stdlib.h>
#include <string.h>

/* One entry of the log; the bytes of a write follow it. */
typedef struct change {
    int64_t at;  /* offset; of a truncation the new length */
    int64_t len; /* -1: a truncation */
} change;

uint64_t disk_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static int64_t below(uint64_t *random, int64_t n)
{
    return (int64_t)(disk_random(random) % (uint64_t)n);
}

/* ---- bytes */

static bool reserve(disk_bytes *bytes, int64_t len)
{
    if (len <= bytes->cap)
        return true;
    int64_t cap = bytes->cap ? bytes->cap : 65536;
    while (cap < len)
        cap *= 2;
    uint8_t *at = realloc(bytes->at, (size_t)cap);
    if (!at)
        return false;
    bytes->at = at;
    bytes->cap = cap;
    return true;
}

/* Cuts off, or adds zeros. */
static bool resize(disk_bytes *bytes, int64_t len)
{
    if (!reserve(bytes, len))
        return false;
    if (len > bytes->len)
        memset(bytes->at + bytes->len, 0, (size_t)(len - bytes->len));
    bytes->len = len;
    return true;
}

static bool put(disk_bytes *bytes, int64_t offset, const void *from, int64_t len)
{
    if (!reserve(bytes, offset + len) || (offset > bytes->len && !resize(bytes, offset)))
        return false;
    if (len)
        memcpy(bytes->at + offset, from, (size_t)len);
    bytes->len = offset + len > bytes->len ? offset + len : bytes->len;
    return true;
}

static bool append(disk_image *image, int64_t at, int64_t len, const void *bytes)
{
    const change head = { at, len };
    int64_t end = image->log.len;
    if (!reserve(&image->log, end + (int64_t)sizeof head + (len > 0 ? len : 0)))
        return false;
    put(&image->log, end, &head, sizeof head);
    return len <= 0 || put(&image->log, end + (int64_t)sizeof head, bytes, len);
}

/* Reads the entry at *from and goes to the next; its bytes, if it is a write, begin where the head ends. */
static const uint8_t *next(const disk_bytes *log, int64_t *from, change *out)
{
    memcpy(out, log->at + *from, sizeof *out);
    const uint8_t *bytes = log->at + *from + sizeof *out;
    *from += (int64_t)sizeof *out + (out->len > 0 ? out->len : 0);
    return bytes;
}

/* ---- the file as its users see it */

bool disk_image_write(disk_image *image, int64_t offset, const void *bytes, int64_t len)
{
    int64_t end = offset + len > image->cache.len ? offset + len : image->cache.len;
    return reserve(&image->cache, end) && append(image, offset, len, bytes) && put(&image->cache, offset, bytes, len);
}

bool disk_image_truncate(disk_image *image, int64_t len)
{
    return reserve(&image->cache, len) && append(image, len, -1, NULL) && resize(&image->cache, len);
}

/* What is written back is what the cache has now, not what it had when the entry was made. */
static bool write_back(disk_image *image, const change *entry)
{
    int64_t most = image->cache.len - entry->at;
    if (entry->len < 0)
        return resize(&image->medium, entry->at);
    return most <= 0 || put(&image->medium, entry->at, image->cache.at + entry->at, entry->len < most ? entry->len : most);
}

bool disk_image_sync(disk_image *image)
{
    change entry;
    for (int64_t at = 0; at < image->log.len;) {
        next(&image->log, &at, &entry);
        if (!write_back(image, &entry))
            return false;
    }
    image->log.len = 0;
    return true;
}

bool disk_image_sync_in_vain(disk_image *image, uint64_t *random)
{
    enum { WRITTEN, WAITS, CLEAN, EACH };
    int all = (int)below(random, 4);
    disk_bytes left = { 0 };
    change entry;
    bool ok = true;
    for (int64_t at = 0, from; ok && at < image->log.len;) {
        from = at;
        next(&image->log, &at, &entry);
        int fate = all == EACH ? (int)below(random, 3) : all;
        if (entry.len < 0 && all != WAITS) /* lengths are the file system's own affair: they are not forgotten, and not late */
            fate = WRITTEN;
        if (fate == WRITTEN)
            ok = write_back(image, &entry);
        else if (fate == WAITS)
            ok = put(&left, left.len, image->log.at + from, at - from);
    }
    free(image->log.at);
    image->log = left;
    return ok;
}

/* ---- power loss */

/* How a file takes it: what comes through of each change. */
typedef struct storm {
    uint64_t *random;
    int sector;
    bool garbage;
    int lost;         /* per mille of the sectors of each change */
    int64_t in_order; /* so many changes are kept whole before any is lost */
    uint8_t *stopped; /* a byte a sector: the medium did not get to later changes of it */
    bool size_stopped;
    int64_t size;
} storm;

static bool stops(storm *s)
{
    if (s->in_order > 0)
        return false;
    return below(s->random, 1000) < s->lost;
}

/* A write, as far as it is in this sector. */
static bool strike(storm *s, disk_bytes *medium, int64_t number, const change *entry, const uint8_t *bytes)
{
    int64_t from = number * s->sector, to = from + s->sector;
    if (s->stopped[number])
        return true;
    if (stops(s)) {
        s->stopped[number] = 1;
        if (!s->garbage || below(s->random, 5) != 0)
            return true;
        for (int64_t i = from; i < to && i < medium->len; i++)
            medium->at[i] = (uint8_t)disk_random(s->random);
        return true;
    }
    from = from < entry->at ? entry->at : from;
    to = to < entry->at + entry->len ? to : entry->at + entry->len;
    return put(medium, from, bytes + (from - entry->at), to - from);
}

static bool strike_all(storm *s, disk_bytes *medium, const change *entry, const uint8_t *bytes)
{
    int64_t end = entry->at + entry->len;
    for (int64_t number = entry->at / s->sector; number * s->sector < end; number++)
        if (!strike(s, medium, number, entry, bytes))
            return false;
    s->size_stopped = s->size_stopped || stops(s);
    if (!s->size_stopped && end > s->size)
        s->size = end;
    return true;
}

/* A truncation is one change of the file's length: it is there or not. */
static void strike_length(storm *s, disk_bytes *medium, const change *entry)
{
    if (stops(s))
        return;
    if (entry->at < medium->len)
        memset(medium->at + entry->at, 0, (size_t)(medium->len - entry->at));
    s->size = entry->at;
}

static void choose(storm *s, int64_t changes)
{
    switch (below(s->random, 4)) {
    case 0: /* the disk was quick */ s->lost = 0; break;
    case 1: /* as it was written, up to a moment */
        s->lost = 1000;
        s->in_order = below(s->random, changes + 1);
        break;
    default: s->lost = (int)below(s->random, 1001);
    }
}

bool disk_image_lose(disk_image *image, int sector, bool garbage, uint64_t *random)
{
    int64_t changes = 0, longest = image->medium.len;
    change entry;
    for (int64_t at = 0; at < image->log.len; changes++) {
        next(&image->log, &at, &entry);
        longest = longest > entry.at + entry.len ? longest : entry.at + entry.len;
    }
    storm s = { .random = random,
                .sector = sector,
                .garbage = garbage,
                .size = image->medium.len,
                .stopped = calloc((size_t)(longest / sector) + 1, 1) };
    bool ok = s.stopped != NULL;
    choose(&s, changes);
    for (int64_t at = 0; ok && at < image->log.len; s.in_order--) {
        const uint8_t *bytes = next(&image->log, &at, &entry);
        if (entry.len < 0)
            strike_length(&s, &image->medium, &entry);
        else
            ok = strike_all(&s, &image->medium, &entry, bytes);
    }
    free(s.stopped);
    if (!ok || !resize(&image->medium, s.size) || !resize(&image->cache, s.size))
        return false;
    if (s.size)
        memcpy(image->cache.at, image->medium.at, (size_t)s.size);
    image->log.len = 0;
    return true;
}

void disk_image_free(disk_image *image)
{
    free(image->cache.at);
    free(image->medium.at);
    free(image->log.at);
    *image = (disk_image){ 0 };
}
