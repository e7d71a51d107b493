/* SPDX-License-Identifier: MIT
 * Stamp: writes one record with a CreateTime of one's choice, which no tool of Kafka's or kcat does.
 *
 *   stamp BROKERS TOPIC MILLISECONDS KEY */
#include <bus/bus.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    bus_config *config = bus_config_new();
    bus_error err = { 0 };
    bus *self = NULL;
    if (argc != 5 || !config)
        return 2;
    bus_publication record = {
        .topic = argv[2], .key = bus_str(argv[4]), .value = { "x", 1 }, .time_ms = strtoll(argv[3], NULL, 10)
    };
    bus_status status = bus_config_set(config, "bootstrap.servers", argv[1], &err);
    if (status == BUS_OK)
        status = bus_open(NULL, config, &self, &err);
    if (status == BUS_OK)
        status = bus_publish(self, &record, NULL, NULL, &err);
    if (status == BUS_OK)
        status = bus_flush(self, 60000, &err);
    bus_close(self);
    bus_config_free(config);
    if (status != BUS_OK)
        fprintf(stderr, "stamp: %s\n", err.text);
    return status != BUS_OK;
}
