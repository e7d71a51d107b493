#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A rebuild neither loses nor repeats nor changes: killed at each of its renames, without a file, after bus_transact."""
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from lab import BUILD, check, equal, eventually, main, test
from instances import bus_json, bus_says, make_topics, records, store

OK, PARTIAL, REFUSED = 0, 3, 5


def program_of(service):
    return " ".join([service.program, *service.arguments()])


def rebuild(service, *words, status=OK):
    return bus_json(service, "rebuild", "--program", program_of(service), *words, "-q", status=status)


def rebuild_says(service, *words, status):
    return bus_says(service, "rebuild", "--program", program_of(service), *words, status=status)


def lose(service, shard=0):
    for suffix in ("", "-wal", "-shm"):
        if os.path.exists(store(service, shard) + suffix):
            os.remove(store(service, shard) + suffix)


def delete_before(lab, topic, offset):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as plan:
        json.dump({"partitions": [{"topic": topic, "partition": 0, "offset": offset}], "version": 1}, plan)
        plan.flush()
        lab.kafka.tool("kafka-delete-records", "--offset-json-file", plan.name)


@test
def killed_at_each_rename(lab):
    """The old store's last commits are in its WAL alone: wherever the rebuild dies, both stores stay whole and the next start goes on."""
    service = make_topics(lab.service("renamed"))
    count = 0
    for point in ("swap-noted", "swap-left", "swap-gone", "swap-came", "swap-come"):
        lab.kafka.produce("renamed.commands", [(f"k{n % 5}", str(n)) for n in range(count + 1, count + 41)])
        count += 40
        service.start().done(count)
        service.idle()
        service.kill()
        check(os.path.getsize(store(service) + "-wal") > 0, "the WAL holds commits")
        done = subprocess.run([service.program, "--rebuild", *service.arguments()], env={**service.environment, "BUS_FAILPOINT": point},
                              capture_output=True, text=True, timeout=60)
        equal(done.returncode, -signal.SIGKILL, f"killed at {point}: {done.stderr}")
        service.start()
        service.says("swap_finished", "interrupted: (finished|it had been done)")
        service.stop()
        equal(service.sql("SELECT count(*), min(times), max(times) FROM effect"), [(count, 1, 1)], f"effects after a kill at {point}")
        aside = [name for name in os.listdir(os.path.dirname(store(service))) if ".replaced-" in name and not name.endswith(("-wal", "-shm"))]
        with sqlite3.connect(os.path.join(os.path.dirname(store(service)), max(aside))) as db:
            equal((db.execute("PRAGMA integrity_check").fetchone()[0], db.execute("SELECT count(*) FROM effect").fetchone()[0]), ("ok", count),
                  "the old store, kept aside")
        db.close()
    equal(len({e["header"]["ce_id"] for e in records(service, "renamed.events")}), count, "events, by id")


@test
def nothing_is_lost_repeated_or_changed(lab):
    """Waiting, parked, held, planned, fired, cancelled; outputs that expired; a handler that was repaired since."""
    service = make_topics(lab.service("states", env={"ECHO_HOLD": "1"}, retry__tiers="100ms,10m", reject__ratio__percent=0), 1)
    lab.kafka.produce("states.commands", [("k1", "1"), ("k1", "2 retry:3"), ("k1", "3"), ("k2", "4 broken"), ("k2", "5"), ("k3", "6 plan:600000"),
                                          ("k4", "7 plan:300")])
    service.start()
    service.done(3)
    eventually("the plan has fired", 20, lambda: len(records(service, "states.events")) == 4)
    lab.kafka.produce("states.commands", [("k4", "8 cancel"), ("k5", "9")])
    service.done(5)
    eventually("one waits for its third run, a letter is open", 20, lambda: service.sql("SELECT attempt FROM bus_key WHERE state = 1") == [(2,)] and
               len(service.letters()) == 1)
    eventually("all is sent", 20, lambda: service.metric("bus_outbox_rows") == 0)
    service.stop()
    sent = records(service, "states.events")
    delete_before(lab, "states.events", 3)

    service.environment["ECHO_FIXED"] = "1"
    told = rebuild(service, "--replace")
    equal(told["differing_tables"], 0, f"tables that differ {told['tables']} {told['rows']}")
    equal({t["table"]: t["new_rows"] for t in told["tables"]}, {"bus_body": 0, "bus_discarded": 0, "bus_key": 2, "bus_letter": 1, "bus_parked": 4, "bus_schedule": 1, "effect": 5,
                                                               "last": 4}, "rows compared")
    equal([(s["to_send"], s["same"], s["replaced"]) for s in told["stores"]], [(0, True, True)], "what is left to send")

    service.start()
    eventually("all is sent", 20, lambda: service.metric("bus_outbox_rows") == 0)
    equal(len(records(service, "states.events")), len(sent) - 3, "nothing is sent again")
    bus_json(service, "dlq", "redrive", "--wait", "40s", "--all", "-s", "states", "--yes")
    service.done(7)
    eventually("all is sent", 20, lambda: service.metric("bus_outbox_rows") == 0)
    service.stop()
    equal(service.sql("SELECT number FROM effect WHERE key = 'k2' ORDER BY pos"), [(4,), (5,)], "the letter's key goes on, in order")
    equal(len(records(service, "states.events")), len(sent) - 3 + 2, "what they emit leaves")


