/* SPDX-License-Identifier: MIT
 * Schema key: see schema_key.h. */
#include "codec/schema_key.h"

#include <sodium.h>

void bus_schema_key(const char *json, size_t len, char out[BUS_SCHEMA_KEY])
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, (const unsigned char *)json, len);
    sodium_bin2hex(out, BUS_SCHEMA_KEY, hash, sizeof hash);
}
