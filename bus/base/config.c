/* SPDX-License-Identifier: MIT
 * A configuration: the values that were set over the table's defaults, and what passes through to librdkafka. */
#include "base/config_table.h"

#include "base/array.h"
#include "base/log.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define KAFKA "kafka."
#define FILE_MOST ((size_t)1 << 20)

typedef struct setting { char *text; int64_t number; } setting;   /* text NULL: the default; the number is always filled */
typedef struct pass { char *name, *value; } pass;

struct bus_config {
    setting *values;   /* one for each property of the table, in its order */
    pass *kafka;
    size_t kafka_count;
};

static size_t property_count(void)
{
    size_t n = 0;
    while (bus_properties()[n].name)
        n++;
    return n;
}

/* Its place in the table, or the table's length. */
static size_t place_of(const char *name)
{
    const bus_property *table = bus_properties();
    size_t i = 0;
    while (table[i].name && strcmp(table[i].name, name) != 0)
        i++;
    return i;
}

bus_config *bus_config_new(void)
{
    bus_config *config = calloc(1, sizeof *config);
    if (!config)
        return NULL;
    const bus_property *table = bus_properties();
    config->values = calloc(property_count(), sizeof *config->values);
    if (!config->values) {
        bus_config_free(config);
        return NULL;
    }
    for (size_t i = 0; table[i].name; i++)
        (void)bus_value_read(&table[i], table[i].value, &config->values[i].number, NULL); /* tested: defaults are valid */
    return config;
}

void bus_config_free(bus_config *config)
{
    if (!config)
        return;
    for (size_t i = 0; config->values && i < property_count(); i++)
        free(config->values[i].text);
    for (size_t i = 0; i < config->kafka_count; i++) {
        free(config->kafka[i].name);
        free(config->kafka[i].value);
    }
    free(config->values);
    free(config->kafka);
    free(config);
}

static char *copy_of(const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = malloc(n);
    return copy ? memcpy(copy, text, n) : NULL;
}

/* ---- files */

/* Appends a whole file; `over` of `out` tells that it is longer than allowed. */
static bus_status read_file(const char *path, bus_buf *out, bus_error *err)
{
    FILE *file = fopen(path, "rbe");
    if (!file)
        return bus_fail(err, BUS_IO, "cannot read %.300s: %s", path, strerror(errno));
    char piece[4096];
    size_t n;
    errno = 0;
    while ((n = fread(piece, 1, sizeof piece, file)) > 0 && bus_buf_ok(out))
        bus_buf_add(out, piece, n);
    bus_status status = ferror(file) ? bus_fail(err, BUS_IO, "cannot read %.300s: %s", path, strerror(errno)) : BUS_OK;
    (void)fclose(file);
    explicit_bzero(piece, sizeof piece);
    return status;
}

/* Secrets in a file that everybody can read are none. */
static void warn_if_others_read(const char *path)
{
    struct stat there;
    if (stat(path, &there) == 0 && S_ISREG(there.st_mode) && (there.st_mode & S_IROTH))
        bus_log(BUS_WARN, "config", "secret_readable", "%.300s holds a secret, and every user of this host can read it: chmod o-r", path);
}

