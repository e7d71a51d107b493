/* SPDX-License-Identifier: MIT
 * Bodies: the event of a dead letter that does not carry it, read where it was first published. Blocking. */
#ifndef BUI_OPS_BODIES_H
#define BUI_OPS_BODIES_H

#include "kafka/topic_reader.h"
#include "ops/deadletters.h"

typedef struct bui_original {
    bui_kafka_reader *reader;
    const bui_record *record; /* borrowed until closed */
} bui_original;

/* Reads the dead letter's event. BUS_MISSING, saying why: retention has removed it, or another event is there (the topic was
 * made again); BUS_DENIED, too: what is there is not signed as hop.verify demands; BUS_BROKER ... Close it in any case. */
bus_status bui_original_read(const bus_config *config, const bui_dead *dead, int timeout_ms, bui_original *out, bus_error *err);
void bui_original_close(bui_original *original);

#endif
