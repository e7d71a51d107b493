/* SPDX-License-Identifier: MIT
 * Envelope: the headers of a record. End to end: CloudEvents 1.0, Kafka protocol binding, binary mode. For the hop:
 * `bus-hop`, written by the sender of the record; `bus-orig` on copies; `bus-letter` and `bus-command` on dead
 * letters and redrives. All text, so that kcat shows it.
 *
 *   bus-hop:     <service>/<shard>#<incarnation> <topic>/<partition>/<seq>[ a=<attempt>][ n=<not-before ms>][ s=1][ t=<token>]
 *                [ <letters of its event>], see codec/compact.h
 *   bus-orig:    <topic>/<partition>/<offset>/<timestamp ms>[ <the original bus-hop>]
 *   bus-letter:  <letter id> <round> <open|redriven|resolved|discarded>
 *   bus-body:    none, or at <topic>/<partition>/<offset>: of a copy without a value, whether its event has none (a tombstone), or has
 *                one that did not fit and is there
 *   bus-command: <redrive|discard|replay|row-retry|row-discard> <letter id, run id or outbox row> <round>
 *   bus-reply-to: <topic>/<partition>, where <topic> ends with BUI_REPLIES_SUFFIX
 */
#ifndef BUI_CODEC_ENVELOPE_H
#define BUI_CODEC_ENVELOPE_H

#include "base/buf.h"
#include <bus/event.h>

#define BUI_HEADER_SPECVERSION "ce_specversion"
#define BUI_HEADER_ID "ce_id"
#define BUI_HEADER_SOURCE "ce_source"
#define BUI_HEADER_TYPE "ce_type"
#define BUI_HEADER_CONTENT_TYPE "content-type"
#define BUI_HEADER_CORRELATION "ce_correlationid"
#define BUI_HEADER_CAUSATION "ce_causationid"
#define BUI_HEADER_TRACEPARENT "traceparent"
#define BUI_HEADER_HOP "bus-hop"
#define BUI_HEADER_ORIG "bus-orig"
#define BUI_HEADER_LETTER "bus-letter"
#define BUI_HEADER_COMMAND "bus-command"
#define BUI_HEADER_BODY "bus-body"
#define BUI_HEADER_REPLY_TO "bus-reply-to"
#define BUI_HEADER_REPLAY "bus-replay" /* on a dead letter: it is that of a copy, sent in this run of `bus replay` */
#define BUI_REPLIES_SUFFIX ".replies"
#define BUI_HEADER_SCHEMA_ID "__value_schema_id" /* a registry's reference to the value's schema: see codec/framing.h */
#define BUI_HEADER_ERROR_CLASS "__dlq.errors.class"
#define BUI_HEADER_ERROR_MESSAGE "__dlq.errors.message"

typedef struct bui_slice {
    const char *at;
    size_t len;
} bui_slice; /* not terminated; at NULL: absent */

typedef struct bui_hop {
    bui_slice source; /* service/shard#incarnation; absent: no hop */
    bui_slice topic;
    int32_t partition;
    int64_t seq;        /* from 1 */
    int attempt;        /* 0: not given */
    int64_t not_before; /* ms since the epoch, 0: not given */
    bool scheduled;     /* bus_schedule made the event */
    bui_slice token;
    bui_slice own; /* as read, without what follows of its event */
    /* Of its event, see codec/compact.h. */
    bool letters; /* read: it has some of these */
    bui_slice id, type, causation, correlation, traceparent;
} bui_hop;

typedef struct bui_orig {
    bui_slice topic;
    int32_t partition;
    int64_t offset;
    int64_t timestamp;
    bui_slice hop;   /* its own part */
    bool hop_is_own; /* it names this topic and partition: the event was made by a bus */
    bool scheduled;  /* that hop says so */
} bui_orig;

typedef enum bui_body_kind { BUI_BODY_UNSAID, BUI_BODY_NONE, BUI_BODY_AT } bui_body_kind;
typedef struct bui_body_place {
    bui_body_kind kind;
    bui_slice topic;
    int32_t partition;
    int64_t offset;
} bui_body_place;

typedef enum bui_deadletter_state {
    BUI_DEADLETTER_NONE,
    BUI_DEADLETTER_OPEN,
    BUI_DEADLETTER_REDRIVEN,
    BUI_DEADLETTER_RESOLVED,
    BUI_DEADLETTER_DISCARDED
} bui_deadletter_state;
typedef enum bui_command_kind {
    BUI_COMMAND_NONE,
    BUI_COMMAND_REDRIVE,
    BUI_COMMAND_DISCARD,
    BUI_COMMAND_REPLAY,
    BUI_COMMAND_ROW_RETRY,
    BUI_COMMAND_ROW_DISCARD
} bui_command_kind;

