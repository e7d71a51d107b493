/* SPDX-License-Identifier: MIT
 * Envelope: the headers of a record, read in one pass without allocating. A name is found by its length and one
 * comparison; the bus's own headers are parsed with a cursor that only moves forward. */
#include "codec/envelope.h"

#include "base/error.h"

#include <inttypes.h>
#include <string.h>

#define TOPIC_MAX 249
#define SOURCE_MAX 160
#define ID_MAX 255
#define TOKEN_MAX 64
#define TEXT_MAX 4096 /* of texts that are only passed on */

/* ---- reading values */

typedef struct cursor { const char *at, *end; const char *what; } cursor;

static bool wrong(cursor *c, const char *what)
{
    if (!c->what)
        c->what = what;
    return false;
}

static bool take(cursor *c, char expected, const char *what)
{
    if (c->at == c->end || *c->at != expected)
        return wrong(c, what);
    c->at++;
    return true;
}

/* Everything up to `stop` or the end, 1 to `max` printable characters without a blank. */
static bool word(cursor *c, char stop, size_t max, bus_slice *out, const char *what)
{
    const char *from = c->at;
    while (c->at < c->end && *c->at != stop && *c->at > ' ' && *c->at != 0x7F)
        c->at++;
    size_t len = (size_t)(c->at - from);
    if (len == 0 || len > max)
        return wrong(c, what);
    *out = (bus_slice){ from, len };
    return true;
}

static bool number(cursor *c, int64_t least, int64_t most, int64_t *out, const char *what)
{
    const char *from = c->at;
    bool minus = c->at < c->end && *c->at == '-';
    int64_t value = 0;
    c->at += minus;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *c->at - '0', &value))
            return wrong(c, what);
    value = minus ? -value : value;
    if (c->at == from + minus || value < least || value > most)
        return wrong(c, what);
    *out = value;
    return true;
}

/* "<topic>/<partition>/": topics hold no slash. */
static bool place(cursor *c, bus_slice *topic, int32_t *partition)
{
    int64_t n = 0;
    if (!word(c, '/', TOPIC_MAX, topic, "the topic") || !take(c, '/', "the partition") ||
        !number(c, 0, INT32_MAX, &n, "the partition") || !take(c, '/', "what follows the partition"))
        return false;
    *partition = (int32_t)n;
    return true;
}

static bool read_hop(cursor *c, bus_hop *hop)
{
    int64_t n = 0;
    if (!word(c, ' ', SOURCE_MAX, &hop->source, "the source") || !take(c, ' ', "the destination") ||
        !place(c, &hop->topic, &hop->partition) || !number(c, 1, INT64_MAX, &hop->seq, "the sequence number"))
        return false;
    while (c->at < c->end) {
        if (c->end - c->at < 4 || c->at[0] != ' ' || c->at[2] != '=')
            return wrong(c, "what follows the sequence number");
        char name = c->at[1];
        c->at += 3;
        if (name == 'a') {
            if (!number(c, 1, INT32_MAX, &n, "the attempt"))
                return false;
            hop->attempt = (int)n;
        } else if (name == 'n') {
            if (!number(c, 1, INT64_MAX, &hop->not_before, "the time not before"))
                return false;
        } else {
            /* Letters of later versions are skipped. */
            bus_slice value;
            if (!word(c, ' ', TOKEN_MAX, &value, "the token"))
                return false;
            if (name == 't')
                hop->token = value;
        }
    }
    return true;
}

static bool read_orig(cursor *c, bus_orig *orig)
{
    if (!place(c, &orig->topic, &orig->partition) || !number(c, 0, INT64_MAX, &orig->offset, "the offset") ||
        !take(c, '/', "the timestamp") || !number(c, -1, INT64_MAX, &orig->timestamp, "the timestamp"))
        return false;
    if (c->at == c->end)
        return true;
    if (!take(c, ' ', "what follows the timestamp") || c->at == c->end)
        return wrong(c, "the original hop");
    /* Kept as text: only a redrive reads it, and then as a hop of its own. */
    orig->hop = (bus_slice){ c->at, (size_t)(c->end - c->at) };
    bus_hop checked = { .seq = 0 };
    if (!read_hop(c, &checked))
        return false;
    orig->hop_is_own = bus_hop_names(&checked, orig->topic, orig->partition);
    return true;
}

