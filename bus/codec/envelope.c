/* SPDX-License-Identifier: MIT
 * Envelope: the headers of a record, read in one pass without allocating. A name is found by its length and one
 * comparison; the bus's own headers are parsed with a cursor that only moves forward. */
#include "codec/envelope.h"

#include "base/error.h"
#include "codec/cloud.h"
#include "codec/compact.h"

#include <inttypes.h>
#include <string.h>

#define TOPIC_MAX 249
#define SOURCE_MAX 160
#define ID_MAX 255
#define TOKEN_MAX 64
#define TEXT_MAX 4096 /* of texts that are only passed on */
#define HOP_BARE 512  /* the longest hop without letters but that of a schedule */

/* ---- reading values */

typedef struct cursor {
    const char *at, *end;
    const char *what;
} cursor;

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
static bool word(cursor *c, char stop, size_t max, bui_slice *out, const char *what)
{
    const char *from = c->at;
    while (c->at<c->end && * c->at != stop && * c->at> ' ' && *c->at != 0x7F)
        c->at++;
    size_t len = (size_t)(c->at - from);
    if (len == 0 || len > max)
        return wrong(c, what);
    *out = (bui_slice){ from, len };
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
static bool place(cursor *c, bui_slice *topic, int32_t *partition)
{
    int64_t n = 0;
    if (!word(c, '/', TOPIC_MAX, topic, "the topic") || !take(c, '/', "the partition") ||
        !number(c, 0, INT32_MAX, &n, "the partition") || !take(c, '/', "what follows the partition"))
        return false;
    *partition = (int32_t)n;
    return true;
}

/* Letters of later versions are skipped. */
static bool read_letter_of(cursor *c, char name, bui_hop *hop)
{
    const char *blank = memchr(c->at, ' ', (size_t)(c->end - c->at));
    bui_slice value = { c->at, (size_t)((blank ? blank : c->end) - c->at) };
    if (!bui_is_word(value.at, value.len) || (name == 't' && value.len > TOKEN_MAX))
        return wrong(c, "a letter's word");
    c->at += value.len;
    bui_slice *of = name == 'i'   ? &hop->id
                    : name == 'y' ? &hop->type
                    : name == 'c' ? &hop->causation
                    : name == 'r' ? &hop->correlation
                    : name == 'p' ? &hop->traceparent
                                  : NULL;
    hop->letters |= of != NULL;
    if (name == 't')
        hop->token = value;
    else if (of)
        *of = value;
    return true;
}

static bool read_hop(cursor *c, bui_hop *hop)
{
    int64_t n = 0;
    if (!word(c, ' ', SOURCE_MAX, &hop->source, "the source") || !take(c, ' ', "the destination") ||
        !place(c, &hop->topic, &hop->partition) || !number(c, 1, INT64_MAX, &hop->seq, "the sequence number"))
        return false;
    hop->own = (bui_slice){ hop->source.at, (size_t)(c->at - hop->source.at) };
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
        } else if (name == 's') {
            if (!number(c, 1, 1, &n, "the mark of a schedule"))
                return false;
            hop->scheduled = true;
        } else if (!read_letter_of(c, name, hop)) {
            return false;
        }
        if (!hop->letters)
            hop->own.len = (size_t)(c->at - hop->own.at);
    }
    return true;
}

bool bui_hop_read(bui_slice text, bui_hop *out)
{
    cursor c = { text.at, text.at ? text.at + text.len : NULL, NULL };
    bui_hop hop = { .seq = 0 };
    bool read = read_hop(&c, &hop);
    *out = read ? hop : (bui_hop){ .seq = 0 };
    return read;
}

static bool read_orig(cursor *c, bui_orig *orig)
{
    if (!place(c, &orig->topic, &orig->partition) || !number(c, 0, INT64_MAX, &orig->offset, "the offset") ||
        !take(c, '/', "the timestamp") || !number(c, -1, INT64_MAX, &orig->timestamp, "the timestamp"))
        return false;
    if (c->at == c->end)
        return true;
    if (!take(c, ' ', "what follows the timestamp") || c->at == c->end)
        return wrong(c, "the original hop");
    /* Kept as text: only a redrive reads it, and then as a hop of its own. */
    bui_hop checked = { .seq = 0 };
    if (!read_hop(c, &checked))
        return false;
    orig->hop = checked.own;
    orig->hop_is_own = bui_hop_names(&checked, orig->topic, orig->partition);
    orig->scheduled = checked.scheduled;
    return true;
}

