/* SPDX-License-Identifier: MIT
 * Fuzz: heartbeats of other processes on bus.services, one a record; and the topics that they declare, merged and planned.
 * About: bus/ops/fleet.c bus/ops/topology.c */
#include "fuzz/fuzz.h"
#include "ops/fleet.h"
#include "ops/topology.h"

static void declare(bus_topology *topology, const char *json)
{
    bus_error err = { 0 };
    bus_status status = bus_topology_add(topology, "fuzz", json, strlen(json), &err);
    must(status == BUS_OK || ((status == BUS_INVALID || status == BUS_REFUSED) && err.text[0]));
}

static void plan(const bus_topology *topology)
{
    static const bus_kafka_topic have[] = { { .name = "order.events", .partitions = 7, .configured = true, .retention_ms = 1000 } };
    static const bus_topic_defaults defaults = { .partitions = 3, .replication = 2, .retention_ms = 5 };
    bus_step *steps = NULL;
    size_t count = 0;
    bus_error err;
    must(bus_topology_plan(topology, &defaults, have, 1, &steps, &count, &err) == BUS_OK && count == bus_topology_count(topology));
    for (size_t i = 0; i < count; i++) {
        must(steps[i].kind != BUS_STEP_CREATE || (steps[i].spec.partitions > 0 && steps[i].has == 0));
        must(steps[i].kind == BUS_STEP_CREATE || steps[i].kind == BUS_STEP_KEEP || steps[i].text[0]);
        must(steps[i].spec.partitions % (steps[i].wish->multiple ? steps[i].wish->multiple : 1) == 0);
    }
    free(steps);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_lines in = { (const char *)data, (const char *)data + size };
    fuzz_record each;
    bus_error err;
    bus_fleet fleet = { 0 };
    bus_topology *topology = bus_topology_new();
    while (size <= 16384 && fuzz_record_next(&in, &each)) {
        must(bus_fleet_add(&fleet, &each.record, &err) == BUS_OK);
        fuzz_record_free(&each);
    }
    bus_fleet_settle(&fleet);
    for (size_t i = 0; i < fleet.count; i++) {
        must(!fleet.list[i].removed && fleet.list[i].declarations);
        must(i == 0 || strcmp(fleet.list[i - 1].service, fleet.list[i].service) <= 0);
        declare(topology, fleet.list[i].declarations);
    }
    plan(topology);
    bus_topology_free(topology);
    bus_fleet_free(&fleet);
    return 0;
}
