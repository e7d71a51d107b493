/* SPDX-License-Identifier: MIT
 * The three shapes of the codec's bench: schema, the struct that a program holds, data, and what a good program on avro-c does
 * with the same data: fields by index, lengths known, every field filled and every field read. */
#ifndef CODEC_SHAPES_H
#define CODEC_SHAPES_H

#include <bus/type.h>

#include <avro.h>
#include <stddef.h>
#include <stdlib.h>

typedef struct codec_shape {
    const char *name, *json;
    const char *later;            /* drops a field, moves one and widens ints: what avro-c can do as well */
    const void *body;             /* the program's data */
    size_t size, probe, probe_at; /* of the struct; a field and where it lies, to compare with descriptors */
    int (*fill)(avro_value_t *value, const void *body);    /* 0, or avro-c's error */
    uint64_t (*sum)(const void *body);                     /* of every field */
    int (*read)(const avro_value_t *value, uint64_t *sum); /* the same sum */
} codec_shape;

/* ---- one field of theirs */

static inline int put_string(avro_value_t *record, size_t field, bus_string string)
{
    avro_value_t at;
    /* They count the terminator, which every text of the bench has. */
    return avro_value_get_by_index(record, field, &at, NULL) ||
           avro_value_set_string_len(&at, (char *)(uintptr_t)string.at, string.len + 1);
}

static inline int put_long(avro_value_t *record, size_t field, int64_t number)
{
    avro_value_t at;
    return avro_value_get_by_index(record, field, &at, NULL) || avro_value_set_long(&at, number);
}

static inline int put_int(avro_value_t *record, size_t field, int32_t number)
{
    avro_value_t at;
    return avro_value_get_by_index(record, field, &at, NULL) || avro_value_set_int(&at, number);
}

/* What of a string is read: its length and its first byte. */
static inline uint64_t string_sum(const char *at, size_t len)
{
    return len + (len > 0 ? (unsigned char)at[0] : 0);
}

static inline int get_string(const avro_value_t *value, uint64_t *sum)
{
    const char *text;
    size_t size;
    int failed = avro_value_get_string(value, &text, &size);
    *sum += failed ? 0 : string_sum(text, size - 1);
    return failed;
}

static inline int get_long(const avro_value_t *value, uint64_t *sum)
{
    int64_t number;
    int failed = avro_value_get_long(value, &number);
    *sum += failed ? 0 : (uint64_t)number;
    return failed;
}

static inline int get_int(const avro_value_t *value, uint64_t *sum)
{
    int32_t number;
    int failed = avro_value_get_int(value, &number);
    *sum += failed ? 0 : (uint64_t)number;
    return failed;
}

static inline int string_at(const avro_value_t *record, size_t field, uint64_t *sum)
{
    avro_value_t at;
    return avro_value_get_by_index(record, field, &at, NULL) || get_string(&at, sum);
}

static inline int long_at(const avro_value_t *record, size_t field, uint64_t *sum)
{
    avro_value_t at;
    return avro_value_get_by_index(record, field, &at, NULL) || get_long(&at, sum);
}

static inline int int_at(const avro_value_t *record, size_t field, uint64_t *sum)
{
    avro_value_t at;
    return avro_value_get_by_index(record, field, &at, NULL) || get_int(&at, sum);
}

/* ---- six scalar fields */

typedef struct six {
    bus_string id, customer;
    int32_t count;
    int64_t cents;
    double rate;
    bool gift;
} six;

static int six_fill(avro_value_t *value, const void *body)
{
    const six *from = body;
    avro_value_t at;
    return put_string(value, 0, from->id) || put_string(value, 1, from->customer) || put_int(value, 2, from->count) ||
           put_long(value, 3, from->cents) || avro_value_get_by_index(value, 4, &at, NULL) ||
           avro_value_set_double(&at, from->rate) || avro_value_get_by_index(value, 5, &at, NULL) ||
           avro_value_set_boolean(&at, from->gift);
}

