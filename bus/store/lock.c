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

struct bus_lock { int fd; };

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

/* Whoever deletes a lock file makes two owners possible: the lock counts only on the file that has the name now. */
static bool still_named(int fd, const char *path)
{
    struct stat mine, named;
    return fstat(fd, &mine) == 0 && stat(path, &named) == 0 && mine.st_dev == named.st_dev && mine.st_ino == named.st_ino;
}

static void write_pid(int fd)
{
    char text[32];
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    /* For people only: the lock holds without it, also on a full disk. */
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)len, 0) != len)
        errno = 0;
}

static long read_pid(int fd)
{
    char text[32] = "";
    ssize_t len = pread(fd, text, sizeof text - 1, 0);
    return len > 0 ? strtol(text, NULL, 10) : 0;
}

static bus_status take(const char *path, bus_lock **out, long *holder, bus_error *err)
{
    bus_lock *lock = malloc(sizeof *lock);
    if (!lock)
        return bus_fail_nomem(err);
    for (;;) {
        lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (lock->fd < 0) {
            int e = errno;
            free(lock);
            return bus_fail(err, e == ENOSPC || e == EDQUOT ? BUS_FULL : BUS_IO,
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
                return bus_fail(err, BUS_LOCKED, "%s is held by process %ld; stop it, or wait until it lets go", path, *holder);
            return bus_fail(err, BUS_IO, "cannot lock %s: %s; the data directory must be on a file system with locks", path, strerror(e));
        }
        if (still_named(lock->fd, path))
            break;
        close(lock->fd);
    }
    write_pid(lock->fd);
    *out = lock;
    return BUS_OK;
}

bus_status bus_lock_take(const char *base, bus_lock **out, bus_lock **want, bus_error *err)
{
    long holder = 0;
    char *lock = path_of(base, ".lock"), *wish = path_of(base, ".want");
    bus_status status = lock && wish ? bus_file_parents(lock, err) : bus_fail_nomem(err);
    if (status == BUS_OK)
        status = take(lock, out, &holder, err);
    /* Another may be waiting already; then there is nothing to add to its request. */
    if (status == BUS_LOCKED && want && !*want)
        (void)take(wish, want, &holder, NULL);
    free(lock);
    free(wish);
    return status;
}

bool bus_lock_wanted(const char *base)
{
    char *path = path_of(base, ".want");
    if (!path)
        return false;
    bool wanted = false;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        struct flock whole = whole_file();
        wanted = fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
        close(fd);
    }
    free(path);
    return wanted;
}

void bus_lock_free(bus_lock *lock)
{
    if (!lock)
        return;
    close(lock->fd);
    free(lock);
}
