/* SPDX-License-Identifier: MIT
 * Render: records made readable. */
#include "cli/render.h"
#include "base/clock.h"
#include "codec/compact.h"
#include "ops/headers.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void cli_base64(const void *bytes, size_t len, bui_buf *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *at = bytes;
    for (size_t i = 0; i < len; i += 3) {
        uint32_t group = (uint32_t)at[i] << 16 | (i + 1 < len ? (uint32_t)at[i + 1] << 8 : 0) | (i + 2 < len ? at[i + 2] : 0);
        bui_buf_byte(out, (uint8_t)digits[group >> 18]);
        bui_buf_byte(out, (uint8_t)digits[group >> 12 & 63]);
        bui_buf_byte(out, i + 1 < len ? (uint8_t)digits[group >> 6 & 63] : '=');
        bui_buf_byte(out, i + 2 < len ? (uint8_t)digits[group & 63] : '=');
    }
}

bool cli_is_utf8(const void *bytes, size_t len)
{
    const uint8_t *at = bytes, *end = at + len;
    while (at < end) {
        uint64_t word;
        if (end - at >= 8 && (memcpy(&word, at, 8), !(word & UINT64_C(0x8080808080808080)))) {
            at += 8;
            continue;
        }
        size_t more = *at < 0x80                  ? 0
                      : *at >= 0xC2 && *at < 0xE0 ? 1
                      : *at >= 0xE0 && *at < 0xF0 ? 2
                      : *at >= 0xF0 && *at < 0xF5 ? 3
                                                  : 9;
        if ((size_t)(end - at) <= more)
            return false;
        /* overlong forms, surrogates, and what lies over U+10FFFF */
        if ((*at == 0xE0 && at[1] < 0xA0) || (*at == 0xED && at[1] > 0x9F) || (*at == 0xF0 && at[1] < 0x90) ||
            (*at == 0xF4 && at[1] > 0x8F))
            return false;
        for (size_t i = 1; i <= more; i++)
            if ((at[i] & 0xC0) != 0x80)
                return false;
        at += more + 1;
    }
    return true;
}

static void line(bui_buf *out, bool colour, const char *name, const void *value, size_t len)
{
    bui_buf_text(out, "  ");
    bui_buf_text(out, cli_colour_start(CLI_DIM, colour));
    cli_clean(out, name, strlen(name));
    bui_buf_text(out, cli_colour_end(colour));
    bui_buf_byte(out, ' ');
    if (value)
        cli_clean(out, value, len);
    else
        bui_buf_text(out, "(null)");
    bui_buf_byte(out, '\n');
}

static void value_text(const bui_record *record, bui_translator *translator, bool colour, bui_buf *out)
{
    bus_error err = { 0 };
    bui_buf_text(out, "  ");
    if (!record->value) {
        bui_slice at = bui_body_elsewhere(record), letter = bui_record_header(record, "bus-letter");
        bool unsaid = letter.at && memmem(letter.at, letter.len, " open", 5) && !bui_record_header(record, "bus-body").at;
        bui_buf_text(out, at.at    ? "(its event is not in this record: it is  "
                          : unsaid ? "(no value: by an older version, which did not say whether it is a tombstone or did not fit"
                                   : "(no value: a tombstone");
        cli_clean(out, at.at ? at.at : "", at.at ? at.len : 0);
        bui_buf_text(out, ")\n");
        return;
    }
    if (!translator || bui_translator_read(translator, record, out, &err) != BUS_OK) {
        if (translator)
            bui_buf_printf(out, "%s(%zu bytes, undecodable: %s)%s ", cli_colour_start(CLI_RED, colour), record->value_len,
                           err.text, cli_colour_end(colour));
        cli_clean(out, record->value, record->value_len);
    }
    bui_buf_byte(out, '\n');
}

/* What people and their programs see: each attribute under its name, whichever form it came in. */
typedef struct in_full {
    bui_record record;
    bus_header headers[64];
    bus_header *more; /* if they are more than fit */
} in_full;

static void unpack(const bui_record *record, in_full *out, bui_buf *failing)
{
    size_t most = record->header_count + BUI_COMPACT_MORE, room = sizeof out->headers / sizeof *out->headers;
    out->more = most > room ? calloc(most, sizeof *out->more) : NULL;
    bus_header *headers = most > room ? out->more : out->headers;
    out->record = *record;
    out->record.headers = headers;
    out->record.header_count = headers ? bui_compact_unpack(record->headers, record->header_count, headers) : 0;
    failing->failed |= !headers;
}

