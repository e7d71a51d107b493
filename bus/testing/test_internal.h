/* SPDX-License-Identifier: MIT
 * What the files of bus_test_* share: a service's process and the world that it and those beside it run in. */
#ifndef BUI_TESTING_TEST_INTERNAL_H
#define BUI_TESTING_TEST_INTERNAL_H

#include <bus/test.h>

#include "base/arena.h"
#include "base/config.h"
#include "base/virtual_clock.h"
#include "codec/catalog.h"
#include "testing/test_host.h"

/* One broker and one clock; freed with the last of its services. */
typedef struct test_world {
    bui_virtual_clock clock;
    bui_memory_cluster *cluster;
    bui_catalog *catalog;
    bus_test *first; /* the services, as they came */
    int sent;        /* by the test itself */
} test_world;

struct bus_test {
    test_world *world;
    bus_test *next;
    const bus_service *service;
    bus_config *own_config;
    bui_host *host;
    bui_host_options options;
    char tiers[256];
    char data[512];
    bool own_data;
    bui_arena arena; /* of events handed out */
};

/* test_look.c: the first record of a topic that was written after the one with the serial *after, which moves on; false: none. */
bool test_next_record(const bus_test *test, const char *topic, uint64_t *after, bui_record *out);
int32_t test_partitions(const bus_test *test, const char *topic); /* 0: there is no such topic */
/* A record as an event; NULL: no memory. */
const bus_event *test_event_of(bus_test *test, const bui_record *record);

#endif
