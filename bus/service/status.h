/* SPDX-License-Identifier: MIT
 * Status: /metrics (Prometheus text), /healthz and /readyz on the process's status.port. */
#ifndef BUI_SERVICE_STATUS_H
#define BUI_SERVICE_STATUS_H

#include "base/buf.h"
#include "service/runner.h"

typedef struct bui_status_port bui_status_port;

/* Listens on status.listen:status.port; port 0: BUS_OK with NULL. BUS_IO: taken, or no such address. */
bus_status bui_status_open(bus *bus, bui_status_port **out, bus_error *err);
void bui_status_close(bui_status_port *port); /* NULL is a no-op */

/* The answer to one path: appends the body, sets *type, and returns the HTTP code: 200, 404, or 503 when not ready
 * (/readyz) or not alive (/healthz: halted, or a handler is stuck). Any thread. */
unsigned bui_status_answer(bus *bus, const char *path, bui_buf *body, const char **type);

#endif
