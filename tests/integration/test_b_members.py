#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Several processes of one service on one data directory: they come, go, are killed, stand still, and become a newer version."""
import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from lab import check, equal, eventually, main, test
from instances import Load, both, held, settled, total, twin

KEYS = [f"key-{i}" for i in range(40)]
SESSION_S = 6


@test
def join_and_leave_every_few_seconds(lab):
    """Each effect once, key order kept, nothing lost, however processes end."""
    first = lab.service("comings", shards=4, session__timeout__ms=SESSION_S * 1000).make_topics()
    second = twin(first)
    dice = random.Random(20261121)
    load = Load(first, first.topic("commands"), KEYS, 250, lambda key, number: "retry:1" if number % 97 == 0 else "")
    first.start()
    second.start(ready=False)
    ends = {"stop": 0, "kill": 0, "long": 0}
    for i in range(10):
        time.sleep(dice.uniform(1.0, 2.5))
        one, way = (first, second)[i % 2], ("kill", "stop", "kill", "long", "stop")[i % 5]
        if way == "kill":
            one.kill()
        else:
            one.stop()
        if way == "long": # past its session: the other one gets its shards
            other = second if one is first else first
            eventually(f"the other process has all shards; {other.last_words()}", SESSION_S + 8, lambda: len(held(other)) == 4)
        ends[way] += 1
        one.start(ready=False)
    check(min(ends.values()) >= 2, "each way to end was tried", ends)
    eventually("both serve shards again", 30, lambda: first.get("/readyz") and second.get("/readyz")
               and len(held(first)) + len(held(second)) >= 4)
    numbers = load.stop()
    settled([first, second], total(numbers))
    first.stop()
    second.stop()
    first.check_exactly_once(numbers)
    check(total(numbers) > 4000, "there was load", total(numbers))
    equal([line["msg"] for s in (first, second) for line in s.lines() if line.get("event") == "gap"], [], "no event was missed")


@test
def rolling_restart_into_one_more_topic(lab):
    """The old version and the new one share the shards for a while; none is read twice or left out."""
    old = lab.service("rolling", shards=4, session__timeout__ms=SESSION_S * 1000).make_topics()
    lab.kafka.create("rolling.more", 8)
    other = twin(old)
    old.start()
    other.start(ready=False)
    eventually(f"both processes have shards; {other.last_words()}", 30, lambda: len(held(old)) == 2 and len(held(other)) == 2)
    load = Load(old, "rolling.commands", KEYS, 200)
    more = Load(old, "rolling.more", [f"more-{i}" for i in range(20)], 100)
    for process in (old, other):
        time.sleep(2)
        process.stop()
        process.environment["ECHO_INPUTS"] = "rolling.commands,rolling.more"
        process.start()
        if process is old: # and back: the old version takes stores that the new one has written
            time.sleep(1)
            process.stop()
            eventually(f"the old version has all shards; {other.last_words()}", SESSION_S + 10, lambda: len(held(other)) == 4)
            time.sleep(1)
            process.start()
    eventually("both are of the new version", 30, lambda: len(held(old)) + len(held(other)) >= 4)
    time.sleep(1)
    numbers = both(load.stop(), more.stop())
    settled([old, other], total(numbers))
    equal({row[0] for row in old.sql("SELECT DISTINCT topic FROM effect")}, {"rolling.commands", "rolling.more"}, "topics read")
    old.stop()
    other.stop()
    old.check_exactly_once(numbers)


@test
def stopped_past_its_session_and_continued(lab):
    """The group gives the shards away, but the store's lock is what counts: nobody else writes until it releases it."""
    frozen = lab.service("frozen", shards=2, session__timeout__ms=SESSION_S * 1000).make_topics()
    awake = twin(frozen)
    frozen.start()
    awake.start(ready=False)
    eventually(f"each has a shard; {awake.last_words()}", 30, lambda: len(held(frozen)) == 1 and len(held(awake)) == 1)
    mine = min(held(frozen))
    load = Load(frozen, "frozen.commands", KEYS, 200)
    time.sleep(1.5)
    frozen.process.send_signal(signal.SIGSTOP)
    time.sleep(0.3)
    before = effects_of(frozen, mine)
    awake.says("shard_waits", rf"shard {mine} .*held by process {frozen.process.pid}", SESSION_S + 10)
    time.sleep(1)
    equal(effects_of(frozen, mine), before, "effects of a shard whose holder stands still")
    check(awake.get("/readyz") is None, "a process that cannot take a shard is not ready")
    frozen.process.send_signal(signal.SIGCONT)
    eventually(f"the shard went over; {awake.last_words()}", 20, lambda: mine in held(awake) or held(frozen) == {mine})
    eventually("its effects go on", 20, lambda: effects_of(frozen, mine) > before)
    time.sleep(1)

    # Again, and this time its end is what lets go.
    eventually(f"each has a shard; {frozen.last_words()}", 30, lambda: awake.get("/readyz") and frozen.get("/readyz")
               and len(held(frozen)) == 1 and len(held(awake)) == 1)
    mine = min(held(frozen))
    frozen.process.send_signal(signal.SIGSTOP)
    time.sleep(SESSION_S + 2)
    frozen.kill()
    eventually(f"the other has both; {awake.last_words()}", 15, lambda: len(held(awake)) == 2)
    numbers = load.stop()
    settled([awake], total(numbers))
    awake.stop()
    awake.check_exactly_once(numbers)


def effects_of(service, shard):
    return sum(row[0] for row in service.sql(f"SELECT count(*) FROM effect WHERE part % {service.shards} = {shard}"))


main("b-members")
