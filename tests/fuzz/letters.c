/* SPDX-License-Identifier: MIT
 * Fuzz: records of a dead-letter topic as operators' tools fold them, and the commands and copies made of them: what came readable
 * goes on readable, and says what it is.
 * About: bus/ops/deadletters.c bus/ops/commands.c bus/ops/headers.c */
#include "codec/envelope.h"
#include "fuzz/fuzz.h"
#include "ops/commands.h"
#include "ops/deadletters.h"

static bool same(bus_slice a, bus_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static void copies(const bus_record *record)
{
    bus_envelope was, is;
    bus_header *out;
    bus_error err;
    size_t count;
    bus_arena arena;
    bus_arena_init(&arena, 0);
    bool readable = bus_envelope_read(record->headers, record->header_count, &was, &err) == BUS_OK;
    bus_command command = { BUS_COMMAND_REDRIVE, "11111111-aaaa-5bbb-8ccc-000000000001", 2, "mended", "ann@host", NULL, NULL };
    if (bus_command_headers(&command, record, &arena, &out, &count, &err) == BUS_OK && readable) {
        must(bus_envelope_read(out, count, &is, &err) == BUS_OK);
        must(is.command == BUS_COMMAND_REDRIVE && is.command_round == 2 && is.letter == BUS_LETTER_NONE && !is.hop.source.at);
        must(same(is.id, was.id) && same(is.orig.topic, was.orig.topic) && is.orig.offset == was.orig.offset);
    }
    bus_copy_hop hop = { "run-1", "stock.redrive", 1, 12 };
    for (int keep = 0; keep < 2; keep++)
        if (bus_replay_headers(record, keep ? NULL : &command, &hop, keep, &arena, &out, &count, &err) == BUS_OK && readable) {
            must(bus_envelope_read(out, count, &is, &err) == BUS_OK);
            must(is.hop.seq == 12 && is.orig.topic.at && (keep || is.orig.offset == record->offset));
        }
    bus_arena_free(&arena);
}

static void group(bus_dead_fold *fold)
{
    bus_dead_group *groups = NULL;
    bus_error err;
    size_t count = 0;
    int64_t letters = 0;
    must(bus_dead_group_by(fold, BUS_GROUP_BY_SERVICE | BUS_GROUP_BY_TYPE | BUS_GROUP_BY_ERROR | BUS_GROUP_BY_TOPIC, NULL, &groups, &count,
                           &err) == BUS_OK);
    for (size_t i = 0; i < count; i++)
        letters += groups[i].letters;
    must(letters == (int64_t)bus_dead_count(fold));
    free(groups);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_lines in = { (const char *)data, (const char *)data + size };
    fuzz_record each;
    bus_error err;
    int64_t offset = 0;
    bus_dead_fold *fold = size > 16384 ? NULL : bus_dead_fold_new();
    if (!fold)
        return 0;
    while (fuzz_record_next(&in, &each)) {
        each.record.topic = "order.dlq";
        each.record.offset = offset++;
        must(bus_dead_fold_add(fold, "order", &each.record, &err) == BUS_OK);
        copies(&each.record);
        fuzz_record_free(&each);
    }
    const bus_dead_filter filter = { .error = "no", .type = "t", .topic = "order.events", .key = "k", .key_len = 1 };
    for (size_t i = 0; i < bus_dead_count(fold); i++) {
        const bus_dead *dead = bus_dead_at(fold, i);
        char text[64];
        size_t found = 0;
        bus_error_pattern(dead->error_class, dead->error_message, text, sizeof text);
        must(strlen(text) < sizeof text && dead->round > 0 && dead->state != BUS_LETTER_NONE);
        must(bus_dead_find(fold, dead->id, &found) == dead && found == 1);
        (void)bus_dead_matches(dead, &filter);
    }
    must(bus_dead_count(fold) + bus_dead_foreign(fold) <= (size_t)offset);
    group(fold);
    bus_dead_fold_free(fold);
    return 0;
}
