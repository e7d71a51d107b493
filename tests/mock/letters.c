/* SPDX-License-Identifier: MIT
 * One dead letter of many, found without folding all: it is what the fold of all says, whatever is remembered of the topic. */
#include "support.h"

#include "base/id.h"
#include "kafka/publisher.h"
#include "ops/dlq.h"

#include <sys/stat.h>

#define LETTERS 1500
#define RECORDS 4000

typedef struct mock_letters {
    fixture base;
    char cache[64];
    uint64_t dice;
    int round[LETTERS];
} mock_letters;

static const char *const states[] = { "open", "redriven", "resolved", "discarded" };

static unsigned roll(mock_letters *m, unsigned sides)
{
    m->dice = m->dice * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(m->dice >> 33) % sides;
}

static void id_of(int letter, char out[37])
{
    snprintf(out, 37, "%08x-aaaa-5bbb-8ccc-%012x", (unsigned)letter * 2654435761u, (unsigned)letter);
}

static void published(void *opaque, bus_status status, int32_t partition, int64_t offset, const bus_error *err)
{
    (void)partition;
    (void)offset;
    (void)err;
    *(int *)opaque += status == BUS_OK;
}

/* Mostly what services write; some records that they would not: states that repeat, rounds that do not exist, other things. */
static void send_one(mock_letters *m, bui_kafka_publisher *p, const char *topic, int *ok)
{
    char id[37], text[80], reason[40], event[40];
    int letter = (int)roll(m, LETTERS);
    unsigned kind = roll(m, 12);
    id_of(letter, id);
    const char *state = states[kind < 4 ? 0 : kind % 4];
    m->round[letter] += kind < 4;
    snprintf(text, sizeof text, "%s %u %s", id, roll(m, 40) ? (unsigned)m->round[letter] : roll(m, 9), state);
    snprintf(reason, sizeof reason, "reason %u", roll(m, 1000));
    snprintf(event, sizeof event, "event-%d", letter);
    bus_header headers[] = { { "ce_id", event, strlen(event) },      { "ce_type", "order.OrderPlaced", 17 },
                             { "bus-letter", text, strlen(text) },   { "bus-reason", reason, strlen(reason) },
                             { "__dlq.errors.class", "handler", 7 }, { "__dlq.errors.message", reason, strlen(reason) } };
    bui_row row = { .topic = topic,
                    .partition = letter % 2,
                    .key = event,
                    .key_len = strlen(event),
                    .value = "v",
                    .value_len = state == states[0],
                    .headers = headers,
                    .header_count = roll(m, 50) ? 6 : 2 };
    OK(bui_kafka_publish(p, &row, published, ok, &err_));
}

static void fill(mock_letters *m, const char *topic, int records)
{
    bui_kafka_publisher *p;
    int ok = 0;
    OK(bui_kafka_publisher_open(m->base.config, "fill", NULL, NULL, &p, &err_));
    for (int i = 0; i < records; i++)
        send_one(m, p, topic, &ok);
    OK(bui_kafka_publisher_flush(p, 30000, &err_));
    assert_int_equal(ok, records);
    bui_kafka_publisher_close(p, 0);
}

static void same_change(const bui_dead_change *a, const bui_dead_change *b)
{
    for (; a && b; a = a->next, b = b->next) {
        assert_true(a->at == b->at && a->offset == b->offset && a->round == b->round && a->state == b->state);
        assert_string_equal(a->error, b->error);
        assert_string_equal(a->reason, b->reason);
        assert_string_equal(a->by, b->by);
    }
    assert_true(!a && !b);
}

static void same_letter(const bui_dead *a, const bui_dead *b)
{
    assert_string_equal(a->id, b->id);
    assert_string_equal(a->service, b->service);
    assert_true(a->shard == b->shard && a->round == b->round && a->state == b->state && a->held == b->held);
    assert_true(a->record == b->record && a->attempts == b->attempts && a->body == b->body);
    assert_true(a->first_failed == b->first_failed && a->last_failed == b->last_failed);
    assert_true(a->key_len == b->key_len && (a->key_len == 0 || memcmp(a->key, b->key, a->key_len) == 0));
    assert_string_equal(a->type, b->type);
    assert_string_equal(a->event_id, b->event_id);
    assert_string_equal(a->topic, b->topic);
    assert_string_equal(a->error_class, b->error_class);
    assert_string_equal(a->error_message, b->error_message);
    same_change(a->changes, b->changes);
}

static void count_read(void *opaque, int64_t done, int64_t passed, int64_t total)
{
    (void)passed;
    (void)total;
    int64_t *most = opaque;
    *most = done > *most ? done : *most;
}

