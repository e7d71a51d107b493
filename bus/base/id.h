/* SPDX-License-Identifier: MIT
 * Ids: UUIDs (RFC 9562), hashes, and the stable random of a process. */
#ifndef BUI_BASE_ID_H
#define BUI_BASE_ID_H

#include <stddef.h>
#include <stdint.h>

#define BUI_ID_TEXT 37 /* 36 characters and the 0 */

/* A random id (version 4). */
void bui_id_random(char out[BUI_ID_TEXT]);

/* The id (version 5, in the bus's own name space) of the n parts joined with 0x1F, so ("a","bc") and ("ab","c")
 * differ. */
typedef struct bui_part {
    const void *bytes;
    size_t len;
} bui_part;
void bui_id_of(const bui_part *parts, size_t n, char out[BUI_ID_TEXT]);

/* The id of an event whose record has none: its first place, and, if the topic was made again since and that was accepted, in
 * which of its lives (0: the first). */
void bui_id_of_place(const char *topic, int32_t partition, int64_t offset, int64_t life, char out[BUI_ID_TEXT]);

/* 16 hex digits from the system's random source, and 0: an incarnation. */
void bui_token_random(char out[17]);

/* Kafka's murmur2 (org.apache.kafka.common.utils.Utils.murmur2), and its default partitioner for a key:
 * toPositive(murmur2(key)) % partitions. */
uint32_t bui_murmur2(const void *bytes, size_t n);
int32_t bui_partition_of(const void *key, size_t n, int32_t partitions);

/* A 64-bit hash for tables in memory and anchors (not for hostile collision games: seeded tables use `seed`). */
uint64_t bui_hash(const void *bytes, size_t n, uint64_t seed);

#endif
