/* SPDX-License-Identifier: MIT
 * Lines of a program's own, with fields, limited by their event as those of the library are. */
#include "base/log_line.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/throttle.h"
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define WORD_MOST 40
#define FIELDS_MOST 32
#define TEXT_MOST 1000
#define LIMITS_MOST 256 /* events with a limit of their own; those above share one */
#define NAME_MOST 80

static _Atomic(bui_log_where_fn) where_now;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of what follows */
static char program[NAME_MOST] = "program";
static struct limit {
    char event[WORD_MOST + 1];
    bui_throttle throttle;
} limits[LIMITS_MOST + 1];
static size_t limit_count;

void bui_log_where_by(bui_log_where_fn fn)
{
    atomic_store(&where_now, fn);
}

void bui_log_program(const char *name)
{
    pthread_mutex_lock(&lock);
    snprintf(program, sizeof program, "%s", name);
    pthread_mutex_unlock(&lock);
}

/* A word that can be searched for: other characters than a-z, 0-9 and '_' become '_'. */
static void clean_word(const char *word, char out[WORD_MOST + 2])
{
    size_t n = 0;
    for (; word && word[n] && n < WORD_MOST; n++) {
        char c = word[n];
        out[n] = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ? c : '_';
    }
    out[n] = 0;
    if (!n)
        strcpy(out, "unnamed");
}

/* The members that each line has. */
static bool taken(const char *name)
{
    static const char *const own[] = { "ts", "level", "where", "event", "msg" };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strcmp(own[i], name) == 0)
            return true;
    return false;
}

static bool may_write(const char *event, int64_t now_us, uint64_t *hidden)
{
    pthread_mutex_lock(&lock);
    size_t i = 0;
    while (i < limit_count && strcmp(limits[i].event, event) != 0)
        i++;
    if (i == limit_count && limit_count < LIMITS_MOST) {
        snprintf(limits[i].event, sizeof limits[i].event, "%s", event);
        limit_count++;
    }
    bool may = bui_throttle_pass(&limits[i].throttle, now_us, hidden);
    pthread_mutex_unlock(&lock);
    return may;
}

static void add_real(bui_buf *line, double value)
{
    if (isfinite(value))
        bui_buf_real(line, 17, value);
    else
        bui_buf_text(line, "null"); /* JSON has no word for it */
}

static void add_field(bui_buf *line, const bus_log_field *field)
{
    char name[WORD_MOST + 2];
    clean_word(field->name, name);
    bui_buf_printf(line, ",\"%s%s\":", name, taken(name) ? "_" : "");
    switch (field->kind) {
    case BUS_LOG_INT: bui_buf_printf(line, "%" PRId64, field->number); break;
    case BUS_LOG_REAL: add_real(line, field->real); break;
    case BUS_LOG_BOOL: bui_buf_text(line, field->number ? "true" : "false"); break;
    case BUS_LOG_TEXT:
    default:
        if (field->text.at)
            bui_buf_json(line, field->text.at, bui_text_cut(field->text.at, field->text.len, TEXT_MOST));
        else
            bui_buf_text(line, "null");
        break;
    }
}

void bui_log_line_at(int64_t now_us, bus_level level, const char *event, const char *msg, const bus_log_field *fields,
                     size_t count, const bus_log_options *options)
{
    char word[WORD_MOST + 2], name[NAME_MOST], more[BUI_THROTTLE_TEXT] = "";
    uint64_t hidden = 0;
    if (!bui_log_wants(level) || (int)level < BUS_DEBUG || level > BUS_ERROR)
        return;
    clean_word(event, word);
    if (level != BUS_DEBUG && !(options && options->every) && !may_write(word, now_us, &hidden))
        return;
    bui_log_where_fn fn = atomic_load(&where_now);
    const char *where = options ? options->where : NULL;
    if (!where && fn)
        where = fn();
    if (!where) {
        pthread_mutex_lock(&lock);
        memcpy(name, program, sizeof name);
        pthread_mutex_unlock(&lock);
        where = name;
    }
    bui_buf line;
    bui_log_begin(&line, level, where, word, "%s%s", msg ? msg : "", bui_throttle_text(hidden, more));
    for (size_t i = 0; i < count && i < FIELDS_MOST; i++)
        add_field(&line, &fields[i]);
    if (count > FIELDS_MOST)
        bui_buf_printf(&line, ",\"fields_left_out\":%zu", count - FIELDS_MOST);
    if (line.over) { /* control characters take six bytes each */
        bui_buf_free(&line);
        bui_log_begin(&line, level, where, word, "%s%s", msg ? msg : "", more);
        bui_buf_printf(&line, ",\"fields_left_out\":%zu", count);
    }
    bui_log_end(&line, level);
}

void bus_log_line(bus_level level, const char *event, const char *msg, const bus_log_field *fields, size_t count,
                  const bus_log_options *options)
{
    const bui_clock *clock = bui_clock_real();
    bui_log_line_at(clock->mono_us(clock), level, event, msg, fields, count, options);
}
