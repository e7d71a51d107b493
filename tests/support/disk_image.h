/* SPDX-License-Identifier: MIT
 * Disk image: the bytes of one file, cached and on the medium, and what was written in between. */
#ifndef TESTS_SUPPORT_DISK_IMAGE_H
#define TESTS_SUPPORT_DISK_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct disk_bytes {
    uint8_t *at;
    int64_t len, cap;
} disk_bytes;

typedef struct disk_image {
    disk_bytes cache;  /* what reads see */
    disk_bytes medium; /* what a power loss leaves */
    disk_bytes log;    /* what was done to the one and not yet to the other, in order */
} disk_image;

/* splitmix64 */
uint64_t disk_random(uint64_t *state);

/* False: no memory, nothing was done. */
bool disk_image_write(disk_image *image, int64_t offset, const void *bytes, int64_t len);
bool disk_image_truncate(disk_image *image, int64_t len);
bool disk_image_sync(disk_image *image);
/* A sync that fails. */
bool disk_image_sync_in_vain(disk_image *image, uint64_t *random);
/* The power fails. `garbage`: a sector that was being written may hold anything. */
bool disk_image_lose(disk_image *image, int sector, bool garbage, uint64_t *random);
void disk_image_free(disk_image *image);

#endif
