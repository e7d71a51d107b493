/* SPDX-License-Identifier: MIT
 * Compact: attributes found among headers, and made letters or headers. */
#include "codec/compact.h"

#define HEADERS_MOST 64

/* In the order in which they are written. */
typedef enum attribute { ID, TYPE, VERSION, SOURCE, CONTENT_TYPE, CORRELATION, CAUSATION, TRACEPARENT, NONE } attribute;

static const char *const names[] = { BUI_HEADER_ID,        BUI_HEADER_TYPE,         BUI_HEADER_SPECVERSION,
                                     BUI_HEADER_SOURCE,    BUI_HEADER_CONTENT_TYPE, BUI_HEADER_CORRELATION,
                                     BUI_HEADER_CAUSATION, BUI_HEADER_TRACEPARENT };

static attribute attribute_of(const char *name)
{
#define IS(literal, which) (strcmp(name, literal) == 0 ? (which) : NONE)
    switch (name[0]) {
    case 't': return IS(BUI_HEADER_TRACEPARENT, TRACEPARENT);
    case 'c': break;
    default: return NONE;
    }
    if (name[1] != 'e' || name[2] != '_')
        return IS(BUI_HEADER_CONTENT_TYPE, CONTENT_TYPE);
    switch (name[3]) {
    case 'i': return IS(BUI_HEADER_ID, ID);
    case 't': return IS(BUI_HEADER_TYPE, TYPE);
    case 's': return name[4] == 'o' ? IS(BUI_HEADER_SOURCE, SOURCE) : IS(BUI_HEADER_SPECVERSION, VERSION);
    case 'c': return name[4] == 'o' ? IS(BUI_HEADER_CORRELATION, CORRELATION) : IS(BUI_HEADER_CAUSATION, CAUSATION);
    default: return NONE;
    }
#undef IS
}

/* ---- letters */

static bool same(bui_slice a, bui_slice b)
{
    return a.at && a.len == b.len && memcmp(a.at, b.at, b.len) == 0;
}

static bool same_text(bui_slice a, const char *text)
{
    return same(a, (bui_slice){ text, strlen(text) });
}

static bool become_letter(bui_slice value, bui_slice *letter)
{
    if (!bui_is_word(value.at, value.len))
        return false;
    *letter = value;
    return true;
}

/* Which of what is said need not be a header. A record without an id is no event of ours. */
static void choose(const bui_slice said[NONE], bui_hop *hop, bool gone[NONE + 1])
{
    if (!become_letter(said[ID], &hop->id))
        return;
    gone[ID] = true;
    gone[TYPE] = become_letter(said[TYPE], &hop->type);
    gone[TRACEPARENT] = become_letter(said[TRACEPARENT], &hop->traceparent);
    gone[VERSION] = same_text(said[VERSION], BUI_CLOUD_VERSION);
    gone[SOURCE] = same(said[SOURCE], bui_source_service(hop->source));
    gone[CONTENT_TYPE] = same_text(said[CONTENT_TYPE], BUI_CLOUD_CONTENT_TYPE);
    if (!said[CORRELATION].at) /* c alone would say r, too */
        return;
    gone[CAUSATION] = become_letter(said[CAUSATION], &hop->causation);
    gone[CORRELATION] =
        (gone[CAUSATION] && same(said[CORRELATION], said[CAUSATION])) || become_letter(said[CORRELATION], &hop->correlation);
}

size_t bui_compact_pack(const bus_header *headers, size_t count, bui_hop *hop, bus_header *out)
{
    uint8_t kind[HEADERS_MOST];
    bui_slice said[NONE + 1] = { { NULL, 0 } };
    bool gone[NONE + 1] = { false };
    size_t kept = 0;
    for (size_t i = 0; i < count && count <= HEADERS_MOST; i++) {
        kind[i] = (uint8_t)attribute_of(headers[i].name);
        if (headers[i].value)
            said[kind[i]] = (bui_slice){ headers[i].value, headers[i].len };
    }
    if (count <= HEADERS_MOST)
        choose(said, hop, gone);
    for (size_t i = 0; i < count; i++)
        if (!hop->id.at || !gone[kind[i]])
            out[kept++] = headers[i];
    return kept;
}