typedef struct bui_envelope {
    bui_slice id, source, type, content_type, correlation, causation, traceparent, reply_to, schema_id;
    bui_hop hop;
    bui_orig orig;
    bui_slice letter_id;
    int letter_round;
    bui_deadletter_state letter;
    bui_slice command_id;
    int command_round;
    bui_command_kind command;
    bui_body_place body;
    bui_slice error_class, error_message; /* __dlq.errors.class, __dlq.errors.message */
    bui_slice version;                    /* of a hop with letters alone: nobody reads it */
    const char *stray;                    /* a header of commands that bui_envelope_read_event skipped; NULL: none */
} bui_envelope;

/* Reads headers; the slices borrow from them. The last header of a name counts, and less than a letter of the hop. Unknown headers are
 * skipped. BUS_CORRUPT if one of the bus's own headers is malformed (which one, and what is wrong). Lengths are bounded:
 * names of topics 249, source 160, id 255, token 64. */
bus_status bui_envelope_read(const bus_header *headers, size_t count, bui_envelope *out, bus_error *err);
/* The same of a record on a topic that others write, too: bus-orig, bus-letter and bus-command count on `<service>.redrive` and
 * `<service>.dlq` alone. Here they are skipped unread, and `stray` names one of the latter two: bus-orig alone is on copies that
 * `bus replay --to-topic` has made, where it shows people where they come from. */
bus_status bui_envelope_read_event(const bus_header *headers, size_t count, bui_envelope *out, bus_error *err);
/* Reads the value of bus-hop. False: it is malformed, and *out says nothing. */
bool bui_hop_read(bui_slice text, bui_hop *out);
bui_slice bui_source_service(bui_slice source); /* its part before the first slash */
/* An envelope whose headers are read and whose hop has letters: what these say. */
void bui_letters_say(bui_envelope *envelope);
/* Does the hop lead to this partition? One that names another was copied with its record, and says nothing about this one. */
bool bui_hop_names(const bui_hop *hop, bui_slice topic, int32_t partition);

/* Write one header's value; return the length written, 0 if it does not fit. Terminated. A hop that does not fit into bus-orig leaves its
 * letters there: BUI_ORIG_TEXT is enough for any. */
#define BUI_ORIG_TEXT 1024
size_t bui_hop_write(const bui_hop *hop, char *out, size_t cap);
size_t bui_orig_write(const bui_orig *orig, char *out, size_t cap);
size_t bui_body_write(const bui_body_place *body, char *out, size_t cap); /* of NONE or AT */
const char *bui_deadletter_state_name(bui_deadletter_state state);        /* "open" ... */
const char *bui_command_name(bui_command_kind command);

/* Does a header go with a copy of its event? Not those of one hop, one dead letter or one command. */
bool bui_header_travels(const char *name);

/* Where an answer goes, out of bus-reply-to. False: it is not "<topic>/<partition>" with a topic that Kafka can have and that takes
 * replies. */
bool bui_reply_address(bui_slice to, char topic[250], int32_t *partition);

/* Is it the bus's to write on what it sends? bus-*, ce_*, __dlq.*, content-type, and a registry's reference to a schema: they say
 * what a record is, and those of one record are wrong on another. */
bool bui_header_reserved(const char *name);

/* May answers go there? To no topic that carries somebody's commands or events: its name ends with BUI_REPLIES_SUFFIX. */
bool bui_topic_takes_replies(const char *topic);

/* Headers as one blob, for the store: well-known names take one byte. Order is kept. */
void bui_headers_pack(const bus_header *headers, size_t count, bui_buf *out);
/* The same of two lists, one after the other. */
void bui_headers_pack_both(const bus_header *a, size_t a_count, const bus_header *b, size_t b_count, bui_buf *out);
/* Unpacks into out[max] (borrowing from blob); returns the count, or SIZE_MAX if the blob is malformed or over max. */
size_t bui_headers_unpack(const void *blob, size_t len, bus_header *out, size_t max);
/* How many headers the blob holds; SIZE_MAX if malformed. */
size_t bui_headers_count(const void *blob, size_t len);

#endif
