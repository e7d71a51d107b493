#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Sizes on a real Kafka: the check counts as the broker does, what is kept is kept whole, and a refused row waits for an operator."""
import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
import lab  # noqa: E402
from lab import BUS, check, equal, eventually, run, test  # noqa: E402

TAKES = 1048588  # a topic, unless told otherwise


def limit(lab, topic, most):
    lab.kafka.tool("kafka-configs", "--alter", "--entity-type", "topics", "--entity-name", topic, "--add-config", f"max.message.bytes={most}")


def varint(n):
    n, length = n << 1, 1
    while n > 0x7F:
        n, length = n >> 7, length + 1
    return length


def counted(record):
    """What a batch of this record alone has, by its parts."""
    key, body = record["key"].encode(), 3
    body += varint(len(key)) + len(key) + varint(record["size"]) + record["size"] + varint(len(record["sent"]))
    for name, value in record["sent"].items():
        body += varint(len(name)) + len(name) + varint(len(value)) + len(value)
    return 61 + varint(body) + body


def commands(s, events, **more):
    s.kafka.produce(s.topic("commands"), events, **more)


def big_command(s, key, text, size, *more):
    """One command of so many bytes; compressed if kcat is told so."""
    value = (text + " ").ljust(size, "x") if size > len(text) else text
    run("kcat", "-b", s.kafka.servers, "-P", "-t", s.topic("commands"), "-K", "\t", "-X", "topic.partitioner=murmur2_random", "-X",
        "message.max.bytes=4000000", *more, stdin=f"{key}\t{value}\n")


def letters_json(s, *more):
    return json.loads(run(BUS, "dlq", "list", s.name, "--letters", "-o", "json", "-b", s.kafka.servers, *more) or "[]")


def redrive_all(s, status=0, *more):
    return run(BUS, "dlq", "redrive", "--all", "--service", s.name, "--yes", "--wait", "30s", "-b", s.kafka.servers, *more, status=status)


@test
def the_check_counts_as_the_broker(lab):
    """Every size around a topic's limit: a row is refused by us, or taken by the broker; and the largest is one that fills the limit."""
    lab.kafka.create("edge.events", 1, max_message_bytes=3000)
    s = lab.service("edge", retry__tiers="1h").make_topics().start()
    sizes = list(range(2450, 2950))
    commands(s, [(f"k{n}", f"{n} big:{n}") for n in sizes], partition=0)  # in order: where the limit is, numbers have one length
    eventually("each was handled, or failed", 30, lambda: s.effects() + len(s.sql("SELECT 1 FROM bus_key")) == len(sizes))
    eventually("what passed has left", 20, lambda: not s.sql("SELECT 1 FROM bus_outbox"))
    taken = [counted(r) for r in lab.kafka.consume("edge.events")]
    equal(len(taken), s.effects(), "records of those that were handled")
    check(0 < len(taken) < len(sizes), "some fit and some do not", len(taken))
    equal(max(taken), 3000, "the largest")
    equal(s.metric("bus_rejected_rows_total"), 0, "rows that the broker refused")
    reason = lab.kafka.consume("edge.retry.1h")[0]["headers"]["bus-reason"]
    check("the topic's max.message.bytes (3000)" in reason, "the handler's failure", reason)


@test
def many_rows_for_a_topic_that_takes_little(lab):
    """A broker compares whole batches with the limit: rows that fit one by one are not put together beyond it."""
    lab.kafka.create("little.events", 1, max_message_bytes=3000)
    s = lab.service("little").make_topics().start()
    commands(s, [(f"k{n % 7}", f"{n} big:200") for n in range(1, 1001)])
    s.done(1000)
    s.idle()
    equal(len({r["headers"]["ce_id"] for r in lab.kafka.consume("little.events")}), 1000, "events")
    equal([line["msg"] for line in s.lines("producer_fatal")], [], "producers that failed")
    equal(s.metric("bus_relay_failures_total"), 0, "rows that failed")


