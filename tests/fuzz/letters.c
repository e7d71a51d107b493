/* SPDX-License-Identifier: MIT
 * Fuzz: records of a dead-letter topic as operators' tools fold them, and the commands and copies made of them: what came readable
 * goes on readable, and says what it is.
 * About: bus/ops/deadletters.c bus/ops/commands.c bus/ops/headers.c */
#include "codec/envelope.h"
#include "fuzz/fuzz.h"
#include "ops/commands.h"
#include "ops/deadletters.h"

static bool same(bui_slice a, bui_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static void copies(const bui_record *record)
{
    bui_envelope was, is;
    bus_header *out;
    bus_error err;
    size_t count;
    bui_arena arena;
    bui_arena_init(&arena, 0);
    bool readable = bui_envelope_read(record->headers, record->header_count, &was, &err) == BUS_OK;
    bui_command command = { BUI_COMMAND_REDRIVE, "11111111-aaaa-5bbb-8ccc-000000000001", 2, "mended", "ann@host", NULL, NULL };
    if (bui_command_headers(&command, record, &arena, &out, &count, &err) == BUS_OK && readable) {
        must(bui_envelope_read(out, count, &is, &err) == BUS_OK);
        must(is.command == BUI_COMMAND_REDRIVE && is.command_round == 2 && is.letter == BUI_DEADLETTER_NONE && !is.hop.source.at);
        must(same(is.id, was.id) && same(is.orig.topic, was.orig.topic) && is.orig.offset == was.orig.offset);
    }
    bui_copy_hop hop = { "run-1", "stock.redrive", 1, 12 };
    for (int keep = 0; keep < 2; keep++)
        if (bui_replay_headers(record, keep ? NULL : &command, &hop, keep, &arena, &out, &count, &err) == BUS_OK && readable) {
            must(bui_envelope_read(out, count, &is, &err) == BUS_OK);
            must(is.hop.seq == 12 && is.orig.topic.at && (keep || is.orig.offset == record->offset));
        }
    bui_arena_free(&arena);
}

static void group(bui_dead_fold *fold)
{
    bui_dead_group *groups = NULL;
    bus_error err;
    size_t count = 0;
    int64_t letters = 0;
    must(bui_dead_group_by(fold, BUI_GROUP_BY_SERVICE | BUI_GROUP_BY_TYPE | BUI_GROUP_BY_ERROR | BUI_GROUP_BY_TOPIC, NULL,
                           &groups, &count, &err) == BUS_OK);
    for (size_t i = 0; i < count; i++)
        letters += groups[i].letters;
    must(letters == (int64_t)bui_dead_count(fold));
    free(groups);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_lines in = { (const char *)data, (const char *)data + size };
    fuzz_record each;
    bus_error err;
    int64_t offset = 0;
    bui_dead_fold *fold = size > 16384 ? NULL : bui_dead_fold_new();
    if (!fold)
        return 0;
    while (fuzz_record_next(&in, &each)) {
        each.record.topic = "order.dlq";
        each.record.offset = offset++;
        must(bui_dead_fold_add(fold, "order", &each.record, &err) == BUS_OK);
        copies(&each.record);
        fuzz_record_free(&each);
    }
    const bui_dead_filter filter = { .error = "no", .type = "t", .topic = "order.events", .key = "k", .key_len = 1 };
    for (size_t i = 0; i < bui_dead_count(fold); i++) {
        const bui_dead *dead = bui_dead_at(fold, i);
        char text[64];
        size_t found = 0;
        bui_error_pattern(dead->error_class, dead->error_message, text, sizeof text);
        must(strlen(text) < sizeof text && dead->round > 0 && dead->state != BUI_DEADLETTER_NONE);
        must(bui_dead_find(fold, dead->id, &found) == dead && found == 1);
        (void)bui_dead_matches(dead, &filter);
    }
    must(bui_dead_count(fold) + bui_dead_foreign(fold) <= (size_t)offset);
    group(fold);
    bui_dead_fold_free(fold);
    return 0;
}
