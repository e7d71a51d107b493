/* SPDX-License-Identifier: MIT
 * What the simulated disk's files share: files, their open handles, and names. */
#ifndef TESTS_SUPPORT_DISK_INTERNAL_H
#define TESTS_SUPPORT_DISK_INTERNAL_H

#include "support/disk.h"
#include "support/disk_image.h"
#include <sqlite3.h>

#define DISK_PATH 512

typedef struct disk_handle disk_handle;
typedef struct disk_shared disk_shared;

typedef struct disk_directory {
    struct disk_directory *next;
    int64_t room; /* bytes its files may grow by; negative: without bound */
    char path[DISK_PATH];
} disk_directory;

typedef struct disk_inode {
    disk_image image;
    disk_directory *directory;
    disk_handle *handles; /* that are alive */
    disk_shared *shared;  /* of those; NULL: none has mapped any */
    int uses;             /* names and handles */
} disk_inode;

/* A name may be on the medium for another file than now. */
typedef struct disk_name {
    struct disk_name *next;
    disk_directory *directory;
    disk_inode *now, *kept; /* NULL: no such file */
    char path[DISK_PATH];
} disk_name;

struct disk {
    sqlite3_vfs vfs, *former;
    uint64_t random, dice; /* of the disk, and what SQLite draws */
    int sector;
    bool power_safe;
    disk_judge judge;
    void *judge_opaque;
    disk_directory *directories;
    disk_name *names;
    int64_t changes, deaths;
    uint64_t print;
};

/* What SQLite calls a file. */
struct disk_handle {
    sqlite3_file base;
    disk *disk;
    disk_inode *inode;
    disk_handle *next;
    bool dead;
    bool sync_names; /* the first sync makes the directory's names last, too */
    bool temporary;
    int lock; /* SQLITE_LOCK_... */
    disk_shared *shared;
    uint16_t shared_locks, exclusive_locks;
    int error; /* the system's number of the last failure */
    char path[DISK_PATH];
};

/* disk_lock.c: between connections of one thread nothing waits, and a barrier is nothing. */
int disk_lock(sqlite3_file *file, int level);
int disk_unlock(sqlite3_file *file, int level);
int disk_reserved(sqlite3_file *file, int *out);
int disk_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **out);
int disk_shm_lock(sqlite3_file *file, int first, int count, int flags);
void disk_shm_barrier(sqlite3_file *file);
int disk_shm_unmap(sqlite3_file *file, int delete);
/* Lets go of all; `file` is closed or its process is dead. The memory stays until it is closed. */
void disk_let_go(disk_handle *handle, bool closed);
/* *at becomes `to`, which may be NULL; what nobody uses any more is freed. */
void disk_point(disk_inode **at, disk_inode *to);
/* SQLITE_OK, or what the operation has to return. */
int disk_ask(disk_handle *handle, disk_op op, int error);

#endif
