/* SPDX-License-Identifier: MIT
 * A slower disk: every sync of SQLite's default VFS takes that much longer, for the bus and for SQLite alone. What a virtual
 * machine calls a sync may cost 0.05 ms; a disk that writes takes 0.2 (a good SSD) to 10 ms. */
#ifndef BENCH_SLOW_SYNC_H
#define BENCH_SLOW_SYNC_H

#include "bench/bench.h"
#include <sqlite3.h>

static struct {
    sqlite3_vfs vfs, *real;
    double seconds;
} bench_disk;

/* Behind the real VFS's own file: its methods, and a copy in which xSync is ours. */
typedef struct bench_disk_file {
    const sqlite3_io_methods *real;
    sqlite3_io_methods slow;
} bench_disk_file;

static bench_disk_file *bench_disk_of(sqlite3_file *file)
{
    return (bench_disk_file *)(void *)((char *)file + (bench_disk.real->szOsFile + 7) / 8 * 8);
}

static int bench_disk_sync(sqlite3_file *file, int flags)
{
    bench_sleep(bench_disk.seconds);
    return bench_disk_of(file)->real->xSync(file, flags);
}

static int bench_disk_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    (void)vfs;
    int rc = bench_disk.real->xOpen(bench_disk.real, name, file, flags, out);
    if (rc != SQLITE_OK || !file->pMethods)
        return rc;
    bench_disk_file *mine = bench_disk_of(file);
    mine->real = file->pMethods;
    mine->slow = *mine->real;
    mine->slow.xSync = bench_disk_sync;
    file->pMethods = &mine->slow;
    return rc;
}

/* Before any store is opened, and while there is one thread. */
static inline void bench_slow_sync(long us)
{
    bench_disk.real = sqlite3_vfs_find(NULL);
    bench_disk.vfs = *bench_disk.real;
    bench_disk.vfs.zName = "bench-slow-sync";
    bench_disk.vfs.szOsFile = (bench_disk.real->szOsFile + 7) / 8 * 8 + (int)sizeof(bench_disk_file);
    bench_disk.vfs.xOpen = bench_disk_open;
    bench_disk.seconds = (double)us / 1e6;
    if (us > 0 && sqlite3_vfs_register(&bench_disk.vfs, 1) != SQLITE_OK)
        bench_die("--sync-us", "cannot be registered");
}

#endif
