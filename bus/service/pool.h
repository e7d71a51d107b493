/* SPDX-License-Identifier: MIT
 * Pool: the threads on which prepare steps run. */
#ifndef BUI_SERVICE_POOL_H
#define BUI_SERVICE_POOL_H

#include "shard/shard.h"

/* Starts `threads` threads. BUS_NOMEM, or BUS_IO if the system gives no thread. */
bus_status bui_threads_open(int threads, bui_pool **out, bus_error *err);
/* Runs what is queued and joins. No shard may submit any more. NULL is a no-op. */
void bui_threads_close(bui_pool *pool);

#endif
