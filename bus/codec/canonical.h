/* SPDX-License-Identifier: MIT
 * Canonical: the Parsing Canonical Form of a schema (Avro specification, "Parsing Canonical Form for Schemas"). */
#ifndef BUS_CODEC_CANONICAL_H
#define BUS_CODEC_CANONICAL_H

#include "base/buf.h"
#include "codec/schema.h"

/* Appends the form of `root`. false: no memory, or over the buffer's limit. */
bool bus_canonical_write(const bus_node *root, bus_buf *out);

#endif
