/* SPDX-License-Identifier: MIT
 * Shrinking finds the smallest plan that fails by the same check; plans survive as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support/sim_shrink.h"

static int plays;

/* Fails by one check with steps 17, 230 and 1499 and lost acknowledgements, by another without step 230. */
static void play(const sim_plan *plan, sim_result *result)
{
    bool has = sim_plan_has(plan, 17) && sim_plan_has(plan, 1499);
    *result = (sim_result){ .failed = has && sim_plan_allows(plan, SIM_LOST_ACK) };
    for (int i = 0; i < SIM_COUNTS; i++)
        result->count[i] = sim_plan_allows(plan, (int)i);
    snprintf(result->check, sizeof result->check, "%s", sim_plan_has(plan, 230) ? "lost" : "doubled");
    plays++;
}

static void finds_what_matters(void **state)
{
    (void)state;
    sim_plan plan;
    sim_result result;
    sim_plan_init(&plan, 5);
    play(&plan, &result);
    plays = 0;
    sim_shrunk shrunk = sim_shrink(&plan, &result, play, 60);
    assert_true(shrunk.in_time);
    assert_int_equal(shrunk.steps, 3);
    assert_true(sim_plan_has(&plan, 17) && sim_plan_has(&plan, 230) && sim_plan_has(&plan, 1499));
    for (int fault = 0; fault < SIM_FAULTS; fault++)
        assert_true(sim_plan_allows(&plan, fault) == (fault == SIM_LOST_ACK));
    assert_int_equal(plan.processes, 1);
    assert_true(result.failed);
    assert_string_equal(result.check, "lost");
    assert_int_equal(shrunk.tries, plays);
    assert_true(plays < 400);
}

static void stops_in_time(void **state)
{
    (void)state;
    sim_plan plan;
    sim_result result;
    sim_plan_init(&plan, 5);
    play(&plan, &result);
    sim_shrunk shrunk = sim_shrink(&plan, &result, play, 0);
    assert_false(shrunk.in_time);
    assert_int_equal(shrunk.tries, 0);
    assert_int_equal(shrunk.steps, SIM_STEPS);
}

static void read_back(const char *text, sim_plan *plan)
{
    char *copy = strdup(text), *rest = copy;
    sim_plan_init(plan, 0);
    for (char *name; (name = strtok_r(rest, " ", &rest));)
        assert_true(sim_plan_option(plan, name, strtok_r(rest, " ", &rest)));
    free(copy);
}

static void a_plan_is_read_back_as_it_was(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "--seed 7", "--seed 7 --steps none", "--seed 7 --steps 0,3-9,1499",
        "--seed 18446744073709551615 --processes 1 --without held,handler-pause --steps 1-1499"
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        sim_plan plan;
        char *text = NULL;
        size_t len;
        read_back(texts[i], &plan);
        FILE *out = open_memstream(&text, &len);
        sim_plan_print(&plan, out);
        fclose(out);
        assert_string_equal(text, texts[i]);
        free(text);
    }
}

static void what_is_no_plan_is_refused(void **state)
{
    (void)state;
    static const char *const pairs[][2] = { { "--seed", "x" },      { "--seed", "" },       { "--steps", "1500" },
                                            { "--steps", "4-" },    { "--steps", "a" },     { "--without", "rain" },
                                            { "--processes", "0" }, { "--processes", "3" }, { "--other", "1" } };
    sim_plan plan;
    sim_plan_init(&plan, 1);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_false(sim_plan_option(&plan, pairs[i][0], pairs[i][1]));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(finds_what_matters), cmocka_unit_test(stops_in_time),
                                        cmocka_unit_test(a_plan_is_read_back_as_it_was),
                                        cmocka_unit_test(what_is_no_plan_is_refused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
