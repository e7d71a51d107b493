/* SPDX-License-Identifier: MIT
 * Fault: what is wrong with a value and where. */
#include "codec/fault.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CUT "..."

bool bui_fault_set(bui_fault *fault, bus_status status, const char *format, ...)
{
    if (fault->status != BUS_OK)
        return false;
    fault->status = status;
    fault->start = sizeof fault->path - 1;
    fault->path[fault->start] = '\0';
    va_list args;
    va_start(args, format);
    vsnprintf(fault->text, sizeof fault->text, format, args);
    va_end(args);
    return false;
}

bool bui_fault_nomem(bui_fault *fault)
{
    return bui_fault_set(fault, BUS_NOMEM, "out of memory");
}

static bool prepend(bui_fault *fault, const char *step, size_t len)
{
    const size_t cut = sizeof CUT - 1;
    if (fault->start < len + cut) {
        if (fault->start >= cut && strncmp(fault->path + fault->start, CUT, cut) != 0) {
            fault->start -= cut;
            memcpy(fault->path + fault->start, CUT, cut);
        }
        return false;
    }
    /* Once cut, further steps would leave a gap in the path. */
    if (strncmp(fault->path + fault->start, CUT, cut) == 0)
        return false;
    fault->start -= len;
    memcpy(fault->path + fault->start, step, len);
    return false;
}

bool bui_fault_field(bui_fault *fault, const char *name)
{
    char step[120];
    int n = snprintf(step, sizeof step, ".%s", name);
    return prepend(fault, step, n < (int)sizeof step ? (size_t)n : sizeof step - 1);
}

bool bui_fault_index(bui_fault *fault, uint64_t index)
{
    char step[24];
    int n = snprintf(step, sizeof step, "[%" PRIu64 "]", index);
    return prepend(fault, step, (size_t)n);
}

bus_status bui_fault_report(const bui_fault *fault, const char *root, bus_error *err)
{
    if (fault->status == BUS_NOMEM)
        return bui_fail_nomem(err);
    return bui_fail(err, fault->status, "%s%s: %s", root, fault->path + fault->start, fault->text);
}
