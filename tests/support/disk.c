/* SPDX-License-Identifier: MIT
 * Disk: files, names and faults, as SQLite sees them. */
#include "support/disk.h"
#include "support/disk_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *disk_op_name(disk_op op)
{
    static const char *const names[] = { "read", "write", "truncate", "sync", "create", "delete", "map" };
    return names[op];
}

static void print(disk *d, uint64_t what)
{
    uint64_t state = d->print ^ what;
    d->print = disk_random(&state);
}

static uint64_t text_hash(const char *text)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a; of the file's name alone: the directory is another in each run */
    for (text = strrchr(text, '/') ? strrchr(text, '/') : text; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 1099511628211u;
    return hash;
}

/* ---- faults */

static disk_fate fate_of(disk *d, const char *path, disk_op op)
{
    if (op != DISK_READ) {
        d->changes++;
        print(d, text_hash(path) + (uint64_t)op);
    }
    int64_t deaths = d->deaths;
    disk_fate fate = d->judge ? d->judge(d->judge_opaque, path, op) : DISK_WELL;
    return d->deaths == deaths ? fate : DISK_ERROR;
}

int disk_ask(disk_handle *handle, disk_op op, int error)
{
    if (handle->dead)
        return SQLITE_IOERR;
    disk_fate fate = handle->temporary ? DISK_WELL : fate_of(handle->disk, handle->path, op);
    if (handle->dead)
        return SQLITE_IOERR;
    if (fate == DISK_WELL)
        return SQLITE_OK;
    handle->error = fate == DISK_NO_SPACE ? ENOSPC : EIO;
    return fate == DISK_NO_SPACE && op == DISK_WRITE ? SQLITE_FULL : error;
}

/* ---- names */

static bool begins(const char *path, const char *prefix)
{
    return strncmp(path, prefix, strlen(prefix)) == 0;
}

static disk_directory *directory_of(disk *d, const char *path, size_t len)
{
    for (disk_directory *directory = d->directories; directory; directory = directory->next)
        if (strlen(directory->path) == len && memcmp(directory->path, path, len) == 0)
            return directory;
    disk_directory *made = len < DISK_PATH ? calloc(1, sizeof *made) : NULL;
    if (!made)
        return NULL;
    memcpy(made->path, path, len);
    made->room = -1;
    made->next = d->directories;
    return d->directories = made;
}

static disk_name *find(const disk *d, const char *path)
{
    for (disk_name *name = d->names; name; name = name->next)
        if (strcmp(name->path, path) == 0)
            return name;
    return NULL;
}

static disk_name *name_of(disk *d, const char *path)
{
    disk_name *name = find(d, path);
    const char *end = strrchr(path, '/');
    if (name)
        return name;
    disk_directory *directory = directory_of(d, path, end ? (size_t)(end - path) : 0);
    name = directory && strlen(path) < DISK_PATH ? calloc(1, sizeof *name) : NULL;
    if (!name)
        return NULL;
    snprintf(name->path, sizeof name->path, "%s", path);
    name->directory = directory;
    name->next = d->names;
    return d->names = name;
}

static void drop(disk_inode *inode)
{
    if (!inode || --inode->uses)
        return;
    disk_image_free(&inode->image);
    free(inode);
}

void disk_point(disk_inode **at, disk_inode *to)
{
    disk_inode *old = *at;
    if (to)
        to->uses++;
    *at = to;
    drop(old);
}

static void sync_names(disk *d, const disk_directory *directory)
{
    for (disk_name *name = d->names; name; name = name->next)
        if (name->directory == directory)
            disk_point(&name->kept, name->now);
}

/* ---- one file */

static int file_close(sqlite3_file *file)
{
    disk_handle *handle = (disk_handle *)file;
    disk_let_go(handle, true);
    drop(handle->inode);
    handle->inode = NULL;
    return SQLITE_OK;
}

static int file_read(sqlite3_file *file, void *out, int len, sqlite3_int64 offset)
{
    disk_handle *handle = (disk_handle *)file;
    const disk_bytes *cache = &handle->inode->image.cache;
    int rc = disk_ask(handle, DISK_READ, SQLITE_IOERR_READ);
    if (rc != SQLITE_OK)
        return rc;
    int64_t there = offset < cache->len ? cache->len - offset : 0;
    if (there >= len) {
        memcpy(out, cache->at + offset, (size_t)len);
        return SQLITE_OK;
    }
    if (there)
        memcpy(out, cache->at + offset, (size_t)there);
    memset((char *)out + there, 0, (size_t)(len - there));
    return SQLITE_IOERR_SHORT_READ;
}

