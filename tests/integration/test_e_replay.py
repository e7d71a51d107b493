#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What tools and other people's records may not do: records that claim to be commands, copies at a service that lags, copies that fail,
letters whose event comes again, commands for nobody."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from lab import BUS, Failure, check, equal, eventually, main, test
from instances import bus_json, bus_says, group_tool, make_topics, records, reset

OK, PARTIAL, REFUSED = 0, 3, 5
LETTER = "11111111-2222-4333-8444-555555555555"


def effects(service):
    return sorted(service.sql("SELECT number, times, topic FROM effect"))


def bus_whole(service, *words, status):
    """What a command prints on both, and its exit code."""
    done = subprocess.run([BUS, *words, "--bootstrap", service.kafka.servers], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    if done.returncode != status:
        raise Failure(f"bus {' '.join(words)}: exit {done.returncode}, expected {status}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def tells_its_routes(service):
    """By its heartbeat, which is on its way when it has just begun."""
    eventually(f"{service.name} tells its routes", 20, lambda: subprocess.run(
        [BUS, "services", service.name, "--bootstrap", service.kafka.servers], capture_output=True, stdin=subprocess.DEVNULL).returncode == OK)


@test
def claimed_commands_are_events_of_their_topic(lab):
    service = make_topics(lab.service("guard", env={"ECHO_INPUTS": "front.commands,vault.commands", "ECHO_PASS": "1"}))
    reader = make_topics(lab.service("reader", env={"ECHO_INPUTS": "reader.none", "ECHO_TYPED": "guard.events"}))
    claims = ["bus-orig=vault.commands/0/0/1767225600000", f"bus-command=redrive {LETTER} 1", f"bus-letter={LETTER} 1 open"]
    lab.kafka.produce("front.commands", [("k", "1"), ("k", "2 broken")], headers=claims)
    lab.kafka.produce("front.commands", [("k", "3")], headers=["bus-orig=vault.commands/0/0/1767225600000", "bus-command=replay run 0"])
    service.start()
    reader.start()
    service.done(2)
    equal(effects(service), [(1, 1, "front.commands"), (3, 1, "front.commands")], "effects, by the topic they were handled as events of")
    equal(int(service.metric("bus_stray_headers_total")), 3, "records that claimed something")
    service.says("stray_header", "front.commands/")

    # A redriven event whose handler passes its headers on: what it emits is an event, and arrives.
    service.stop()
    service.environment["ECHO_FIXED"] = "1"
    service.start()
    bus_says(service, "dlq", "redrive", "--all", "--service", "guard", "--yes", status=OK)
    service.done(3)
    reader.done(3)
    for record in lab.kafka.consume("guard.events"):
        equal(sorted(name for name in record["headers"] if name.startswith("bus-")), ["bus-hop"], "headers of what was emitted")
    service.stop()
    reader.stop()


@test
def copies_at_a_service_that_lags(lab):
    gate = os.path.join(lab.work, "gate")
    service = make_topics(lab.service("late", env={"ECHO_GATE": gate}))
    lab.kafka.produce("late.commands", [("k", "1"), ("k", "2")], partition=0)
    service.start().done(2)
    service.idle()
    lab.kafka.produce("late.commands", [("k", "3 closed"), ("k", "4"), ("k", "5")], partition=0)
    service.says("paused", "the gate")

    ran = bus_json(service, "replay", "late.commands", "--to-service", "late", "--wait", "0")[0]
    equal((ran["matched"], ran["sent"], ran["early"]), (5, 2, 3), "what the tool sends of a range that the service has not come to the end of")
    # A tool that does not ask: the shard knows where it stands.
    for offset, number in ((2, "3 closed"), (3, "4")):
        lab.kafka.produce("late.redrive", [("k", number)], partition=0, headers=[
            f"bus-orig=late.commands/0/{offset}/1767225600000", "bus-command=replay other 0", f"bus-hop=bus-replay/0#other late.redrive/0/{offset - 1}"])
    eventually("both are refused", 20, lambda: service.metric("bus_replays_refused_total") == 2)
    open(gate, "w").close()
    service.done(5)
    service.idle()
    times = {number: many for number, many, _ in effects(service)}
    equal(times, {1: 2, 2: 2, 3: 1, 4: 1, 5: 1}, "effects, those of copies included")
    equal(len(lab.kafka.consume("late.events")), 5, "events emitted: each event's, no copy's")
    equal(service.letters(), [], "letters")
    service.stop()


@test
def copies_that_fail(lab):
    service = make_topics(lab.service("again", retry__tiers="100ms,60s"))
    lab.kafka.produce("again.commands", [("k", "1 fresh"), ("k", "2"), ("k", "3 fresh"), ("k", "4 fresh")], partition=0)
    service.start().done(4)
    service.idle()
    tells_its_routes(service)
    said = bus_whole(service, "replay", "again.commands", "--to-service", "again", "--max-failures", "2", status=PARTIAL)
    check("its handler runs again" in said and "2 copies failed" in said, "it says what copies meet, and what became of them", said)
    lab.kafka.produce("again.commands", [("k", "5")], partition=0) # of the same key: it does not wait behind a copy
    service.done(5)
    service.idle()
    letters = bus_json(service, "dlq", "list", "again", "--letters")
    equal(len(letters), 2, "letters: the third copy that would fail is not run")
    for letter in letters:
        whole = bus_json(service, "dlq", "show", letter["id"])
        whole = whole[0] if isinstance(whole, list) else whole
        check(whole["replay"] and whole["error_class"] == "replay", "a copy's letter names its run", whole)

    bus_whole(service, "dlq", "redrive", "--all", "--service", "again", "--yes", status=PARTIAL) # fails again: it is still a copy
    eventually("the letters failed again as copies", 15, lambda: {row[0] for row in service.sql("SELECT round FROM bus_letter")} == {2})
    equal(len(lab.kafka.consume("again.events")), 5, "events emitted")
    equal({number: many for number, many, _ in effects(service)}, {1: 1, 2: 2, 3: 1, 4: 1, 5: 1}, "effects")
    service.stop()


@test
def copies_that_nobody_wants(lab):
    service = make_topics(lab.service("stock", env={"ECHO_REPLAY": "refuse"}))
    lab.kafka.create("foreign.commands", 1)
    lab.kafka.produce("foreign.commands", [("k", str(n)) for n in range(20)])
    lab.kafka.produce("stock.commands", [("k", "1"), ("k", "2")], partition=0)
    service.start().done(2)
    service.idle()
    tells_its_routes(service)
    said = bus_whole(service, "replay", "stock.commands", "--to-service", "stock", status=REFUSED)
    check(".replay = BUS_REPLAY_RUN" in said, "a route that does not say that its handler may run again", said)
    said = bus_whole(service, "replay", "foreign.commands", "--to-service", "stock", status=REFUSED)
    check("does not read foreign.commands" in said, "a topic that the service does not read", said)
    equal(records(service, "stock.redrive"), [], "copies sent")
    service.stop()


@test
def letters_whose_event_comes_again(lab):
    service = make_topics(lab.service("twice", retry__tiers="300s"))
    lab.kafka.create("pairs.commands", 4)
    pairs = make_topics(lab.service("pairs", env={"ECHO_INPUTS": "pairs.commands"}))
    lab.kafka.produce("twice.commands", [("k", "1 broken"), ("k", "2 retry:1"), ("k", "3")], partition=0)
    for partition in (0, 1): # one id on two partitions of a shard: two events, whatever happens
        lab.kafka.produce("pairs.commands", [("k", "1 broken")], partition=partition, headers=["ce_id=one", "ce_source=shop", "ce_type=x.Y"])
    service.start()
    pairs.start()
    eventually("a letter, and a key that waits", 20, lambda: len(service.letters()) == 1 and service.sql("SELECT 1 FROM bus_key"))
    eventually("a letter each", 20, lambda: len(pairs.letters()) == 2)
    service.stop()
    pairs.stop()
    for each in (service, pairs):
        each.environment["ECHO_FIXED"] = "1"
    reset(service, "twice.commands:0", 0)
    service.start(retry__tiers="300s")
    pairs.start()
    service.says("offset_reset", "twice.commands/0")
    eventually("the log is read again", 20, lambda: service.at_the_end())
    bus_whole(service, "dlq", "redrive", "--all", "--service", "twice", "--yes", "--wait", "0", status=OK)
    bus_whole(pairs, "dlq", "redrive", "--all", "--service", "pairs", "--yes", status=OK)
    equal([many for number, many, _ in effects(pairs)], [2], "one id on two partitions: an effect each")
    eventually("the letter is redriven", 20, lambda: service.sql("SELECT 1 FROM bus_letter WHERE state = 2"))
    equal([row for row in effects(service) if row[1] > 1], [], "effects more than once")
    equal(len(service.sql("SELECT 1 FROM bus_parked WHERE event_id IN (SELECT event_id FROM bus_letter)")), 1, "of the letter's event one waits: that redriven")
    service.stop()
    pairs.stop()


@test
def commands_for_nobody(lab):
    service = make_topics(lab.service("former"))
    lab.kafka.produce("former.commands", [("k", "1 broken"), ("k", "2 broken")], partition=0)
    service.start()
    eventually("letters", 20, lambda: len(service.letters()) == 2)
    first, second = (letter["id"] for letter in bus_json(service, "dlq", "list", "former", "--letters"))
    service.stop()
    # A static member is one until its session ends.
    eventually("the group has no member", 30, lambda: "Empty" in group_tool(service, "--describe", "--state"))
    said = bus_whole(service, "dlq", "redrive", first, "--wait", "1s", status=PARTIAL)
    check("no process of former runs" in said, "a service that is stopped is told", said)
    group_tool(service, "--delete")
    said = bus_whole(service, "dlq", "redrive", second, "--wait", "1s", status=PARTIAL)
    check("nobody takes commands as former" in said and "not sent" in said, "a service that is gone is told", said)
    equal(len(records(service, "former.redrive")), 1, "commands sent")


main("e-replay", at_once=3)
