/* SPDX-License-Identifier: MIT
 * Stdio: a program that was started with descriptors 0 to 2 closed must not have a socket or a store take their place: what is printed
 * would go there. */
#ifndef BUS_BASE_STDIO_H
#define BUS_BASE_STDIO_H

/* Opens /dev/null on those of them that are closed. Before anything else is opened; for programs, not for the library. */
void bus_stdio_hold(void);

#endif
