/* SPDX-License-Identifier: MIT
 * Commands: what operators send by `<service>.redrive`, whose order settles races between them. Those about letters are obeyed here,
 * those about refused rows in refused.c, copies in replays.c. */
#include "shard/internal.h"

#include "base/error.h"
#include <stdio.h>
#include <string.h>

/* The operator's reason and name go with the change. */
static size_t operator_headers(const bus_record *record, bus_header out[2])
{
    size_t count = 0;
    for (size_t i = 0; i < record->header_count && count < 2; i++)
        if (strcmp(record->headers[i].name, "bus-reason") == 0 || strcmp(record->headers[i].name, "bus-operator") == 0)
            out[count++] = record->headers[i];
    return count;
}

static bus_outcome redo(bus_shard *shard, bus_error *err) { return bus_shard_redo(shard, err); }

/* Nobody is told of it but by the log: a letter that this shard does not know is another service's, or one of a former name's. */
static bus_outcome unknown_letter(bus_shard *shard, const bus_envelope *envelope, const char *why)
{
    bus_count(&shard->metrics.commands_refused, 1);
    if (bus_shard_may_say(shard, &shard->said.command_said_us))
        bus_log(BUS_WARN, shard->where, "command_refused", "%s of letter %.*s round %d: %s", bus_command_name(envelope->command),
                (int)envelope->command_id.len, envelope->command_id.at, envelope->command_round, why);
    return BUS_OUT_DONE;
}

static bus_outcome stale(bus_shard *shard, const bus_envelope *envelope, const char *why)
{
    char more[BUS_THROTTLE_TEXT];
    uint64_t hidden;
    bus_count(&shard->metrics.commands_stale, 1);
    if (bus_throttle_pass(&shard->said.stale_lines, shard->now_us, &hidden))
        bus_log(BUS_INFO, shard->where, "command_stale", "%s of letter %.*s round %d: already %s%s", bus_command_name(envelope->command),
                (int)envelope->command_id.len, envelope->command_id.at, envelope->command_round, why, bus_throttle_text(hidden, more));
    return BUS_OUT_DONE;
}

/* It runs at once; a process that dies here takes it up again. */
static bus_outcome redrive_held(bus_shard *shard, bus_key *key)
{
    bus_error err = { 0 };
    if (bus_letter_head_waits(shard, key, &err))
        return redo(shard, &err);
    bus_outcome outcome = bus_key_run_head(shard, key);
    return outcome == BUS_OUT_REDO ? outcome : BUS_OUT_DONE;
}

/* A released letter has no place in line: redriving it is an arrival of its key. */
static bus_outcome redrive_released(bus_shard *shard, const bus_record *command, bus_letter *letter)
{
    bus_delivery delivery;
    bus_record record;
    bus_error err = { 0 };
    bus_status status = bus_body_join(shard, letter->id, command, &record, &err);
    if (status || ((status = bus_delivery_read(shard, &record, BUS_COMMAND_REDRIVE, &shard->arena, true, &delivery, &err)) && status != BUS_MISSING))
        return redo(shard, &err);
    if (delivery.bodiless) {
        static const char why[] = "neither its store nor the command has the event's bytes: raise max.message.bytes of <service>.redrive "
                                  "and redrive it again while the topic that bus-body names still has the event, or discard it";
        return bus_letter_open_again(shard, letter, command, why, &err) ? redo(shard, &err) : BUS_OUT_DONE;
    }
    bus_error none = { 0 };
    if (bus_letter_name(shard, &delivery, (bus_slice){ letter->id, strlen(letter->id) }, letter->round, &none))
        return redo(shard, &none);
    delivery.first_failed = letter->first_failed;
    if (status == BUS_MISSING) {
        delivery.undecodable = true;
        snprintf(delivery.fault, sizeof delivery.fault, "%.200s", err.text);
    }
    if (!delivery.route && !delivery.undecodable) {
        delivery.undecodable = true;
        snprintf(delivery.fault, sizeof delivery.fault, "no route of this service takes %.80s from %.80s", delivery.event.type_name,
                 delivery.event.topic);
    }
    return bus_key_arrive(shard, &delivery, NULL) == BUS_OUT_REDO ? BUS_OUT_REDO : BUS_OUT_DONE;
}

/* The bytes of a released letter come with the command: they must be those of its event. */
static bool carries(const bus_envelope *envelope, const bus_letter *letter)
{
    size_t len = strlen(letter->event_id);
    return !envelope->id.at || (envelope->id.len == len && memcmp(envelope->id.at, letter->event_id, len) == 0);
}

static bus_outcome command_letter(bus_shard *shard, const bus_record *record, const bus_envelope *envelope)
{
    char id[BUS_ID_TEXT];
    bus_letter letter;
    bus_error err = { 0 };
    bool found = false;
    if (envelope->command_id.len >= sizeof id)
        return unknown_letter(shard, envelope, "there is no such letter");
    memcpy(id, envelope->command_id.at, envelope->command_id.len);
    id[envelope->command_id.len] = 0;
    if (bus_letter_fetch(shard, id, &letter, &found, &err))
        return redo(shard, &err);
    if (!found)
        return unknown_letter(shard, envelope, "this shard has no such letter: it is another service's, or was made under another name "
                              "of this one, or before its store was made again");
    if (letter.state != BUS_LETTER_OPEN || letter.round != envelope->command_round)
        return stale(shard, envelope, letter.state != BUS_LETTER_OPEN ? bus_letter_state_name((bus_letter_state)letter.state) : "at another round");
    bus_key *held = letter.key_id ? bus_key_by_id(shard->store, letter.key_id) : NULL;
    if (envelope->command == BUS_COMMAND_REDRIVE && !(held && held->state == BUS_KEY_HELD) && !carries(envelope, &letter))
        return unknown_letter(shard, envelope, "the command carries another event than the letter's");
    bus_header more[2];
    size_t count = operator_headers(record, more);
    bool discard = envelope->command == BUS_COMMAND_DISCARD;
    bus_key *key = held;
    if (!bus_delivery_save(shard))
        return BUS_OUT_REDO;
    if (bus_letter_change(shard, &letter, discard ? BUS_LETTER_DISCARDED : BUS_LETTER_REDRIVEN, more, count, &err))
        return redo(shard, &err);
    if (!bus_delivery_release(shard))
        return BUS_OUT_REDO;
    if (!discard)
        bus_count(&shard->metrics.redriven, 1);
    if (key && key->state == BUS_KEY_HELD) {
        if (!discard)
            return redrive_held(shard, key);
        return bus_key_discard_head(shard, key);
    }
    return discard ? BUS_OUT_DONE : redrive_released(shard, record, &letter);
}

bus_outcome bus_command_run(bus_shard *shard, const bus_record *record)
{
    bus_envelope envelope;
    bus_error err = { 0 };
    bool readable = bus_envelope_read(record->headers, record->header_count, &envelope, &err) == BUS_OK;
    if (readable && (envelope.command == BUS_COMMAND_REDRIVE || envelope.command == BUS_COMMAND_DISCARD))
        return command_letter(shard, record, &envelope);
    if (readable && (envelope.command == BUS_COMMAND_ROW_RETRY || envelope.command == BUS_COMMAND_ROW_DISCARD))
        return bus_refused_command(shard, record, &envelope);
    if (readable && envelope.command == BUS_COMMAND_REPLAY && envelope.hop.source.at && envelope.orig.topic.at)
        return bus_replay_receive(shard, record, &envelope);
    bus_ignored(shard, record, "command_ignored", "command");
    return BUS_OUT_DONE;
}
