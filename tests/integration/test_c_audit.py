#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The audit itself: a service that ran through kills, retries and dead letters has no violation, also while it runs; and each
thing that must never be, done to a store by hand, is found and named."""
import json
import os
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from lab import BUS, check, equal, eventually, keyed, main, test  # noqa: E402

INVARIANTS = """-- once: an event takes effect once
SELECT event_id, 'took effect ' || times || ' times' FROM "{name}".effect WHERE times <> 1;

-- complete: what was delivered took effect, waits or is a dead letter
SELECT d.event_id, d.topic || '/' || d.partition || '@' || d.offset FROM delivered d WHERE d.service = '{name}'
 AND NOT EXISTS (SELECT 1 FROM "{name}".effect e WHERE e.event_id = d.event_id)
 AND NOT EXISTS (SELECT 1 FROM waiting w WHERE w.service = '{name}' AND w.event_id = d.event_id)
 AND NOT EXISTS (SELECT 1 FROM dead x WHERE x.service = '{name}' AND x.event_id = d.event_id AND x.state <> 'resolved');

-- in_order: a key's numbers rise
SELECT key, disorder || ' of its numbers did not rise' FROM "{name}".last WHERE disorder <> 0;
"""
TOLD = """
-- told: what was handled made it emit (not for one that has rows in its outbox)
SELECT d.event_id, d.topic || '/' || d.partition || '@' || d.offset FROM delivered d WHERE d.service = '{name}'
 AND NOT EXISTS (SELECT 1 FROM emitted e WHERE e.service = '{name}' AND e.cause = d.event_id)
 AND NOT EXISTS (SELECT 1 FROM waiting w WHERE w.service = '{name}' AND w.event_id = d.event_id)
 AND NOT EXISTS (SELECT 1 FROM dead x WHERE x.service = '{name}' AND x.event_id = d.event_id AND x.state <> 'resolved');
