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
    return bui_fail(err, full ? BUS_FULL : BUS_IO, "cannot create the %s %s: %s; %s", what, path, strerror(e),
                    full ? "free some space" : "let the user of this process write there, or set another data directory");
}

/* The directory that `path` lies in. false: it does not fit. */
static bool directory_of(const char *path, char *out, size_t cap)
{
    const char *slash = strrchr(path, '/');
    int len = snprintf(out, cap, "%.*s", !slash ? 1 : slash == path ? 1 : (int)(slash - path), slash ? path : ".");
    return len >= 0 && (size_t)len < cap;
}

bus_status bui_file_sync(const char *path, bus_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    int e = errno;
    if (fd >= 0)
        close(fd);
    return ok ? BUS_OK : bui_fail(err, BUS_IO, "%s cannot be made durable: %s; check the disk", path, strerror(e));
}

bus_status bui_file_sync_name(const char *path, bus_error *err)
{
    char directory[4096];
    if (!directory_of(path, directory, sizeof directory))
        return bui_fail(err, BUS_INVALID, "the path of %.200s... is too long", path);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* A directory that may be written and not read, or whose file system cannot sync it, is left as it is. */
    bool ok = fd >= 0 ? fsync(fd) == 0 || errno == EINVAL : errno == EACCES;
    int e = errno;
    if (fd >= 0)
        close(fd);
    return ok ? BUS_OK
              : bui_fail(err, BUS_IO, "%s: its names cannot be made durable: %s; check the disk", directory, strerror(e));
}

bus_status bui_file_parents(const char *path, bus_error *err)
{
    char *copy = strdup(path);
    if (!copy)
        return bui_fail_nomem(err);
    bus_status status = BUS_OK;
    for (char *at = strchr(copy + 1, '/'); at && status == BUS_OK; at = strchr(at + 1, '/')) {
        *at = 0;
        if (mkdir(copy, 0700) == 0) {
            status = bui_file_sync_name(copy, err);
        } else if (errno != EEXIST) {
            int e = errno;
            struct stat there;
            /* If the parent is read-only or forbidden, mkdir may report that instead of "exists". */
            if (stat(copy, &there) != 0 || !S_ISDIR(there.st_mode))
                status = fail(err, e, "directory", copy);
        }
        *at = '/';
    }
    free(copy);
    return status;
}

bus_status bui_file_private(const char *path, bus_error *err)
{
    char directory[4096];
    struct stat there;
    if (!directory_of(path, directory, sizeof directory))
        return bui_fail(err, BUS_INVALID, "the path of %.200s... is too long", path);
    if (stat(directory, &there) != 0)
        return bui_fail(err, BUS_IO, "cannot look at directory %.300s: %s", directory, strerror(errno));
    if (there.st_mode & S_IWOTH)
        return bui_fail(err, BUS_REFUSED,
                        "every user of this host can write in directory %.300s, and could replace a store: "
                        "remove that right (chmod o-w), or set another data.dir",
                        directory);
    if (there.st_uid != geteuid() && there.st_uid != 0 && geteuid() != 0)
        return bui_fail(err, BUS_REFUSED,
                        "directory %.300s belongs to another user (%ld), who can replace a store: run as that user, or set "
                        "another data.dir",
                        directory, (long)there.st_uid);
    return BUS_OK;
}

bus_status bui_file_touch(const char *path, bus_error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    else if (errno != EEXIST)
        return fail(err, errno, "file", path);
    return BUS_OK;
}

int64_t bui_file_number(const char *path)
{
    struct statx there;
    if (statx(AT_FDCWD, path, 0, STATX_INO | STATX_BTIME, &there) != 0)
        return 0;
    uint64_t born = there.stx_mask & STATX_BTIME ? (uint64_t)there.stx_btime.tv_sec * 1000000000u + there.stx_btime.tv_nsec : 0;
    return (int64_t)((there.stx_ino * 0x9e3779b97f4a7c15u ^ born) >> 1 | 1);
}
