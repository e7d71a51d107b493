#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""kill -9 between every two steps of the loop. Every failpoint of the library kills a service under load, several times; it
is started again and again on the same store. At the end nothing may be lost or doubled, nor any key out of order."""
import glob
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
import lab  # noqa: E402
from lab import PROJECT, check, equal, eventually, test  # noqa: E402

KEYS = [f"k{i}" for i in range(12)]
ROUND = 4 * len(KEYS)                        # events in a round of load
AT_END = {"draining", "closing", "closed"}   # reached when the service is stopped
AT_START = {"claim-before-raise", "claim-before-commit", "claim-after-commit", "attached"}
LATER = {"scheduled"}                        # reached some time after its event was handled
# Reached once or twice a round of load, or seldom: a higher count would need more load than it is worth.
ONCE = {"store_checkpoint", "store_checkpoint_moved", "store_checkpointed", "letter-opened", "deleted", "before-delete", "before-offset-commit", "after-offset-commit"}


def failpoints():
    """The names in the sources, so that a new one is killed at without being listed here."""
    names = set()
    for path in glob.glob(os.path.join(PROJECT, "bus", "**", "*.c"), recursive=True):
        with open(path) as file:
            names.update(re.findall(r'\bBUI_FAILPOINT\("([^"]+)"\)', file.read()))
    elsewhere = ("swap-", "shrink-") # of a rebuild, of a store that is opened: test_e_rebuild and unit/shrink.c kill at them
    return sorted(name for name in names if not name.startswith(elsewhere))


class Load:
    """Rounds of keyed events, some of which fail a while, are given up, or plan a further event."""

    def __init__(self, service):
        self.service, self.number, self.numbers, self.dead = service, 0, {}, 0

    def send(self, rounds=1):
        events = []
        for _ in range(rounds):
            for i, key in enumerate(KEYS * 4):
                self.number += 1
                word = {5: " retry:1", 17: " retry:2", 23: " schedule:200", 29: " sql" if self.number % 5 == 0 else "", 41: " reject"}.get(i, "")
                events.append((key, f"{self.number}{word}"))
                if word in (" sql", " reject"):
                    self.dead += 1
                else:
                    self.numbers.setdefault(key, []).append(self.number)
        self.service.kafka.produce(self.service.topic("commands"), events)

    def count(self):
        return sum(len(each) for each in self.numbers.values())


def service_of(lab, name, **more):
    return lab.service(name, shards=2, batch__records=10, retry__attempts=3, wal__max__bytes="64k", retry__grace__ms=2000,
                       commit__interval__ms=20, reject__ratio__percent=0, log__level="info", **more).make_topics()


def die_at(service, load, name, n):
    """One process, killed when it reaches the failpoint the n-th time."""
    before = len(service.lines())
    trace = os.path.join(service.lab.work, f"{service.name}.{name}.trace")
    load.send(2)
    service.start(failpoint=f"{name}:{n}", trace=trace, ready=False)
    if name in AT_END:
        service.wait_ready()
        service.process.terminate()
    code = None
    for more_load in range(12):
        try:
            code = service.process.wait(2 if name not in AT_START else 15)
            break
        except Exception: # still alive: it needs more to do
            if name in AT_END:
                continue
            load.send(1)
    if code is None:
        service.kill()
    said = [line["msg"] for line in service.lines()[before:] if line.get("level") == "error"]
    equal(code, -9, f"end of a process that was to be killed at {name}:{n}; errors: {said}")
    with open(trace) as file:
        check(name in file.read().split(), f"the trace shows {name}")


def sweep(lab, service_name, names, counts):
    service = service_of(lab, service_name)
    load = Load(service)
    for name in names:
        for n in counts:
            if n > 1 and name in ONCE | AT_START | AT_END:
                continue
            die_at(service, load, name, n)
    service.start()
    load.send(1)
    service.done(load.count(), 60)
    eventually("letters of all that was given up", 20, lambda: service.sql("SELECT sum(n) FROM (SELECT count(*) n FROM bus_letter)") and
               sum(row[0] for row in service.sql("SELECT count(*) FROM bus_letter")) == load.dead)
    eventually("planned events have left", 20, lambda: not service.sql("SELECT 1 FROM bus_schedule"))
    service.idle(30)
    check_all(service, load)
    service.stop()
    copies = check_reader(service, load)
    print(f"       {service_name}: killed at {', '.join(names)}; {load.number} events, {copies} copies dropped by the reader")


def check_all(service, load):
    service.check_exactly_once(load.numbers, emitted=False)
    equal(service.sql("SELECT id FROM bus_outbox"), [], "rows left in the outbox")
    equal(service.sql("SELECT key_id FROM bus_parked"), [], "events left parked")
    equal([line["msg"] for line in service.lines("gap")], [], "gap alarms")
    effects = {row[0] for row in service.sql("SELECT event_id FROM effect")}
    ids = {}
    hops = {}
    planned = set()
    for record in service.kafka.consume(service.topic("events")):
        headers = record["headers"]
        hops.setdefault(headers["bus-hop"], set()).add(headers["ce_id"])
        if record["key"] in effects:   # a planned event has its cause as key
            planned.add((record["key"], headers["ce_id"]))
        else:
            ids.setdefault(headers["ce_causationid"], set()).add(headers["ce_id"])
    equal(set(ids), effects, "causes of emitted events")
    equal([c for c, made in ids.items() if len(made) != 1], [], "causes with more than one event")
    equal([h for h, made in hops.items() if len(made) != 1], [], "hops that name more than one event")
    equal(len(planned), len({cause for cause, _ in planned}), "planned events, one for each cause")
    equal(len(planned), load.number // ROUND, "planned events")
    letters = {}
    for record in service.letters():
        letters.setdefault(record["headers"]["bus-letter"].split(" ")[0], set()).add(record["headers"]["bus-hop"])
    equal(len(letters), load.dead, "letters on the topic")


def check_reader(service, load):
    """Another service reads what the killed one emitted: copies are dropped, nothing is missing, keys are in order."""
    reader = service.lab.service(service.name + "-reader", shards=2, env={"ECHO_TYPED": service.topic("events")}).make_topics().start()
    reader.done(load.count() + load.number // ROUND)
    reader.idle()
    equal(reader.sql("SELECT event_id FROM effect WHERE times != 1"), [], "events that took effect twice")
    equal(reader.sql("SELECT key FROM last WHERE disorder != 0"), [], "keys out of order at the reader")
    equal(reader.metric("bus_gap_events_total"), 0, "gaps at the reader")
    records = len(service.kafka.consume(service.topic("events")))
    copies = records - load.count() - load.number // ROUND
    equal(reader.metric("bus_duplicates_dropped_total"), copies, f"copies dropped, of {records} records")
    return copies


def share(index, of=4):
    return [name for i, name in enumerate(failpoints()) if i % of == index]


@test
def every_step_1(lab):
    sweep(lab, "steps-a", share(0), (1, 7))


@test
def every_step_2(lab):
    sweep(lab, "steps-b", share(1), (1, 7))


@test
def every_step_3(lab):
    sweep(lab, "steps-c", share(2), (1, 7))


@test
def every_step_4(lab):
    sweep(lab, "steps-d", share(3), (1, 7))


@test
def steps_are_many(lab):
    """The list is read from the sources: it must not shrink unseen."""
    names = failpoints()
    check(len(names) >= 28, "failpoints in bus/:", names)
    for step in ("after-begin", "handler", "handled", "released", "before-commit", "store_commit", "store_committed", "after-commit", "produced",
                 "after-produce", "acked", "before-delete", "deleted", "before-offset-commit", "after-offset-commit", "claim-before-raise",
                 "claim-before-commit", "claim-after-commit", "attached", "draining", "closing", "closed", "store_checkpoint", "store_checkpointed"):
        check(step in names, f"failpoint {step} is in the sources")


if __name__ == "__main__":
    lab.main("kills", at_once=4)
