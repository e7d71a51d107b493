/* SPDX-License-Identifier: MIT
 * Inline: a schema that refers to others becomes one text. Registries keep such schemas apart ("references"). */
#ifndef BUS_REGISTRY_INLINE_H
#define BUS_REGISTRY_INLINE_H

struct json_t;

/* The schema with each name that `others` (full name to schema, an object) defines put in where it is first used. What else is
 * unknown stays. NULL: no memory, or nested deeper than a schema may be. */
struct json_t *bus_inline(const struct json_t *schema, const struct json_t *others);

#endif
