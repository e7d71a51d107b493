/* SPDX-License-Identifier: MIT
 * What the codec costs beside avro-c's generic values, on the same data in one run, for three shapes. From the program's data to
 * bytes and from bytes to every field read, which is the work of a program: avro-c fills a generic value and writes it, and
 * reads one and its fields; the codec does both straight from and to the struct. Then avro-c's half of it alone, from and to a
 * generic value that nobody fills or looks at; and decode of what an older version of the schema wrote. */
#include "codec/body.h"
#include "codec/envelope.h"
#include "codec/mac.h"
#include "codec/plan.h"
#include "codec_shapes.h"
#include "support/shapes.c" /* benches do not link the tests' support */

#include <sodium.h>
#include <stdio.h>
#include <time.h>

#define SECONDS 0.2 /* a measurement */
#define TURNS 3     /* of each, ours and theirs in turn; the best counts */

static void die(const char *what)
{
    fprintf(stderr, "bench codec: %s\n", what);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* one thread: others on the machine do not count */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Readers, writers and values of avro-c are made once and pointed at new data, as its users do. */
typedef struct work {
    const codec_shape *shape;
    const bus_shape *table, *later;
    bui_buf bytes, out;
    bui_arena arena;
    bui_plan *plan;
    avro_reader_t reader;
    avro_writer_t writer;
    avro_value_t ready, value, copy, resolved;
    uint64_t sum;
    bus_error err;
    char space[4096];
    bus_header headers[7];
} work;

/* ---- ours */

static const void *decoded(work *w)
{
    bui_arena_reset(&w->arena);
    void *body = bui_arena_alloc(&w->arena, w->table->size);
    if (!body || bui_body_decode(w->table, w->bytes.data, w->bytes.len, 0, &w->arena, body, &w->err) != BUS_OK)
        die("decode");
    return body;
}

static void our_read(work *w)
{
    w->sum = w->shape->sum(decoded(w));
}

static void our_decode(work *w)
{
    (void)decoded(w);
}

static void our_encode(work *w)
{
    bui_buf_clear(&w->out);
    if (bui_body_encode(w->table, w->shape->body, &w->out, &w->err) != BUS_OK)
        die("encode");
}

static void our_evolved(work *w)
{
    bui_arena_reset(&w->arena);
    void *body = bui_arena_alloc(&w->arena, w->later->size);
    if (!body || bui_plan_decode(w->plan, w->bytes.data, w->bytes.len, 0, &w->arena, body, &w->err) != BUS_OK)
        die("evolved");
}

/* ---- theirs */

static void their_decode(work *w)
{
    avro_reader_memory_set_source(w->reader, (const char *)w->bytes.data, (int64_t)w->bytes.len);
    avro_value_reset(&w->value);
    if (avro_value_read(w->reader, &w->value) != 0)
        die(avro_strerror());
}

static void their_read(work *w)
{
    uint64_t sum = 0;
    their_decode(w);
    if (w->shape->read(&w->value, &sum) != 0)
        die(avro_strerror());
    w->sum = sum;
}

static void their_write(work *w)
{
    avro_writer_reset(w->writer);
    if (avro_value_write(w->writer, &w->ready) != 0)
        die(avro_strerror());
}

static void their_encode(work *w)
{
    avro_value_reset(&w->value);
    avro_writer_reset(w->writer);
    if (w->shape->fill(&w->value, w->shape->body) != 0 || avro_value_write(w->writer, &w->value) != 0)
        die(avro_strerror());
}

static void their_evolved(work *w)
{
    avro_reader_memory_set_source(w->reader, (const char *)w->bytes.data, (int64_t)w->bytes.len);
    avro_value_reset(&w->copy);
    if (avro_value_read(w->reader, &w->resolved) != 0)
        die(avro_strerror());
}

/* ---- the envelope */

static void read_envelope(work *w)
{
    bui_envelope envelope;
    if (bui_envelope_read(w->headers, 6, &envelope, &w->err) != BUS_OK)
        die("envelope");
}

static void pack_headers(work *w)
{
    bui_buf_clear(&w->out);
    bui_headers_pack(w->headers, 6, &w->out);
}

/* ---- signatures of an event of 190 bytes with those headers */

#define SIGNED_BYTES 190
static bui_keys *keys;
static char mac[BUI_MAC_TEXT];

static bui_sealed sealed_of(work *w, size_t headers)
{
    return (bui_sealed){ .topic = "order.events",
                         .partition = 5,
                         .key = "order-17",
                         .key_len = 8,
                         .value = w->space,
                         .value_len = SIGNED_BYTES,
                         .headers = w->headers,
                         .header_count = headers };
}

static void sign(work *w)
{
    bui_sealed record = sealed_of(w, 6);
    w->headers[6] = (bus_header){ BUI_HEADER_MAC, mac, bui_mac_write(keys, &record, mac) };
}

static void verify(work *w)
{
    bui_sealed record = sealed_of(w, 7);
    if (bui_mac_check(keys, &record, NULL, &w->err) != BUS_OK)
        die(w->err.text);
}

/* What nobody can do without: a keyed BLAKE2b of as many bytes as are covered, in one piece. */
static void hash_alone(work *w)
{
    enum { COVERED = 2 + 9 + (1 + 37) + (1 + 9) + (1 + 18) + (1 + 47) + 1 + 2 + SIGNED_BYTES };
    static const uint8_t key[32] = { 1 };
    uint8_t out[16];
    crypto_generichash(out, sizeof out, (const uint8_t *)w->space, COVERED, key, sizeof key);
    w->sum += out[0];
}

/* ---- measuring */

/* Nanoseconds a call. */
static double once(void (*run)(work *), work *w)
{
    long calls = 0;
    double start = now(), passed;
    do {
        for (int i = 0; i < 1000; i++)
            run(w);
        calls += 1000;
        passed = now() - start;
    } while (passed < SECONDS);
    return passed / (double)calls * 1e9;
}

static void compare(const char *what, void (*ours)(work *), void (*theirs)(work *), work *w)
{
    double best = 0, their_best = 0;
    for (int i = 0; i < TURNS; i++) {
        double one = once(ours, w), other = once(theirs, w);
        best = i == 0 || one < best ? one : best;
        their_best = i == 0 || other < their_best ? other : their_best;
    }
    printf("  %-22s %5.0f ns, avro-c %6.0f ns, %5.1f times\n", what, best, their_best, their_best / best);
}

static bui_schema *parse(const char *json)
{
    bui_schema *schema;
    bus_error err;
    if (bui_schema_parse(json, strlen(json), &schema, &err) != BUS_OK)
        die(err.text);
    return schema;
}

static const bus_shape *table_of(const bui_schema *schema, bui_arena *arena)
{
    const bus_shape *table = test_shape_of(bui_schema_root(schema), arena);
    if (!table)
        die("no memory");
    return table;
}

static avro_schema_t their_schema(const char *json)
{
    avro_schema_t schema;
    if (avro_schema_from_json_length(json, strlen(json), &schema) != 0)
        die(avro_strerror());
    return schema;
}

static void bench_evolved(work *w)
{
    const codec_shape *shape = w->shape;
    bus_error err;
    bui_arena tables;
    bui_arena_init(&tables, 0);
    bui_schema *from = parse(shape->json), *to = parse(shape->later);
    avro_schema_t old = their_schema(shape->json), new = their_schema(shape->later);
    w->later = table_of(to, &tables);
    if (bui_plan_between(from, to, w->later, &w->plan, &err) != BUS_OK)
        die(err.text);
    avro_value_iface_t *class = avro_generic_class_from_schema(new), *way = avro_resolved_writer_new(old, new);
    if (!class || !way || avro_generic_value_new(class, &w->copy) != 0 || avro_resolved_writer_new_value(way, &w->resolved) != 0)
        die(avro_strerror());
    avro_resolved_writer_set_dest(&w->resolved, &w->copy);
    compare("decode an older version", our_evolved, their_evolved, w);
    avro_value_decref(&w->resolved);
    avro_value_iface_decref(way);
    avro_value_decref(&w->copy);
    avro_value_iface_decref(class);
    avro_schema_decref(old);
    avro_schema_decref(new);
    bui_plan_free(w->plan);
    bui_schema_free(from);
    bui_schema_free(to);
    bui_arena_free(&tables);
}

/* That both did the same work: the same bytes, the same sum of all fields. */
static void check_same(work *w)
{
    our_encode(w);
    their_encode(w);
    if ((size_t)avro_writer_tell(w->writer) != w->out.len || memcmp(w->space, w->out.data, w->out.len) != 0)
        die("the bytes differ");
    bui_buf_clear(&w->bytes);
    bui_buf_add(&w->bytes, w->out.data, w->out.len);
    our_read(w);
    uint64_t ours = w->sum;
    their_read(w);
    if (ours != w->sum || ours != w->shape->sum(w->shape->body))
        die("the fields differ");
}

static void bench(const codec_shape *shape, work *w)
{
    bui_arena tables;
    bui_arena_init(&tables, 0);
    bui_schema *schema = parse(shape->json);
    avro_schema_t theirs = their_schema(shape->json);
    avro_value_iface_t *class = avro_generic_class_from_schema(theirs);
    if (!class || avro_generic_value_new(class, &w->value) != 0 || avro_generic_value_new(class, &w->ready) != 0 ||
        shape->fill(&w->ready, shape->body) != 0)
        die(avro_strerror());
    w->shape = shape;
    w->table = table_of(schema, &tables);
    if (w->table->size != shape->size || w->table->fields[shape->probe].offset != shape->probe_at)
        die("the struct is not the table's");
    check_same(w);
    printf("codec %s, %zu bytes\n", shape->name, w->bytes.len);
    compare("encode the data", our_encode, their_encode, w);
    compare("decode, read all", our_read, their_read, w);
    compare("write a ready value", our_encode, their_write, w);
    compare("decode, look at nothing", our_decode, their_decode, w);
    avro_value_decref(&w->value);
    avro_value_decref(&w->ready);
    avro_value_iface_decref(class);
    avro_schema_decref(theirs);
    bui_schema_free(schema);
    bui_arena_free(&tables);
    bench_evolved(w);
}

int main(void)
{
    static work w;
    static const bus_header headers[6] = {
        { "ce_specversion", "1.0", 3 },
        { "ce_id", "0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55", 36 },
        { "ce_source", "/order/1", 8 },
        { "ce_type", "order.OrderPlaced", 17 },
        { "content-type", "application/avro", 16 },
        { "bus-hop", "order/1#0123456789abcdef order.events/5/123456", 46 },
    };
    bui_buf_init(&w.bytes, 0);
    bui_buf_init(&w.out, 0);
    bui_arena_init(&w.arena, 0);
    w.reader = avro_reader_memory("", 0);
    w.writer = avro_writer_memory(w.space, sizeof w.space);
    for (size_t i = 0; i < sizeof codec_shapes / sizeof *codec_shapes; i++)
        bench(&codec_shapes[i], &w);
    memcpy(w.headers, headers, sizeof headers);
    printf("codec 6 headers: read %.0f ns, pack %.0f ns\n", once(read_envelope, &w), once(pack_headers, &w));
    static const char file[] = "2026-11 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef write\n";
    if (bui_keys_new(file, sizeof file - 1, "keys", "*", &keys, &w.err) != BUS_OK)
        die(w.err.text);
    printf("codec bus-mac of %d bytes and 6 headers: ", SIGNED_BYTES);
    double best[3] = { 1e9, 1e9, 1e9 };
    for (int i = 0; i < TURNS; i++) {
        void (*const runs[3])(work *) = { sign, verify, hash_alone };
        for (int k = 0; k < 3; k++) {
            double ns = once(runs[k], &w);
            best[k] = ns < best[k] ? ns : best[k];
        }
    }
    printf("sign %.0f ns, verify %.0f ns, BLAKE2b alone %.0f ns; %.2f and %.2f times that\n", best[0], best[1], best[2],
           best[0] / best[2], best[1] / best[2]);
    bui_keys_free(keys);
    avro_reader_free(w.reader);
    avro_writer_free(w.writer);
    bui_buf_free(&w.bytes);
    bui_buf_free(&w.out);
    bui_arena_free(&w.arena);
    return 0;
}
