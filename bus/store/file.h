/* SPDX-License-Identifier: MIT
 * Files: what the store and its lock need of the file system before SQLite comes in. */
#ifndef BUI_STORE_FILE_H
#define BUI_STORE_FILE_H

#include <bus/error.h>
#include <stdint.h>

/* Creates the missing directories of the file `path`, 0700. BUS_IO, BUS_FULL, BUS_NOMEM. */
bus_status bui_file_parents(const char *path, bus_error *err);
/* Refuses (BUS_REFUSED) the directory of `path` if other users of the host can create files there. */
bus_status bui_file_private(const char *path, bus_error *err);
/* Makes an empty file, 0600, if there is none. Never opens one that exists: closing it would drop SQLite's locks. */
bus_status bui_file_touch(const char *path, bus_error *err);
/* Which file is there, by its inode and when it was made, as far as the file system knows: an inode alone is used again at
 * once. 0: none. */
int64_t bui_file_number(const char *path);
/* Syncs the file: what it holds survives a loss of power. BUS_IO. */
bus_status bui_file_sync(const char *path, bus_error *err);
/* Syncs the directory of `path`, so that the name survives a loss of power. BUS_IO, BUS_INVALID (too long). */
bus_status bui_file_sync_name(const char *path, bus_error *err);

#endif
