/* SPDX-License-Identifier: MIT
 * Output: cells are kept as text and JSON at once, laid out when all are known. */
#include "cli/output.h"
#include "base/clock.h"
#include "cli/width.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct cell {
    size_t text, text_len, json, json_len; /* in the pools */
    size_t width;                          /* columns on a terminal */
    cli_colour colour;
} cell;

struct cli_table {
    const cli_column *columns;
    size_t column_count;
    bui_buf cells; /* of cell */
    bui_buf pool;  /* their bytes */
};

cli_table *cli_table_new(const cli_column *columns, size_t count)
{
    cli_table *table = calloc(1, sizeof *table);
    if (!table)
        return NULL;
    table->columns = columns;
    table->column_count = count;
    bui_buf_init(&table->cells, 0);
    bui_buf_init(&table->pool, 0);
    return table;
}

void cli_table_free(cli_table *table)
{
    if (!table)
        return;
    bui_buf_free(&table->cells);
    bui_buf_free(&table->pool);
    free(table);
}

static size_t cell_count(const cli_table *table)
{
    return table->cells.len / sizeof(cell);
}

static cell *cell_at(const cli_table *table, size_t i)
{
    return (cell *)(void *)table->cells.data + i;
}

size_t cli_table_rows(const cli_table *table)
{
    return cell_count(table) / table->column_count;
}

void cli_clean(bui_buf *out, const void *bytes, size_t len)
{
    bui_buf_clean(out, bytes, len, false);
}

static void add(cli_table *table, const void *text, size_t text_len, const char *json, size_t json_len)
{
    cell c = { .text = table->pool.len };
    cli_clean(&table->pool, text, text_len);
    c.text_len = table->pool.len - c.text;
    c.json = table->pool.len;
    if (json)
        bui_buf_add(&table->pool, json, json_len);
    else
        bui_buf_json(&table->pool, text, text_len);
    c.json_len = table->pool.len - c.json;
    if (bui_buf_ok(&table->pool))
        c.width = cli_width(table->pool.data + c.text, c.text_len);
    bui_buf_add(&table->cells, &c, sizeof c);
}

void cli_cell_bytes(cli_table *table, const void *bytes, size_t len)
{
    if (bytes)
        add(table, bytes, len, NULL, 0);
    else
        add(table, "-", 1, "null", 4);
}

void cli_cell(cli_table *table, const char *text)
{
    cli_cell_bytes(table, text, text ? strlen(text) : 0);
}

void cli_cell_both(cli_table *table, const char *text, const char *json)
{
    add(table, text, strlen(text), json, strlen(json));
}

void cli_cellf(cli_table *table, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cli_cell(table, text);
}

void cli_cell_int(cli_table *table, int64_t value)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%" PRId64, value);
    add(table, text, (size_t)len, text, (size_t)len);
}

void cli_cell_bool(cli_table *table, bool value)
{
    cli_cell_both(table, value ? "yes" : "no", value ? "true" : "false");
}

void cli_cell_time(cli_table *table, int64_t wall_ms)
{
    char text[32];
    cli_cell(table, wall_ms > 0 ? bui_time_text(wall_ms, text) : NULL);
}

void cli_paint(cli_table *table, cli_colour colour)
{
    if (bui_buf_ok(&table->cells) && cell_count(table))
        cell_at(table, cell_count(table) - 1)->colour = colour;
}

const char *cli_colour_start(cli_colour colour, bool on)
{
    static const char *const code[] = { "", "\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[33m" };
    return on && colour < sizeof code / sizeof code[0] ? code[colour] : "";
}

const char *cli_colour_end(bool on)
{
    return on ? "\033[0m" : "";
}

/* ---- lines */

#define COLUMNS_MOST 64
#define CUT_LEAST 8 /* columns that a cell keeps */
#define INDENT 4    /* of what did not fit a line */

typedef struct layout {
    size_t width[COLUMNS_MOST]; /* of the columns */
    bool below[COLUMNS_MOST];   /* a further line of the row begins with it */
    bool last[COLUMNS_MOST];    /* a line ends with it */
} layout;

static void pad(bui_buf *out, size_t n)
{
    while (n--)
        bui_buf_byte(out, ' ');
}

/* As wide as their cells. */
static void measure(const cli_table *table, layout *l)
{
    for (size_t c = 0; c < table->column_count; c++) {
        if (!table->columns[c].title)
            continue;
        l->width[c] = strlen(table->columns[c].title);
        for (size_t r = 0; r < cli_table_rows(table); r++) {
            size_t width = cell_at(table, r * table->column_count + c)->width;
            l->width[c] = width > l->width[c] ? width : l->width[c];
        }
    }
}

/* Takes from the widest column that may be cut until the line fits. */
static void narrow(const cli_table *table, size_t columns, layout *l)
{
    size_t total = 0;
    for (size_t c = 0; c < table->column_count; c++)
        total += table->columns[c].title ? l->width[c] + (total ? 2 : 0) : 0;
    while (total > columns) {
        size_t widest = COLUMNS_MOST;
        for (size_t c = 0; c < table->column_count; c++) {
            size_t least = table->columns[c].title ? strlen(table->columns[c].title) : 0;
            bool may = table->columns[c].title && table->columns[c].kind == CLI_LONG &&
                       l->width[c] > (least > CUT_LEAST ? least : CUT_LEAST);
            if (may && (widest == COLUMNS_MOST || l->width[c] > l->width[widest]))
                widest = c;
        }
        if (widest == COLUMNS_MOST)
            return;
        l->width[widest]--;
        total--;
    }
}

