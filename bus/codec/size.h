/* SPDX-License-Identifier: MIT
 * Size: what a record counts where a broker looks at a topic's max.message.bytes: alone in a batch of its own, uncompressed (record
 * format 2). A broker compares the batch as it was sent, and a producer compresses where that is smaller, so no record counts more. */
#ifndef BUI_CODEC_SIZE_H
#define BUI_CODEC_SIZE_H

#include <bus/event.h>

#define BUI_TOPIC_BYTES 1048588 /* what a topic takes unless its max.message.bytes says otherwise */

/* `key` and `value` NULL: none; of headers only names and lengths are looked at. */
int64_t bui_record_size(const void *key, size_t key_len, const void *value, size_t value_len, const bus_header *headers,
                        size_t count);
/* The same with the headers in two lists. */
int64_t bui_record_size_both(const void *key, size_t key_len, const void *value, size_t value_len, const bus_header *headers,
                             size_t count, const bus_header *more, size_t more_count);

#endif
