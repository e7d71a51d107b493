/* SPDX-License-Identifier: MIT
 * Mac: what is fed to the hash, and what is compared. */
#include "codec/mac.h"

#include "base/error.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_BYTES 32
#define MAC_BYTES 16
#define FILE_MOST 65536
#define KEYS_MOST 64
#define FORMAT 1 /* of what is hashed */

typedef struct mac_key {
    char id[BUI_MAC_ID_MOST + 1];
    uint8_t bytes[KEY_BYTES];
    uint8_t begun[sizeof(crypto_generichash_state)]; /* a state that has taken the key; in bytes, because it needs an alignment */
    bool write;
    char *services; /* ",a,b,"; NULL: all */
} mac_key;

struct bui_keys {
    mac_key key[KEYS_MOST];
    size_t count;
    const mac_key *write;
    char *verify; /* ",a,b," */
    bool verify_all;
};

/* ---- what is hashed */

typedef struct feed {
    crypto_generichash_state state;
    uint8_t bytes[512]; /* small pieces, gathered */
    size_t len;
} feed;

static void flush(feed *f)
{
    crypto_generichash_update(&f->state, f->bytes, f->len);
    f->len = 0;
}

static void put_rest(feed *f, const void *bytes, size_t len)
{
    flush(f);
    if (len > sizeof f->bytes) {
        crypto_generichash_update(&f->state, bytes, len);
        return;
    }
    memcpy(f->bytes, bytes, len);
    f->len = len;
}

static inline void put(feed *f, const void *bytes, size_t len)
{
    if (len > sizeof f->bytes - f->len) {
        put_rest(f, bytes, len);
        return;
    }
    memcpy(f->bytes + f->len, bytes, len);
    f->len += len;
}

static inline void put_byte(feed *f, uint8_t byte)
{
    if (f->len == sizeof f->bytes)
        flush(f);
    f->bytes[f->len++] = byte;
}

static inline void put_number(feed *f, uint64_t value)
{
    for (; value > 0x7F; value >>= 7)
        put_byte(f, (uint8_t)(value | 0x80));
    put_byte(f, (uint8_t)value);
}

static inline void put_bytes(feed *f, const void *bytes, size_t len)
{
    put_number(f, bytes ? (uint64_t)len + 1 : 0);
    if (bytes)
        put(f, bytes, len);
}

/* Names that are in nearly every record take one byte. The numbers are part of the format. 0: not covered. */
#define NOT_COVERED 0
#define BY_NAME 255
#define IS(text) (memcmp(name, text, sizeof text - 1) == 0)

static uint8_t code_of(const char *name, size_t len)
{
    switch (len) {
    case sizeof BUI_HEADER_ID - 1: return IS(BUI_HEADER_ID) ? 1 : BY_NAME;
    case sizeof BUI_HEADER_TYPE - 1:
        return IS(BUI_HEADER_TYPE) ? 2 : IS(BUI_HEADER_HOP) ? 5 : IS(BUI_HEADER_MAC) ? NOT_COVERED : BY_NAME;
    case sizeof BUI_HEADER_SOURCE - 1: return IS(BUI_HEADER_SOURCE) ? 3 : BY_NAME;
    case sizeof BUI_HEADER_CORRELATION - 1: return IS(BUI_HEADER_CORRELATION) ? 4 : BY_NAME;
    case sizeof BUI_HEADER_SPECVERSION - 1: return IS(BUI_HEADER_SPECVERSION) || IS(BUI_HEADER_CAUSATION) ? NOT_COVERED : BY_NAME;
    case sizeof BUI_HEADER_CONTENT_TYPE - 1: return IS(BUI_HEADER_CONTENT_TYPE) ? NOT_COVERED : BY_NAME;
    case sizeof BUI_HEADER_TRACEPARENT - 1: return IS(BUI_HEADER_TRACEPARENT) ? NOT_COVERED : BY_NAME;
    case sizeof "tracestate" - 1: return IS("tracestate") ? NOT_COVERED : BY_NAME;
    default: return BY_NAME;
    }
}
_Static_assert(sizeof BUI_HEADER_TYPE == sizeof BUI_HEADER_HOP && sizeof BUI_HEADER_TYPE == sizeof BUI_HEADER_MAC,
               "of one length");

static void put_headers(feed *f, const bus_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(headers[i].name);
        uint8_t code = code_of(headers[i].name, len);
        if (code == NOT_COVERED)
            continue;
        put_byte(f, code);
        if (code == BY_NAME)
            put_bytes(f, headers[i].name, len);
        put_bytes(f, headers[i].value, headers[i].len);
    }
}