static bool read_body(cursor *c, bui_body_place *body)
{
    bui_slice word_of_it;
    if (!word(c, ' ', ID_MAX, &word_of_it, "none or at"))
        return false;
    if (word_of_it.len == 4 && memcmp(word_of_it.at, "none", 4) == 0 && c->at == c->end) {
        body->kind = BUI_BODY_NONE;
        return true;
    }
    if (word_of_it.len != 2 || memcmp(word_of_it.at, "at", 2) != 0 || !take(c, ' ', "the place") ||
        !place(c, &body->topic, &body->partition) || !number(c, 0, INT64_MAX, &body->offset, "the offset") || c->at != c->end)
        return wrong(c, "none or at");
    body->kind = BUI_BODY_AT;
    return true;
}

static const char *const letter_states[] = { "", "open", "redriven", "resolved", "discarded" };
static const char *const commands[] = { "", "redrive", "discard", "replay", "row-retry", "row-discard" };

static int name_index(const char *const *names, int count, bui_slice name)
{
    for (int i = 1; i < count; i++)
        if (strlen(names[i]) == name.len && memcmp(names[i], name.at, name.len) == 0)
            return i;
    return 0;
}

static bool read_letter(cursor *c, bui_envelope *out)
{
    int64_t round = 0;
    bui_slice state;
    if (!word(c, ' ', ID_MAX, &out->letter_id, "the letter's id") || !take(c, ' ', "the round") ||
        !number(c, 1, INT32_MAX, &round, "the round") || !take(c, ' ', "the state") || !word(c, ' ', ID_MAX, &state, "the state"))
        return false;
    out->letter_round = (int)round;
    out->letter = (bui_deadletter_state)name_index(letter_states, 5, state);
    return (out->letter != BUI_DEADLETTER_NONE && c->at == c->end) || wrong(c, "the state");
}

static bool read_command(cursor *c, bui_envelope *out)
{
    int64_t round = 0;
    bui_slice name;
    if (!word(c, ' ', ID_MAX, &name, "the command") || !take(c, ' ', "the id") ||
        !word(c, ' ', ID_MAX, &out->command_id, "the id") || !take(c, ' ', "the round") ||
        !number(c, 0, INT32_MAX, &round, "the round"))
        return false;
    out->command_round = (int)round;
    out->command = (bui_command_kind)name_index(commands, 6, name);
    return (out->command != BUI_COMMAND_NONE && c->at == c->end) || wrong(c, "the command");
}

/* ---- finding headers */

typedef enum slot {
    SLOT_NONE,
    SLOT_ID,
    SLOT_SOURCE,
    SLOT_TYPE,
    SLOT_CONTENT_TYPE,
    SLOT_CORRELATION,
    SLOT_CAUSATION,
    SLOT_TRACEPARENT,
    SLOT_REPLY_TO,
    SLOT_SCHEMA_ID,
    SLOT_ERROR_CLASS,
    SLOT_ERROR_MESSAGE,
    SLOT_HOP,
    SLOT_ORIG,
    SLOT_LETTER,
    SLOT_COMMAND,
    SLOT_BODY
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
    case sizeof(BUI_HEADER_ID) - 1: return SAME(BUI_HEADER_ID, SLOT_ID);
    case sizeof(BUI_HEADER_HOP) - 1: return name[0] == 'b' ? SAME(BUI_HEADER_HOP, SLOT_HOP) : SAME(BUI_HEADER_TYPE, SLOT_TYPE);
    case sizeof(BUI_HEADER_ORIG) - 1: return name[4] == 'b' ? SAME(BUI_HEADER_BODY, SLOT_BODY) : SAME(BUI_HEADER_ORIG, SLOT_ORIG);
    case sizeof(BUI_HEADER_SOURCE) - 1: return SAME(BUI_HEADER_SOURCE, SLOT_SOURCE);
    case sizeof(BUI_HEADER_LETTER) - 1: return SAME(BUI_HEADER_LETTER, SLOT_LETTER);
    case sizeof(BUI_HEADER_COMMAND) - 1:
        return name[0] == 'b' ? SAME(BUI_HEADER_COMMAND, SLOT_COMMAND) : SAME(BUI_HEADER_TRACEPARENT, SLOT_TRACEPARENT);
    case sizeof(BUI_HEADER_CONTENT_TYPE) - 1:
        return name[0] == 'b' ? SAME(BUI_HEADER_REPLY_TO, SLOT_REPLY_TO) : SAME(BUI_HEADER_CONTENT_TYPE, SLOT_CONTENT_TYPE);
    case sizeof(BUI_HEADER_CAUSATION) - 1: return SAME(BUI_HEADER_CAUSATION, SLOT_CAUSATION);
    case sizeof(BUI_HEADER_SCHEMA_ID) - 1: return SAME(BUI_HEADER_SCHEMA_ID, SLOT_SCHEMA_ID);
    case sizeof(BUI_HEADER_CORRELATION) - 1: return SAME(BUI_HEADER_CORRELATION, SLOT_CORRELATION);
    case sizeof(BUI_HEADER_ERROR_CLASS) - 1: return SAME(BUI_HEADER_ERROR_CLASS, SLOT_ERROR_CLASS);
    case sizeof(BUI_HEADER_ERROR_MESSAGE) - 1: return SAME(BUI_HEADER_ERROR_MESSAGE, SLOT_ERROR_MESSAGE);
    default: return SLOT_NONE;
    }
}
_Static_assert(sizeof(BUI_HEADER_HOP) == sizeof(BUI_HEADER_TYPE) &&
                   sizeof(BUI_HEADER_COMMAND) == sizeof(BUI_HEADER_TRACEPARENT) &&
                   sizeof(BUI_HEADER_REPLY_TO) == sizeof(BUI_HEADER_CONTENT_TYPE) &&
                   sizeof(BUI_HEADER_ORIG) == sizeof(BUI_HEADER_BODY),
               "slot_of tells these apart by one letter");

