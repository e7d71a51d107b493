/* SPDX-License-Identifier: MIT
 * Fuzz: a whole shard that is handed any records on every topic it reads: inputs, retry tiers, redrive commands, dead letters. A line
 * "!" does something to the process: "!pass MS", "!rebalance", "!restart", "!mend"; "!redrive N" and "!discard N" command the N-th record of the
 * dead-letter topic; "!commit TEXT" gives the group's commit metadata of somebody else. No record may stop the shard or lose what it has taken.
 * About: bus/shard/delivery.c bus/shard/receive.c bus/shard/deadletters.c bus/shard/keys.c */
#include "codec/envelope.h"
#include "fuzz/fuzz.h"
#include "support/scene.h"

#include <stdio.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    setenv("CMOCKA_TEST_ABORT", "1", 1); /* the scene's assertions are the target's */
    return 0;
}

/* Somebody else's word about the offsets; only another start reads it. */
static void commit(scene *s, const char *text)
{
    bui_offset offset = { .topic = "svc.redrive", .offset = 0 };
    bui_transport *transport = bui_host_transport(s->host);
    snprintf(offset.metadata, sizeof offset.metadata, "%s", text);
    must(transport->ops->commit(transport, &offset, 1, 0, NULL) == BUS_OK);
}

/* An operator's command, right or wrong, about a letter. */
static void order(scene *s, const char *word, int64_t at)
{
    bui_record letter;
    bui_envelope envelope;
    if (bui_memory_read(s->cluster, "svc.dlq", 0, at, &letter) &&
        bui_envelope_read(letter.headers, letter.header_count, &envelope, NULL) == BUS_OK &&
        envelope.letter != BUI_DEADLETTER_NONE)
        scene_command(s, at, word, 0);
}

/* False: the shard may refuse to run from here on. */
static bool act(scene *s, const bui_record *record)
{
    const char *word = record->topic + 1;
    char text[160] = "";
    if (record->key_len > 0)
        memcpy(text, record->key, record->key_len < sizeof text ? record->key_len : sizeof text - 1);
    if (strcmp(word, "pass") == 0)
        scene_pass(s, atoi(text) & 0xFFFF);
    else if (strcmp(word, "rebalance") == 0)
        scene_rebalance(s);
    else if (strcmp(word, "mend") == 0)
        s->mended = true;
    else if (strcmp(word, "commit") == 0)
        commit(s, text);
    else if (strcmp(word, "redrive") == 0 || strcmp(word, "discard") == 0)
        order(s, word, atoi(text) & 63);
    if (strcmp(word, "restart") == 0 || strcmp(word, "commit") == 0) {
        scene_stop(s);
        scene_start(s);
    }
    return strcmp(word, "commit") != 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_lines in = { (const char *)data, (const char *)data + size };
    fuzz_record each;
    void *state = NULL;
    bool trusted = true;
    int records = 0;
    if (size == 0 || size > 4096)
        return 0;
    scene_set_up(&state);
    scene *s = state;
    while (trusted && records++ < 40 && fuzz_record_next(&in, &each)) {
        const bui_record *r = &each.record;
        if (r->topic[0] == '!') {
            scene_run(s);
            trusted = act(s, r);
        } else {
            bui_memory_append(s->cluster, r->topic, 0,
                              &(bui_row){ .topic = r->topic,
                                          .key = r->key,
                                          .key_len = r->key_len,
                                          .value = r->value,
                                          .value_len = r->value_len,
                                          .headers = r->headers,
                                          .header_count = r->header_count });
        }
        fuzz_record_free(&each);
    }
    if (trusted) {
        s->mended = true;
        scene_pass(s, 60000);
        must(scene_failure(s) == BUS_OK);
        must(scene_ask(s, "SELECT COUNT(*) FROM bus_outbox") == 0);
    }
    scene_tear_down(&state);
    return 0;
}
