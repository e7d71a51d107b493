/* SPDX-License-Identifier: MIT
 * Lag: how far a consumer group is, for tools. Reads only; joins nothing. Blocking. */
#ifndef BUI_KAFKA_LAG_H
#define BUI_KAFKA_LAG_H

#include <bus/service.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bui_kafka_lag {
    char topic[250];
    int32_t partition;
    int64_t committed;  /* the next offset to read; BUI_OFFSET_NONE (-1001): none committed */
    int64_t low, high;  /* the log's first offset, and its end */
    int64_t lag;        /* high - committed; all of the log if none is committed */
    int64_t lag_ms;     /* age of the first unread record; 0: nothing unread; -1: not asked for or unknown */
    char metadata[160]; /* committed with the offset */
} bui_kafka_lag;

/* The group's lag on every partition of `topics` (topics that are absent are left out), or, topics NULL, of every topic with a
 * commit of this group, also on partitions without one. Ends are those of the logs, behind open transactions too. `ages` also reads one record per lagging partition, for lag_ms. Sorted by topic, partition. *out is one
 * malloc'd array: free() it. BUS_BROKER, BUS_TIMEOUT, BUS_DENIED. */
bus_status bui_kafka_lag_read(const bus_config *config, const char *where, const char *group, const char *const *topics,
                              size_t topic_count, bool ages, int timeout_ms, bui_kafka_lag **out, size_t *count, bus_error *err);

typedef struct bui_kafka_group {
    char name[256];
    char state[32];
    int members;
} bui_kafka_group; /* state: "Stable", "Empty" ... */

/* Every consumer group of the cluster (names NULL) or the named ones; sorted. *out is one malloc'd array: free() it. */
bus_status bui_kafka_groups(const bus_config *config, const char *where, const char *name, int timeout_ms, bui_kafka_group **out,
                            size_t *count, bus_error *err);

typedef struct bui_kafka_member {
    char id[256], instance[256], client[256], host[256]; /* instance "": dynamic */
    int32_t lead[64];                                    /* first partitions assigned, of any topic */
    size_t lead_count, assigned;                         /* how many are in lead[], how many in all */
} bui_kafka_member;
/* Is it a process of a service? Ours join under the name of their slot, as client and as instance. */
bool bui_kafka_member_is_ours(const bui_kafka_member *member);
/* The members of one group. *out is one malloc'd array: free() it. */
bus_status bui_kafka_members(const bus_config *config, const char *where, const char *group, int timeout_ms,
                             bui_kafka_member **out, size_t *count, bus_error *err);

#endif
