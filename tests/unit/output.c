/* SPDX-License-Identifier: MIT
 * Output of the bus command: tables, JSON, ages, progress, and one record rendered. */
#include "cli/output.c"
#include "cli/width.c"
#include "cli/progress.c"
#include "cli/render.c"
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const cli_column columns[] = {
    { "NAME", "name", CLI_TEXT }, { "LAG", "lag", CLI_NUMBER }, { NULL, "hidden", CLI_TEXT }, { "NOTE", NULL, CLI_TEXT }
};

static size_t columns_most; /* of a line; 0: as many as it needs */

static char *text_of(const cli_table *table, bool json, bool colour)
{
    bui_buf out;
    bui_buf_init(&out, 0);
    if (json)
        cli_table_json(table, &out);
    else
        cli_table_text(table, colour, columns_most, &out);
    char *text = bui_buf_take(&out);
    assert_non_null(text);
    return text;
}

static void row(cli_table *table, const char *name, int64_t lag, const char *hidden, const char *note)
{
    cli_cell(table, name);
    cli_cell_int(table, lag);
    cli_cell(table, hidden);
    cli_cell(table, note);
}

static void columns_line_up(void **state)
{
    (void)state;
    cli_table *table = cli_table_new(columns, 4);
    row(table, "order", 5, "h", "");
    row(table, "inventör", 12345, NULL, "behind");
    assert_int_equal(cli_table_rows(table), 2);
    char *text = text_of(table, false, false);
    assert_string_equal(text, "NAME        LAG  NOTE\n"
                              "order         5\n"
                              "inventör  12345  behind\n");
    free(text);
    cli_table_free(table);
}

static void shows(cli_table *table, size_t most, const char *expected)
{
    columns_most = most;
    char *text = text_of(table, false, false);
    columns_most = 0;
    assert_string_equal(text, expected);
    free(text);
}

#define LAMP "\xE9\x9B\xBB\xE6\xB0\x97\xE3\x82\xB9\xE3\x82\xBF\xE3\x83\xB3\xE3\x83\x89" /* six characters of two columns each */
#define CAFE "cafe\xCC\x81"                                                             /* the accent combines with the e */
#define MORE "\xE2\x80\xA6"

static void characters_count_by_the_columns_they_take(void **state)
{
    (void)state;
    cli_table *table = cli_table_new(columns, 4);
    row(table, LAMP, 5, NULL, "a");
    row(table, CAFE, 5, NULL, "b");
    row(table, "twelve-wide.", 5, NULL, "c");
    shows(table, 0,
          "NAME          LAG  NOTE\n" LAMP "    5  a\n" CAFE "            5  b\n"
          "twelve-wide.    5  c\n");
    cli_table_free(table);
    size_t width;
    assert_int_equal(cli_fits(LAMP, strlen(LAMP), 5, &width), 6);
    assert_int_equal(width, 4);
    assert_int_equal(cli_fits(CAFE "s", strlen(CAFE) + 1, 4, &width), strlen(CAFE)); /* what combines stays */
    assert_int_equal(cli_width("a\xFFz", 3), 3);
}

static void long_cells_are_cut_until_the_line_fits(void **state)
{
    (void)state;
    static const cli_column three[] = { { "ID", "id", CLI_TEXT }, { "KEY", "key", CLI_LONG }, { "WHY", "why", CLI_LONG } };
    cli_table *table = cli_table_new(three, 3);
    cli_cell(table, "0123456789");
    cli_cell(table, "a-key-of-some-length");
    cli_cell(table, "the item is unknown: send it");
    cli_cell(table, "1");
    cli_cell(table, LAMP);
    cli_cell(table, "no");
    shows(table, 0,
          "ID          KEY                   WHY\n"
          "0123456789  a-key-of-some-length  the item is unknown: send it\n"
          "1           " LAMP "          no\n");
    /* The widest gives first; a character of two columns is cut whole. */
    shows(table, 36,
          "ID          KEY          WHY\n"
          "0123456789  a-key-of-s" MORE "  the item i" MORE "\n"
          "1           \xE9\x9B\xBB\xE6\xB0\x97\xE3\x82\xB9\xE3\x82\xBF\xE3\x83\xB3" MORE "  no\n");
    /* What may not be cut has a line of its own in the end. */
    shows(table, 24,
          "ID          KEY\n"
          "    WHY\n"
          "0123456789  a-key-o" MORE "\n"
          "    the ite" MORE "\n"
          "1           \xE9\x9B\xBB\xE6\xB0\x97\xE3\x82\xB9" MORE "\n"
          "    no\n");
    char *json = text_of(table, true, false);
    assert_non_null(strstr(json, "the item is unknown: send it"));
    free(json);
    cli_table_free(table);
}

static void json_says_the_same(void **state)
{
    (void)state;
    cli_table *table = cli_table_new(columns, 4);
    row(table, "a\"b\n", INT64_MAX, NULL, "note");
    char *text = text_of(table, true, false);
    assert_string_equal(text, "[{\"name\":\"a\\\"b\\n\",\"lag\":9223372036854775807,\"hidden\":null}]");
    free(text);
    cli_table_free(table);
    table = cli_table_new(columns, 4);
    text = text_of(table, true, false);
    assert_string_equal(text, "[]");
    free(text);
    text = text_of(table, false, false);
    assert_string_equal(text, "");
    free(text);
    cli_table_free(table);
}

