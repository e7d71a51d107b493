/* SPDX-License-Identifier: MIT
 * A slower disk: every sync of SQLite's default VFS takes so much longer, for the bus and for SQLite alone. What a virtual machine
 * calls a sync may cost 0.05 ms; a disk that writes takes 0.2 (a good SSD) to 10 ms. */
#ifndef BENCH_SLOW_SYNC_H
#define BENCH_SLOW_SYNC_H

#include "bench/bench.h"
#include <sqlite3.h>
#include <stddef.h>

/* The system's VFS has several tables of methods, one for each way to lock. */
typedef struct bench_disk_kind { const sqlite3_io_methods *real; sqlite3_io_methods slow; } bench_disk_kind;
static struct { sqlite3_vfs vfs, *real; bench_disk_kind kind[8]; double seconds; } bench_disk;

static int bench_disk_sync(sqlite3_file *file, int flags)
{
    const bench_disk_kind *kind = (const bench_disk_kind *)(const void *)((const char *)file->pMethods - offsetof(bench_disk_kind, slow));
    bench_sleep(bench_disk.seconds);
    return kind->real->xSync(file, flags);
}

/* The file is the real VFS's own; its table of methods becomes a copy in which xSync is ours. */
static int bench_disk_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    (void)vfs;
    int rc = bench_disk.real->xOpen(bench_disk.real, name, file, flags, out);
    if (rc != SQLITE_OK || !file->pMethods)
        return rc;
    for (bench_disk_kind *kind = bench_disk.kind; kind < bench_disk.kind + 8; kind++) {
        if (!kind->real) {
            kind->real = file->pMethods;
            kind->slow = *file->pMethods;
            kind->slow.xSync = bench_disk_sync;
        }
        if (kind->real == file->pMethods) {
            file->pMethods = &kind->slow;
            return rc;
        }
    }
    bench_die("--sync-us", "this SQLite has too many kinds of files");
}

/* Before any store is opened, and while there is one thread. */
static inline void bench_slow_sync(long us)
{
    bench_disk.real = sqlite3_vfs_find(NULL);
    bench_disk.vfs = *bench_disk.real;
    bench_disk.vfs.zName = "bench-slow-sync";
    bench_disk.vfs.xOpen = bench_disk_open;
    bench_disk.seconds = (double)us / 1e6;
    if (us > 0 && sqlite3_vfs_register(&bench_disk.vfs, 1) != SQLITE_OK)
        bench_die("--sync-us", "cannot be registered");
}

#endif