void cli_record_text(const bui_record *received, bui_translator *translator, bool colour, bui_buf *out)
{
    char time[32];
    in_full full;
    const bui_record *record = &full.record;
    unpack(received, &full, out);
    bui_slice type = bui_record_header(record, "ce_type");
    bui_buf_text(out, cli_colour_start(CLI_BOLD, colour));
    bui_buf_text(out, record->topic);
    bui_buf_byte(out, '/');
    bui_buf_int(out, record->partition);
    bui_buf_text(out, " @ ");
    bui_buf_int(out, record->offset);
    bui_buf_text(out, cli_colour_end(colour));
    bui_buf_text(out, "  ");
    bui_buf_text(out, record->timestamp >= 0 ? bui_time_text(record->timestamp, time) : "-");
    bui_buf_text(out, "  key ");
    if (record->key)
        cli_clean(out, record->key, record->key_len);
    else
        bui_buf_text(out, "-");
    bui_buf_text(out, "  ");
    bui_buf_text(out, cli_colour_start(CLI_GREEN, colour));
    cli_clean(out, type.at ? type.at : "-", type.at ? type.len : 1);
    bui_buf_text(out, cli_colour_end(colour));
    bui_buf_byte(out, '\n');
    for (size_t i = 0; i < record->header_count; i++)
        line(out, colour, record->headers[i].name, record->headers[i].value, record->headers[i].len);
    value_text(record, translator, colour, out);
    free(full.more);
}

static void member(bui_buf *out, const char *name, const void *bytes, size_t len)
{
    bui_buf_text(out, ",\"");
    bui_buf_text(out, name);
    if (!bytes) {
        bui_buf_text(out, "\":null");
    } else if (cli_is_utf8(bytes, len)) {
        bui_buf_text(out, "\":");
        bui_buf_json(out, bytes, len);
    } else {
        bui_buf_text(out, "_base64\":\"");
        cli_base64(bytes, len, out);
        bui_buf_byte(out, '"');
    }
}

static void value_json(const bui_record *record, bui_translator *translator, bui_buf *out)
{
    bus_error err = { 0 };
    size_t before = out->len;
    if (!record->value) {
        bui_slice at = bui_body_elsewhere(record);
        member(out, at.at ? "value_missing" : "value", at.at, at.len);
        return;
    }
    bui_buf_text(out, ",\"value\":");
    if (translator && bui_translator_read(translator, record, out, &err) == BUS_OK)
        return;
    if (!out->failed)
        out->len = before;
    bui_buf_text(out, ",\"value_base64\":\"");
    cli_base64(record->value, record->value_len, out);
    bui_buf_byte(out, '"');
    if (translator)
        member(out, "undecodable", err.text, strlen(err.text));
}

static void header_value(const bus_header *header, bui_buf *out)
{
    if (!header->value) {
        bui_buf_text(out, "null");
    } else if (cli_is_utf8(header->value, header->len)) {
        bui_buf_json(out, header->value, header->len);
    } else {
        bui_buf_text(out, "{\"base64\":\"");
        cli_base64(header->value, header->len, out);
        bui_buf_text(out, "\"}");
    }
}

/* Names differ early: a call of strcmp costs more than it saves. */
static bool same_name(const char *a, const char *b)
{
    for (; *a && *a == *b; a++)
        b++;
    return *a == *b;
}

/* Of those from `at` on that have the name of the one at `at`. */
static size_t namesakes(const bui_record *record, size_t at)
{
    size_t count = 0;
    for (size_t i = at; i < record->header_count; i++)
        count += same_name(record->headers[i].name, record->headers[at].name);
    return count;
}

static bool named_before(const bui_record *record, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (same_name(record->headers[i].name, record->headers[at].name))
            return true;
    return false;
}

/* An object, so that `jq .headers.ce_id` works. Where a name is there several times, its values are an array, in their order; bytes
 * that are no text are {"base64": ...}. */
static void headers_json(const bui_record *record, bui_buf *out)
{
    const char *between = "";
    bui_buf_text(out, ",\"headers\":{");
    for (size_t i = 0; i < record->header_count; i++) {
        const char *name = record->headers[i].name, *comma = "";
        if (named_before(record, i))
            continue;
        bool several = namesakes(record, i) > 1;
        bui_buf_text(out, between);
        between = ",";
        bui_buf_json(out, name, strlen(name));
        bui_buf_text(out, several ? ":[" : ":");
        for (size_t k = i; k < (several ? record->header_count : i + 1); k++) {
            if (!same_name(record->headers[k].name, name))
                continue;
            bui_buf_text(out, comma);
            comma = ",";
            header_value(&record->headers[k], out);
        }
        if (several)
            bui_buf_byte(out, ']');
    }
    bui_buf_byte(out, '}');
}

void cli_record_json(const bui_record *received, bui_translator *translator, bui_buf *out)
{
    char time[32];
    in_full full;
    const bui_record *record = &full.record;
    unpack(received, &full, out);
    bui_slice type = bui_record_header(record, "ce_type"), id = bui_record_header(record, "ce_id");
    bui_buf_text(out, "{\"topic\":");
    bui_buf_json(out, record->topic, strlen(record->topic));
    bui_buf_text(out, ",\"partition\":");
    bui_buf_int(out, record->partition);
    bui_buf_text(out, ",\"offset\":");
    bui_buf_int(out, record->offset);
    bui_buf_text(out, ",\"timestamp\":");
    bui_buf_int(out, record->timestamp);
    if (record->timestamp >= 0) {
        bui_buf_text(out, ",\"time\":\"");
        bui_buf_text(out, bui_time_text(record->timestamp, time));
        bui_buf_byte(out, '"');
    }
    member(out, "key", record->key, record->key_len);
    member(out, "type", type.at, type.len);
    member(out, "id", id.at, id.len);
    headers_json(record, out);
    value_json(record, translator, out);
    bui_buf_text(out, "}\n");
    free(full.more);
}
