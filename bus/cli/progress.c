/* SPDX-License-Identifier: MIT
 * Progress: one line on stderr. */
#include "cli/progress.h"
#include "base/clock.h"
#include "cli/output.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

void cli_progress_begin(cli_progress *progress, const char *what, bool asked, bool quiet)
{
    bool terminal = isatty(STDERR_FILENO);
    *progress =
        (cli_progress){ .what = what, .on = !quiet && (asked || terminal), .redraw = terminal, .began_us = bui_clock_now_us() };
    progress->shown_us = progress->began_us;
}

char *cli_progress_text(char *out, const char *what, int64_t elapsed_us, int64_t done, int64_t passed, int64_t total)
{
    char eta[32] = "?";
    double seconds = elapsed_us > 0 ? (double)elapsed_us / 1e6 : 1e-6;
    bool known = total > 0 && total != INT64_MAX;
    if (known && passed > 0)
        cli_age((int64_t)((double)(total - passed) / ((double)passed / seconds) * 1000), eta);
    if (known)
        snprintf(out, 160, "%.80s: %" PRId64 " (%.0f %%), %.0f/s, %s left", what, done, 100.0 * (double)passed / (double)total,
                 (double)done / seconds, eta);
    else
        snprintf(out, 160, "%.80s: %" PRId64 ", %.0f/s", what, done, (double)done / seconds);
    return out;
}

void cli_progress_step(cli_progress *progress, int64_t done, int64_t passed, int64_t total)
{
    if (!progress->on)
        return;
    int64_t now = bui_clock_now_us();
    if (now - progress->shown_us < (progress->redraw ? 200 * 1000 : 5000 * 1000))
        return;
    char text[160];
    cli_progress_text(text, progress->what, now - progress->began_us, done, passed, total);
    fprintf(stderr, progress->redraw ? "\r\033[K%s" : "%s\n", text);
    fflush(stderr);
    progress->shown_us = now;
    progress->drawn = progress->redraw;
}

void cli_progress_end(cli_progress *progress)
{
    if (progress->drawn)
        fputs("\r\033[K", stderr);
    progress->drawn = false;
}
