/* SPDX-License-Identifier: MIT
 * Copies of files on the simulated disk, taken and put back by people: all at one moment, as a snapshot of the file system is. */
#include "support/disk_internal.h"

#include <stdlib.h>
#include <string.h>

#define FILES 8

struct disk_copy {
    disk *disk;
    char prefix[DISK_PATH];
    size_t count;
    struct {
        disk_name *name;
        disk_inode *inode;
    } file[FILES]; /* no inode: there is no such file */
};

static disk_inode *copy_of(const disk_name *name)
{
    const disk_bytes *cache = &name->now->image.cache;
    disk_inode *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    made->directory = name->directory;
    if (!disk_image_write(&made->image, 0, cache->at, cache->len) || !disk_image_sync(&made->image)) {
        disk_image_free(&made->image);
        free(made);
        return NULL;
    }
    return made;
}

disk_copy *disk_copy_take(disk *d, const char *prefix)
{
    disk_copy *copy = calloc(1, sizeof *copy);
    if (!copy || strlen(prefix) >= DISK_PATH) {
        free(copy);
        return NULL;
    }
    copy->disk = d;
    strcpy(copy->prefix, prefix);
    for (disk_name *name = d->names; name; name = name->next) {
        disk_inode *inode = NULL;
        if (strncmp(name->path, prefix, strlen(prefix)) != 0 || !name->now)
            continue;
        if (copy->count == FILES || !(inode = copy_of(name))) {
            disk_copy_free(copy);
            return NULL;
        }
        copy->file[copy->count].name = name;
        disk_point(&copy->file[copy->count++].inode, inode);
    }
    return copy;
}

static bool is_in(const disk_copy *copy, const disk_name *name)
{
    for (size_t i = 0; i < copy->count; i++)
        if (copy->file[i].name == name)
            return true;
    return false;
}

void disk_copy_swap(disk_copy *copy)
{
    for (disk_name *name = copy->disk->names; name; name = name->next)
        if (strncmp(name->path, copy->prefix, strlen(copy->prefix)) == 0 && name->now && !is_in(copy, name) &&
            copy->count < FILES)
            copy->file[copy->count++].name = name;
    for (size_t i = 0; i < copy->count; i++) {
        disk_inode *there = NULL;
        disk_point(&there, copy->file[i].name->now);
        disk_point(&copy->file[i].name->now, copy->file[i].inode);
        disk_point(&copy->file[i].name->kept, copy->file[i].inode);
        disk_point(&copy->file[i].inode, there);
        disk_point(&there, NULL);
    }
}

void disk_copy_free(disk_copy *copy)
{
    for (size_t i = 0; copy && i < copy->count; i++)
        disk_point(&copy->file[i].inode, NULL);
    free(copy);
}