static bui_slice text_of(const char *text)
{
    return text && *text ? (bui_slice){ text, strlen(text) } : (bui_slice){ NULL, 0 };
}

size_t bui_compact_say(const bui_cloud *event, bui_hop *hop, bus_header out[BUI_CLOUD_HEADERS])
{
    const bui_slice said[NONE] = { [ID] = text_of(event->id),
                                   [TYPE] = text_of(event->type),
                                   [VERSION] = { BUI_CLOUD_VERSION, sizeof BUI_CLOUD_VERSION - 1 },
                                   [SOURCE] = text_of(event->source),
                                   [CONTENT_TYPE] = { BUI_CLOUD_CONTENT_TYPE, sizeof BUI_CLOUD_CONTENT_TYPE - 1 },
                                   [CORRELATION] = text_of(event->correlation),
                                   [CAUSATION] = text_of(event->causation),
                                   [TRACEPARENT] = text_of(event->traceparent) };
    bool gone[NONE + 1] = { false };
    size_t n = 0;
    choose(said, hop, gone);
    for (attribute which = ID; which < NONE; which++)
        if (said[which].at && !gone[which])
            out[n++] = (bus_header){ names[which], said[which].at, said[which].len };
    return n;
}

/* ---- headers */

/* What is said under an attribute's name. */
static bui_slice *said_in(bui_envelope *envelope, attribute which)
{
    static const size_t at[] = { [ID] = offsetof(bui_envelope, id),
                                 [TYPE] = offsetof(bui_envelope, type),
                                 [VERSION] = offsetof(bui_envelope, version),
                                 [SOURCE] = offsetof(bui_envelope, source),
                                 [CONTENT_TYPE] = offsetof(bui_envelope, content_type),
                                 [CORRELATION] = offsetof(bui_envelope, correlation),
                                 [CAUSATION] = offsetof(bui_envelope, causation),
                                 [TRACEPARENT] = offsetof(bui_envelope, traceparent) };
    return (bui_slice *)((char *)envelope + at[which]);
}

/* False: no letters, so that each header says all that is said under its name. */
static bool read_letters(const bus_header *headers, size_t count, bui_envelope *out)
{
    size_t at = count;
    *out = (bui_envelope){ .stray = NULL };
    while (at > 0 && strcmp(headers[at - 1].name, BUI_HEADER_HOP) != 0)
        at--;
    if (at == 0 || !bui_hop_read((bui_slice){ headers[at - 1].value, headers[at - 1].len }, &out->hop) || !out->hop.letters)
        return false;
    for (size_t i = 0; i < count; i++) {
        attribute which = attribute_of(headers[i].name);
        if (which != NONE && headers[i].value)
            *said_in(out, which) = (bui_slice){ headers[i].value, headers[i].len };
    }
    bui_letters_say(out);
    return true;
}

size_t bui_compact_unpack(const bus_header *headers, size_t count, bus_header *out)
{
    bui_envelope envelope;
    bool packed = read_letters(headers, count, &envelope);
    size_t n = 0;
    for (attribute which = ID; packed && which < NONE; which++) {
        bui_slice said = *said_in(&envelope, which);
        if (said.at)
            out[n++] = (bus_header){ names[which], said.at, said.len };
    }
    for (size_t i = 0; i < count; i++)
        if (!packed || attribute_of(headers[i].name) == NONE)
            out[n++] = headers[i];
    return n;
}

bui_slice bui_compact_header(const bus_header *headers, size_t count, const char *name)
{
    bui_envelope envelope;
    attribute which = attribute_of(name);
    if (which != NONE && read_letters(headers, count, &envelope))
        return *said_in(&envelope, which);
    for (size_t i = count; i-- > 0;)
        if (strcmp(headers[i].name, name) == 0)
            return (bui_slice){ headers[i].value, headers[i].value ? headers[i].len : 0 };
    return (bui_slice){ NULL, 0 };
}
