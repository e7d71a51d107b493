#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Strangers in the consumer group, two versions of a service in one group, and copies of a store that were taken while it ran."""
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from lab import BUS, Failure, check, equal, eventually, main, test
from instances import bus_json, make_topics, refused, reset, store

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


def put_back(service, kept):
    """The copies of both files, as files of their own."""
    for suffix in ("", "-wal", "-shm"):
        if os.path.exists(store(service) + suffix):
            os.remove(store(service) + suffix)
        if suffix != "-shm":
            shutil.copy(os.path.join(kept, "0.db" + suffix), store(service) + suffix)


def torn(lab, name, size):
    """The database is copied, a checkpoint passes, the log is copied; then it dies."""
    service = small(lab, name, wal__max__bytes=size)
    kept = service.data + "-torn"
    os.makedirs(kept)
    service.start()
    last = 0
    for copied in (False, True):
        since = service.metric("bus_checkpoints_total")
        while service.metric("bus_checkpoints_total") == since:
            lab.kafka.produce(f"{name}.commands", texts(last + 1, last + 200))
            last += 200
            service.done(last)
        if not copied:
            shutil.copy(store(service), kept)
    lab.kafka.produce(f"{name}.commands", texts(last + 1, last + 1)) # the log has begun again
    last += 1
    service.done(last)
    service.idle()
    shutil.copy(store(service) + "-wal", kept)
    service.kill()
    whole = service.data + "-whole"
    shutil.copytree(os.path.dirname(store(service)), whole)
    put_back(service, kept)
    for more in ({}, {"accept": "copy"}):
        code, text = refused(service, **more)
        equal(code, REFUSED, f"exit code with halves of two moments, {more} ({text})")
        check("not of one moment" in text and ".backup" in text and "bus rebuild" in text, "the message:", text)
    put_back(service, whole) # both of one moment, as the death left them, in another place
    service.start()
    service.says("copy_checked", "it is complete")
    lab.kafka.produce(f"{name}.commands", texts(last + 1, last + 2))
    service.done(last + 2)
    service.idle()
    service.kill() # and its own file after a death is not looked through
    service.start()
    equal([line for line in service.lines()[service.said_before:] if line.get("event") == "copy_checked"], [], "checks of its own file")
    service.stop()
    service.check_exactly_once({"k": list(range(1, last + 3))})


@test
def a_torn_copy_of_a_small_log(lab):
    torn(lab, "tornsmall", "64k")


@test
def a_torn_copy_of_a_log(lab):
    torn(lab, "torn", "1m")


@test
def a_damaged_copy_is_not_accepted(lab):
    """An older copy with a page of zeros: --accept=copy looks before it takes it, and an audit tells."""
    service = small(lab, "damaged")
    service.start()
    lab.kafka.produce("damaged.commands", texts(1, 300))
    service.done(300)
    service.idle()
    copy = backup(service)
    with sqlite3.connect(copy) as db:
        page = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'effect'").fetchone()[0]
    with open(copy, "r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(bytes(4096))
    lab.kafka.produce("damaged.commands", texts(301, 310))
    service.done(310)
    service.idle()
    service.stop()
    restore(service, copy)
    code, text = refused(service, accept="copy")
    check(code != 0 and "is damaged" in text and "bus rebuild" in text, "the message:", code, text)
    audit = subprocess.run([BUS, "audit", "--data", service.data, "--bootstrap", service.kafka.servers], capture_output=True, text=True, timeout=60)
    equal(audit.returncode, 3, f"exit code of the audit ({audit.stdout}{audit.stderr})")
    check("damaged" in audit.stdout and "1 violation" in audit.stdout, "the audit:", audit.stdout)


@test
def a_directory_that_is_removed(lab):
    """Under the running service: it ends before it tells Kafka more than a next process can find."""
    service = small(lab, "removed")
    service.start()
    lab.kafka.produce("removed.commands", texts(1, 10))
    service.done(10)
    service.idle()
    def told():
        return max(row["committed"] for row in bus_json(service, "lag", "removed", "--partitions") if row["topic"] == "removed.commands")
    eventually("Kafka knows", 10, lambda: told() == 10)
    shutil.rmtree(os.path.dirname(store(service)))
    since = time.monotonic()
    lab.kafka.produce("removed.commands", texts(11, 20))
    check(service.ended(20) != 0, "it ends by itself")
    print(f"noticed after {time.monotonic() - since:.1f} s")
    service.says("halted", "was removed or replaced while the service ran.*bus rebuild")
    equal(told(), 10, "the offset that Kafka was told")


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