static bool read_body(cursor *c, bus_body_place *body)
{
    bus_slice word_of_it;
    if (!word(c, ' ', ID_MAX, &word_of_it, "none or at"))
        return false;
    if (word_of_it.len == 4 && memcmp(word_of_it.at, "none", 4) == 0 && c->at == c->end) {
        body->kind = BUS_BODY_NONE;
        return true;
    }
    if (word_of_it.len != 2 || memcmp(word_of_it.at, "at", 2) != 0 || !take(c, ' ', "the place") || !place(c, &body->topic, &body->partition) ||
        !number(c, 0, INT64_MAX, &body->offset, "the offset") || c->at != c->end)
        return wrong(c, "none or at");
    body->kind = BUS_BODY_AT;
    return true;
}

static const char *const letter_states[] = { "", "open", "redriven", "resolved", "discarded" };
static const char *const commands[] = { "", "redrive", "discard", "replay", "row-retry", "row-discard" };

static int name_index(const char *const *names, int count, bus_slice name)
{
    for (int i = 1; i < count; i++)
        if (strlen(names[i]) == name.len && memcmp(names[i], name.at, name.len) == 0)
            return i;
    return 0;
}

static bool read_letter(cursor *c, bus_envelope *out)
{
    int64_t round = 0;
    bus_slice state;
    if (!word(c, ' ', ID_MAX, &out->letter_id, "the letter's id") || !take(c, ' ', "the round") ||
        !number(c, 1, INT32_MAX, &round, "the round") || !take(c, ' ', "the state") ||
        !word(c, ' ', ID_MAX, &state, "the state"))
        return false;
    out->letter_round = (int)round;
    out->letter = (bus_letter_state)name_index(letter_states, 5, state);
    return (out->letter != BUS_LETTER_NONE && c->at == c->end) || wrong(c, "the state");
}

static bool read_command(cursor *c, bus_envelope *out)
{
    int64_t round = 0;
    bus_slice name;
    if (!word(c, ' ', ID_MAX, &name, "the command") || !take(c, ' ', "the id") ||
        !word(c, ' ', ID_MAX, &out->command_id, "the id") || !take(c, ' ', "the round") ||
        !number(c, 0, INT32_MAX, &round, "the round"))
        return false;
    out->command_round = (int)round;
    out->command = (bus_command_kind)name_index(commands, 6, name);
    return (out->command != BUS_COMMAND_NONE && c->at == c->end) || wrong(c, "the command");
}

/* ---- finding headers */

typedef enum slot {
    SLOT_NONE, SLOT_ID, SLOT_SOURCE, SLOT_TYPE, SLOT_CONTENT_TYPE, SLOT_CORRELATION, SLOT_CAUSATION, SLOT_TRACEPARENT,
    SLOT_REPLY_TO, SLOT_SCHEMA_ID, SLOT_ERROR_CLASS, SLOT_ERROR_MESSAGE, SLOT_HOP, SLOT_ORIG, SLOT_LETTER, SLOT_COMMAND, SLOT_BODY
} slot;

static inline slot same(const char *name, const char *known, size_t len, slot found)
{
    return memcmp(name, known, len) == 0 ? found : SLOT_NONE;
}

#define SAME(literal, found) same(name, literal, sizeof(literal) - 1, found)

