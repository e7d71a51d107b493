/* SPDX-License-Identifier: MIT
 * Files: what the store and its lock need of the file system before SQLite comes in. */
#ifndef BUS_STORE_FILE_H
#define BUS_STORE_FILE_H

#include <bus/error.h>
#include <stdint.h>

/* Makes the directories that `path` (a file) is to lie in, 0700, where absent. BUS_IO, BUS_FULL, BUS_NOMEM. */
bus_status bus_file_parents(const char *path, bus_error *err);
/* Refuses (BUS_REFUSED) the directory that `path` lies in if other users of the host can put files there. */
bus_status bus_file_private(const char *path, bus_error *err);
/* Makes an empty file, 0600, if there is none. Never opens one that exists: closing it would drop SQLite's locks. */
bus_status bus_file_touch(const char *path, bus_error *err);
/* Which file stands there, by its inode and when it was made, as far as the file system tells: an inode alone is used again at once. 0: none. */
int64_t bus_file_number(const char *path);
/* Makes the name that `path` has in its directory outlast a loss of power. BUS_IO, BUS_INVALID (too long). */
bus_status bus_file_sync_name(const char *path, bus_error *err);

#endif