/* `name` without "kafka.". */
static bus_status pass_through(bus_config *config, const char *name, const char *value, bus_error *err)
{
    if (!*name || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._") != strlen(name))
        return bus_fail(err, BUS_CONFIG, "kafka.%.80s: a name of librdkafka has only a-z, 0-9, '.' and '_'", name);
    const char *why = bus_config_owned(name);
    if (why)
        return bus_fail(err, BUS_CONFIG, "kafka.%s cannot be set: %s", name, why);
    if (strpbrk(value, "\r\n") && !strstr(name, "pem") && !strstr(name, "ssl"))
        return bus_fail(err, BUS_CONFIG, "kafka.%s: the value must be one line", name);
    char *text = copy_of(value);
    if (!text)
        return bus_fail_nomem(err);
    for (size_t i = 0; i < config->kafka_count; i++) {
        if (strcmp(config->kafka[i].name, name) == 0) {
            free(config->kafka[i].value);
            config->kafka[i].value = text;
            return BUS_OK;
        }
    }
    char *key = copy_of(name);
    if (!key || !bus_array_one_more(&config->kafka, config->kafka_count, sizeof *config->kafka)) {
        free(key);
        free(text);
        return bus_fail_nomem(err);
    }
    config->kafka[config->kafka_count++] = (pass){ key, text };
    return BUS_OK;
}

static bus_status unknown(const char *name, bus_error *err)
{
    int distance;
    const bus_property *near = bus_property_near(name, &distance);
    if (near)
        return bus_fail(err, BUS_CONFIG, "no property \"%.80s\"; did you mean %s?", name, near->name);
    return bus_fail(err, BUS_CONFIG, "no property \"%.80s\"; docs/configuration.md lists them all, and kafka.%.80s passes one to "
                    "librdkafka", name, name);
}

/* ---- secrets
 *
 * A secret is refused in argv. It may stand in a file of its own, whose name may: <property>.file. */

#define SECRET_FILE ".file"
#define SECRET_MOST ((size_t)64 << 10)

/* The secret that `name` gives the file of; false: it is no such name. */
static bool secret_of_file(const char *name, char *out, size_t cap)
{
    size_t len = strlen(name), suffix = strlen(SECRET_FILE);
    if (len <= suffix || len - suffix >= cap || strcmp(name + len - suffix, SECRET_FILE) != 0)
        return false;
    memcpy(out, name, len - suffix);
    out[len - suffix] = 0;
    return bus_config_secret(out);
}

/* Without the end of its last line. The bytes are in no message. */
static bus_status set_from_file(bus_config *config, const char *secret, const char *path, bus_error *err)
{
    bus_buf text;
    bus_buf_init(&text, SECRET_MOST);
    bus_status status = read_file(path, &text, err);
    if (status == BUS_OK && text.over)
        status = bus_fail(err, BUS_CONFIG, "%s%s: %.200s is longer than 64 KiB: it is no password", secret, SECRET_FILE, path);
    while (status == BUS_OK && text.len && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
        text.len--;
    if (status == BUS_OK && (text.len == 0 || memchr(text.data, 0, text.len)))
        status = bus_fail(err, BUS_CONFIG, "%s%s: %.200s is %s", secret, SECRET_FILE, path, text.len ? "no text file" : "empty");
    bus_buf_byte(&text, 0);
    if (status == BUS_OK && !bus_buf_ok(&text))
        status = bus_fail_nomem(err);
    if (status == BUS_OK) {
        warn_if_others_read(path);
        status = bus_config_set(config, secret, (const char *)text.data, err);
    }
    if (text.data)
        explicit_bzero(text.data, text.len);
    bus_buf_free(&text);
    return status;
}

bus_status bus_config_set(bus_config *config, const char *name, const char *value, bus_error *err)
{
    char secret[160];
    if (secret_of_file(name, secret, sizeof secret))
        return set_from_file(config, secret, value, err);
    if (strncmp(name, KAFKA, strlen(KAFKA)) == 0)
        return pass_through(config, name + strlen(KAFKA), value, err);
    size_t i = place_of(name);
    const bus_property *property = &bus_properties()[i];
    if (!property->name)
        return unknown(name, err);
    int64_t number;
    bus_status status = bus_value_read(property, value, &number, err);
    if (status != BUS_OK)
        return status;
    char *text = copy_of(value);
    if (!text)
        return bus_fail_nomem(err);
    free(config->values[i].text);
    config->values[i] = (setting){ text, number };
    return BUS_OK;
}

bool bus_config_secret(const char *name)
{
    size_t len = strlen(name), suffix = strlen(SECRET_FILE);
    if (len > suffix && strcmp(name + len - suffix, SECRET_FILE) == 0)
        return false; /* the name of a file tells nobody what is in it */
    if (strncmp(name, KAFKA, strlen(KAFKA)) != 0) {
        const bus_property *property = &bus_properties()[place_of(name)];
        return property->name && property->secret;
    }
    static const char *const words[] = { "password", "secret", "ssl.key.pem", "ssl_key", "oauthbearer.config", "kinit.cmd" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(name, words[i]))
            return true;
    return false;
}

bus_status bus_config_argument(bus_config *config, const char *name, const char *value, bus_error *err)
{
    if (bus_config_secret(name))
        return bus_fail(err, BUS_CONFIG, "%.80s is a secret, and every user of this host can read arguments: put it into a configuration "
                        "file, the environment, or a file of its own (%.80s%s)", name, name, SECRET_FILE);
    return bus_config_set(config, name, value, err);
}

bus_config *bus_config_copy(const bus_config *config)
{
    bus_config *copy = bus_config_new();
    if (!copy)
        return NULL;
    bool ok = true;
    for (size_t i = 0; ok && bus_properties()[i].name; i++) {
        const setting *from = &config->values[i];
        copy->values[i] = (setting){ from->text ? copy_of(from->text) : NULL, from->number };
        ok = !from->text || copy->values[i].text;
    }
    for (size_t i = 0; ok && i < config->kafka_count; i++)
        ok = pass_through(copy, config->kafka[i].name, config->kafka[i].value, NULL) == BUS_OK;
    if (ok)
        return copy;
    bus_config_free(copy);
    return NULL;
}

/* A file or environment counts whole or not at all: it is applied to a copy, which then takes the original's place. */
static void become(bus_config *config, bus_config *other)
{
    bus_config former = *config;
    *config = *other;
    *other = former;
    bus_config_free(other);
}

static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t n = strlen(text);
    while (n && (text[n - 1] == ' ' || text[n - 1] == '\t' || text[n - 1] == '\r'))
        text[--n] = 0;
    return text;
}

/* Applies the lines of `text`, which it takes apart. */
static bus_status apply_lines(bus_config *config, char *text, const char *path, bus_error *err)
{
    bus_status status = BUS_OK;
    bool secrets = false;
    int number = 0;
    for (char *line = text, *next; line && status == BUS_OK; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        number++;
        char *name = trim(line);
        if (!*name || *name == '#')
            continue;
        char *equals = strchr(name, '=');
        if (!equals) {
            status = bus_fail(err, BUS_CONFIG, "%s:%d: no '='; a line is: name = value", path, number);
            continue;
        }
        *equals = 0;
        bus_error why = { 0 };
        name = trim(name);
        status = bus_config_set(config, name, trim(equals + 1), &why);
        if (status != BUS_OK)
            (void)bus_fail(err, status, "%s:%d: %s", path, number, why.text);
        secrets |= bus_config_secret(name);
    }
    if (secrets && status == BUS_OK)
        warn_if_others_read(path);
    return status;
}

bus_status bus_config_text_apply(bus_config *config, const char *bytes, size_t n, const char *path, bus_error *err)
{
    if (n && memchr(bytes, 0, n))
        return bus_fail(err, BUS_CONFIG, "%s: holds a NUL byte; it is no text file", path);
    bus_config *copy = bus_config_copy(config);
    char *text = malloc(n + 1);
    bus_status status = BUS_NOMEM;
    if (!copy || !text) {
        (void)bus_fail_nomem(err);
        goto out;
    }
    if (n)
        memcpy(text, bytes, n);
    text[n] = 0;
    status = apply_lines(copy, text, path, err);
    if (status == BUS_OK) {
        become(config, copy);
        copy = NULL;
    }
out:
    bus_config_free(copy);
    free(text);
    return status;
}

bus_status bus_config_read(bus_config *config, const char *path, bus_error *err)
{
    bus_buf text;
    bus_buf_init(&text, FILE_MOST);
    bus_status status = read_file(path, &text, err);
    if (status == BUS_OK && text.over)
        status = bus_fail(err, BUS_CONFIG, "%s is longer than 1 MiB: is it a configuration?", path);
    else if (status == BUS_OK && !bus_buf_ok(&text))
        status = bus_fail_nomem(err);
    else if (status == BUS_OK)
        status = bus_config_text_apply(config, (const char *)text.data, text.len, path, err);
    if (text.data)
        explicit_bzero(text.data, text.len);
    bus_buf_free(&text);
    return status;
}

/* ---- environment */

extern char **environ;

/* BUS_STORE_CACHE_BYTES gives store.cache.bytes; in what goes to librdkafka, whose names may hold '_', "__" gives that. */
static bool name_of_variable(const char *variable, size_t n, char *out, size_t cap)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        char c = variable[i];
        if (at + 1 >= cap)
            return false;
        if (c == '_' && i + 1 < n && variable[i + 1] == '_') {
            out[at++] = '_';
            i++;
        } else {
            out[at++] = c == '_' ? '.' : c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        }
    }
    out[at] = 0;
    return true;
}