"""
KEYS = [f"k{i}" for i in range(6)]


def audit(*services, code=None, watch=False, more=""):
    """Its report, after having checked the exit code."""
    command = [BUS, "audit", "--bootstrap", services[0].kafka.servers, "-q", "-o", "json"]
    data = services[0].data
    for service in services:
        path = os.path.join(service.lab.work, service.name + ".sql")
        with open(path, "w") as file:
            file.write((INVARIANTS + more).format(name=service.name))
        command += ["--service", service.name, "--invariants", path]
        if service.data != data: # each test service has a directory of its own; the audit takes one
            link = os.path.join(data, service.name)
            if not os.path.exists(link):
                os.symlink(os.path.join(service.data, service.name), link)
    done = subprocess.run([*command, "--data", data, *(["--watch"] if watch else [])], capture_output=True, text=True, timeout=60)
    check(done.returncode in (0, 3), "bus audit ran", done.returncode, done.stderr)
    report = json.loads(done.stdout)
    found = [f for f in report["findings"] if f["state"] == "violated"]
    equal(done.returncode, 3 if found else 0, "exit code of bus audit")
    if code is not None:
        equal((done.returncode, found), (code, found if code else []), "bus audit")
    return report


def rules(report):
    return {f["rule"] for f in report["findings"] if f["state"] == "violated"}


def named(report, rule):
    return [f"{f['where']} {f['id']} {f['what']}" for f in report["findings"] if f["rule"] == rule]


def meddle(service, *statements, shard=0):
    db = sqlite3.connect(os.path.join(service.data, service.name, f"{shard}.db"))
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


def left_with_rows(service, first=1):
    """A process that dies between commit and sending: its outbox is full."""
    events, numbers = keyed(KEYS, 30, first=first)
    service.kafka.produce(service.topic("commands"), events)
    for n in range(1, 6):
        service.start(failpoint="after-commit:1", ready=False)
        service.ended()
        if len(service.sql("SELECT id FROM bus_outbox")) >= 3:
            return numbers
    check(False, "a killed process leaves rows in its outbox")

OUTBOX = ("bus_outbox_0", "bus_outbox_1") # tables by turns; bus_outbox is their view


@test
def clean(lab):
    service = lab.service("clean", shards=2).make_topics()
    reader = lab.service("clean-reader", shards=2, env={"ECHO_TYPED": service.topic("events")}).make_topics()
    words = {3: " retry:1", 7: " reject", 11: " retry:9", 17: " schedule:50"}
    events, _ = keyed(KEYS, 600, word=lambda key, number: words.get(number % 23, ""))
    service.kafka.produce(service.topic("commands"), events)
    reader.start()
    for failpoint in ("after-commit:2", "acked:9", "before-commit:3"):
        service.start(failpoint=failpoint, ready=False).ended()
        audit(service, reader, code=0) # whatever is in the outbox is in flight, not lost
    service.start()
    running = audit(service, reader, code=0, watch=True)
    service.idle(30)
    eventually("scheduled events have left", 10, lambda: not service.sql("SELECT 1 FROM bus_schedule"))
    service.idle(10)
    reader.idle(30)
    report = audit(service, reader, code=0)
    totals = {(t["service"], t["topic"]): t for t in report["totals"]}
    mine = totals[("clean", "clean.commands")]
    equal((mine["records"], mine["unread"], mine["waiting"]), (600, 0, 0), "totals of clean.commands")
    equal(mine["processed"] + mine["dead"], 600, "processed and dead of clean.commands")
    check(mine["dead"] > 0, "some letters")
    equal(totals[("clean-reader", "clean.events")]["unread"], 0, "unread of clean.events")
    print(f"       clean: {report['totals']}; while it ran {running['looks']} look(s)")


@test
def what_is_in_flight_is_no_violation(lab):
    service = lab.service("flying").make_topics().start()
    service.idle()
    service.stop()
    stays = "-- stays: nothing\nSELECT 'it', 'is there at each look';\n"
    passes = "-- passes: nothing\nSELECT hex(randomblob(8)), 'another at each look';\n"
    path = os.path.join(lab.work, "flying.sql")
    for text, code, states in ((stays + passes, 3, {("stays", "violated"), ("passes", "in flight")}), (passes, 0, {("passes", "in flight")})):
        with open(path, "w") as file:
            file.write(text)
        done = subprocess.run([BUS, "audit", "--bootstrap", service.kafka.servers, "--data", service.data, "--service", service.name, "--invariants", path,
                               "--watch", "--within", "1s", "-q", "-o", "json"], capture_output=True, text=True, timeout=60)
        equal(done.returncode, code, done.stderr)
        report = json.loads(done.stdout)
        equal({(f["rule"], f["state"]) for f in report["findings"]}, states, "what was found")
        equal((report["violations"], report["in_flight"]), (1 if code else 0, 1), "how many")
        check(report["looks"] > 1, "the last look began when the time was over", report["looks"])


@test
def a_deleted_outbox_row(lab):
    service = lab.service("deleted").make_topics()
    left_with_rows(service)
    audit(service, code=0)
    topic, partition, seq, row = service.sql("SELECT d.topic, d.partition, o.seq, o.id FROM bus_outbox o JOIN bus_destination d"
                                             " ON d.id = o.destination ORDER BY o.id DESC")[0] # the last: nothing follows that would show a gap
    meddle(service, *(f"DELETE FROM {table} WHERE id = {row}" for table in OUTBOX))
    for after_restart in (False, True):
        if after_restart:
            service.start()
            service.idle()
        report = audit(service, code=3)
        equal(rules(report), {"lost"}, "rules")
        check(f"{topic}/{partition} seq {seq} " in named(report, "lost")[0], "the number is named:", seq, named(report, "lost"))


@test
def a_doubled_effect(lab):
    """A foreign producer repeats an event after the store has lost its memory of it."""
    service = lab.service("doubled").make_topics().start()
    events, _ = keyed(KEYS, 10)
    service.kafka.produce(service.topic("commands"), events)
    service.kafka.produce(service.topic("commands"), [("k0", "11")], headers=["ce_id=twice"])
    service.done(11)
    service.idle()
    service.stop()
    audit(service, code=0)
    meddle(service, "DELETE FROM bus_seen")
    service.kafka.produce(service.topic("commands"), [("k0", "11")], headers=["ce_id=twice"])
    service.start()
    eventually("it ran again", 15, lambda: service.sql("SELECT 1 FROM effect WHERE times > 1"))
    service.idle()
    report = audit(service, code=3)
    equal(rules(report), {"doubled", "once", "in_order"}, "rules")
    check("twice took effect 2 times" in named(report, "once")[0], "the event is named", named(report, "once"))
    emitted = next(r["headers"]["ce_id"] for r in service.kafka.consume(service.topic("events")) if r["headers"].get("ce_causationid") == "twice")
    check(f"event {emitted} was committed 2 times" in named(report, "doubled")[0], "what it emitted is named", named(report, "doubled"))


@test
def a_dropped_delivery(lab):
    service = lab.service("source").make_topics().start()
    reader = lab.service("dropper", env={"ECHO_TYPED": service.topic("events")}).make_topics().start()
    events, _ = keyed(KEYS, 30)
    service.kafka.produce(service.topic("commands"), events)
    reader.done(30)
    reader.idle()
    reader.stop()
    audit(service, reader, code=0)
    mark, high = reader.sql(f"SELECT id, high FROM bus_mark WHERE topic = '{service.topic('events')}' ORDER BY high DESC")[0]
    meddle(reader, f"UPDATE bus_mark SET high = high + 2 WHERE id = {mark}")
    report = audit(service, reader, code=3)
    equal(rules(report), {"ahead"}, "rules, before it does harm")
    check(f"the mark is {high + 2}, the highest number read is {high}" in named(report, "ahead")[0], "the mark is named", report)
    events, _ = keyed(KEYS, 30, first=31)
    service.kafka.produce(service.topic("commands"), events)
    service.done(60)
    service.idle()
    reader.start()
    eventually("it has read on", 20, lambda: reader.metric("bus_lag_messages") == 0 and reader.effects() >= 58)
    reader.idle()
    report = audit(service, reader, code=3)
    equal(rules(report), {"complete"}, "rules, when it is too late")
    equal(len(named(report, "complete")), 2, "dropped deliveries")
    # Kafka's position moved past what no mark settles
    reader.stop()
    meddle(reader, f"INSERT INTO bus_hole VALUES ({mark}, {high}, {high})")
    report = audit(service, reader, code=3)
    check(any(f"seq {high} was passed and not settled" in each for each in named(report, "unsettled")), "the number is named", report)


@test
def outputs_that_never_left(lab):
    """The store takes an event for its copy's: it is known before it comes, and never runs."""
    service = lab.service("swallowed").make_topics().start()
    events, _ = keyed(KEYS, 6)
    topic = service.topic("commands")
    service.kafka.produce(topic, events)
    service.done(6)
    service.idle()
    service.stop()
    audit(service, code=0, more=TOLD)
    partition = next(r["partition"] for r in service.kafka.consume(topic) if r["key"] == "k0")
    meddle(service, f"INSERT INTO bus_seen SELECT coalesce(max(n), 0) + 1, CAST('{topic}/{partition} ' AS BLOB), CAST('known' AS BLOB), 0 FROM bus_seen")
    service.kafka.produce(topic, [("k0", "7")], headers=["ce_id=known"])
    at = next(r for r in service.kafka.consume(topic) if r["headers"].get("ce_id") == "known")
    service.kafka.produce(service.topic("redrive"), [("k0", "7")], headers=["ce_id=known", "bus-command=replay run 0", "bus-hop=bus-replay/0#run swallowed.redrive/0/1",
                          f"bus-orig={topic}/{at['partition']}/{at['offset']}/1"])
    service.start()
    service.idle()
    report = audit(service, code=3, more=TOLD)
    equal(rules(report), {"complete", "told"}, "rules")
    check("known " in named(report, "told")[0], "it is named", named(report, "told"))
    check(f"first at {at['partition']}@{at['offset']}" in named(report, "silent")[0], "and noted", named(report, "silent"))