/* How many records one look reads at once: the most of its steps. */
static int64_t find(const mock_letters *m, const char *service, const char *text, bui_dlq **out)
{
    int64_t most = 0;
    const bui_watch watch = { .step = count_read, .opaque = &most };
    OK(bui_dlq_find(m->base.config, &service, 1, &text, 1, 10000, &watch, out, &err_));
    return most;
}

static void compare_some(mock_letters *m, const char *service, int times)
{
    bui_dlq *all, *some;
    OK(bui_dlq_open(m->base.config, &service, 1, 10000, NULL, &all, &err_));
    for (int i = 0; i < times; i++) {
        char id[37];
        size_t matches, wanted;
        id_of((int)roll(m, LETTERS), id);
        id[roll(m, 3) ? 36 : 4 + roll(m, 6)] = 0;
        find(m, service, id, &some);
        const bui_dead *expected = bui_dead_find(bui_dlq_fold(all), id, &wanted);
        const bui_dead *found = bui_dead_find(bui_dlq_fold(some), id, &matches);
        assert_int_equal(matches, wanted);
        assert_true(!found == !expected);
        if (found)
            same_letter(found, expected);
        bui_dlq_close(some);
    }
    bui_dlq_close(all);
}

static int open_letters(void **state)
{
    mock_letters *m = calloc(1, sizeof *m);
    assert_non_null(m);
    support_open(&m->base, 1);
    m->dice = 7;
    OK(bui_kafka_broker_topic(m->base.broker, "one.dlq", 2, &err_));
    OK(bui_kafka_broker_topic(m->base.broker, "two.dlq", 2, &err_));
    snprintf(m->cache, sizeof m->cache, "/tmp/bus-places-XXXXXX");
    assert_non_null(mkdtemp(m->cache));
    OK(bus_config_set(m->base.config, "cache.dir", m->cache, &err_));
    *state = m;
    return 0;
}

static int close_letters(void **state)
{
    mock_letters *m = *state;
    char line[100];
    snprintf(line, sizeof line, "rm -rf %s", m->cache);
    assert_int_equal(system(line), 0);
    support_close(&m->base);
    free(m);
    return 0;
}

static void one_of_many_is_what_all_of_them_say(void **state)
{
    mock_letters *m = *state;
    fill(m, "one.dlq", RECORDS);
    compare_some(m, "one", 24);
    fill(m, "one.dlq", 300); /* what came since */
    compare_some(m, "one", 12);
    OK(bus_config_set(m->base.config, "cache.dir", "none", &err_));
    compare_some(m, "one", 5);
}

static void it_is_found_without_reading_all(void **state)
{
    mock_letters *m = *state;
    bui_dlq *some;
    char id[37];
    fill(m, "one.dlq", RECORDS);
    id_of(77, id);
    assert_int_equal(find(m, "one", id, &some), RECORDS); /* the first look notes the places */
    bui_dlq_close(some);
    assert_in_range(find(m, "one", id, &some), 1, RECORDS / 2);
    bui_dlq_close(some);
}

static void *read_file(const char *path, size_t *len)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    void *bytes = malloc(1 << 20);
    *len = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    return bytes;
}

static void write_file(const char *path, const void *bytes, size_t len)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void path_of(const mock_letters *m, const char *topic, char out[200])
{
    const char *servers = bui_config_text(m->base.config, "bootstrap.servers");
    snprintf(out, 200, "%s/%016llx-%s", m->cache, (unsigned long long)bui_hash(servers, strlen(servers), 1), topic);
}

/* The topic was made again: its places are another log's. And a file that was half written, or that is not one. */
static void places_of_another_log_are_forgotten(void **state)
{
    mock_letters *m = *state;
    char one[200], two[200];
    size_t len;
    fill(m, "one.dlq", RECORDS);
    compare_some(m, "one", 1);
    path_of(m, "one.dlq", one);
    path_of(m, "two.dlq", two);
    char *bytes = read_file(one, &len);
    assert_true(len > 10000);
    memset(m->round, 0, sizeof m->round);
    fill(m, "two.dlq", RECORDS + 500);
    for (int i = 0; i < 4; i++) {
        write_file(two, bytes, i == 1 ? len / 2 : i == 2 ? 3 : len);
        compare_some(m, "two", 3);
        bytes[i == 2 ? len - 5 : 40]++;
    }
    free(bytes);
    struct stat file;
    assert_int_equal(stat(two, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
}

#undef TEST
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_letters, close_letters)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_of_many_is_what_all_of_them_say),
        TEST(it_is_found_without_reading_all),
        TEST(places_of_another_log_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
