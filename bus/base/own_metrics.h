/* SPDX-License-Identifier: MIT
 * Own metrics: those that programs have registered (bus/metric.h), as Prometheus text. */
#ifndef BUI_BASE_OWN_METRICS_H
#define BUI_BASE_OWN_METRICS_H

#include "base/buf.h"

/* Appends all of them. Any thread. */
void bui_own_metrics_render(bui_buf *out);

#endif
