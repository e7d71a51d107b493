/* SPDX-License-Identifier: MIT
 * Render: records made readable. */
#include "cli/render.h"
#include "base/clock.h"
#include "ops/headers.h"

#include <inttypes.h>
#include <string.h>

void cli_base64(const void *bytes, size_t len, bus_buf *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *at = bytes;
    for (size_t i = 0; i < len; i += 3) {
        uint32_t group = (uint32_t)at[i] << 16 | (i + 1 < len ? (uint32_t)at[i + 1] << 8 : 0) | (i + 2 < len ? at[i + 2] : 0);
        bus_buf_byte(out, (uint8_t)digits[group >> 18]);
        bus_buf_byte(out, (uint8_t)digits[group >> 12 & 63]);
        bus_buf_byte(out, i + 1 < len ? (uint8_t)digits[group >> 6 & 63] : '=');
        bus_buf_byte(out, i + 2 < len ? (uint8_t)digits[group & 63] : '=');
    }
}

bool cli_is_utf8(const void *bytes, size_t len)
{
    const uint8_t *at = bytes, *end = at + len;
    while (at < end) {
        size_t more = *at < 0x80 ? 0 : *at >= 0xC2 && *at < 0xE0 ? 1 : *at >= 0xE0 && *at < 0xF0 ? 2 : *at >= 0xF0 && *at < 0xF5 ? 3 : 9;
        if ((size_t)(end - at) <= more)
            return false;
        /* overlong forms, surrogates, and what lies over U+10FFFF */
        if ((*at == 0xE0 && at[1] < 0xA0) || (*at == 0xED && at[1] > 0x9F) || (*at == 0xF0 && at[1] < 0x90) || (*at == 0xF4 && at[1] > 0x8F))
            return false;
        for (size_t i = 1; i <= more; i++)
            if ((at[i] & 0xC0) != 0x80)
                return false;
        at += more + 1;
    }
    return true;
}

static void line(bus_buf *out, bool colour, const char *name, const void *value, size_t len)
{
    bus_buf_printf(out, "  %s", cli_colour_start(CLI_DIM, colour));
    cli_clean(out, name, strlen(name));
    bus_buf_printf(out, "%s ", cli_colour_end(colour));
    if (value)
        cli_clean(out, value, len);
    else
        bus_buf_text(out, "(null)");
    bus_buf_byte(out, '\n');
}

static void value_text(const bus_record *record, bus_translator *translator, bool colour, bus_buf *out)
{
    bus_error err = { 0 };
    bus_buf_text(out, "  ");
    if (!record->value) {
        bus_slice at = bus_body_elsewhere(record), letter = bus_record_header(record, "bus-letter");
        bool unsaid = letter.at && memmem(letter.at, letter.len, " open", 5) && !bus_record_header(record, "bus-body").at;
        bus_buf_text(out, at.at    ? "(its event is not in this record: it is "
                          : unsaid ? "(no value: by an older version, which did not say whether it is a tombstone or did not fit"
                                   : "(no value: a tombstone");
        cli_clean(out, at.at ? at.at : "", at.at ? at.len : 0);
        bus_buf_text(out, ")\n");
        return;
    }
    if (!translator || bus_translator_read(translator, record, out, &err) != BUS_OK) {
        if (translator)
            bus_buf_printf(out, "%s(%zu bytes, undecodable: %s)%s ", cli_colour_start(CLI_RED, colour), record->value_len, err.text,
                           cli_colour_end(colour));
        cli_clean(out, record->value, record->value_len);
    }
    bus_buf_byte(out, '\n');
}

void cli_record_text(const bus_record *record, bus_translator *translator, bool colour, bus_buf *out)
{
    char time[32];
    bus_slice type = bus_record_header(record, "ce_type");
    bus_buf_printf(out, "%s%s/%" PRId32 " @ %" PRId64 "%s  %s  key ", cli_colour_start(CLI_BOLD, colour), record->topic, record->partition,
                   record->offset, cli_colour_end(colour), record->timestamp >= 0 ? bus_time_text(record->timestamp, time) : "-");
    if (record->key)
        cli_clean(out, record->key, record->key_len);
    else
        bus_buf_text(out, "-");
    bus_buf_printf(out, "  %s", cli_colour_start(CLI_GREEN, colour));
    cli_clean(out, type.at ? type.at : "-", type.at ? type.len : 1);
    bus_buf_printf(out, "%s\n", cli_colour_end(colour));
    for (size_t i = 0; i < record->header_count; i++)
        line(out, colour, record->headers[i].name, record->headers[i].value, record->headers[i].len);
    value_text(record, translator, colour, out);
}

