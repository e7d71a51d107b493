/* SPDX-License-Identifier: MIT
 * The table of properties: all that can be configured, with its bounds, and what the protocol keeps to itself. */
#include "base/config_table.h"

#include <stddef.h>
#include <string.h>

#define K INT64_C(1024)
#define M (K * K)
#define G (K * M)
#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

#define TEXT(n, v, t) { .name = n, .kind = BUS_PROP_TEXT, .value = v, .unit = "", .text = t }
#define LIST(n, v, t) { .name = n, .kind = BUS_PROP_LIST, .value = v, .unit = "", .text = t }
#define INT(n, v, lo, hi, t) { .name = n, .kind = BUS_PROP_INT, .value = v, .unit = "", .least = lo, .most = hi, .text = t }
#define BOOL(n, v, t) { .name = n, .kind = BUS_PROP_BOOL, .value = v, .unit = "", .most = 1, .text = t }
#define CHOICE(n, v, c, t) { .name = n, .kind = BUS_PROP_CHOICE, .value = v, .unit = "", .choices = c, .text = t }
#define TIME(n, v, lo, hi, t) \
    { .name = n, .kind = BUS_PROP_DURATION, .value = v, .unit = "ms", .least = lo, .most = hi, .text = t }
#define SIZE(n, v, lo, hi, t) \
    { .name = n, .kind = BUS_PROP_SIZE, .value = v, .unit = "bytes", .least = lo, .most = hi, .text = t }

