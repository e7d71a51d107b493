/* SPDX-License-Identifier: MIT
 * bus publish: lines of JSON become events: Avro, CloudEvents headers, partitioned by key as the services do it. */
#include "cli/cli.h"
#include "base/error.h"
#include "base/id.h"
#include "cli/translate.h"
#include "codec/cloud.h"
#include "kafka/admin.h"
#include "ops/schemas.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS_MOST 40
#define STRICT_MOST (512u << 20) /* bytes of input that --strict keeps in memory */

static const cli_option options[] = {
    { "type", 't', "NAME", "the events' type, a schema's full name; default: the schema of --schema" },
    { "schema", 's', "FILE",
      "an .avsc file, to announce on bus.schemas or register in the registry; default: what is announced, "
      "else the registry's latest. Types that it refers to may be in other .avsc files of its folder" },
    { "framing", 0, "FRAMING", "how the value names its schema: single-object or confluent (property framing)" },
    CLI_JSON_OPTION,
    { "key-field", 'K', "FIELD", "the key is this field of each event" },
    { "key", 'k', "KEY", "one key for all" },
    { "id-field", 0, "FIELD", "ce_id is this field of each event; default: a random id" },
    { "source", 0, "NAME", "ce_source (bus-publish)" },
    { "header", 'H', "NAME=VALUE", "one more header; may be repeated" },
    { "strict", 0, NULL, "send nothing unless every line is valid" },
    { NULL, 0, NULL, NULL }
};

typedef struct publication {
    cli *c;
    bui_translator *translator;
    const bui_schema *schema;
    bui_prefix prefix;
    bool announce; /* the schema is not on bus.schemas yet */
    bui_kafka_publisher *publisher;
    int32_t partitions;
    bus_header fixed[HEADERS_MOST]; /* the same for all; ce_id is put before them */
    size_t fixed_count;
    char header_text[HEADERS_MOST][512];
    bui_buf body;
    int64_t number;                                 /* of the line at hand */
    int64_t lines, bad, sent, acknowledged, failed; /* lines: those that are not empty */
    bool dry;                                       /* the first walk of --strict */
    cli_watch watch;
} publication;

/* What a callback needs to know of its record. */
typedef struct ticket {
    publication *p;
    int64_t line;
} ticket;

static void complain(publication *p, int64_t line, const char *why)
{
    cli_progress_end(&p->watch.progress);
    fprintf(stderr, "line %" PRId64 ": %s\n", line, why);
}

static void published(void *opaque, bus_status status, int32_t partition, int64_t offset, const bus_error *err)
{
    ticket *t = opaque;
    (void)partition;
    (void)offset;
    if (status == BUS_OK) {
        t->p->acknowledged++;
    } else {
        t->p->failed++;
        complain(t->p, t->line, err ? err->text : "not stored");
    }
    free(t);
}

/* A key or an id; NULL: none. A key is bytes, so U+0000 may be among them. */
typedef struct word {
    char *text;
    size_t len;
} word;

/* A value as key or id: text as it is, numbers and booleans as JSON writes them. False: there is none, it is a structure, or there is no
 * memory. */
static bool text_of(const json_t *value, word *out)
{
    if (json_is_string(value)) {
        out->len = json_string_length(value);
        if ((out->text = malloc(out->len + 1)))
            memcpy(out->text, json_string_value(value), out->len + 1);
        return out->text != NULL;
    }
    out->text = value && !json_is_object(value) && !json_is_array(value) && !json_is_null(value)
                    ? json_dumps(value, JSON_ENCODE_ANY)
                    : NULL;
    out->len = out->text ? strlen(out->text) : 0;
    return out->text != NULL;
}

/* What is to be the key or the id: that field of the event, NULL without a field. */
static bus_status field_text(const json_t *event, const char *field, const char *what, word *out, bus_error *err)
{
    json_t *value = json_object_get(event, field);
    if (json_object_size(value) == 1) /* a union in Avro's JSON encoding */
        value = json_object_iter_value(json_object_iter(value));
    if (!field || text_of(value, out))
        return BUS_OK;
    return bui_fail(err, BUS_INVALID, "no text or number in field \"%s\", which must be the %s", field, what);
}

static bus_status fields_of(const publication *p, const char *text, size_t len, word *key, word *id, bus_error *err)
{
    const char *key_field = cli_value(p->c, "key-field"), *id_field = cli_value(p->c, "id-field");
    if (!key_field && !id_field)
        return BUS_OK;
    json_t *event = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    bus_status status = event ? field_text(event, key_field, "key", key, err) : bui_fail_nomem(err); /* it has been read before */
    if (status == BUS_OK)
        status = field_text(event, id_field, "id", id, err);
    if (status == BUS_OK && id->text && (!id->len || id->len > 255))
        status = bui_fail(err, BUS_INVALID, "an id has 1 to 255 bytes");
    if (status == BUS_OK && id->text && strlen(id->text) != id->len)
        status =
            bui_fail(err, BUS_INVALID,
                     "the text in field \"%s\" holds U+0000, which an id, being a header of text, cannot hold: use another field",
                     id_field);
    json_decref(event);
    return status;
}

