/* SPDX-License-Identifier: MIT
 * Crash notes: what died in a handler or a prepare step is known to the next open; a note closed without leaving is a death. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "shard/internal.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char directory[64], path[96];

static int set_up(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/bus-crash-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/0.running", directory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(directory);
}

static bui_crash_note *opened(void)
{
    bus_error err = { 0 };
    bui_crash_note *note = bui_crash_open(directory, 0, &err);
    if (!note)
        fail_msg("%s", err.text);
    return note;
}

static bui_delivery at(int64_t offset)
{
    return (bui_delivery){ .event = { .topic = "in", .partition = 3, .offset = offset } };
}

static void die_handling(int64_t offset)
{
    bui_crash_note *note = opened();
    bui_delivery delivery = at(offset);
    bui_crash_enter(note, &delivery);
    bui_crash_close(note);
}

/* The process dies while the steps of these offsets run, after one that had ended. */
static void die_preparing(int64_t first, int64_t last)
{
    bui_crash_note *note = opened();
    bui_delivery ended = at(99);
    size_t place = bui_crash_enter_step(note, &ended);
    for (int64_t offset = first; offset <= last; offset++) {
        bui_delivery delivery = at(offset);
        bui_crash_enter_step(note, &delivery);
    }
    bui_crash_leave_step(note, place);
    bui_crash_close(note);
}

static bool suspect(int64_t offset)
{
    bui_crash_note *note = opened();
    bui_delivery delivery = at(offset);
    bool is = bui_crash_suspect(note, &delivery);
    bui_crash_close(note);
    return is;
}

static void three_deaths_make_a_suspect(void **state)
{
    (void)state;
    die_handling(7);
    die_handling(7);
    assert_false(suspect(7));
    die_handling(8); /* another one's death between */
    die_handling(7);
    assert_true(suspect(7));
    assert_false(suspect(8));
}

static void the_oldest_suspects_are_forgotten(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        die_handling(7);
    for (int i = 0; i < 63; i++)
        die_handling(100 + i);
    assert_true(suspect(7));
    die_handling(200);
    assert_false(suspect(7));
}

static void a_redriven_event_has_three_deaths_more(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        die_handling(7);
    bui_delivery redriven = at(7);
    redriven.letter_round = 1;
    for (int i = 0; i < 3; i++) {
        bui_crash_note *note = opened();
        assert_false(bui_crash_suspect(note, &redriven));
        bui_crash_enter(note, &redriven);
        bui_crash_close(note);
    }
    bui_crash_note *note = opened();
    assert_true(bui_crash_suspect(note, &redriven));
    bui_crash_close(note);
    assert_true(suspect(7));
}

static void a_step_that_ran_alone_is_blamed_like_a_handler(void **state)
{
    (void)state;
    die_preparing(7, 7);
    die_handling(7); /* deaths of one event count together, wherever it died */
    die_preparing(7, 7);
    bui_crash_note *note = opened();
    bui_delivery delivery = at(7);
    assert_true(bui_crash_suspect(note, &delivery));
    assert_true(bui_crash_died_in_step(note));
    assert_false(bui_crash_died(note));
    bui_crash_close(note);
    note = opened();
    assert_false(bui_crash_died_in_step(note)); /* told once */
    bui_crash_close(note);
}

static void of_several_steps_none_is_blamed(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        die_preparing(1, 5);
    bui_crash_note *note = opened();
    assert_true(bui_crash_died_in_step(note));
    for (int64_t offset = 1; offset <= 5; offset++) {
        bui_delivery delivery = at(offset);
        assert_false(bui_crash_suspect(note, &delivery));
    }
    bui_crash_close(note);
}

static void a_death_beside_a_step_proves_nothing(void **state)
{
    (void)state;
    bui_crash_note *note = opened();
    bui_delivery handled = at(7), prepared = at(8);
    bui_crash_enter_step(note, &prepared);
    bui_crash_enter(note, &handled);
    bui_crash_close(note);
    note = opened();
    assert_true(bui_crash_died(note));
    assert_true(bui_crash_died_in_step(note)); /* so that steps run one at a time, too: one of both it was */
    bui_crash_close(note);
    die_handling(7);
    die_handling(7);
    assert_true(suspect(7));
    assert_false(suspect(8));
}

