/* SPDX-License-Identifier: MIT
 * A configuration: the values that were set over the table's defaults, and what passes through to librdkafka. */
#include "base/config_table.h"

#include "base/array.h"
#include "base/log.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KAFKA "kafka."

typedef struct setting {
    char *text;
    int64_t number;
} setting; /* text NULL: the default; the number is always filled */
typedef struct pass {
    char *name, *value;
} pass;

struct bus_config {
    setting *values; /* one for each property of the table, in its order, and then one for each of the service's own */
    pass *kafka;
    size_t kafka_count;
    bui_property *own; /* see bus_config_declare */
    size_t own_count;
    char prefix[BUI_SERVICE_PREFIX]; /* "service.<name>.", what its own begin with; "": no service is declared */
    pass *others;                    /* values of properties that begin with "service." and are not declared: other services' */
    size_t other_count;
};

static size_t table_count(void)
{
    size_t n = 0;
    while (bui_properties()[n].name)
        n++;
    return n;
}

const bui_property *bui_config_property(const bus_config *config, size_t i)
{
    size_t count = table_count();
    return i < count ? &bui_properties()[i] : i < count + config->own_count ? &config->own[i - count] : NULL;
}

/* Its place, or SIZE_MAX. */
static size_t place_of(const bus_config *config, const char *name)
{
    const bui_property *table = bui_properties();
    size_t count = table_count();
    for (size_t i = 0; i < config->own_count; i++)
        if (bui_own_same(config->own[i].name, name))
            return count + i;
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].name, name) == 0)
            return i;
    return SIZE_MAX;
}

bus_config *bus_config_new(void)
{
    bus_config *config = calloc(1, sizeof *config);
    if (!config)
        return NULL;
    const bui_property *table = bui_properties();
    config->values = calloc(table_count(), sizeof *config->values);
    if (!config->values) {
        bus_config_free(config);
        return NULL;
    }
    for (size_t i = 0; table[i].name; i++)
        (void)bui_value_read(&table[i], table[i].value, &config->values[i].number, NULL); /* tested: defaults are valid */
    return config;
}

static void free_passed(pass *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(list[i].name);
        free(list[i].value);
    }
    free(list);
}

void bus_config_free(bus_config *config)
{
    if (!config)
        return;
    for (size_t i = 0; config->values && bui_config_property(config, i); i++)
        free(config->values[i].text);
    free_passed(config->kafka, config->kafka_count);
    free_passed(config->others, config->other_count);
    free(config->values);
    free(config->own);
    free(config);
}

static char *copy_of(const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = malloc(n);
    return copy ? memcpy(copy, text, n) : NULL;
}

/* Puts a pair into a list, or another value to its name. */
static bus_status keep(pass **list, size_t *count, const char *name, const char *value, bus_error *err)
{
    char *text = copy_of(value);
    if (!text)
        return bui_fail_nomem(err);
    for (size_t i = 0; i < *count; i++) {
        if (strcmp((*list)[i].name, name) == 0) {
            free((*list)[i].value);
            (*list)[i].value = text;
            return BUS_OK;
        }
    }
    char *key = copy_of(name);
    if (!key || !bui_array_one_more(list, *count, sizeof **list)) {
        free(key);
        free(text);
        return bui_fail_nomem(err);
    }
    (*list)[(*count)++] = (pass){ key, text };
    return BUS_OK;
}

