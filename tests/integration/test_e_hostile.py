#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a principal with a right to write some topic of a service can make of it, by records that kcat sends."""
import hashlib
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from lab import check, equal, eventually, main, run, test
from instances import bus, bus_json, bus_says, make_topics, records

OK, PARTIAL, REFUSED = 0, 3, 5
KEY, OTHER = "0123456789abcdef" * 4, "f123456789abcdef" * 4


def send(service, topic, key, value, headers=(), partition=0):
    more = [word for name, text in headers for word in ("-H", f"{name}={text}")]
    run("kcat", "-b", service.kafka.servers, "-P", "-t", topic, "-p", str(partition), "-k", key, *more, stdin=value)


def numbers(service):
    return [row[0] for row in service.sql("SELECT number FROM effect ORDER BY number")]


def letters(service, *words):
    return bus_json(service, "dlq", "list", service.name, "--letters", *words, status=None)


def sign(topic, key, value, headers, secret=KEY, partition=0):
    """bus-mac, after its description in docs/security.md and bus/codec/mac.c: written apart from the library."""
    def number(n):
        out = b""
        while n > 0x7f:
            out, n = out + bytes([n & 0x7f | 0x80]), n >> 7
        return out + bytes([n])

    def text(t):
        return number(0) if t is None else number(len(t.encode()) + 1) + t.encode()
    codes = {"ce_id": 1, "ce_type": 2, "ce_source": 3, "ce_correlationid": 4, "bus-hop": 5}
    hop = dict(headers).get("bus-hop", "")
    told = f" {topic}/{partition}/" in hop
    data = bytes([1, told]) + (b"" if told else text(topic) + number(partition)) + text(key)
    for name, content in headers:
        if name not in ("ce_specversion", "content-type", "ce_causationid", "traceparent", "tracestate", "bus-mac"):
            data += (bytes([codes[name]]) if name in codes else b"\xff" + text(name)) + text(content)
    data += b"\0" + text(value)
    return [*headers, ("bus-mac", "k1 " + hashlib.blake2b(data, key=bytes.fromhex(secret), digest_size=16).hexdigest())]


def key_file(lab, name, text):
    path = os.path.join(lab.work, name)
    with open(path, "w", opener=lambda p, flags: os.open(p, flags, 0o600)) as file:
        file.write(text)
    return path


# ---- without keys: bounds

@test
def made_up_numbers_are_bounded(lab):
    service = make_topics(lab.service("numbers"))
    service.start()
    # Each second number, so that each is a gap; and one of them once more.
    script = "".join(f"kcat -b {service.kafka.servers} -P -t numbers.commands -p 0 -k k{n} -H ce_id=e{n} "
                     f"-H 'bus-hop=made-up/0#1 numbers.commands/0/{2 * n + 1}' <<< {n}\n" for n in [*range(25), 7])
    run("bash", "-c", script)
    service.done(25)
    equal(service.sql("SELECT count(*) FROM bus_hole")[0][0], 24, "holes")
    equal(service.metric("bus_gap_events_total"), 24, "gaps counted")
    equal(len(service.lines("gap")), 10, "gap lines")
    service.idle()


@test
def every_header_is_kept(lab):
    service = make_topics(lab.service("headers", reject__ratio__percent=0, retry__attempts=2))
    service.start()
    many = [(f"x-{i}", str(i)) for i in range(120)]
    send(service, "headers.commands", "k", "1 always", [*many, ("ce_id", "many"), ("ce_source", "test")])
    eventually("its letter", 20, lambda: letters(service))
    record = records(service, "headers.dlq")[0]
    equal([pair for pair in map(tuple, record["pairs"]) if pair[0].startswith("x-")], many, "headers of the letter")
    equal((record["header"]["ce_id"], record["header"]["ce_source"]), ("many", "test"), "what names the event")
    retry = records(service, "headers.retry.100ms")[0]
    equal(len([p for p in retry["pairs"] if p[0].startswith("x-")]), 120, "headers of the retry record")