static bus_status send_event(publication *p, int64_t line, word key, const char *id, bus_error *err)
{
    bus_header headers[HEADERS_MOST + 1];
    bus_status status;
    ticket *t = malloc(sizeof *t);
    if (!t)
        return bui_fail_nomem(err);
    *t = (ticket){ p, line };
    headers[0] = (bus_header){ BUI_HEADER_ID, id, strlen(id) };
    memcpy(headers + 1, p->fixed, p->fixed_count * sizeof *headers);
    /* As for a service: without a key the partition follows from the id. */
    int32_t partition =
        key.text ? bui_partition_of(key.text, key.len, p->partitions) : bui_partition_of(id, strlen(id), p->partitions);
    bui_row row = { .topic = p->c->operand[0],
                    .partition = partition,
                    .key = key.text,
                    .key_len = key.len,
                    .value = p->body.data,
                    .value_len = p->body.len,
                    .headers = headers,
                    .header_count = p->fixed_count + 1 };
    while ((status = bui_kafka_publish(p->publisher, &row, published, t, err)) == BUS_FULL && !cli_interrupted())
        bui_kafka_publisher_poll(p->publisher, 100);
    if (status != BUS_OK)
        free(t);
    else
        p->sent++;
    bui_kafka_publisher_poll(p->publisher, 0);
    return status;
}

/* One line. What is wrong with it is in *err. */
static bus_status take_event(publication *p, const char *text, size_t len, int64_t line, bus_error *err)
{
    char random_id[BUI_ID_TEXT];
    const char *given = cli_value(p->c, "key");
    word key = { NULL, 0 }, id = { NULL, 0 };
    bui_buf_clear(&p->body);
    bus_status status = bui_translator_write(p->translator, &p->prefix, p->schema, text, len, &p->body, err);
    if (status == BUS_OK)
        status = fields_of(p, text, len, &key, &id, err);
    if (status == BUS_OK && !p->dry) {
        if (!id.text)
            bui_id_random(random_id);
        word one = { (char *)(uintptr_t)given, given ? strlen(given) : 0 }; /* for all */
        status = send_event(p, line, key.text ? key : one, id.text ? id.text : random_id, err);
    }
    free(key.text);
    free(id.text);
    return status;
}

/* Bad lines are reported and skipped; anything else ends the walk. */
static bus_status take_line(publication *p, const char *text, size_t len, bus_error *err)
{
    bus_error wrong = { 0 };
    p->number++;
    while (len && strchr(" \t\r\n", text[len - 1]))
        len--;
    if (!len)
        return BUS_OK;
    p->lines++;
    bus_status status = take_event(p, text, len, p->number, &wrong);
    if (status == BUS_INVALID || status == BUS_TOO_BIG || status == BUS_SCHEMA) {
        p->bad++;
        complain(p, p->number, wrong.text);
        status = BUS_OK;
    } else if (status != BUS_OK && err) {
        *err = wrong;
    }
    bui_watch_step(&p->watch.watch, p->sent, 0, INT64_MAX);
    if (status == BUS_OK && cli_interrupted())
        status = bui_fail(err, BUS_CANCELLED, "interrupted at line %" PRId64, p->number);
    return status;
}

static bus_status stream(publication *p, FILE *in, bus_error *err)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    bus_status status = BUS_OK;
    while (status == BUS_OK && (len = getline(&line, &cap, in)) >= 0)
        status = take_line(p, line, (size_t)len, err);
    if (status == BUS_OK && cli_interrupted())
        status = bui_fail(err, BUS_CANCELLED, "interrupted after line %" PRId64, p->number);
    else if (status == BUS_OK && ferror(in))
        status = bui_fail(err, BUS_IO, "the input cannot be read: %s", strerror(errno));
    free(line);
    return status;
}

static bus_status walk_lines(publication *p, const bui_buf *all, bus_error *err)
{
    const char *at = (const char *)all->data, *end = at + all->len;
    bus_status status = BUS_OK;
    p->lines = p->number = 0;
    while (status == BUS_OK && at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end;
        status = take_line(p, at, (size_t)(stop - at), err);
        at = stop + 1;
    }
    return status;
}

