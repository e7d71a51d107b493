/* SPDX-License-Identifier: MIT
 * Fuzz target: a configuration file of any bytes. Whatever happens, the configuration stays readable, a refusal has a text, and what
 * was accepted reads back.
 * About: bus/base/config.c bus/base/config_value.c */
#include "base/config_table.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bus_config *config = bus_config_new();
    must(config != NULL);
    bus_error err = { 0 };
    bus_status status = bui_config_text_apply(config, (const char *)data, size, "fuzz", &err);
    /* BUS_IO: it names a file of a secret that is not there */
    must(status == BUS_OK || ((status == BUS_CONFIG || status == BUS_IO) && err.status == status && err.text[0]));
    for (const bui_property *p = bui_properties(); p->name; p++) {
        int64_t number;
        must(bui_value_read(p, bui_config_text(config, p->name), &number, NULL) == BUS_OK);
        must(number == bui_config_int(config, p->name));
        must(status == BUS_OK || !bui_config_is_set(config, p->name));
        bool counted = p->kind == BUI_PROP_INT || p->kind == BUI_PROP_DURATION || p->kind == BUI_PROP_SIZE;
        must(!counted || (number >= p->least && number <= p->most));
    }
    const char *name, *value;
    for (size_t i = 0; bui_config_kafka(config, i, &name, &value); i++)
        must(bui_config_owned(name) == NULL);
    bus_config_free(config);
    return 0;
}
