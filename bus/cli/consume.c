/* SPDX-License-Identifier: MIT
 * bus consume: shows the events of a topic. Joins no group and commits nothing. */
#include "cli/cli.h"
#include "base/error.h"
#include "cli/render.h"
#include "cli/select.h"
#include "cli/translate.h"
#include "ops/headers.h"
#include "ops/range.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OUTPUT_BUFFER (256 * 1024) /* of a file or a pipe: a system call for each 4 kB would be a fifth of the time */

static const cli_option options[] = {
    { "from", 0, "POINT", "begin here: an offset, a time (@-1h, @2026-11-21T05:00:00Z), start or end" },
    { "to", 0, "POINT", "end before this; default: the end as it is now" },
    { "in-order", 0, NULL, "assume that times rise: stop at the first event past --to" },
    { "partition", 'p', "N", "only this partition" },
    { "follow", 'f', NULL, "go on with new events, until Ctrl-C or --limit" },
    { "key", 'k', "KEY", "only events of this key" },
    { "type", 't', "NAME", "only events of this type (ce_type)" },
    { "limit", 'n', "N", "stop after N events" },
    { "schema", 's', "FILE",
      "decode with this .avsc too; may be repeated. Types that it refers to are searched in the other "
      "files and in its folder" },
    CLI_JSON_OPTION,
    { "raw", 0, NULL, "do not decode" },
    { NULL, 0, NULL, NULL }
};

typedef struct consumer {
    const cli *c;
    bui_translator *translator; /* NULL: raw */
    bui_range range;
    const char *key, *type;
    int64_t limit, shown;
} consumer;

static int parse(consumer *k, bus_error *err)
{
    const cli *c = k->c;
    const char *from = cli_value(c, "from"), *to = cli_value(c, "to");
    int64_t partition = -1;
    bus_status status = BUS_OK;
    k->range = (bui_range){ .topic = c->operand[0], .from = { BUI_EDGE_START, 0 }, .to = { BUI_EDGE_END, 0 } };
    k->key = cli_value(c, "key");
    k->type = cli_value(c, "type");
    if (!cli_int(c, "partition", 0, INT32_MAX, &partition) || !cli_int(c, "limit", 1, INT64_MAX, &k->limit))
        return CLI_USAGE;
    k->range.partition = (int32_t)partition;
    k->range.in_order = cli_flag(c, "in-order");
    if (c->operands > 1 && (from || to))
        return cli_failf(c, CLI_USAGE, "give the range as %s or by --from and --to, not both", c->operand[1]);
    if (cli_flag(c, "follow")) {
        if (to)
            return cli_failf(c, CLI_USAGE, "--follow has no end: leave --to out");
        /* Following means what comes, unless a beginning is named. */
        k->range.from = (bui_edge){ BUI_EDGE_END, 0 };
    }
    if (c->operands > 1)
        status = bui_range_parse(c->operand[1], cli_now(), &k->range, err);
    if (status == BUS_OK && from)
        status = bui_edge_parse(from, cli_now(), &k->range.from, err);
    if (status == BUS_OK && to)
        status = bui_edge_parse(to, cli_now(), &k->range.to, err);
    if (status == BUS_OK)
        status = bui_range_check(&k->range, err);
    if (cli_flag(c, "follow"))
        k->range.to = (bui_edge){ BUI_EDGE_NEVER, 0 };
    return status == BUS_OK ? CLI_OK : cli_fail(c, err);
}

static bool wanted(const consumer *k, const bui_record *record)
{
    if (k->key && (!record->key || record->key_len != strlen(k->key) || memcmp(record->key, k->key, record->key_len) != 0))
        return false;
    return !k->type || bui_slice_is(bui_record_header(record, "ce_type"), k->type);
}

