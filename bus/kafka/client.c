/* SPDX-License-Identifier: MIT
 * Client: the one place that knows librdkafka's properties and error codes. */
#include "kafka/client.h"

#include "base/clock.h"
#include "base/config.h"
#include "base/error.h"
#include "base/log.h"
#include "kafka/credentials.h"
#include "kafka/log_throttle.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

typedef struct setting {
    const char *name, *value;
} setting;

static const setting common[] = {
    { "allow.auto.create.topics", "false" },
    /* Idle connections are closed by brokers all the time: no news. */
    { "log.connection.close", "false" },
    { "reconnect.backoff.ms", "50" },
    { "reconnect.backoff.max.ms", "1000" },
    /* After this long without an answer the client leaves a node that stands still without closing its connections.
     * librdkafka's 60 s are too long for that; less than this is too short for a slow link with five full requests on it. */
    { "socket.timeout.ms", "20000" },
    { NULL, NULL }
};

static const setting consumer[] = { { "enable.auto.commit", "false" },
                                    { "enable.auto.offset.store", "false" },
                                    /* A position outside the log must stop, not jump. */
                                    { "auto.offset.reset", "error" },
                                    { "enable.partition.eof", "true" },
                                    { "isolation.level", "read_committed" },
                                    /* Answer an empty fetch late (less work), and the first record at once. Not later: one fetch
                                     * of a broker is out at a time, and while a partition's queue is full the next is of the
                                     * others alone. The full one is asked for again when that was answered, and must last until
                                     * then: fetch.queue.bytes. */
                                    { "fetch.wait.max.ms", "100" },
                                    { "fetch.error.backoff.ms", "100" },
                                    { "queued.min.messages", "100000" },
                                    { NULL, NULL } };

/* Of newer versions; without them it is slower. A queue that was full is asked for again after this long; 1 s by default, and at 0
 * librdkafka's thread spins. */
static const setting newer_consumer[] = { { "fetch.queue.backoff.ms", "5" }, { NULL, NULL } };

/* Nobody asked for a client's statistics to be sent to brokers; each client keeps a timer for it, and closes up to a second later. */
static const setting newer_client[] = { { "enable.metrics.push", "false" }, { NULL, NULL } };

static const setting member[] = {
    { "partition.assignment.strategy", "range" },
    /* Handlers are watched by the shard's own watchdog; the control thread polls whatever they do. */
    { "max.poll.interval.ms", "86400000" },
    /* After a refused fetch metadata is asked for before the next fetch (fetch.error.backoff.ms): see recheck.c. */
    { "topic.metadata.refresh.fast.interval.ms", "50" },
    { NULL, NULL }
};

/* Reads single records. Not with queued.min.messages of 1: once a queue holds so many, librdkafka waits a second before the next fetch,
 * also of what is asked for after that. The fetch that follows a record is in the way of the next question: it waits for little. */
static const setting looker[] = { { "fetch.message.max.bytes", "1" }, { "fetch.wait.max.ms", "10" }, { NULL, NULL } };

static const setting producer[] = {
    { "enable.idempotence", "true" }, { "acks", "all" }, { "max.in.flight.requests.per.connection", "5" }, { NULL, NULL }
};

static const setting outbox[] = {
    { "enable.gapless.guarantee", "true" },
    { "message.timeout.ms", "0" },
    /* The relay hands over whole batches, and what comes while requests are out leaves with the next: there is little to wait
     * for. But at 0 librdkafka's thread spins while rows wait behind five that are out (56 us of processor an event with many
     * small commits, 21 with this), and is woken for each row of a batch.
     * It still waits in whole milliseconds: see kafka_push. */
    { "linger.ms", "0.2" },
    /* The relay bounds what is out; this bound must not come first. */
    { "queue.buffering.max.messages", "1000000" },
    { NULL, NULL }
};

bus_status bui_kafka_set(rd_kafka_conf_t *conf, const char *name, const char *value, bus_error *err)
{
    char text[256] = "";
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) == RD_KAFKA_CONF_OK)
        return BUS_OK;
    return bui_fail(err, BUS_CONFIG, "kafka.%s: librdkafka refuses it: %s; see its CONFIGURATION.md", name, text);
}

