/* SPDX-License-Identifier: MIT
 * Schema key: see schema_key.h. */
#include "codec/schema_key.h"

#include <sodium.h>

void bui_schema_key(const char *json, size_t len, char out[BUI_SCHEMA_KEY])
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, (const unsigned char *)json, len);
    sodium_bin2hex(out, BUI_SCHEMA_KEY, hash, sizeof hash);
}