@test
def bus_transacts_mark_outlives_the_file(lab):
    service = lab.service("marked", env={"TELLER_NAME": "marked"})
    service.program = os.path.join(BUILD, "tests", "services", "teller")
    make_topics(service)
    subprocess.run([service.program, "callers", "2", "5", *service.arguments()], env=service.environment, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, timeout=60, check=True)
    lose(service)
    text = rebuild_says(service, status=REFUSED)
    check("bus_transact wrote" in text and "--incomplete" in text, "refused, with a way that works:", text)
    told = rebuild(service, "--incomplete", "--replace")
    equal([s["replaced"] for s in told["stores"]], [True], "the way works")
    service.start().stop()


@test
def a_refused_start_leaves_nothing_to_compare_with(lab):
    """The store is lost, a start is refused and names the rebuild: what that start has made is no old store."""
    service = make_topics(lab.service("refused"), 1)
    lab.kafka.produce("refused.commands", [("k", str(n)) for n in range(1, 11)])
    service.start().done(10)
    service.idle()
    service.stop()
    lose(service)
    service.start(ready=False)
    equal(service.ended(), REFUSED, "without its store it does not start")
    check(os.path.exists(store(service)), "it has made a store")
    told = rebuild(service, "--replace")
    equal([(s["compared"], s["replaced"], s["to_send"]) for s in told["stores"]], [(False, True, 0)], "the rebuild replaces it")
    service.start().stop()
    equal(service.sql("SELECT count(*), min(times), max(times) FROM effect"), [(10, 1, 1)], "effects")


@test
def a_letter_that_ended_another_way_is_not_replaced(lab):
    """No old store is there to compare with: the dead-letter topic tells that a run went another way."""
    service = make_topics(lab.service("otherwise", reject__ratio__percent=0), 1)
    lab.kafka.produce("otherwise.commands", [("k", "1 broken"), ("k", "2")])
    service.start().done(1)
    eventually("a letter is open", 20, lambda: len(service.letters()) == 1)
    service.stop()
    service.environment["ECHO_FIXED"] = "1"
    service.start()
    bus_json(service, "dlq", "redrive", "--wait", "40s", "--all", "-s", "otherwise", "--yes")
    service.done(2)
    service.idle()
    service.stop()
    lose(service)
    del service.environment["ECHO_FIXED"]
    told = rebuild(service, "--replace", status=PARTIAL)
    equal((told["differing_letters"], [s["replaced"] for s in told["stores"]]), (1, [False]), "a run that fails now")
    done = subprocess.run([service.program, "--rebuild", *service.arguments()], env=service.environment, capture_output=True, text=True, timeout=60)
    equal(done.returncode, REFUSED, "in place")
    check("1 dead letters differ" in done.stderr and "--incomplete" in done.stderr, "it says so:", done.stderr)
    check(not os.path.exists(store(service)), "nothing is put in place")
    service.environment["ECHO_FIXED"] = "1"
    told = rebuild(service, "--replace")
    equal((told["differing_letters"], [s["replaced"] for s in told["stores"]]), (0, [True]), "as it was")
    service.start().stop()
    equal(service.sql("SELECT count(*) FROM effect"), [(2,)], "effects")


@test
def a_lost_store_whose_log_has_lost_its_start(lab):
    """Neither the copy nor the topics are whole: there is a way all the same, and it is named."""
    service = make_topics(lab.service("circle"), 1)
    lab.kafka.produce("circle.commands", [("k", str(n)) for n in range(1, 11)])
    service.start().done(10)
    service.idle()
    service.stop()
    delete_before(lab, "circle.commands", 4)
    lose(service)
    service.start(ready=False)
    equal(service.ended(), REFUSED, "without its store it does not start")
    check("bus rebuild" in service.last_words(), "and names the way:", service.last_words())
    text = rebuild_says(service, status=REFUSED)
    check("begins at offset 4" in text and "--incomplete" in text, "the rebuild names the next:", text)
    told = rebuild(service, "--incomplete", "--replace")
    equal([(s["replaced"], s["to_send"]) for s in told["stores"]], [(True, 0)], "it works, and sends nothing again")
    lab.kafka.produce("circle.commands", [("k", "11")])
    service.start().done(7)
    service.idle()
    service.stop()
    equal([n for n, in service.sql("SELECT number FROM effect ORDER BY number")], [5, 6, 7, 8, 9, 10, 11], "what the log still had")
    equal(len(records(service, "circle.events")), 11, "events")


@test
def as_many_shards_as_the_program_declares(lab):
    service = make_topics(lab.service("halved"))
    service.start().stop()
    service.properties["shards"] = 2
    text = rebuild_says(service, status=REFUSED)
    check("has 1 partitions but halved has 2 shards" in text, "refused:", text)


main("e-rebuild", at_once=3)
