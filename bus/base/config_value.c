/* SPDX-License-Identifier: MIT
 * Values of properties as text: reading, refusing with what is allowed, and writing; and the nearest name. */
#include "base/config_table.h"

#include "base/clock.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool bui_size_parse(const char *text, int64_t *out)
{
    if (!isdigit((unsigned char)*text))
        return false;
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno)
        return false;
    int64_t size = n;
    static const char units[] = "kmgt";
    if (*end) {
        const char *unit = strchr(units, tolower((unsigned char)*end));
        if (!unit || end[1])
            return false;
        for (const char *u = units; u <= unit; u++)
            if (__builtin_mul_overflow(size, 1024, &size))
                return false;
    }
    *out = size;
    return true;
}

char *bui_value_text(bui_property_kind kind, int64_t number, char out[32])
{
    static const struct {
        int64_t n;
        const char *unit;
    } sizes[] = {
        { INT64_C(1) << 40, "t" }, { INT64_C(1) << 30, "g" }, { INT64_C(1) << 20, "m" }, { 1024, "k" }, { 1, "" },
    }, durations[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "m" }, { 1000, "s" }, { 1, "ms" } };
    for (size_t i = 0; number != 0 && i < 5; i++) {
        if (kind == BUI_PROP_SIZE && number % sizes[i].n == 0) {
            (void)snprintf(out, 32, "%" PRId64 "%s", number / sizes[i].n, sizes[i].unit);
            return out;
        }
        if (kind == BUI_PROP_DURATION && number % durations[i].n == 0) {
            (void)snprintf(out, 32, "%" PRId64 "%s", number / durations[i].n, durations[i].unit);
            return out;
        }
    }
    (void)snprintf(out, 32, "%" PRId64, number);
    return out;
}

static bool read_int(const char *text, int64_t *out)
{
    const char *digit = *text == '-' || *text == '+' ? text + 1 : text;
    if (!isdigit((unsigned char)*digit))
        return false;
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno || *end)
        return false;
    *out = n;
    return true;
}

static bool read_bool(const char *text, int64_t *out)
{
    static const char *const words[] = { "false", "true", "no", "yes", "off", "on", "0", "1" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *out = i % 2;
            return true;
        }
    }
    return false;
}

/* One of "a|b|c"; *out is its place. */
static bool read_choice(const char *choices, const char *text, int64_t *out)
{
    size_t len = strlen(text);
    int64_t place = 0;
    for (const char *at = choices;; place++) {
        size_t n = strcspn(at, "|");
        if (n == len && memcmp(at, text, n) == 0) {
            *out = place;
            return true;
        }
        if (!at[n])
            return false;
        at += n + 1;
    }
}

/* host, host:port or [v6]:port */
static bool is_server(const char *item, size_t n)
{
    const char *colon = memrchr(item, ':', n);
    if (!colon || (item[0] == '[' && item[n - 1] == ']'))
        return true;
    int64_t port = 0;
    char digits[6] = "";
    size_t len = (size_t)(item + n - colon) - 1;
    if (colon == item || len == 0 || len >= sizeof digits)
        return false;
    memcpy(digits, colon + 1, len);
    return isdigit((unsigned char)digits[0]) && read_int(digits, &port) && port >= 1 && port <= 65535;
}

static bool is_tier(const char *item, size_t n)
{
    char text[32] = "";
    int64_t ms;
    if (n >= sizeof text)
        return false;
    memcpy(text, item, n);
    return bui_duration_parse(text, &ms) && ms > 0;
}

/* Items separated by commas, none empty, each as its property wants it. */
static bool read_list(const bui_property *property, const char *text)
{
    bool servers = strcmp(property->name, "bootstrap.servers") == 0, tiers = strcmp(property->name, "retry.tiers") == 0;
    for (const char *at = text;; at++) {
        at += strspn(at, " \t");
        size_t n = strcspn(at, ",");
        const char *next = at + n;
        while (n && (at[n - 1] == ' ' || at[n - 1] == '\t'))
            n--;
        if (n == 0 || (servers && !is_server(at, n)) || (tiers && !is_tier(at, n)))
            return false;
        at = next;
        if (!*at)
            return true;
    }
}