@test
def letters_just_under_the_limit(lab):
    """A letter that fits by our count is taken; one that does not says where its event is. All are redriven whole, keys are free."""
    s = lab.service("brim", env={"ECHO_HOLD": "1"}).make_topics().start()
    sizes = range(TAKES - 900, TAKES - 150, 50)
    for number, size in enumerate(sizes, 1):
        big_command(s, f"k{number}", f"{number} broken", size)
    letters = eventually("a letter each", 40, lambda: (lambda found: found if len(found) == len(sizes) else None)(s.letters()))
    whole = [r for r in letters if r["size"] > 0]
    check(0 < len(whole) < len(sizes), "some carry their event and some do not", len(whole))
    for r in letters:
        equal("bus-body" in r["headers"], r["size"] <= 0, "bus-body of a letter without its event")
    equal(s.metric("bus_rejected_rows_total"), 0, "rows that the broker refused")
    s.stop()
    s.environment["ECHO_FIXED"] = "1"
    s.start()
    redrive_all(s)
    s.done(len(sizes))
    commands(s, [(f"k{number}", f"{100 + number} silent") for number in range(1, 4)])
    s.done(len(sizes) + 3)


@test
def a_letter_larger_than_its_topic(lab):
    """1.5 MB that came compressed: the letter says where it is, people are told, and redrive has the bytes of the store, also once
    retention has removed the original."""
    s = lab.service("vast").make_topics().start()
    for number in (1, 2):
        big_command(s, f"k{number}", f"{number} broken", 1500000, "-z", "gzip")
    letters = eventually("two letters", 30, lambda: (lambda found: found if len(found) == 2 else None)(s.letters()))
    for r in letters:
        equal(r["size"], -1, "a letter's value")
        check(re.fullmatch(r"at vast\.commands/\d+/\d+", r["headers"].get("bus-body", "")), "where it is", r["headers"])
    (first, second) = sorted((e["id"] for e in letters_json(s)))
    shown = run(BUS, "dlq", "show", first, "-b", lab.kafka.servers)
    check("not in this record" in shown and "tombstone" not in shown, "dlq show", shown)
    record = json.loads(run(BUS, "dlq", "show", first, "-o", "json", "-b", lab.kafka.servers))["record"]
    check("value" not in record and record["value_missing"].startswith("at vast.commands/"), "dlq show as JSON", record)
    s.stop()
    s.environment["ECHO_FIXED"] = "1"
    s.start()
    run(BUS, "dlq", "redrive", first, "--wait", "30s", "-b", lab.kafka.servers)
    s.done(1)
    with open(os.path.join(lab.work, "delete.json"), "w") as file:
        json.dump({"version": 1, "partitions": [{"topic": "vast.commands", "partition": 0, "offset": -1}]}, file)
    lab.kafka.tool("kafka-delete-records", "--offset-json-file", file.name)
    run(BUS, "dlq", "redrive", second, "--wait", "30s", "-b", lab.kafka.servers)
    s.done(2)
    equal({e["state"] for e in letters_json(s, "--state", "all")}, {"resolved"}, "states")
    equal(s.sql("SELECT count(*) FROM bus_body"), [(0,)], "bodies kept")


@test
def a_copy_of_what_is_elsewhere_is_no_tombstone(lab):
    """`bus replay` of a letter without its event says so; it sends no record without a value."""
    s = lab.service("copied").make_topics().start()
    big_command(s, "k", "1 broken", 1500000, "-z", "gzip")
    eventually("a letter", 30, lambda: len(s.letters()) == 1)
    lab.kafka.create("copied.again", 1)
    done = subprocess.run([BUS, "replay", "copied.dlq", "--to-topic", "copied.again", "-b", lab.kafka.servers], capture_output=True,
                          text=True, timeout=60)
    check(done.returncode != 0 and "does not carry its event" in done.stdout + done.stderr, "replay", done)
    equal(lab.kafka.consume("copied.again"), [], "copies")