static bus_status set_all(rd_kafka_conf_t *conf, const setting *list, bus_error *err)
{
    bus_status status = BUS_OK;
    for (; list->name && status == BUS_OK; list++)
        status = bui_kafka_set(conf, list->name, list->value, err);
    return status;
}

/* Those that this version knows. */
static void set_known(rd_kafka_conf_t *conf, const setting *list)
{
    char text[256];
    for (; list->name; list++)
        (void)rd_kafka_conf_set(conf, list->name, list->value, text, sizeof text);
}

static bus_status set_int(rd_kafka_conf_t *conf, const char *name, int64_t value, bus_error *err)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, value);
    return bui_kafka_set(conf, name, text, err);
}

/* One for the process: its handles all say the same when a broker is away. */
static struct {
    pthread_mutex_t lock;
    bui_log_throttle log_throttle;
} quiet = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void say(const char *where, const char *event, int severity, const char *kind, const char *prefix, const char *text)
{
    unsigned hidden = 0;
    char more[64] = "";
    (void)pthread_mutex_lock(&quiet.lock);
    bus_level level = bui_log_throttle_level(&quiet.log_throttle, severity, kind, bui_kafka_now(), &hidden);
    (void)pthread_mutex_unlock(&quiet.lock);
    if (hidden)
        snprintf(more, sizeof more, " (and %u such lines before, at debug level)", hidden);
    bui_log(level, where, event, "%s%s%s%s", prefix, *prefix ? ": " : "", text, more);
}

static void on_log(const rd_kafka_t *rk, int severity, const char *facility, const char *text)
{
    bui_kafka_hear_refusal(facility, text, bui_kafka_now());
    say(rk ? rd_kafka_name(rk) : "kafka", "librdkafka", severity, facility, facility, text);
}

void bui_kafka_warn(const char *where, const char *name, rd_kafka_event_t *error)
{
    say(where, name, 4, rd_kafka_err2name(rd_kafka_event_error(error)), "", rd_kafka_event_error_string(error));
}

static bus_status set_role(rd_kafka_conf_t *conf, const bus_config *config, bui_kafka_role role, bus_error *err)
{
    bool consumes = role == BUI_KAFKA_MEMBER || role == BUI_KAFKA_READER || role == BUI_KAFKA_RECHECKER;
    bool produces = role == BUI_KAFKA_OUTBOX || role == BUI_KAFKA_PUBLISHER;
    bus_status status = set_all(conf, common, err);
    set_known(conf, newer_client);
    if (status == BUS_OK && consumes)
        status = set_all(conf, consumer, err);
    if (status == BUS_OK && consumes)
        set_known(conf, newer_consumer);
    if (status == BUS_OK && role == BUI_KAFKA_MEMBER)
        status = set_all(conf, member, err);
    if (status == BUS_OK && consumes)
        status = set_int(conf, "queued.max.messages.kbytes", bui_config_int(config, "fetch.queue.bytes") / 1024, err);
    if (status == BUS_OK && role == BUI_KAFKA_RECHECKER)
        status = set_all(conf, looker, err);
    if (status == BUS_OK && produces)
        status = set_all(conf, producer, err);
    if (status == BUS_OK && produces)
        status = bui_kafka_set(conf, "compression.codec", bui_config_text(config, "compression"), err);
    if (status == BUS_OK && produces) /* room for the batch's own framing */
        status = set_int(conf, "message.max.bytes", bui_config_int(config, "message.max.bytes") + 4096, err);
    if (status == BUS_OK && role == BUI_KAFKA_OUTBOX)
        status = set_all(conf, outbox, err);
    if (status == BUS_OK && role == BUI_KAFKA_PUBLISHER)
        status = set_int(conf, "message.timeout.ms", bui_config_int(config, "publish.timeout.ms"), err);
    if (status == BUS_OK && role == BUI_KAFKA_PUBLISHER)
        status = set_int(conf, "linger.ms", bui_config_int(config, "publish.linger.ms"), err);
    if (status == BUS_OK && role == BUI_KAFKA_PUBLISHER)
        status = set_int(conf, "queue.buffering.max.messages", bui_config_int(config, "publish.queue.records"), err);
    if (status == BUS_OK && role == BUI_KAFKA_PUBLISHER)
        status = set_int(conf, "queue.buffering.max.kbytes", (bui_config_int(config, "publish.queue.bytes") + 1023) / 1024, err);
    return status;
}

