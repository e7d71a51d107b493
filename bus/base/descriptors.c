/* SPDX-License-Identifier: MIT
 * Descriptors: see the header. */
#include "base/descriptors.h"

#include <sys/resource.h>

#define EACH 6
#define ONCE 100

int64_t bui_descriptors_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return INT64_MAX;
    struct rlimit raised = { limit.rlim_max, limit.rlim_max };
    if (limit.rlim_cur < limit.rlim_max && setrlimit(RLIMIT_NOFILE, &raised) == 0)
        limit = raised;
    return limit.rlim_cur > (rlim_t)INT64_MAX ? INT64_MAX : (int64_t)limit.rlim_cur; /* RLIM_INFINITY is the largest */
}

int64_t bui_descriptors_need(int shards)
{
    return (int64_t)shards * EACH + ONCE;
}
