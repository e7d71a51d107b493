/* SPDX-License-Identifier: MIT
 * Stdio: see stdio.h. */
#include "base/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

void bui_stdio_hold(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)open("/dev/null", O_RDWR); /* the lowest that is free: this one */
}