@test
def a_swapped_order(lab):
    service = lab.service("swapped").make_topics()
    left_with_rows(service)
    rows = service.sql("SELECT id, destination, seq FROM bus_outbox ORDER BY destination, id")
    first, second = next((a, b) for a, b in zip(rows[1:], rows[2:]) if a[1] == b[1])
    for table in OUTBOX:
        meddle(service, f"UPDATE {table} SET id = -1 WHERE id = {first[0]}", f"UPDATE {table} SET id = {first[0]} WHERE id = {second[0]}",
               f"UPDATE {table} SET id = {second[0]} WHERE id = -1")
    service.start()
    service.idle()
    report = audit(service, code=3)
    equal(rules(report), {"order"}, "rules")
    check(f"seq {second[2]} stands at offset" in " ".join(f"{f['id'].split(' ', 1)[1]} {f['what']}" for f in report["findings"]), "it is named", report)


@test
def an_uncommitted_record(lab):
    """A record in the name of a store that has never committed it, as a relay that sends before the commit would leave."""
    service = lab.service("early").make_topics().start()
    service.kafka.produce(service.topic("commands"), [("k", "1")])
    service.done(1)
    service.idle()
    source, seq = service.sql("SELECT 'early/0#' || name, next_seq FROM bus_incarnation, bus_numbered WHERE topic = 'early.events'")[0]
    topic = service.topic("events")
    service.kafka.produce(topic, [("k", "x")], headers=[f"bus-hop={source} {topic}/{service.kafka.consume(topic)[0]['partition']}/{seq}", "ce_id=e1"],
                          partition=service.kafka.consume(topic)[0]["partition"])
    report = audit(service, code=3)
    equal(rules(report), {"uncommitted"}, "rules")
    check("event e1 was never committed" in named(report, "uncommitted")[0], "it is named", report)


if __name__ == "__main__":
    main("audit", at_once=4)
