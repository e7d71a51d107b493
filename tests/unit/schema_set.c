/* SPDX-License-Identifier: MIT
 * Schema set: files that refer to each other, found in any order, beside each other and where they are offered; what is made whole is what
 * the compiler puts into a program; and what each complaint says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/schema_set.h"
#include <bus/bus.h>
#include <inventory.events.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define RECORD(name, fields) "{\"type\":\"record\",\"name\":\"" name "\",\"fields\":[" fields "]}"
#define FIELD(name, type) "{\"name\":\"" name "\",\"type\":" type "}"

static char folder[] = "/tmp/schema-set-XXXXXX";

static const char *path_of(const char *name)
{
    static char paths[4][256];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Loads the file; *whole gets the text of its root, or what was said. */
static bus_status load(const char *name, bool beside, const char *offered, char whole[2000])
{
    bui_schema_set set;
    bui_buf text;
    bus_error err = { .text = "" };
    const char *path = path_of(name);
    bui_buf_init(&text, 0);
    bui_schema_set_init(&set, beside);
    bus_status status = offered ? bui_schema_set_offer(&set, path_of(offered), &err) : BUS_OK;
    if (status == BUS_OK)
        status = bui_schema_set_load(&set, &path, 1, &err);
    if (status == BUS_OK)
        assert_int_equal(bui_schema_whole(bui_schema_root(set.given.at[0]->schema), &text, &err), BUS_OK);
    snprintf(whole, 2000, "%.*s", (int)(status == BUS_OK ? text.len : sizeof err.text),
             status == BUS_OK ? (const char *)text.data : err.text);
    bui_buf_free(&text);
    bui_schema_set_free(&set);
    return status;
}

/* The file's path, then the rest. */
static void says(const char *whole, const char *name, const char *rest)
{
    char expected[1000];
    snprintf(expected, sizeof expected, "%s%s", path_of(name), rest);
    assert_string_equal(whole, expected);
}

static void finds_what_lies_beside(void **state)
{
    (void)state;
    char whole[2000];
    put("shop.Paid.avsc", RECORD("shop.Paid", FIELD("sum", "\"shop.Money\"") "," FIELD("fee", "\"Money\"")));
    put("types.avsc", "[" RECORD("shop.Money", FIELD("cents", "\"long\"") "," FIELD("in", "\"shop.Currency\"")) "]");
    put("currency.avsc", "{\"type\":\"enum\",\"name\":\"Currency\",\"namespace\":\"shop\",\"symbols\":[\"EUR\"]}");
    put("broken.avsc", "{");
    put("other.avsc", RECORD("shop.Other", FIELD("x", "\"int\"")));
    assert_int_equal(load("shop.Paid.avsc", true, NULL, whole), BUS_OK);
    assert_string_equal(
        whole,
        "{\"type\":\"record\",\"name\":\"Paid\",\"fields\":[{\"name\":\"sum\",\"type\":{\"type\":\"record\",\"name\":\"Money\",\"fields\":["
        "{\"name\":\"cents\",\"type\":\"long\"},{\"name\":\"in\",\"type\":{\"type\":\"enum\",\"name\":\"Currency\",\"symbols\":[\"EUR\"]}}]}},"
        "{\"name\":\"fee\",\"type\":\"shop.Money\"}],\"namespace\":\"shop\"}");
    assert_int_equal(load("shop.Paid.avsc", false, NULL, whole), BUS_SCHEMA);
    says(
        whole, "shop.Paid.avsc",
        ":1: shop.Paid.sum: the type \"shop.Money\" is not defined here, nor in another of the files given: give its file as well");
}

static void finds_what_is_offered(void **state)
{
    (void)state;
    char whole[2000];
    mkdir(path_of("apart"), 0700);
    put("apart/size.avsc", "{\"type\":\"fixed\",\"name\":\"far.Size\",\"size\":4}");
    put("box.avsc", RECORD("shop.Box", FIELD("size", "\"far.Size\"")));
    assert_int_equal(load("box.avsc", true, "apart/size.avsc", whole), BUS_OK);
    assert_non_null(strstr(whole, "\"namespace\":\"far\""));
    assert_int_equal(load("box.avsc", true, "broken.avsc", whole), BUS_SCHEMA);
    says(
        whole, "box.avsc",
        ":1: shop.Box.size: the type \"far.Size\" is not defined here, nor in another .avsc file of this folder: put its file there");
}

static void tells_what_is_wrong(void **state)
{
    (void)state;
    char whole[2000];
    put("a.avsc", RECORD("shop.A", FIELD("b", "\"shop.B\"")));
    put("b.avsc", RECORD("shop.B", FIELD("a", "[\"null\",\"shop.A\"]")));
    assert_int_equal(load("a.avsc", true, NULL, whole), BUS_SCHEMA);
    assert_non_null(strstr(whole, "b.avsc:1: shop.B.a: shop.A is in"));
    assert_non_null(strstr(whole, "which refers back to this file: put the two into one file"));
    put("more.avsc", RECORD("shop.Money", ""));
    assert_int_equal(load("shop.Paid.avsc", true, NULL, whole), BUS_SCHEMA);
    assert_non_null(strstr(whole, "shop.Money is defined in"));
    assert_non_null(strstr(whole, "more.avsc and in"));
    assert_int_equal(load("other.avsc", true, NULL, whole), BUS_OK); /* which does not need it */
    put("empty.avsc", "");
    assert_int_equal(load("empty.avsc", true, NULL, whole), BUS_SCHEMA);
    assert_int_equal(load("nowhere.avsc", true, NULL, whole), BUS_IO);
    says(whole, "nowhere.avsc", ": No such file or directory");
}

/* What a tool announces of a file is what a service with that type announces, word for word. */
static void says_what_the_compiler_says(void **state)
{
    (void)state;
    bui_schema_set set;
    bui_buf text;
    bus_error err;
    const char *path = "schemas/inventory.StockReceived.avsc";
    bui_buf_init(&text, 0);
    bui_schema_set_init(&set, true);
    assert_int_equal(bui_schema_set_load(&set, &path, 1, &err), BUS_OK);
    assert_int_equal(bui_schema_whole(bui_schema_root(set.given.at[0]->schema), &text, &err), BUS_OK);
    bui_buf_byte(&text, '\0');
    assert_string_equal((const char *)text.data, bus_type_schema(&inventory_StockReceived_type));
    bui_buf_free(&text);
    bui_schema_set_free(&set);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_lies_beside),
        cmocka_unit_test(finds_what_is_offered),
        cmocka_unit_test(tells_what_is_wrong),
        cmocka_unit_test(says_what_the_compiler_says),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
