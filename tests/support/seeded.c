/* SPDX-License-Identifier: MIT
 * The linker sends the library's random ids here (--wrap). */
#include "support/seeded.h"

#include "support/disk_image.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void __real_bui_uuid_random(unsigned char out[16]);
void __real_bui_token_random(char out[17]);
void __wrap_bui_uuid_random(unsigned char out[16]);
void __wrap_bui_token_random(char out[17]);

static _Thread_local bool seeded;
static _Thread_local uint64_t state;

void seeded_ids(uint64_t seed)
{
    seeded = true;
    state = seed;
}

void seeded_ids_off(void)
{
    seeded = false;
}

void __wrap_bui_uuid_random(unsigned char out[16])
{
    if (!seeded) {
        __real_bui_uuid_random(out);
        return;
    }
    for (int i = 0; i < 2; i++) {
        uint64_t half = disk_random(&state);
        memcpy(out + 8 * i, &half, sizeof half);
    }
    out[6] = (unsigned char)((out[6] & 0x0F) | 0x40); /* version 4 */
    out[8] = (unsigned char)((out[8] & 0x3F) | 0x80); /* variant of RFC 9562 */
}

void __wrap_bui_token_random(char out[17])
{
    if (seeded)
        snprintf(out, 17, "%016llx", (unsigned long long)disk_random(&state));
    else
        __real_bui_token_random(out);
}
