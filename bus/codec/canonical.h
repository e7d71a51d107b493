/* SPDX-License-Identifier: MIT
 * Canonical: the Parsing Canonical Form of a schema (Avro specification, "Parsing Canonical Form for Schemas"). */
#ifndef BUI_CODEC_CANONICAL_H
#define BUI_CODEC_CANONICAL_H

#include "base/buf.h"
#include "codec/schema.h"

/* Appends the form of `root`. false: no memory, or over the buffer's limit. */
bool bui_canonical_write(const bui_node *root, bui_buf *out);

#endif
