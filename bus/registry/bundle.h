/* SPDX-License-Identifier: MIT
 * Bundle: a schema that refers to others becomes one text. Registries keep such schemas apart ("references"). */
#ifndef BUI_REGISTRY_BUNDLE_H
#define BUI_REGISTRY_BUNDLE_H

struct json_t;

/* The schema with each name that `others` (full name to schema, an object) defines put in where it is first used. What else is
 * unknown stays. NULL: no memory, or nested deeper than a schema may be. */
struct json_t *bui_schema_bundle(const struct json_t *schema, const struct json_t *others);

#endif
