/* SPDX-License-Identifier: MIT
 * The table of properties: all that can be configured, with its limits, and what the protocol fixes. */
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

/* clang-format off */
#define TEXT(n, v, t) { .name = n, .kind = BUI_PROP_TEXT, .value = v, .unit = "", .text = t }
#define LIST(n, v, t) { .name = n, .kind = BUI_PROP_LIST, .value = v, .unit = "", .text = t }
#define INT(n, v, lo, hi, t) { .name = n, .kind = BUI_PROP_INT, .value = v, .unit = "", .least = lo, .most = hi, .text = t }
#define BOOL(n, v, t) { .name = n, .kind = BUI_PROP_BOOL, .value = v, .unit = "", .most = 1, .text = t }
#define CHOICE(n, v, c, t) { .name = n, .kind = BUI_PROP_CHOICE, .value = v, .unit = "", .choices = c, .text = t }
#define TIME(n, v, lo, hi, t) \
    { .name = n, .kind = BUI_PROP_DURATION, .value = v, .unit = "ms", .least = lo, .most = hi, .text = t }
#define SIZE(n, v, lo, hi, t) \
    { .name = n, .kind = BUI_PROP_SIZE, .value = v, .unit = "bytes", .least = lo, .most = hi, .text = t }

static const bui_property table[] = {
    /* ---- where */
    LIST("bootstrap.servers", "localhost:9092",
         "The brokers to connect to first, as host:port, separated by commas. The process waits for a broker that is down."),
    TEXT("data.dir", "data",
         "The directory of the stores: <data.dir>/<service>/<shard>.db. Processes of one service on one host share it."),
    TEXT("cache.dir", "",
         "Where `bus dlq` notes which records of a long topic are about which dead letter, so that it finds one without reading "
         "all again. Empty: .cache/bus in the home directory, or bus in $XDG_CACHE_HOME; none: nowhere."),
    INT("shards", "1", 1, 1024,
        "The number of shards of the service, which is the number of partitions of its lead topic. Each store keeps it, and "
        "it cannot change. If not set, the lead topic says how many."),
    INT("workers.max", "32", 1, 1024,
        "The most threads of a process that run shards. A service with no more shards than this has a thread for each; the shards of a larger "
        "one share so many, and any free thread takes the next shard that has something to do. While handlers hang "
        "(handler.stuck.timeout.ms) there is one more for each."),
    TEXT("status.listen", "127.0.0.1", "The address on which /metrics, /healthz and /readyz are served."),
    INT("status.port", "0", 0, 65535, "The port of /metrics, /healthz and /readyz; 0: none."),
    CHOICE("log.level", "info", "debug|info|warn|error", "The lowest level of log lines that are written. A service reads it again on SIGHUP."),
    /* ---- the process and its group */
    TIME("session.timeout.ms", "8s", 1 * SECOND, 30 * MINUTE,
         "After this long without a heartbeat the group gives the shards of a process to others. The broker's limits "
         "(group.min.session.timeout.ms, 6 s by default) apply."),
    TIME("drain.timeout.ms", "6s", 0, 10 * MINUTE,
         "How long a stopping process waits for what it has committed to reach Kafka. The rest is sent at the next start."),
    TIME("open.wait.ms", "1m", 0, HOUR,
         "How long a process waits for an assigned shard that another process still holds, before it gives up."),
    TIME("broker.timeout.ms", "10s", 100, 10 * MINUTE,
         "The longest that one blocking request to a broker may take: metadata, watermarks, offsets, administration."),
    TIME("handler.stuck.timeout.ms", "1m", 0, DAY,
         "A handler that runs longer is reported as stuck and makes the process not ready; 0: never."),
    TIME("heartbeat.interval.ms", "10s", 0, HOUR,
         "How often the process writes to bus.services that it runs, and what it reads and writes; 0: never."),
    TIME("schema.announce.interval.ms", "6h", 0, 30 * DAY,
         "How often the service announces its schemas again on bus.schemas, after the announcement at each start; 0: at start "
         "only."),
    CHOICE("schema.compatibility", "backward", "none|backward|backward-transitive|forward|forward-transitive|full|full-transitive",
           "How a schema of the service must fit those of the same name on bus.schemas; if it does not, the service ends. "
           "backward: it reads what the last one wrote; forward: the last one reads what it writes; full: both; transitive: "
           "the same of all versions, not only the last."),
    BOOL("schemas.closed", "false",
         "Learn no schema from bus.schemas; use only compiled-in ones and the registry's. Events in other schemas wait, as "
         "those in unknown ones do."),
    INT("schemas.per.namespace", "1000", 1, 10000,
        "The most schemas of one name space that are learnt from bus.schemas. Further ones are refused, counted in "
        "bus_process_schemas_refused_total and logged."),
    /* ---- the schema registry */
    CHOICE("framing", "single-object", "single-object|confluent",
           "What comes before the body of an event. single-object: Avro's own, C3 01 and a fingerprint, with the schemas on "
           "bus.schemas. confluent: 00 and the schema's id in the registry, which must be configured. Both are always read."),
    TEXT("registry.url", "",
         "The addresses of one schema registry (Confluent's REST API), separated by commas and tried in turn; empty: none."),
    TEXT("registry.user", "", "The user for the registry's basic authentication; empty: none."),
    { .name = "registry.password", .kind = BUI_PROP_TEXT, .value = "", .unit = "", .secret = true,
      .text = "The password of registry.user." },
    TEXT("registry.ca.file", "", "PEM file of the authorities that may sign the registry's certificate; empty: the system's."),
    TEXT("registry.certificate.file", "", "PEM file of the certificate to show to the registry; empty: none."),
    TEXT("registry.key.file", "", "PEM file of the private key of registry.certificate.file."),
    { .name = "registry.key.password", .kind = BUI_PROP_TEXT, .value = "", .unit = "", .secret = true,
      .text = "The password of registry.key.file; empty: none." },
    CHOICE("registry.subject", "topic-record", "topic|record|topic-record",
           "The subject under which a schema is registered. topic: <topic>-value, for topics with one type only; record: the "
           "type's full name; topic-record: <topic>-<full name>."),
    BOOL("registry.register", "true",
         "Register the schemas that the service writes; false: only look them up, they must be there."),
    TIME("registry.timeout.ms", "5s", 100, 10 * MINUTE, "The longest that one request to one address of the registry may take."),
    TIME("registry.unknown.ms", "30s", 1 * SECOND, DAY,
         "How long the registry is not asked again about something that it did not know."),
    /* ---- the shard's batch */
    INT("batch.records", "1000", 1, 1000000, "The most deliveries in one transaction of a shard."),
    SIZE("batch.bytes", "8m", K, G, "The most bytes of deliveries in one transaction of a shard."),
    TIME("commit.interval.ms", "500ms", 0, 10 * MINUTE,
         "How often consumed offsets are committed to Kafka, for lag tools and for the checks at the next start. The position "
         "that counts is the store's."),
    SIZE("fetch.queue.bytes", "16m", 64 * K, G,
         "The most bytes fetched ahead for each partition. A partition with a backlog is read as fast as the processor allows if "
         "this is what its shard handles in 0.1 s."),
    SIZE("fetch.memory.bytes", "1g", 16 * M, 1024 * G,
         "The most bytes fetched ahead for all partitions that the process may be given. With many of them each has less than "
         "fetch.queue.bytes. A batch that is larger than a partition's part is fetched nevertheless."),
    /* ---- what may pile up */
    SIZE("message.max.bytes", "1048588", K, G,
         "The largest record that may be emitted, as brokers count it: uncompressed key, value and headers in a batch of its "
         "own. The default is Kafka's default for topics. For a topic whose max.message.bytes is known to be smaller, that "
         "value counts."),
    SIZE("outbox.max.bytes", "256m", 64 * K, 1024 * G,
         "When a shard's outbox is larger, the shard takes no events and bus_transact returns BUS_FULL, until Kafka takes "
         "rows again."),
    CHOICE("outbox.refused", "wait", "wait|pass",
           "What happens to the rows behind one that Kafka refuses (because it is too large for its topic, for example). "
           "wait: they wait until an operator decides (bus outbox), so that each key keeps its order. pass: they are sent, "
           "and their receivers report a gap. Answers and retry records are always sent."),
    CHOICE("compression", "lz4", "none|gzip|snappy|lz4|zstd",
           "How the batches that the process writes to Kafka are compressed. Limits of size count uncompressed bytes all the same; "
           "a broker counts compressed ones, so it takes what a limit of ours may refuse."),
    INT("in.flight.rows", "10000", 1, 1000000, "The most rows of one destination that are sent and not yet acknowledged."),
    INT("producers.max", "4", 1, 64,
        "The most producers by which a process sends what is in its outboxes. Its shards share them, so that threads, connections and "
        "memory do not grow with the number of shards."),
    TIME("outbox.linger.ms", "2ms", 0, 1 * SECOND,
         "A row of a small transaction is sent at once if no row has left for this long; otherwise it waits until then and "
         "leaves with the others. 0: each row is sent at once."),
    TIME("outbox.look.timeout.ms", "2s", 0, 10 * MINUTE,
         "A shard that opens with unacknowledged rows reads the ends of their topics and does not send again what is there "
         "already. This is how long it reads at most; 0: not at all."),
    INT("replies.destinations.max", "10000", 1, 10000000,
        "A shard that has written to this many partitions sends no answers to further ones, and counts them. A question names "
        "the partition for its answer, so a foreign producer could name any number."),
    TIME("idle.recheck.ms", "10s", 0, 7 * DAY,
         "After a destination (a partition) was idle for longer than this, one row is sent alone and its acknowledgement "
         "awaited, as after the start of a producer."),
    TIME("log.check.ms", "10s", 0, 7 * DAY,
         "How often a record that was read before is read again while its partition is read, to notice that a topic was "
         "deleted and made again; 0: before each batch, which costs a round trip."),
    INT("parked.max.per.key", "10000", 1, 100000000,
        "The most events that wait behind a failed one of their key. Further ones become dead letters that name it."),
    SIZE("parked.max.bytes", "256m", 64 * K, 1024 * G,
         "The most bytes in a store of waiting events and of events that their dead letters could not carry. Above it the "
         "shard pauses."),
    INT("dedup.max", "1000000", 1, 1000000000,
        "How many event ids of foreign producers (without bus-hop) a store remembers, to drop duplicates."),
    INT("marks.max", "100000", 1000, 100000000,
        "The most sources of numbered events that a store keeps, and the most gaps in their numbers. Above it duplicates are "
        "found by the event's id, as those of foreign events are; that is logged and counted in bus_uncounted_total."),
    /* ---- failing */
    LIST("retry.tiers", "1s,30s,10m",
         "The delays of the retry topics, each longer than the one before; each is a topic <service>.retry.<delay>. The last "
         "one repeats."),
    INT("retry.attempts", "10", 1, 1000000,
        "How often an event is run, the first run included, before it becomes a dead letter. A route may set its own number."),
    TIME("retry.grace.ms", "10s", 0, DAY, "How long past due a waiting event runs if its retry record has not arrived."),
    TIME("pause.first.ms", "500ms", 1, HOUR,
         "How long a topic pauses after the first verdict pause. Each further one doubles it."),
    TIME("pause.most.ms", "30s", 1, DAY, "The longest pause after a verdict pause."),
    TIME("schema.wait.ms", "10m", 0, 30 * DAY,
         "How long in all a topic waits for schemas that are neither announced nor known to the registry; a tenth of the time "
         "that passes is added again. After that such an event becomes a dead letter, to be redriven when its schema is "
         "known. While a registry does not answer, the wait has no limit. Announcements come before their events: a schema "
         "that is not there within minutes will not come by itself."),
    INT("reject.ratio.percent", "50", 0, 100,
        "When more than this share of the recent events failed on their first run, their topic pauses before each further "
        "dead letter, and the shard logs it: a bad deploy must not turn a whole topic into dead letters. 0: off."),
    /* ---- prepare */
    INT("prepare.threads", "16", 1, 1024, "The threads of a process that run prepare steps."),
    INT("prepare.window", "256", 1, 100000, "How many deliveries of a shard may be in their prepare step at once."),
    /* ---- the record */
    CHOICE("envelope", "compact", "full|compact",
           "How a service writes its events. compact: one header, bus-hop, with all that CloudEvents says of the event "
           "(docs/wire.md); services of version 0.1 cannot read it. full: a header for each attribute, as CloudEvents has "
           "them, for topics that other programs read. Dead letters, retries and what bus_publish sends are always in full."),
    TEXT("hop.key.file", "",
         "The keys that sign and verify records (the header bus-mac; docs/security.md shows the file's form). The file must "
         "not be readable by everybody; it is read at start. Empty: nothing is signed."),
    LIST("hop.verify", "",
         "The topics whose records must be signed with a key of hop.key.file, separated by commas; *: all that are read. An "
         "event that is not signed becomes a dead letter of class `forged`; commands, dead letters, schemas and answers are "
         "skipped. Empty: none."),
    /* ---- the store */
    SIZE("store.cache.bytes", "64m", 256 * K, 64 * G, "SQLite's page cache, for each shard, as far as store.memory.bytes goes."),
    SIZE("store.memory.bytes", "1g", 1 * M, 1024 * G,
         "The page caches of all shards of a process together: each shard that the group has assigned to it has an equal share of this, at most "
         "store.cache.bytes and at least 256k."),
    SIZE("state.cache.bytes", "4m", 64 * K, 64 * G,
         "The rows of typed state that are kept in memory, for each shard. Above it those that changed are written before the commit."),
    CHOICE("store.secure.delete", "fast", "fast|on|off",
           "What SQLite does with deleted bytes in a store's file (PRAGMA secure_delete). on: it overwrites them with zeros, which is 3 to "
           "13 percent more pages in a small commit and more in a large one; fast: where that costs no page; off: not. See docs/security.md."),
    SIZE("store.shrink.bytes", "64m", 0, 1024 * G,
         "A store that is opened gives back what its file does not use, if that is so much, and half of the file; 0: never. Never "
         "with store.secure.delete=on either."),
    TIME("store.read.max.ms", "5s", 1, HOUR,
         "The longest that a bus_read may hold its snapshot. Then it is interrupted, so that the WAL can be reset."),
    SIZE("wal.max.bytes", "64m", 64 * K, 64 * G, "When a store's WAL is longer, it is moved into the database."),
    /* ---- requests and publishing without a store */
    TEXT("replies.topic", "",
         "The topic on which bus_request waits for answers; default <service>.replies. A program without a service must name "
         "one; the name must end with .replies."),
    INT("publish.queue.records", "100000", 1, 10000000, "The most records of bus_publish that wait for their acknowledgement."),
    SIZE("publish.queue.bytes", "64m", 64 * K, 64 * G, "The most bytes of such records. Above it bus_publish returns BUS_FULL."),
    TIME("publish.timeout.ms", "5m", 1 * SECOND, 7 * DAY,
         "After this long without an acknowledgement a record of bus_publish has failed (it may still be stored). Rows of the "
         "outbox never time out."),
    TIME("publish.linger.ms", "5ms", 0, MINUTE, "How long bus_publish waits for more records to fill a batch."),
    /* ---- topics as `bus topics apply` makes them */
    INT("topics.partitions", "4", 1, 100000,
        "Partitions of an output topic that does not exist yet. Topics of a service with more shards get one partition for "
        "each shard."),
    INT("topics.replication", "-1", -1, 100, "The replication factor of topics that are created; -1: the broker's default."),
    INT("topics.min.insync", "0", 0, 100,
        "min.insync.replicas of topics that are created; 0: the broker's default, or replication less one if that is set."),
    TIME("topics.retention.ms", "7d", 1 * SECOND, 36500 * DAY,
         "Retention of event, command and retry topics that are created. Dead-letter and redrive topics are kept without "
         "limit."),
    { .name = NULL },
};
/* clang-format on */