/* A write that fails may have written a part. */
static int file_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 offset)
{
    disk_handle *handle = (disk_handle *)file;
    disk_image *image = &handle->inode->image;
    disk_directory *directory = handle->inode->directory;
    int rc = disk_ask(handle, DISK_WRITE, SQLITE_IOERR_WRITE);
    if (handle->dead)
        return rc;
    /* There is no room, so it cannot have written all. */
    int part = rc == SQLITE_OK ? len : (int)(disk_random(&handle->disk->random) % (uint64_t)(len + (rc != SQLITE_FULL)));
    int64_t grows = offset + part - image->cache.len;
    if (directory && directory->room >= 0 && grows > directory->room) {
        part = (int)(part - (grows - directory->room) > 0 ? part - (grows - directory->room) : 0);
        handle->error = ENOSPC;
        rc = SQLITE_FULL;
    }
    print(handle->disk, (uint64_t)offset * 31 + (uint64_t)part);
    grows = part ? offset + part - image->cache.len : 0;
    if (part && !disk_image_write(image, offset, bytes, part))
        return SQLITE_IOERR_NOMEM;
    if (directory && directory->room >= 0 && grows > 0)
        directory->room -= grows;
    return rc;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 len)
{
    disk_handle *handle = (disk_handle *)file;
    disk_image *image = &handle->inode->image;
    disk_directory *directory = handle->inode->directory;
    int rc = disk_ask(handle, DISK_TRUNCATE, SQLITE_IOERR_TRUNCATE);
    if (rc != SQLITE_OK)
        return rc;
    if (directory && directory->room >= 0 && len < image->cache.len)
        directory->room += image->cache.len - len;
    return disk_image_truncate(image, len) ? SQLITE_OK : SQLITE_IOERR_NOMEM;
}

static int file_sync(sqlite3_file *file, int flags)
{
    disk_handle *handle = (disk_handle *)file;
    (void)flags;
    int rc = disk_ask(handle, DISK_SYNC, SQLITE_IOERR_FSYNC);
    if (handle->dead)
        return rc;
    if (rc != SQLITE_OK)
        return disk_image_sync_in_vain(&handle->inode->image, &handle->disk->random) ? rc : SQLITE_IOERR_NOMEM;
    if (!disk_image_sync(&handle->inode->image))
        return SQLITE_IOERR_NOMEM;
    if (handle->sync_names)
        sync_names(handle->disk, handle->inode->directory);
    handle->sync_names = false;
    return SQLITE_OK;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *out)
{
    *out = ((disk_handle *)file)->inode->image.cache.len;
    return ((disk_handle *)file)->dead ? SQLITE_IOERR_FSTAT : SQLITE_OK;
}

static int file_control(sqlite3_file *file, int op, void *arg)
{
    const disk_handle *handle = (const disk_handle *)file;
    switch (op) {
    case SQLITE_FCNTL_LAST_ERRNO: *(int *)arg = handle->error; return SQLITE_OK;
    case SQLITE_FCNTL_LOCKSTATE: *(int *)arg = handle->lock; return SQLITE_OK;
    default: return SQLITE_NOTFOUND;
    }
}

static int sector_size(sqlite3_file *file)
{
    return ((disk_handle *)file)->disk->sector;
}

static int characteristics(sqlite3_file *file)
{
    return ((disk_handle *)file)->disk->power_safe ? SQLITE_IOCAP_POWERSAFE_OVERWRITE : 0;
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = disk_lock,
    .xUnlock = disk_unlock,
    .xCheckReservedLock = disk_reserved,
    .xFileControl = file_control,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = characteristics,
    .xShmMap = disk_shm_map,
    .xShmLock = disk_shm_lock,
    .xShmBarrier = disk_shm_barrier,
    .xShmUnmap = disk_shm_unmap,
};

/* ---- the file system */

static int make(disk *d, disk_name *name)
{
    if (fate_of(d, name->path, DISK_CREATE) != DISK_WELL)
        return SQLITE_CANTOPEN;
    disk_inode *made = calloc(1, sizeof *made);
    if (!made)
        return SQLITE_IOERR_NOMEM;
    made->directory = name->directory;
    disk_point(&name->now, made);
    return SQLITE_OK;
}

static int vfs_open(sqlite3_vfs *vfs, sqlite3_filename path, sqlite3_file *file, int flags, int *out_flags)
{
    disk *d = vfs->pAppData;
    disk_handle *handle = (disk_handle *)file;
    *handle = (disk_handle){ .disk = d, .temporary = !path };
    disk_inode *inode = NULL;
    if (path) {
        disk_name *name = name_of(d, path);
        int rc = !name                        ? SQLITE_IOERR_NOMEM
                 : name->now                  ? SQLITE_OK
                 : flags & SQLITE_OPEN_CREATE ? make(d, name)
                                              : SQLITE_CANTOPEN;
        if (rc != SQLITE_OK)
            return rc;
        inode = name->now;
        snprintf(handle->path, sizeof handle->path, "%s", path);
    } else if (!(inode = calloc(1, sizeof *inode))) {
        return SQLITE_IOERR_NOMEM;
    }
    disk_point(&handle->inode, inode);
    handle->next = inode->handles;
    inode->handles = handle;
    handle->sync_names = path && (flags & SQLITE_OPEN_CREATE) && (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL));
    handle->base.pMethods = &methods;
    if (out_flags)
        *out_flags = flags;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
    disk *d = vfs->pAppData;
    disk_name *name = find(d, path);
    if (!name || !name->now)
        return SQLITE_IOERR_DELETE_NOENT;
    if (fate_of(d, path, DISK_DELETE) != DISK_WELL)
        return SQLITE_IOERR_DELETE;
    if (name->directory->room >= 0)
        name->directory->room += name->now->image.cache.len;
    disk_point(&name->now, NULL);
    if (sync)
        sync_names(d, name->directory);
    return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *out)
{
    const disk_name *name = find(vfs->pAppData, path);
    (void)flags;
    *out = name && name->now;
    return SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *path, int size, char *out)
{
    (void)vfs;
    return (int)strlen(path) < size ? (strcpy(out, path), SQLITE_OK) : SQLITE_CANTOPEN;
}

