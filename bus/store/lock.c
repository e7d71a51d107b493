/* SPDX-License-Identifier: MIT
 * Lock: open file description locks on two files beside the store. */
#include "store/lock.h"
#include "base/error.h"
#include "store/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_BYTES 32 /* a process id and a line end */

struct bui_lock {
    int fd;
};

static char *path_of(const char *base, const char *suffix)
{
    size_t len = strlen(base) + strlen(suffix) + 1;
    char *path = malloc(len);
    if (path)
        snprintf(path, len, "%s%s", base, suffix);
    return path;
}

static struct flock whole_file(void)
{
    struct flock lock;
    memset(&lock, 0, sizeof lock);
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    return lock;
}

/* Deleting a lock file makes two owners possible: the lock counts only on the file that has the name now. */
static bool still_named(int fd, const char *path)
{
    struct stat mine, named;
    return fstat(fd, &mine) == 0 && lstat(path, &named) == 0 && mine.st_dev == named.st_dev && mine.st_ino == named.st_ino;
}

/* Somebody may have put a file of this name there so that we write into it: a link to another file, a device. */
static bool is_lock_file(int fd)
{
    struct stat mine;
    return fstat(fd, &mine) == 0 && S_ISREG(mine.st_mode) && mine.st_nlink <= 1 && mine.st_size <= LOCK_BYTES;
}

static bus_status not_ours(const char *path, bus_error *err)
{
    return bui_fail(err, BUS_REFUSED,
                    "%s is not a lock file of the bus (it is a link, or a file with other content): somebody "
                    "put it there. Look at what it is, then remove it",
                    path);
}

static void write_pid(int fd)
{
    char text[LOCK_BYTES];
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    /* For people only: the lock holds without it, also on a full disk. */
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)len, 0) != len)
        errno = 0;
}

static long read_pid(int fd)
{
    char text[LOCK_BYTES] = "";
    ssize_t len = pread(fd, text, sizeof text - 1, 0);
    return len > 0 ? strtol(text, NULL, 10) : 0;
}

static bus_status take(const char *path, bui_lock **out, long *holder, bus_error *err)
{
    bui_lock *lock = malloc(sizeof *lock);
    if (!lock)
        return bui_fail_nomem(err);
    for (;;) {
        lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
        if (lock->fd < 0) {
            int e = errno;
            free(lock);
            if (e == ELOOP)
                return not_ours(path, err);
            return bui_fail(err, e == ENOSPC || e == EDQUOT ? BUS_FULL : BUS_IO,
                            "cannot open the lock file %s: %s; let the user of this process read and write it and its directory",
                            path, strerror(e));
        }
        struct flock whole = whole_file();
        if (fcntl(lock->fd, F_OFD_SETLK, &whole) != 0) {
            int e = errno;
            *holder = read_pid(lock->fd);
            close(lock->fd);
            free(lock);
            if (e == EAGAIN || e == EACCES)
                return bui_fail(err, BUS_LOCKED, "%s is held by process %ld; stop it, or wait until it releases it", path,
                                *holder);
            return bui_fail(err, BUS_IO, "cannot lock %s: %s; the data directory must be on a file system with locks", path,
                            strerror(e));
        }
        if (!is_lock_file(lock->fd) && still_named(lock->fd, path)) {
            close(lock->fd);
            free(lock);
            return not_ours(path, err);
        }
        if (still_named(lock->fd, path))
            break;
        close(lock->fd);
    }
    write_pid(lock->fd);
    *out = lock;
    return BUS_OK;
}

bus_status bui_lock_take(const char *base, bui_lock **out, bui_lock **want, bus_error *err)
{
    long holder = 0;
    char *lock = path_of(base, ".lock"), *wish = path_of(base, ".want");
    bus_status status = lock && wish ? bui_file_parents(lock, err) : bui_fail_nomem(err);
    if (status == BUS_OK)
        status = bui_file_private(lock, err);
    if (status == BUS_OK)
        status = take(lock, out, &holder, err);
    /* Another may be waiting already; then there is nothing to add to its request. */
    if (status == BUS_LOCKED && want && !*want)
        (void)take(wish, want, &holder, NULL);
    free(lock);
    free(wish);
    return status;
}

bool bui_lock_wanted(const char *base)
{
    char *path = path_of(base, ".want");
    if (!path)
        return false;
    bool wanted = false;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0) {
        struct flock whole = whole_file();
        wanted = fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
        close(fd);
    }
    free(path);
    return wanted;
}

void bui_lock_free(bui_lock *lock)
{
    if (!lock)
        return;
    close(lock->fd);
    free(lock);
}
