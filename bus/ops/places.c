/* SPDX-License-Identifier: MIT
 * Places: the list and its file. The file is this machine's: a header, a row for each partition, a row for each place, and a sum over
 * them, which a file that was half written does not have. */
#include "ops/places.h"
#include "base/array.h"
#include "base/error.h"
#include "base/log.h"
#include "codec/envelope.h"
#include "store/file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "busplac1"
#define WORTH_IT 1000 /* fewer records are read as fast as the file */
#define MOST 4000000  /* 192 MB: a topic of more is read each time */

typedef struct part {
    int64_t last; /* offset, -1: none */
    uint64_t hash;
    int64_t found; /* 1: the last one of the file was there again; 0: not yet; -1: another record is there */
} part;

typedef struct file_head {
    char magic[8];
    uint64_t parts, places, sum;
} file_head;

struct bui_places {
    part *parts;
    size_t part_count, part_cap;
    bui_place_of *list;
    size_t count, cap;
    size_t in_file; /* so many of them */
};

bui_places *bui_places_new(void)
{
    return calloc(1, sizeof(bui_places));
}

void bui_places_free(bui_places *places)
{
    if (!places)
        return;
    free(places->parts);
    free(places->list);
    free(places);
}

void bui_places_forget(bui_places *places)
{
    places->part_count = places->count = places->in_file = 0;
}

size_t bui_places_count(const bui_places *places)
{
    return places->count;
}

const bui_place_of *bui_places_at(const bui_places *places, size_t at)
{
    return &places->list[at];
}

bool bui_is_letter_id(const char *at, size_t len)
{
    if (len != BUI_ID_TEXT - 1)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isxdigit((unsigned char)at[i]) && at[i] != '-')
            return false;
    return true;
}

bool bui_letter_is(const char *id, const char *text)
{
    size_t len = strlen(text);
    return len >= 4 && len < BUI_ID_TEXT && memcmp(id, text, len) == 0;
}

/* ---- records */

int64_t bui_places_last(const bui_places *places, int32_t partition)
{
    return (size_t)partition < places->part_count ? places->parts[partition].last : -1;
}

static part *part_of(bui_places *places, int32_t partition)
{
    size_t wanted = (size_t)partition + 1;
    if (!bui_array_room(&places->parts, &places->part_cap, wanted, sizeof *places->parts, 8))
        return NULL;
    for (; places->part_count < wanted; places->part_count++)
        places->parts[places->part_count] = (part){ -1, 0, 1 };
    return &places->parts[partition];
}

static bus_status note(bui_places *places, const bui_record *record, const bus_header *header, bus_error *err)
{
    const char *text = header->value, *end = text ? memchr(text, ' ', header->len) : NULL;
    if (!end || !bui_is_letter_id(text, (size_t)(end - text)))
        return BUS_OK;
    if (!bui_array_room(&places->list, &places->cap, places->count + 1, sizeof *places->list, 1024))
        return bui_fail_nomem(err);
    bui_place_of *place = &places->list[places->count++];
    memcpy(place->id, text, sizeof place->id);
    place->partition = record->partition;
    place->offset = record->offset;
    return BUS_OK;
}

bus_status bui_places_add(bui_places *places, const bui_record *record, bus_error *err)
{
    bus_status status = BUS_OK;
    part *at = part_of(places, record->partition);
    if (!at)
        return bui_fail_nomem(err);
    uint64_t hash = bui_record_hash(record, BUI_HASH_KIND);
    if (!at->found) {
        at->found = record->offset == at->last && hash == at->hash ? 1 : -1;
        return BUS_OK;
    }
    at->last = record->offset;
    at->hash = hash;
    for (size_t i = 0; i < record->header_count && status == BUS_OK; i++)
        if (strcmp(record->headers[i].name, BUI_HEADER_LETTER) == 0)
            status = note(places, record, &record->headers[i], err);
    return status;
}

bool bui_places_good(const bui_places *places)
{
    for (size_t i = 0; i < places->part_count; i++)
        if (places->parts[i].found != 1)
            return false;
    return true;
}