/* `name` without "kafka.". */
static bus_status pass_through(bus_config *config, const char *name, const char *value, bus_error *err)
{
    if (!*name || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._") != strlen(name))
        return bui_fail(err, BUS_CONFIG, "kafka.%.80s: librdkafka's names have only a-z, 0-9, '.' and '_'", name);
    const char *why = bui_config_owned(name);
    if (why)
        return bui_fail(err, BUS_CONFIG, "kafka.%s cannot be set: %s", name, why);
    if (strpbrk(value, "\r\n") && !strstr(name, "pem") && !strstr(name, "ssl"))
        return bui_fail(err, BUS_CONFIG, "kafka.%s: the value must be one line", name);
    return keep(&config->kafka, &config->kafka_count, name, value, err);
}

const bui_property *bui_config_near(const bus_config *config, const char *name, int *distance)
{
    return bui_property_near(config->own, config->own_count, name, distance);
}

static bus_status unknown(const bus_config *config, const char *name, bus_error *err)
{
    int distance;
    const char *now = bui_config_renamed(name);
    if (now)
        return bui_fail(err, BUS_CONFIG, "property %s is now called %s (docs/upgrading.md)", name, now);
    const bui_property *near = bui_config_near(config, name, &distance);
    if (bui_own_prefix(config->prefix, name))
        return near ? bui_fail(err, BUS_CONFIG, "no property \"%.120s\"; did you mean %s?", name, near->name)
                    : bui_fail(err, BUS_CONFIG, "no property \"%.120s\": the service declares none of that name; see its --help",
                               name);
    if (near)
        return bui_fail(err, BUS_CONFIG, "no property \"%.80s\"; did you mean %s?", name, near->name);
    return bui_fail(err, BUS_CONFIG,
                    "no property \"%.80s\"; docs/configuration.md lists them all, and kafka.%.80s passes one to "
                    "librdkafka",
                    name, name);
}

/* ---- secrets
 *
 * A secret is refused in argv. It may stand in a file of its own, whose name may: <property>.file. */

#define SECRET_FILE ".file"
#define SECRET_MOST ((size_t)64 << 10)

/* The secret that `name` gives the file of; false: it is no such name. */
static bool secret_of_file(const bus_config *config, const char *name, char *out, size_t cap)
{
    size_t len = strlen(name), suffix = strlen(SECRET_FILE);
    if (len <= suffix || len - suffix >= cap || strcmp(name + len - suffix, SECRET_FILE) != 0)
        return false;
    memcpy(out, name, len - suffix);
    out[len - suffix] = 0;
    return bui_config_secret(config, out);
}

/* Without the end of its last line. The bytes are in no message. */
static bus_status set_from_file(bus_config *config, const char *secret, const char *path, bus_error *err)
{
    bui_buf text;
    bui_buf_init(&text, SECRET_MOST);
    bus_status status = bui_config_file(path, &text, err);
    if (status == BUS_OK && text.over)
        status = bui_fail(err, BUS_CONFIG, "%s%s: %.200s is longer than 64 KiB: it is not a password", secret, SECRET_FILE, path);
    while (status == BUS_OK && text.len && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
        text.len--;
    if (status == BUS_OK && (text.len == 0 || memchr(text.data, 0, text.len)))
        status =
            bui_fail(err, BUS_CONFIG, "%s%s: %.200s is %s", secret, SECRET_FILE, path, text.len ? "not a text file" : "empty");
    bui_buf_byte(&text, 0);
    if (status == BUS_OK && !bui_buf_ok(&text))
        status = bui_fail_nomem(err);
    if (status == BUS_OK) {
        bui_config_file_warn(path);
        status = bus_config_set(config, secret, (const char *)text.data, err);
    }
    if (text.data)
        explicit_bzero(text.data, text.len);
    bui_buf_free(&text);
    return status;
}

bool bui_config_knows(const bus_config *config, const char *name)
{
    char secret[160];
    return strncmp(name, KAFKA, strlen(KAFKA)) == 0 || place_of(config, name) != SIZE_MAX ||
           secret_of_file(config, name, secret, sizeof secret) || bui_is_service_property(name);
}

bus_status bus_config_set(bus_config *config, const char *name, const char *value, bus_error *err)
{
    char secret[160];
    if (secret_of_file(config, name, secret, sizeof secret))
        return set_from_file(config, secret, value, err);
    if (strncmp(name, KAFKA, strlen(KAFKA)) == 0)
        return pass_through(config, name + strlen(KAFKA), value, err);
    size_t i = place_of(config, name);
    if (i == SIZE_MAX && bui_is_service_property(name) && !bui_own_prefix(config->prefix, name))
        return keep(&config->others, &config->other_count, name, value, err);
    if (i == SIZE_MAX)
        return unknown(config, name, err);
    int64_t number;
    bus_status status = bui_value_read(bui_config_property(config, i), value, &number, err);
    if (status != BUS_OK)
        return status;
    char *text = copy_of(value);
    if (!text)
        return bui_fail_nomem(err);
    free(config->values[i].text);
    config->values[i] = (setting){ text, number };
    return BUS_OK;
}

bool bui_config_secret(const bus_config *config, const char *name)
{
    size_t len = strlen(name), suffix = strlen(SECRET_FILE);
    if (len > suffix && strcmp(name + len - suffix, SECRET_FILE) == 0)
        return false; /* the name of a file does not show what is in it */
    if (strncmp(name, KAFKA, strlen(KAFKA)) != 0) {
        size_t i = place_of(config, name);
        return i != SIZE_MAX && bui_config_property(config, i)->secret;
    }
    static const char *const words[] = { "password", "secret", "ssl.key.pem", "ssl_key", "oauthbearer.config", "kinit.cmd" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(name, words[i]))
            return true;
    return false;
}

bus_status bui_config_argument(bus_config *config, const char *name, const char *value, bus_error *err)
{
    if (bui_config_secret(config, name))
        return bui_fail(err, BUS_CONFIG,
                        "%.80s is a secret, and every user of this host can read arguments: put it into a configuration "
                        "file, the environment, or a file of its own (%.80s%s)",
                        name, name, SECRET_FILE);
    return bus_config_set(config, name, value, err);
}

/* ---- a service's own */

/* A copy of each declaration, with the default. False: no memory. */
static bool adopt(bus_config *config, const bui_property *own, size_t count, const char *prefix)
{
    size_t table = table_count();
    bui_property *copy = calloc(count + 1, sizeof *copy);
    setting *values = copy ? realloc(config->values, (table + count + 1) * sizeof *values) : NULL;
    if (!values) {
        free(copy);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        copy[i] = own[i];
        values[table + i] = (setting){ 0 };
        (void)bui_value_read(&own[i], own[i].value, &values[table + i].number, NULL); /* it was checked */
    }
    free(config->own);
    config->own = copy;
    config->own_count = count;
    config->values = values;
    snprintf(config->prefix, sizeof config->prefix, "%s", prefix);
    return true;
}

/* What was set before they were known. */
static bus_status take_own(bus_config *config, bus_error *err)
{
    pass *list = config->others;
    size_t count = config->other_count;
    bus_status status = BUS_OK;
    config->others = NULL;
    config->other_count = 0;
    for (size_t i = 0; i < count && status == BUS_OK; i++)
        status = bus_config_set(config, list[i].name, list[i].value, err);
    free_passed(list, count);
    return status;
}

bus_status bus_config_declare(bus_config *config, const bus_service *service, bus_error *err)
{
    char prefix[BUI_SERVICE_PREFIX];
    bui_property *own = NULL;
    size_t count = 0;
    if (!service || !service->name)
        return BUS_OK;
    (void)snprintf(prefix, sizeof prefix, "service.%s.", service->name);
    if (config->prefix[0] && strcmp(config->prefix, prefix) != 0)
        return bui_fail(err, BUS_EXISTS, "the configuration has the properties of another service, %s*", config->prefix);
    if (config->prefix[0])
        return BUS_OK;
    bus_status status = bui_own_read(service, prefix, &own, &count, err);
    if (status == BUS_OK && !adopt(config, own, count, prefix))
        status = bui_fail_nomem(err);
    free(own);
    return status == BUS_OK ? take_own(config, err) : status;
}

bool bui_config_other(const bus_config *config, size_t at, const char **name, const char **value)
{
    if (at >= config->other_count)
        return false;
    *name = config->others[at].name;
    *value = config->others[at].value;
    return true;
}

/* ---- copies */

bus_config *bui_config_copy(const bus_config *config)
{
    bus_config *copy = bus_config_new();
    if (!copy)
        return NULL;
    bool ok = adopt(copy, config->own, config->own_count, config->prefix);
    for (size_t i = 0; ok && bui_config_property(config, i); i++) {
        const setting *from = &config->values[i];
        copy->values[i] = (setting){ from->text ? copy_of(from->text) : NULL, from->number };
        ok = !from->text || copy->values[i].text;
    }
    for (size_t i = 0; ok && i < config->kafka_count; i++)
        ok = keep(&copy->kafka, &copy->kafka_count, config->kafka[i].name, config->kafka[i].value, NULL) == BUS_OK;
    for (size_t i = 0; ok && i < config->other_count; i++)
        ok = keep(&copy->others, &copy->other_count, config->others[i].name, config->others[i].value, NULL) == BUS_OK;
    if (ok)
        return copy;
    bus_config_free(copy);
    return NULL;
}

void bui_config_become(bus_config *config, bus_config *other)
{
    bus_config former = *config;
    *config = *other;
    *other = former;
    bus_config_free(other);
}

void bui_config_exchange(bus_config *config, bus_config *other, const char *name)
{
    size_t i = place_of(config, name), j = place_of(other, name);
    if (i == SIZE_MAX || j == SIZE_MAX)
        return;
    setting former = config->values[i];
    config->values[i] = other->values[j];
    other->values[j] = former;
}

/* ---- reads */

const char *bui_config_text(const bus_config *config, const char *name)
{
    size_t i = place_of(config, name);
#ifdef BUS_FAILPOINTS
    assert(i != SIZE_MAX && "not in the table of properties");
#endif
    if (i == SIZE_MAX)
        return "";
    return config->values[i].text ? config->values[i].text : bui_config_property(config, i)->value;
}

int64_t bui_config_int(const bus_config *config, const char *name)
{
    size_t i = place_of(config, name);
#ifdef BUS_FAILPOINTS
    assert(i != SIZE_MAX && "not in the table of properties");
#endif
    return i != SIZE_MAX ? config->values[i].number : 0;
}

static bool known(const bus_config *config, const char *name)
{
    if (config && place_of(config, name) != SIZE_MAX)
        return true;
    bui_log(BUS_ERROR, "config", "no_property", "the program asks for the property \"%.120s\", which %s", name,
            config ? "nobody declares" : "it cannot: there is no configuration here");
    return false;
}

const char *bus_config_text(const bus_config *config, const char *name)
{
    return known(config, name) ? bui_config_text(config, name) : NULL;
}

int64_t bus_config_int(const bus_config *config, const char *name)
{
    return known(config, name) ? bui_config_int(config, name) : 0;
}

bool bui_config_is_set(const bus_config *config, const char *name)
{
    size_t i = place_of(config, name);
    return i != SIZE_MAX && config->values[i].text;
}

bool bui_config_kafka(const bus_config *config, size_t at, const char **name, const char **value)
{
    if (at >= config->kafka_count)
        return false;
    *name = config->kafka[at].name;
    *value = config->kafka[at].value;
    return true;
}