static slot slot_of(const char *name)
{
    /* The lengths differ but for three pairs, so a name costs one comparison. */
    switch (strlen(name)) {
    case sizeof(BUS_HEADER_ID) - 1: return SAME(BUS_HEADER_ID, SLOT_ID);
    case sizeof(BUS_HEADER_HOP) - 1:
        return name[0] == 'b' ? SAME(BUS_HEADER_HOP, SLOT_HOP) : SAME(BUS_HEADER_TYPE, SLOT_TYPE);
    case sizeof(BUS_HEADER_ORIG) - 1:
        return name[4] == 'b' ? SAME(BUS_HEADER_BODY, SLOT_BODY) : SAME(BUS_HEADER_ORIG, SLOT_ORIG);
    case sizeof(BUS_HEADER_SOURCE) - 1: return SAME(BUS_HEADER_SOURCE, SLOT_SOURCE);
    case sizeof(BUS_HEADER_LETTER) - 1: return SAME(BUS_HEADER_LETTER, SLOT_LETTER);
    case sizeof(BUS_HEADER_COMMAND) - 1:
        return name[0] == 'b' ? SAME(BUS_HEADER_COMMAND, SLOT_COMMAND) : SAME(BUS_HEADER_TRACEPARENT, SLOT_TRACEPARENT);
    case sizeof(BUS_HEADER_CONTENT_TYPE) - 1:
        return name[0] == 'b' ? SAME(BUS_HEADER_REPLY_TO, SLOT_REPLY_TO) : SAME(BUS_HEADER_CONTENT_TYPE, SLOT_CONTENT_TYPE);
    case sizeof(BUS_HEADER_CAUSATION) - 1: return SAME(BUS_HEADER_CAUSATION, SLOT_CAUSATION);
    case sizeof(BUS_HEADER_SCHEMA_ID) - 1: return SAME(BUS_HEADER_SCHEMA_ID, SLOT_SCHEMA_ID);
    case sizeof(BUS_HEADER_CORRELATION) - 1: return SAME(BUS_HEADER_CORRELATION, SLOT_CORRELATION);
    case sizeof(BUS_HEADER_ERROR_CLASS) - 1: return SAME(BUS_HEADER_ERROR_CLASS, SLOT_ERROR_CLASS);
    case sizeof(BUS_HEADER_ERROR_MESSAGE) - 1: return SAME(BUS_HEADER_ERROR_MESSAGE, SLOT_ERROR_MESSAGE);
    default: return SLOT_NONE;
    }
}
_Static_assert(sizeof(BUS_HEADER_HOP) == sizeof(BUS_HEADER_TYPE) && sizeof(BUS_HEADER_COMMAND) == sizeof(BUS_HEADER_TRACEPARENT) &&
               sizeof(BUS_HEADER_REPLY_TO) == sizeof(BUS_HEADER_CONTENT_TYPE) && sizeof(BUS_HEADER_ORIG) == sizeof(BUS_HEADER_BODY),
               "slot_of tells these apart by one letter");

static bus_status malformed(const bus_header *header, const char *what, bus_error *err)
{
    return bus_fail(err, BUS_CORRUPT, "header %s of %zu bytes: %s is missing, malformed or too long", header->name, header->len,
                    what);
}

/* Where a slot's text goes and how long it may be; the ones with a grammar have none. */
static const struct { size_t offset, max; } texts[] = {
    [SLOT_ID] = { offsetof(bus_envelope, id), ID_MAX },
    [SLOT_SOURCE] = { offsetof(bus_envelope, source), ID_MAX },
    [SLOT_TYPE] = { offsetof(bus_envelope, type), ID_MAX },
    [SLOT_CONTENT_TYPE] = { offsetof(bus_envelope, content_type), ID_MAX },
    [SLOT_CORRELATION] = { offsetof(bus_envelope, correlation), ID_MAX },
    [SLOT_CAUSATION] = { offsetof(bus_envelope, causation), ID_MAX },
    [SLOT_TRACEPARENT] = { offsetof(bus_envelope, traceparent), ID_MAX },
    [SLOT_REPLY_TO] = { offsetof(bus_envelope, reply_to), TOPIC_MAX + 12 },
    [SLOT_SCHEMA_ID] = { offsetof(bus_envelope, schema_id), TEXT_MAX },
    [SLOT_ERROR_CLASS] = { offsetof(bus_envelope, error_class), TEXT_MAX },
    [SLOT_ERROR_MESSAGE] = { offsetof(bus_envelope, error_message), TEXT_MAX },
};

