/* SPDX-License-Identifier: MIT
 * Descriptors: how many files and connections the process may have open, and how many it needs. */
#ifndef BUI_BASE_DESCRIPTORS_H
#define BUI_BASE_DESCRIPTORS_H

#include <stdint.h>

/* Raises the soft limit to the hard one; how many it is now. */
int64_t bui_descriptors_raise(void);
/* What a process with all of so many shards needs: about 5 each (its files, its locks), and what is there once: connections and the producers that shards share. */
int64_t bui_descriptors_need(int shards);

#endif