bus_status bui_kafka_conf(const bus_config *config, bui_kafka_role role, const char *where, rd_kafka_conf_t **out, bus_error *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const char *servers = bui_config_text(config, "bootstrap.servers");
    const char *name, *value;
    bus_status status;
    if (!servers || !*servers) {
        status = bui_fail(err, BUS_CONFIG, "bootstrap.servers is empty: name a broker, host:port");
        goto out;
    }
    rd_kafka_conf_set_log_cb(conf, on_log);
    status = bui_kafka_check_credentials(config, rd_kafka_version(), err);
    if (status == BUS_OK)
        status = set_role(conf, config, role, err);
    if (status == BUS_OK)
        status = bui_kafka_set(conf, "client.id", where, err);
    if (status == BUS_OK)
        status = bui_kafka_set(conf, "bootstrap.servers", servers, err);
    for (size_t i = 0; status == BUS_OK && bui_config_kafka(config, i, &name, &value); i++)
        status = bui_kafka_set(conf, name, value, err);
out:
    if (status == BUS_OK)
        *out = conf;
    else
        rd_kafka_conf_destroy(conf);
    return status;
}

#define FETCH_BYTES INT64_C(1048576) /* librdkafka's own, of one partition in one fetch */
#define LEAST_SHARE INT64_C(2048)    /* a batch that is larger comes nevertheless: one at a time */

bui_kafka_share bui_kafka_share_of(int64_t queue, int64_t memory, size_t lanes)
{
    int64_t whole = lanes ? memory / (int64_t)lanes : memory;
    int64_t fetch = whole / 2 < FETCH_BYTES ? whole / 2 : FETCH_BYTES, left = whole - fetch;
    fetch = fetch < LEAST_SHARE ? LEAST_SHARE : fetch;
    left = left < LEAST_SHARE ? LEAST_SHARE : left;
    return (bui_kafka_share){ .queue = queue < left ? queue : left, .fetch = fetch };
}

bus_status bui_kafka_bound_queues(rd_kafka_conf_t *conf, const bus_config *config, size_t lanes, bus_error *err)
{
    int64_t queue = bui_config_int(config, "fetch.queue.bytes");
    bui_kafka_share share = bui_kafka_share_of(queue, bui_config_int(config, "fetch.memory.bytes"), lanes);
    bus_status status = BUS_OK;
    if (share.queue < queue)
        status = set_int(conf, "queued.max.messages.kbytes", share.queue / 1024, err);
    if (status == BUS_OK && share.fetch < FETCH_BYTES)
        status = set_int(conf, "fetch.message.max.bytes", share.fetch, err);
    return status;
}

bus_status bui_kafka_new(rd_kafka_conf_t *conf, bui_kafka_role role, rd_kafka_t **out, bus_error *err)
{
    bool consumes = role == BUI_KAFKA_MEMBER || role == BUI_KAFKA_READER || role == BUI_KAFKA_RECHECKER;
    char text[300] = "";
    rd_kafka_t *rk = rd_kafka_new(consumes ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (!rk) {
        rd_kafka_conf_destroy(conf);
        return bui_fail(err, BUS_CONFIG, "librdkafka cannot start: %s; check the kafka.* properties", text);
    }
    *out = rk;
    return BUS_OK;
}

bus_status bui_kafka_status(rd_kafka_resp_err_t code)
{
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR: return BUS_OK;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND: return BUS_MISSING;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION: return BUS_DENIED;
    case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS: return BUS_EXISTS;
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR__NO_OFFSET:
    case -139: /* RD_KAFKA_RESP_ERR__LOG_TRUNCATION, which librdkafka knows since 2.1 */
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION: return BUS_CORRUPT;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE: return BUS_TOO_BIG;
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_INVALID_REQUEST:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR__INVALID_ARG: return BUS_INVALID;
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT: return BUS_TIMEOUT;
    case RD_KAFKA_RESP_ERR__QUEUE_FULL: return BUS_FULL;
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
    case RD_KAFKA_RESP_ERR__DESTROY:
    case RD_KAFKA_RESP_ERR__FATAL: return BUS_CLOSED;
    default: return BUS_BROKER;
    }
}

