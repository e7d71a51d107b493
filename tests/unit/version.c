/* SPDX-License-Identifier: MIT
 * Version: what the library says it is, and which headers it takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <bus/bus.h>
#include <bus/test.h>
#include <stdio.h>
#include <string.h>

#define MINOR 1000
#define MAJOR 1000000
/* From 1.0 on headers of a lower minor version go; those of a lower major version never do. */
#define LOWER (BUS_VERSION_MAJOR == 0 ? BUS_VERSION_NUMBER - MINOR : BUS_VERSION_NUMBER - MAJOR)

static void tells_its_version(void **state)
{
    (void)state;
    char text[32];
    int number = bus_version_number();
    assert_string_equal(bus_version(), BUS_VERSION);
    assert_int_equal(number, BUS_VERSION_NUMBER);
    snprintf(text, sizeof text, "%d.%d.%d", number / MAJOR, number / MINOR % 1000, number % MINOR);
    assert_string_equal(text, BUS_VERSION);
}

static void refuses_headers_of_another_minor(void **state)
{
    (void)state;
    static const int others[] = { 0, 1, -1, BUS_VERSION_NUMBER + MINOR, BUS_VERSION_NUMBER + MAJOR, LOWER };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        bus_error err = { 0 };
        bus *self = NULL;
        bus_test *test = NULL;
        /* The structs are not looked at: they may be of any form. */
        assert_int_equal(bus_open_for(others[i], (const bus_service *)1, (const bus_config *)1, &self, &err), BUS_REFUSED);
        assert_non_null(strstr(err.text, "compiled with the headers of bus"));
        assert_non_null(strstr(err.text, BUS_VERSION));
        assert_null(self);
        assert_int_equal(bus_test_open_for(others[i], (const bus_service *)1, NULL, &test, &err), BUS_REFUSED);
        assert_null(test);
        char *argv[] = { (char[]){ "service" }, NULL };
        assert_int_equal(bus_service_main_for(others[i], 1, argv, (const bus_service *)1), 5);
    }
}

static void takes_headers_of_another_patch(void **state)
{
    (void)state;
    static const bus_service service = { .name = "order" };
    bus_error err = { 0 };
    bus_test *test = NULL;
    assert_int_equal(bus_test_open_for(BUS_VERSION_NUMBER + 1, &service, NULL, &test, &err), BUS_OK);
    bus_test_close(test);
    assert_int_equal(bus_test_open(&service, NULL, &test, &err), BUS_OK);
    bus_test_close(test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_its_version),
        cmocka_unit_test(refuses_headers_of_another_minor),
        cmocka_unit_test(takes_headers_of_another_patch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