/* All lines are looked at before the first is sent. */
static bus_status strict(publication *p, FILE *in, bus_error *err)
{
    bui_buf all;
    char chunk[65536];
    size_t n;
    bus_status status = BUS_OK;
    bui_buf_init(&all, STRICT_MOST);
    while ((n = fread(chunk, 1, sizeof chunk, in)) > 0)
        bui_buf_add(&all, chunk, n);
    if (ferror(in) || !bui_buf_ok(&all))
        status = bui_fail(err, BUS_IO, "the input cannot be read, or is over the %u MB that --strict keeps", STRICT_MOST >> 20);
    p->dry = true;
    if (status == BUS_OK)
        status = walk_lines(p, &all, err);
    p->dry = false;
    if (status == BUS_OK && !p->bad)
        status = walk_lines(p, &all, err);
    bui_buf_free(&all);
    return status;
}

/* The headers that every event has: CloudEvents 1.0, Kafka binding, binary mode; and --header. */
static int make_headers(publication *p)
{
    const char *source = cli_value(p->c, "source"), *item;
    const bui_cloud cloud = { .type = bui_schema_name(p->schema), .source = source ? source : "bus-publish" };
    p->fixed_count = bui_cloud_write(&cloud, p->fixed);
    for (int i = 0; (item = cli_nth(p->c, "header", i)); i++) {
        const char *equals = strchr(item, '=');
        if (!equals || equals == item || strlen(item) >= sizeof p->header_text[0] || p->fixed_count == HEADERS_MOST)
            return cli_failf(p->c, CLI_USAGE, "--header %.40s: write NAME=VALUE, at most %zu bytes, at most %d of them", item,
                             sizeof p->header_text[0] - 1, HEADERS_MOST - 4);
        if (!strncmp(item, "bus-", 4) || !strncmp(item, "__dlq.", 6))
            return cli_failf(p->c, CLI_USAGE, "--header %.40s: names that begin with bus- and __dlq. are the bus's own", item);
        char *text = p->header_text[i];
        memcpy(text, item, strlen(item) + 1);
        text[equals - item] = 0;
        p->fixed[p->fixed_count++] = (bus_header){ text, text + (equals - item) + 1, strlen(equals + 1) };
    }
    return CLI_OK;
}

/* From its file, else from bus.schemas, else from the registry. */
static bus_status find_schema(publication *p, bus_error *err)
{
    const cli *c = p->c;
    const char *type = cli_value(c, "type"), *file = cli_value(c, "schema");
    if (!type && !file)
        return bui_fail(err, BUS_INVALID, "say what the events are: --type NAME, --schema FILE, or both");
    bui_catalog *catalog = bui_translator_catalog(p->translator);
    bus_status status =
        file ? bui_schemas_file(file, NULL, 0, catalog, &p->schema, err) : cli_schemas_load(c, catalog, NULL, err);
    if (status == BUS_OK && !file)
        p->schema = bui_catalog_named(catalog, type);
    /* With a registry's id before it an event needs no announcement. */
    p->announce = (!p->schema || file) && strcmp(bui_config_text(c->config, "framing"), "confluent") != 0;
    if (status == BUS_OK && !p->schema) {
        status = bui_translator_latest(p->translator, c->operand[0], type, &p->schema, err);
        if (status == BUS_MISSING)
            bui_fail_in(err, "nobody has announced a schema %s: give its file with --schema", type);
    }
    if (status == BUS_OK && type && strcmp(bui_schema_name(p->schema), type) != 0)
        status = bui_fail(err, BUS_MISSING, "%s is not what %s defines", type, file ? file : "the registry's latest version");
    return status;
}

static bus_status find_topic(publication *p, bus_error *err)
{
    bui_kafka_admin *admin = NULL;
    bui_kafka_topic *topics = NULL;
    const char *name = p->c->operand[0];
    size_t count = 0;
    bus_status status = bui_kafka_admin_open(p->c->config, "bus-publish", &admin, err);
    if (status == BUS_OK)
        status = bui_kafka_admin_topics(admin, &name, 1, false, p->c->timeout_ms, &topics, &count, err);
    if (status == BUS_OK && (!count || topics[0].partitions < 1))
        status = bui_fail(err, BUS_MISSING, "topic %s is not there: bus topics apply creates what services declare", name);
    if (status == BUS_OK)
        p->partitions = topics[0].partitions;
    free(topics);
    bui_kafka_admin_close(admin);
    return status;
}

static int print(publication *p, int code)
{
    static const cli_column columns[] = {
        { "LINES", "lines", CLI_NUMBER }, { "SENT", "sent", CLI_NUMBER },     { "ACKNOWLEDGED", "acknowledged", CLI_NUMBER },
        { "BAD", "bad", CLI_NUMBER },     { "FAILED", "failed", CLI_NUMBER }, { "TOPIC", "topic", CLI_LONG },
        { "TYPE", "type", CLI_LONG }
    };
    cli_table *table = cli_table_new(columns, sizeof columns / sizeof columns[0]);
    if (table) {
        cli_cell_int(table, p->lines);
        cli_cell_int(table, p->sent);
        cli_cell_int(table, p->acknowledged);
        cli_cell_int(table, p->bad);
        cli_paint(table, p->bad ? CLI_RED : CLI_PLAIN);
        cli_cell_int(table, p->failed);
        cli_paint(table, p->failed ? CLI_RED : CLI_PLAIN);
        cli_cell(table, p->c->operand[0]);
        cli_cell(table, bui_schema_name(p->schema));
    }
    return cli_print(p->c, table, code);
}

