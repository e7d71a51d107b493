/* SPDX-License-Identifier: MIT
 * Reload: what differs is applied, or named. */
#include "service/reload.h"

#include "base/log.h"
#include <string.h>

static bool same(const bus_config *a, const bus_config *b, const bui_property *property)
{
    bool counted = property->kind == BUI_PROP_INT || property->kind == BUI_PROP_DURATION || property->kind == BUI_PROP_SIZE ||
                   property->kind == BUI_PROP_BOOL;
    return counted ? bui_config_int(a, property->name) == bui_config_int(b, property->name)
                   : strcmp(bui_config_text(a, property->name), bui_config_text(b, property->name)) == 0;
}

/* What "kafka.<name>" is; NULL: not set. */
static const char *passed(const bus_config *config, const char *name)
{
    const char *each, *value;
    for (size_t i = 0; bui_config_kafka(config, i, &each, &value); i++)
        if (strcmp(each, name) == 0)
            return value;
    return NULL;
}

static void add_name(bui_buf *names, const char *prefix, const char *name)
{
    bui_buf_printf(names, "%s%s%s", names->len ? ", " : "", prefix, name);
}

static void other_kafka(const bus_config *a, const bus_config *b, bool both, bui_buf *names)
{
    const char *name, *value, *other;
    for (size_t i = 0; bui_config_kafka(a, i, &name, &value); i++)
        if (!(other = passed(b, name)) || (both && strcmp(other, value) != 0))
            add_name(names, "kafka.", name);
}

static const bui_live *live_of(const bui_live *live, const char *name)
{
    while (live->name && strcmp(live->name, name) != 0)
        live++;
    return live->name ? live : NULL;
}

/* Names only: values may be secrets. */
static void tell(const char *where, const bui_buf *now, const bui_buf *later)
{
    if (now->len)
        bui_log(BUS_INFO, where, "reloaded", "the configuration was read again: %.*s", (int)now->len, (const char *)now->data);
    else
        bui_log(BUS_INFO, where, "reloaded",
                "the configuration was read again: nothing that can change while the service runs has changed");
    if (later->len)
        bui_log(BUS_WARN, where, "reload_waits", "these have changed, too, and count from the next start: %.*s", (int)later->len,
                (const char *)later->data);
}

/* All are exchanged before the first is applied, so what applies one may read the others. Nothing here can fail. */
static void put_into_force(bus_config *config, bus_config *fresh, const bui_live *live)
{
    for (const bui_live *each = live; each->name; each++)
        bui_config_exchange(config, fresh, each->name);
    const bui_property *property;
    for (size_t i = 0; (property = bui_config_property(config, i)); i++) {
        const bui_live *applies = live_of(live, property->name);
        if (applies && !same(config, fresh, property))
            applies->apply(config);
    }
}

void bui_reload(const char *where, bus_config *config, bus_config *fresh, const bui_live *live)
{
    bui_buf now, later;
    bui_buf_init(&now, 0);
    bui_buf_init(&later, 0);
    const bui_property *each;
    for (size_t i = 0; (each = bui_config_property(config, i)); i++) {
        if (same(config, fresh, each))
            continue;
        if (!live_of(live, each->name)) {
            add_name(&later, "", each->name);
            continue;
        }
        bui_buf_printf(&now, "%s%s is %s", now.len ? ", " : "", each->name,
                       each->secret ? "another" : bui_config_text(fresh, each->name));
    }
    other_kafka(config, fresh, true, &later);
    other_kafka(fresh, config, false, &later);
    put_into_force(config, fresh, live);
    tell(where, &now, &later);
    bui_buf_free(&now);
    bui_buf_free(&later);
}
