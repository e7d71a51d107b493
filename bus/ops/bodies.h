/* SPDX-License-Identifier: MIT
 * Bodies: the event of a letter that does not carry it, read where it was first published. Blocking. */
#ifndef BUS_OPS_BODIES_H
#define BUS_OPS_BODIES_H

#include "kafka/reader.h"
#include "ops/deadletters.h"

typedef struct bus_original {
    bus_kafka_reader *reader;
    const bus_record *record;   /* borrowed until closed */
} bus_original;

/* Reads the letter's event. BUS_MISSING, saying why: retention has removed it, or another event is there (the topic was made anew);
 * BUS_DENIED, too: what is there is not signed as hop.verify demands; BUS_BROKER ... Close it in any case. */
bus_status bus_original_read(const bus_config *config, const bus_dead *dead, int timeout_ms, bus_original *out, bus_error *err);
void bus_original_close(bus_original *original);

#endif
