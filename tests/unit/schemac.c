/* SPDX-License-Identifier: MIT
 * Schema compiler: its output word for word, the same whatever the order of its input; its errors; and structs of every
 * type through the generated descriptors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define bus_shape_string staff_string_shape /* two generated files in one unit */
#include "data/schemac/staff.events.c"
#undef bus_shape_string
#include "data/schemac/zoo.events.c"

#include "codec/json.h"
#include "codec/wire.h"
#include "inventory.events.h"
#include "inventory_v2.events.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static char directory[] = "/tmp/schemac-XXXXXX";

/* Runs the release build's compiler; *out gets what it says. */
static int run(const char *arguments, char *out, size_t cap)
{
    char command[1024];
    const char *build = getenv("BUS_BUILD");
    snprintf(command, sizeof command, "%s/release/bin/bus-schemac %s 2>&1", build ? build : "build", arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t len = fread(out, 1, cap - 1, pipe);
    out[len] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void same_file(const char *name)
{
    static char ours[200000], golden[200000];
    char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t len = fread(ours, 1, sizeof ours - 1, file);
    fclose(file);
    ours[len] = '\0';
    snprintf(path, sizeof path, "tests/data/schemac/%s", name);
    file = fopen(path, "rb");
    assert_non_null(file);
    len = fread(golden, 1, sizeof golden - 1, file);
    fclose(file);
    golden[len] = '\0';
    assert_string_equal(ours, golden);
}

static void writes_the_same_in_any_order(void **state)
{
    (void)state;
    char arguments[512], out[2000];
    const char *const orders[] = {
        "tests/data/schemac/zoo.Everything.avsc tests/data/schemac/staff.Keeper.avsc tests/data/schemac/zoo.Preset.avsc",
        "tests/data/schemac/zoo.Preset.avsc tests/data/schemac/staff.Keeper.avsc tests/data/schemac/zoo.Everything.avsc"
    };
    for (int i = 0; i < 2; i++) {
        snprintf(arguments, sizeof arguments, "-o %s %s", directory, orders[i]);
        if (run(arguments, out, sizeof out) != 0)
            fail_msg("%s", out);
        same_file("zoo.events.h");
        same_file("zoo.events.c");
        same_file("staff.events.h");
        same_file("staff.events.c");
    }
}

static void refuses_with_file_and_path(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text;
    } cases[] = {
        { "{", ":1:1: string or '}' expected near end of file" },
        { "\"int\"", ": it defines no record, enum or fixed, and only those become C: name its type, or leave the file out" },
        { "\xEF\xBB\xBF{}", ": it begins with a byte order mark (bytes EF BB BF): save it as UTF-8 without one" },
        { "\xFF\xFE{", ": it is UTF-16: save it as UTF-8" },
        { "{\"protocol\":\"P\",\"namespace\":\"a\",\"types\":[],\"messages\":{}}",
          ":1: the schema: this is an Avro protocol (.avpr), not a schema: write each of its \"types\" into a file of its own (.avsc)" },
        { "{\n  \"type\": \"record\", \"name\": \"a.R\", \"doc\": \"a \\\"word\\\": [1, {\",\n  \"fields\": [\n    {\"name\": \"n\", \"type\": \"int\", "
          "\"default\": -1},\n    {\"name\": \"f\",\n     \"type\": [\"null\",\n       {\"type\": \"array\", \"items\": \"b.S\"}]}\n  ]\n}\n",
          ":7: a.R.f[]: the type \"b.S\" is not defined here, nor in another of the files given: give its file as well" },
        { "{\"type\":\"record\",\"name\":\"a.R\",\"fields\":[\n{\"name\":\"f\",\"type\":\"int\"},\n\n{\"name\":\"g\",\"type\":\"int\",\"default\":\"no\"}]}",
          ":4: a.R.g: bad default: int: a string where the schema has int" },
        { "{\"type\":\"record\",\"name\":\"a.R\",\"fields\":[\n{\"name\":\"f\",\"type\":\"int\"},\n\"g\"]}",
          ":3: a.R: a field needs a \"name\" of letters, digits and _" },
        { "{\"type\":\"recrd\",\n\"name\":\"a.R\"}", ":1: the schema: \"recrd\" is not a kind of named type: those are record, "
                                                     "enum and fixed" },
        { "{\"type\":\"record\",\"name\":\"R\",\"fields\":[]}",
          ":1: R has no namespace, and its C names and files are made from that: give it one, such as \"namespace\": \"shop\"" },
        { "{\"type\":\"record\",\"name\":\"bus.R\",\"fields\":[]}",
          ":1: the namespace bus of bus.R makes C names that begin with bus_, which are the library's: choose another namespace" },
        { "{\"type\":\"record\",\"name\":\"bus_lines.R\",\"fields\":[]}",
          ":1: the namespace bus_lines of bus_lines.R makes C names that begin with bus_, which are the library's: choose another namespace" },
        { "[{\"type\":\"record\",\"name\":\"a.b.R\",\"fields\":[]},{\"type\":\"record\",\"name\":\"a_b.S\",\"fields\":[]}]",
          ":1: the namespaces a_b and a.b both become a_b in C: rename one" },
        { "{\"type\":\"record\",\"name\":\"a.R\",\"state\":1,\"fields\":[{\"name\":\"k\",\"type\":\"string\"},{\"name\":\"n\",\"type\":\"int\"}]}",
          ":1: the state of a.R: it is an object with \"table\" and \"key\"" },
        { "{\"type\":\"record\",\"name\":\"a.R\",\"state\":{\"key\":\"k\"},\"fields\":[{\"name\":\"k\",\"type\":\"string\"},{\"name\":\"n\",\"type\":\"int\"}]}",
          ":1: the state of a.R: it needs a \"table\": a name of letters, digits and _, up to 60" },
        { "{\"type\":\"record\",\"name\":\"a.R\",\"state\":{\"table\":\"a b\",\"key\":\"k\"},\"fields\":[{\"name\":\"k\",\"type\":\"string\"},{\"name\":\"n\",\"type\":\"int\"}]}",
          ":1: the state of a.R: it needs a \"table\": a name of letters, digits and _, up to 60" },
        { "{\"type\":\"record\",\"name\":\"a.R\",\"state\":{\"table\":\"bus_x\",\"key\":\"k\"},\"fields\":[{\"name\":\"k\",\"type\":\"string\"},{\"name\":\"n\",\"type\":\"int\"}]}",
          ":1: the state of a.R: tables that begin with bus_ or sqlite_ are not the service's: bus_x" },
        { "{\"type\":\"record\",\"name\":\"a.R\",\"state\":{\"table\":\"t\"},\"fields\":[{\"name\":\"k\",\"type\":\"string\"},{\"name\":\"n\",\"type\":\"int\"}]}",
          ":1: the state of a.R: its \"key\" is the name of a field, or a list of such names" },
        { "{\"type\":\"record\",\"name\":\"a.R\",\"state\":{\"table\":\"t\",\"key\":[]},\"fields\":[{\"name\":\"k\",\"type\":\"string\"},{\"name\":\"n\",\"type\":\"int\"}]}",
          ":1: the state of a.R: its \"key\" is the name of a field, or a list of such names" },
        { "{\"type\":\"record\",\"name\":\"a.R\",\"state\":{\"table\":\"t\",\"key\":\"x\"},\"fields\":[{\"name\":\"k\",\"type\":\"string\"},{\"name\":\"n\",\"type\":\"int\"}]}",
          ":1: the state of a.R: its key names a field that there is not: x" },
        { "{\"type\":\"record\",\"name\":\"a.R\",\"state\":{\"table\":\"t\",\"key\":[\"k\",\"k\"]},\"fields\":[{\"name\":\"k\",\"type\":\"string\"},{\"name\":\"n\",\"type\":\"int\"}]}",
          ":1: the state of a.R: its key names a field twice: k" },
        { "{\"type\":\"record\",\"name\":\"a.R\",\"state\":{\"table\":\"t\",\"key\":[\"k\",\"n\"]},\"fields\":[{\"name\":\"k\",\"type\":\"string\"},{\"name\":\"n\",\"type\":\"double\"}]}",
          ":1: the state of a.R: a field of the key is a boolean, a number without a fraction, a text, bytes, an enum, a fixed or a UUID: n" },
        { "{\"type\":\"record\",\"name\":\"a.R\",\"state\":{\"table\":\"t\",\"key\":\"n\"},\"fields\":[{\"name\":\"k\",\"type\":\"string\"},{\"name\":\"n\",\"type\":[\"null\",\"string\"]}]}",
          ":1: the state of a.R: a field of the key is a boolean, a number without a fraction, a text, bytes, an enum, a fixed or a UUID: n" },
        { "{\"type\":\"record\",\"name\":\"a.R\",\"state\":{\"table\":\"t\",\"key\":\"k\"},\"fields\":[{\"name\":\"k\",\"type\":\"string\"},{\"name\":\"n\",\"type\":{\"type\":\"array\",\"items\":\"int\"}}]}",
          ":1: the state of a.R: a column holds one value, which an array, a map, a record, a union, a duration and a null are not: n" },
        { "{\"type\":\"record\",\"name\":\"a.R\",\"state\":{\"table\":\"t\",\"key\":\"k\"},\"fields\":[{\"name\":\"k\",\"type\":\"string\"},{\"name\":\"K\",\"type\":\"int\"}]}",
          ":1: the state of a.R: SQLite does not tell columns apart by case: K" },
        { "{\"type\":\"record\",\"name\":\"int32.t\",\"fields\":[]}",
          ":1: int32.t becomes int32_t in C, which C or its headers use: rename it, or its namespace" },
        { "{\"type\":\"record\",\"name\":\"a.R\",\"fields\":[{\"name\":\"f\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"x\"]}},"
          "{\"name\":\"g\",\"type\":{\"type\":\"fixed\",\"name\":\"E_x\",\"size\":1}}]}",
          ":1: a.E_x becomes a_E_x in C, and so does the symbol x of a.E: rename one" },
        { "{\"type\":\"record\",\"name\":\"a.R\",\"fields\":[{\"name\":\"f\",\"type\":{\"type\":\"record\",\"name\":\"b.S\",\"fields\":[{\"name\":\"g\","
          "\"type\":{\"type\":\"enum\",\"name\":\"a.E\",\"symbols\":[\"x\"]}}]}}]}",
          ": the namespaces b and a use types of each other, so neither header can come first: move the types that both use into a namespace of their own" },
        { "{\"type\":\"record\",\"name\":\"a.R\",\"fields\":[{\"name\":\"f\",\"type\":\"b.S\"}]}",
          ":1: a.R.f: the type \"b.S\" is not defined here, nor in another of the files given: give its file as well" },
        { "{\"type\":\"record\",\"name\":\"a.R\",\"fields\":[{\"name\":\"f\",\"type\":{\"type\":\"record\",\"name\":\"R_type\",\"fields\":[]}}]}",
          ":1: a.R becomes a_R_type in C, and so does a.R_type: rename one" },
        { "{\"type\":\"record\",\"name\":\"a.R\",\"fields\":[{\"name\":\"f\",\"type\":[]}]}",
          ":1: a.R.f: a union without branches has no values" },
        { "{\"type\":\"record\",\"name\":\"a.R\",\"fields\":[{\"name\":\"f\",\"type\":{\"type\":\"fixed\",\"name\":\"X\",\"size\":0}}]}",
          ":1: a.X: a fixed must have from 1 byte to 1 MiB to be a C type: use bytes" },
        /* Found by fuzzing: Avro allows these defaults, and no plan and no struct can have them. */
        { "{\"type\":\"record\",\"name\":\"a.R\",\"fields\":[{\"name\":\"f\",\"type\":{\"type\":\"string\",\"logicalType\":\"uuid\"},\"default\":\"no\"}]}",
          ":1: a.R.f: its default: \"no\" is not a UUID" },
        { "{\"type\":\"record\",\"name\":\"a.R\",\"fields\":[{\"name\":\"f\",\"type\":{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":4,\"scale\":2},"
          "\"default\":\"\\u00d8\\u00f0\"}]}",
          ":1: a.R.f: its default: 2 bytes that are not a decimal of at most 4 digits" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[256], arguments[600], out[2000], expected[1000];
        snprintf(path, sizeof path, "%s/case.avsc", directory);
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        fputs(cases[i].json, file);
        fclose(file);
        snprintf(arguments, sizeof arguments, "-o %s %s", directory, path);
        int code = run(arguments, out, sizeof out);
        snprintf(expected, sizeof expected, "bus-schemac: %s%s\n", path, cases[i].text ? cases[i].text : "");
        assert_string_equal(out, cases[i].text ? expected : "");
        assert_int_equal(code, cases[i].text ? 1 : 0);
    }
    char out[3000];
    assert_int_equal(run("--help", out, sizeof out), 0);
    assert_non_null(strstr(out, "usage: bus-schemac"));
    assert_int_equal(run("--what", out, sizeof out), 2);
    assert_int_equal(run("", out, sizeof out), 2);
    assert_int_equal(run("-o", out, sizeof out), 2);
    assert_int_equal(run("/nowhere/x.avsc", out, sizeof out), 1);
    assert_string_equal(out, "bus-schemac: /nowhere/x.avsc: No such file or directory\n");
}

static const zoo_Spot spots[] = { { 1, 2 }, { -3, 4 } };
static const int64_t row[] = { 1, -1, INT64_MAX };
static const bus_long_array rows[] = { BUS_ARRAY(row), { NULL, 0 } };
static const zoo_Spot_entry named_spots[] = { { BUS_STR("a"), { 5, 6 } } };
static const zoo_Mood moods[] = { zoo_Mood_CROSS, zoo_Mood_CALM };
static const zoo_Spot_ref gaps[] = { NULL, &spots[1] };
static const zoo_Everything_choices_item choices[] = {
    { zoo_Everything_choices_item_int, { .int_ = 9 } },
    { zoo_Everything_choices_item_string, { .string = BUS_STR("nine") } },
};
static const bus_decimal prices[] = { { -15, 1 }, { 9999, 1 } };
static const zoo_Tree leaf = { .label = BUS_STR("leaf") };

static zoo_Everything everything(void)
{
    return (zoo_Everything){
        .flag = true,
        .int_ = INT32_MIN,
        .big = INT64_MIN,
        .ratio = 1.5F,
        .precise = -2.25,
        .raw = { "\0\xff", 2 },
        .text = BUS_STR("h\xc3\xa9llo"),
        .mood = zoo_Mood_CROSS,
        .hash = { { 1, 2, 3, 4 } },
        .spot = { 7, 8 },
        .spots = BUS_ARRAY(spots),
        .grid = BUS_ARRAY(rows),
        .by_name = BUS_ARRAY(named_spots),
        .moods = BUS_ARRAY(moods),
        .maybe_text = BUS_SOME(BUS_STR("yes")),
        .maybe_last = BUS_SOME(12),
        .maybe_mood = BUS_SOME(zoo_Mood_CROSS),
        .maybe_spot = &spots[0],
        .maybe_spots = BUS_SOME(BUS_ARRAY(spots)),
        .gaps = BUS_ARRAY(gaps),
        .choice = { zoo_Everything_choice_Spot, { .Spot = &spots[1] } },
        .choices = BUS_ARRAY(choices),
        .day = { 20000 },
        .when_ms = { 1700000000000 },
        .id = { { 0xDE, 0xAD } },
        .id_raw = { { 1 } },
        .price = { -12345, 2 },
        .rate = { 31415, 4 },
        .span = { 1, 2, 3 },
        .prices = BUS_ARRAY(prices),
        .tree = { .label = BUS_STR("root"),
                  .children = { &leaf, 1 },
                  .next = &leaf,
                  .either = { zoo_Tree_either_Tree, { .Tree = &leaf } } },
        .keeper = { BUS_STR("Ann"), staff_Role_VET },
    };
}

static void holds_every_type(void **state)
{
    (void)state;
    zoo_Everything in = everything();
    const void *body;
    void *bytes, *again;
    size_t len, again_len;
    bus_error err;
    if (bus_encode(&zoo_Everything_type, &in, &bytes, &len, &err) != BUS_OK)
        fail_msg("%s", err.text);
    if (bus_decode(&zoo_Everything_type, bytes, len, &body, &err) != BUS_OK)
        fail_msg("%s", err.text);
    const zoo_Everything *out = body;
    assert_true(out->flag);
    assert_int_equal(out->int_, INT32_MIN);
    assert_true(out->big == INT64_MIN && out->ratio == 1.5F && out->precise == -2.25);
    assert_memory_equal(out->raw.at, "\0\xff", 2);
    assert_true(bus_string_is(out->text, "h\xc3\xa9llo"));
    assert_int_equal(out->mood, zoo_Mood_CROSS);
    assert_int_equal(out->spots.at[1].x, -3);
    assert_true(out->grid.at[0].at[2] == INT64_MAX && out->grid.at[1].len == 0);
    assert_true(bus_string_is(out->by_name.at[0].key, "a") && out->by_name.at[0].value.y == 6);
    assert_true(out->maybe_text.present && bus_string_is(out->maybe_text.value, "yes"));
    assert_true(out->maybe_last.present && out->maybe_last.value == 12);
    assert_int_equal(out->maybe_spot->y, 2);
    assert_int_equal(out->maybe_spots.value.at[0].x, 1);
    assert_null(out->gaps.at[0]);
    assert_int_equal(out->gaps.at[1]->y, 4);
    assert_int_equal(out->choice.tag, zoo_Everything_choice_Spot);
    assert_int_equal(out->choice.as.Spot->x, -3);
    assert_true(bus_string_is(out->choices.at[1].as.string, "nine"));
    assert_true(out->when_ms.ms == 1700000000000 && out->id.at[1] == 0xAD && out->id_raw.at[0] == 1);
    assert_true(out->price.unscaled == -12345 && out->price.scale == 2 && out->rate.unscaled == 31415 && out->rate.scale == 4);
    assert_true(out->prices.at[0].unscaled == -15 && out->prices.at[1].unscaled == 9999);
    assert_true(out->span.months == 1 && out->span.ms == 3);
    assert_true(bus_string_is(out->tree.children.at[0].label, "leaf") && bus_string_is(out->tree.either.as.Tree->label, "leaf"));
    assert_null(out->tree.next->next);
    assert_int_equal(out->keeper.role, staff_Role_VET);
    assert_null(out->maybe_keeper);
    assert_int_equal(bus_encode(&zoo_Everything_type, out, &again, &again_len, &err), BUS_OK);
    assert_int_equal(again_len, len);
    assert_memory_equal(again, bytes, len);
    /* Every cut of the message is refused, and no byte is read past its end (valgrind and ASan watch). */
    for (size_t cut = 0; cut < len; cut++) {
        char *exact = malloc(cut ? cut : 1);
        const void *none = NULL;
        assert_non_null(exact);
        memcpy(exact, bytes, cut);
        assert_int_equal(bus_decode(&zoo_Everything_type, exact, cut, &none, &err), BUS_CORRUPT);
        assert_null(none);
        free(exact);
    }
    bus_body_free(body);
    free(bytes);
    free(again);
}

static void encodes_zeros(void **state)
{
    (void)state;
    static const zoo_Everything zeros;
    void *bytes;
    const void *body;
    size_t len;
    bus_error err;
    assert_int_equal(bus_encode(&zoo_Everything_type, &zeros, &bytes, &len, &err), BUS_OK);
    assert_int_equal(bus_decode(&zoo_Everything_type, bytes, len, &body, &err), BUS_OK);
    assert_int_equal(((const zoo_Everything *)body)->mood, zoo_Mood_CALM);
    assert_non_null(((const zoo_Everything *)body)->text.at); /* as a key: the empty one, and not none */
    bus_body_free(body);
    free(bytes);
}

/* The constant is what a JSON object without those members becomes. */
static void starts_from_defaults(void **state)
{
    (void)state;
    bus_error err;
    bui_schema *schema;
    bui_buf body;
    void *bytes;
    size_t len;
    zoo_Preset preset = zoo_Preset_defaults;
    preset.required = BUS_STR("r");
    bui_buf_init(&body, 0);
    assert_int_equal(bui_schema_parse(zoo_Preset_type.json, strlen(zoo_Preset_type.json), &schema, &err), BUS_OK);
    assert_int_equal(bui_json_read_framed(schema, "{\"required\":\"r\"}", 16, &body, &err), BUS_OK);
    if (bus_encode(&zoo_Preset_type, &preset, &bytes, &len, &err) != BUS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(len, body.len);
    assert_memory_equal(bytes, body.data, len);
    assert_true(preset.choice.as.int_ == 7 && preset.spot->y == 2 && preset.keeper.role == staff_Role_VET &&
                preset.price.scale == 2);
    free(bytes);
    bui_buf_free(&body);
    bui_schema_free(schema);
}

#define REFUSED(change, expected) \
    do { \
        zoo_Everything in = everything(); \
        void *bytes = NULL; \
        size_t len; \
        bus_error err; \
        change; \
        assert_int_equal(bus_encode(&zoo_Everything_type, &in, &bytes, &len, &err), BUS_INVALID); \
        assert_string_equal(err.text, expected); \
        assert_null(bytes); \
    } while (0)

static void refuses_broken_structs(void **state)
{
    (void)state;
    REFUSED(in.mood = (zoo_Mood)2, "zoo.Everything.mood: 2 is not a symbol of zoo.Mood, which has 2");
    REFUSED(in.mood = (zoo_Mood)-1, "zoo.Everything.mood: -1 is not a symbol of zoo.Mood, which has 2");
    REFUSED(in.text.at = NULL, "zoo.Everything.text: NULL where 6 bytes should be");
    REFUSED(in.text = (BUS_STR("\xff")), "zoo.Everything.text: a string of 1 bytes is not UTF-8");
    REFUSED(in.text.len = SIZE_MAX, "zoo.Everything.text: a length of 18446744073709551615");
    REFUSED(in.spots.at = NULL, "zoo.Everything.spots: NULL where 2 items should be");
    REFUSED(in.spots.len = SIZE_MAX, "zoo.Everything.spots: a length of 18446744073709551615 items");
    REFUSED(in.choice.tag = (zoo_Everything_choice_tag)6, "zoo.Everything.choice: a union's tag of 6; it has 6 branches");
    REFUSED(in.choice.as.Spot = NULL, "zoo.Everything.choice.zoo.Spot: NULL where a zoo.Spot should be");
    REFUSED(in.price.scale = 3, "zoo.Everything.price: a decimal of scale 3; the schema's is 2");
    REFUSED(in.price.unscaled = 1000000000, "zoo.Everything.price: a decimal of more than 9 digits");
    zoo_Tree ring = { .label = BUS_STR("ring") };
    ring.next = &ring;
    zoo_Everything in = everything();
    void *bytes;
    size_t len;
    bus_error err;
    in.tree.next = &ring;
    assert_int_equal(bus_encode(&zoo_Everything_type, &in, &bytes, &len, &err), BUS_INVALID);
    assert_non_null(strstr(err.text, "nested deeper than 64"));
}

static void tells_about_types(void **state)
{
    (void)state;
    assert_string_equal(bus_type_name(&zoo_Tree_type), "zoo.Tree");
    bui_schema *schema;
    bus_error err;
    const char *json = bus_type_schema(&zoo_Everything_type);
    assert_int_equal(bui_schema_parse(json, strlen(json), &schema, &err), BUS_OK);
    assert_string_equal(bus_type_canonical(&zoo_Everything_type), bui_schema_canonical(schema));
    assert_true(bus_type_fingerprint(&zoo_Everything_type) == bui_schema_fingerprint(schema));
    assert_non_null(bui_schema_named(schema, "staff.Role"));
    bui_schema_free(schema);
    void *bytes;
    const void *body = NULL;
    size_t len;
    zoo_Spot spot = { 1, 2 };
    assert_int_equal(bus_encode(&zoo_Spot_type, &spot, &bytes, &len, &err), BUS_OK);
    assert_int_equal(bus_decode(&zoo_Tree_type, bytes, len, &body, &err), BUS_MISSING);
    assert_non_null(strstr(err.text, "written with schema"));
    assert_int_equal(bus_decode(&zoo_Tree_type, "plain", 5, &body, &err), BUS_CORRUPT);
    bus_type old = zoo_Spot_type;
    old.layout = 0;
    assert_int_equal(bus_decode(&old, bytes, len, &body, &err), BUS_INVALID);
    assert_null(body);
    free(bytes);
}

#define HELD "tests/data/odd/"

/* What C cannot tell apart, C gets apart: these names are made up, and others' come first. */
static void gives_way_to_names(void **state)
{
    (void)state;
    static const struct {
        const char *file, *header, *line;
    } cases[] = {
        { "n.R_array", "n", "typedef struct n_R_array_ { const n_R *at; size_t len; } n_R_array_;" },
        { "n.Kinds", "n", "typedef struct n_Kind_array_ { const n_Kind *at; size_t len; } n_Kind_array_;" },
        { "n.TwoVersions", "n", "        const v2_P *v2_P_;" },
        { "n.TwoVersions", "n", "    n_TwoVersions_x_v2_P" },
        { "n.Keywords", "n", "    int32_t _Bool_;" },
        { "n.Keywords", "n", "    int32_t class_;" },
        { "n.Keywords", "n", "    int32_t int__;" },
        { "n.Keywords", "n", "    int32_t int_;" },
        { "features.Flag", "features", "typedef struct features_Flag features_Flag;" },
        { "car.Record", "car", "typedef struct car_record car_record;" },
        { "n.Functions", "n", "static inline const char *n_Function_name__(n_Function value_)" },
        { "n.Functions", "n", "static inline bool n_Function_from_name__(bus_string name_, n_Function *out_)" },
        { "n.Verbs", "n", "static inline bus_status n_Verbs_emit__(bus_tx *tx_, bus_string key_, const n_Verbs *body_)" },
        { "n.Verbs", "n",
          "static inline bus_publication n_Verbs_publication__(const char *topic_, bus_string key_, const n_Verbs *body_)" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static char text[50000];
        char arguments[600], path[256], out[2000];
        snprintf(arguments, sizeof arguments, "-o %s " HELD "%s.avsc", directory, cases[i].file);
        if (run(arguments, out, sizeof out) != 0)
            fail_msg("%s", out);
        snprintf(path, sizeof path, "%s/%s.events.h", directory, cases[i].header);
        FILE *file = fopen(path, "rb");
        assert_non_null(file);
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
        fclose(file);
        if (!strstr(text, cases[i].line))
            fail_msg("%s: no line \"%s\" in\n%s", cases[i].file, cases[i].line, text);
    }
}

static void enums_have_names(void **state)
{
    (void)state;
    zoo_Mood mood = zoo_Mood_CALM;
    assert_string_equal(zoo_Mood_name(zoo_Mood_CROSS), "CROSS");
    assert_null(zoo_Mood_name((zoo_Mood)2));
    assert_null(zoo_Mood_name((zoo_Mood)-1));
    assert_true(zoo_Mood_from_name(BUS_STR("CROSS"), &mood));
    assert_int_equal(mood, zoo_Mood_CROSS);
    assert_true(zoo_Mood_from_name(bus_string_of("CALMLY", 4), &mood));
    assert_int_equal(mood, zoo_Mood_CALM);
    assert_false(zoo_Mood_from_name(BUS_STR("CALMLY"), &mood));
    assert_false(zoo_Mood_from_name((bus_string){ NULL, 0 }, &mood));
    assert_int_equal(mood, zoo_Mood_CALM);
}

static void a_struct_as_json_and_back(void **state)
{
    (void)state;
    zoo_Everything in = everything();
    bus_error err;
    char *json, *again;
    const void *body = NULL;
    if (bus_to_json(&zoo_Everything_type, &in, &json, &err) != BUS_OK)
        fail_msg("%s", err.text);
    assert_non_null(strstr(json, "\"mood\":\"CROSS\",\"hash\":\"\\u0001\\u0002\\u0003\\u0004\",\"spot\":{\"x\":7,\"y\":8},"));
    assert_non_null(strstr(json, "\"day\":\"2024-10-04\""));
    assert_non_null(strstr(json, "\"price\":\"-123.45\""));
    if (bus_from_json(&zoo_Everything_type, bus_str(json), &body, &err) != BUS_OK)
        fail_msg("%s", err.text);
    const zoo_Everything *out = body;
    char *kept = strdup(json);
    memset(json, 'x', strlen(json)); /* the struct borrows nothing of it */
    free(json);
    assert_true(bus_string_is(out->text, "h\xc3\xa9llo") && out->price.unscaled == -12345 && out->spots.at[1].y == 4);
    assert_int_equal(bus_to_json(&zoo_Everything_type, out, &again, &err), BUS_OK);
    assert_string_equal(again, kept);
    bus_body_free(body);
    free(again);
    free(kept);
    /* Defaults, and what does not fit. */
    assert_int_equal(bus_from_json(&zoo_Preset_type, BUS_STR("{\"required\": \"r\"}"), &body, &err), BUS_OK);
    assert_int_equal(((const zoo_Preset *)body)->int_, -5);
    bus_body_free(body);
    assert_int_equal(bus_from_json(&zoo_Spot_type, BUS_STR("{\"x\": 1, \"y\": 2, \"z\": 3}"), &body, &err), BUS_INVALID);
    assert_int_equal(bus_from_json(&zoo_Spot_type, BUS_STR("{\"x\": 1, \"y\": \"two\"}"), &body, &err), BUS_INVALID);
    assert_non_null(strstr(err.text, "zoo.Spot.y"));
    assert_int_equal(bus_from_json(&zoo_Spot_type, BUS_STR("{"), &body, &err), BUS_INVALID);
    assert_int_equal(bus_from_json(&zoo_Spot_type, (bus_string){ NULL, 0 }, &body, &err), BUS_INVALID);
    in.mood = (zoo_Mood)7;
    assert_int_equal(bus_to_json(&zoo_Everything_type, &in, &again, &err), BUS_INVALID);
    assert_string_equal(err.text, "zoo.Everything.mood: 7 is not a symbol of zoo.Mood, which has 2");
}

/* Two versions of a type in one program: each has its own struct, and both are called the same on the wire. */
static void two_versions_fit_into_one_program(void **state)
{
    (void)state;
    const inventory_v2_StockReceived newer = {
        .delivery = BUS_STR("D-1"), .sku = BUS_STR("tea"), .quantity = 2, .quality = inventory_v2_Quality_DAMAGED
    };
    const inventory_StockReceived older = { .delivery = BUS_STR("D-1"), .sku = BUS_STR("tea"), .quantity = 2 };
    char *one, *two;
    bus_error err;
    char out[3000];
    assert_string_equal(bus_type_name(&inventory_v2_StockReceived_type), bus_type_name(&inventory_StockReceived_type));
    assert_true(bus_type_fingerprint(&inventory_v2_StockReceived_type) != bus_type_fingerprint(&inventory_StockReceived_type));
    assert_string_equal(inventory_v2_Quality_name(newer.quality), "DAMAGED");
    assert_int_equal(bus_to_json(&inventory_v2_StockReceived_type, &newer, &two, &err), BUS_OK);
    assert_int_equal(bus_to_json(&inventory_StockReceived_type, &older, &one, &err), BUS_OK);
    assert_string_equal(one, "{\"delivery\":\"D-1\",\"sku\":\"tea\",\"quantity\":2}");
    assert_string_equal(two, "{\"delivery\":\"D-1\",\"sku\":\"tea\",\"quantity\":2,\"quality\":\"DAMAGED\"}");
    free(one);
    free(two);
    static const char *const wrong[] = { "", "v-2", "v.2", "12345678901234567890123456789012345678901" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char arguments[200];
        snprintf(arguments, sizeof arguments, "--suffix '%s' -o %s tests/data/versions/*.avsc", wrong[i], directory);
        assert_int_equal(run(arguments, out, sizeof out), 2);
        assert_non_null(strstr(out, "bus-schemac: a suffix has 1 to 40 letters, digits and _"));
    }
    snprintf(out, sizeof out, "--suffix v2 -o %s tests/data/versions/*.avsc", directory);
    char arguments[200];
    snprintf(arguments, sizeof arguments, "%s", out);
    assert_int_equal(run(arguments, out, sizeof out), 0);
}

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    char command[256];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_same_in_any_order),
        cmocka_unit_test(refuses_with_file_and_path),
        cmocka_unit_test(holds_every_type),
        cmocka_unit_test(encodes_zeros),
        cmocka_unit_test(refuses_broken_structs),
        cmocka_unit_test(tells_about_types),
        cmocka_unit_test(starts_from_defaults),
        cmocka_unit_test(gives_way_to_names),
        cmocka_unit_test(enums_have_names),
        cmocka_unit_test(a_struct_as_json_and_back),
        cmocka_unit_test(two_versions_fit_into_one_program),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
