/* SPDX-License-Identifier: MIT
 * Disk locks: SQLite's five levels on a file, and the shared memory of its write-ahead log, which dies with its users. */
#include "support/disk_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REGIONS 64

struct disk_shared {
    int users;
    int size; /* of a region */
    void *region[REGIONS];
};

/* ---- levels */

static int highest_of_others(const disk_handle *handle)
{
    int highest = SQLITE_LOCK_NONE;
    for (const disk_handle *other = handle->inode->handles; other; other = other->next)
        if (other != handle && other->lock > highest)
            highest = other->lock;
    return highest;
}

int disk_lock(sqlite3_file *file, int level)
{
    disk_handle *handle = (disk_handle *)file;
    if (handle->dead)
        return SQLITE_IOERR;
    if (handle->lock >= level)
        return SQLITE_OK;
    int others = highest_of_others(handle);
    if (level == SQLITE_LOCK_SHARED && others >= SQLITE_LOCK_PENDING)
        return SQLITE_BUSY;
    if (level > SQLITE_LOCK_SHARED && others >= SQLITE_LOCK_RESERVED)
        return SQLITE_BUSY;
    if (level == SQLITE_LOCK_EXCLUSIVE && others >= SQLITE_LOCK_SHARED) {
        handle->lock = SQLITE_LOCK_PENDING;
        return SQLITE_BUSY;
    }
    handle->lock = level;
    return SQLITE_OK;
}

int disk_unlock(sqlite3_file *file, int level)
{
    disk_handle *handle = (disk_handle *)file;
    if (handle->lock > level)
        handle->lock = level;
    return SQLITE_OK;
}

int disk_reserved(sqlite3_file *file, int *out)
{
    disk_handle *handle = (disk_handle *)file;
    *out = !handle->dead && (handle->lock >= SQLITE_LOCK_RESERVED || highest_of_others(handle) >= SQLITE_LOCK_RESERVED);
    return SQLITE_OK;
}

/* ---- shared memory */

static void release(disk_shared *shared)
{
    if (--shared->users)
        return;
    for (int i = 0; i < REGIONS; i++)
        free(shared->region[i]);
    free(shared);
}

static int use_shared(disk_handle *handle, int size)
{
    if (handle->shared)
        return SQLITE_OK;
    if (!handle->inode->shared && !(handle->inode->shared = calloc(1, sizeof(disk_shared))))
        return SQLITE_IOERR_NOMEM;
    handle->shared = handle->inode->shared;
    handle->shared->size = size;
    handle->shared->users++;
    return SQLITE_OK;
}

int disk_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **out)
{
    disk_handle *handle = (disk_handle *)file;
    *out = NULL;
    if (handle->dead)
        return SQLITE_IOERR;
    int rc = use_shared(handle, size);
    if (rc != SQLITE_OK)
        return rc;
    if (region >= REGIONS || size != handle->shared->size)
        return SQLITE_IOERR_SHMMAP;
    void **at = &handle->shared->region[region];
    if (!*at && extend) {
        rc = disk_ask(handle, DISK_MAP, SQLITE_IOERR_SHMSIZE);
        if (rc != SQLITE_OK)
            return rc;
        if (!(*at = calloc(1, (size_t)size)))
            return SQLITE_IOERR_NOMEM;
    }
    *out = *at;
    return SQLITE_OK;
}

int disk_shm_lock(sqlite3_file *file, int first, int count, int flags)
{
    disk_handle *handle = (disk_handle *)file;
    uint16_t mask = (uint16_t)(((1u << count) - 1) << first);
    if (flags & SQLITE_SHM_UNLOCK) {
        handle->shared_locks &= (uint16_t)~mask;
        handle->exclusive_locks &= (uint16_t)~mask;
        return SQLITE_OK;
    }
    if (handle->dead)
        return SQLITE_IOERR_SHMLOCK;
    for (const disk_handle *other = handle->inode->handles; other; other = other->next)
        if (other != handle && (mask & (other->exclusive_locks | (flags & SQLITE_SHM_EXCLUSIVE ? other->shared_locks : 0))))
            return SQLITE_BUSY;
    if (flags & SQLITE_SHM_EXCLUSIVE)
        handle->exclusive_locks |= mask;
    else
        handle->shared_locks |= mask;
    return SQLITE_OK;
}

void disk_shm_barrier(sqlite3_file *file)
{
    (void)file;
}

int disk_shm_unmap(sqlite3_file *file, int delete)
{
    disk_handle *handle = (disk_handle *)file;
    (void)delete; /* it is memory: the last to leave takes it along */
    disk_shared *shared = handle->shared;
    handle->shared = NULL;
    handle->shared_locks = handle->exclusive_locks = 0;
    if (shared) {
        if (shared->users == 1 && handle->inode->shared == shared)
            handle->inode->shared = NULL;
        release(shared);
    }
    return SQLITE_OK;
}

void disk_let_go(disk_handle *handle, bool closed)
{
    handle->lock = SQLITE_LOCK_NONE;
    handle->shared_locks = handle->exclusive_locks = 0;
    for (disk_handle **at = &handle->inode->handles; *at; at = &(*at)->next)
        if (*at == handle) {
            *at = handle->next;
            break;
        }
    if (!handle->inode->handles)
        handle->inode->shared = NULL;
    if (closed)
        disk_shm_unmap(&handle->base, 0);
}
