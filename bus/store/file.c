/* SPDX-License-Identifier: MIT
 * Files: directories and the empty file, private to the user that runs the service. */
#include "store/file.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bus_status fail(bus_error *err, int e, const char *what, const char *path)
{
    bool full = e == ENOSPC || e == EDQUOT;
    return bus_fail(err, full ? BUS_FULL : BUS_IO, "cannot make the %s %s: %s; %s", what, path, strerror(e),
                    full ? "free some space" : "let the user of this process write there, or set another data directory");
}

bus_status bus_file_sync_name(const char *path, bus_error *err)
{
    char directory[4096];
    const char *slash = strrchr(path, '/');
    int len = snprintf(directory, sizeof directory, "%.*s", !slash ? 1 : slash == path ? 1 : (int)(slash - path), slash ? path : ".");
    if (len >= (int)sizeof directory)
        return bus_fail(err, BUS_INVALID, "the path of %.200s... is too long", path);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* One that may be written and not read, or whose file system cannot do it, has to do without. */
    bool ok = fd >= 0 ? fsync(fd) == 0 || errno == EINVAL : errno == EACCES;
    int e = errno;
    if (fd >= 0)
        close(fd);
    return ok ? BUS_OK : bus_fail(err, BUS_IO, "%s: its names cannot be made durable: %s; check the disk", directory, strerror(e));
}

bus_status bus_file_parents(const char *path, bus_error *err)
{
    char *copy = strdup(path);
    if (!copy)
        return bus_fail_nomem(err);
    bus_status status = BUS_OK;
    for (char *at = strchr(copy + 1, '/'); at && status == BUS_OK; at = strchr(at + 1, '/')) {
        *at = 0;
        if (mkdir(copy, 0700) == 0) {
            status = bus_file_sync_name(copy, err);
        } else if (errno != EEXIST) {
            int e = errno;
            struct stat there;
            /* On a read-only or forbidden parent mkdir may say so before it says that the directory exists. */
            if (stat(copy, &there) != 0 || !S_ISDIR(there.st_mode))
                status = fail(err, e, "directory", copy);
        }
        *at = '/';
    }
    free(copy);
    return status;
}

bus_status bus_file_touch(const char *path, bus_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    else if (errno != EEXIST)
        return fail(err, errno, "file", path);
    return BUS_OK;
}
