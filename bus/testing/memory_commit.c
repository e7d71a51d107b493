/* SPDX-License-Identifier: MIT
 * The memory transport's commits: what the groups of a cluster have committed. */
#include "testing/memory_cluster.h"

#include "base/error.h"
#include <stdlib.h>
#include <string.h>

memory_commit *memory_commit_find(const bui_memory_cluster *cluster, const char *group, const char *topic, int32_t partition)
{
    for (memory_commit *commit = cluster->commits; commit; commit = commit->next)
        if (commit->offset.partition == partition && strcmp(commit->offset.topic, topic) == 0 &&
            strcmp(commit->group, group) == 0)
            return commit;
    return NULL;
}

bus_status memory_commit_put(bui_memory_cluster *cluster, const char *group, const bui_offset *offset)
{
    memory_topic *topic = memory_topic_find(cluster, offset->topic);
    if (!memory_log_of(topic, offset->partition))
        return BUS_MISSING;
    memory_commit *commit = memory_commit_find(cluster, group, offset->topic, offset->partition);
    if (!commit) {
        commit = calloc(1, sizeof *commit);
        if (!commit || !(commit->group = strdup(group))) {
            free(commit);
            return BUS_NOMEM;
        }
        commit->next = cluster->commits;
        cluster->commits = commit;
    }
    commit->offset = *offset;
    commit->offset.topic = topic->name;
    commit->offset.low = commit->offset.high = 0;
    commit->offset.status = BUS_OK;
    return BUS_OK;
}

bus_status memory_commit_now(memory_client *client, const bui_offset *list, size_t count, bus_error *err)
{
    if (!client->group)
        return bui_fail(err, BUS_INVALID, "offsets are committed for a group: join one first");
    if (client->lost || client->cluster->commits_fail)
        return bui_fail(err, BUS_BROKER, "the coordinator of group %s refuses the commit%s", client->group,
                        client->lost ? ": this member is no longer known" : "");
    bus_status status = BUS_OK;
    for (size_t i = 0; status == BUS_OK && i < count; i++)
        status = memory_commit_put(client->cluster, client->group, &list[i]);
    return status != BUS_OK ? bui_fail(err, status, "committing offsets of group %s failed", client->group) : BUS_OK;
}

bool bui_memory_committed(const bui_memory_cluster *cluster, const char *group, const char *topic, int32_t partition,
                          bui_offset *out)
{
    const memory_commit *commit = memory_commit_find(cluster, group, topic, partition);
    if (!commit)
        return false;
    *out = commit->offset;
    return true;
}

void bui_memory_commit_foreign(bui_memory_cluster *cluster, const char *group, const char *topic, int32_t partition,
                               int64_t offset)
{
    memory_commit_put(cluster, group, &(bui_offset){ .topic = topic, .partition = partition, .offset = offset });
}
