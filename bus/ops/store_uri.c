/* SPDX-License-Identifier: MIT
 * Store URI: read-only, with the write-ahead log where there is one. */
#include "ops/store_uri.h"
#include "base/buf.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

/* For SQLite, wherever that keeps its files: tests give it a disk of their own. */
static bool exists(const char *path)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    int yes = 0;
    return vfs && vfs->xAccess(vfs, path, SQLITE_ACCESS_EXISTS, &yes) == SQLITE_OK && yes;
}

/* Percent-encoded, so that '?' and '#' in a directory's name stay part of it. A stopped service leaves its WAL behind with
 * committed rows in it; immutable, which ignores it, is only right where there is none, and then works in a read-only directory. */
char *bui_store_uri(const char *path)
{
    bui_buf uri;
    char wal[4096];
    snprintf(wal, sizeof wal, "%s-wal", path);
    bui_buf_init(&uri, 0);
    bui_buf_text(&uri, "file:");
    for (const char *at = path; *at; at++)
        if (strchr("%?# ", *at))
            bui_buf_printf(&uri, "%%%02X", (unsigned)(unsigned char)*at);
        else
            bui_buf_byte(&uri, (uint8_t)*at);
    bui_buf_text(&uri, exists(wal) ? "?mode=ro" : "?mode=ro&immutable=1");
    return bui_buf_take(&uri);
}
