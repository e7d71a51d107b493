/* SPDX-License-Identifier: MIT
 * Value: to and from avro-c. What avro-c 1.11 does badly is kept from it: hostile bytes (it takes an enum's index out of
 * range, loops on a block count of INT64_MIN, grows without bound on array<null>), and texts that it parses otherwise than
 * we do: it is given the canonical form. */
#include "codec/value.h"

#include "base/error.h"
#include "codec/plan.h"

#include <avro.h>
#include <string.h>

bus_status bui_body_check(const bui_schema *schema, const void *body, size_t len, size_t skip, bus_error *err)
{
    bui_plan *plan;
    bus_status status = bui_plan_check(schema, &plan, err);
    if (status != BUS_OK)
        return status;
    status = bui_plan_decode(plan, body ? body : "", body ? len : 0, skip, NULL, NULL, err);
    bui_plan_free(plan);
    return status;
}

static bus_status refused(const bui_schema *schema, const char *what, bus_error *err)
{
    return bui_fail(err, BUS_SCHEMA, "%s: avro-c cannot %s it", bui_schema_name(schema), what);
}

bus_status bui_value_decode(const bui_schema *schema, const void *body, size_t len, size_t skip, avro_value_t *out,
                            bus_error *err)
{
    const char *text = bui_schema_canonical(schema);
    avro_schema_t theirs = NULL;
    avro_value_iface_t *class = NULL;
    avro_reader_t reader = NULL;
    avro_value_t value = { NULL, NULL };
    bus_status status = bui_body_check(schema, body, len, skip, err);
    if (status != BUS_OK)
        return status;
    if (avro_schema_from_json_length(text, strlen(text), &theirs) != 0)
        return refused(schema, "read the canonical form of", err);
    class = avro_generic_class_from_schema(theirs);
    if (!class || avro_generic_value_new(class, &value) != 0) {
        status = refused(schema, "make a value of", err);
        goto out;
    }
    reader = avro_reader_memory(body ? body : "", (int64_t)len);
    if (!reader)
        status = bui_fail_nomem(err);
    else if (avro_value_read(reader, &value) != 0)
        status = refused(schema, "read a value of", err);
    if (status == BUS_OK)
        *out = value;
    else
        avro_value_decref(&value);
out:
    if (reader)
        avro_reader_free(reader);
    if (class)
        avro_value_iface_decref(class); /* the value keeps it */
    avro_schema_decref(theirs);
    return status;
}

/* That the value is of this schema: by the canonical form of what avro-c writes of its own. */
static bus_status check_schema(const bui_schema *schema, avro_value_t *value, bus_error *err)
{
    bui_buf text;
    bus_error why;
    bui_schema *own = NULL;
    bui_buf_init(&text, 0);
    avro_schema_t theirs = avro_value_get_schema(value);
    uint8_t *room = theirs ? bui_buf_grow(&text, BUI_SCHEMA_MAX_BYTES) : NULL;
    avro_writer_t writer = room ? avro_writer_memory((char *)room, BUI_SCHEMA_MAX_BYTES) : NULL;
    bus_status status = BUS_OK;
    if (!writer)
        status = theirs ? bui_fail_nomem(err) : bui_fail(err, BUS_INVALID, "the value has no schema");
    else if (avro_schema_to_json(theirs, writer) != 0)
        status = refused(schema, "write the schema of", err);
    else if (bui_schema_parse((const char *)room, (size_t)avro_writer_tell(writer), &own, &why) != BUS_OK)
        status = bui_fail(err, why.status == BUS_NOMEM ? BUS_NOMEM : BUS_INVALID, "the value's own schema: %s", why.text);
    else if (strcmp(bui_schema_canonical(own), bui_schema_canonical(schema)) != 0)
        status = bui_fail(err, BUS_INVALID, "the value is of another schema, %.100s, than the given one, %.100s",
                          bui_schema_name(own), bui_schema_name(schema));
    if (writer)
        avro_writer_free(writer);
    bui_schema_free(own);
    bui_buf_free(&text);
    return status;
}

bus_status bui_value_encode(const bui_schema *schema, avro_value_t *value, bui_buf *out, bus_error *err)
{
    size_t size = 0, before = out->len;
    bus_status status = check_schema(schema, value, err);
    if (status != BUS_OK)
        return status;
    if (avro_value_sizeof(value, &size) != 0)
        return bui_fail(err, BUS_INVALID, "%s: the value is not complete", bui_schema_name(schema));
    uint8_t *room = bui_buf_grow(out, size ? size : 1);
    if (!room)
        return out->over ? bui_fail(err, BUS_TOO_BIG, "%s: the body is over %zu bytes", bui_schema_name(schema), out->limit)
                         : bui_fail_nomem(err);
    avro_writer_t writer = avro_writer_memory((char *)room, (int64_t)size);
    if (!writer)
        status = bui_fail_nomem(err);
    else if (avro_value_write(writer, value) != 0 || (size_t)avro_writer_tell(writer) != size)
        status = bui_fail(err, BUS_INVALID, "%s: avro-c cannot write the value", bui_schema_name(schema));
    if (writer)
        avro_writer_free(writer);
    if (status == BUS_OK) {
        bus_error why;
        out->len = before + size;
        status = bui_body_check(schema, out->data + before, size, 0, &why);
        if (status != BUS_OK)
            status = bui_fail(err, status == BUS_CORRUPT ? BUS_INVALID : status, "the value breaks its schema: %s", why.text);
    }
    if (status != BUS_OK)
        out->len = before;
    return status;
}
