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

static const bui_watch watch = { .stop = interrupted };

bus_status cli_schemas_load(const cli *c, bui_catalog *catalog, const bui_watch *stop, bus_error *err)
{
    bui_refusals refused;
    bus_status status = bui_schemas_load(c->config, c->timeout_ms, catalog, &refused, stop, err);
    if (status == BUS_OK && refused.count)
        cli_note(c, "%" PRIu64 " announcements on bus.schemas are refused here, as a service would refuse them. The first: %s",
                 refused.count, refused.first.text);
    return status;
}

bus_status cli_translator_open(const cli *c, bui_translator **out, bus_error *err)
{
    const char *word = cli_value(c, "json");
    bool avro = word && strcmp(word, "avro") == 0;
    if (word && !avro && strcmp(word, "plain") != 0)
        return bui_fail(err, BUS_INVALID, "--json %s: it is plain or avro", word);
    return bui_translator_open(c->config, avro ? BUI_JSON_AVRO : BUI_JSON_PLAIN, &watch, out, err);
}

bus_status cli_translator_load(const cli *c, bui_translator **out, bus_error *err)
{
    bui_translator *translator = NULL;
    const bui_schema *schema;
    const char *path, *paths[CLI_GIVEN_MAX];
    size_t count = 0;
    bus_status status = cli_translator_open(c, &translator, err);
    if (status == BUS_OK && cli_flag(c, "raw")) {
        bui_translator_close(translator);
        translator = NULL;
    }
    if (status == BUS_OK && translator)
        status = cli_schemas_load(c, bui_translator_catalog(translator), &watch, err);
    while (count < CLI_GIVEN_MAX && (path = cli_nth(c, "schema", (int)count)))
        paths[count++] = path;
    for (size_t i = 0; status == BUS_OK && translator && i < count; i++)
        status = bui_schemas_file(paths[i], paths, count, bui_translator_catalog(translator), &schema, err);
    if (status != BUS_OK) {
        bui_translator_close(translator);
        return status;
    }
    *out = translator;
    return BUS_OK;
}