static void say_allowed(const bui_property *property, char out[160])
{
    char least[32], most[32];
    bui_value_text(property->kind, property->least, least);
    bui_value_text(property->kind, property->most, most);
    switch (property->kind) {
    case BUI_PROP_INT:
        if (property->least == INT64_MIN && property->most == INT64_MAX)
            (void)snprintf(out, 160, "give a whole number");
        else
            (void)snprintf(out, 160, "give a whole number from %s to %s", least, most);
        break;
    case BUI_PROP_DURATION:
        (void)snprintf(out, 160, "give a duration such as 250ms, 8s, 5m, 2h or 7d, from %s to %s", least, most);
        break;
    case BUI_PROP_SIZE: (void)snprintf(out, 160, "give a size such as 64k, 8m or 1g, from %s to %s", least, most); break;
    case BUI_PROP_BOOL: (void)snprintf(out, 160, "give true or false"); break;
    case BUI_PROP_CHOICE: (void)snprintf(out, 160, "give one of %s", property->choices); break;
    case BUI_PROP_LIST: (void)snprintf(out, 160, "give a list separated by commas, such as %s", property->value); break;
    case BUI_PROP_TEXT:
    default: (void)snprintf(out, 160, "give one line of text"); break;
    }
}

bus_status bui_value_read(const bui_property *property, const char *text, int64_t *number, bus_error *err)
{
    int64_t n = 0;
    bool ok = !strpbrk(text, "\r\n");
    switch (property->kind) {
    case BUI_PROP_INT: ok = read_int(text, &n); break;
    case BUI_PROP_DURATION: ok = bui_duration_parse(text, &n); break;
    case BUI_PROP_SIZE: ok = bui_size_parse(text, &n); break;
    case BUI_PROP_BOOL: ok = read_bool(text, &n); break;
    case BUI_PROP_CHOICE: ok = read_choice(property->choices, text, &n); break;
    case BUI_PROP_LIST:
        ok = ok && ((!*text && !*property->value) || read_list(property, text));
        break; /* empty where that is the default */
    case BUI_PROP_TEXT:
    default: break;
    }
    bool counted = property->kind == BUI_PROP_INT || property->kind == BUI_PROP_DURATION || property->kind == BUI_PROP_SIZE;
    if (ok && counted && (n < property->least || n > property->most))
        ok = false;
    if (!ok) {
        char allowed[160];
        say_allowed(property, allowed);
        return bui_fail(err, BUS_CONFIG, "%s is \"%.80s\": %s", property->name, property->secret ? "***" : text, allowed);
    }
    *number = n;
    return BUS_OK;
}

static char plain(char c)
{
    return c == '-' || c == '_' ? '.' : (char)tolower((unsigned char)c);
}

#define NAME_MOST 120

static int distance_of(const char *a, const char *b)
{
    int row[NAME_MOST + 1];
    int n = (int)strlen(b);
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int best = diagonal + (plain(a[i - 1]) != plain(b[j - 1]));
            diagonal = row[j];
            best = best < row[j] + 1 ? best : row[j] + 1;
            row[j] = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
        }
    }
    return row[n];
}

const bui_property *bui_property_near(const bui_property *own, size_t count, const char *name, int *distance)
{
    size_t len = strlen(name), i = 0;
    const bui_property *best = NULL, *table = bui_properties();
    int least = len < 6 ? 3 : (int)len / 3 + 1;
    while (len <= NAME_MOST && (i < count || table->name)) {
        const bui_property *p = i < count ? &own[i++] : table++;
        int d = distance_of(name, p->name);
        if (d < least) {
            least = d;
            best = p;
        }
    }
    if (best)
        *distance = least;
    return best;
}
