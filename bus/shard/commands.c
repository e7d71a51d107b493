/* SPDX-License-Identifier: MIT
 * Commands: what operators send by `<service>.redrive`, whose order settles races between them. Those about dead letters are
 * obeyed here, those about refused rows in refused.c, copies in replays.c. */
#include "shard/internal.h"

#include "base/error.h"
#include <stdio.h>
#include <string.h>

/* The operator's reason and name go with the change. */
static size_t operator_headers(const bui_record *record, bus_header out[2])
{
    size_t count = 0;
    for (size_t i = 0; i < record->header_count && count < 2; i++)
        if (strcmp(record->headers[i].name, "bus-reason") == 0 || strcmp(record->headers[i].name, "bus-operator") == 0)
            out[count++] = record->headers[i];
    return count;
}

static bui_outcome redo(bui_shard *shard, bus_error *err)
{
    return bui_shard_redo(shard, err);
}

/* It is only logged: a dead letter that this shard does not know belongs to another service, or to a former name of this one. */
static bui_outcome unknown_letter(bui_shard *shard, const bui_envelope *envelope, const char *why)
{
    bui_count(&shard->metrics.commands_refused, 1);
    if (bui_shard_may_say(shard, &shard->said.command_said_us))
        bui_log(BUS_WARN, shard->where, "command_refused", "%s of dead letter %.*s round %d: %s",
                bui_command_name(envelope->command), (int)envelope->command_id.len, envelope->command_id.at,
                envelope->command_round, why);
    return BUI_OUT_DONE;
}

static bui_outcome stale(bui_shard *shard, const bui_envelope *envelope, const char *why)
{
    char more[BUI_THROTTLE_TEXT];
    uint64_t hidden;
    bui_count(&shard->metrics.commands_stale, 1);
    if (bui_throttle_pass(&shard->said.stale_lines, shard->now_us, &hidden))
        bui_log(BUS_INFO, shard->where, "command_stale", "%s of dead letter %.*s round %d: already %s%s",
                bui_command_name(envelope->command), (int)envelope->command_id.len, envelope->command_id.at,
                envelope->command_round, why, bui_throttle_text(hidden, more));
    return BUI_OUT_DONE;
}

/* It runs at once; a process that dies here takes it up again. */
static bui_outcome redrive_held(bui_shard *shard, bui_key *key)
{
    bus_error err = { 0 };
    if (bui_deadletter_head_waits(shard, key, &err) != BUS_OK)
        return redo(shard, &err);
    bui_outcome outcome = bui_key_run_head(shard, key);
    return outcome == BUI_OUT_REDO ? outcome : BUI_OUT_DONE;
}

/* A released dead letter has no place in line: redriving it is an arrival of its key. */
static bui_outcome redrive_released(bui_shard *shard, const bui_record *command, bui_deadletter *letter)
{
    bui_delivery delivery;
    bui_record record;
    bus_error err = { 0 };
    bus_status status = bui_body_join(shard, letter->id, command, &record, &err);
    if (status != BUS_OK)
        return redo(shard, &err);
    status = bui_delivery_read(shard, &record, BUI_COMMAND_REDRIVE, &shard->arena, true, &delivery, &err);
    if (status != BUS_OK && status != BUS_MISSING)
        return redo(shard, &err);
    if (delivery.bodiless) {
        static const char why[] =
            "neither the store nor the command has the event's bytes: raise max.message.bytes of <service>.redrive "
            "and redrive it again while the topic that bus-body names still has the event, or discard it";
        return bui_deadletter_open_again(shard, letter, command, why, &err) != BUS_OK ? redo(shard, &err) : BUI_OUT_DONE;
    }
    bus_error none = { 0 };
    if (bui_deadletter_name(shard, &delivery, (bui_slice){ letter->id, strlen(letter->id) }, letter->round, &none) != BUS_OK)
        return redo(shard, &none);
    if (status == BUS_MISSING) {
        delivery.undecodable = true;
        snprintf(delivery.fault, sizeof delivery.fault, "%.200s", err.text);
    }
    if (!delivery.route && !delivery.undecodable) {
        delivery.undecodable = true;
        snprintf(delivery.fault, sizeof delivery.fault, "this service has no route for %.80s from %.80s",
                 delivery.event.type_name, delivery.event.topic);
    }
    return bui_key_arrive(shard, &delivery, NULL) == BUI_OUT_REDO ? BUI_OUT_REDO : BUI_OUT_DONE;
}

