/* SPDX-License-Identifier: MIT
 * Seeded ids: random ids and tokens of the library drawn from a seed, so that what they are sorted by is the same each time.
 * This thread's only. */
#ifndef TESTS_SUPPORT_SEEDED_H
#define TESTS_SUPPORT_SEEDED_H

#include <stdint.h>

void seeded_ids(uint64_t seed);
/* By chance again. */
void seeded_ids_off(void);

#endif
