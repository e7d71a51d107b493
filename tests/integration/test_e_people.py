#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What people are shown is true: readiness, lag, ranges by time, and what the tools say of what is not there."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
import lab
from instances import bus, bus_json, bus_says, make_topics
from lab import BUS as lab_bus, check, equal, eventually, run, test

OK, FAILED, USAGE, PARTIAL, NOTHING = 0, 1, 2, 3, 4


def deny(kafka, topic, verb="--add"):
    more = ["--force"] if verb == "--remove" else []
    kafka.tool("kafka-acls", verb, *more, "--deny-principal", "User:ANONYMOUS", "--operation", "Read", "--topic", topic)


@test
def a_denied_topic_is_not_ready_until_it_is_read_again(lab):
    """Nothing new is on the topic: that it may be read again is noticed all the same."""
    s = lab.service("shut").make_topics().start()
    lab.kafka.produce("shut.commands", [("k", "1")])
    s.done(1)
    s.idle()
    deny(lab.kafka, "shut.commands")
    s.says("lane_failed", "shut.commands/0", 60)
    eventually("not ready", 20, lambda: s.get("/readyz") is None)
    deny(lab.kafka, "shut.commands", "--remove")
    s.says("lane_well", "shut.commands/0", 60)
    eventually("ready again", 30, lambda: s.get("/readyz"))
    check("shut.commands/0 cannot be read" in s.says("well", "over after"), "what is over is named")
    lab.kafka.produce("shut.commands", [("k", "2")])
    s.done(2)
    s.stop()


def lag(service):
    """topic -> its row of `bus lag`."""
    return {row["topic"]: row for row in bus_json(service, "lag", service.name)}


def within(service, most, status):
    bus(service, "lag", service.name, "--max", str(most), "-q", status=status)


@test
def lag_counts_what_is_parked(lab):
    """Events behind a held key are read and not done: a script that waits for 0 goes on waiting."""
    s = lab.service("keeper", env={"ECHO_HOLD": "1"}).make_topics().start()
    lab.kafka.produce("keeper.commands", [("k", "1 reject"), ("k", "2"), ("k", "3"), ("other", "4"), ("other", "5 schedule:3600000")])
    s.done(2)
    rows = eventually("everything is read, and told", 20, lambda: (r := lag(s)) and r["keeper.commands"]["lag"] == 0 and r["keeper.redrive"]["parked"] == 3 and r)
    equal({k: rows["keeper.redrive"][k] for k in ("lag", "parked", "held", "delayed")}, {"lag": 0, "parked": 3, "held": 1, "delayed": 1}, "what waits")
    equal(rows["keeper.commands"]["parked"], None, "a topic that is not the lead tells none")
    within(s, 2, PARTIAL)
    within(s, 3, OK)
    equal(bus(s, "lag", "keeper", "--max", "0", "-q", status=PARTIAL), "", "what -q prints")
    bus(s, "dlq", "discard", "--all", "--service", "keeper", "--reason", "test", "--yes")
    s.done(4)
    eventually("all is done", 20, lambda: lag(s)["keeper.redrive"]["parked"] == 0)
    within(s, 0, OK)
    s.stop()


@test
def lag_counts_to_the_end_of_the_log(lab):
    """Behind a transaction that nobody has ended, and on partitions that were added, records wait."""
    s = lab.service("ends").make_topics().start()
    lab.kafka.produce("ends.commands", [("k", "1")])
    s.done(1)
    s.idle()
    eventually("told", 20, lambda: lag(s)["ends.commands"]["lag"] == 0)
    s.stop()
    producer = lab.own(subprocess.Popen([lab.kafka.script, "tool", "kafka-producer-perf-test", "--topic", "ends.commands", "--num-records", "100000",
                                         "--record-size", "10", "--throughput", "5", "--transaction-duration-ms", "50000",
                                         "--bootstrap-server", lab.kafka.servers], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        stdin=subprocess.DEVNULL, start_new_session=True))
    eventually("records of an open transaction wait", 40, lambda: lag(s)["ends.commands"]["lag"] >= 4)
    os.killpg(producer.pid, 9)
    waiting = lag(s)["ends.commands"]["lag"]
    lab.kafka.add_partitions("ends.commands", 8)
    lab.kafka.produce("ends.commands", [("k", str(n)) for n in range(20)], partition=7)
    equal(lag(s)["ends.commands"]["lag"] - waiting, 20, "records on the partition that was added")
    equal(lag(s)["ends.commands"]["partitions"], 8, "partitions")