@test
def a_letter_is_not_hidden_by_an_invented_round(lab):
    service = make_topics(lab.service("rounds", reject__ratio__percent=0))
    service.start()
    send(service, "rounds.commands", "k", "1 reject", [("ce_id", "a")])
    found = eventually("its letter", 20, lambda: letters(service))
    send(service, "rounds.dlq", "k", "x", [("bus-letter", f"{found[0]['id']} 2147483647 discarded")])
    send(service, "rounds.dlq", "k", "x", [("bus-letter", "\x1b[2J 1 open")])
    equal([(row["state"], row["round"]) for row in letters(service)], [("open", 1)], "the letter")
    text = bus(service, "dlq", "list", "rounds", "--letters")
    check("\x1b" not in text, "no control is shown", text)


@test
def what_is_shown_hides_nothing(lab):
    """Marks of direction and C1 controls in all that a writer chooses: key, header name and content, type, id."""
    service = make_topics(lab.service("shown", reject__ratio__percent=0))
    evil = "a\u202eb\u009bc\u2066d"
    send(service, "shown.commands", evil, "1 reject", [("ce_id", evil), ("ce_type", evil), (f"x-{evil}", evil)])
    service.start()
    found = eventually("its letter", 20, lambda: letters(service))
    for words in (("consume", "shown.commands", "--raw"), ("dlq", "show", found[0]["id"]), ("dlq", "list", "shown"),
                  ("consume", "shown.commands", "--raw", "-o", "json"), ("dlq", "show", found[0]["id"], "-o", "json")):
        text = bus(service, *words)
        check(not set(text) & set("\u202e\u009b\u2066"), f"bus {' '.join(words)} shows none of them", text)
    with open(service.log_file, encoding="utf-8") as file:
        check(not set(file.read()) & set("\u202e\u009b\u2066"), "nor does the log")


@test
def closed_schemas_take_none_from_the_topic(lab):
    service = make_topics(lab.service("closed", schemas__closed="true", env={"ECHO_TYPED": "closed.typed"}))
    junk = json.dumps({"type": "record", "name": "closed.Junk", "fields": []})
    send(service, "bus.schemas", "x", junk)
    service.start()
    eventually("it is refused, and counted", 20, lambda: service.metric("bus_process_schemas_refused_total") >= 1)
    send(service, "closed.commands", "k", "1")
    service.done(1)
    service.stop()


@test
def what_only_heartbeats_ask_for_is_not_made(lab):
    service = make_topics(lab.service("beats"))
    beat = {"service": "evil", "instance": "1", "at": "2026-01-01T00:00:00Z",
            "topics": [{"name": "evil.topic", "partitions": 1, "role": "output"}]}
    send(service, "bus.services", "evil/1", json.dumps(beat))
    told = eventually("the heartbeat is seen", 20, lambda: "evil.topic" in bus(service, "topics", "plan", status=None) and
                      bus_says(service, "topics", "apply", status=REFUSED))
    check("nothing was created" in told, "what apply says", told)
    equal(bus_json(service, "topics", "list", "evil.topic", status=None), [], "topics made")


# ---- with keys

