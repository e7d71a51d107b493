/* SPDX-License-Identifier: MIT
 * Wire: framing, the buffer's limit, and no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/wire.h"
#include "support/alloc_fail.h"
#include <stdlib.h>

typedef struct note {
    bus_string text;
} note;

static const bus_shape string_shape = {
    .kind = BUS_KIND_STRING, .wire = BUS_KIND_STRING, .size = sizeof(bus_string), .least = 1
};
static const bus_field fields[] = { { "text", &string_shape, offsetof(note, text) } };
static const bus_shape shape = { .kind = BUS_KIND_RECORD,
                                 .wire = BUS_KIND_RECORD,
                                 .size = sizeof(note),
                                 .least = 1,
                                 .count = 1,
                                 .name = "t.Note",
                                 .fields = fields };
static const bus_type type = { BUS_TYPE_LAYOUT, "t.Note", "", "", 0x0123456789abcdef, &shape };

static void frames_little_endian(void **state)
{
    (void)state;
    note in = { BUS_STR("hi") };
    bus_error err;
    bui_buf out;
    bui_arena arena;
    const void *body;
    uint64_t fingerprint = 0;
    bui_buf_init(&out, 13);
    bui_arena_init(&arena, 0);
    assert_int_equal(bui_wire_encode(&type, &in, &out, &err), BUS_OK); /* just fits */
    assert_int_equal(out.len, 13);
    assert_memory_equal(out.data, "\xc3\x01\xef\xcd\xab\x89\x67\x45\x23\x01\x04hi", 13);
    assert_true(bui_wire_fingerprint(out.data, out.len, &fingerprint) && fingerprint == type.fingerprint);
    assert_int_equal(bui_wire_decode(&type, out.data, out.len, &arena, &body, &err), BUS_OK);
    assert_true(bus_string_is(((const note *)body)->text, "hi"));
    assert_false(bui_wire_fingerprint(out.data, 9, &fingerprint));
    assert_int_equal(bui_wire_decode(&type, out.data, 11, &arena, &body, &err), BUS_CORRUPT);
    assert_string_equal(err.text, "t.Note.text: at byte 11: a length of 2, and 0 bytes remain");
    bui_buf_free(&out);
    bui_buf_init(&out, 12);
    assert_int_equal(bui_wire_encode(&type, &in, &out, &err), BUS_TOO_BIG);
    assert_int_equal(out.len, 0);
    bui_buf_free(&out);
    bui_arena_free(&arena);
}

static void survives_failing_allocations(void **state)
{
    (void)state;
    note in = { BUS_STR("a text that is longer than the first capacity of a buffer, so that it has to grow again") };
    for (long n = 1;; n++) {
        void *bytes = NULL;
        const void *body = NULL;
        size_t len;
        bus_error err;
        alloc_fail_at(n, false);
        bus_status status = bus_encode(&type, &in, &bytes, &len, &err);
        if (status == BUS_OK)
            status = bus_decode(&type, bytes, len, &body, &err);
        bool failed = alloc_fail_off();
        assert_int_equal(status, failed ? BUS_NOMEM : BUS_OK);
        bus_body_free(body);
        free(bytes);
        if (!failed)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(frames_little_endian), cmocka_unit_test(survives_failing_allocations) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
