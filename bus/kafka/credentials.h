/* SPDX-License-Identifier: MIT
 * Credentials: whether the librdkafka that runs can show them to Kafka at all, and what a broker said that refused them. */
#ifndef BUI_KAFKA_CREDENTIALS_H
#define BUI_KAFKA_CREDENTIALS_H

#include "base/config.h"
#include <bus/error.h>

/* BUS_CONFIG: `version` (as rd_kafka_version tells it) is too old for what kafka.* asks for. It is asked of the library that runs, which
 * need not be the one of the build. */
bus_status bui_kafka_check_credentials(const bus_config *config, int version, bus_error *err);

/* Hears each line of librdkafka's log, and keeps the last in which a broker refuses this process. Any thread. */
void bui_kafka_hear_refusal(const char *facility, const char *text, int64_t now_ms);
/* What that line said, if it is of the last 45 s: librdkafka tries again and again, but logs the same failure every 30 s only. False:
 * nothing was refused. */
bool bui_kafka_refusal(int64_t now_ms, char *out, size_t cap);

#endif