@test
def a_copy_that_does_not_fit_is_told(lab):
    """`bus replay` of an event that fits its topic, and not with the headers of a copy: it is counted as failed, and the exit code tells."""
    s = lab.service("again").make_topics().start()
    big_command(s, "k1", "1 silent", TAKES - 200)
    commands(s, [("k2", "2 silent")])
    s.done(2)
    s.idle()
    words = [BUS, "replay", "again.commands", "--to-service", "again", "-o", "json", "-b", lab.kafka.servers, "--set", "compression=none"]
    dry = subprocess.run([*words, "--dry-run"], capture_output=True, text=True, timeout=60)
    check(dry.returncode == 3 and "1 copies are too large for their topic" in dry.stderr and "1 of (no type): too large" in dry.stderr,
          "it is told beforehand", dry)
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    check(done.returncode == 3 and "large" in done.stdout + done.stderr, "replay", done)
    equal(json.loads(done.stdout)[0]["failed"], 1, "copies that failed")


@test
def what_the_topics_take_the_tools_send(lab):
    """Topics that take 4 MB: a letter of 2 MB is redriven and its event copied, with the tools' own defaults."""
    for kind, partitions, keep in (("commands", 4, 604800000), ("dlq", 1, -1), ("redrive", 1, -1)):
        lab.kafka.create(f"wide.{kind}", partitions, max_message_bytes=4 << 20, retention_ms=keep)
    s = lab.service("wide", message__max__bytes="4m").make_topics().start()
    big_command(s, "k1", "1 broken", 2 << 20)
    eventually("a letter", 30, lambda: s.sql("SELECT 1 FROM bus_letter") and not s.sql("SELECT 1 FROM bus_outbox"))
    s.stop()
    s.environment["ECHO_FIXED"] = "1"
    s.start()
    redrive_all(s)
    s.done(1)
    s.idle()
    done = subprocess.run([BUS, "replay", "wide.commands", "--to-service", "wide", "-o", "json", "-b", lab.kafka.servers], capture_output=True,
                          text=True, timeout=60)
    (told,) = json.loads(done.stdout)
    equal((told["acknowledged"], told["failed"]), (1, 0), done.stderr)


def outbox(s, *words, status=0):
    return run(BUS, "outbox", *words[:1], s.name, *words[1:], "--data", s.data, "-b", s.kafka.servers, status=status)


def refused(s):
    return json.loads(run(BUS, "outbox", "list", s.name, "--data", s.data, "-o", "json", status=None) or "[]")


def ready(s):
    done = subprocess.run(["curl", "-s", "-w", "%{http_code}", f"http://127.0.0.1:{s.port}/readyz"], capture_output=True, text=True, timeout=20)
    return done.stdout


def audit(s, status):
    found = json.loads(run(BUS, "audit", "--data", s.data, "--service", s.name, "-b", s.kafka.servers, "-o", "json", status=status))
    return {f["rule"] for f in found["findings"]}


@test
def a_limit_lowered_for_a_while(lab):
    """Rows that the broker refuses wait, with those behind them; it is told; after the limit is raised a retry sends all, in order."""
    s = lab.service("low", compression="none").make_topics().start()
    commands(s, [("k", f"{n} big:3000") for n in range(1, 6)])
    s.done(5)
    s.idle()
    limit(lab, "low.events", 1000)
    commands(s, [("k", "6 big:3000")])
    s.says("rejected_row", "low.events/.*later rows wait")
    commands(s, [("k", f"{n}") for n in range(7, 20)])
    s.done(19)
    eventually("/readyz", 10, lambda: re.search(r"Kafka refuses outbox row \d+ for low.events/0.*503", ready(s), re.S))
    equal((s.metric("bus_outbox_refused_rows"), s.metric("bus_outbox_refused_destinations")), (1, 1), "metrics")
    (row,) = refused(s)
    equal((row["state"], row["behind"], row["topic"]), ("waits", 13, "low.events"), "bus outbox list")
    check("3" in outbox(s, "show", row["row"].split("@")[0]) and row["bytes"] > 3000, "bus outbox show", row)
    check("rejected" in audit(s, 3), "the audit finds it")
    check("refused again" in outbox(s, "retry", row["row"], status=3), "a retry that comes too early")
    s.stop()
    limit(lab, "low.events", 1048588)
    s.start(ready=False)
    eventually("it is refused still", 20, lambda: s.metric("bus_outbox_refused_rows") == 1)
    check("left" in outbox(s, "retry", "--all"), "a retry")
    s.idle()
    s.check_exactly_once({"k": list(range(1, 20))})
    equal([r["headers"]["bus-hop"].split(" ")[1].rsplit("/", 1)[1] for r in lab.kafka.consume("low.events") if r["headers"]["bus-hop"].startswith("low/")],
          [str(n) for n in range(1, 20)], "numbers on the topic")
    eventually("/readyz", 10, lambda: "200" in ready(s))
    commands(s, [("k", "20 big:3000")])  # what it has learned of the limit is forgotten again
    s.done(20)
    s.idle()
    audit(s, 0)


