/* SPDX-License-Identifier: MIT
 * Scene audit: reads the scene's store and topics as audit_look.c reads real ones. */
#include "support/scene_audit.h"

#include "ops/audit.h"
#include "testing/memory_cluster.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OK(call) do { if ((call) != BUS_OK) fail_msg("%s: %s", #call, err.text); } while (0)

static bool on_found(void *opaque, const bus_finding *finding)
{
    scene *s = opaque;
    char word[40];
    size_t len = strlen(s->text);
    snprintf(word, sizeof word, finding->weight == BUS_AUDIT_NOTED ? "(%s)" : "%s", finding->rule);
    if (getenv("SCENE_AUDIT_SAYS"))
        fprintf(stderr, "  %s: %s: %s %s\n", word, finding->where, finding->id, finding->text);
    if (!strstr(s->text, word))
        snprintf(s->text + len, sizeof s->text - len, "%s%s", len ? " " : "", word);
    return true;
}

static void read_log(bus_audit *audit, memory_topic *topic, int32_t partition)
{
    bus_error err = { 0 };
    const memory_log *log = memory_log_of(topic, partition);
    OK(bus_audit_log(audit, topic->name, partition, log->low, memory_log_end(log), &err));
    for (size_t i = 0; i < log->count; i++)
        if (!log->at[i]->control)
            OK(bus_audit_record(audit, &log->at[i]->record, &err));
}

const char *scene_audit(scene *s)
{
    bus_audit *audit = NULL;
    bus_error err = { 0 };
    char path[96];
    snprintf(path, sizeof path, "%s/svc/0.db", s->data);
    s->text[0] = 0;
    OK(bus_audit_new(NULL, &audit, &err));
    OK(bus_audit_store(audit, path, false, &err));
    for (memory_topic *topic = s->cluster->topics; topic; topic = topic->next)
        for (int32_t p = 0; !topic->gone && p < topic->partitions; p++)
            read_log(audit, topic, p);
    for (const memory_commit *commit = s->cluster->commits; commit; commit = commit->next)
        OK(bus_audit_commit(audit, commit->group, commit->offset.topic, commit->offset.partition, commit->offset.offset, commit->offset.metadata, &err));
    OK(bus_audit_store_again(audit, path, &err));
    OK(bus_audit_rules(audit, on_found, s, &err));
    bus_audit_free(audit);
    return s->text;
}
