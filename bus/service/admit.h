/* SPDX-License-Identifier: MIT
 * Admit: which announcements of others a process learns. */
#ifndef BUS_SERVICE_ADMIT_H
#define BUS_SERVICE_ADMIT_H

#include "base/map.h"
#include "base/throttle.h"
#include "service/runner.h"

typedef struct bus_admission {
    bus_map spaces;       /* name space -> how many of its schemas were learnt */
    bus_throttle lines;
    bool full;            /* more was announced than is kept, and it has been said */
} bus_admission;

void bus_admission_init(bus_admission *admission);
void bus_admission_free(bus_admission *admission);

/* Learns the schema of a record of bus.schemas into self->catalog, or says why not (BUS_FULL, BUS_REFUSED, BUS_DENIED, BUS_CORRUPT ...,
 * counted and logged, a few lines a minute). BUS_OK also for what is compiled in, and is not replaced. */
bus_status bus_admit(bus_admission *admission, bus *self, const bus_record *record);

#endif
