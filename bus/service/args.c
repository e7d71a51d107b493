/* SPDX-License-Identifier: MIT
 * Arguments of a service program. */
#include "service/args.h"
#include "base/config.h"
#include "base/error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct flag {
    const char *name;
    const char *operand; /* NULL: takes none */
    const char *text;
} flag;

static const flag flags[] = {
    { "config", "FILE", "read properties from FILE, lines \"name = value\" (also by $BUS_CONFIG)" },
    { "set", "NAME=VALUE", "set one property; --NAME=VALUE does the same" },
    { "topics", NULL, "print, as JSON, the topics that the service reads and writes: what `bus topics apply --file` takes" },
    { "check-config", NULL, "check configuration and routes, change nothing, exit" },
    { "show-config", NULL,
      "print every property that is in force, as a file that --config reads; those with their default are comments" },
    { "init", NULL,
      "start with an empty store even if the group's offsets belong to another one, and give up what that one knew" },
    { "accept", "WHAT",
      "at this start only, decide what the service has refused to decide: copy (go on with an older copy of the store, and lose what it "
      "has not seen), group-offsets (go on from the group's offsets, although a stranger may have committed them) or "
      "store-offsets (go on from the store's own)" },
    { "rebuild", NULL,
      "rebuild the stores from their topics, while no process of the service runs, then exit; see `bus rebuild`" },
    { "into", "DIR", "with --rebuild: leave the new stores in DIR and the old ones alone" },
    { "incomplete", NULL,
      "with --rebuild: go on even if the topics do not hold all that the old store knew; log what is missing" },
    { "output", "FORM", "with --rebuild and --show-config: text (default) or json" },
    { "version", NULL, "print the version" },
    { "help", NULL, "print this" },
};

/* ---- reading */

/* "--name=value", or "--name" "value" of those that take one. */
typedef struct argument {
    const char *name;
    size_t name_len;
    const char *value; /* NULL: none given with = */
} argument;

static bool split(const char *text, argument *out)
{
    if (strncmp(text, "--", 2) != 0 || text[2] == '\0')
        return false;
    const char *equals = strchr(text, '=');
    out->name = text + 2;
    out->name_len = equals ? (size_t)(equals - out->name) : strlen(out->name);
    out->value = equals ? equals + 1 : NULL;
    return true;
}

static const flag *find(const argument *arg)
{
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (strlen(flags[i].name) == arg->name_len && memcmp(flags[i].name, arg->name, arg->name_len) == 0)
            return &flags[i];
    return NULL;
}

static bus_status set_property(bus_config *config, const char *name, size_t name_len, const char *value, bus_error *err)
{
    char copy[256];
    if (name_len == 0 || name_len >= sizeof copy)
        return bui_fail(err, BUS_CONFIG, "a property's name has 1 to %zu characters", sizeof copy - 1);
    memcpy(copy, name, name_len);
    copy[name_len] = '\0';
    return bui_config_argument(config, copy, value, err);
}

static bus_status take_accept(const char *value, bui_args *args, bus_error *err)
{
    static const char *const words[] = { "", "copy", "group-offsets", "store-offsets" };
    for (int i = 1; i < (int)(sizeof words / sizeof *words); i++)
        if (strcmp(words[i], value) == 0) {
            args->accept = (bui_accept)i;
            return BUS_OK;
        }
    return bui_fail(err, BUS_INVALID, "--accept is copy, group-offsets or store-offsets, not \"%s\"", value);
}

