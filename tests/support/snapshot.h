/* SPDX-License-Identifier: MIT
 * Snapshot: what a process that dies leaves on the disk of its host: a shard's files as they are at that moment, put back after
 * the object that stands for the process has been closed. */
#ifndef TESTS_SUPPORT_SNAPSHOT_H
#define TESTS_SUPPORT_SNAPSHOT_H

#include <stdbool.h>

typedef struct snapshot snapshot;

/* Reads every file <directory>/<shard>.* but locks and shared memory, which die with a process. NULL: it could not. */
snapshot *snapshot_take(const char *directory, int shard);
/* Makes the shard's files what they were, with the store closed, and frees the snapshot. False: it could not. */
bool snapshot_restore(snapshot *taken);
/* A test's directory with all that is in it. */
void snapshot_remove_tree(const char *path);

#endif
