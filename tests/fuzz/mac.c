/* SPDX-License-Identifier: MIT
 * Fuzz: signatures of any form are refused unless they are ours, a signed record verifies in its place and in no other, and a key file
 * of any form is read or refused.
 * About: bus/codec/mac.c */
#include "codec/mac.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char file[] = "k 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef write\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bui_keys *keys;
    bui_keys *read = NULL;
    char mac[BUI_MAC_TEXT], id[BUI_MAC_ID_MOST + 1];
    if (!keys && bui_keys_new(file, sizeof file - 1, "keys", "*", &keys, NULL) != BUS_OK)
        abort();
    if (size < 2 || size > 4096)
        return 0;
    /* Headers out of the bytes, of which one may be a signature or a hop. */
    bus_header headers[4] = { { BUI_HEADER_HOP, data + 1, data[0] < size - 1 ? data[0] : size - 1 },
                              { "x", data, size / 2 },
                              { BUI_HEADER_MAC, data + 1, size - 1 } };
    bui_sealed record = { .topic = "order.events",
                          .partition = 1,
                          .key = data,
                          .key_len = 1,
                          .value = data,
                          .value_len = size,
                          .headers = headers,
                          .header_count = 3 };
    if (bui_mac_check(keys, &record, NULL, NULL) == BUS_OK)
        abort(); /* nobody guesses one */
    (void)bui_mac_id(headers, 3, id);
    record.header_count = 2;
    headers[2] = (bus_header){ BUI_HEADER_MAC, mac, bui_mac_write(keys, &record, mac) };
    record.header_count = 3;
    if (bui_mac_check(keys, &record, NULL, NULL) != BUS_OK)
        abort();
    record.partition = 2;
    if (bui_mac_check(keys, &record, NULL, NULL) == BUS_OK)
        abort();
    if (bui_keys_new((const char *)data, size, "keys", "order.events", &read, NULL) == BUS_OK)
        bui_keys_free(read);
    return 0;
}
