/* SPDX-License-Identifier: MIT
 * Output: tables for people, JSON for programs, from the same cells. */
#ifndef BUI_CLI_OUTPUT_H
#define BUI_CLI_OUTPUT_H

#include "base/buf.h"

typedef enum cli_colour { CLI_PLAIN = 0, CLI_BOLD, CLI_DIM, CLI_RED, CLI_GREEN, CLI_YELLOW } cli_colour;

typedef enum cli_kind {
    CLI_TEXT = 0, /* what people copy: ids, times */
    CLI_NUMBER,   /* aligned to the right */
    CLI_LONG      /* names and sentences: cut where the line would be too long */
} cli_kind;

typedef struct cli_column {
    const char *title; /* for people; NULL: the column is in JSON only */
    const char *key;   /* in JSON; NULL: the column is in tables only */
    cli_kind kind;
} cli_column;

/* Cells are added row by row, from left to right. Failure (no memory) is sticky and reported by the two writers. */
typedef struct cli_table cli_table;
cli_table *cli_table_new(const cli_column *columns, size_t count); /* NULL: no memory; columns are borrowed */
void cli_table_free(cli_table *table);
void cli_cell(cli_table *table, const char *text); /* copied; NULL: nothing known, "-" and null */
void cli_cellf(cli_table *table, const char *format, ...) BUS_PRINTF(2, 3);
void cli_cell_bytes(cli_table *table, const void *bytes, size_t len); /* a key: any bytes; bytes NULL: as cli_cell(NULL) */
void cli_cell_int(cli_table *table, int64_t value);
void cli_cell_bool(cli_table *table, bool value);      /* yes and no, true and false */
void cli_cell_time(cli_table *table, int64_t wall_ms); /* RFC 3339; <= 0: nothing known */
/* Two forms: what people see and, already JSON, what programs see. */
void cli_cell_both(cli_table *table, const char *text, const char *json);
void cli_paint(cli_table *table, cli_colour colour); /* the cell added last */
size_t cli_table_rows(const cli_table *table);

/* Appends the table: a header line, then the rows; control characters are shown as '?', so that payloads cannot drive the
 * terminal. A table without rows gives nothing. Lines have at most `columns` columns, 0: as many as they need. What is longer has its
 * cells cut, which end with "…" then; if that does not help, its last columns stand in a line of their own below. */
void cli_table_text(const cli_table *table, bool colour, size_t columns, bui_buf *out);
/* Appends an array of objects. */
void cli_table_json(const cli_table *table, bui_buf *out);

/* "1.2 s", "3 min 20 s", "2 h 5 min", "3 d 4 h" into out[32]; returns out. */
char *cli_age(int64_t ms, char *out);

/* Text with control characters (C0, DEL, C1) replaced by '?'. */
void cli_clean(bui_buf *out, const void *bytes, size_t len);

/* The escape sequence that starts a colour; "" when off. cli_colour_end ends it. */
const char *cli_colour_start(cli_colour colour, bool on);
const char *cli_colour_end(bool on);

#endif