@test
def a_refused_row_given_up(lab):
    s = lab.service("given", compression="none").make_topics().start()
    commands(s, [("k", "1")])
    s.done(1)
    s.idle()
    limit(lab, "given.events", 1000)
    commands(s, [("k", "2 big:3000")])
    s.says("rejected_row", "given.events")
    commands(s, [("k", "3")])
    s.done(3)
    check("say why" in subprocess.run([BUS, "outbox", "discard", "given", "--all", "--data", s.data, "-b", lab.kafka.servers], capture_output=True,
                                      text=True).stderr, "a discard without a reason")
    check("discarded" in outbox(s, "discard", "--all", "--reason", "a test with a long note"), "a discard")
    s.says("discarded_row", "a test with a long note")
    eventually("the rest leaves", 20, lambda: not s.sql("SELECT 1 FROM bus_outbox"))
    equal(len(lab.kafka.consume("given.events")), 2, "records")
    equal(audit(s, 0), {"discarded"}, "what the audit says")
    outbox(s, "list", status=4)


@test
def a_discard_that_comes_too_late(lab):
    """A retry and a discard of one row, both given before the service reads them: the row is sent, and the discard says so."""
    s = lab.service("race", compression="none").make_topics().start()
    commands(s, [("k", "1")])
    s.done(1)
    s.idle()
    limit(lab, "race.events", 1000)
    commands(s, [("k", "2 big:3000")])
    s.says("rejected_row", "race.events")
    s.stop()
    limit(lab, "race.events", 1048588)
    outbox(s, "retry", "--all", "--wait", "0")
    late = subprocess.Popen([BUS, "outbox", "discard", "race", "--all", "--reason", "never", "--wait", "60s", "--data", s.data, "-b", lab.kafka.servers],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    eventually("both commands are there", 20, lambda: len(lab.kafka.consume("race.redrive")) == 2)
    s.start()
    said = late.communicate(timeout=60)[0]
    equal(late.returncode, 3, said)
    check("was sent" in said and "not every row was discarded" in said, "the discard", said)
    equal((len(lab.kafka.consume("race.events")), s.sql("SELECT 1 FROM bus_discarded")), (2, []), "records, and rows given up")


@test
def a_full_queue_is_asked_for_again_soon(lab):
    """A backlog larger than the queue comes at the reader's speed. librdkafka's own wait is a second for each time that the queue was full."""
    count, text = 4000, "x" * 3000
    lab.kafka.create("deep.events")
    lab.kafka.produce("deep.events", ((f"k-{n}", f"{n} {text}") for n in range(count)))

    def read(*more):
        begun = time.monotonic()
        said = run(BUS, "consume", "deep.events", "--from", "start", "--raw", "--output", "json", "-b", lab.kafka.servers, "--set",
                   "fetch.queue.bytes=64k", *more, timeout=120)
        equal([json.loads(line)["offset"] for line in said.splitlines()], list(range(count)), "offsets that were shown")
        return time.monotonic() - begun
    soon, late = read(), read("--set", "kafka.fetch.queue.backoff.ms=1000")
    print(f"{soon:.1f} s, and {late:.1f} s with librdkafka's own wait")
    check(late > 3 * soon, "the wait for the queue is short", soon, late)


if __name__ == "__main__":
    lab.main("sizes")