/* ---- the file */

static uint64_t sum_of(const bui_places *places)
{
    uint64_t sum = bui_hash(places->parts, places->part_count * sizeof *places->parts, places->part_count);
    return bui_hash(places->list, places->count * sizeof *places->list, sum);
}

static bool read_whole(int fd, void *to, size_t len)
{
    for (char *at = to; len;) {
        ssize_t got = read(fd, at, len);
        if (got <= 0 && errno != EINTR)
            return false;
        at += got > 0 ? got : 0;
        len -= got > 0 ? (size_t)got : 0;
    }
    return true;
}

static bus_status read_file(bui_places *places, int fd, const char *file, bus_error *err)
{
    file_head head;
    struct stat there;
    if (fstat(fd, &there) != 0 || !S_ISREG(there.st_mode) || there.st_uid != geteuid() || !read_whole(fd, &head, sizeof head) ||
        memcmp(head.magic, MAGIC, sizeof head.magic) != 0 || head.places > MOST || head.parts > MOST ||
        (uint64_t)there.st_size != sizeof head + head.parts * sizeof(part) + head.places * sizeof(bui_place_of))
        return BUS_OK;
    if (!bui_array_room(&places->parts, &places->part_cap, head.parts, sizeof(part), 8) ||
        !bui_array_room(&places->list, &places->cap, head.places, sizeof(bui_place_of), 1024))
        return bui_fail_nomem(err);
    places->part_count = head.parts;
    places->count = places->in_file = head.places;
    if (!read_whole(fd, places->parts, head.parts * sizeof(part)) ||
        !read_whole(fd, places->list, head.places * sizeof(bui_place_of)) || sum_of(places) != head.sum) {
        bui_log(BUS_DEBUG, "dlq", "places_unreadable", "%s is not whole: all is read again", file);
        bui_places_forget(places);
    }
    for (size_t i = 0; i < places->part_count; i++)
        places->parts[i].found = places->parts[i].last < 0;
    return BUS_OK;
}

bus_status bui_places_load(bui_places *places, const char *file, bus_error *err)
{
    int fd = open(file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return BUS_OK;
    bus_status status = read_file(places, fd, file, err);
    close(fd);
    return status;
}

static bool write_whole(int fd, const void *from, size_t len)
{
    for (const char *at = from; len;) {
        ssize_t put = write(fd, at, len);
        if (put <= 0 && errno != EINTR)
            return false;
        at += put > 0 ? put : 0;
        len -= put > 0 ? (size_t)put : 0;
    }
    return true;
}

static bool write_file(const bui_places *places, const char *file)
{
    file_head head = { .parts = places->part_count, .places = places->count, .sum = sum_of(places) };
    memcpy(head.magic, MAGIC, sizeof head.magic);
    int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write_whole(fd, &head, sizeof head) &&
              write_whole(fd, places->parts, places->part_count * sizeof(part)) &&
              write_whole(fd, places->list, places->count * sizeof(bui_place_of));
    return fd >= 0 && close(fd) == 0 && ok;
}

/* A few records more than the file has are read as fast as it is written. */
static bool worth_it(const bui_places *places)
{
    size_t more = places->count - places->in_file;
    return places->count >= WORTH_IT && places->count <= MOST && more >= WORTH_IT / 10 && more >= places->count / 50;
}

void bui_places_save(bui_places *places, const char *file)
{
    char made[4096];
    if (!worth_it(places) || snprintf(made, sizeof made, "%s.%ld", file, (long)getpid()) >= (int)sizeof made ||
        bui_file_parents(file, NULL) != BUS_OK)
        return;
    for (size_t i = 0; i < places->part_count; i++)
        places->parts[i].found = 1; /* the same bytes, whichever command wrote them */
    if (write_file(places, made) && rename(made, file) == 0) {
        places->in_file = places->count;
        return;
    }
    bui_log(BUS_DEBUG, "dlq", "places_unwritten", "%s: %s: the next command reads all again", file, strerror(errno));
    unlink(made);
}
