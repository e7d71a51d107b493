#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Strangers in the consumer group, two versions of a service in one group, and copies of a store that were taken while it ran."""
import os
import signal
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from lab import Failure, check, equal, eventually, main, test
from fleet import bus_json, make_topics, refused, reset, store

REFUSED = 5


def small(lab, name, **properties):
    """One shard, one partition: offsets are numbers less one."""
    return make_topics(lab.service(name, session__timeout__ms=6000, **properties), 1)


def texts(first, last, word=""):
    return [("k", f"{i} {word}".strip()) for i in range(first, last + 1)]


def stray(lab, service, topic):
    """kcat as a member of the service's group: it commits what it has read."""
    return lab.own(subprocess.Popen(["kcat", "-b", service.kafka.servers, "-q", "-X", "auto.commit.interval.ms=500",
                                     "-X", "auto.offset.reset=earliest", "-G", service.name, topic],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))


def leave(process):
    process.send_signal(signal.SIGTERM)
    process.wait(20)


def backup(service):
    """A copy of the running service's store, by SQLite's own means."""
    with sqlite3.connect(f"file:{store(service)}?mode=ro", uri=True) as source, sqlite3.connect(store(service) + ".backup") as copy:
        source.backup(copy)
    return store(service) + ".backup"


def restore(service, copy):
    for suffix in ("", "-wal", "-shm"):
        if os.path.exists(store(service) + suffix):
            os.remove(store(service) + suffix)
    os.rename(copy, store(service))


@test
def a_stray_member_has_nothing_skipped(lab):
    service = small(lab, "strayed")
    service.start()
    lab.kafka.produce("strayed.commands", texts(1, 5))
    service.done(5)
    lab.kafka.produce("strayed.commands", texts(6, 60, "sleep:50")) # kcat will be through with them long before
    kcat = stray(lab, service, "strayed.commands")
    said = service.says("strangers", "group strayed")
    check("rdkafka" in said, "the log names it:", said)
    eventually("bus services shows it, too", 20, lambda: [row["instance"] for row in bus_json(service, "services", "strayed")
                                                          if row["state"] == "stranger"] == ["rdkafka"])
    eventually("the metric tells", 10, lambda: service.metric("bus_group_strangers") == 1)
    leave(kcat)
    eventually("it has left", 20, lambda: service.metric("bus_group_strangers") == 0)
    service.done(60)
    service.idle()
    service.stop()
    service.check_exactly_once({"k": list(range(1, 61))})


@test
def a_stray_member_and_a_death(lab):
    """It died with a stray in the group, whose commit is the last: nobody skips by that, a person decides."""
    service = small(lab, "doubted")
    service.start()
    lab.kafka.produce("doubted.commands", texts(1, 5))
    service.done(5)
    kcat = stray(lab, service, "doubted.commands")
    service.says("strangers", "group doubted")
    service.kill()
    lab.kafka.produce("doubted.commands", texts(6, 20))

    def committed():
        rows = bus_json(service, "lag", "doubted", "--partitions")
        return any(row["topic"] == "doubted.commands" and row["committed"] == 20 for row in rows)
    eventually("the stray has committed the end", 30, committed)
    leave(kcat)
    code, text = refused(service)
    equal(code, REFUSED, f"exit code with an offset of nobody knows whom ({text})")
    check("offset 20" in text and "--accept=group-offsets" in text and "--accept=store-offsets" in text, "both ways out:", text)
    service.start(accept="store-offsets")
    service.done(20)
    service.idle()
    service.stop()
    service.check_exactly_once({"k": list(range(1, 21))})
    reset(service, "doubted.commands:0", 20) # Kafka's own tool on a stopped service works as ever
    service.start()
    lab.kafka.produce("doubted.commands", texts(21, 22))
    service.done(22)
    service.stop()


@test
def a_backup_of_a_running_service(lab):
    """Restored after a schedule has fired: nothing of the offsets has moved, and it is told apart all the same."""
    service = small(lab, "backed")
    service.start()
    lab.kafka.produce("backed.commands", [("k", "1 schedule:6000")])
    service.done(1)
    service.idle()
    equal(service.sql("SELECT count(*) FROM bus_schedule"), [(1,)], "it waits for its time")
    copy = backup(service)
    eventually("it has fired", 20, lambda: service.sql("SELECT count(*) FROM bus_schedule") == [(0,)])
    service.idle()
    service.stop()
    restore(service, copy)
    code, text = refused(service)
    equal(code, REFUSED, f"exit code with the backup ({text})")
    check("older copy" in text and "--accept=copy" in text and "bus rebuild" in text, "the message:", text)
    equal(len(lab.kafka.consume("backed.events")), 2, "what it said, once at once and once later")
    service.start(accept="copy")
    service.says("copy_accepted", "older copy")
    service.stop()
    service.start().stop() # without it from now on


@test
def a_poison_beside_a_slow_event(lab):
    """Both shards of a process run a handler when it dies; only one of them kills, and only that one becomes a letter."""
    service = make_topics(lab.service("poisoned", shards=2, session__timeout__ms=6000), 2)
    lab.kafka.produce("poisoned.commands", [("slow", "1 sleep:1500")], partition=0)
    lab.kafka.produce("poisoned.commands", [("poison", "2 crash"), ("poison", "3")], partition=1)
    lives = 0
    while lives < 10:
        service.start(ready=False)
        lives += 1
        try:
            service.ended(8)
        except Failure:
            break
    check(3 <= lives - 1 <= 5, "it dies of it three times, or once more:", lives - 1)
    service.wait_ready()
    service.done(2)
    service.idle()
    letters = [letter for letter in lab.kafka.consume("poisoned.dlq") if letter["headers"].get("__dlq.errors.class") == "crash"]
    equal([letter["key"] for letter in letters], ["poison"], "keys of the letters")
    equal(sorted(service.sql("SELECT number, times FROM effect")), [(1, 1), (3, 1)], "effects of both shards")
    service.stop()


main("e-members", at_once=4)
