/* SPDX-License-Identifier: MIT
 * Failpoints: only in debug and sanitizer builds. */
#include "base/failpoint.h"

#ifdef BUS_FAILPOINTS

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAMES_MOST 256

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool prepared;
static char deadly[128]; /* "": none */
static long left;        /* until it kills */
static int trace = -1;
static char reached[NAMES_MOST][64]; /* names already traced */
static size_t reached_count;
static void (*hook)(const char *name, void *opaque);
static void *hook_opaque;

static void prepare(void)
{
    prepared = true;
    const char *what = getenv("BUS_FAILPOINT"), *file = getenv("BUS_FAILPOINT_TRACE");
    if (what && strlen(what) < sizeof deadly) {
        strcpy(deadly, what);
        char *colon = strrchr(deadly, ':');
        left = colon ? strtol(colon + 1, NULL, 10) : 1;
        if (colon)
            *colon = 0;
    }
    if (file)
        trace = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

/* One write a line: several processes may share the file. */
static void note(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < reached_count; i++)
        if (strcmp(reached[i], name) == 0)
            return;
    if (reached_count == NAMES_MOST || len >= sizeof reached[0])
        return;
    memcpy(reached[reached_count++], name, len + 1);
    char line[80];
    memcpy(line, name, len);
    line[len] = '\n';
    ssize_t n = write(trace, line, len + 1);
    (void)n;
}

void bui_failpoint(const char *name)
{
    (void)pthread_mutex_lock(&lock);
    if (!prepared)
        prepare();
    if (trace >= 0)
        note(name);
    bool now = deadly[0] && strcmp(deadly, name) == 0 && --left == 0;
    void (*fn)(const char *, void *) = hook;
    void *opaque = hook_opaque;
    (void)pthread_mutex_unlock(&lock);
    if (now)
        (void)kill(getpid(), SIGKILL);
    if (fn)
        fn(name, opaque);
}

void bui_failpoint_to(void (*fn)(const char *name, void *opaque), void *opaque)
{
    (void)pthread_mutex_lock(&lock);
    hook = fn;
    hook_opaque = opaque;
    (void)pthread_mutex_unlock(&lock);
}

#endif
