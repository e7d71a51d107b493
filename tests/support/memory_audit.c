/* SPDX-License-Identifier: MIT
 * Memory audit: stores, logs, commits, and the stores again. */
#include "support/memory_audit.h"

#include "testing/memory_cluster.h"

static bus_status read_log(bui_audit *audit, memory_topic *topic, int32_t partition, bus_error *err)
{
    const memory_log *log = memory_log_of(topic, partition);
    bus_status status = bui_audit_log(audit, topic->name, partition, log->low, memory_log_end(log), err);
    for (size_t i = 0; status == BUS_OK && i < log->count; i++)
        if (!log->at[i]->control)
            status = bui_audit_record(audit, &log->at[i]->record, err);
    return status;
}

static bus_status read_cluster(bui_audit *audit, const bui_memory_cluster *cluster, bus_error *err)
{
    bus_status status = BUS_OK;
    for (memory_topic *topic = cluster->topics; topic; topic = topic->next)
        for (int32_t p = 0; status == BUS_OK && !topic->gone && p < topic->partitions; p++)
            status = read_log(audit, topic, p, err);
    for (const memory_commit *commit = cluster->commits; status == BUS_OK && commit; commit = commit->next) {
        const bui_offset *offset = &commit->offset;
        status = bui_audit_commit(audit, commit->group, offset->topic, offset->partition, offset->offset, offset->metadata, err);
    }
    return status;
}

bus_status memory_audit(const bui_memory_cluster *cluster, const bui_keys *keys, const char *const *paths, size_t count,
                        bui_audit_found_fn found, void *opaque, bus_error *err)
{
    bui_audit *audit = NULL;
    bus_status status = bui_audit_new(NULL, &audit, err);
    if (status != BUS_OK)
        return status;
    bui_audit_trust(audit, keys);
    for (size_t i = 0; status == BUS_OK && i < count; i++)
        status = bui_audit_store(audit, paths[i], false, err);
    if (status == BUS_OK)
        status = read_cluster(audit, cluster, err);
    for (size_t i = 0; status == BUS_OK && i < count; i++)
        status = bui_audit_store_again(audit, paths[i], err);
    if (status == BUS_OK)
        status = bui_audit_rules(audit, found, opaque, err);
    bui_audit_free(audit);
    return status;
}
