/* SPDX-License-Identifier: MIT
 * Mac: the authentic hop. With a key file a record carries `bus-mac: <key id> <32 hex digits>`: BLAKE2b with that key over where the
 * record is (topic and partition), its key, its value and its headers, so that a copy elsewhere does not verify. Not covered are the
 * headers that nothing here acts upon: ce_specversion, content-type, ce_causationid, traceparent and tracestate.
 *
 * The key file has a line a key: <key id> <64 hex digits> read|write [<service>,...]
 * Records are signed with the one that says write, and taken with any. The services are those that the key may speak for (in the source
 * of the hop, else in ce_source; commands are spoken for by `bus`); without a list: all. '#' begins a comment. */
#ifndef BUI_CODEC_MAC_H
#define BUI_CODEC_MAC_H

#include "base/config.h"
#include "codec/envelope.h"

#define BUI_HEADER_MAC "bus-mac"
#define BUI_MAC_ID_MOST 32
#define BUI_MAC_TEXT (BUI_MAC_ID_MOST + 1 + 32 + 1)
#define BUI_MAC_COMMANDER "bus" /* whom commands are spoken for by */

typedef struct bui_keys bui_keys;

/* hop.key.file and hop.verify. *out is NULL if neither is set. */
bus_status bui_keys_of(const bus_config *config, bui_keys **out, bus_error *err);
/* Of texts: the file's (`path` is what errors call it), and the list of topics, "" for none. */
bus_status bui_keys_new(const char *bytes, size_t len, const char *path, const char *verify, bui_keys **out, bus_error *err);
void bui_keys_free(bui_keys *keys); /* NULL is a no-op */

/* Must records of this topic be signed? Those of no topic without keys. */
bool bui_keys_require(const bui_keys *keys, const char *topic);

/* A record as it will be, or is, in the log. `more`: headers after the others. */
typedef struct bui_sealed {
    const char *topic;
    int32_t partition;
    const void *key;
    size_t key_len; /* NULL: none */
    const void *value;
    size_t value_len; /* NULL: tombstone */
    const bus_header *headers;
    size_t header_count;
    const bus_header *more;
    size_t more_count;
} bui_sealed;

/* The value of bus-mac, terminated; returns its length, 0 if there is no key to write with. */
size_t bui_mac_write(const bui_keys *keys, const bui_sealed *record, char out[BUI_MAC_TEXT]);
/* BUS_OK, or BUS_DENIED and why: no bus-mac, a key that is not known, another record's, or not for that key to say. `speaker`: who must
 * have spoken; NULL: the one that the hop's source or ce_source names. */
bus_status bui_mac_check(const bui_keys *keys, const bui_sealed *record, const char *speaker, bus_error *err);
/* The id of the key that a record says it is signed with; "" if none. For people. */
const char *bui_mac_id(const bus_header *headers, size_t count, char out[BUI_MAC_ID_MOST + 1]);

#endif