const bui_property *bui_properties(void)
{
    return table;
}

/* What would break the protocol if it were set: each line says why, or which property to use. */
static const struct {
    const char *name, *why;
} owned[] = {
    { "acks", "a row leaves the outbox only when all in-sync replicas hold it" },
    { "request.required.acks", "a row leaves the outbox only when all in-sync replicas hold it" },
    { "allow.auto.create.topics", "topics are declared (bus topics apply) and never created by accident" },
    { "api.version.request", "the protocol needs what brokers report about themselves" },
    { "auto.commit.enable", "offsets are committed after the outbox rows of their batch are acknowledged" },
    { "auto.offset.reset", "a position outside the log must halt the shard and not skip events; see the route's `start`" },
    { "bootstrap.servers", "use the property bootstrap.servers, without kafka." },
    { "client.id", "it names the service and process in the broker's logs" },
    { "delivery.timeout.ms", "rows of the outbox never time out; for bus_publish use publish.timeout.ms" },
    { "enable.auto.commit", "offsets are committed after the outbox rows of their batch are acknowledged" },
    { "enable.auto.offset.store", "positions are kept in the store, within the batch's transaction" },
    { "enable.gapless.guarantee", "the order of a destination's rows depends on it" },
    { "enable.idempotence", "the order of a destination's rows depends on it" },
    { "enable.partition.eof", "the end of a partition moves the position past a foreign producer's transaction markers" },
    { "group.id", "the group is the service: its name is in the code" },
    { "group.instance.id", "each process takes a slot of the data directory, and the slot names it" },
    { "group.protocol",
      "with KIP-848's protocol a process that was killed is refused its instance id until the broker's session timeout "
      "ends; docs/ARCHITECTURE.md has what was measured" },
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
    { "transactional.id", "the bus does not use Kafka's transactions: the store's transaction is the one that counts" },
};

static const struct {
    const char *name, *now;
} renamed[] = {
    { "seen.max", "dedup.max" }, /* in 0.2 */
};

const char *bui_config_renamed(const char *name)
{
    for (size_t i = 0; i < sizeof renamed / sizeof *renamed; i++)
        if (strcmp(renamed[i].name, name) == 0)
            return renamed[i].now;
    return NULL;
}

const char *bui_config_owned(const char *name)
{
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        if (strcmp(owned[i].name, name) == 0)
            return owned[i].why;
    return NULL;
}

bool bui_config_owned_at(size_t i, const char **name, const char **why)
{
    if (i >= sizeof owned / sizeof *owned)
        return false;
    *name = owned[i].name;
    *why = owned[i].why;
    return true;
}
