/* SPDX-License-Identifier: MIT
 * Takes: how large a record a topic takes. Blocking. */
#ifndef BUS_OPS_TAKES_H
#define BUS_OPS_TAKES_H

#include <bus/service.h>
#include <stdint.h>

/* Its max.message.bytes; where the cluster does not tell, what topics take unless told otherwise. */
int64_t bus_topic_takes(const bus_config *config, const char *where, const char *topic, int timeout_ms);

#endif
