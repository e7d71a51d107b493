/* SPDX-License-Identifier: MIT
 * Credentials: a request that waits for a broker which refuses this process fails as if no broker were there; librdkafka says why in its log
 * and, to handles that are polled, in an event. Most handles here are not polled when it matters, so the log is what is heard. */
#include "kafka/credentials.h"

#include "base/error.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SCRAM_SINCE 0x020601ff /* 2.6.1: before, its last message repeats the client's nonce (librdkafka #4895) */
#define REMEMBER_MS 45000

static struct {
    pthread_mutex_t lock;
    int64_t until_ms;
    char text[240];
} last = { .lock = PTHREAD_MUTEX_INITIALIZER };

bus_status bui_kafka_check_credentials(const bus_config *config, int version, bus_error *err)
{
    const char *name, *value;
    for (size_t i = 0; bui_config_kafka(config, i, &name, &value); i++)
        if (version < SCRAM_SINCE && (strcmp(name, "sasl.mechanism") == 0 || strcmp(name, "sasl.mechanisms") == 0) &&
            strncasecmp(value, "SCRAM-", 6) == 0)
            return bui_fail(
                err, BUS_CONFIG,
                "kafka.%s=%s: the librdkafka here is %d.%d.%d, and Kafka 4 refuses what it says (\"invalid "
                "credentials\"), whatever the password: have 2.6.1 or newer found (scripts/setup builds one, then make; or install it), "
                "or use another mechanism",
                name, value, version >> 24, version >> 16 & 0xff, version >> 8 & 0xff);
    return BUS_OK;
}

/* "[thrd:...]: sasl_ssl://host:9093/1: SASL authentication error: why (after 5ms in state AUTH_REQ)": where "SASL" of it begins. A
 * broker that dies meanwhile is told by an error of librdkafka's own, and refuses nobody. */
static const char *refusal_in(const char *text)
{
    const char *from = strstr(text, "SASL ");
    bool refused =
        from && (strncmp(from, "SASL authentication error: ", 27) == 0 || strstr(from, " mechanism handshake failed: "));
    return refused && !strstr(from, "failed: Local: ") ? from : NULL;
}

void bui_kafka_hear_refusal(const char *facility, const char *text, int64_t now_ms)
{
    const char *from = strcmp(facility, "FAIL") == 0 ? refusal_in(text) : NULL;
    if (!from)
        return;
    const char *end = strstr(from, " (after ");
    int len = end ? (int)(end - from) : (int)strlen(from);
    pthread_mutex_lock(&last.lock);
    snprintf(last.text, sizeof last.text, "%.*s", len, from);
    last.until_ms = now_ms + REMEMBER_MS;
    pthread_mutex_unlock(&last.lock);
}

bool bui_kafka_refusal(int64_t now_ms, char *out, size_t cap)
{
    pthread_mutex_lock(&last.lock);
    bool refused = now_ms < last.until_ms;
    if (refused)
        snprintf(out, cap, "%s", last.text);
    pthread_mutex_unlock(&last.lock);
    return refused;
}
