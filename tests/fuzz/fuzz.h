/* SPDX-License-Identifier: MIT
 * Fuzz: what the targets share. Records are written as text, so that a seed can be read and written by hand:
 *
 *     topic key            (no key: the topic alone; "topic " has an empty one)
 *     name: value          a header; as many as 24
 *     =value               the value; without such a line it is a tombstone
 *                          an empty line ends the record */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "shard/transport.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_HEADERS 24

static inline void must(bool holds)
{
    if (!holds)
        abort();
}

/* ---- lines. Each part lies in a block of exactly its size, so that ASan sees a byte too far. */

typedef struct fuzz_lines {
    const char *at, *end;
} fuzz_lines;

static inline bool fuzz_line(fuzz_lines *in, const char **line, size_t *len)
{
    if (in->at == in->end)
        return false;
    const char *stop = memchr(in->at, '\n', (size_t)(in->end - in->at));
    *line = in->at;
    *len = (size_t)((stop ? stop : in->end) - in->at);
    in->at = stop ? stop + 1 : in->end;
    return true;
}

static inline void *fuzz_copy(const char *bytes, size_t len, bool terminated)
{
    char *copy = malloc(len + terminated + (len + terminated == 0));
    must(copy != NULL);
    memcpy(copy, bytes, len);
    if (terminated)
        copy[len] = 0;
    return copy;
}

typedef struct fuzz_record {
    bui_record record;
    bus_header headers[FUZZ_HEADERS];
    void *parts[2 * FUZZ_HEADERS + 3];
    size_t part_count;
} fuzz_record;

static inline void *fuzz_part(fuzz_record *out, const char *bytes, size_t len, bool terminated)
{
    return out->parts[out->part_count++] = fuzz_copy(bytes, len, terminated);
}

static inline void fuzz_header(fuzz_record *out, const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len);
    if (!colon || out->record.header_count == FUZZ_HEADERS)
        return;
    size_t name = (size_t)(colon - line), skip = name + 1 + (name + 1 < len && line[name + 1] == ' ');
    out->headers[out->record.header_count++] =
        (bus_header){ fuzz_part(out, line, name, true), fuzz_part(out, line + skip, len - skip, false), len - skip };
}

/* Reads the next record; fuzz_record_free it. False at the end. */
static inline bool fuzz_record_next(fuzz_lines *in, fuzz_record *out)
{
    const char *line;
    size_t len;
    do
        if (!fuzz_line(in, &line, &len))
            return false;
    while (len == 0);
    *out = (fuzz_record){ .record = { .timestamp = 1767225600000 } };
    const char *blank = memchr(line, ' ', len);
    out->record.topic = fuzz_part(out, line, blank ? (size_t)(blank - line) : len, true);
    if (blank) {
        out->record.key_len = len - (size_t)(blank - line) - 1;
        out->record.key = fuzz_part(out, blank + 1, out->record.key_len, false);
    }
    while (fuzz_line(in, &line, &len) && len > 0) {
        if (line[0] != '=') {
            fuzz_header(out, line, len);
        } else if (!out->record.value) {
            out->record.value_len = len - 1;
            out->record.value = fuzz_part(out, line + 1, len - 1, false);
        }
    }
    out->record.headers = out->headers; /* wherever `out` is; it must not move */
    return true;
}

static inline void fuzz_record_free(fuzz_record *record)
{
    while (record->part_count > 0)
        free(record->parts[--record->part_count]);
}

#endif