static uint64_t six_sum(const void *body)
{
    const six *from = body;
    return string_sum(from->id.at, from->id.len) + string_sum(from->customer.at, from->customer.len) + (uint64_t)from->count +
           (uint64_t)from->cents + (uint64_t)(from->rate * 4) + from->gift;
}

static int six_read(const avro_value_t *value, uint64_t *sum)
{
    avro_value_t at;
    double rate;
    int gift;
    if (string_at(value, 0, sum) || string_at(value, 1, sum) || int_at(value, 2, sum) || long_at(value, 3, sum) ||
        avro_value_get_by_index(value, 4, &at, NULL) || avro_value_get_double(&at, &rate) ||
        avro_value_get_by_index(value, 5, &at, NULL) || avro_value_get_boolean(&at, &gift))
        return 1;
    *sum += (uint64_t)(rate * 4) + (uint64_t)gift;
    return 0;
}

static const six six_body = {
    BUS_STR("0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55"), BUS_STR("customer-00012345"), 3, 129900, 0.25, true
};

/* ---- an order with lines */

typedef struct line {
    bus_string sku;
    int32_t quantity;
    int64_t cents;
} line;
typedef struct order {
    bus_string id, customer;
    bus_string_optional note;
    struct {
        const line *at;
        size_t len;
    } lines;
} order;

static int order_fill(avro_value_t *value, const void *body)
{
    const order *from = body;
    avro_value_t note, lines, at, branch;
    if (put_string(value, 0, from->id) || put_string(value, 1, from->customer) ||
        avro_value_get_by_index(value, 2, &note, NULL) || avro_value_set_branch(&note, from->note.present, &branch))
        return 1;
    if (from->note.present ? avro_value_set_string_len(&branch, (char *)(uintptr_t)from->note.value.at, from->note.value.len + 1)
                           : avro_value_set_null(&branch))
        return 1;
    if (avro_value_get_by_index(value, 3, &lines, NULL))
        return 1;
    for (size_t i = 0; i < from->lines.len; i++) {
        const line *one = &from->lines.at[i];
        if (avro_value_append(&lines, &at, NULL) || put_string(&at, 0, one->sku) || put_int(&at, 1, one->quantity) ||
            put_long(&at, 2, one->cents))
            return 1;
    }
    return 0;
}

static uint64_t order_sum(const void *body)
{
    const order *from = body;
    uint64_t sum = string_sum(from->id.at, from->id.len) + string_sum(from->customer.at, from->customer.len);
    if (from->note.present)
        sum += string_sum(from->note.value.at, from->note.value.len);
    for (size_t i = 0; i < from->lines.len; i++) {
        const line *one = &from->lines.at[i];
        sum += string_sum(one->sku.at, one->sku.len) + (uint64_t)one->quantity + (uint64_t)one->cents;
    }
    return sum;
}

static int order_read(const avro_value_t *value, uint64_t *sum)
{
    avro_value_t note, lines, at, branch;
    size_t count;
    int tag;
    if (string_at(value, 0, sum) || string_at(value, 1, sum) || avro_value_get_by_index(value, 2, &note, NULL) ||
        avro_value_get_discriminant(&note, &tag) || avro_value_get_current_branch(&note, &branch) ||
        (tag == 1 && get_string(&branch, sum)) || avro_value_get_by_index(value, 3, &lines, NULL) ||
        avro_value_get_size(&lines, &count))
        return 1;
    for (size_t i = 0; i < count; i++)
        if (avro_value_get_by_index(&lines, i, &at, NULL) || string_at(&at, 0, sum) || int_at(&at, 1, sum) ||
            long_at(&at, 2, sum))
            return 1;
    return 0;
}

#define LINE \
    { \
        BUS_STR("sku-000123"), 2, 129900 \
    }
static const line order_lines[] = { LINE, LINE, LINE, LINE, LINE };
static const order order_body = { BUS_STR("order-000001"), BUS_STR("c-42"), { .present = false }, BUS_ARRAY(order_lines) };