static bus_status read_text(const bus_header *header, slot which, bus_envelope *out, bus_error *err)
{
    bus_slice text = { header->value, header->len };
    if (!text.at)
        return BUS_OK;
    if (text.len > texts[which].max)
        return bus_fail(err, BUS_CORRUPT, "header %s has %zu bytes; %zu are allowed", header->name, header->len,
                        texts[which].max);
    memcpy((char *)out + texts[which].offset, &text, sizeof text);
    return BUS_OK;
}

static bus_status read_own(const bus_header *header, slot which, bus_envelope *out, bus_error *err)
{
    cursor c = { header->value, header->value ? (const char *)header->value + header->len : NULL, NULL };
    bool ok;
    switch (which) {
    case SLOT_HOP:
        out->hop = (bus_hop){ .seq = 0 };
        ok = read_hop(&c, &out->hop);
        break;
    case SLOT_ORIG:
        out->orig = (bus_orig){ .offset = 0 };
        ok = read_orig(&c, &out->orig);
        break;
    case SLOT_LETTER: ok = read_letter(&c, out); break;
    case SLOT_BODY:
        out->body = (bus_body_place){ .offset = 0 };
        ok = read_body(&c, &out->body);
        break;
    default: ok = read_command(&c, out); break;
    }
    return ok ? BUS_OK : malformed(header, c.what, err);
}

static bus_status read_all(const bus_header *headers, size_t count, bool event, bus_envelope *out, bus_error *err)
{
    bus_envelope envelope;
    memset(&envelope, 0, sizeof envelope);
    for (size_t i = 0; i < count; i++) {
        slot which = slot_of(headers[i].name);
        if (event && which > SLOT_HOP) {
            envelope.stray = which == SLOT_ORIG ? envelope.stray : headers[i].name;
            continue;
        }
        bus_status status = which == SLOT_NONE  ? BUS_OK
                            : which < SLOT_HOP ? read_text(&headers[i], which, &envelope, err)
                                               : read_own(&headers[i], which, &envelope, err);
        if (status != BUS_OK)
            return status;
    }
    *out = envelope;
    return BUS_OK;
}

bus_status bus_envelope_read(const bus_header *headers, size_t count, bus_envelope *out, bus_error *err)
{
    return read_all(headers, count, false, out, err);
}

bus_status bus_envelope_read_event(const bus_header *headers, size_t count, bus_envelope *out, bus_error *err)
{
    return read_all(headers, count, true, out, err);
}

bool bus_hop_names(const bus_hop *hop, bus_slice topic, int32_t partition)
{
    return hop->source.at && hop->partition == partition && hop->topic.len == topic.len && memcmp(hop->topic.at, topic.at, topic.len) == 0;
}

/* ---- writing */

typedef struct pen { char *at, *end; } pen; /* at NULL: it did not fit */

static void put(pen *p, const char *bytes, size_t len)
{
    if (!p->at || (size_t)(p->end - p->at) < len) {
        p->at = NULL;
        return;
    }
    memcpy(p->at, bytes, len);
    p->at += len;
}

static void put_number(pen *p, const char *before, int64_t value)
{
    char digits[24];
    size_t at = sizeof digits;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do
        digits[--at] = (char)('0' + left % 10);
    while ((left /= 10) > 0);
    if (value < 0)
        digits[--at] = '-';
    put(p, before, strlen(before));
    put(p, digits + at, sizeof digits - at);
}

static size_t finish(pen *p, char *out)
{
    put(p, "", 1);
    return p->at ? (size_t)(p->at - out) - 1 : 0;
}

