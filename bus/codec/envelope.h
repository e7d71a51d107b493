/* SPDX-License-Identifier: MIT
 * Envelope: the headers of a record. End to end: CloudEvents 1.0, Kafka protocol binding, binary mode. For the hop:
 * `bus-hop`, written by whoever writes the record; `bus-orig` on copies; `bus-letter` and `bus-command` on dead
 * letters and redrives. All text, so that kcat shows it.
 *
 *   bus-hop:     <service>/<shard>#<incarnation> <topic>/<partition>/<seq>[ a=<attempt>][ n=<not-before ms>][ t=<token>]
 *   bus-orig:    <topic>/<partition>/<offset>/<timestamp ms>[ <the original bus-hop>]
 *   bus-letter:  <letter id> <round> <open|redriven|resolved|discarded>
 *   bus-body:    none, or at <topic>/<partition>/<offset>: of a copy without a value, whether its event has none (a tombstone), or has
 *                one that did not fit and is there
 *   bus-command: <redrive|discard|replay|row-retry|row-discard> <letter id, run id or outbox row> <round>
 *   bus-reply-to: <topic>/<partition>, where <topic> ends with BUS_REPLIES_SUFFIX
 */
#ifndef BUS_CODEC_ENVELOPE_H
#define BUS_CODEC_ENVELOPE_H

#include "base/buf.h"
#include <bus/event.h>

#define BUS_HEADER_SPECVERSION "ce_specversion"
#define BUS_HEADER_ID "ce_id"
#define BUS_HEADER_SOURCE "ce_source"
#define BUS_HEADER_TYPE "ce_type"
#define BUS_HEADER_CONTENT_TYPE "content-type"
#define BUS_HEADER_CORRELATION "ce_correlationid"
#define BUS_HEADER_CAUSATION "ce_causationid"
#define BUS_HEADER_TRACEPARENT "traceparent"
#define BUS_HEADER_HOP "bus-hop"
#define BUS_HEADER_ORIG "bus-orig"
#define BUS_HEADER_LETTER "bus-letter"
#define BUS_HEADER_COMMAND "bus-command"
#define BUS_HEADER_BODY "bus-body"
#define BUS_HEADER_REPLY_TO "bus-reply-to"
#define BUS_HEADER_REPLAY "bus-replay" /* on a letter: it is that of a copy, sent in this run of `bus replay` */
#define BUS_REPLIES_SUFFIX ".replies"
#define BUS_HEADER_SCHEMA_ID "__value_schema_id" /* a registry's reference to the value's schema: see codec/framing.h */
#define BUS_HEADER_ERROR_CLASS "__dlq.errors.class"
#define BUS_HEADER_ERROR_MESSAGE "__dlq.errors.message"

typedef struct bus_slice { const char *at; size_t len; } bus_slice; /* not terminated; at NULL: absent */

typedef struct bus_hop {
    bus_slice source;      /* service/shard#incarnation; absent: no hop */
    bus_slice topic;
    int32_t partition;
    int64_t seq;           /* from 1 */
    int attempt;           /* 0: not given */
    int64_t not_before;    /* ms since the epoch, 0: not given */
    bus_slice token;
} bus_hop;

typedef struct bus_orig {
    bus_slice topic; int32_t partition; int64_t offset; int64_t timestamp;
    bus_slice hop;
    bool hop_is_own;       /* it names this topic and partition: the event was made by a bus */
} bus_orig;

typedef enum bus_body_kind { BUS_BODY_UNSAID, BUS_BODY_NONE, BUS_BODY_AT } bus_body_kind;
typedef struct bus_body_place { bus_body_kind kind; bus_slice topic; int32_t partition; int64_t offset; } bus_body_place;

typedef enum bus_letter_state { BUS_LETTER_NONE, BUS_LETTER_OPEN, BUS_LETTER_REDRIVEN, BUS_LETTER_RESOLVED, BUS_LETTER_DISCARDED } bus_letter_state;
typedef enum bus_command_kind { BUS_COMMAND_NONE, BUS_COMMAND_REDRIVE, BUS_COMMAND_DISCARD, BUS_COMMAND_REPLAY,
    BUS_COMMAND_ROW_RETRY, BUS_COMMAND_ROW_DISCARD } bus_command_kind;

typedef struct bus_envelope {
    bus_slice id, source, type, content_type, correlation, causation, traceparent, reply_to, schema_id;
    bus_hop hop;
    bus_orig orig;
    bus_slice letter_id; int letter_round; bus_letter_state letter;
    bus_slice command_id; int command_round; bus_command_kind command;
    bus_body_place body;
    bus_slice error_class, error_message;   /* __dlq.errors.class, __dlq.errors.message */
    const char *stray;                      /* a header of commands that bus_envelope_read_event passed over; NULL: none */
} bus_envelope;

/* Reads headers; the slices borrow from them. The last header of a name counts. Unknown headers are skipped.
 * BUS_CORRUPT if one of the bus's own headers is malformed (which one, and what is wrong). Lengths are bounded:
 * names of topics 249, source 160, id 255, token 64. */
bus_status bus_envelope_read(const bus_header *headers, size_t count, bus_envelope *out, bus_error *err);
/* The same of a record on a topic that others write, too: bus-orig, bus-letter and bus-command count on `<service>.redrive` and
 * `<service>.dlq` alone. Here they are passed over unread, and `stray` names one of the latter two: bus-orig alone is on copies that
 * `bus replay --to-topic` has made, where it tells people where they come from. */
bus_status bus_envelope_read_event(const bus_header *headers, size_t count, bus_envelope *out, bus_error *err);
/* Does the hop lead to this partition? One that names another was copied with its record, and says nothing about this one. */
bool bus_hop_names(const bus_hop *hop, bus_slice topic, int32_t partition);

/* Write one header's value; return the length written, 0 if it does not fit. Terminated. */
size_t bus_hop_write(const bus_hop *hop, char *out, size_t cap);
size_t bus_orig_write(const bus_orig *orig, char *out, size_t cap);
size_t bus_body_write(const bus_body_place *body, char *out, size_t cap); /* of NONE or AT */
const char *bus_letter_state_name(bus_letter_state state);      /* "open" ... */
const char *bus_command_name(bus_command_kind command);

/* Does a header go with a copy of its event? Not those of one hop, one letter or one command. */
bool bus_header_travels(const char *name);

/* Where an answer goes, out of bus-reply-to. False: it is not "<topic>/<partition>" with a topic that Kafka can have and that takes
 * replies. */
bool bus_reply_address(bus_slice to, char topic[250], int32_t *partition);

/* Is it the bus's to write on what it sends? bus-*, ce_*, __dlq.*, content-type, and a registry's reference to a schema: they say
 * what a record is, and those of one record are wrong on another. */
bool bus_header_reserved(const char *name);

/* May answers go there? To no topic that carries somebody's commands or events: its name ends with BUS_REPLIES_SUFFIX. */
bool bus_topic_takes_replies(const char *topic);

/* Headers as one blob, for the store: well-known names take one byte. Order is kept. */
void bus_headers_pack(const bus_header *headers, size_t count, bus_buf *out);
/* The same of two lists, one after the other. */
void bus_headers_pack_both(const bus_header *a, size_t a_count, const bus_header *b, size_t b_count, bus_buf *out);
/* Unpacks into out[max] (borrowing from blob); returns the count, or SIZE_MAX if the blob is malformed or over max. */
size_t bus_headers_unpack(const void *blob, size_t len, bus_header *out, size_t max);
/* How many headers the blob holds; SIZE_MAX if malformed. */
size_t bus_headers_count(const void *blob, size_t len);

#endif