static bus_status show(consumer *k, const bui_record *record, bui_buf *out, bus_error *err)
{
    bui_buf_clear(out);
    if (k->c->json)
        cli_record_json(record, k->translator, out);
    else
        cli_record_text(record, k->translator, k->c->colour, out);
    if (!bui_buf_ok(out))
        return bui_fail_nomem(err);
    if (fwrite(out->data, 1, out->len, stdout) != out->len)
        return bui_fail(err, BUS_IO, "the output cannot be written");
    k->shown++;
    return BUS_OK;
}

static void note_range(const consumer *k, const bui_kafka_reader *reader)
{
    bui_read_progress progress;
    bui_kafka_reader_progress(reader, &progress);
    cli_range_notes(k->c, &k->range, progress.cut, progress.outside);
}

static bus_status walk(consumer *k, bus_error *err)
{
    bui_kafka_reader *reader = NULL;
    const bui_record *record;
    bui_buf out;
    bui_buf_init(&out, 0);
    if (!isatty(STDOUT_FILENO)) /* what is gathered leaves in any case: at each pause of the topic, and at the end */
        (void)setvbuf(stdout, NULL, _IOFBF, OUTPUT_BUFFER);
    bus_status status =
        bui_kafka_reader_open(k->c->config, "bus-consume", &k->range, 1, BUI_READ_BY_TIME, k->c->timeout_ms, &reader, err);
    while (status == BUS_OK && (!k->limit || k->shown < k->limit)) {
        if (cli_interrupted()) {
            status = bui_fail(err, BUS_CANCELLED, "interrupted after %" PRId64 " events", k->shown);
            break;
        }
        status = bui_kafka_reader_next(reader, 300, &record, err);
        if (status == BUS_OK && wanted(k, record))
            status = show(k, record, &out, err);
        else if (status == BUS_TIMEOUT) /* quiet for a moment: show the reader of a pipe what there is */
            status = fflush(stdout) == 0 ? BUS_OK : bui_fail(err, BUS_IO, "the output cannot be written");
    }
    if (fflush(stdout) != 0 && status == BUS_OK)
        status = bui_fail(err, BUS_IO, "the output cannot be written");
    if (reader)
        note_range(k, reader);
    bui_kafka_reader_close(reader);
    bui_buf_free(&out);
    return status == BUS_CLOSED ? BUS_OK : status;
}

static int run(cli *c)
{
    consumer k = { .c = c };
    bus_error err = { 0 };
    int code = parse(&k, &err);
    if (code != CLI_OK)
        return code;
    bus_status status = cli_translator_load(c, &k.translator, &err);
    if (status == BUS_OK)
        status = walk(&k, &err);
    if (status == BUS_CANCELLED && cli_flag(c, "follow") && cli_interrupted_by() == 2)
        cli_note(c, "%" PRId64 " events", k.shown);
    else if (status != BUS_OK)
        code = cli_fail(c, &err);
    else if (!k.shown)
        cli_note(c, "no event matches");
    if (status == BUS_OK && !k.shown)
        code = CLI_NOTHING;
    else if (status == BUS_CANCELLED)
        code = CLI_INTERRUPTED;
    bui_translator_close(k.translator);
    return code;
}

const cli_command cli_consume = {
    .name = "consume",
    .operands = "TOPIC [FROM:TO]",
    .least = 1,
    .most = 2,
    .summary = "show the events of a topic, decoded",
    .text = "Reads without joining a group: it commits nothing and disturbs no service. Partitions are merged by time.\n"
            "Values in any framing are decoded, by the schemas that services announced on bus.schemas and, if\n"
            "registry.url is set, by those of the schema registry. With --output json each event is one line. FROM and TO\n"
            "are offsets, times or nothing. In JSON a header that occurs several times has an array of values, and bytes\n"
            "that are not text are {\"base64\": ...}.",
    .options = options,
    .examples = "  bus consume order.events @-1h:end          the last hour\n"
                "  bus consume order.events 120:180 -p 0      offsets 120 to 179 of partition 0\n"
                "  bus consume order.events -f -t order.OrderConfirmed\n"
                "  bus consume order.events -k order-17 -o json | jq .value",
    .run = run
};
