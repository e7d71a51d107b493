/* SPDX-License-Identifier: MIT
 * Pool: the threads on which prepare steps run. */
#ifndef BUS_SERVICE_POOL_H
#define BUS_SERVICE_POOL_H

#include "shard/shard.h"

/* Starts `threads` threads. BUS_NOMEM, or BUS_IO if the system gives no thread. */
bus_status bus_threads_open(int threads, bus_pool **out, bus_error *err);
/* Runs what is queued and joins. No shard may submit any more. NULL is a no-op. */
void bus_threads_close(bus_pool *pool);

#endif