static void member(bus_buf *out, const char *name, const void *bytes, size_t len)
{
    if (!bytes) {
        bus_buf_printf(out, ",\"%s\":null", name);
    } else if (cli_is_utf8(bytes, len)) {
        bus_buf_printf(out, ",\"%s\":", name);
        bus_buf_json(out, bytes, len);
    } else {
        bus_buf_printf(out, ",\"%s_base64\":\"", name);
        cli_base64(bytes, len, out);
        bus_buf_byte(out, '"');
    }
}

static void value_json(const bus_record *record, bus_translator *translator, bus_buf *out)
{
    bus_error err = { 0 };
    size_t before = out->len;
    if (!record->value) {
        bus_slice at = bus_body_elsewhere(record);
        member(out, at.at ? "value_missing" : "value", at.at, at.len);
        return;
    }
    bus_buf_text(out, ",\"value\":");
    if (translator && bus_translator_read(translator, record, out, &err) == BUS_OK)
        return;
    if (!out->failed)
        out->len = before;
    bus_buf_text(out, ",\"value_base64\":\"");
    cli_base64(record->value, record->value_len, out);
    bus_buf_byte(out, '"');
    if (translator)
        member(out, "undecodable", err.text, strlen(err.text));
}

static void header_value(const bus_header *header, bus_buf *out)
{
    if (!header->value) {
        bus_buf_text(out, "null");
    } else if (cli_is_utf8(header->value, header->len)) {
        bus_buf_json(out, header->value, header->len);
    } else {
        bus_buf_text(out, "{\"base64\":\"");
        cli_base64(header->value, header->len, out);
        bus_buf_text(out, "\"}");
    }
}

/* Of those from `at` on that have the name of the one at `at`. */
static size_t namesakes(const bus_record *record, size_t at)
{
    size_t count = 0;
    for (size_t i = at; i < record->header_count; i++)
        count += !strcmp(record->headers[i].name, record->headers[at].name);
    return count;
}

static bool named_before(const bus_record *record, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (!strcmp(record->headers[i].name, record->headers[at].name))
            return true;
    return false;
}

/* An object, so that `jq .headers.ce_id` works. Where a name is there several times, its values are an array, in their order; bytes
 * that are no text are {"base64": ...}. */
static void headers_json(const bus_record *record, bus_buf *out)
{
    const char *between = "";
    bus_buf_text(out, ",\"headers\":{");
    for (size_t i = 0; i < record->header_count; i++) {
        const char *name = record->headers[i].name, *comma = "";
        if (named_before(record, i))
            continue;
        bool several = namesakes(record, i) > 1;
        bus_buf_text(out, between);
        between = ",";
        bus_buf_json(out, name, strlen(name));
        bus_buf_text(out, several ? ":[" : ":");
        for (size_t k = i; k < record->header_count; k++) {
            if (strcmp(record->headers[k].name, name) != 0)
                continue;
            bus_buf_text(out, comma);
            comma = ",";
            header_value(&record->headers[k], out);
        }
        if (several)
            bus_buf_byte(out, ']');
    }
    bus_buf_byte(out, '}');
}

void cli_record_json(const bus_record *record, bus_translator *translator, bus_buf *out)
{
    char time[32];
    bus_slice type = bus_record_header(record, "ce_type"), id = bus_record_header(record, "ce_id");
    bus_buf_text(out, "{\"topic\":");
    bus_buf_json(out, record->topic, strlen(record->topic));
    bus_buf_printf(out, ",\"partition\":%" PRId32 ",\"offset\":%" PRId64 ",\"timestamp\":%" PRId64, record->partition, record->offset,
                   record->timestamp);
    if (record->timestamp >= 0)
        bus_buf_printf(out, ",\"time\":\"%s\"", bus_time_text(record->timestamp, time));
    member(out, "key", record->key, record->key_len);
    member(out, "type", type.at, type.len);
    member(out, "id", id.at, id.len);
    headers_json(record, out);
    value_json(record, translator, out);
    bus_buf_text(out, "}\n");
}
