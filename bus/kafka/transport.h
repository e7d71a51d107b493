/* SPDX-License-Identifier: MIT
 * The real transport: bus/shard/transport.h on librdkafka. */
#ifndef BUI_KAFKA_TRANSPORT_H
#define BUI_KAFKA_TRANSPORT_H

#include "shard/transport.h"
#include <bus/service.h>

/* Opens a client of the cluster named by bootstrap.servers and the kafka.* properties. `where` names it in log lines
 * and as client.id. Does no network: the operations wait for an absent broker. Copies config. BUS_CONFIG: a
 * kafka.* property that librdkafka refuses or that this library must decide itself (the text says which). */
bus_status bui_kafka_transport_open(const bus_config *config, const char *where, bui_transport **out, bus_error *err);

#endif
