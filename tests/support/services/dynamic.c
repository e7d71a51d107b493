/* SPDX-License-Identifier: MIT
 * Dynamic: a service without a compiled type. It reads whatever is on <name>.commands as avro-c's generic values and publishes each of
 * them on <name>.events, by a publisher of its own that is configured by the environment. Environment: DYNAMIC_NAME,
 * DYNAMIC_SCHEMA (the file of the schema to publish by). */
#include <avro.h>
#include <bus/bus.h>
#include <bus/value.h>
#include <stdio.h>
#include <stdlib.h>

static char commands[200], events[200], schema[1 << 16];
static bus *publisher;

static bus_verdict on_any(bus_tx *tx, const bus_event *event, void *shard)
{
    bus_error err = { 0 };
    avro_value_t value;
    (void)shard;
    bus_status status = bus_event_value(tx, event, &value, &err);
    if (status == BUS_MISSING)
        return bus_pause(tx, err.text);
    if (status != BUS_OK)
        return bus_reject(tx, "%s", err.text);
    status =
        bus_publish_value(publisher, &(bus_publication){ .topic = events, .key = event->key }, schema, &value, NULL, NULL, &err);
    avro_value_decref(&value);
    return status == BUS_OK ? BUS_DONE : bus_retry(tx, "%s", err.text);
}

static bus_status open_publisher(struct sqlite3 *db, int shard, void *opaque, void **state, bus_error *err)
{
    (void)db;
    (void)shard;
    (void)opaque;
    *state = NULL;
    const char *path = getenv("DYNAMIC_SCHEMA");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file || !fread(schema, 1, sizeof schema - 1, file))
        perror(path);
    if (file)
        fclose(file);
    bus_config *config = bus_config_new();
    bus_status status = bus_config_environment(config, err);
    if (status == BUS_OK)
        status = bus_open(NULL, config, &publisher, err);
    bus_config_free(config);
    return status;
}

static void close_publisher(void *state)
{
    (void)state;
    bus_close(publisher);
}

int main(int argc, char **argv)
{
    const char *name = getenv("DYNAMIC_NAME");
    name = name && *name ? name : "dynamic";
    snprintf(commands, sizeof commands, "%s.commands", name);
    snprintf(events, sizeof events, "%s.events", name);
    const bus_route routes[] = { { .topic = commands, .handler = on_any }, { 0 } };
    const bus_service service = { .name = name, .routes = routes, .open = open_publisher, .close = close_publisher };
    return bus_service_main(argc, argv, &service);
}
