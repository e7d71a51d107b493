/* SPDX-License-Identifier: MIT
 * Progress: how far, how fast, how much longer; on stderr, for people. */
#ifndef BUI_CLI_PROGRESS_H
#define BUI_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct cli_progress {
    const char *what; /* "replaying order.events" */
    bool on, redraw;  /* redraw: a terminal, one line rewritten; else a line every 5 s */
    bool drawn;
    int64_t began_us, shown_us;
} cli_progress;

/* Shown if stderr is a terminal, or if asked for; never if `quiet`. */
void cli_progress_begin(cli_progress *progress, const char *what, bool asked, bool quiet);
/* `done` things are behind us, `passed` of `total` of the way (a total <= 0 or INT64_MAX is unknown). Cheap: looks at the
 * clock and mostly returns. */
void cli_progress_step(cli_progress *progress, int64_t done, int64_t passed, int64_t total);
void cli_progress_end(cli_progress *progress); /* wipes the line */

/* The line itself into out[160]. Pure. */
char *cli_progress_text(char *out, const char *what, int64_t elapsed_us, int64_t done, int64_t passed, int64_t total);

#endif