/* ---- a wide record: eight times these five fields */

typedef struct either {
    uint32_t tag;
    union {
        bus_null none;
        int64_t number;
        bus_string text;
    } value;
} either;
typedef struct five {
    int64_t number;
    bus_string text;
    bus_string_optional maybe;
    either either;
    bus_int_map map;
} five;
typedef struct wide {
    five fields[8];
} wide;

static int five_fill(avro_value_t *value, size_t first, const five *from)
{
    avro_value_t at, branch, map;
    if (put_long(value, first, from->number) || put_string(value, first + 1, from->text) ||
        avro_value_get_by_index(value, first + 2, &at, NULL) || avro_value_set_branch(&at, from->maybe.present, &branch))
        return 1;
    if (from->maybe.present
            ? avro_value_set_string_len(&branch, (char *)(uintptr_t)from->maybe.value.at, from->maybe.value.len + 1)
            : avro_value_set_null(&branch))
        return 1;
    const either *one = &from->either;
    if (avro_value_get_by_index(value, first + 3, &at, NULL) || avro_value_set_branch(&at, (int)one->tag, &branch))
        return 1;
    if (one->tag == 0   ? avro_value_set_null(&branch)
        : one->tag == 1 ? avro_value_set_long(&branch, one->value.number)
                        : avro_value_set_string_len(&branch, (char *)(uintptr_t)one->value.text.at, one->value.text.len + 1))
        return 1;
    if (avro_value_get_by_index(value, first + 4, &map, NULL))
        return 1;
    for (size_t i = 0; i < from->map.len; i++)
        if (avro_value_add(&map, from->map.at[i].key.at, &at, NULL, NULL) || avro_value_set_int(&at, from->map.at[i].value))
            return 1;
    return 0;
}

static int wide_fill(avro_value_t *value, const void *body)
{
    const wide *from = body;
    for (size_t i = 0; i < 8; i++)
        if (five_fill(value, i * 5, &from->fields[i]))
            return 1;
    return 0;
}

static uint64_t wide_sum(const void *body)
{
    const wide *from = body;
    uint64_t sum = 0;
    for (size_t i = 0; i < 8; i++) {
        const five *at = &from->fields[i];
        const either *one = &at->either;
        sum += (uint64_t)at->number + string_sum(at->text.at, at->text.len);
        if (at->maybe.present)
            sum += string_sum(at->maybe.value.at, at->maybe.value.len);
        if (one->tag == 1)
            sum += (uint64_t)one->value.number;
        else if (one->tag == 2)
            sum += string_sum(one->value.text.at, one->value.text.len);
        for (size_t j = 0; j < at->map.len; j++)
            sum += (unsigned char)at->map.at[j].key.at[0] + (uint64_t)at->map.at[j].value;
    }
    return sum;
}

static int five_read(const avro_value_t *value, size_t first, uint64_t *sum)
{
    avro_value_t at, branch, map;
    const char *key;
    size_t count;
    int tag;
    if (long_at(value, first, sum) || string_at(value, first + 1, sum) || avro_value_get_by_index(value, first + 2, &at, NULL) ||
        avro_value_get_discriminant(&at, &tag) || avro_value_get_current_branch(&at, &branch) ||
        (tag == 1 && get_string(&branch, sum)))
        return 1;
    if (avro_value_get_by_index(value, first + 3, &at, NULL) || avro_value_get_discriminant(&at, &tag) ||
        avro_value_get_current_branch(&at, &branch) || (tag == 1 && get_long(&branch, sum)) ||
        (tag == 2 && get_string(&branch, sum)))
        return 1;
    if (avro_value_get_by_index(value, first + 4, &map, NULL) || avro_value_get_size(&map, &count))
        return 1;
    for (size_t i = 0; i < count; i++) {
        if (avro_value_get_by_index(&map, i, &at, &key) || get_int(&at, sum))
            return 1;
        *sum += (unsigned char)key[0];
    }
    return 0;
}

