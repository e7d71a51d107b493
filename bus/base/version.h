/* SPDX-License-Identifier: MIT
 * Which headers a program may have been compiled with: those whose structs this library knows. */
#ifndef BUI_BASE_VERSION_H
#define BUI_BASE_VERSION_H

#include <bus/error.h>
#include <bus/version.h>

/* `headers` is the BUS_VERSION_NUMBER of the calling program. BUS_REFUSED: structs of that version may look otherwise. Each function
 * that makes a handle asks first, before it reads any struct. */
bus_status bui_version_check(int headers, bus_error *err);

#endif