static void colour_only_where_asked(void **state)
{
    (void)state;
    cli_table *table = cli_table_new(columns, 4);
    row(table, "a", 1, NULL, "x");
    cli_paint(table, CLI_RED);
    char *plain = text_of(table, false, false), *painted = text_of(table, false, true);
    assert_null(strchr(plain, 27));
    assert_non_null(strstr(painted, "\033[31mx\033[0m"));
    free(plain);
    free(painted);
    cli_table_free(table);
}

/* A payload must not drive the terminal. */
static void control_characters_are_tamed(void **state)
{
    (void)state;
    bui_buf out;
    bui_buf_init(&out, 0);
    cli_clean(&out,
              "a\033[2Jb\x7f\xc2\x9b"
              "c\xc3\xa9\n",
              13);
    assert_int_equal(out.len, strlen("a?[2Jb??c\xc3\xa9?"));
    assert_memory_equal(out.data, "a?[2Jb??c\xc3\xa9?", out.len);
    bui_buf_free(&out);
}

static void ages(void **state)
{
    (void)state;
    char out[32];
    assert_string_equal(cli_age(1234, out), "1.2 s");
    assert_string_equal(cli_age(59999, out), "59 s");
    assert_string_equal(cli_age(200000, out), "3 min 20 s");
    assert_string_equal(cli_age(7500000, out), "2 h 5 min");
    assert_string_equal(cli_age(273600000, out), "3 d 4 h");
    assert_string_equal(cli_age(-1, out), "-");
}

static void progress_line(void **state)
{
    (void)state;
    char out[160];
    assert_string_equal(cli_progress_text(out, "replaying", 2000000, 500, 50, 200), "replaying: 500 (25 %), 250/s, 6.0 s left");
    assert_string_equal(cli_progress_text(out, "following", 2000000, 500, 50, INT64_MAX), "following: 500, 250/s");
    assert_string_equal(cli_progress_text(out, "x", 0, 0, 0, 100), "x: 0 (0 %), 0/s, ? left");
}

static void base64(void **state)
{
    (void)state;
    static const char *const vectors[][2] = { { "", "" },        { "f", "Zg==" },        { "fo", "Zm8=" },
                                              { "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" } };
    for (size_t i = 0; i < 6; i++) { /* RFC 4648 */
        bui_buf out;
        bui_buf_init(&out, 0);
        cli_base64(vectors[i][0], strlen(vectors[i][0]), &out);
        assert_int_equal(out.len, strlen(vectors[i][1]));
        assert_memory_equal(out.len ? (const void *)out.data : "", vectors[i][1], out.len);
        bui_buf_free(&out);
    }
}

static void utf8(void **state)
{
    (void)state;
    static const char *const good[] = { "", "abc", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80" };
    static const char *const bad[] = { "\xc3",     "\xc0\xaf", "\xed\xa0\x80",     "\xf5\x80\x80\x80",
                                       "\xe2\x82", "\x80",     "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80" };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(cli_is_utf8(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(cli_is_utf8(bad[i], strlen(bad[i])));
}

static void a_record_as_json(void **state)
{
    (void)state;
    const bus_header headers[] = {
        { "x", "old", 3 }, { "ce_type", "a.B", 3 }, { "x", "new", 3 }, { "n", NULL, 0 }, { "b", "\xfe\x01", 2 }
    };
    bui_record record = { .topic = "t",
                          .partition = 2,
                          .offset = 7,
                          .timestamp = 1795242239635,
                          .key = "\xff",
                          .key_len = 1,
                          .value = "\xc3\x01",
                          .value_len = 2,
                          .headers = headers,
                          .header_count = 5 };
    bus_error err = { 0 };
    bui_translator *translator = NULL;
    bus_config *config = bus_config_new();
    assert_int_equal(bui_translator_open(config, BUI_JSON_PLAIN, NULL, &translator, &err), BUS_OK);
    bui_buf out;
    bui_buf_init(&out, 0);
    cli_record_json(&record, translator, &out);
    json_t *json = json_loadb((const char *)out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "key_base64")), "/w==");
    assert_string_equal(json_string_value(json_object_get(json, "type")), "a.B");
    assert_string_equal(json_string_value(json_object_get(json, "value_base64")), "wwE=");
    assert_non_null(json_object_get(json, "undecodable"));
    json_t *shown = json_object_get(json, "headers"), *both = json_object_get(shown, "x");
    assert_int_equal(json_array_size(both), 2);
    assert_string_equal(json_string_value(json_array_get(both, 0)), "old");
    assert_string_equal(json_string_value(json_array_get(both, 1)), "new");
    assert_true(json_is_null(json_object_get(shown, "n")));
    assert_string_equal(json_string_value(json_object_get(json_object_get(shown, "b"), "base64")), "/gE=");
    assert_int_equal(out.data[out.len - 1], '\n');
    json_decref(json);
    bui_buf_free(&out);
    bui_translator_close(translator);
    bus_config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(columns_line_up),
                                        cmocka_unit_test(characters_count_by_the_columns_they_take),
                                        cmocka_unit_test(long_cells_are_cut_until_the_line_fits),
                                        cmocka_unit_test(json_says_the_same),
                                        cmocka_unit_test(colour_only_where_asked),
                                        cmocka_unit_test(control_characters_are_tamed),
                                        cmocka_unit_test(ages),
                                        cmocka_unit_test(progress_line),
                                        cmocka_unit_test(base64),
                                        cmocka_unit_test(utf8),
                                        cmocka_unit_test(a_record_as_json) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
