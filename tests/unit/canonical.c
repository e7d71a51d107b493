/* SPDX-License-Identifier: MIT
 * Canonical: every form and fingerprint of Apache Avro's schema-tests.txt, and its recorded single-object message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/json.h"
#include "codec/wire.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_file(const char *path, size_t *len)
{
    static char bytes[65536];
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("%s is not there: run from the project's directory", path);
    *len = fread(bytes, 1, sizeof bytes - 1, file);
    bytes[*len] = '\0';
    fclose(file);
    return bytes;
}

/* The text of "<<name value\n", or of "<<name\nvalue\nname\n"; NULL if the case has none. */
static char *section(const char *from, const char *end, const char *name)
{
    char mark[32], close[32];
    snprintf(mark, sizeof mark, "\n<<%s", name);
    snprintf(close, sizeof close, "\n%s\n", name);
    const char *at = strstr(from, mark);
    if (!at || at >= end)
        return NULL;
    at += strlen(mark);
    const char *stop = strstr(at, *at == '\n' ? close : "\n");
    return strndup(at + 1, (size_t)(stop - at - 1));
}

static void matches_apache_vectors(void **state)
{
    (void)state;
    size_t len, forms = 0, fingerprints = 0;
    const char *text = read_file("tests/data/avro/schema-tests.txt", &len);
    for (const char *at = strstr(text, "\n<<INPUT"); at;) {
        const char *next = strstr(at + 1, "\n<<INPUT");
        const char *end = next ? next : text + len;
        char *input = section(at, end, "INPUT"), *canonical = section(at, end, "canonical"),
             *print = section(at, end, "fingerprint");
        bui_schema *schema;
        bus_error err;
        assert_non_null(input);
        if (bui_schema_parse(input, strlen(input), &schema, &err) != BUS_OK)
            fail_msg("%s: %s", input, err.text);
        assert_non_null(canonical);
        assert_string_equal(bui_schema_canonical(schema), canonical);
        forms++;
        if (print) {
            char ours[32];
            snprintf(ours, sizeof ours, "%" PRId64, (int64_t)bui_schema_fingerprint(schema));
            assert_string_equal(ours, print);
            fingerprints++;
        }
        bui_schema_free(schema);
        free(input);
        free(canonical);
        free(print);
        at = next;
    }
    assert_int_equal(forms, 34);
    assert_int_equal(fingerprints, 26);
}

static void reads_and_writes_message_v1(void **state)
{
    (void)state;
    size_t len;
    bui_schema *schema;
    bus_error err;
    const char *json = read_file("tests/data/avro/message_v1.avsc", &len);
    assert_int_equal(bui_schema_parse(json, len, &schema, &err), BUS_OK);
    const char *message = read_file("tests/data/avro/message_v1.bin", &len);
    bui_buf out;
    bui_buf_init(&out, 0);
    assert_int_equal(bui_json_write_framed(schema, message, len, &out, &err), BUS_OK);
    static const char expected[] = "{\"id\":42,\"name\":\"Bill\",\"tags\":[\"dog_lover\",\"cat_hater\"]}";
    assert_int_equal(out.len, strlen(expected));
    assert_memory_equal(out.data, expected, out.len);
    bui_buf_clear(&out);
    assert_int_equal(bui_json_read_framed(schema, expected, strlen(expected), &out, &err), BUS_OK);
    assert_int_equal(out.len, len);
    assert_memory_equal(out.data, message, len);
    bui_buf_free(&out);
    bui_schema_free(schema);
}

static void parses_interop_schema(void **state)
{
    (void)state;
    size_t len;
    bui_schema *schema;
    bus_error err;
    const char *json = read_file("tests/data/avro/interop.avsc", &len);
    assert_int_equal(bui_schema_parse(json, len, &schema, &err), BUS_OK);
    assert_string_equal(bui_schema_name(schema), "org.apache.avro.Interop");
    assert_int_equal(bui_schema_root(schema)->count, 14);
    bui_schema_free(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_apache_vectors),
        cmocka_unit_test(reads_and_writes_message_v1),
        cmocka_unit_test(parses_interop_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