static void more_steps_than_places_run_unnoted(void **state)
{
    (void)state;
    die_preparing(100, 400);
    bui_crash_note *note = opened();
    assert_true(bui_crash_died_in_step(note));
    bui_crash_close(note);
}

static void a_page_of_another_make_is_begun_anew(void **state)
{
    (void)state;
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    uint64_t former[4] = { 0x3145544f4e535542u, 17, 17, 9 };
    assert_int_equal(write(fd, former, sizeof former), sizeof former);
    close(fd);
    bui_crash_note *note = opened();
    assert_false(bui_crash_died(note));
    assert_false(bui_crash_died_in_step(note));
    bui_crash_close(note);
}

/* ---- two shards of a process */

static bui_crash_note *opened_of(int shard, const void *process)
{
    bus_error err = { 0 };
    bui_crash_note *note = bui_crash_open(directory, shard, &err);
    if (!note)
        fail_msg("%s", err.text);
    bui_crash_beside(note, process);
    return note;
}

static void a_death_beside_anothers_handler_proves_nothing(void **state)
{
    (void)state;
    char other[96];
    const bui_delivery slow = at(7), poison = at(8);
    for (int life = 0; life < 3; life++) {
        int process;
        bui_crash_note *zero = opened_of(0, &process), *one = opened_of(1, &process);
        if (life == 0)
            bui_crash_enter(zero, &slow);
        bui_crash_enter(one, &poison); /* from the second life on alone: shard 0 would wait */
        bui_crash_close(zero);
        bui_crash_close(one);
    }
    bui_crash_note *zero = opened_of(0, state), *one = opened_of(1, state);
    assert_true(bui_crash_suspect(one, &poison));
    assert_false(bui_crash_suspect(zero, &slow));
    bui_crash_enter(zero, &slow);
    bui_crash_leave(zero);
    bui_crash_close(zero);
    bui_crash_close(one);
    snprintf(other, sizeof other, "%s/1.running", directory);
    unlink(other);
}

typedef struct alone_run {
    bui_crash_note *note;
    bui_delivery delivery;
    _Atomic bool runs;
} alone_run;

static void *run_alone(void *arg)
{
    alone_run *run = arg;
    bui_crash_enter(run->note, &run->delivery);
    atomic_store(&run->runs, true);
    return NULL;
}

static void a_suspect_waits_until_nothing_else_runs(void **state)
{
    char other[96];
    const bui_delivery busy = at(7);
    pthread_t thread;
    bui_crash_note *one = opened_of(1, state);
    alone_run run = { .delivery = at(8) };
    bui_crash_enter(one, &run.delivery);
    bui_crash_close(one);
    bui_crash_note *zero = opened_of(0, state);
    run.note = opened_of(1, state);
    bui_crash_enter(zero, &busy);
    size_t step = bui_crash_enter_step(zero, &busy);
    assert_int_equal(pthread_create(&thread, NULL, run_alone, &run), 0);
    usleep(5000);
    assert_false(run.runs);
    bui_crash_leave(zero);
    usleep(5000);
    assert_false(run.runs); /* the step */
    bui_crash_leave_step(zero, step);
    pthread_join(thread, NULL);
    assert_true(run.runs);
    /* And what would begin meanwhile waits for it. */
    alone_run next = { .note = zero, .delivery = at(9) };
    assert_int_equal(pthread_create(&thread, NULL, run_alone, &next), 0);
    usleep(5000);
    assert_false(next.runs);
    bui_crash_leave(run.note);
    pthread_join(thread, NULL);
    assert_true(next.runs);
    bui_crash_leave(zero);
    bui_crash_close(zero);
    bui_crash_close(run.note);
    snprintf(other, sizeof other, "%s/1.running", directory);
    unlink(other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(three_deaths_make_a_suspect),
        TEST(the_oldest_suspects_are_forgotten),
        TEST(a_redriven_event_has_three_deaths_more),
        TEST(a_step_that_ran_alone_is_blamed_like_a_handler),
        TEST(of_several_steps_none_is_blamed),
        TEST(a_death_beside_a_step_proves_nothing),
        TEST(more_steps_than_places_run_unnoted),
        TEST(a_page_of_another_make_is_begun_anew),
        TEST(a_death_beside_anothers_handler_proves_nothing),
        TEST(a_suspect_waits_until_nothing_else_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
