/* SPDX-License-Identifier: MIT
 * The status port against people who connect and say little: others are answered all the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "service/status.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SLOW 500
#define HANGS_MS 60000 /* only tells a hang */

static struct sockaddr_in at;
static bus *self;
static bui_status_port *port;

static int set_up(void **state)
{
    (void)state;
    struct rlimit files;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t len = sizeof at;
    at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    close(fd);

    char number[16];
    bus_error err = { 0 };
    bus_config *config = bus_config_new();
    snprintf(number, sizeof number, "%d", ntohs(at.sin_port));
    assert_int_equal(bus_config_set(config, "status.port", number, &err), BUS_OK);
    assert_int_equal(bus_open(NULL, config, &self, &err), BUS_OK);
    bus_config_free(config);
    return bui_status_open(self, &port, &err) != BUS_OK;
}

static int tear_down(void **state)
{
    (void)state;
    bui_status_close(port);
    bus_close(self);
    return 0;
}

static int dial(const char *say)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    /* The port may have ended it already, to make room. */
    assert_true(send(fd, say, strlen(say), MSG_NOSIGNAL) == (ssize_t)strlen(say) || errno == EPIPE || errno == ECONNRESET);
    return fd;
}

/* The first bytes of the answer; "" if the port has ended the connection without one. */
static const char *hear(int fd)
{
    static char text[512];
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    assert_int_equal(poll(&wait, 1, HANGS_MS), 1);
    ssize_t len = recv(fd, text, sizeof text - 1, 0);
    text[len > 0 ? len : 0] = 0;
    return text;
}

static void slow_connections_do_not_keep_others_from_an_answer(void **state)
{
    (void)state;
    int slow[SLOW];
    for (int i = 0; i < SLOW; i++)
        slow[i] = dial(i % 2 ? "GET /healthz HT" : "");
    for (int i = 0; i < 20; i++) {
        int fd = dial("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_memory_equal(hear(fd), "HTTP/1.1 200", 12);
        close(fd);
    }
    assert_true(bui_counter_read(&self->metrics.status_cut) > SLOW / 2);
    for (int i = 0; i < SLOW; i++)
        close(slow[i]);
}

static void a_request_that_trickles_in_ends(void **state)
{
    (void)state;
    int fd = dial("GET /healthz HTTP/1.1\r\nX: ");
    struct pollfd end = { .fd = fd, .events = POLLIN };
    int pieces = 0;
    while (poll(&end, 1, 200) == 0 && pieces++ < HANGS_MS / 200)
        (void)send(fd, "y", 1, MSG_NOSIGNAL);
    assert_true(pieces < HANGS_MS / 200);
    assert_string_equal(hear(fd), "");
    close(fd);
    fd = dial("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_memory_equal(hear(fd), "HTTP/1.1 200", 12);
    close(fd);
}

/* A program that calls bus_open has the port, too, until bus_close. */
static void a_program_of_its_own_has_the_port(void **state)
{
    (void)state;
    bus_error err = { 0 };
    bui_status_close(port);
    port = NULL;
    assert_int_equal(bus_serve_status(self, &err), BUS_OK);
    assert_int_equal(bus_serve_status(self, &err), BUS_EXISTS);
    int fd = dial("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_memory_equal(hear(fd), "HTTP/1.1 200", 12);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(slow_connections_do_not_keep_others_from_an_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_request_that_trickles_in_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_program_of_its_own_has_the_port, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
