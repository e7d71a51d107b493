/* SPDX-License-Identifier: MIT
 * Prints docs/configuration.md from the table of properties: `make docs`. */
#include "base/config.h"

#include <stdio.h>

int main(void)
{
    bus_buf page;
    bus_buf_init(&page, 0);
    bus_config_page(&page);
    bool ok = bus_buf_ok(&page) && fwrite(page.data, 1, page.len, stdout) == page.len && fflush(stdout) == 0;
    bus_buf_free(&page);
    if (!ok)
        fputs("config-page: cannot write the page\n", stderr);
    return ok ? 0 : 1;
}
