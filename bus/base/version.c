/* SPDX-License-Identifier: MIT
 * The version, and which headers go with it. */
#include "base/version.h"
#include "base/error.h"

const char *bus_version(void)
{
    return BUS_VERSION;
}

int bus_version_number(void)
{
    return BUS_VERSION_NUMBER;
}

/* In 0.x each minor version may change every struct. From 1.0 on structs only grow, so older headers of the same major version go. */
static bool fits(int major, int minor)
{
    if (major != BUS_VERSION_MAJOR)
        return false;
    return BUS_VERSION_MAJOR == 0 ? minor == BUS_VERSION_MINOR : minor <= BUS_VERSION_MINOR;
}

bus_status bui_version_check(int headers, bus_error *err)
{
    int major = headers / 1000000, minor = headers / 1000 % 1000;
    if (fits(major, minor))
        return BUS_OK;
    return bui_fail(err, BUS_REFUSED,
                    "this program was compiled with the headers of bus %d.%d.%d and runs with the library of %s, whose "
                    "structs may differ: compile it with the headers installed with the library (see pkg-config --cflags bus)",
                    major, minor, headers % 1000, BUS_VERSION);
}
