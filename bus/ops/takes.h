/* SPDX-License-Identifier: MIT
 * Takes: how large a record a topic takes. Blocking. */
#ifndef BUI_OPS_TAKES_H
#define BUI_OPS_TAKES_H

#include <bus/service.h>
#include <stdint.h>

/* Its max.message.bytes; if the cluster does not say, Kafka's default. */
int64_t bui_topic_takes(const bus_config *config, const char *where, const char *topic, int timeout_ms);

#endif
