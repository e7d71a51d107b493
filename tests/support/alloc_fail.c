/* SPDX-License-Identifier: MIT
 * The linker sends the project's malloc, calloc and realloc here (--wrap). */
#include "support/alloc_fail.h"

#include <stdatomic.h>
#include <stddef.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *old, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *old, size_t n);

/* Set for one thread or for all; left counts down to the one that fails. */
static _Thread_local long own_left;
static _Thread_local bool own_all, own_hit;
static atomic_long any_left;
static atomic_bool any_all, any_hit;

static bool fails(void)
{
    if (own_left > 0 && --own_left == 0) {
        own_left = own_all ? 1 : 0;
        own_hit = true;
        return true;
    }
    if (atomic_load(&any_left) > 0) {
        long before = atomic_fetch_sub(&any_left, 1);
        if (before == 1 || (before < 1 && atomic_load(&any_all))) {
            if (atomic_load(&any_all))
                atomic_store(&any_left, 1);
            atomic_store(&any_hit, true);
            return true;
        }
    }
    return false;
}

void alloc_fail_at(long n, bool all)
{
    own_hit = false;
    own_all = all;
    own_left = n;
}

void alloc_fail_everywhere(long n, bool all)
{
    atomic_store(&any_hit, false);
    atomic_store(&any_all, all);
    atomic_store(&any_left, n);
}

bool alloc_fail_off(void)
{
    own_left = 0;
    atomic_store(&any_left, 0);
    bool hit = own_hit || atomic_load(&any_hit);
    own_hit = false;
    atomic_store(&any_hit, false);
    return hit;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
    return fails() ? NULL : __real_calloc(count, n);
}

void *__wrap_realloc(void *old, size_t n)
{
    return fails() ? NULL : __real_realloc(old, n);
}