static bus_status malformed(const bus_header *header, const char *what, bus_error *err)
{
    return bui_fail(err, BUS_CORRUPT, "header %s of %zu bytes: %s is missing, malformed or too long", header->name, header->len,
                    what);
}

/* Where a slot's text goes and how long it may be; the ones with a grammar have none. */
static const struct {
    size_t offset, max;
} texts[] = {
    [SLOT_ID] = { offsetof(bui_envelope, id), ID_MAX },
    [SLOT_SOURCE] = { offsetof(bui_envelope, source), ID_MAX },
    [SLOT_TYPE] = { offsetof(bui_envelope, type), ID_MAX },
    [SLOT_CONTENT_TYPE] = { offsetof(bui_envelope, content_type), ID_MAX },
    [SLOT_CORRELATION] = { offsetof(bui_envelope, correlation), ID_MAX },
    [SLOT_CAUSATION] = { offsetof(bui_envelope, causation), ID_MAX },
    [SLOT_TRACEPARENT] = { offsetof(bui_envelope, traceparent), ID_MAX },
    [SLOT_REPLY_TO] = { offsetof(bui_envelope, reply_to), TOPIC_MAX + 12 },
    [SLOT_SCHEMA_ID] = { offsetof(bui_envelope, schema_id), TEXT_MAX },
    [SLOT_ERROR_CLASS] = { offsetof(bui_envelope, error_class), TEXT_MAX },
    [SLOT_ERROR_MESSAGE] = { offsetof(bui_envelope, error_message), TEXT_MAX },
};

static bus_status read_text(const bus_header *header, slot which, bui_envelope *out, bus_error *err)
{
    bui_slice text = { header->value, header->len };
    if (!text.at)
        return BUS_OK;
    if (text.len > texts[which].max)
        return bui_fail(err, BUS_CORRUPT, "header %s has %zu bytes; %zu are allowed", header->name, header->len,
                        texts[which].max);
    memcpy((char *)out + texts[which].offset, &text, sizeof text);
    return BUS_OK;
}

static bus_status read_own(const bus_header *header, slot which, bui_envelope *out, bus_error *err)
{
    cursor c = { header->value, header->value ? (const char *)header->value + header->len : NULL, NULL };
    bool ok;
    switch (which) {
    case SLOT_HOP:
        out->hop = (bui_hop){ .seq = 0 };
        ok = read_hop(&c, &out->hop);
        break;
    case SLOT_ORIG:
        out->orig = (bui_orig){ .offset = 0 };
        ok = read_orig(&c, &out->orig);
        break;
    case SLOT_LETTER: ok = read_letter(&c, out); break;
    case SLOT_BODY:
        out->body = (bui_body_place){ .offset = 0 };
        ok = read_body(&c, &out->body);
        break;
    default: ok = read_command(&c, out); break;
    }
    return ok ? BUS_OK : malformed(header, c.what, err);
}

