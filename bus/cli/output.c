/* SPDX-License-Identifier: MIT
 * Output: cells are kept as text and JSON at once, laid out when all are known. */
#include "cli/output.h"
#include "base/clock.h"

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
    bus_buf cells;  /* of cell */
    bus_buf pool;   /* their bytes */
};

cli_table *cli_table_new(const cli_column *columns, size_t count)
{
    cli_table *table = calloc(1, sizeof *table);
    if (!table)
        return NULL;
    table->columns = columns;
    table->column_count = count;
    bus_buf_init(&table->cells, 0);
    bus_buf_init(&table->pool, 0);
    return table;
}

void cli_table_free(cli_table *table)
{
    if (!table)
        return;
    bus_buf_free(&table->cells);
    bus_buf_free(&table->pool);
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

/* Code points, which is what a terminal shows as one column for the scripts that ids, types and topics use. */
static size_t width_of(const uint8_t *text, size_t len)
{
    size_t width = 0;
    for (size_t i = 0; i < len; i++)
        width += (text[i] & 0xC0) != 0x80;
    return width;
}

void cli_clean(bus_buf *out, const void *bytes, size_t len)
{
    bus_buf_clean(out, bytes, len, false);
}

static void add(cli_table *table, const void *text, size_t text_len, const char *json, size_t json_len)
{
    cell c = { .text = table->pool.len };
    cli_clean(&table->pool, text, text_len);
    c.text_len = table->pool.len - c.text;
    c.json = table->pool.len;
    if (json)
        bus_buf_add(&table->pool, json, json_len);
    else
        bus_buf_json(&table->pool, text, text_len);
    c.json_len = table->pool.len - c.json;
    if (bus_buf_ok(&table->pool))
        c.width = width_of(table->pool.data + c.text, c.text_len);
    bus_buf_add(&table->cells, &c, sizeof c);
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
    cli_cell(table, wall_ms > 0 ? bus_time_text(wall_ms, text) : NULL);
}

void cli_paint(cli_table *table, cli_colour colour)
{
    if (bus_buf_ok(&table->cells) && cell_count(table))
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

static void pad(bus_buf *out, size_t n)
{
    while (n--)
        bus_buf_byte(out, ' ');
}

/* One cell in its column. */
static void lay(bus_buf *out, const uint8_t *text, size_t len, size_t width, size_t column_width, bool right, bool last,
                cli_colour colour, bool colours)
{
    bool paint = colours && colour != CLI_PLAIN;
    if (right)
        pad(out, column_width - width);
    bus_buf_text(out, cli_colour_start(colour, paint));
    bus_buf_add(out, text, len);
    bus_buf_text(out, cli_colour_end(paint));
    if (!last) {
        pad(out, right ? 2 : column_width - width + 2);
        return;
    }
    /* An empty last cell leaves the padding of the one before it: lines end where their text ends. */
    while (bus_buf_ok(out) && out->len && out->data[out->len - 1] == ' ')
        out->len--;
    bus_buf_byte(out, '\n');
}

void cli_table_text(const cli_table *table, bool colour, bus_buf *out)
{
    size_t rows = cli_table_rows(table), columns = table->column_count, last = 0;
    size_t width[64] = { 0 };

    if (!bus_buf_ok(&table->cells) || !bus_buf_ok(&table->pool) || columns > 64) {
        out->failed = true;
        return;
    }
    if (!rows)
        return;
    for (size_t c = 0; c < columns; c++) {
        if (!table->columns[c].title)
            continue;
        last = c;
        width[c] = strlen(table->columns[c].title);
        for (size_t r = 0; r < rows; r++) {
            size_t cell_width = cell_at(table, r * columns + c)->width;
            width[c] = cell_width > width[c] ? cell_width : width[c];
        }
    }
    for (size_t c = 0; c < columns; c++) {
        const cli_column *column = &table->columns[c];
        if (column->title)
            lay(out, (const uint8_t *)column->title, strlen(column->title), strlen(column->title), width[c],
                column->right, c == last, CLI_BOLD, colour);
    }
    for (size_t i = 0; i < rows * columns; i++) {
        size_t c = i % columns;
        const cell *at = cell_at(table, i);
        if (table->columns[c].title)
            lay(out, table->pool.data + at->text, at->text_len, at->width, width[c], table->columns[c].right, c == last,
                at->colour, colour);
    }
}

void cli_table_json(const cli_table *table, bus_buf *out)
{
    size_t rows = cli_table_rows(table), columns = table->column_count;
    if (!bus_buf_ok(&table->cells) || !bus_buf_ok(&table->pool)) {
        out->failed = true;
        return;
    }
    bus_buf_byte(out, '[');
    for (size_t r = 0; r < rows; r++) {
        const char *between = "";
        bus_buf_text(out, r ? ",\n {" : "{");
        for (size_t c = 0; c < columns; c++) {
            const cell *at = cell_at(table, r * columns + c);
            if (!table->columns[c].key)
                continue;
            bus_buf_printf(out, "%s\"%s\":", between, table->columns[c].key);
            bus_buf_add(out, table->pool.data + at->json, at->json_len);
            between = ",";
        }
        bus_buf_byte(out, '}');
    }
    bus_buf_byte(out, ']');
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