static const bus_header *last_of(const bus_header *headers, size_t count, const char *name)
{
    while (count-- > 0)
        if (headers[count].name[0] == name[0] && strcmp(headers[count].name, name) == 0)
            return &headers[count];
    return NULL;
}

static const bus_header *find(const bui_sealed *record, const char *name)
{
    const bus_header *found = last_of(record->more, record->more_count, name);
    return found ? found : last_of(record->headers, record->header_count, name);
}

/* Does the hop name this place? Then it need not be hashed twice. "<source> <topic>/<partition>/<seq> ..." */
static bool told_by(const bus_header *hop, const char *topic, int32_t partition)
{
    const char *at = hop && hop->value ? memchr(hop->value, ' ', hop->len) : NULL;
    if (!at)
        return false;
    const char *end = (const char *)hop->value + hop->len;
    size_t len = strlen(topic);
    at++;
    if ((size_t)(end - at) < len + 2 || memcmp(at, topic, len) != 0 || at[len] != '/')
        return false;
    int64_t number = 0;
    const char *digits = at + len + 1;
    for (at = digits; at < end && *at >= '0' && *at <= '9' && number <= INT32_MAX; at++)
        number = number * 10 + (*at - '0');
    bool plain = at > digits && (*digits != '0' || at == digits + 1);
    return plain && at < end && *at == '/' && number == partition;
}

static void mac_of(const mac_key *key, const bui_sealed *record, uint8_t out[MAC_BYTES])
{
    feed f;
    f.len = 0;
    memcpy(&f.state, key->begun, sizeof key->begun);
    bool told = told_by(find(record, BUI_HEADER_HOP), record->topic, record->partition);
    put_byte(&f, FORMAT);
    put_byte(&f, told);
    if (!told) {
        put_bytes(&f, record->topic, strlen(record->topic));
        put_number(&f, (uint64_t)(uint32_t)record->partition);
    }
    put_bytes(&f, record->key, record->key_len);
    put_headers(&f, record->headers, record->header_count);
    put_headers(&f, record->more, record->more_count);
    put_byte(&f, NOT_COVERED); /* the headers end */
    put_bytes(&f, record->value, record->value_len);
    flush(&f);
    crypto_generichash_final(&f.state, out, MAC_BYTES);
}

/* ---- bus-mac */