bui_slice bui_source_service(bui_slice source)
{
    const char *slash = memchr(source.at, '/', source.len);
    return (bui_slice){ source.at, slash ? (size_t)(slash - source.at) : source.len };
}

void bui_letters_say(bui_envelope *envelope)
{
    const bui_hop *hop = &envelope->hop;
    if (hop->id.at) {
        envelope->id = hop->id;
        if (!envelope->source.at)
            envelope->source = bui_source_service(hop->source);
        if (!envelope->content_type.at)
            envelope->content_type = (bui_slice){ BUI_CLOUD_CONTENT_TYPE, sizeof BUI_CLOUD_CONTENT_TYPE - 1 };
        if (!envelope->version.at)
            envelope->version = (bui_slice){ BUI_CLOUD_VERSION, sizeof BUI_CLOUD_VERSION - 1 };
    }
    if (hop->type.at)
        envelope->type = hop->type;
    if (hop->causation.at)
        envelope->causation = hop->causation;
    if (hop->correlation.at)
        envelope->correlation = hop->correlation;
    else if (hop->causation.at && !envelope->correlation.at)
        envelope->correlation = hop->causation;
    if (hop->traceparent.at)
        envelope->traceparent = hop->traceparent;
}

static bus_status read_all(const bus_header *headers, size_t count, bool event, bui_envelope *out, bus_error *err)
{
    bui_envelope envelope;
    memset(&envelope, 0, sizeof envelope);
    for (size_t i = 0; i < count; i++) {
        slot which = slot_of(headers[i].name);
        if (event && which > SLOT_HOP) {
            envelope.stray = which == SLOT_ORIG ? envelope.stray : headers[i].name;
            continue;
        }
        bus_status status = which == SLOT_NONE ? BUS_OK
                            : which < SLOT_HOP ? read_text(&headers[i], which, &envelope, err)
                                               : read_own(&headers[i], which, &envelope, err);
        if (status != BUS_OK)
            return status;
    }
    if (envelope.hop.letters)
        bui_letters_say(&envelope);
    *out = envelope;
    return BUS_OK;
}

bus_status bui_envelope_read(const bus_header *headers, size_t count, bui_envelope *out, bus_error *err)
{
    return read_all(headers, count, false, out, err);
}

bus_status bui_envelope_read_event(const bus_header *headers, size_t count, bui_envelope *out, bus_error *err)
{
    return read_all(headers, count, true, out, err);
}

bool bui_hop_names(const bui_hop *hop, bui_slice topic, int32_t partition)
{
    return hop->source.at && hop->partition == partition && hop->topic.len == topic.len &&
           memcmp(hop->topic.at, topic.at, topic.len) == 0;
}

/* ---- writing */

typedef struct pen {
    char *at, *end;
} pen; /* at NULL: it did not fit */

static inline void put(pen *p, const char *bytes, size_t len)
{
    if (!p->at || (size_t)(p->end - p->at) < len) {
        p->at = NULL;
        return;
    }
    memcpy(p->at, bytes, len);
    p->at += len;
}

/* `before` is a literal of one byte, or of three. */
static inline void put_number(pen *p, const char *before, int64_t value)
{
    char text[3 + BUI_INT_DIGITS], *end = text + sizeof text, *at = bui_int_digits(value, end);
    size_t len = strlen(before);
    at = memcpy(at - len, before, len);
    put(p, at, (size_t)(end - at));
}

static void put_letter(pen *p, const char before[3], bui_slice value)
{
    if (!value.at)
        return;
    put(p, before, 3);
    put(p, value.at, value.len);
}

static size_t finish(pen *p, char *out)
{
    put(p, "", 1);
    return p->at ? (size_t)(p->at - out) - 1 : 0;
}

size_t bui_hop_write(const bui_hop *hop, char *out, size_t cap)
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
    if (hop->scheduled)
        put(&p, " s=1", 4);
    if (hop->token.at) {
        put(&p, " t=", 3);
        put(&p, hop->token.at, hop->token.len);
    }
    put_letter(&p, " i=", hop->id);
    put_letter(&p, " y=", hop->type);
    put_letter(&p, " c=", hop->causation);
    put_letter(&p, " r=", hop->correlation);
    put_letter(&p, " p=", hop->traceparent);
    return finish(&p, out);
}

