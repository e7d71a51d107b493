/* SPDX-License-Identifier: MIT
 * A service's own properties: what their declarations must be, and whose a name is. */
#include "base/config_table.h"

#include <stdlib.h>
#include <string.h>

#define OWN_MOST 200
#define NAME_MOST 120
#define SERVICE "service."

/* In the environment a service's '-' is written as '_' too, and read as '.'. */
static bool same_char(char own, char given)
{
    return own == given || (own == '-' && given == '.');
}

bool bui_own_same(const char *own, const char *given)
{
    while (*own && same_char(*own, *given))
        own++, given++;
    return !*own && !*given;
}

bool bui_own_prefix(const char *prefix, const char *given)
{
    const char *at = prefix;
    while (*at && same_char(*at, *given))
        at++, given++;
    return *prefix && !*at;
}

bool bui_is_service_property(const char *name)
{
    size_t len = strlen(SERVICE);
    const char *dot = strncmp(name, SERVICE, len) == 0 ? strchr(name + len, '.') : NULL;
    return dot && dot > name + len && dot[1];
}

static bool name_ok(const char *name, const char *prefix)
{
    size_t len = strlen(prefix);
    if (strncmp(name, prefix, len) != 0 || !name[len] || strlen(name) > NAME_MOST)
        return false;
    return strspn(name + len, "abcdefghijklmnopqrstuvwxyz0123456789.") == strlen(name + len);
}

static bus_status check(const bus_service *service, const bus_property *p, const char *prefix, bus_error *err)
{
    if (!name_ok(p->name, prefix))
        return bui_fail(err, BUS_INVALID,
                        "service %s: the property \"%.120s\" must be named %s and a-z, 0-9 and '.', at most %d in all",
                        service->name, p->name, prefix, NAME_MOST);
    for (const bus_property *other = service->properties; other != p; other++)
        if (strcmp(other->name, p->name) == 0)
            return bui_fail(err, BUS_INVALID, "service %s: two properties are named %s", service->name, p->name);
    if ((int)p->kind < BUS_PROPERTY_TEXT || p->kind > BUS_PROPERTY_CHOICE ||
        (p->kind == BUS_PROPERTY_CHOICE && (!p->choices || !*p->choices)))
        return bui_fail(err, BUS_INVALID, "property %s: its kind is none, or it is a choice without choices", p->name);
    if (p->least > p->most)
        return bui_fail(err, BUS_INVALID, "property %s: its least is more than its most", p->name);
    if (!p->help || !*p->help || strpbrk(p->help, "\r\n"))
        return bui_fail(err, BUS_INVALID, "property %s: its help must be one line", p->name);
    return BUS_OK;
}

static bui_property read_one(const bus_property *p)
{
    static const char *const units[] = { [BUS_PROPERTY_DURATION] = "ms", [BUS_PROPERTY_SIZE] = "bytes" };
    static const bui_property_kind kinds[] = {
        [BUS_PROPERTY_TEXT] = BUI_PROP_TEXT,         [BUS_PROPERTY_INT] = BUI_PROP_INT,   [BUS_PROPERTY_BOOL] = BUI_PROP_BOOL,
        [BUS_PROPERTY_DURATION] = BUI_PROP_DURATION, [BUS_PROPERTY_SIZE] = BUI_PROP_SIZE, [BUS_PROPERTY_CHOICE] = BUI_PROP_CHOICE
    };
    bool open = p->least == 0 && p->most == 0;
    return (bui_property){ .name = p->name,
                           .kind = kinds[p->kind],
                           .value = p->value ? p->value : "",
                           .unit = p->kind == BUS_PROPERTY_DURATION || p->kind == BUS_PROPERTY_SIZE ? units[p->kind] : "",
                           .least = open && p->kind == BUS_PROPERTY_INT ? INT64_MIN : p->least,
                           .most = open ? INT64_MAX : p->most,
                           .choices = p->choices,
                           .secret = p->secret,
                           .text = p->help };
}

bus_status bui_own_read(const bus_service *service, const char *prefix, bui_property **out, size_t *count, bus_error *err)
{
    size_t n = 0;
    while (service->properties && service->properties[n].name)
        n++;
    if (n > OWN_MOST)
        return bui_fail(err, BUS_INVALID, "service %s: it declares %zu properties, more than %d", service->name, n, OWN_MOST);
    bui_property *list = calloc(n + 1, sizeof *list);
    if (!list)
        return bui_fail_nomem(err);
    bus_status status = BUS_OK;
    for (size_t i = 0; i < n && status == BUS_OK; i++) {
        bus_error why = { 0 };
        int64_t number;
        status = check(service, &service->properties[i], prefix, err);
        if (status != BUS_OK)
            break;
        list[i] = read_one(&service->properties[i]);
        if (bui_value_read(&list[i], list[i].value, &number, &why) != BUS_OK)
            status = bui_fail(err, BUS_INVALID, "service %s: a default is wrong: %s", service->name, why.text);
    }
    if (status != BUS_OK) {
        free(list);
        return status;
    }
    *out = list;
    *count = n;
    return BUS_OK;
}
