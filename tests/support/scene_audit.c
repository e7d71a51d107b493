/* SPDX-License-Identifier: MIT
 * Scene audit: the words of what is found. */
#include "support/scene_audit.h"

#include "support/memory_audit.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool on_found(void *opaque, const bui_finding *finding)
{
    scene *s = opaque;
    char word[40];
    size_t len = strlen(s->text);
    snprintf(word, sizeof word, finding->weight == BUI_AUDIT_NOTED ? "(%s)" : "%s", finding->rule);
    if (getenv("SCENE_AUDIT_SAYS"))
        fprintf(stderr, "  %s: %s: %s %s\n", word, finding->where, finding->id, finding->text);
    if (!strstr(s->text, word))
        snprintf(s->text + len, sizeof s->text - len, "%s%s", len ? " " : "", word);
    return true;
}

const char *scene_audit(scene *s)
{
    bus_error err = { 0 };
    char path[96];
    const char *const paths[] = { path };
    snprintf(path, sizeof path, "%s/svc/0.db", s->data);
    s->text[0] = 0;
    if (memory_audit(s->cluster, NULL, paths, 1, on_found, s, &err) != BUS_OK)
        fail_msg("%s", err.text);
    return s->text;
}