static const bus_property table[] = {
    /* ---- where */
    LIST("bootstrap.servers", "localhost:9092",
         "The brokers to ask first, host:port, separated by commas. A broker that is away is waited for."),
    TEXT("data.dir", "data",
         "The directory of the stores: <data.dir>/<service>/<shard>.db. Processes of one service on one host share it."),
    INT("shards", "1", 1, 1024,
        "The number of shards of the service: of partitions of its lead topic. Fixed at creation and kept in each store; when "
        "not set, the lead topic tells it."),
    TEXT("status.listen", "127.0.0.1", "The address on which /metrics, /healthz and /readyz are served."),
    INT("status.port", "0", 0, 65535, "The port of /metrics, /healthz and /readyz; 0: none."),
    CHOICE("log.level", "info", "debug|info|warn|error", "The least level of the log lines that are written."),
    /* ---- the process and its group */
    TIME("session.timeout.ms", "8s", 1 * SECOND, 30 * MINUTE,
         "After this long without a heartbeat the group gives a process's shards to others. The broker's bounds "
         "(group.min.session.timeout.ms, 6 s by default) apply."),
    TIME("drain.timeout.ms", "6s", 0, 10 * MINUTE,
         "How long a stopping process waits for what it has committed to reach Kafka. The rest leaves at the next start."),
    TIME("open.wait.ms", "1m", 0, HOUR,
         "How long an assigned shard that another process still holds is waited for before the process gives up."),
    TIME("broker.timeout.ms", "10s", 100, 10 * MINUTE,
         "Bound of one blocking request to a broker: metadata, watermarks, offsets, administration."),
    TIME("handler.stuck.timeout.ms", "1m", 0, DAY,
         "A handler that runs longer is reported as stuck and makes the process unready; 0: never."),
    TIME("heartbeat.interval.ms", "10s", 0, HOUR,
         "How often the process tells bus.services that it lives, what it reads and writes; 0: never."),
    TIME("schema.announce.interval.ms", "6h", 0, 30 * DAY,
         "How often the schemas of the service are announced again on bus.schemas, beside each start; 0: at start only."),
    CHOICE("schema.compatibility", "backward", "none|backward|backward-transitive|forward|forward-transitive|full|full-transitive",
           "How a schema that the service brings must fit those of its name on bus.schemas, or the service ends. backward: it reads "
           "what the last one wrote; forward: the last one reads what it writes; full: both; transitive: all, not only the last."),
    BOOL("schemas.closed", "false",
         "Learn no schema from bus.schemas: only compiled-in ones and the registry's. Events in others wait, as those in unknown "
         "ones do."),
    INT("schemas.per.namespace", "1000", 1, 10000,
        "The most schemas of one name space that are learnt from bus.schemas; further ones are refused, counted in "
        "bus_process_schemas_refused_total and logged."),
    /* ---- the schema registry */
    CHOICE("framing", "single-object", "single-object|confluent",
           "What stands before the body of an event. single-object: Avro's own, C3 01 and a fingerprint, the schemas on bus.schemas. "
           "confluent: 00 and the schema's id in the registry, which is needed then. Both are read always."),
    TEXT("registry.url", "",
         "The addresses of one schema registry (Confluent's REST API), separated by commas, each tried in turn; empty: none."),
    TEXT("registry.user", "", "The user of the registry's basic authentication; empty: none."),
    { .name = "registry.password", .kind = BUS_PROP_TEXT, .value = "", .unit = "", .secret = true, .text = "That user's password." },
    TEXT("registry.ca.file", "", "PEM file of the authorities that may sign the registry's certificate; empty: the system's."),
    TEXT("registry.certificate.file", "", "PEM file of the certificate shown to the registry; empty: none."),
    TEXT("registry.key.file", "", "PEM file of that certificate's private key."),
    { .name = "registry.key.password", .kind = BUS_PROP_TEXT, .value = "", .unit = "", .secret = true,
      .text = "The password of that file; empty: none." },
    CHOICE("registry.subject", "topic-record", "topic|record|topic-record",
           "Under which subject a schema is registered. topic: <topic>-value, for topics with one type alone; record: the type's full "
           "name; topic-record: <topic>-<full name>."),
    BOOL("registry.register", "true", "Register the schemas that the service writes; false: they must be there, and are looked up."),
    TIME("registry.timeout.ms", "5s", 100, 10 * MINUTE, "Bound of one request to one address of the registry."),
    TIME("registry.unknown.ms", "30s", 1 * SECOND, DAY, "How long the registry is not asked again for what it does not know."),
    /* ---- the shard's batch */
    INT("batch.records", "1000", 1, 1000000, "The most deliveries in one transaction of a shard."),
    SIZE("batch.bytes", "8m", K, G, "The most bytes of deliveries in one transaction of a shard."),
    TIME("commit.interval.ms", "500ms", 0, 10 * MINUTE,
         "How often consumed offsets are committed to Kafka, for lag tools and for the next start's checks; the store is the truth."),
    SIZE("fetch.queue.bytes", "8m", 64 * K, G, "The most bytes fetched ahead for each partition."),
    /* ---- what may pile up */
    SIZE("message.max.bytes", "1048588", K, G,
         "The largest record that may be emitted, counted as brokers do: uncompressed key, value and headers in a batch of its "
         "own. The default is what a topic takes unless told otherwise; a topic whose max.message.bytes is known to be less "
         "counts with that."),
    SIZE("outbox.max.bytes", "256m", 64 * K, 1024 * G,
         "When a shard's outbox is deeper, its deliveries stop and bus_transact answers BUS_FULL until Kafka takes rows again."),
    CHOICE("outbox.refused", "wait", "wait|pass",
           "What becomes of rows behind one that Kafka refuses (too large for its topic, say): wait keeps them back until an "
           "operator has decided (bus outbox), so that each key keeps its order; pass sends them, and their receivers report a "
           "gap. Answers and retry records always pass."),
    INT("in.flight.rows", "10000", 1, 1000000, "The most rows of one destination that are sent and not yet acknowledged."),
    TIME("outbox.linger.ms", "2ms", 0, 1 * SECOND,
         "A row of a small transaction leaves at once if no row has left for this long; else it waits until then and leaves with "
         "the others. 0: each leaves at once."),
    TIME("outbox.look.timeout.ms", "2s", 0, 10 * MINUTE,
         "A shard that opens with unacknowledged rows reads the ends of their topics, for this long at most, and does not send "
         "again what is there already; 0: it does not look."),
    INT("replies.destinations.max", "10000", 1, 10000000,
        "A shard that has written to so many partitions sends no answers to further ones, and counts them: a question names the "
        "partition of its answer, so a foreigner could name any number."),
    TIME("idle.recheck.ms", "10s", 0, 7 * DAY,
         "To a destination (a partition) that was idle for longer, one row is sent alone and its acknowledgement awaited, as "
         "after the start of a producer."),
    TIME("log.check.ms", "10s", 0, 7 * DAY,
         "How often a record that was read before is read again while its partition is delivered, so that a topic that was "
         "deleted and made again is noticed; 0: before each batch, which costs a round trip."),
    INT("parked.max.per.key", "10000", 1, 100000000,
        "The most events that wait behind a failed one of their key; further ones become dead letters that name it."),
    SIZE("parked.max.bytes", "256m", 64 * K, 1024 * G,
         "The most bytes of waiting events, and of events that their dead letters could not carry, in a store; when they are "
         "more, the shard pauses."),
    INT("seen.max", "1000000", 1, 1000000000,
        "How many ids of events of foreign producers (without bus-hop) a store remembers to drop duplicates."),
    INT("marks.max", "100000", 1000, 100000000,
        "The most sources of numbered events that a store keeps, and the most gaps in their numbers. An event above that is told "
        "from its copies by its id, as foreign events are; that is logged and counted in bus_uncounted_total."),
    /* ---- failing */
    LIST("retry.tiers", "1s,30s,10m",
         "The delays of the retry topics, rising; each is a topic <service>.retry.<delay>. The last one repeats."),
    INT("retry.attempts", "10", 1, 1000000,
        "How often an event is run, the first included, before it becomes a dead letter. A route may say otherwise."),
    TIME("retry.grace.ms", "10s", 0, DAY,
         "A waiting event whose retry record has not come runs this long after it was due."),
    TIME("pause.first.ms", "500ms", 1, HOUR, "How long a topic pauses after the first verdict pause; doubles with each further one."),
    TIME("pause.most.ms", "30s", 1, DAY, "The longest pause after a verdict pause."),
    TIME("schema.wait.ms", "10m", 0, 30 * DAY,
         "How long a topic waits, in all, for schemas that are neither announced nor known to the registry; of that time it gets "
         "back a tenth of the time that passes. Then such an event becomes a dead letter, to be redriven when its schema is "
         "known. A registry that does not answer is waited for without limit. Announcements come before their events: what is "
         "not there in minutes will not come by itself."),
    INT("reject.ratio.percent", "50", 0, 100,
        "When more than this share of the recent events failed on their first run, their topic pauses before each further dead "
        "letter, and the shard says so: a bad deploy must not drain a topic into the dead letters. 0: off."),
    /* ---- prepare */
    INT("prepare.threads", "16", 1, 1024, "The threads of a process that run prepare steps."),
    INT("prepare.window", "256", 1, 100000, "How many deliveries of a shard may be in their prepare step at once."),
    /* ---- the record */
    CHOICE("envelope", "full", "full|compact",
           "full: the CloudEvents attributes, content-type and bus-hop, and causation, correlation and trace when there are any. "
           "compact: bus-hop, ce_id and ce_type alone."),
    TEXT("hop.key.file", "",
         "The keys that records are signed and verified with (the header bus-mac; docs/security.md has the file's form). Not "
         "readable by everybody; read at start. Empty: nothing is signed."),
    LIST("hop.verify", "",
         "The topics whose records must be signed with a key of hop.key.file, separated by commas; *: all that is read. What is "
         "not becomes a dead letter of class `forged`; commands, letters, schemas and answers are passed over. Empty: none."),
    /* ---- the store */
    SIZE("store.cache.bytes", "64m", 256 * K, 64 * G, "SQLite's page cache, for each shard."),
    TIME("store.read.max.ms", "5s", 1, HOUR,
         "The longest that a bus_read may hold its snapshot; then it is interrupted, so that the WAL can be reset."),
    SIZE("wal.max.bytes", "64m", 64 * K, 64 * G, "When a store's WAL is longer it is moved into the database."),
    /* ---- requests and publishing without a store */
    TEXT("replies.topic", "",
         "The topic on which bus_request waits for answers; default <service>.replies. A program without a service must name one; its "
         "name ends with .replies."),
    INT("publish.queue.records", "100000", 1, 10000000, "The most records of bus_publish that wait for their acknowledgement."),
    SIZE("publish.queue.bytes", "64m", 64 * K, 64 * G, "The same in bytes; above it bus_publish answers BUS_FULL."),
    TIME("publish.timeout.ms", "5m", 1 * SECOND, 7 * DAY,
         "After this long without an acknowledgement a record of bus_publish has failed (it may be stored all the same). Rows of the "
         "outbox never time out."),
    TIME("publish.linger.ms", "5ms", 0, MINUTE, "How long bus_publish waits for further records to fill a batch."),
    /* ---- topics as `bus topics apply` makes them */
    INT("topics.partitions", "4", 1, 100000,
        "Partitions of an output topic that does not exist yet; topics of a service with more shards get as many as it has shards."),
    INT("topics.replication", "-1", -1, 100, "The replication factor of a topic that is made; -1: the broker's default."),
    INT("topics.min.insync", "0", 0, 100,
        "min.insync.replicas of a topic that is made; 0: the broker's default, or replication less one when that is set."),
    TIME("topics.retention.ms", "7d", 1 * SECOND, 36500 * DAY,
         "Retention of event, command and retry topics that are made. Dead letters and redrives are kept without limit."),
    { .name = NULL },
};