static int wide_read(const avro_value_t *value, uint64_t *sum)
{
    for (size_t i = 0; i < 8; i++)
        if (five_read(value, i * 5, sum))
            return 1;
    return 0;
}

static const bus_int_entry wide_map[] = { { BUS_STR("one"), 1 }, { BUS_STR("two"), 2 } };
/* clang-format off */
#define FIVE { 123456789, BUS_STR("some text of a field"), { true, BUS_STR("there") }, { 1, { .number = 42 } }, BUS_ARRAY(wide_map) }
/* clang-format on */
static const wide wide_body = { { FIVE, FIVE, FIVE, FIVE, FIVE, FIVE, FIVE, FIVE } };

/* ---- the schemas */

/* clang-format off */
#define RECORD(name, fields) "{\"type\":\"record\",\"name\":\"" name "\",\"fields\":[" fields "]}"
#define FIELD(name, type) "{\"name\":\"" name "\",\"type\":" type "}"
#define LONG "\"long\""
#define INT "\"int\""
#define TEXT "\"string\""
#define LINES(fields) FIELD("lines", "{\"type\":\"array\",\"items\":" RECORD("Line", fields) "}")
#define EITHER "[\"null\",\"long\",\"string\"]"
#define MAYBE "[\"null\",\"string\"]"
#define MAP "{\"type\":\"map\",\"values\":\"int\"}"
#define FOUR(n) FIELD("b" n, TEXT) "," FIELD("c" n, MAYBE) "," FIELD("d" n, EITHER) "," FIELD("e" n, MAP)
#define FIVES(n) FIELD("a" n, LONG) "," FOUR(n)
/* Every tenth field is dropped, the other longs become doubles. */
#define LATER_FIVES(n) FIELD("a" n, "\"double\"") "," FOUR(n)

static const codec_shape codec_shapes[] = {
    { .name = "6 scalars",
      .json = RECORD("Six", FIELD("id", TEXT) "," FIELD("customer", TEXT) "," FIELD("count", INT) "," FIELD("cents", LONG) ","
                     FIELD("rate", "\"double\"") "," FIELD("gift", "\"boolean\"")),
      .later = RECORD("Six", FIELD("cents", LONG) "," FIELD("count", LONG) "," FIELD("id", TEXT) "," FIELD("gift", "\"boolean\"") ","
                      FIELD("customer", TEXT)),
      .body = &six_body, .size = sizeof(six), .probe = 5, .probe_at = offsetof(six, gift),
      .fill = six_fill, .sum = six_sum, .read = six_read },
    { .name = "order, 5 lines",
      .json = RECORD("Order", FIELD("id", TEXT) "," FIELD("customer", TEXT) "," FIELD("note", MAYBE) ","
                     LINES(FIELD("sku", TEXT) "," FIELD("quantity", INT) "," FIELD("cents", LONG))),
      .later = RECORD("Order", FIELD("customer", TEXT) "," FIELD("id", TEXT) ","
                      LINES(FIELD("quantity", LONG) "," FIELD("sku", TEXT) "," FIELD("cents", LONG))),
      .body = &order_body, .size = sizeof(order), .probe = 3, .probe_at = offsetof(order, lines),
      .fill = order_fill, .sum = order_sum, .read = order_read },
    { .name = "wide, 40 fields",
      .json = RECORD("Wide", FIVES("0") "," FIVES("1") "," FIVES("2") "," FIVES("3") "," FIVES("4") "," FIVES("5") "," FIVES("6") "," FIVES("7")),
      .later = RECORD("Wide", FOUR("0") "," LATER_FIVES("1") "," FOUR("2") "," LATER_FIVES("3") "," FOUR("4") "," LATER_FIVES("5") ","
                      FOUR("6") "," LATER_FIVES("7")),
      .body = &wide_body, .size = sizeof(wide), .probe = 39, .probe_at = offsetof(wide, fields[7].map),
      .fill = wide_fill, .sum = wide_sum, .read = wide_read },
};
/* clang-format on */

#endif
