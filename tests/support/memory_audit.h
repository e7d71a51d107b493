/* SPDX-License-Identifier: MIT
 * Memory audit: what `bus audit` would say of stores and of the topics of a cluster in memory. */
#ifndef TESTS_SUPPORT_MEMORY_AUDIT_H
#define TESTS_SUPPORT_MEMORY_AUDIT_H

#include "ops/audit.h"
#include "testing/memory_transport.h"

/* Reads in the order of audit_look.c and applies the rules. `keys` may be NULL. */
bus_status memory_audit(const bui_memory_cluster *cluster, const bui_keys *keys, const char *const *paths, size_t count,
                        bui_audit_found_fn found, void *opaque, bus_error *err);

#endif