const bus_property *bus_properties(void)
{
    return table;
}

/* What would break the protocol if it were set: each line says why, or which property to use. */
static const struct { const char *name, *why; } owned[] = {
    { "acks", "a row leaves the outbox only when all in-sync replicas hold it" },
    { "request.required.acks", "a row leaves the outbox only when all in-sync replicas hold it" },
    { "allow.auto.create.topics", "topics are declared (bus topics apply) and never made by accident" },
    { "api.version.request", "the protocol needs what brokers say of themselves" },
    { "auto.commit.enable", "offsets are committed after the outbox rows of their batch are acknowledged" },
    { "auto.offset.reset", "a position outside the log must halt the shard and not skip events; see the route's `start`" },
    { "bootstrap.servers", "use the property bootstrap.servers, without kafka." },
    { "client.id", "it names the service and process in the broker's logs" },
    { "delivery.timeout.ms", "rows of the outbox never time out; for bus_publish use publish.timeout.ms" },
    { "enable.auto.commit", "offsets are committed after the outbox rows of their batch are acknowledged" },
    { "enable.auto.offset.store", "positions are kept in the store, within the batch's transaction" },
    { "enable.gapless.guarantee", "the order of a destination's rows rests on it" },
    { "enable.idempotence", "the order of a destination's rows rests on it" },
    { "enable.partition.eof", "the end of a partition moves the position past a foreign producer's transaction markers" },
    { "group.id", "the group is the service: its name is in the code" },
    { "group.instance.id", "each process takes a slot of the data directory, and the slot names it" },
    { "isolation.level", "only committed records of transactional producers may reach a handler" },
    { "message.max.bytes", "use the property message.max.bytes, without kafka." },
    { "message.send.max.retries", "rows are sent until they are acknowledged" },
    { "message.timeout.ms", "rows of the outbox never time out; for bus_publish use publish.timeout.ms" },
    { "metadata.broker.list", "use the property bootstrap.servers, without kafka." },
    { "partition.assignment.strategy", "shards are assigned by the lead topic, eagerly" },
    { "partitioner", "the partition is murmur2 of the key, as the Java client computes it, and set explicitly" },
    { "partitioner_cb", "the partition is murmur2 of the key, as the Java client computes it, and set explicitly" },
    { "queued.max.messages.kbytes", "use the property fetch.queue.bytes" },
    { "retries", "rows are sent until they are acknowledged" },
    { "session.timeout.ms", "use the property session.timeout.ms, without kafka." },
    { "transactional.id", "nothing here rests on Kafka's transactions; the store's transaction is the one that counts" },
};

const char *bus_config_owned(const char *name)
{
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        if (strcmp(owned[i].name, name) == 0)
            return owned[i].why;
    return NULL;
}

bool bus_config_owned_at(size_t i, const char **name, const char **why)
{
    if (i >= sizeof owned / sizeof *owned)
        return false;
    *name = owned[i].name;
    *why = owned[i].why;
    return true;
}
