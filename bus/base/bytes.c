/* SPDX-License-Identifier: MIT
 * Bytes: what of <bus/bytes.h> is no inline. */
#include <bus/bytes.h>

/* Inline it would have compilers follow the NULL of a struct's first member into the next one, and warn users of it. */
bus_string bus_str(const char *text)
{
    return bus_string_of(text, text ? strlen(text) : 0);
}
