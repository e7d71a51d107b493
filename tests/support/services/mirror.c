/* SPDX-License-Identifier: MIT
 * Mirror: the service that foreign clients talk to. It reads zoo.Everything, which has a field of every type, from <name>.commands
 * and says the same on <name>.events. Environment: MIRROR_NAME (default mirror). */
#define bus_shape_string staff_string_shape /* each generated file has one of its own */
#include "data/schemac/staff.events.c"
#undef bus_shape_string
#include "data/schemac/zoo.events.c"
#include <bus/bus.h>
#include <stdio.h>
#include <stdlib.h>

static bus_verdict on_everything(bus_tx *tx, const bus_event *event, void *shard)
{
    (void)shard;
    bus_emit(tx, &zoo_Everything_type, event->key, zoo_Everything_of(event));
    return BUS_DONE;
}

int main(int argc, char **argv)
{
    static char commands[200];
    const char *name = getenv("MIRROR_NAME");
    name = name && *name ? name : "mirror";
    snprintf(commands, sizeof commands, "%s.commands", name);
    const bus_route routes[] = { { .topic = commands, .type = &zoo_Everything_type, .handler = on_everything }, { 0 } };
    const bus_emits emits[] = { { .type = &zoo_Everything_type }, { 0 } };
    const bus_service service = { .name = name, .routes = routes, .emits = emits };
    return bus_service_main(argc, argv, &service);
}
