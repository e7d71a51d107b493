/* SPDX-License-Identifier: MIT
 * Compact: what CloudEvents says of an event, as letters of its bus-hop instead of a header each. Between services of the bus a record
 * has this one header; at the edges, where people and other tools read, it is unpacked.
 *
 *   i=<id> y=<type> c=<causation> r=<correlation> p=<traceparent>
 *
 * A letter's value is a word, so that no text of others can look like a letter; what is none stays a header. Not written: r that is c;
 * the source that the hop names; version and content type, which are always the same. Where i is, they are as the hop implies, unless a
 * header says otherwise. A letter counts more than a header of the same meaning: the hop is signed whole. */
#ifndef BUI_CODEC_COMPACT_H
#define BUI_CODEC_COMPACT_H

#include "codec/cloud.h"
#include "codec/envelope.h"
#include <string.h>

#define BUI_WORD_MOST 255

/* 1 to BUI_WORD_MOST bytes from '!' to '~'. */
static inline bool bui_is_word(const void *bytes, size_t len)
{
    const char *at = bytes;
    uint64_t wrong = 0, eight = 0;
    if (!at || len == 0 || len > BUI_WORD_MOST)
        return false;
    for (; len > 0; at += 8, len -= 8) {
        if (len < 8) {
            eight = 0x2121212121212121;
            memcpy(&eight, at, len);
            len = 8;
        } else {
            memcpy(&eight, at, 8);
        }
        /* Of each byte the highest bit: set, or not set by adding what is missing from '!', or set by what is missing from 0x7F. */
        wrong |= (eight | ~(eight + 0x5F5F5F5F5F5F5F5F) | (eight + 0x0101010101010101)) & 0x8080808080808080;
    }
    return !wrong;
}

/* Headers of the full form: what can becomes letters of the hop, whose source is set; the others go to out[count]. Returns how many. */
size_t bui_compact_pack(const bus_header *headers, size_t count, bui_hop *hop, bus_header *out);

/* The same of an event that has no headers yet: what bui_cloud_write would make one of becomes a letter, or goes to out. */
size_t bui_compact_say(const bui_cloud *event, bui_hop *hop, bus_header out[BUI_CLOUD_HEADERS]);

/* The full form of a record's headers, whichever it has: out has room for BUI_COMPACT_MORE more. Borrowed; bus-hop stays as it is. */
#define BUI_COMPACT_MORE 8
size_t bui_compact_unpack(const bus_header *headers, size_t count, bus_header *out);

/* What the full form has under a name; at NULL: nothing. Also of records whose envelope cannot be read. */
bui_slice bui_compact_header(const bus_header *headers, size_t count, const char *name);

#endif