static bus_status send_all(publication *p, FILE *in, bus_error *err)
{
    bus_error late = { 0 };
    bus_status status = bui_kafka_publisher_open(p->c->config, "bus-publish", NULL, NULL, &p->publisher, err);
    if (status != BUS_OK)
        return status;
    if (p->announce) /* before the events, so that nobody meets one whose schema is unknown */
        status = bui_schemas_announce(p->publisher, p->schema, NULL, NULL, err);
    if (status == BUS_OK && p->announce && bui_kafka_publisher_flush(p->publisher, p->c->timeout_ms, &late) != BUS_OK) {
        late.text[300] = 0;
        status = bui_fail(err, late.status, "announcing the schema on bus.schemas: %s", late.text);
    }
    if (status == BUS_OK)
        status = cli_flag(p->c, "strict") ? strict(p, in, err) : stream(p, in, err);
    if (bui_kafka_publisher_flush(p->publisher, p->c->timeout_ms, &late) == BUS_TIMEOUT && status == BUS_OK)
        status = bui_fail(err, BUS_TIMEOUT, "not all events are acknowledged within %d ms; they may still be stored",
                          p->c->timeout_ms);
    bui_kafka_publisher_close(p->publisher, 0);
    return status;
}

static int run(cli *c)
{
    publication p = { .c = c };
    bus_error err = { 0 };
    const char *path = c->operands > 1 ? c->operand[1] : "-";
    FILE *in = NULL;
    int code;
    bui_buf_init(&p.body, (size_t)bui_config_int(c->config, "message.max.bytes"));
    if (cli_value(c, "key") && cli_value(c, "key-field"))
        return cli_failf(c, CLI_USAGE, "give --key or --key-field, not both");
    if (!(in = strcmp(path, "-") ? fopen(path, "r") : stdin))
        return cli_failf(c, CLI_ERROR, "%s: %s", path, strerror(errno));
    bus_status status = BUS_OK;
    if (cli_value(c, "framing"))
        status = bus_config_set(c->config, "framing", cli_value(c, "framing"), &err);
    if (status == BUS_OK)
        status = cli_translator_open(c, &p.translator, &err);
    if (status == BUS_OK)
        status = find_schema(&p, &err);
    if (status == BUS_OK)
        status = find_topic(&p, &err);
    if (status == BUS_OK && p.announce)
        status = bui_schemas_ready(c->config, c->timeout_ms, &err);
    if (status == BUS_OK) /* may register the schema: after all that can be wrong with the command */
        status = bui_translator_prefix(p.translator, c->operand[0], p.schema, &p.prefix, &err);
    if (status != BUS_OK) {
        code = cli_fail(c, &err);
        goto out;
    }
    code = make_headers(&p);
    if (code != CLI_OK)
        goto out;
    cli_watch_begin(c, &p.watch, "publishing");
    status = send_all(&p, in, &err);
    cli_watch_end(&p.watch);
    code = p.acknowledged == p.lines ? CLI_OK : p.acknowledged ? CLI_PARTIAL : CLI_ERROR;
    code = print(&p, code);
    if (status != BUS_OK)
        code = cli_fail(c, &err);
out:
    if (in != stdin)
        fclose(in);
    bui_buf_free(&p.body);
    bui_translator_close(p.translator);
    return code;
}

const cli_command cli_publish = {
    .name = "publish",
    .operands = "TOPIC [FILE|-]",
    .least = 1,
    .most = 2,
    .summary = "send events given as lines of JSON",
    .text = "Each line is one event. It is checked against its schema, written as Avro with CloudEvents headers, and goes\n"
            "to the partition where services put its key too. A line that does not fit is reported with its number and\n"
            "left out (exit code 3); with --strict nothing is sent then (exit code 1). With the framing confluent, the\n"
            "schema gets its id from the registry (registry.url, registry.subject, registry.register).",
    .options = options,
    .examples = "  bus publish order.commands -t order.PlaceOrder -K order_id - < orders.jsonl\n"
                "  echo '{\"sku\":\"A-1\"}' | bus publish partner.items -s partner.Item.avsc -K sku\n"
                "  bus publish order.commands -t order.PlaceOrder --id-field order_id in.jsonl\n"
                "  bus publish order.commands -t order.PlaceOrder --config registry.conf",
    .run = run
};
