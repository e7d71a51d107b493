/* SPDX-License-Identifier: MIT
 * Evolve: reads bodies by plans for a test that compares with another implementation. Three lines in: the writer's schema, the
 * reader's, the body in hex; one line out: the reader's body in hex, or "refused: " and why. */
#include "codec/body.h"
#include "codec/plan.h"
#include "support/shapes.c" /* services do not link the tests' support */

#include <stdio.h>
#include <stdlib.h>

static char lines[3][1 << 20];

static size_t from_hex(char *text)
{
    size_t n = 0;
    for (char *at = text; at[0] && at[1]; at += 2) {
        const char digits[] = { at[0], at[1], 0 };
        text[n++] = (char)strtoul(digits, NULL, 16);
    }
    return n;
}

static bus_status evolve(bui_buf *out, bus_error *err)
{
    bui_schema *writer = NULL, *reader = NULL;
    bui_plan *plan = NULL;
    bui_arena arena;
    bui_arena_init(&arena, 0);
    size_t len = from_hex(lines[2]);
    bus_status status = bui_schema_parse(lines[0], strlen(lines[0]), &writer, err);
    if (status == BUS_OK)
        status = bui_schema_parse(lines[1], strlen(lines[1]), &reader, err);
    const bus_shape *shape = status == BUS_OK ? test_shape_of(bui_schema_root(reader), &arena) : NULL;
    void *body = shape ? bui_arena_alloc(&arena, shape->size) : NULL;
    if (status == BUS_OK)
        status = bui_plan_between(writer, reader, shape, &plan, err);
    if (status == BUS_OK)
        status = bui_plan_decode(plan, lines[2], len, 0, &arena, body, err);
    if (status == BUS_OK)
        status = bui_body_encode(shape, body, out, err);
    bui_plan_free(plan);
    bui_schema_free(writer);
    bui_schema_free(reader);
    bui_arena_free(&arena);
    return status;
}

int main(void)
{
    bui_buf out;
    bui_buf_init(&out, 0);
    for (int i = 0; fgets(lines[i], sizeof lines[i], stdin); i = (i + 1) % 3) {
        bus_error err = { .status = BUS_OK };
        lines[i][strcspn(lines[i], "\n")] = '\0';
        if (i < 2)
            continue;
        bui_buf_clear(&out);
        if (evolve(&out, &err) != BUS_OK)
            printf("refused: %s", err.text);
        for (size_t at = 0; err.status == BUS_OK && at < out.len; at++)
            printf("%02x", out.data[at]);
        putchar('\n');
    }
    bui_buf_free(&out);
    return 0;
}
