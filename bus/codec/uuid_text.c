/* SPDX-License-Identifier: MIT
 * UUID text: RFC 4122's form with hyphens. */
#include "codec/uuid_text.h"

#include <string.h>

static bool hyphen_at(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool bui_uuid_from_text(const char *text, size_t len, uint8_t out[16])
{
    uint8_t uuid[16] = { 0 };
    size_t n = 0;
    if (len != BUI_UUID_TEXT)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (hyphen_at(i)) {
            if (text[i] != '-')
                return false;
            continue;
        }
        int value = digit(text[i]);
        if (value < 0)
            return false;
        uuid[n / 2] = (uint8_t)(uuid[n / 2] << 4 | value);
        n++;
    }
    memcpy(out, uuid, 16);
    return true;
}

void bui_uuid_to_text(const uint8_t uuid[16], char out[BUI_UUID_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 0;
    for (size_t i = 0; i < BUI_UUID_TEXT; i++) {
        if (hyphen_at(i)) {
            out[i] = '-';
            continue;
        }
        out[i] = digits[n % 2 == 0 ? uuid[n / 2] >> 4 : uuid[n / 2] & 15];
        n++;
    }
}
