/* SPDX-License-Identifier: MIT
 * Translate: from options to a translator. */
#include "cli/translate.h"

#include "base/error.h"
#include "ops/schemas.h"

#include <inttypes.h>
#include <string.h>

static bool interrupted(void *opaque)
{
    (void)opaque;
    return cli_interrupted();
}

static const bus_watch watch = { .stop = interrupted };

bus_status cli_schemas_load(const cli *c, bus_catalog *catalog, const bus_watch *stop, bus_error *err)
{
    bus_refusals refused;
    bus_status status = bus_schemas_load(c->config, c->timeout_ms, catalog, &refused, stop, err);
    if (status == BUS_OK && refused.count)
        cli_note(c, "%" PRIu64 " announcements on bus.schemas are not taken here, as a service would not take them. The first: %s", refused.count,
                 refused.first.text);
    return status;
}

bus_status cli_translator_open(const cli *c, bus_translator **out, bus_error *err)
{
    const char *word = cli_value(c, "json");
    bool avro = word && strcmp(word, "avro") == 0;
    if (word && !avro && strcmp(word, "plain") != 0)
        return bus_fail(err, BUS_INVALID, "--json %s: it is plain or avro", word);
    return bus_translator_open(c->config, avro ? BUS_JSON_AVRO : BUS_JSON_PLAIN, &watch, out, err);
}

bus_status cli_translator_load(const cli *c, bus_translator **out, bus_error *err)
{
    bus_translator *translator = NULL;
    const bus_schema *schema;
    const char *path, *paths[CLI_GIVEN_MAX];
    size_t count = 0;
    bus_status status = cli_translator_open(c, &translator, err);
    if (status == BUS_OK && cli_flag(c, "raw")) {
        bus_translator_close(translator);
        translator = NULL;
    }
    if (status == BUS_OK && translator)
        status = cli_schemas_load(c, bus_translator_catalog(translator), &watch, err);
    while (count < CLI_GIVEN_MAX && (path = cli_nth(c, "schema", (int)count)))
        paths[count++] = path;
    for (size_t i = 0; status == BUS_OK && translator && i < count; i++)
        status = bus_schemas_file(paths[i], paths, count, bus_translator_catalog(translator), &schema, err);
    if (status != BUS_OK) {
        bus_translator_close(translator);
        return status;
    }
    *out = translator;
    return BUS_OK;
}
