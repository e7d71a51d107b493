/* SPDX-License-Identifier: MIT
 * What bus_log_line writes beside its arguments: where, and how often. */
#ifndef BUI_BASE_LOG_LINE_H
#define BUI_BASE_LOG_LINE_H

#include <bus/log.h>
#include <stdint.h>

/* Tells whose code the calling thread runs ("service/shard"), NULL: nobody's. Set by the layer that knows. */
typedef const char *(*bui_log_where_fn)(void);
void bui_log_where_by(bui_log_where_fn fn);

/* What lines outside of all shards are under; copied. "program" until then. */
void bui_log_program(const char *name);

/* bus_log_line at monotonic `now_us`. */
void bui_log_line_at(int64_t now_us, bus_level level, const char *event, const char *msg, const bus_log_field *fields,
                     size_t count, const bus_log_options *options);

#endif