/* Shares the columns out to lines. */
static void fold(const cli_table *table, size_t columns, layout *l)
{
    size_t at = 0, before = COLUMNS_MOST;
    for (size_t c = 0; c < table->column_count; c++) {
        if (!table->columns[c].title)
            continue;
        size_t end = at + (at ? 2 : 0) + l->width[c];
        if (columns && before != COLUMNS_MOST && end > columns) {
            l->below[c] = l->last[before] = true;
            end = INDENT + l->width[c];
        }
        at = end;
        before = c;
    }
    if (before != COLUMNS_MOST)
        l->last[before] = true;
}

/* What of a cell is shown, with what it takes in all. */
static void add_cell(bui_buf *out, const uint8_t *text, size_t len, size_t *width, size_t most)
{
    if (*width <= most) {
        bui_buf_add(out, text, len);
        return;
    }
    bui_buf_add(out, text, cli_fits(text, len, most - 1, width));
    bui_buf_text(out, "\xE2\x80\xA6"); /* … */
    ++*width;
}

/* One cell in its column. */
static void lay(bui_buf *out, const uint8_t *text, size_t len, size_t width, const layout *l, size_t c, bool right,
                cli_colour colour)
{
    bool paint = colour != CLI_PLAIN;
    if (l->below[c])
        pad(out, INDENT);
    if (right && l->width[c] > width)
        pad(out, l->width[c] - width);
    bui_buf_text(out, cli_colour_start(colour, paint));
    add_cell(out, text, len, &width, l->width[c]);
    bui_buf_text(out, cli_colour_end(paint));
    if (!l->last[c]) {
        pad(out, right ? 2 : l->width[c] - width + 2);
        return;
    }
    /* An empty last cell leaves the padding of the one before it: lines end where their text ends. */
    while (bui_buf_ok(out) && out->len && out->data[out->len - 1] == ' ')
        out->len--;
    bui_buf_byte(out, '\n');
}

void cli_table_text(const cli_table *table, bool colour, size_t columns, bui_buf *out)
{
    size_t rows = cli_table_rows(table);
    layout l = { 0 };

    if (!bui_buf_ok(&table->cells) || !bui_buf_ok(&table->pool) || table->column_count > COLUMNS_MOST) {
        out->failed = true;
        return;
    }
    if (!rows)
        return;
    measure(table, &l);
    if (columns)
        narrow(table, columns, &l);
    fold(table, columns, &l);
    for (size_t c = 0; c < table->column_count; c++) {
        const cli_column *column = &table->columns[c];
        if (column->title)
            lay(out, (const uint8_t *)column->title, strlen(column->title), strlen(column->title), &l, c,
                column->kind == CLI_NUMBER, colour ? CLI_BOLD : CLI_PLAIN);
    }
    for (size_t i = 0; i < rows * table->column_count; i++) {
        size_t c = i % table->column_count;
        const cell *at = cell_at(table, i);
        if (table->columns[c].title)
            lay(out, table->pool.data + at->text, at->text_len, at->width, &l, c, table->columns[c].kind == CLI_NUMBER,
                colour ? at->colour : CLI_PLAIN);
    }
}

void cli_table_json(const cli_table *table, bui_buf *out)
{
    size_t rows = cli_table_rows(table), columns = table->column_count;
    if (!bui_buf_ok(&table->cells) || !bui_buf_ok(&table->pool)) {
        out->failed = true;
        return;
    }
    bui_buf_byte(out, '[');
    for (size_t r = 0; r < rows; r++) {
        const char *between = "";
        bui_buf_text(out, r ? ",\n {" : "{");
        for (size_t c = 0; c < columns; c++) {
            const cell *at = cell_at(table, r * columns + c);
            if (!table->columns[c].key)
                continue;
            bui_buf_printf(out, "%s\"%s\":", between, table->columns[c].key);
            bui_buf_add(out, table->pool.data + at->json, at->json_len);
            between = ",";
        }
        bui_buf_byte(out, '}');
    }
    bui_buf_byte(out, ']');
}

char *cli_age(int64_t ms, char *out)
{
    int64_t s = ms / 1000;
    if (ms < 0)
        snprintf(out, 32, "-");
    else if (ms < 10000)
        snprintf(out, 32, "%" PRId64 ".%d s", s, (int)(ms % 1000 / 100));
    else if (s < 60)
        snprintf(out, 32, "%" PRId64 " s", s);
    else if (s < 3600)
        snprintf(out, 32, "%" PRId64 " min %d s", s / 60, (int)(s % 60));
    else if (s < 86400)
        snprintf(out, 32, "%" PRId64 " h %d min", s / 3600, (int)(s % 3600 / 60));
    else
        snprintf(out, 32, "%" PRId64 " d %d h", s / 86400, (int)(s % 86400 / 3600));
    return out;
}