@test
def lag_tells_offsets_that_are_gone(lab):
    """What is unread of a topic cannot be counted without its offsets: that is not 0."""
    s = lab.service("forgot").make_topics().start()
    lab.kafka.produce("forgot.commands", [("k", "1")])
    s.done(1)
    s.idle()
    s.stop()
    within(s, 0, OK)
    lab.kafka.produce("forgot.commands", [("k", "2")])
    lab.kafka.tool("kafka-consumer-groups", "--delete-offsets", "--group", "forgot", "--topic", "forgot.commands")
    within(s, 0, PARTIAL)
    told = bus_says(s, "lag", "forgot", status=OK)
    check("offsets of 4 of its partitions are gone" in told, "it is told:", told)
    s.start()
    s.done(2)
    s.idle()
    eventually("all is counted again", 20, lambda: "forgot.commands" in lag(s))
    within(s, 0, OK)
    s.stop()


@test
def ranges_by_time_find_what_is_inside(lab):
    """Producers write what times they like: an event in the range stands behind one that is past it."""
    s = lab.service("hours")
    lab.kafka.create("hours.events", retention_ms=-1)  # its records are old: the broker would delete them
    lab.kafka.create("hours.copies")
    start = 1795000000000
    for minutes in (0, 10, 5, 20, 15, 7, 30):
        lab.kafka.produce_at("hours.events", start + minutes * 60000, f"m{minutes}")

    def between(first, last, *more, topic="hours.events"):
        text = bus(s, "consume", topic, f"@{start + first * 60000}:@{start + last * 60000}", "--raw", "-o", "json", *more)
        return [json.loads(line)["key"] for line in text.splitlines()]
    equal(between(5, 12), ["m10", "m5", "m7"], "events whose time is inside")
    equal(between(5, 12, "--in-order"), ["m10", "m5"], "up to the first that is past the end")
    told = bus_says(s, "consume", "hours.events", f"@{start + 300000}:@{start + 720000}", "--raw", status=OK)
    check("looked at and left out" in told, "what was assumed is said:", told)
    said = bus_json(s, "replay", "hours.events", f"@{start + 300000}:@{start + 720000}", "--to-topic", "hours.copies")[0]
    equal(said["acknowledged"], 3, "copies of what is inside")

    lab.kafka.delete_below("hours.events", 0, 2)
    told = bus_says(s, "consume", "hours.events", "1:", "--raw", status=OK)
    check("begins before the log does" in told, "a range that begins in what is deleted says so:", told)
    told = bus_says(s, "consume", "hours.events", "2:", "--raw", status=OK)
    check("begins before" not in told, "one that does not says nothing:", told)
    told = bus_says(s, "consume", "hours.events", "@1795000000:", "--raw", status=USAGE)
    check("milliseconds" in told and "@1795000000000" in told, "seconds are refused with the right form:", told)


@test
def headers_are_shown_as_they_are(lab):
    s = lab.service("heads")
    lab.kafka.create("heads.events")
    lab.kafka.produce("heads.events", [("k", "v")], headers=["a=1", "a=2", "one=x"])
    read = json.loads(bus(s, "consume", "heads.events", "--raw", "-o", "json"))
    equal(read["headers"], {"a": ["1", "2"], "one": "x"}, "headers")
    told = bus_says(s, "topics", "list", "heads.events", "nope", status=PARTIAL)
    check("there is no topic nope" in told, "what is absent is named:", told)
    bus_says(s, "topics", "list", "nope", status=NOTHING)


@test
def a_key_is_bytes(lab):
    s = lab.service("nul")
    lab.kafka.create("nul.events", 1)
    schema = os.path.join(lab.work, "nul.avsc")
    with open(schema, "w") as file:
        json.dump({"type": "record", "name": "nul.Said", "fields": [{"name": "who", "type": "string"}]}, file)
    make_topics(s)
    bus(s, "publish", "nul.events", "--schema", schema, "--key-field", "who", stdin='{"who": "a\\u0000b"}\n')
    read = json.loads(bus(s, "consume", "nul.events", "-o", "json"))
    equal(read["key"], "a\0b", "the key")
    told = bus_says(s, "publish", "nul.events", "--schema", schema, "--id-field", "who", stdin='{"who": "a\\u0000b"}\n', status=FAILED)
    check("U+0000" in told and "an id" in told, "an id is text:", told)


if __name__ == "__main__":
    lab.main("people", "--acl", at_once=4)
