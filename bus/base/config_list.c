/* SPDX-License-Identifier: MIT
 * List: what is set in a configuration, property by property, as texts: for --help, --show-config, `bus config` and the page. */
#include "base/config_table.h"

#include <stdio.h>
#include <string.h>

#define HIDDEN "(secret)"

const char *bui_property_kind_name(const bui_property *property)
{
    static const char *const names[] = { "text", "number", "true or false", "duration", "size", "choice", "list" };
    return names[property->kind];
}

/* What the bounds of a number leave open is not said. */
static void write_range(const bui_property *property, char out[BUI_ALLOWED])
{
    char least[32], most[32];
    const bool below = property->least == INT64_MIN, above = property->most == INT64_MAX;
    out[0] = '\0';
    bui_value_text(property->kind, property->least, least);
    bui_value_text(property->kind, property->most, most);
    if (!below && !above)
        snprintf(out, BUI_ALLOWED, "%s to %s", least, most);
    else if (!below && property->least != 0)
        snprintf(out, BUI_ALLOWED, "%s or more", least);
    else if (!above)
        snprintf(out, BUI_ALLOWED, "%s or less", most);
}

const char *bui_property_allowed(const bui_property *property, char out[BUI_ALLOWED])
{
    switch (property->kind) {
    case BUI_PROP_INT:
    case BUI_PROP_DURATION:
    case BUI_PROP_SIZE: write_range(property, out); return out;
    case BUI_PROP_BOOL: return "true, false";
    case BUI_PROP_CHOICE: return property->choices;
    default: return "";
    }
}

static void property_row(const bus_config *config, const bui_property *property, bui_config_row *out)
{
    const bool set = bui_config_is_set(config, property->name);
    *out = (bui_config_row){ .name = property->name,
                             .value = set && property->secret ? HIDDEN : bui_config_text(config, property->name),
                             .unit = property->unit,
                             .preset = property->value,
                             .kind = bui_property_kind_name(property),
                             .set = set,
                             .text = property->text };
    out->allowed = bui_property_allowed(property, out->range);
}

static size_t kafka_count(const bus_config *config)
{
    const char *name, *value;
    size_t count = 0;
    while (bui_config_kafka(config, count, &name, &value))
        count++;
    return count;
}

/* What has no declaration here: of librdkafka, of other services. */
static bool foreign_row(const bus_config *config, size_t i, bui_config_row *out)
{
    const char *value;
    *out = (bui_config_row){ .unit = "", .kind = "", .allowed = "", .set = true };
    const size_t kafka = kafka_count(config);
    if (i < kafka && bui_config_kafka(config, i, &out->name, &value)) {
        snprintf(out->range, sizeof out->range, "kafka.%s", out->name);
        out->name = out->range;
        out->value = bui_config_secret(config, out->range) ? HIDDEN : value;
        out->text = "passed to librdkafka";
        return true;
    }
    out->value = "(see the service)"; /* it may be a secret */
    out->text = "a property of that service: bus config --program shows it";
    return i >= kafka && bui_config_other(config, i - kafka, &out->name, &value);
}

bool bui_config_row_at(const bus_config *config, size_t i, bui_config_row *out)
{
    const bui_property *property = NULL;
    size_t count = 0;
    while (count <= i && (property = bui_config_property(config, count)))
        count++;
    if (!property)
        return foreign_row(config, i - count, out);
    property_row(config, property, out);
    return true;
}

static void put_member(bui_buf *out, const char *name, const char *value)
{
    bui_buf_printf(out, ",\"%s\":", name);
    if (value)
        bui_buf_json(out, value, strlen(value));
    else
        bui_buf_text(out, "null");
}

void bui_config_json(const bus_config *config, bui_buf *out)
{
    bui_config_row row;
    for (size_t i = 0; bui_config_row_at(config, i, &row); i++) {
        bui_buf_text(out, i > 0 ? ",\n {\"name\":" : "[{\"name\":");
        bui_buf_json(out, row.name, strlen(row.name));
        put_member(out, "value", row.value);
        put_member(out, "unit", row.unit);
        put_member(out, "default", row.preset);
        put_member(out, "kind", row.kind);
        put_member(out, "allowed", row.allowed);
        bui_buf_printf(out, ",\"set\":%s", row.set ? "true" : "false");
        put_member(out, "text", row.text);
        bui_buf_text(out, "}");
    }
    bui_buf_text(out, "]\n");
}