@test
def only_what_is_signed_is_run(lab):
    keys = key_file(lab, "signed.keys", f"k1 {KEY} write\n")
    signing = ("--set", f"hop.key.file={keys}", "--set", "hop.verify=*")
    service = make_topics(lab.service("signed", reject__ratio__percent=0, hop__key__file=keys, hop__verify="*"))
    service.start()
    topic = "signed.commands"
    first = [("ce_id", "1"), ("ce_source", "test")]
    hop = [("ce_id", "2"), ("ce_source", "test"), ("bus-hop", f"far/0#1 {topic}/0/1")]
    send(service, topic, "k", "11", hop)                                          # a made-up number that would swallow the real event
    send(service, topic, "k", "12", sign(topic, "k", "12", first, OTHER))         # another's key
    send(service, topic, "k", "1", sign(topic, "k", "1", first))
    send(service, topic, "k", "2", sign(topic, "k", "2", hop))
    send(service, topic, "k", "2", sign(topic, "k", "2", hop))                    # twice
    send(service, topic, "k", "13", sign("other.commands", "k", "13", first))     # signed for another place
    send(service, topic, "k", "14", [*sign(topic, "k", "14", [("ce_id", "9")]), ("ce_type", "x")])  # one header more
    send(service, topic, "k", "3 broken", sign(topic, "k", "3 broken", [("ce_id", "3")]))
    eventually("its letters", 30, lambda: len(letters(service, *signing)) == 5)
    equal(numbers(service), [1, 2], "what was run")
    found = {row["error_class"]: row for row in letters(service, *signing)}
    equal(sorted(row["error_class"] for row in letters(service, *signing)), ["forged"] * 4 + ["handler"], "classes")
    equal(service.metric("bus_forged_total"), 4, "forged")
    equal(service.metric("bus_gap_events_total"), 0, "gaps")
    # What the service emits is signed so that anybody with the key can tell.
    eventually("its events", 20, lambda: len(records(service, "signed.events")) == 2)
    for record in records(service, "signed.events"):
        check("bus-mac" in record["header"], "signed", record)
    # A command that is not signed is none; nor is a change of a letter. The operator's is.
    broken = found["handler"]["id"]
    send(service, "signed.redrive", "k", "99", [("bus-command", f"redrive {broken} 1"), ("bus-orig", f"{topic}/0/1/1"), ("ce_id", "x")])
    service.says("forged", "signed.redrive/0 .*not signed")
    send(service, "signed.dlq", "k", "x", [("bus-letter", f"{broken} 1 discarded")])
    check("not signed by their service" in bus_says(service, "dlq", "list", "signed", *signing, status=OK), "dlq list tells")
    equal([row["state"] for row in letters(service, *signing) if row["id"] == broken], ["open"], "its state")
    service.stop()
    service.environment["ECHO_FIXED"] = "1"
    service.start()
    rows = bus_json(service, "dlq", "redrive", "--wait", "30s", broken, *signing)
    equal([row["outcome"] for row in rows], ["resolved"], "a signed redrive")
    equal(numbers(service), [1, 2, 3], "what was run in the end")


@test
def tools_lend_no_signature(lab):
    keys = key_file(lab, "lend.keys", f"k1 {KEY} write\n")
    signing = ("--set", f"hop.key.file={keys}", "--set", "hop.verify=*")
    service = make_topics(lab.service("lend", reject__ratio__percent=0, hop__key__file=keys, hop__verify="*"))
    lab.kafka.create("lend.copies", 1)
    service.start()
    send(service, "lend.commands", "k", "1", sign("lend.commands", "k", "1", [("ce_id", "1"), ("ce_source", "test")]))
    send(service, "lend.commands", "k", "2", [("ce_id", "2"), ("ce_source", "test")])
    eventually("its letter", 20, lambda: letters(service, *signing))
    service.idle()
    # A copy would be signed by the tool, and run.
    for to in (("--to-service", "lend"), ("--to-topic", "lend.copies")):
        ran = bus_json(service, "replay", "lend.commands", *to, *signing, status=PARTIAL)[0]
        equal((ran["matched"], ran["sent"], ran["forged"]), (2, 1, 1), f"copies {to[0]}")
    told = bus_says(service, "replay", "lend.commands", "--from", "1", "--to-service", "lend", *signing, status=REFUSED)
    check("lend.commands/0 offset 1: it is not signed" in told, "what it says of a range that nobody has signed", told)
    eventually("the copy of what is signed has run", 20, lambda: service.sql("SELECT number, times FROM effect") == [(1, 2)])
    # Nor does it take a schema that a service would not take.
    junk = json.dumps({"type": "record", "name": "lend.Junk", "fields": []})
    send(service, "bus.schemas", "x", junk)
    check("announcements on bus.schemas are refused" in bus_says(service, "schema", "list", *signing, status=OK), "it says so")
    check(not any("Junk" in json.dumps(row) for row in bus_json(service, "schema", "list", *signing, status=None)), "no such schema")
    service.stop()


@test
def a_key_file_that_everybody_may_read_is_refused(lab):
    keys = key_file(lab, "open.keys", f"k1 {KEY} write\n")
    os.chmod(keys, 0o644)
    service = make_topics(lab.service("openkeys", hop__key__file=keys))
    service.start(ready=False)
    check(service.ended(30) != 0, "it ends")
    said = " ".join(line["msg"] for line in service.lines())
    check("chmod o=" in said and KEY not in said, "and says why", said)


if __name__ == "__main__":
    main("hostile")
