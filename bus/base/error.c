/* SPDX-License-Identifier: MIT
 * Error construction: one line of bounded, valid UTF-8 and the flags that follow from the status. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {
    [BUS_OK] = "BUS_OK",           [BUS_INVALID] = "BUS_INVALID",
    [BUS_CONFIG] = "BUS_CONFIG",   [BUS_NOMEM] = "BUS_NOMEM",
    [BUS_IO] = "BUS_IO",           [BUS_FULL] = "BUS_FULL",
    [BUS_STORE] = "BUS_STORE",     [BUS_CORRUPT] = "BUS_CORRUPT",
    [BUS_REFUSED] = "BUS_REFUSED", [BUS_LOCKED] = "BUS_LOCKED",
    [BUS_BROKER] = "BUS_BROKER",   [BUS_DENIED] = "BUS_DENIED",
    [BUS_MISSING] = "BUS_MISSING", [BUS_EXISTS] = "BUS_EXISTS",
    [BUS_TIMEOUT] = "BUS_TIMEOUT", [BUS_TOO_BIG] = "BUS_TOO_BIG",
    [BUS_SCHEMA] = "BUS_SCHEMA",   [BUS_ELSEWHERE] = "BUS_ELSEWHERE",
    [BUS_CLOSED] = "BUS_CLOSED",   [BUS_CANCELLED] = "BUS_CANCELLED",
    [BUS_BUG] = "BUS_BUG",
};

const char *bus_status_name(bus_status status)
{
    size_t i = (size_t)status;
    return i < sizeof names / sizeof *names ? names[i] : "BUS_UNKNOWN";
}

/* Makes what vsnprintf left a line of UTF-8: control characters and stray bytes (the texts may quote a broker or a file)
 * become spaces, and a character cut in half at the end goes. */
static void tidy(char *text)
{
    unsigned char *p = (unsigned char *)text;
    while (*p) {
        size_t n = *p < 0x80 ? 1 : *p >= 0xC2 && *p < 0xE0 ? 2 : *p >= 0xE0 && *p < 0xF0 ? 3 : *p >= 0xF0 && *p < 0xF5 ? 4 : 0;
        size_t have = 1;
        while (have < n && (p[have] & 0xC0) == 0x80)
            have++;
        if (n == 0 || (have < n && p[have] != 0) || *p < 0x20 || *p == 0x7F) {
            *p++ = ' ';
        } else if (have < n) {
            *p = 0;
        } else {
            p += n;
        }
    }
}

static bool may_succeed_later(bus_status status)
{
    return status == BUS_FULL || status == BUS_LOCKED || status == BUS_BROKER || status == BUS_TIMEOUT || status == BUS_NOMEM;
}

bus_status bui_fail(bus_error *err, bus_status status, const char *format, ...)
{
    if (err) {
        /* Formatted aside: an argument may be err->text itself. */
        char text[sizeof err->text];
        va_list args;
        va_start(args, format);
        if (vsnprintf(text, sizeof text, format, args) < 0)
            text[0] = 0;
        va_end(args);
        tidy(text);
        *err = (bus_error){ .status = status, .retriable = may_succeed_later(status) };
        memcpy(err->text, text, sizeof text);
    }
    return status;
}

bus_status bui_fail_in(bus_error *err, const char *prefix, ...)
{
    if (!err)
        return BUS_BUG;
    char text[sizeof err->text];
    va_list args;
    va_start(args, prefix);
    int n = vsnprintf(text, sizeof text, prefix, args);
    va_end(args);
    size_t at = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    (void)snprintf(text + at, sizeof text - at, ": %s", err->text);
    tidy(text);
    memcpy(err->text, text, sizeof text);
    return err->status;
}

bus_status bui_fail_nomem(bus_error *err)
{
    return bui_fail(err, BUS_NOMEM, "out of memory");
}
