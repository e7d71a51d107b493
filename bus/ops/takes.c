/* SPDX-License-Identifier: MIT
 * Takes: one topic's setting. */
#include "ops/takes.h"
#include "codec/size.h"
#include "kafka/admin.h"

#include <stdlib.h>

int64_t bui_topic_takes(const bus_config *config, const char *where, const char *topic, int timeout_ms)
{
    bui_kafka_admin *admin = NULL;
    bui_kafka_topic *found = NULL;
    size_t count = 0;
    int64_t most = 0;
    if (bui_kafka_admin_open(config, where, &admin, NULL) == BUS_OK &&
        bui_kafka_admin_topics(admin, &topic, 1, true, timeout_ms, &found, &count, NULL) == BUS_OK && count)
        most = found->message_bytes;
    free(found);
    bui_kafka_admin_close(admin);
    return most ? most : BUI_TOPIC_BYTES;
}