static const char *advice(bus_status status)
{
    switch ((int)status) {
    case BUS_MISSING: return "; declare it with `bus topics apply`";
    case BUS_DENIED: return "; give this principal the right (ACL), or correct its credentials";
    case BUS_BROKER: return "; is the broker of bootstrap.servers up and reachable?";
    case BUS_TOO_BIG: return "; raise the topic's max.message.bytes or send less";
    default: return "";
    }
}

bus_status bui_kafka_fail(bus_error *err, rd_kafka_resp_err_t code, const char *what, ...)
{
    bus_status status = bui_kafka_status(code);
    char text[300], refusal[240];
    va_list args;
    va_start(args, what);
    vsnprintf(text, sizeof text, what, args);
    va_end(args);
    /* A request that waited fails as if nobody answered. Waiting on does not help: credentials are read once. */
    if ((status == BUS_BROKER || status == BUS_TIMEOUT || code == RD_KAFKA_RESP_ERR__AUTHENTICATION) &&
        bui_kafka_refusal(bui_kafka_now(), refusal, sizeof refusal)) {
        bui_fail(err, BUS_DENIED,
                 "%s: the broker refuses the credentials: %s; correct kafka.sasl.username and kafka.sasl.password, or what "
                 "the cluster knows of them",
                 text, refusal);
        if (err)
            err->fatal = true;
        return BUS_DENIED;
    }
    return bui_fail(err, status, "%s: %s%s", text, rd_kafka_err2str(code), advice(status));
}

/* The embedded broker makes a topic when it is asked for by its name. So it is asked for all. */
static bool absent_from_mock(rd_kafka_t *rk, const char *topic, int timeout_ms)
{
    const struct rd_kafka_metadata *all;
    bool there = false;
    if (!bui_kafka_is_mock(rk, timeout_ms) || rd_kafka_metadata(rk, 1, NULL, &all, timeout_ms) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    for (int i = 0; i < all->topic_cnt && !there; i++)
        there = strcmp(all->topics[i].topic, topic) == 0;
    rd_kafka_metadata_destroy(all);
    return !there;
}

bus_status bui_kafka_partitions(rd_kafka_t *rk, const char *topic, int timeout_ms, int32_t *out, bus_error *err)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, topic, NULL);
    rd_kafka_resp_err_t code;
    bus_status status;
    if (!handle)
        return bui_fail(err, BUS_INVALID, "'%s' is not a topic name: use 1 to 249 of a-z A-Z 0-9 . _ -", topic);
    code = absent_from_mock(rk, topic, timeout_ms) ? RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
                                                   : rd_kafka_metadata(rk, 0, handle, &metadata, timeout_ms);
    /* Partitions without a leader count as well: they exist. */
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    if (code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE && metadata->topics[0].partition_cnt > 0)
        code = RD_KAFKA_RESP_ERR_NO_ERROR;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        *out = metadata->topics[0].partition_cnt;
        status = BUS_OK;
    } else {
        status = bui_kafka_fail(err, code, "topic %s", topic);
    }
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(handle);
    return status;
}

bool bui_kafka_is_mock(rd_kafka_t *rk, int timeout_ms)
{
    char *id = rd_kafka_clusterid(rk, timeout_ms);
    bool mock = id && strncmp(id, "mockCluster", 11) == 0;
    if (id)
        rd_kafka_mem_free(rk, id);
    return mock;
}

void bui_kafka_text(char *out, size_t cap, const char *text, size_t len)
{
    if (len >= cap)
        len = cap - 1;
    if (len)
        memcpy(out, text, len);
    out[len] = '\0';
}

int64_t bui_kafka_now(void)
{
    return bui_clock_now_us() / 1000;
}

bool bui_kafka_learn(rd_kafka_t *rk, rd_kafka_topic_t *only, int timeout_ms)
{
    const struct rd_kafka_metadata *metadata;
    if (rd_kafka_metadata(rk, 0, only, &metadata, timeout_ms) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    rd_kafka_metadata_destroy(metadata);
    return true;
}

int bui_kafka_left(int64_t deadline_ms)
{
    int64_t left = deadline_ms - bui_kafka_now();
    return left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left;
}
