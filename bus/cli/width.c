/* SPDX-License-Identifier: MIT
 * Width: by utf8proc, which knows Unicode's tables; wcwidth would need a locale with UTF-8. */
#include "cli/width.h"

#include <stdint.h>
#include <utf8proc.h>

/* Takes one character. */
static size_t next(const uint8_t *text, size_t len, size_t *width)
{
    utf8proc_int32_t character;
    utf8proc_ssize_t bytes = utf8proc_iterate(text, (utf8proc_ssize_t)len, &character);
    *width = bytes > 0 ? (size_t)utf8proc_charwidth(character) : 1;
    return bytes > 0 ? (size_t)bytes : 1;
}

size_t cli_fits(const void *text, size_t len, size_t columns, size_t *width)
{
    const uint8_t *bytes = text;
    size_t at = 0, one;
    *width = 0;
    while (at < len) {
        size_t n = next(bytes + at, len - at, &one);
        if (*width + one > columns)
            break;
        *width += one;
        at += n;
    }
    return at;
}

size_t cli_width(const void *text, size_t len)
{
    size_t width;
    (void)cli_fits(text, len, SIZE_MAX, &width);
    return width;
}
