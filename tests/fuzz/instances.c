/* SPDX-License-Identifier: MIT
 * Fuzz: heartbeats of other processes on bus.services, one a record; and the topics that they declare, merged and planned.
 * About: bus/ops/instances.c bus/ops/topology.c */
#include "fuzz/fuzz.h"
#include "ops/instances.h"
#include "ops/topology.h"

static void declare(bui_topology *topology, const char *json)
{
    bus_error err = { 0 };
    bus_status status = bui_topology_add(topology, "fuzz", json, strlen(json), &err);
    must(status == BUS_OK || ((status == BUS_INVALID || status == BUS_REFUSED) && err.text[0]));
}

static void plan(const bui_topology *topology)
{
    static const bui_kafka_topic have[] = {
        { .name = "order.events", .partitions = 7, .configured = true, .retention_ms = 1000 }
    };
    static const bui_topic_defaults defaults = { .partitions = 3, .replication = 2, .retention_ms = 5 };
    bui_step *steps = NULL;
    size_t count = 0;
    bus_error err;
    must(bui_topology_plan(topology, &defaults, have, 1, &steps, &count, &err) == BUS_OK &&
         count == bui_topology_count(topology));
    for (size_t i = 0; i < count; i++) {
        must(steps[i].kind != BUI_STEP_CREATE || (steps[i].spec.partitions > 0 && steps[i].has == 0));
        must(steps[i].kind == BUI_STEP_CREATE || steps[i].kind == BUI_STEP_KEEP || steps[i].text[0]);
        must(steps[i].spec.partitions % (steps[i].wish->multiple ? steps[i].wish->multiple : 1) == 0);
    }
    free(steps);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_lines in = { (const char *)data, (const char *)data + size };
    fuzz_record each;
    bus_error err;
    bui_instances instances = { 0 };
    bui_topology *topology = bui_topology_new();
    while (size <= 16384 && fuzz_record_next(&in, &each)) {
        must(bui_instances_add(&instances, &each.record, &err) == BUS_OK);
        fuzz_record_free(&each);
    }
    bui_instances_settle(&instances);
    for (size_t i = 0; i < instances.count; i++) {
        must(!instances.list[i].removed && instances.list[i].declarations);
        must(i == 0 || strcmp(instances.list[i - 1].service, instances.list[i].service) <= 0);
        declare(topology, instances.list[i].declarations);
    }
    plan(topology);
    bui_topology_free(topology);
    bui_instances_free(&instances);
    return 0;
}
