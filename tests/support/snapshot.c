/* SPDX-License-Identifier: MIT
 * Snapshots of a shard's files, in memory. */
#include "support/snapshot.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct kept_file {
    struct kept_file *next;
    char path[1024];
    size_t len;
    char bytes[];
} kept_file;

struct snapshot {
    char directory[700];
    int shard;
    kept_file *files;
};

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* Is it one of the shard's files that outlive a process? */
static bool lasting(const char *name, int shard)
{
    char prefix[32];
    int n = snprintf(prefix, sizeof prefix, "%d.", shard);
    return strncmp(name, prefix, (size_t)n) == 0 && !ends_with(name, ".lock") && !ends_with(name, ".want") &&
           !ends_with(name, "-shm");
}

static kept_file *keep(const char *path)
{
    FILE *file = fopen(path, "rb");
    kept_file *kept = NULL;
    if (file && fseek(file, 0, SEEK_END) == 0) {
        long len = ftell(file);
        rewind(file);
        kept = len >= 0 ? malloc(sizeof *kept + (size_t)len) : NULL;
        if (kept) {
            kept->len = fread(kept->bytes, 1, (size_t)len, file);
            snprintf(kept->path, sizeof kept->path, "%s", path);
        }
    }
    if (file)
        fclose(file);
    return kept;
}

snapshot *snapshot_take(const char *directory, int shard)
{
    snapshot *taken = calloc(1, sizeof *taken);
    DIR *dir = opendir(directory);
    if (!taken || !dir) {
        free(taken);
        if (dir)
            closedir(dir);
        return NULL;
    }
    snprintf(taken->directory, sizeof taken->directory, "%s", directory);
    taken->shard = shard;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        char path[1024];
        if (!lasting(entry->d_name, shard))
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        kept_file *kept = keep(path);
        if (kept) {
            kept->next = taken->files;
            taken->files = kept;
        }
    }
    closedir(dir);
    return taken;
}

bool snapshot_restore(snapshot *taken)
{
    bool ok = true;
    char path[1024];
    static const char *const gone[] = { "db-shm", "db-wal", "db" };
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%d.%s", taken->directory, taken->shard, gone[i]);
        unlink(path);
    }
    for (kept_file *kept = taken->files, *next; kept; kept = next) {
        next = kept->next;
        FILE *file = fopen(kept->path, "wb");
        ok = file && fwrite(kept->bytes, 1, kept->len, file) == kept->len && ok;
        ok = file && fclose(file) == 0 && ok;
        free(kept);
    }
    free(taken);
    return ok;
}

void snapshot_remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        char inner[1024];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (unlink(inner) != 0)
            snapshot_remove_tree(inner);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}
