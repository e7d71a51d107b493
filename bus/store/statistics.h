/* SPDX-License-Identifier: MIT
 * Statistics: what SQLite counts of its memory for the whole process. */
#ifndef BUI_STORE_STATISTICS_H
#define BUI_STORE_STATISTICS_H

/* Turns them off, unless the program has initialised SQLite before. Thread: not beside another's first use of SQLite. */
void bui_statistics_off(void);

#endif
