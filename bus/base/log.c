/* SPDX-License-Identifier: MIT
 * Log lines as JSON, given to the process's hook. */
#include "base/log.h"

#include "base/clock.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define NOBODY (BUS_ERROR + 1)
#define MESSAGE_MOST 2000
#define LINE_MOST 16384

/* The level is read on every call, without a lock; the pair of function and argument changes together, under one. */
static atomic_int least_level = NOBODY;
static pthread_mutex_t hook_lock = PTHREAD_MUTEX_INITIALIZER;
static bus_log_fn hook_fn;
static void *hook_opaque;

void bus_log_to(bus_level least, bus_log_fn fn, void *opaque)
{
    (void)pthread_mutex_lock(&hook_lock);
    hook_fn = fn;
    hook_opaque = opaque;
    atomic_store(&least_level, fn ? (int)least : NOBODY);
    (void)pthread_mutex_unlock(&hook_lock);
}

bool bui_log_wants(bus_level level)
{
    return (int)level >= atomic_load_explicit(&least_level, memory_order_relaxed);
}

static void hand_over(bus_level level, const char *line, size_t len)
{
    (void)pthread_mutex_lock(&hook_lock);
    bus_log_fn fn = hook_fn;
    void *opaque = hook_opaque;
    (void)pthread_mutex_unlock(&hook_lock);
    if (fn)
        fn(level, line, len, opaque);
}

BUS_PRINTF(5, 0)
static void begin(bui_buf *line, bus_level level, const char *where, const char *event, const char *format, va_list args)
{
    static const char *const levels[] = { "debug", "info", "warn", "error" };
    char message[MESSAGE_MOST], time[32];
    int n = vsnprintf(message, sizeof message, format, args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof message ? (size_t)n : sizeof message - 1;
    bool cut = n >= (int)sizeof message;
    while (cut && len && (message[len - 1] & 0xC0) == 0x80) /* not amid a character */
        len--;
    if (cut && len && (message[len - 1] & 0xC0) == 0xC0)
        len--;

    const bui_clock *clock = bui_clock_real();
    bui_buf_init(line, LINE_MOST);
    bui_buf_printf(line, "{\"ts\":\"%s\",\"level\":\"%s\",\"where\":", bui_time_text(clock->wall_ms(clock), time), levels[level]);
    bui_buf_json(line, where, strlen(where));
    bui_buf_text(line, ",\"event\":");
    bui_buf_json(line, event, strlen(event));
    bui_buf_text(line, ",\"msg\":");
    bui_buf_json(line, message, len);
}

void bui_log_begin(bui_buf *line, bus_level level, const char *where, const char *event, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    begin(line, level, where, event, format, args);
    va_end(args);
}

void bui_log_end(bui_buf *line, bus_level level)
{
    bui_buf_byte(line, '}');
    if (bui_buf_ok(line)) {
        hand_over(level, (const char *)line->data, line->len);
    } else {
        /* Without memory the line is lost, but not that there was one. */
        static const char lost[] =
            "{\"level\":\"error\",\"where\":\"log\",\"event\":\"line_lost\",\"msg\":\"no memory for a log line\"}";
        hand_over(BUS_ERROR, lost, sizeof lost - 1);
    }
    bui_buf_free(line);
}

void bui_log(bus_level level, const char *where, const char *event, const char *format, ...)
{
    if (!bui_log_wants(level) || (int)level < BUS_DEBUG || level > BUS_ERROR)
        return;
    bui_buf line;
    va_list args;
    va_start(args, format);
    begin(&line, level, where, event, format, args);
    va_end(args);
    bui_log_end(&line, level);
}