static int vfs_randomness(sqlite3_vfs *vfs, int size, char *out)
{
    disk *d = vfs->pAppData;
    for (int i = 0; i < size; i++)
        out[i] = (char)disk_random(&d->dice);
    return size;
}

static int vfs_sleep(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs;
    return microseconds;
}

static int vfs_time(sqlite3_vfs *vfs, sqlite3_int64 *out)
{
    (void)vfs;
    *out = INT64_C(2461041) * 86400000; /* always the same day in 2026 */
    return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *vfs, int size, char *out)
{
    (void)vfs;
    (void)size;
    (void)out;
    return 0;
}

disk *disk_new(uint64_t seed)
{
    disk *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->random = seed ^ 0x6469736B;
    d->dice = disk_random(&d->random);
    d->sector = disk_random(&d->random) % 2 ? 512 : 4096;
    d->power_safe = disk_random(&d->random) % 4 != 0;
    d->former = sqlite3_vfs_find(NULL);
    d->vfs = (sqlite3_vfs){ .iVersion = 2,
                            .szOsFile = sizeof(disk_handle),
                            .mxPathname = DISK_PATH - 1,
                            .zName = "disk",
                            .pAppData = d,
                            .xOpen = vfs_open,
                            .xDelete = vfs_delete,
                            .xAccess = vfs_access,
                            .xFullPathname = vfs_full_path,
                            .xRandomness = vfs_randomness,
                            .xSleep = vfs_sleep,
                            .xGetLastError = vfs_last_error,
                            .xCurrentTimeInt64 = vfs_time };
    sqlite3_vfs_register(&d->vfs, 1);
    sqlite3_randomness(0, NULL); /* drawn from us */
    return d;
}

void disk_free(disk *d)
{
    if (!d)
        return;
    sqlite3_vfs_unregister(&d->vfs);
    sqlite3_vfs_register(d->former, 1);
    sqlite3_randomness(0, NULL);
    for (disk_name *name = d->names, *next; name; name = next) {
        next = name->next;
        drop(name->now);
        drop(name->kept);
        free(name);
    }
    for (disk_directory *directory = d->directories, *next; directory; directory = next) {
        next = directory->next;
        free(directory);
    }
    free(d);
}

void disk_promise(disk *d, int sector, bool power_safe_overwrite)
{
    d->sector = sector;
    d->power_safe = power_safe_overwrite;
}

void disk_draw_from(disk *d, uint64_t seed)
{
    d->random = seed;
}

void disk_judge_by(disk *d, disk_judge judge, void *opaque)
{
    d->judge = judge;
    d->judge_opaque = opaque;
}

void disk_room(disk *d, const char *path, int64_t bytes)
{
    disk_directory *directory = directory_of(d, path, strlen(path));
    if (directory)
        directory->room = bytes;
}

/* ---- deaths */

static void cut(disk_inode *inode)
{
    while (inode && inode->handles) {
        inode->handles->dead = true;
        disk_let_go(inode->handles, false);
    }
}

void disk_cut(disk *d, const char *prefix)
{
    d->deaths++;
    for (disk_name *name = d->names; name; name = name->next)
        if (begins(name->path, prefix))
            cut(name->now);
}

void disk_power_off(disk *d, const char *prefix)
{
    d->deaths++;
    for (disk_name *name = d->names; name; name = name->next) {
        if (!begins(name->path, prefix))
            continue;
        cut(name->now);
        cut(name->kept);
        disk_inode *left = disk_random(&d->random) % 2 ? name->now : name->kept;
        disk_point(&name->now, left);
        disk_point(&name->kept, left);
        if (left)
            (void)disk_image_lose(&left->image, d->sector, !d->power_safe, &d->random);
    }
    print(d, d->random);
}

int64_t disk_changes(const disk *d)
{
    return d->changes;
}

uint64_t disk_print(const disk *d)
{
    return d->print;
}

int64_t disk_unsynced(const disk *d, const char *path)
{
    const disk_name *name = find(d, path);
    return name && name->now ? name->now->image.log.len : 0;
}
