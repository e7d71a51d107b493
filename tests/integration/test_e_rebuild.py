#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A rebuild neither loses nor repeats nor changes: killed at each of its renames, without a file, after bus_transact."""
import os
import signal
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from lab import BUILD, check, equal, main, test
from fleet import bus_json, bus_says, make_topics, records, store

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
        service.says("swap_finished", "cut short: (finished|it had been done)")
        service.stop()
        equal(service.sql("SELECT count(*), min(times), max(times) FROM effect"), [(count, 1, 1)], f"effects after a kill at {point}")
        aside = [name for name in os.listdir(os.path.dirname(store(service))) if ".replaced-" in name and not name.endswith(("-wal", "-shm"))]
        with sqlite3.connect(os.path.join(os.path.dirname(store(service)), max(aside))) as db:
            equal((db.execute("PRAGMA integrity_check").fetchone()[0], db.execute("SELECT count(*) FROM effect").fetchone()[0]), ("ok", count),
                  "the old store, kept aside")
        db.close()
    equal(len({e["header"]["ce_id"] for e in records(service, "renamed.events")}), count, "events, by id")


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
def as_many_shards_as_the_program_declares(lab):
    service = make_topics(lab.service("halved"))
    service.start().stop()
    service.properties["shards"] = 2
    text = rebuild_says(service, status=REFUSED)
    check("has 1 partitions but halved has 2 shards" in text, "refused:", text)


main("e-rebuild", at_once=3)
