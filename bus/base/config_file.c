/* SPDX-License-Identifier: MIT
 * Files that hold a configuration or a secret. */
#include "base/config_table.h"

#include "base/log.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Appends a whole file; `over` of `out` tells that it is longer than allowed. */
bus_status bui_config_file(const char *path, bui_buf *out, bus_error *err)
{
    FILE *file = fopen(path, "rbe");
    if (!file)
        return bui_fail(err, BUS_IO, "cannot read %.300s: %s", path, strerror(errno));
    char piece[4096];
    size_t n;
    errno = 0;
    while ((n = fread(piece, 1, sizeof piece, file)) > 0 && bui_buf_ok(out))
        bui_buf_add(out, piece, n);
    bus_status status = ferror(file) ? bui_fail(err, BUS_IO, "cannot read %.300s: %s", path, strerror(errno)) : BUS_OK;
    (void)fclose(file);
    explicit_bzero(piece, sizeof piece);
    return status;
}

/* Secrets in a file that everybody can read are none. */
void bui_config_file_warn(const char *path)
{
    struct stat there;
    if (stat(path, &there) == 0 && S_ISREG(there.st_mode) && (there.st_mode & S_IROTH))
        bui_log(BUS_WARN, "config", "secret_readable",
                "%.300s holds a secret, and every user of this host can read it: chmod o-r", path);
}
