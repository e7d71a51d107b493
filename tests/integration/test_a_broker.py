#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A broker that is killed, away for a minute, absent at the start, or refuses a topic; and a service that is told to stop
meanwhile."""
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
import lab  # noqa: E402
from lab import Service, check, equal, eventually, keyed, test  # noqa: E402

KEYS = [f"k{i}" for i in range(10)]


def merge(into, more):
    for key, numbers in more.items():
        into.setdefault(key, []).extend(numbers)


def commands(service, events):
    service.kafka.produce(service.topic("commands"), events)


def stands_still(service, seconds=3):
    before = service.effects()
    time.sleep(seconds)
    equal(service.effects(), before, f"effects while {service.name} must not deliver")


def no_look_is_due(service):
    before = service.metric("bus_log_looks_total")
    time.sleep(1)
    return before is not None and service.metric("bus_log_looks_total") == before


@test
def away_for_a_minute(lab):
    """The outbox grows to its bound, then deliveries stop; the process stays, and goes on when the broker is back."""
    kafka = lab.broker()
    s = lab.service("minute", kafka=kafka, outbox__max__bytes="64k", batch__records=20).make_topics()
    events, numbers = keyed(KEYS, 2000, word=lambda key, number: " sleep:4")
    commands(s, events)
    s.start()
    eventually("work has begun", 20, lambda: s.effects() > 50)
    # A client that asks for metadata makes the shard look at its log before it delivers more, and without a broker no look ends.
    eventually("the last client has found its topics", 20, lambda: no_look_is_due(s))
    # A connection that breaks is such a sign, too: so the broker freezes first, and dies once the outbox is full.
    kafka.node("pause")
    told = s.says("outbox_full", "outbox.max.bytes.*nothing is lost", 30)
    kafka.node("kill")
    gone = time.monotonic()
    check("deliveries stop" in told, "what the message says", told)
    eventually("the outbox is at its bound", 10, lambda: s.metric("bus_outbox_bytes") >= 65536)
    check(s.metric("bus_outbox_bytes") < 65536 * 2, "the outbox is bounded:", s.metric("bus_outbox_bytes"))
    time.sleep(1.5) # rows that were acknowledged before, and are deleted now, make room
    stands_still(s)
    eventually("not ready", 30, lambda: s.get("/readyz") is None)
    check(s.get("/healthz"), "a process that waits for its broker is healthy")
    time.sleep(max(0, 62 - (time.monotonic() - gone)))
    equal(s.process.poll(), None, "the process after a minute without broker")
    check(s.effects() < 2000, "events are left for afterwards:", s.effects())
    kafka.node("start")
    s.done(2000, 60)
    s.wait_ready(30)
    s.idle(30)
    s.check_exactly_once(numbers)
    s.stop()


@test
def killed_mid_flow(lab):
    kafka = lab.broker()
    s = lab.service("midflow", shards=2, kafka=kafka, batch__records=50).make_topics()
    numbers, count = {}, 0
    s.start()
    for _ in range(2):
        events, more = keyed(KEYS, 800, first=count + 1, word=lambda key, number: " retry:1" if number % 100 == 0 else " sleep:10")
        merge(numbers, more)
        commands(s, events)
        eventually("it is amid them", 30, lambda: s.effects() > count + 100)
        kafka.node("kill")
        check(s.effects() < count + 800, "the broker went amid the flow:", s.effects())
        time.sleep(1)
        kafka.node("start")
        count += 800
    s.done(count, 90)
    s.idle(30)
    s.check_exactly_once(numbers)
    equal(s.lines("gap"), [], "gap alarms")
    s.stop()


@test
def both_killed(lab):
    """The service is killed at random moments, and the broker, too."""
    kafka, dice = lab.broker(), random.Random(7)
    s = lab.service("both", shards=2, kafka=kafka, batch__records=20, retry__grace__ms=1000).make_topics()
    events, numbers = keyed(KEYS, 3000, word=lambda key, number: " retry:1" if number % 50 == 0 else " sleep:5")
    commands(s, events)
    s.start(ready=False)
    for turn in range(8):
        before = s.effects()
        eventually("it goes on", 60, lambda: s.effects() > before + 30)
        time.sleep(dice.random() * 0.2)
        s.kill()
        if turn in (2, 5):
            kafka.node("kill")
            s.start(ready=False)
            time.sleep(1)
            kafka.node("start")
        else:
            s.start(ready=False)
    check(s.effects() < 3000, "they were killed amid the work:", s.effects())
    s.done(3000, 60)
    s.idle(30)
    s.check_exactly_once(numbers)
    equal(s.lines("gap"), [], "gap alarms")
    s.stop()


@test
def absent_at_start(lab):
    port = 20012 + random.randrange(600) * 20 # below those that the system gives, and not where scripts/kafka looks for a block
    s = Service(lab, "early", kafka=None)
    s.properties["bootstrap.servers"] = f"127.0.0.1:{port}"
    s.start(ready=False)
    told = s.says("broker_away", f"no broker answers at 127.0.0.1:{port}: waiting")
    check("bootstrap.servers" in told, "the message says what to do:", told)
    equal(s.get("/readyz"), None, "ready without broker")
    check(s.get("/healthz"), "healthy without broker")
    check(s.stop(30) < 10, "SIGTERM ends a process that waits for its broker")
    s.start(ready=False)
    s.says("broker_away", "waiting")
    s.kafka = lab.broker(port=port)
    s.make_topics()
    s.wait_ready(30)
    events, numbers = keyed(KEYS, 50)
    commands(s, events)
    s.done(50)
    s.idle()
    s.check_exactly_once(numbers)
    s.stop()


@test
def stopped_amid_work(lab):
    """SIGTERM lets the handler end and what is committed leave, within 10 s; with the broker down, too."""
    kafka = lab.broker()
    s = lab.service("stops", kafka=kafka, batch__records=10, drain__timeout__ms=3000).make_topics()
    events, numbers = keyed(KEYS, 600, word=lambda key, number: " sleep:10")
    commands(s, events)
    s.start()
    eventually("work has begun", 20, lambda: s.effects() > 30)
    check(s.stop(30) < 10, "drained with the broker up")
    first = s.effects()
    check(first < 600, "it was amid its work", first)
    equal(s.sql("SELECT id FROM bus_outbox"), [], "rows left after a drain with the broker up")
    committed = kafka.tool("kafka-consumer-groups", "--describe", "--group", "stops", "--offsets").splitlines()
    at = sum(int(line.split()[3]) for line in committed if line.split()[1:2] == ["stops.commands"])
    equal(at, first, "offsets committed by the drain")
    s.start()
    eventually("it goes on", 20, lambda: s.effects() > first + 30)
    kafka.node("kill")
    eventually("something waits in the outbox", 20, lambda: s.sql("SELECT 1 FROM bus_outbox LIMIT 1"))
    check(s.stop(30) < 10, "stopped with the broker down")
    s.says("not_drained", "leaves after the next start")
    second = s.effects()
    s.start(ready=False)
    s.says("broker_away", "waiting")
    check(s.stop(30) < 10, "stopped while waiting for the broker")
    equal(s.effects(), second, "effects without broker")
    kafka.node("start")
    s.start(ready=False)
    s.done(600, 60)
    s.idle(30)
    s.check_exactly_once(numbers)
    s.stop()


def deny(kafka, topic):
    kafka.tool("kafka-acls", "--add", "--deny-principal", "User:ANONYMOUS", "--operation", "Write", "--topic", topic)


def allow(kafka, topic):
    kafka.tool("kafka-acls", "--remove", "--force", "--deny-principal", "User:ANONYMOUS", "--operation", "Write", "--topic", topic)


@test
def dead_letters_denied(lab):
    """While nobody may write to the dead-letter topic, all else flows; the letters wait in the outbox and arrive afterwards."""
    s = lab.service("denied").make_topics().start()
    commands(s, [("a", "1 reject"), ("b", "1")])
    s.done(1)
    eventually("the first letter", 10, s.letters)
    deny(lab.kafka, "denied.dlq")
    events, numbers = keyed(KEYS, 300, first=2, word=lambda key, number: " reject" if number % 10 == 0 else "")
    rejected = {int(value.split()[0]) for _, value in events if "reject" in value}
    numbers = {key: [n for n in each if n not in rejected] for key, each in numbers.items()}
    numbers.setdefault("b", []).append(1)
    commands(s, events)
    s.done(1 + 300 - len(rejected))
    told = s.says("relay_failed", "denied.dlq/0")
    check("sent again until it is acknowledged" in told, "the message says what becomes of it:", told)
    eventually("the others' events leave", 20, lambda: len({r["headers"]["ce_id"] for r in lab.kafka.consume("denied.events")}) == 301 - len(rejected))
    eventually("only letters wait", 10, lambda: len(s.sql("SELECT 1 FROM bus_outbox")) == len(rejected))
    equal(s.sql("SELECT DISTINCT d.topic FROM bus_outbox o JOIN bus_destination d ON d.id = o.destination"), [("denied.dlq",)], "what waits")
    allow(lab.kafka, "denied.dlq")
    s.says("relay_well", "denied.dlq/0", 30)
    s.idle(30)
    s.check_exactly_once(numbers)
    letters = {r["headers"]["bus-letter"].split(" ")[0] for r in s.letters()}
    equal(len(letters), 1 + len(rejected), "letters that arrived")
    s.stop()


@test
def output_denied(lab):
    """Rows for a topic that refuses them pile up to outbox.max.bytes; then deliveries stop, and go on when it takes them."""
    s = lab.service("pressed", outbox__max__bytes="64k", batch__records=20).make_topics().start()
    deny(lab.kafka, "pressed.events")
    events, numbers = keyed(KEYS, 1000)
    commands(s, events)
    s.says("outbox_full", "outbox.max.bytes", 30)
    stands_still(s, 2)
    check(s.effects() < 1000, "events wait in Kafka:", s.effects())
    check(s.metric("bus_lag_messages") > 0, "and show as lag")
    s.kill()
    allow(lab.kafka, "pressed.events")
    s.start()
    s.done(1000)
    s.idle(30)
    s.check_exactly_once(numbers)
    s.stop()


if __name__ == "__main__":
    lab.main("broker", "--acl", at_once=4)
