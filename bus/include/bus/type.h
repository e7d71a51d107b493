/* SPDX-License-Identifier: MIT
 * Type: the compiled form of an Avro schema, and the C values that structs made from schemas hold.
 *
 * The schema compiler (bus-schemac) turns each Avro record into a struct and a constant bus_type that describes it.
 * How Avro looks in C:
 *
 *     null             bus_null
 *     boolean          bool
 *     int, long        int32_t, int64_t
 *     float, double    float, double
 *     bytes, string    bus_bytes, bus_string
 *     enum E           enum E { E_SYMBOL ... }
 *     fixed F          struct { uint8_t at[N]; }
 *     record R         struct R, embedded
 *     array of T       T_array { const T *at; size_t len; }
 *     map of T         T_map { const T_entry *at; size_t len; }
 *     ["null", T]      T_optional { bool present; T value; }
 *     ["null", record] const R *, NULL where absent
 *     other unions     a tag and a union; records in it by pointer
 *     logical types    the wrapped values below
 *
 * A struct full of zeros encodes as empty strings, empty arrays, absent optionals, first symbols and first branches.
 * Decoded structs borrow: strings and bytes from the message, the rest from the delivery's memory. */
#ifndef BUS_TYPE_H
#define BUS_TYPE_H

#include <bus/bytes.h>
#include <bus/event.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- values */

/* clang-format off */
typedef struct bus_null { char none; } bus_null; /* nothing: C++ gives an empty struct another size */

typedef struct bus_date { int32_t days; } bus_date;                           /* since 1970-01-01 */
typedef struct bus_time_millis { int32_t ms; } bus_time_millis;               /* since midnight */
typedef struct bus_time_micros { int64_t us; } bus_time_micros;               /* since midnight */
typedef struct bus_timestamp_millis { int64_t ms; } bus_timestamp_millis;     /* since the epoch, UTC */
typedef struct bus_timestamp_micros { int64_t us; } bus_timestamp_micros;     /* since the epoch, UTC */
typedef struct bus_local_timestamp_millis { int64_t ms; } bus_local_timestamp_millis; /* no time zone */
typedef struct bus_local_timestamp_micros { int64_t us; } bus_local_timestamp_micros; /* no time zone */
typedef struct bus_duration { uint32_t months, days, ms; } bus_duration; /* three amounts, none made from another */
typedef struct bus_uuid { uint8_t at[16]; } bus_uuid;                         /* in the order of its text */
/* unscaled * 10^-scale. `scale` must be the schema's. Only for up to 18 digits; wider decimals stay bytes or fixed. */
typedef struct bus_decimal { int64_t unscaled; int32_t scale; } bus_decimal;

/* Declares the array, map and optional of a C type: BUS_CONTAINERS(int32_t, bus_int) gives bus_int_array, bus_int_map,
 * bus_int_entry and bus_int_optional. */
#define BUS_CONTAINERS(T, name)                                                 \
    typedef struct name##_array { const T *at; size_t len; } name##_array;      \
    typedef struct name##_entry { bus_string key; T value; } name##_entry;      \
    typedef struct name##_map { const name##_entry *at; size_t len; } name##_map; \
    typedef struct name##_optional { bool present; T value; } name##_optional
/* clang-format on */

BUS_CONTAINERS(bus_null, bus_null);
BUS_CONTAINERS(bool, bus_boolean);
BUS_CONTAINERS(int32_t, bus_int);
BUS_CONTAINERS(int64_t, bus_long);
BUS_CONTAINERS(float, bus_float);
BUS_CONTAINERS(double, bus_double);
BUS_CONTAINERS(bus_string, bus_string);
BUS_CONTAINERS(bus_bytes, bus_bytes);
BUS_CONTAINERS(bus_date, bus_date);
BUS_CONTAINERS(bus_time_millis, bus_time_millis);
BUS_CONTAINERS(bus_time_micros, bus_time_micros);
BUS_CONTAINERS(bus_timestamp_millis, bus_timestamp_millis);
BUS_CONTAINERS(bus_timestamp_micros, bus_timestamp_micros);
BUS_CONTAINERS(bus_local_timestamp_millis, bus_local_timestamp_millis);
BUS_CONTAINERS(bus_local_timestamp_micros, bus_local_timestamp_micros);
BUS_CONTAINERS(bus_duration, bus_duration);
BUS_CONTAINERS(bus_uuid, bus_uuid);
BUS_CONTAINERS(bus_decimal, bus_decimal);

