/* SPDX-License-Identifier: MIT
 * Width: how many columns of a terminal a text takes. Double-width characters count two, combining ones none, whatever the locale. */
#ifndef BUI_CLI_WIDTH_H
#define BUI_CLI_WIDTH_H

#include <stddef.h>

/* Of UTF-8; a byte that is none of it counts one. */
size_t cli_width(const void *text, size_t len);

/* How many bytes of it fit `columns`, whole characters with what combines with them; *width is what those take. */
size_t cli_fits(const void *text, size_t len, size_t columns, size_t *width);

#endif