/* The bytes of a released dead letter come with the command: they must be those of its event. */
static bool carries(const bui_envelope *envelope, const bui_deadletter *letter)
{
    size_t len = strlen(letter->event_id);
    return !envelope->id.at || (envelope->id.len == len && memcmp(envelope->id.at, letter->event_id, len) == 0);
}

static bui_outcome command_letter(bui_shard *shard, const bui_record *record, const bui_envelope *envelope)
{
    char id[BUI_ID_TEXT];
    bui_deadletter letter;
    bus_error err = { 0 };
    bool found = false;
    if (envelope->command_id.len >= sizeof id)
        return unknown_letter(shard, envelope, "there is no such dead letter");
    memcpy(id, envelope->command_id.at, envelope->command_id.len);
    id[envelope->command_id.len] = 0;
    if (bui_deadletter_fetch(shard, id, &letter, &found, &err) != BUS_OK)
        return redo(shard, &err);
    if (!found)
        return unknown_letter(shard, envelope,
                              "this shard has no such dead letter: it belongs to another service, or was "
                              "written under another name of this one, or before its store was made again");
    if (letter.state != BUI_DEADLETTER_OPEN || letter.round != envelope->command_round)
        return stale(shard, envelope,
                     letter.state != BUI_DEADLETTER_OPEN ? bui_deadletter_state_name((bui_deadletter_state)letter.state)
                                                         : "at another round");
    bui_key *held = letter.key_id ? bui_key_by_id(shard->store, letter.key_id) : NULL;
    if (envelope->command == BUI_COMMAND_REDRIVE && !(held && held->state == BUI_KEY_HELD) && !carries(envelope, &letter))
        return unknown_letter(shard, envelope, "the command carries another event than the dead letter's");
    bus_header more[2];
    size_t count = operator_headers(record, more);
    bool discard = envelope->command == BUI_COMMAND_DISCARD;
    bui_key *key = held;
    if (!bui_delivery_save(shard))
        return BUI_OUT_REDO;
    if (bui_deadletter_change(shard, &letter, discard ? BUI_DEADLETTER_DISCARDED : BUI_DEADLETTER_REDRIVEN, more, count, &err) !=
        BUS_OK)
        return redo(shard, &err);
    if (!bui_delivery_release(shard))
        return BUI_OUT_REDO;
    if (!discard)
        bui_count(&shard->metrics.redriven, 1);
    if (key && key->state == BUI_KEY_HELD) {
        if (!discard)
            return redrive_held(shard, key);
        return bui_key_discard_head(shard, key);
    }
    return discard ? BUI_OUT_DONE : redrive_released(shard, record, &letter);
}

bui_outcome bui_command_run(bui_shard *shard, const bui_record *record)
{
    bui_envelope envelope;
    bus_error err = { 0 };
    bool readable = bui_envelope_read(record->headers, record->header_count, &envelope, &err) == BUS_OK;
    if (readable && (envelope.command == BUI_COMMAND_REDRIVE || envelope.command == BUI_COMMAND_DISCARD))
        return command_letter(shard, record, &envelope);
    if (readable && (envelope.command == BUI_COMMAND_ROW_RETRY || envelope.command == BUI_COMMAND_ROW_DISCARD))
        return bui_refused_command(shard, record, &envelope);
    if (readable && envelope.command == BUI_COMMAND_REPLAY && envelope.hop.source.at && envelope.orig.topic.at)
        return bui_replay_receive(shard, record, &envelope);
    bui_ignored(shard, record, "command_ignored", "command");
    return BUI_OUT_DONE;
}