/* Initialisers. BUS_SOME fills an optional, BUS_ARRAY an array or a map from a C array in scope:
 *     order_OrderPlaced placed = {
 *         .order_id = bus_str(id),
 *         .note = BUS_SOME(BUS_STR("gift")),
 *         .lines = BUS_ARRAY(lines)
 *     }; */
#define BUS_SOME(...) \
    { \
        true, __VA_ARGS__ \
    }
#define BUS_ARRAY(items) \
    { \
        (items), sizeof(items) / sizeof(*(items)) \
    }

/* ---- functions */

/* Return the full name of the record, such as "order.OrderPlaced"; the schema's JSON text, all it refers to included; its
 * Parsing Canonical Form; and the CRC-64-AVRO of that.
 * Thread: any.
 * Errors: none.
 * Owner: the texts live as long as the type. */
const char *bus_type_name(const bus_type *type);
const char *bus_type_schema(const bus_type *type);
const char *bus_type_canonical(const bus_type *type);
uint64_t bus_type_fingerprint(const bus_type *type);

/* Encodes a struct of `type` with its framing (Avro single-object encoding).
 * Thread: any.
 * Errors: BUS_INVALID: the struct breaks its schema (the text has the field's path), or generated code is for another
 * BUS_TYPE_LAYOUT; BUS_NOMEM; BUS_TOO_BIG: over 64 MiB.
 * Owner: *bytes is the caller's: free() it. The struct is only read. */
bus_status bus_encode(const bus_type *type, const void *body, void **bytes, size_t *len, bus_error *err);

/* Decodes what was written with exactly the schema of `type`, framing included. *body becomes a struct of `type`.
 * Thread: any.
 * Errors: BUS_MISSING: written with another schema; BUS_CORRUPT: no such bytes (path and offset in the text); BUS_INVALID:
 * generated code is for another BUS_TYPE_LAYOUT; BUS_NOMEM; BUS_TOO_BIG: more than 64 MiB of memory needed.
 * Owner: *body is the caller's: bus_body_free it. Its strings and bytes borrow from `bytes`, which must outlive it. */
bus_status bus_decode(const bus_type *type, const void *bytes, size_t len, const void **body, bus_error *err);

/* Frees what bus_decode made; NULL is a no-op.
 * Thread: any.
 * Errors: none.
 * Owner: takes the struct. */
void bus_body_free(const void *body);

/* A struct of `type` as JSON, in the plain form that `bus consume` shows, such as {"order_id":"o-1","total_cents":9800}: one line,
 * terminated. The first call for a type parses its schema.
 * Thread: any.
 * Errors: as bus_encode.
 * Owner: *json is the caller's: free() frees it. */
bus_status bus_to_json(const bus_type *type, const void *body, char **json, bus_error *err);

/* The struct of a JSON object, in the plain form or in Avro's JSON encoding. A field that is missing takes its default; one that is
 * unknown is refused.
 * Thread: any.
 * Errors: BUS_INVALID: it does not fit the schema (path in the text) or is no JSON (line and column in the text); BUS_NOMEM; BUS_TOO_BIG:
 * over 64 MiB.
 * Owner: *body is the caller's: bus_body_free frees it. It borrows nothing of `json`. */
bus_status bus_from_json(const bus_type *type, bus_string json, const void **body, bus_error *err);

/* ---- the descriptor: filled by generated code, read by the codec. Not for hand-made types. */

/* The layout of the structs below: generated code for another one is refused when it is used. */
#define BUS_TYPE_LAYOUT 1