size_t bus_hop_write(const bus_hop *hop, char *out, size_t cap)
{
    pen p = { out, out + cap };
    put(&p, hop->source.at, hop->source.len);
    put(&p, " ", 1);
    put(&p, hop->topic.at, hop->topic.len);
    put_number(&p, "/", hop->partition);
    put_number(&p, "/", hop->seq);
    if (hop->attempt > 0)
        put_number(&p, " a=", hop->attempt);
    if (hop->not_before > 0)
        put_number(&p, " n=", hop->not_before);
    if (hop->token.at) {
        put(&p, " t=", 3);
        put(&p, hop->token.at, hop->token.len);
    }
    return finish(&p, out);
}

size_t bus_orig_write(const bus_orig *orig, char *out, size_t cap)
{
    pen p = { out, out + cap };
    put(&p, orig->topic.at, orig->topic.len);
    put_number(&p, "/", orig->partition);
    put_number(&p, "/", orig->offset);
    put_number(&p, "/", orig->timestamp);
    if (orig->hop.at) {
        put(&p, " ", 1);
        put(&p, orig->hop.at, orig->hop.len);
    }
    return finish(&p, out);
}

size_t bus_body_write(const bus_body_place *body, char *out, size_t cap)
{
    pen p = { out, out + cap };
    if (body->kind != BUS_BODY_AT) {
        put(&p, "none", 4);
        return finish(&p, out);
    }
    put(&p, "at ", 3);
    put(&p, body->topic.at, body->topic.len);
    put_number(&p, "/", body->partition);
    put_number(&p, "/", body->offset);
    return finish(&p, out);
}

const char *bus_letter_state_name(bus_letter_state state)
{
    return state >= BUS_LETTER_NONE && state <= BUS_LETTER_DISCARDED ? letter_states[state] : "";
}

const char *bus_command_name(bus_command_kind command)
{
    return command >= BUS_COMMAND_NONE && command <= BUS_COMMAND_ROW_DISCARD ? commands[command] : "";
}

bool bus_header_travels(const char *name)
{
    static const char *const staying[] = { BUS_HEADER_HOP, BUS_HEADER_ORIG, BUS_HEADER_LETTER, BUS_HEADER_COMMAND, BUS_HEADER_REPLAY,
                                           "bus-mac", BUS_HEADER_BODY, "bus-held", "bus-reason", "bus-operator" };
    for (size_t i = 0; i < sizeof staying / sizeof *staying; i++)
        if (strcmp(name, staying[i]) == 0)
            return false;
    return strncmp(name, "__dlq.", 6) != 0;
}

bool bus_reply_address(bus_slice to, char topic[250], int32_t *partition)
{
    const char *slash = to.at ? memrchr(to.at, '/', to.len) : NULL;
    size_t len = slash ? (size_t)(slash - to.at) : 0;
    cursor c = { slash ? slash + 1 : "", slash ? to.at + to.len : "", NULL };
    int64_t place = -1;
    if (len == 0 || len > TOPIC_MAX || !number(&c, 0, INT32_MAX, &place, "the partition") || c.at != c.end)
        return false;
    for (const char *at = to.at; at < slash; at++)
        if (!(*at >= 'a' && *at <= 'z') && !(*at >= 'A' && *at <= 'Z') && !(*at >= '0' && *at <= '9') && *at != '.' && *at != '_' && *at != '-')
            return false;
    memcpy(topic, to.at, len);
    topic[len] = 0;
    *partition = (int32_t)place;
    return bus_topic_takes_replies(topic);
}

bool bus_header_reserved(const char *name)
{
    return strncmp(name, "bus-", 4) == 0 || strncmp(name, "ce_", 3) == 0 || strncmp(name, "__dlq.", 6) == 0 ||
           strcmp(name, BUS_HEADER_CONTENT_TYPE) == 0 || strcmp(name, BUS_HEADER_SCHEMA_ID) == 0;
}

bool bus_topic_takes_replies(const char *topic)
{
    size_t len = strlen(topic), suffix = sizeof BUS_REPLIES_SUFFIX - 1;
    return len >= suffix && memcmp(topic + len - suffix, BUS_REPLIES_SUFFIX, suffix) == 0;
}