/* Other programs, and this one's tests, have variables that begin with BUS_ too: an unknown one is refused only if it is
 * a slip of the pen away from a property. */
static bus_status apply_variable(bus_config *config, const char *entry, bus_error *err)
{
    const char *equals = strchr(entry, '=');
    char name[160];
    if (strncmp(entry, "BUS_", 4) != 0 || !equals || !name_of_variable(entry + 4, (size_t)(equals - entry) - 4, name, sizeof name))
        return BUS_OK;
    char secret[160];
    bool known = strncmp(name, KAFKA, strlen(KAFKA)) == 0 || bus_properties()[place_of(name)].name ||
                 secret_of_file(name, secret, sizeof secret);
    int distance;
    if (!known && (!bus_property_near(name, &distance) || distance > 2))
        return BUS_OK;
    bus_error why = { 0 };
    bus_status status = bus_config_set(config, name, equals + 1, &why);
    if (status != BUS_OK)
        (void)bus_fail(err, status, "environment variable %.*s: %s", (int)(equals - entry), entry, why.text);
    return status;
}

bus_status bus_config_environment(bus_config *config, bus_error *err)
{
    bus_config *copy = bus_config_copy(config);
    if (!copy)
        return bus_fail_nomem(err);
    bus_status status = BUS_OK;
    for (char **entry = environ; entry && *entry && status == BUS_OK; entry++)
        status = apply_variable(copy, *entry, err);
    if (status == BUS_OK)
        become(config, copy);
    else
        bus_config_free(copy);
    return status;
}

/* ---- reads */

const char *bus_config_text(const bus_config *config, const char *name)
{
    size_t i = place_of(name);
    const bus_property *property = &bus_properties()[i];
#ifdef BUS_FAILPOINTS
    assert(property->name && "not in the table of properties");
#endif
    if (!property->name)
        return "";
    return config->values[i].text ? config->values[i].text : property->value;
}

int64_t bus_config_int(const bus_config *config, const char *name)
{
    size_t i = place_of(name);
#ifdef BUS_FAILPOINTS
    assert(bus_properties()[i].name && "not in the table of properties");
#endif
    return bus_properties()[i].name ? config->values[i].number : 0;
}

bool bus_config_is_set(const bus_config *config, const char *name)
{
    size_t i = place_of(name);
    return bus_properties()[i].name && config->values[i].text;
}

bool bus_config_kafka(const bus_config *config, size_t at, const char **name, const char **value)
{
    if (at >= config->kafka_count)
        return false;
    *name = config->kafka[at].name;
    *value = config->kafka[at].value;
    return true;
}