static bus_status take_flag(const flag *known, const char *value, bus_config *config, bui_args *args, bus_error *err)
{
    const char *name = known->name;
    if (strcmp(name, "set") == 0) {
        const char *equals = strchr(value, '=');
        if (!equals)
            return bui_fail(err, BUS_INVALID, "--set takes NAME=VALUE, not \"%s\"", value);
        return set_property(config, value, (size_t)(equals - value), equals + 1, err);
    }
    if (strcmp(name, "output") == 0) {
        args->json = strcmp(value, "json") == 0;
        return args->json || strcmp(value, "text") == 0
                   ? BUS_OK
                   : bui_fail(err, BUS_INVALID, "--output is text or json, not \"%s\"", value);
    }
    if (strcmp(name, "accept") == 0)
        return take_accept(value, args, err);
    if (strcmp(name, "into") == 0)
        args->into = value;
    else if (strcmp(name, "init") == 0)
        args->init = true;
    else if (strcmp(name, "incomplete") == 0)
        args->incomplete = true;
    else if (strcmp(name, "topics") == 0)
        args->task = BUI_TASK_TOPICS;
    else if (strcmp(name, "check-config") == 0)
        args->task = BUI_TASK_CHECK;
    else if (strcmp(name, "show-config") == 0)
        args->task = BUI_TASK_SHOW;
    else if (strcmp(name, "rebuild") == 0)
        args->task = BUI_TASK_REBUILD;
    else if (strcmp(name, "version") == 0)
        args->task = BUI_TASK_VERSION;
    else if (strcmp(name, "help") == 0)
        args->task = BUI_TASK_HELP;
    return BUS_OK; /* --config was read before */
}

static bus_status take(int argc, char **argv, int *at, bus_config *config, bui_args *args, bool for_file, const char **file,
                       bus_error *err)
{
    const char *text = argv[*at];
    argument arg;
    if (strcmp(text, "-h") == 0)
        text = "--help";
    if (!split(text, &arg))
        return bui_fail(err, BUS_INVALID, "argument \"%s\" is not known: arguments look like --name=value; see --help", text);
    const flag *known = find(&arg);
    if (!known) {
        if (!arg.value)
            return bui_fail(err, BUS_INVALID,
                            "argument --%s is not known, or a property without a value (--%s=VALUE); see --help", arg.name,
                            arg.name);
        return for_file ? BUS_OK : set_property(config, arg.name, arg.name_len, arg.value, err);
    }
    const char *value = arg.value;
    if (known->operand && !value) {
        if (*at + 1 >= argc)
            return bui_fail(err, BUS_INVALID, "--%s needs %s", known->name, known->operand);
        value = argv[++*at];
    }
    if (!known->operand && value)
        return bui_fail(err, BUS_INVALID, "--%s takes no value", known->name);
    if (for_file) {
        if (strcmp(known->name, "config") == 0)
            *file = value;
        return BUS_OK;
    }
    return take_flag(known, value, config, args, err);
}

bus_status bui_args_read(int argc, char **argv, bus_config *config, bui_args *args, bus_error *err)
{
    bui_args out = { 0 };
    const char *file = getenv("BUS_CONFIG");
    bus_status status = BUS_OK;
    for (int i = 1; i < argc && status == BUS_OK; i++)
        status = take(argc, argv, &i, config, &out, true, &file, err);
    if (status == BUS_OK && file && *file)
        status = bus_config_read(config, file, err);
    if (status == BUS_OK)
        status = bus_config_environment(config, err);
    for (int i = 1; i < argc && status == BUS_OK; i++)
        status = take(argc, argv, &i, config, &out, false, &file, err);
    if (status == BUS_OK && (out.into || out.incomplete) && out.task != BUI_TASK_REBUILD)
        status = bui_fail(err, BUS_INVALID, "--%s goes with --rebuild", out.into ? "into" : "incomplete");
    if (status == BUS_OK)
        *args = out;
    return status;
}

/* ---- help */

#define HELP_WIDTH 80
#define MOST_CHOICES 40 /* bytes of them beside the name of their property */

