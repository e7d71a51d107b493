/* SPDX-License-Identifier: MIT
 * Version: of these headers, and of the library that runs. See docs/abi.md for what may differ between the two. */
#ifndef BUS_VERSION_H
#define BUS_VERSION_H

#ifdef __cplusplus
extern "C" {
#endif

/* Of the headers. The build takes the library's version from these three lines. */
#define BUS_VERSION_MAJOR 0
#define BUS_VERSION_MINOR 2
#define BUS_VERSION_PATCH 0

/* One number that grows with each version, for #if: 0.2.0 is 2000. */
#define BUS_VERSION_NUMBER (BUS_VERSION_MAJOR * 1000000 + BUS_VERSION_MINOR * 1000 + BUS_VERSION_PATCH)

#define BUS_VERSION_QUOTE_(major, minor, patch) #major "." #minor "." #patch
#define BUS_VERSION_TEXT_(major, minor, patch) BUS_VERSION_QUOTE_(major, minor, patch)
/* The text, such as "0.2.0". */
#define BUS_VERSION BUS_VERSION_TEXT_(BUS_VERSION_MAJOR, BUS_VERSION_MINOR, BUS_VERSION_PATCH)

/* Returns the version of the library that runs, as text: the BUS_VERSION it was built with.
 * Thread: any.
 * Errors: none.
 * Owner: the text is constant. */
const char *bus_version(void);

/* Returns the version of the library that runs, as a number: the BUS_VERSION_NUMBER it was built with.
 * Thread: any.
 * Errors: none. */
int bus_version_number(void);

#ifdef __cplusplus
}
#endif
#endif