/* For a hash that everybody sees: libsodium's, which take the same time for any byte, cost a tenth of the whole. */
static void write_hex(const uint8_t bytes[MAC_BYTES], char out[2 * MAC_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < MAC_BYTES; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool read_hex(const char *text, uint8_t out[MAC_BYTES])
{
    int wrong = 0;
    for (size_t i = 0; i < MAC_BYTES; i++) {
        int high = digit_of(text[2 * i]), low = digit_of(text[2 * i + 1]);
        wrong |= high | low;
        out[i] = (uint8_t)((high & 15) << 4 | (low & 15));
    }
    return wrong >= 0;
}

size_t bui_mac_write(const bui_keys *keys, const bui_sealed *record, char out[BUI_MAC_TEXT])
{
    uint8_t mac[MAC_BYTES];
    if (!keys || !keys->write)
        return 0;
    mac_of(keys->write, record, mac);
    size_t n = strlen(keys->write->id);
    memcpy(out, keys->write->id, n);
    out[n++] = ' ';
    write_hex(mac, out + n);
    n += 2 * MAC_BYTES;
    out[n] = 0;
    return n;
}

static bool id_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

/* "<key id> <32 hex digits>" */
static bool read_mac(const bus_header *header, bui_slice *id, uint8_t mac[MAC_BYTES])
{
    const char *text = header->value;
    size_t n = 0;
    if (!text)
        return false;
    while (n < header->len && id_char(text[n]))
        n++;
    *id = (bui_slice){ text, n };
    return n > 0 && n <= BUI_MAC_ID_MOST && header->len == n + 1 + 2 * MAC_BYTES && text[n] == ' ' && read_hex(text + n + 1, mac);
}

static const mac_key *key_of(const bui_keys *keys, bui_slice id)
{
    for (size_t i = 0; i < keys->count; i++)
        if (strlen(keys->key[i].id) == id.len && memcmp(keys->key[i].id, id.at, id.len) == 0)
            return &keys->key[i];
    return NULL;
}

static bool listed(const char *list, const char *name, size_t len)
{
    for (const char *at = list; (at = strchr(at, ',')) && at[1]; at++)
        if (strncmp(at + 1, name, len) == 0 && at[1 + len] == ',')
            return true;
    return false;
}

static bui_slice speaker_of(const bui_sealed *record)
{
    const bus_header *header = find(record, BUI_HEADER_HOP);
    bool hop = header && header->value;
    if (!hop)
        header = find(record, BUI_HEADER_SOURCE);
    if (!header || !header->value)
        return (bui_slice){ "", 0 };
    bui_slice source = { header->value, header->len };
    return hop ? bui_source_service(source) : source;
}

bus_status bui_mac_check(const bui_keys *keys, const bui_sealed *record, const char *speaker, bus_error *err)
{
    const bus_header *header = find(record, BUI_HEADER_MAC);
    uint8_t told[MAC_BYTES], mac[MAC_BYTES];
    bui_slice id;
    if (!header)
        return bui_fail(err, BUS_DENIED, "it is not signed (no " BUI_HEADER_MAC " header)");
    if (!read_mac(header, &id, told))
        return bui_fail(err, BUS_DENIED, "its " BUI_HEADER_MAC " header is malformed");
    const mac_key *key = key_of(keys, id);
    if (!key)
        return bui_fail(err, BUS_DENIED, "it is signed with key %.*s, which hop.key.file does not have", (int)id.len, id.at);
    mac_of(key, record, mac);
    if (sodium_memcmp(mac, told, sizeof mac) != 0)
        return bui_fail(err, BUS_DENIED, "its " BUI_HEADER_MAC " (key %s) is not that of this record in this place", key->id);
    bui_slice who = speaker ? (bui_slice){ speaker, strlen(speaker) } : speaker_of(record);
    if (key->services && !listed(key->services, who.at, who.len))
        return bui_fail(err, BUS_DENIED, "key %s does not speak for %.*s", key->id, who.len > 60 ? 60 : (int)who.len, who.at);
    return BUS_OK;
}

const char *bui_mac_id(const bus_header *headers, size_t count, char out[BUI_MAC_ID_MOST + 1])
{
    const bui_sealed record = { .headers = headers, .header_count = count };
    const bus_header *header = find(&record, BUI_HEADER_MAC);
    uint8_t mac[MAC_BYTES];
    bui_slice id = { "", 0 };
    if (!header || !read_mac(header, &id, mac))
        id.len = 0;
    memcpy(out, id.at, id.len);
    out[id.len] = 0;
    return out;
}

/* ---- the key file */

/* ",a,b,": a list, easy to look in. */
static char *as_list(const char *text)
{
    size_t len = strlen(text);
    char *list = malloc(len + 3);
    if (list) {
        list[0] = ',';
        memcpy(list + 1, text, len);
        memcpy(list + 1 + len, ",", 2);
    }
    return list;
}

static bus_status bad(const char *path, int line, const char *what, bus_error *err)
{
    return bui_fail(err, BUS_INVALID, "%s line %d: %s; a line is: <key id> <64 hex digits> read|write [<service>,...]", path,
                    line, what);
}

static bus_status read_line(bui_keys *keys, char *text, const char *path, int line, bus_error *err)
{
    static const char blanks[] = " \t\r";
    char *rest = NULL, *id = strtok_r(text, blanks, &rest), *hex = strtok_r(NULL, blanks, &rest),
         *use = strtok_r(NULL, blanks, &rest);
    char *services = strtok_r(NULL, blanks, &rest);
    if (!id)
        return BUS_OK;
    if (keys->count == KEYS_MOST)
        return bad(path, line, "more than 64 keys", err);
    mac_key *key = &keys->key[keys->count];
    size_t n = 0, used = 0;
    while (id_char(id[n]))
        n++;
    if (id[n] || n > BUI_MAC_ID_MOST)
        return bad(path, line, "a key id has 1 to 32 letters, digits, '.', '_' and '-'", err);
    if (key_of(keys, (bui_slice){ id, n }))
        return bad(path, line, "two keys with one id", err);
    if (!hex || strlen(hex) != 2 * KEY_BYTES ||
        sodium_hex2bin(key->bytes, KEY_BYTES, hex, 2 * KEY_BYTES, NULL, &used, NULL) != 0 || used != KEY_BYTES)
        return bad(path, line, "the key is not 64 hex digits", err);
    if (!use || (strcmp(use, "read") != 0 && strcmp(use, "write") != 0))
        return bad(path, line, "what the key is for is missing", err);
    if (strtok_r(NULL, blanks, &rest))
        return bad(path, line, "more than four words", err);
    if (strcmp(use, "write") == 0 && keys->write)
        return bad(path, line, "two keys to write with", err);
    crypto_generichash_state begun;
    crypto_generichash_init(&begun, key->bytes, sizeof key->bytes, MAC_BYTES);
    memcpy(key->begun, &begun, sizeof begun);
    sodium_memzero(&begun, sizeof begun);
    if (services && !(key->services = as_list(services)))
        return bui_fail_nomem(err);
    memcpy(key->id, id, n + 1);
    if (strcmp(use, "write") == 0)
        keys->write = key;
    keys->count++;
    return BUS_OK;
}

bus_status bui_keys_new(const char *bytes, size_t len, const char *path, const char *verify, bui_keys **out, bus_error *err)
{
    if (sodium_init() < 0)
        return bui_fail(err, BUS_IO, "libsodium cannot be initialised");
    bui_keys *keys = calloc(1, sizeof *keys);
    char *text = keys ? malloc(len + 1) : NULL, *rest = NULL;
    if (!text) {
        free(keys);
        return bui_fail_nomem(err);
    }
    memcpy(text, bytes, len);
    text[len] = 0;
    bus_status status = strlen(text) == len ? BUS_OK : bui_fail(err, BUS_INVALID, "%s is not text", path);
    int line = 1;
    for (char *at = text; status == BUS_OK && at; at = rest, line++) {
        if ((rest = strchr(at, '\n')))
            *rest++ = 0;
        at[strcspn(at, "#")] = 0;
        status = read_line(keys, at, path, line, err);
    }
    sodium_memzero(text, len);
    free(text);
    keys->verify_all = strcmp(verify, "*") == 0;
    if (status == BUS_OK && !(keys->verify = as_list(verify)))
        status = bui_fail_nomem(err);
    if (status == BUS_OK && keys->count == 0)
        status =
            bui_fail(err, BUS_INVALID, "%s has no key; a line is: <key id> <64 hex digits> read|write [<service>,...]", path);
    if (status != BUS_OK) {
        bui_keys_free(keys);
        return status;
    }
    *out = keys;
    return BUS_OK;
}

void bui_keys_free(bui_keys *keys)
{
    if (!keys)
        return;
    for (size_t i = 0; i < KEYS_MOST; i++)
        free(keys->key[i].services);
    free(keys->verify);
    sodium_memzero(keys, sizeof *keys);
    free(keys);
}

static bus_status read_file(const char *path, char *bytes, size_t *len, bus_error *err)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return bui_fail(err, BUS_INVALID, "hop.key.file %s cannot be read: %m", path);
    bus_status status = BUS_OK;
    ssize_t got = 0;
    *len = 0;
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))
        status = bui_fail(err, BUS_INVALID, "hop.key.file %s is not a file", path);
    else if (about.st_mode & S_IRWXO)
        status = bui_fail(err, BUS_REFUSED, "hop.key.file %s may be read or written by everybody (mode %03o): chmod o= it", path,
                          (unsigned)about.st_mode & 0777);
    while (status == BUS_OK && *len < FILE_MOST && (got = read(fd, bytes + *len, FILE_MOST - *len)) > 0)
        *len += (size_t)got;
    if (got < 0)
        status = bui_fail(err, BUS_IO, "hop.key.file %s cannot be read: %m", path);
    else if (status == BUS_OK && *len == FILE_MOST)
        status = bui_fail(err, BUS_INVALID, "hop.key.file %s is longer than 64 KiB", path);
    close(fd);
    return status;
}

bus_status bui_keys_of(const bus_config *config, bui_keys **out, bus_error *err)
{
    const char *path = bui_config_text(config, "hop.key.file"), *verify = bui_config_text(config, "hop.verify");
    *out = NULL;
    if (!*path && *verify)
        return bui_fail(err, BUS_INVALID,
                        "hop.verify names topics whose records must be signed, but hop.key.file is not set: nothing could "
                        "be verified");
    if (!*path)
        return BUS_OK;
    size_t len = 0;
    char *bytes = malloc(FILE_MOST);
    if (!bytes)
        return bui_fail_nomem(err);
    bus_status status = read_file(path, bytes, &len, err);
    if (status == BUS_OK)
        status = bui_keys_new(bytes, len, path, verify, out, err);
    sodium_memzero(bytes, FILE_MOST);
    free(bytes);
    return status;
}

bool bui_keys_require(const bui_keys *keys, const char *topic)
{
    return keys && (keys->verify_all || listed(keys->verify, topic, strlen(topic)));
}
