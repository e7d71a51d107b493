/* SPDX-License-Identifier: MIT
 * Disk: an SQLite VFS wholly in memory that remembers what a power loss may take, fails when told to, and is the same for the
 * same seed.
 *
 * A file is what the operating system has cached (what reads see), what the medium has (what nothing takes), and the list of
 * writes and truncations between them. A sync moves what was written before it to the medium. A new or deleted name is on the
 * medium only when its directory is synced, which happens where SQLite's unix VFS does it: at the first sync of a log or
 * journal, and at a deletion that asks for it.
 *
 *   a process dies     nothing is lost: the operating system has it (disk_cut)
 *   the power fails    of what was not synced each sector is kept, lost or of a former write, each for itself, so that later
 *                      writes may be there and earlier ones not; sizes and names likewise; what was synced stays, bit by bit
 *   a sync fails       of what it should have written some is on the medium, some waits for the next sync, and some is clean in
 *                      the cache: it can be read, no later sync writes it, and a power loss takes it
 *   no room            SQLITE_FULL from a bound on, until it is lifted
 *
 * One thread; no system calls; no time. Of the two promises of a device SQLite adapts to, the seed chooses: sectors of 512 or
 * 4,096 bytes, and power-safe overwrite or not, in which case a sector that was being written may come out as garbage. */
#ifndef TESTS_SUPPORT_DISK_H
#define TESTS_SUPPORT_DISK_H

#include <stdbool.h>
#include <stdint.h>

typedef struct disk disk;

typedef enum disk_op { DISK_READ, DISK_WRITE, DISK_TRUNCATE, DISK_SYNC, DISK_CREATE, DISK_DELETE, DISK_MAP } disk_op;
const char *disk_op_name(disk_op op);

typedef enum disk_fate { DISK_WELL, DISK_ERROR, DISK_NO_SPACE } disk_fate;

/* Asked before each operation; may call disk_cut and disk_power_off, after which the operation does nothing. */
typedef disk_fate (*disk_judge)(void *opaque, const char *path, disk_op op);

/* Becomes SQLite's default VFS, and SQLite's own random numbers start from the seed. NULL: no memory. */
disk *disk_new(uint64_t seed);
/* The former default VFS is the default again. No connection may be open. NULL is a no-op. */
void disk_free(disk *disk);

/* Instead of what the seed chose. */
void disk_promise(disk *disk, int sector, bool power_safe_overwrite);
/* From here on what a power loss takes is drawn from `seed`. */
void disk_draw_from(disk *disk, uint64_t seed);
void disk_judge_by(disk *disk, disk_judge judge, void *opaque);
/* The files of a directory may grow by so many bytes altogether; negative: without bound. */
void disk_room(disk *disk, const char *directory, int64_t bytes);

/* A process that has files open whose path begins with `prefix` is dead: what its connections do from now on fails and changes
 * nothing, and his locks and shared memory are gone. He may be closed at leisure. */
void disk_cut(disk *disk, const char *prefix);
/* The same, and the power of the machine that has these files fails. */
void disk_power_off(disk *disk, const char *prefix);

/* The files whose path begins with `prefix` as they are now, as a file system's snapshot takes them; NULL: no memory, or too many. */
typedef struct disk_copy disk_copy;
disk_copy *disk_copy_take(disk *disk, const char *prefix);
/* What was taken is there, durable, and what was there is in the copy: done twice nothing has changed. Nobody has them open. */
void disk_copy_swap(disk_copy *copy);
void disk_copy_free(disk_copy *copy);

/* Operations so far that change something, and a hash over all of them: two histories that have the same did the same. */
int64_t disk_changes(const disk *disk);
uint64_t disk_print(const disk *disk);
/* Bytes of a path that a power loss could still take. */
int64_t disk_unsynced(const disk *disk, const char *path);

#endif