/* What a value is. Up to BUS_KIND_UNION these are Avro's own types. */
typedef enum bus_kind {
    BUS_KIND_NULL,
    BUS_KIND_BOOLEAN,
    BUS_KIND_INT,
    BUS_KIND_LONG,
    BUS_KIND_FLOAT,
    BUS_KIND_DOUBLE,
    BUS_KIND_BYTES,
    BUS_KIND_STRING,
    BUS_KIND_RECORD,
    BUS_KIND_ENUM,
    BUS_KIND_FIXED,
    BUS_KIND_ARRAY,
    BUS_KIND_MAP,
    BUS_KIND_UNION,
    /* how C holds some of them */
    BUS_KIND_OPTIONAL, /* union of null and one more: present, value */
    BUS_KIND_POINTER,  /* union of null and a record: a pointer; or a record as a branch of a union */
    BUS_KIND_UUID,     /* string or fixed(16) */
    BUS_KIND_DECIMAL,  /* bytes or fixed */
    BUS_KIND_DURATION  /* fixed(12) */
} bus_kind;

/* Avro's logical type of a value. */
typedef enum bus_logical {
    BUS_LOGICAL_NONE,
    BUS_LOGICAL_DECIMAL,
    BUS_LOGICAL_UUID,
    BUS_LOGICAL_DATE,
    BUS_LOGICAL_TIME_MILLIS,
    BUS_LOGICAL_TIME_MICROS,
    BUS_LOGICAL_TIMESTAMP_MILLIS,
    BUS_LOGICAL_TIMESTAMP_MICROS,
    BUS_LOGICAL_LOCAL_TIMESTAMP_MILLIS,
    BUS_LOGICAL_LOCAL_TIMESTAMP_MICROS,
    BUS_LOGICAL_DURATION
} bus_logical;

/* How a value of a schema looks in C and on the wire. */
typedef struct bus_shape bus_shape;

/* A field of a record, or a branch of a union (then `name` is the branch's: "string", "order.Line"). */
typedef struct bus_field {
    const char *name;
    const bus_shape *shape;
    uint32_t offset; /* in the record's struct; of a branch: in the union's struct */
} bus_field;

struct bus_shape {
    bus_kind kind;
    bus_kind wire; /* the Avro type underneath */
    bus_logical logical;
    uint32_t size;              /* of the C value */
    uint32_t least;             /* the fewest bytes a value takes on the wire: bounds counts before allocating */
    uint32_t count;             /* fields, symbols, branches; bytes of a fixed */
    uint32_t offset;            /* optional: of the value; map: of the value in an entry */
    uint32_t stride;            /* array: from item to item; map: from entry to entry */
    int32_t null_branch;        /* optional, pointer: which branch is null (0 or 1); -1: pointer as a union's branch */
    int32_t precision, scale;   /* decimal */
    const char *name;           /* full name of a record, enum or fixed */
    const bus_shape *item;      /* array, map, optional, pointer */
    const bus_field *fields;    /* record, union */
    const char *const *symbols; /* enum */
};

/* A record's schema. */
struct bus_type {
    uint32_t layout; /* BUS_TYPE_LAYOUT */
    const char *name;
    const char *json;
    const char *canonical;
    uint64_t fingerprint;
    const bus_shape *shape; /* of the record; shape->size is the struct's */
};

/* The text of an enum's symbol; NULL: the value is none of its symbols. For the generated X_name.
 * Thread: any.
 * Errors: none.
 * Owner: keeps nothing. */
static inline const char *bus_symbol_name(const bus_shape *shape, size_t value)
{
    return value < shape->count ? shape->symbols[value] : NULL;
}

/* The symbol of this text. false: there is none; then *at is untouched. For the generated X_from_name.
 * Thread: any.
 * Errors: none.
 * Owner: keeps nothing. */
static inline bool bus_symbol_of(const bus_shape *shape, bus_string name, size_t *at)
{
    for (size_t i = 0; i < shape->count; i++)
        if (bus_string_is(name, shape->symbols[i])) {
            *at = i;
            return true;
        }
    return false;
}

#ifdef __cplusplus
}
#endif
#endif
