/* SPDX-License-Identifier: MIT
 * Stdio: if a program was started with descriptors 0 to 2 closed, no socket or store may get their numbers: what is printed
 * would go there. */
#ifndef BUI_BASE_STDIO_H
#define BUI_BASE_STDIO_H

/* Opens /dev/null on those of them that are closed. Before anything else is opened; for programs, not for the library. */
void bui_stdio_hold(void);

#endif