static size_t write_orig(const bui_orig *orig, bui_slice hop, char *out, size_t cap)
{
    pen p = { out, out + cap };
    put(&p, orig->topic.at, orig->topic.len);
    put_number(&p, "/", orig->partition);
    put_number(&p, "/", orig->offset);
    put_number(&p, "/", orig->timestamp);
    if (hop.at) {
        put(&p, " ", 1);
        put(&p, hop.at, hop.len);
    }
    return finish(&p, out);
}

/* Everybody may write a hop with many letters that nobody knows. Whether its event is one of the bus must be said all the same. */
size_t bui_orig_write(const bui_orig *orig, char *out, size_t cap)
{
    size_t len = write_orig(orig, orig->hop, out, cap);
    bui_hop hop;
    if (len || !bui_hop_read(orig->hop, &hop))
        return len;
    char text[HOP_BARE];
    bui_hop bare = {
        .source = hop.source, .topic = hop.topic, .partition = hop.partition, .seq = hop.seq, .scheduled = hop.scheduled
    };
    return write_orig(orig, (bui_slice){ text, bui_hop_write(&bare, text, sizeof text) }, out, cap);
}

size_t bui_body_write(const bui_body_place *body, char *out, size_t cap)
{
    pen p = { out, out + cap };
    if (body->kind != BUI_BODY_AT) {
        put(&p, "none", 4);
        return finish(&p, out);
    }
    put(&p, "at ", 3);
    put(&p, body->topic.at, body->topic.len);
    put_number(&p, "/", body->partition);
    put_number(&p, "/", body->offset);
    return finish(&p, out);
}

const char *bui_deadletter_state_name(bui_deadletter_state state)
{
    return state >= BUI_DEADLETTER_NONE && state <= BUI_DEADLETTER_DISCARDED ? letter_states[state] : "";
}

const char *bui_command_name(bui_command_kind command)
{
    return command >= BUI_COMMAND_NONE && command <= BUI_COMMAND_ROW_DISCARD ? commands[command] : "";
}

bool bui_header_travels(const char *name)
{
    static const char *const staying[] = { BUI_HEADER_HOP,    BUI_HEADER_ORIG, BUI_HEADER_LETTER, BUI_HEADER_COMMAND,
                                           BUI_HEADER_REPLAY, "bus-mac",       BUI_HEADER_BODY,   "bus-held",
                                           "bus-reason",      "bus-operator" };
    for (size_t i = 0; i < sizeof staying / sizeof *staying; i++)
        if (strcmp(name, staying[i]) == 0)
            return false;
    return strncmp(name, "__dlq.", 6) != 0;
}

bool bui_reply_address(bui_slice to, char topic[250], int32_t *partition)
{
    const char *slash = to.at ? memrchr(to.at, '/', to.len) : NULL;
    size_t len = slash ? (size_t)(slash - to.at) : 0;
    cursor c = { slash ? slash + 1 : "", slash ? to.at + to.len : "", NULL };
    int64_t place = -1;
    if (len == 0 || len > TOPIC_MAX || !number(&c, 0, INT32_MAX, &place, "the partition") || c.at != c.end)
        return false;
    for (const char *at = to.at; at < slash; at++)
        if (!(*at >= 'a' && *at <= 'z') && !(*at >= 'A' && *at <= 'Z') && !(*at >= '0' && *at <= '9') && *at != '.' &&
            *at != '_' && *at != '-')
            return false;
    memcpy(topic, to.at, len);
    topic[len] = 0;
    *partition = (int32_t)place;
    return bui_topic_takes_replies(topic);
}

bool bui_header_reserved(const char *name)
{
    return strncmp(name, "bus-", 4) == 0 || strncmp(name, "ce_", 3) == 0 || strncmp(name, "__dlq.", 6) == 0 ||
           strcmp(name, BUI_HEADER_CONTENT_TYPE) == 0 || strcmp(name, BUI_HEADER_SCHEMA_ID) == 0;
}

bool bui_topic_takes_replies(const char *topic)
{
    size_t len = strlen(topic), suffix = sizeof BUI_REPLIES_SUFFIX - 1;
    return len >= suffix && memcmp(topic + len - suffix, BUI_REPLIES_SUFFIX, suffix) == 0;
}
