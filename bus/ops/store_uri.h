/* SPDX-License-Identifier: MIT
 * Store URI: how a program that is not its service opens a store to read it. */
#ifndef BUI_OPS_STORE_URI_H
#define BUI_OPS_STORE_URI_H

/* For ATTACH, on a connection with SQLITE_OPEN_URI: read-only. malloc'd: free() it. NULL: no memory. */
char *bui_store_uri(const char *path);

#endif