static void wrap(bui_buf *out, const char *text, size_t indent, size_t width)
{
    size_t column = width; /* so that the first word starts a line */
    while (*text) {
        size_t word = strcspn(text, " ");
        if (column + 1 + word > width) {
            bui_buf_printf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else {
            bui_buf_text(out, " ");
            column++;
        }
        bui_buf_add(out, text, word);
        column += word;
        text += word + strspn(text + word, " ");
    }
}

/* Those that do not fit beside the name stand below it, as words. */
static void wrap_choices(bui_buf *out, const char *choices)
{
    char text[200] = "One of ";
    for (size_t len = strlen(text); *choices && len + 3 < sizeof text; choices++) {
        text[len++] = *choices == '|' ? ',' : *choices;
        if (*choices == '|')
            text[len++] = ' ';
    }
    wrap(out, text, 6, HELP_WIDTH);
}

static void help_property(const bui_property *each, bui_buf *out)
{
    char range[BUI_ALLOWED];
    const char *allowed = bui_property_allowed(each, range);
    bui_buf_printf(out, "  --%s=%s", each->name, each->value);
    if (each->choices && strlen(each->choices) <= MOST_CHOICES)
        bui_buf_printf(out, "    one of %s", each->choices);
    else if (each->choices)
        wrap_choices(out, each->choices);
    else if (each->kind != BUI_PROP_BOOL && *allowed &&
             8 + strlen(each->name) + strlen(each->value) + strlen(allowed) < HELP_WIDTH)
        bui_buf_printf(out, "    %s", allowed);
    wrap(out, each->text, 6, HELP_WIDTH);
    bui_buf_text(out, "\n");
}

static bool is_own(const bui_property *property)
{
    return strncmp(property->name, "service.", strlen("service.")) == 0;
}

void bui_args_show(const bus_config *config, bui_buf *out)
{
    const bui_property *each;
    const char *name, *value;
    for (size_t i = 0; (each = bui_config_property(config, i)); i++) {
        bool set = bui_config_is_set(config, each->name);
        bui_buf_printf(out, "%s%s = %s\n", set && !each->secret ? "" : "# ", each->name,
                       set && each->secret ? "(a secret, not shown)" : bui_config_text(config, each->name));
    }
    for (size_t i = 0; bui_config_kafka(config, i, &name, &value); i++) {
        char full[256];
        snprintf(full, sizeof full, "kafka.%s", name);
        bool secret = bui_config_secret(config, full);
        bui_buf_printf(out, "%s%s = %s\n", secret ? "# " : "", full, secret ? "(a secret, not shown)" : value);
    }
}

void bui_args_help(const char *service, const bus_config *config, bui_buf *out)
{
    bui_buf_printf(out, "%s: a service on the bus. Reads its topics, keeps its state in SQLite,\napplies each event once.\n\n",
                   service);
    bui_buf_printf(out, "Usage: %s [argument ...]\n\n", service);
    bui_buf_printf(out,
                   "First steps, with the brokers in $BUS_BOOTSTRAP_SERVERS:\n"
                   "  bus topics apply --program %s\n      create the topics it needs (for a trial: `bus broker --program %s`)\n"
                   "  %s --status.port=8080\n      run; SIGTERM drains and stops it, SIGHUP reads the configuration again\n"
                   "  curl localhost:8080/readyz\n      is it working?\n\nArguments:\n",
                   service, service, service);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        bui_buf_printf(out, "  --%s%s%s", flags[i].name, flags[i].operand ? "=" : "", flags[i].operand ? flags[i].operand : "");
        wrap(out, flags[i].text, 6, HELP_WIDTH);
        bui_buf_text(out, "\n");
    }
    const bui_property *each;
    bool any = false;
    for (size_t i = 0; (each = bui_config_property(config, i)); i++)
        if (is_own(each)) {
            if (!any)
                bui_buf_printf(out, "\nProperties of %s itself:\n", service);
            help_property(each, out);
            any = true;
        }
    bui_buf_text(out, "\nProperties, as --name=value, as \"name = value\" in a file, or in the environment\n"
                      "(bootstrap.servers is BUS_BOOTSTRAP_SERVERS). kafka.NAME passes NAME to\nlibrdkafka. "
                      "Passwords are refused as arguments; --kafka.sasl.password.file=FILE\nreads one.\n");
    for (size_t i = 0; (each = bui_config_property(config, i)); i++)
        if (!is_own(each))
            help_property(each, out);
    bui_buf_text(out, "\nExit codes: 0 stopped as asked, 1 error, 2 usage or configuration, 5 refused\n"
                      "(the message says why and what to do), 6 no broker, 130 stopped by a second\nsignal.\n");
}
