#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What operators do by the bus command: dead letters, replay, rebuild, and what the other commands answer, with their exit codes."""
import base64
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from lab import BUS, check, equal, eventually, main, run, test
from instances import Load, bus, bus_json, bus_says, make_topics, records, send_again, settled, store, total

OK, ERROR, USAGE, PARTIAL, NOTHING, REFUSED, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 130


def numbers_of(service, key):
    return [row[0] for row in service.sql(f"SELECT number FROM effect WHERE key = '{key}' ORDER BY pos")]


def letters(service, *words, status=OK):
    return {row["key"]: row for row in bus_json(service, "dlq", "list", service.name, "--letters", *words, status=status)}


# ---- dead letters

@test
def dead_letters_that_hold_their_key(lab):
    service = make_topics(lab.service("clinic", env={"ECHO_HOLD": "1"}, reject__ratio__percent=0))
    lab.kafka.produce("clinic.commands", [("k1", "1"), ("k1", "2 broken"), ("k1", "3"), ("k1", "4"), ("k2", "5 broken"), ("k2", "6"),
                                          ("k3", "7")])
    service.start()
    eventually("both letters are open", 20, lambda: len(service.letters()) == 2)
    equal([numbers_of(service, key) for key in ("k1", "k2", "k3")], [[1], [], [7]], "effects while two keys are held")

    groups = bus_json(service, "dlq", "list", "clinic")
    equal([(g["letters"], g["open"], g["held"], g["service"]) for g in groups], [(2, 2, 2, "clinic")], "groups of dlq list")
    check("not fixed yet" in groups[0]["error"], "the error is told", groups)
    found = letters(service)
    equal(sorted((k, l["state"], l["round"], l["held"]) for k, l in found.items()), [("k1", "open", 1, True), ("k2", "open", 1, True)],
          "letters")
    one, two = found["k1"]["id"], found["k2"]["id"]
    shown = bus_json(service, "dlq", "show", one[:8])
    equal((shown["id"], shown["state"], shown["round"], shown["original"]["topic"]), (one, "open", 1, "clinic.commands"), "dlq show")
    equal(shown["record"]["key"], "k1", "its key")
    equal(base64.b64decode(shown["record"]["value_base64"]), b"2 broken", "its value")
    check("bus dlq redrive" in bus(service, "dlq", "show", one), "the page tells what to do")

    # Nothing is sent by a dry run.
    equal([row["outcome"] for row in bus_json(service, "dlq", "redrive", "--all", "-s", "clinic", "--dry-run")], ["would be sent"] * 2, "dry run")
    equal(records(service, "clinic.redrive"), [], "records on clinic.redrive after a dry run")

    # Not fixed: it fails again and is open in the next round; its key is still held.
    rows = bus_json(service, "dlq", "redrive", "--wait", "40s", one, "--reason", "hoping", status=PARTIAL)
    equal([row["outcome"] for row in rows], ["failed again"], "outcome of a redrive too early")
    found = letters(service)
    equal((found["k1"]["state"], found["k1"]["round"], found["k1"]["held"]), ("open", 2, True), "the letter after it")
    equal(numbers_of(service, "k1"), [1], "effects of the key")

    # The command of the first round once more, as from an operator who was slower.
    command = records(service, "clinic.redrive")[0]
    send_again(service, command)
    service.says("command_stale", f"redrive of dead letter {one} round 1: already")
    time.sleep(0.5)
    equal(letters(service)["k1"]["round"], 2, "round after a stale command")
    equal(numbers_of(service, "k1"), [1], "effects after a stale command")

    # Fixed: the head runs, and what waited behind it, in order.
    service.stop()
    service.environment["ECHO_FIXED"] = "1"
    service.start()
    rows = bus_json(service, "dlq", "redrive", "--wait", "40s", one, "--reason", "deployed a fix")
    equal([row["outcome"] for row in rows], ["resolved"], "outcome of the redrive")
    eventually("the key drained", 15, lambda: numbers_of(service, "k1") == [1, 2, 3, 4])
    equal(service.sql("SELECT number, count, disorder FROM last WHERE key = 'k1'"), [(4, 4, 0)], "order of the key")
    history = bus_json(service, "dlq", "show", one)["history"]
    equal([(h["state"], h["round"]) for h in history], [("open", 1), ("redriven", 1), ("open", 2), ("redriven", 2), ("resolved", 2)], "history")
    equal([h.get("reason") for h in history], [None, "hoping", None, "deployed a fix", None], "reasons kept")
    check(all("@" in history[i]["by"] for i in (1, 3)), "who gave the commands", history)

    # No longer open.
    rows = bus_json(service, "dlq", "redrive", "--wait", "40s", one, status=REFUSED)
    equal([row["outcome"] for row in rows], ["already resolved"], "outcome of a redrive too late")

    check("--reason" in bus_says(service, "dlq", "discard", two, status=USAGE), "discard wants a reason")
    rows = bus_json(service, "dlq", "discard", "--wait", "40s", two, "--reason", "a test order")
    equal([row["outcome"] for row in rows], ["discarded"], "outcome of discard")
    eventually("the key goes on without it", 15, lambda: numbers_of(service, "k2") == [6])
    equal(bus_json(service, "dlq", "show", two)["history"][-1]["reason"], "a test order", "reason of discard")
    rows = bus_json(service, "dlq", "redrive", "--wait", "40s", two, status=REFUSED)
    equal([row["outcome"] for row in rows], ["already discarded"], "outcome of a redrive after discard")

    bus_says(service, "dlq", "redrive", "ffffffff", status=NOTHING)
    bus_says(service, "dlq", "redrive", "--all", "-s", "clinic", "--yes", status=NOTHING)
    bus_says(service, "dlq", "list", "clinic", status=NOTHING)
    equal(len(bus_json(service, "dlq", "list", "clinic", "--letters", "--state", "all")), 2, "letters of all states")
    service.idle()
    service.stop()
    service.check_exactly_once({"k1": [1, 2, 3, 4], "k2": [6], "k3": [7]})


@test
def ten_thousand_dead_letters_at_once(lab):
    """The shard goes on, the log stays short and counts, and commands about all of them do not take long."""
    count = 10000
    service = make_topics(lab.service("crowd", shards=1, retry__attempts=1, reject__ratio__percent=0))
    lab.kafka.produce("crowd.commands", [(f"k{i}", f"{i} broken") for i in range(count)] + [("last", f"{count}")])
    service.start()
    eventually("what came behind them is handled", 60, lambda: numbers_of(service, "last") == [count])
    eventually("all are dead letters", 60, lambda: sum(g["letters"] for g in bus_json(service, "dlq", "list", "crowd")) == count)
    lines = [line for line in service.lines() if line.get("event") in ("dead_letter", "handler_failed")]
    check(0 < len(lines) <= 40, f"{len(lines)} lines about {count} dead letters: ten a minute of each kind", *lines[:3])

    def seconds(*words):
        before = os.times()
        rows = bus_json(service, "dlq", *words)
        after = os.times()
        return rows, after.children_user + after.children_system - before.children_user - before.children_system

    some = [row["id"] for row in bus_json(service, "dlq", "list", "crowd", "--letters")[:5]]
    for one in some:
        equal(bus_json(service, "dlq", "show", one)["state"], "open", "one of them")
    rows, few = seconds("discard", *some[1:], "--reason", "first", "--wait", "60s")
    equal({row["outcome"] for row in rows}, {"discarded"}, "four of them")
    service.stop()
    service.environment["ECHO_FIXED"] = "1"
    service.start()
    rows, many = seconds("redrive", "--all", "-s", "crowd", "--yes", "--wait", "120s")
    equal((len(rows), {row["outcome"] for row in rows}), (count - 4, {"resolved"}), "all others")
    check(many < 20, f"{many:.1f} s of processor time for a redrive of {count}: 0.3 s on a quiet machine, 100 s if it were quadratic")
    service.idle()
    service.stop()


@test
def dead_letters_that_release_their_key(lab):
    """All that match, redriven at once; an event that had been overtaken runs after what overtook it."""
    service = make_topics(lab.service("clinics", shards=2, retry__attempts=2, reject__ratio__percent=0))
    keys = [f"p{i}" for i in range(12)]
    lab.kafka.produce("clinics.commands", [(k, "1 broken") for k in keys] + [(k, "2") for k in keys] + [("q", "3 always")])
    service.start()
    eventually("all letters are open", 20, lambda: len(service.letters()) == 13)
    service.done(12)
    check(bus_says(service, "dlq", "redrive", "--all", "-s", "clinics", "--error", "not fixed", status=REFUSED).count("--yes"),
          "without a terminal it wants --yes")
    service.stop()
    service.environment["ECHO_FIXED"] = "1"
    service.start()
    rows = bus_json(service, "dlq", "redrive", "--wait", "40s", "--all", "-s", "clinics", "--error", "not fixed", "--yes")
    equal([row["outcome"] for row in rows], ["resolved"] * 12, "outcomes")
    service.done(24)
    equal([numbers_of(service, k) for k in keys], [[1, 2]] * 12, "numbers of the keys")
    equal(set(service.sql("SELECT number, count, disorder FROM last")), {(2, 2, 1)}, "a released letter runs late")
    rows = bus_json(service, "dlq", "redrive", "--wait", "40s", "--all", "-s", "clinics", "--yes", status=PARTIAL)
    equal([(row["outcome"], row["round"]) for row in rows], [("failed again", 1)], "the last one")
    equal([(r["state"], r["round"], r["attempts"]) for r in letters(service).values()], [("open", 2, 2)], "what is left")
    service.idle()
    service.stop()
    equal(service.sql("SELECT * FROM effect WHERE times != 1"), [], "effects not exactly once")


# ---- replay

@test
def replay_to_a_service_and_to_a_topic(lab):
    service = make_topics(lab.service("again", shards=2))
    lab.kafka.produce("again.commands", [(f"k{n % 5}", str(n)) for n in range(1, 41)])
    service.start().done(40)
    service.idle()
    before = len(records(service, "again.events"))
    equal(before, 40, "emitted events")
    source = records(service, "again.commands")
    chosen = [r for r in source if r["partition"] == 1][2:8]
    check(len(chosen) == 6, "partition 1 holds enough", len(chosen))
    first, last = chosen[0]["offset"], chosen[-1]["offset"]
    span = f"{first}:{last + 1}"

    dry = bus_json(service, "replay", "again.commands", span, "-p", "1", "--to-service", "again", "--dry-run")[0]
    equal((dry["matched"], dry["sent"]), (6, 0), "dry run")
    equal(records(service, "again.redrive"), [], "copies after a dry run")

    runs = set()
    for times in (2, 3):
        ran = bus_json(service, "replay", "again.commands", span, "-p", "1", "--to-service", "again", "--reason", "looked wrong")[0]
        equal((ran["matched"], ran["sent"], ran["acknowledged"], ran["failed"]), (6, 6, 6, 0), "what the replay says")
        runs.add(ran["run"])
        wanted = sorted((int(r["payload"]), times) for r in chosen)
        eventually(f"the range has run {times} times", 15, lambda: sorted(service.sql("SELECT number, times FROM effect WHERE times > 1")) == wanted)
    equal(len(runs), 2, "each run has an id of its own")

    # The same run's copies once more: a producer that sent twice.
    copies = records(service, "again.redrive")
    equal(len(copies), 12, "copies")
    for copy in copies[:3]:
        send_again(service, copy)
    lab.kafka.produce("again.commands", [("k0", "41")])
    service.done(41)
    service.idle()
    equal(sorted(service.sql("SELECT number, times FROM effect WHERE times > 1")), wanted, "effects after doubled copies")
    equal(len(records(service, "again.events")), before + 1, "events emitted: a replay's are dropped")

    # To a topic, twice: ids, keys and times are kept, so a reader that knows ids sees each once.
    lab.kafka.create("again.sample", 4)
    sampler = make_topics(lab.service("sampler", env={"ECHO_INPUTS": "again.sample"}))
    for _ in range(2):
        ran = bus_json(service, "replay", "again.commands", "--to-topic", "again.sample", "--key", "k3")[0]
        equal((ran["matched"], ran["acknowledged"]), (8, 8), "copies of one key")
    copies = records(service, "again.sample")
    equal(len(copies), 16, "records on again.sample")
    originals = {(r["partition"], r["offset"]): r for r in source}
    for copy in copies:
        place, partition, offset = copy["header"]["bus-orig"].split(" ")[0].split("/")[:3]
        original = originals[(int(partition), int(offset))]
        equal((place, copy["key"], copy["payload"], copy["ts"]), ("again.commands", original["key"], original["payload"], original["ts"]),
              "a copy and its original")
    sampler.start().done(8)
    sampler.idle()
    equal(sorted(sampler.sql("SELECT number, times FROM effect")), [(n, 1) for n in range(3, 41, 5)], "effects of the reader")

    check("itself" in bus_says(service, "replay", "again.commands", "--to-topic", "again.commands", status=REFUSED), "onto itself: refused")
    bus_says(service, "replay", "again.dlq", "--to-service", "again", status=REFUSED)
    bus_says(service, "replay", "again.commands", "--to-service", "again", "--key", "nobody", status=NOTHING)
    bus_says(service, "replay", "again.commands", status=USAGE)
    bus_says(service, "replay", "again.commands", "7:3", "--to-service", "again", status=USAGE)
    service.stop()
    sampler.stop()


# ---- rebuild

def rebuild(service, *words, status=OK):
    program = " ".join([service.program, *service.arguments()])
    return bus_json(service, "rebuild", "--program", program, *words, "--set", f"data.dir={service.data}", "-q", status=status)


def rebuild_says(service, *words, status):
    program = " ".join([service.program, *service.arguments()])
    return bus_says(service, "rebuild", "--program", program, *words, "--set", f"data.dir={service.data}", status=status)


@test
def rebuild_equals_the_old_store(lab):
    service = make_topics(lab.service("phoenix", shards=2, retry__attempts=2, reject__ratio__percent=0))
    keys = [f"k{i}" for i in range(8)]
    events, word = [], {7: "retry:1", 21: "needs:117", 33: "always", 40: "schedule:200", 55: "retry:1"}
    for n in range(1, 121):
        events.append((keys[n % 8], f"{n} {word.get(n, '')}".strip()))
    lab.kafka.produce("phoenix.commands", events)
    service.start()
    service.done(118)
    service.idle()
    bus_json(service, "dlq", "redrive", "--wait", "40s", "--all", "-s", "phoenix", "--error", "not been seen", "--yes")
    service.done(119)
    service.idle()

    check("stop the service" in rebuild_says(service, status=REFUSED), "refused while it runs")
    service.stop()
    emitted = len(records(service, "phoenix.events"))
    equal(emitted, 120, "emitted events, one of them scheduled")

    told = rebuild(service)
    equal([s["same"] for s in told["stores"]], [True, True], f"same {told}")
    equal([s["to_send"] for s in told["stores"]], [0, 0], "nothing is left to send")
    equal(told["differing_tables"], 0, "differing tables")
    equal(sum(t["new_rows"] for t in told["tables"] if t["table"] == "effect"), 119, "rows made again")

    # Tampered with: told row by row.
    with sqlite3.connect(store(service, 0)) as db:
        number, = db.execute("SELECT number FROM effect ORDER BY pos LIMIT 1").fetchone()
        db.execute("UPDATE effect SET number = 99999 WHERE number = ?", (number,))
    db.close()
    told = rebuild(service, "--replace", status=PARTIAL)
    equal([s["replaced"] for s in told["stores"]], [False, False], "what differs is not replaced")
    told = rebuild(service, "--replace", "--force", status=PARTIAL)
    equal(told["differing_tables"], 1, f"differing tables {told}")
    check(any("99999" in row["row"] and row["only_in"] == "old" and row["table"] == "effect" for row in told["rows"]), "the row is shown", told["rows"])
    check(any(f"number={number}," in row["row"] and row["only_in"] == "new" for row in told["rows"]), "and the right one", told["rows"])
    equal([s["replaced"] for s in told["stores"]], [True, True], "replaced")
    check(all(os.path.exists(s["old"]) for s in told["stores"]), "the old stores are kept", told["stores"])

    # The new stores go on: nothing twice, nothing lost, nothing sent again.
    more = [(keys[n % 8], str(n)) for n in range(121, 161)]
    lab.kafka.produce("phoenix.commands", more)
    service.start().done(159)
    service.idle()
    service.stop()
    equal(service.sql("SELECT * FROM effect WHERE times != 1"), [], "effects not exactly once")
    equal(sorted(r[0] for r in service.sql("SELECT number FROM effect")), [n for n in range(1, 161) if n != 33], "numbers")
    events = records(service, "phoenix.events")
    equal(len(events), emitted + 40, "emitted events")
    equal(len({e["header"]["ce_id"] for e in events}), len(events), "ids of emitted events")

    # A lost store.
    for shard in (0, 1):
        for suffix in ("", "-wal", "-shm"):
            if os.path.exists(store(service, shard) + suffix):
                os.remove(store(service, shard) + suffix)
    told = rebuild(service, "--replace")
    equal([s["compared"] for s in told["stores"]], [False, False], "nothing to compare with")
    service.start()
    lab.kafka.produce("phoenix.commands", [("k0", "161")])
    service.done(160)
    service.stop()

    # The log's start is gone.
    with tempfile.NamedTemporaryFile("w", suffix=".json") as plan:
        json.dump({"partitions": [{"topic": "phoenix.commands", "partition": records(service, "phoenix.commands")[0]["partition"],
                                   "offset": 1}], "version": 1}, plan)
        plan.flush()
        lab.kafka.tool("kafka-delete-records", "--offset-json-file", plan.name)
    text = rebuild_says(service, status=REFUSED)
    check("begins at offset 1" in text and "retention" in text, "refused when the log's start is gone:", text)


@test
def rebuild_after_a_crash_that_took_the_disk(lab):
    """Sent and not committed, committed and not sent: every event is on its topic once, every letter, too."""
    service = make_topics(lab.service("ashes", shards=2, reject__ratio__percent=0, commit__interval__ms=700))
    service.start()
    load = Load(service, "ashes.commands", [f"k{i}" for i in range(30)], 400, lambda key, n: "reject" if n % 50 == 0 else
                "retry:1" if n % 37 == 0 else "")
    eventually("it is under way", 20, lambda: service.effects() > 1000)
    service.kill()
    for name in os.listdir(os.path.dirname(store(service))):
        if ".db" in name:
            os.remove(os.path.join(os.path.dirname(store(service)), name))
    time.sleep(0.5)
    numbers = load.stop()
    sent = len(records(service, "ashes.events"))
    told = rebuild(service, "--replace")
    equal([s["compared"] for s in told["stores"]], [False, False], "nothing to compare with")
    check(sum(s["to_send"] for s in told["stores"]) > 0, "events after the last commit wait to be sent", told["stores"])
    equal(len(records(service, "ashes.events")), sent, "a rebuild sends nothing itself")
    good = {key: [n for n in each if n % 50] for key, each in numbers.items()}
    service.start()
    settled([service], total(good))
    service.idle()
    service.stop()
    service.check_exactly_once(good)
    dead = [r["header"]["bus-letter"] for r in records(service, "ashes.dlq")]
    equal((len(dead), len(set(dead))), (total(numbers) - total(good),) * 2, "letters, each once")
    events = records(service, "ashes.events")
    equal(len(events), total(good), "records on ashes.events")


# ---- what the others answer

SAID = '{"type":"record","name":"Said","namespace":"echo","fields":[{"name":"number","type":"long"},{"name":"text","type":"string"}]}'


@test
def publish_and_consume_round_trip(lab):
    service = make_topics(lab.service("typed", env={"ECHO_TYPED": "typed.said"}))
    service.start()
    schema = os.path.join(lab.work, "Said.avsc")
    with open(schema, "w") as file:
        file.write(SAID)
    wrote = [{"number": n, "text": text} for n, text in ((1, "a"), (2**62 + 1, 'quote " and \\'), (-5, "Grüße ☃"), (3, ""))]
    lines = "".join(json.dumps(w) + "\n" for w in wrote)
    said = bus_json(service, "publish", "typed.said", "-s", schema, "-k", "one", stdin=lines)[0]
    equal((said["lines"], said["acknowledged"], said["bad"], said["type"]), (4, 4, 0, "echo.Said"), "what publish says")
    read = [json.loads(line) for line in bus(service, "consume", "typed.said", "-o", "json").splitlines()]
    equal([r["value"] for r in read], wrote, "values read back")
    equal({r["key"] for r in read}, {"one"}, "keys")
    check(all(r["headers"]["ce_type"] == "echo.Said" if isinstance(r["headers"], dict) else True for r in read), "headers", read[0])
    service.done(4)
    equal(sorted(r[0] for r in service.sql("SELECT number FROM effect")), sorted(w["number"] for w in wrote), "numbers handled")

    # By the schema that is announced; a line that does not fit; all or nothing.
    bad = '{"number":7,"text":"x"}\n{"number":"seven","text":"x"}\n{"number":8}\n{"number":9,"text":"x"}\n'
    text = bus_says(service, "publish", "typed.said", "-t", "echo.Said", "-K", "text", stdin=bad, status=PARTIAL)
    check("2" in text and "3" in text, "the lines are named:", text)
    bus_says(service, "publish", "typed.said", "-t", "echo.Said", "--strict", "-", stdin=bad, status=ERROR)
    equal(len(records(service, "typed.said")), 6, "records: two good lines, and none of --strict")
    bus_says(service, "publish", "typed.said", "-t", "echo.Unheard", stdin=bad, status=ERROR)
    bus_says(service, "publish", "typed.nowhere", "-t", "echo.Said", stdin=bad, status=ERROR)
    bus_says(service, "publish", "typed.said", status=USAGE)
    bus_says(service, "publish", "typed.said", "-t", "echo.Said", os.path.join(lab.work, "nofile"), status=ERROR)

    equal(len(bus(service, "consume", "typed.said", "-k", "x", "-o", "json").splitlines()), 2, "by key")
    equal(len(bus(service, "consume", "typed.said", "-n", "3", "-o", "json").splitlines()), 3, "by limit")
    equal(len(bus(service, "consume", "typed.said", "@-1h:end", "-o", "json").splitlines()), 6, "by time")
    bus_says(service, "consume", "typed.said", "-k", "nobody", status=NOTHING)
    bus_says(service, "consume", "typed.said", "yesterday:today", status=USAGE)
    bus_says(service, "consume", "typed.nowhere", status=ERROR)
    service.stop()


@test
def answers_of_the_other_commands(lab):
    service = make_topics(lab.service("asked", shards=2, session__timeout__ms=6000))
    service.start()
    lab.kafka.produce("asked.commands", [(f"k{n}", str(n)) for n in range(10)])
    service.done(10)
    service.idle()
    eventually("lag tells 0", 30, lambda: {(row["topic"], row["lag"]) for row in bus_json(service, "lag", "asked") if "retry" not in
                                          row["topic"]} == {("asked.commands", 0), ("asked.redrive", 0)})
    lag = bus_json(service, "lag", "asked")
    equal(sum(row["partitions"] for row in lag if row["topic"] == "asked.commands"), 4, "partitions of the input")
    eventually("its heartbeat tells both shards", 40, lambda: [(p["service"], p["live"], p["held"], p["shard_count"], p["pid"]) for p in
                                                              bus_json(service, "services", "asked", status=None)]
               == [("asked", True, 2, 2, service.process.pid)])
    bus_says(service, "lag", "asked", "--max", "0", status=OK)
    service.stop()
    lab.kafka.produce("asked.commands", [(f"k{n}", str(n)) for n in range(10, 40)])
    time.sleep(1.1)
    row, = [row for row in bus_json(service, "lag", "asked") if row["topic"] == "asked.commands"]
    equal(row["lag"], 30, "messages behind")
    check(1 <= next(v for k, v in row.items() if "second" in k) < 60, "seconds behind", row)
    equal(sum(row["lag"] for row in bus_json(service, "lag", "asked", "--partitions")), 30, "by partition")
    bus_says(service, "lag", "asked", "--max", "29", status=PARTIAL)
    bus_says(service, "lag", "nobody", status=NOTHING)
    eventually("its end is told", 60, lambda: bus_json(service, "services", "asked")[0]["state"] in ("ended", "stale"))
    bus_says(service, "services", "nobody", status=NOTHING)

    # Topics.
    plan = bus_json(service, "topics", "plan", "--program", f"{service.program} --shards=2 --retry.tiers=100ms,300ms")
    equal({row["step"] for row in plan}, {"keep"}, "steps of a plan for what is there")
    plan = bus_json(service, "topics", "plan", "--program", f"{service.program} --shards=2 --retry.tiers=5s")
    equal([row["topic"] for row in plan if row["step"] == "create"], ["asked.retry.5s"], "a topic to make")
    check("asked.retry.5s" not in [row["topic"] for row in bus_json(service, "topics", "list")], "a plan makes nothing")
    made = bus_json(service, "topics", "apply", "--program", f"{service.program} --shards=2 --retry.tiers=5s")
    equal([row["topic"] for row in made if row["step"] == "create"], ["asked.retry.5s"], "the topic made")
    listed, = bus_json(service, "topics", "list", "asked.retry.5s")
    equal((listed["partitions"], listed["cleanup"], listed["retention_ms"]), (2, "delete", 7 * 86400 * 1000), "the topic as made")
    bus_json(service, "topics", "plan", "--program", f"{service.program} --shards=3", status=REFUSED)
    bus_json(service, "topics", "plan", "--program", f"{service.program} --shards=2 --retry.tiers=100ms,300ms --topics.retention.ms=30d", status=PARTIAL)
    bus_says(service, "topics", "list", "asked.nowhere", status=NOTHING)
    with open(os.path.join(lab.work, "asked.json"), "w") as file:
        file.write(run(service.program, "--topics", "--shards=2", env=service.environment))
    bus_json(service, "topics", "plan", "--file", file.name)

    # Every command's JSON is read by jq; usage, no broker, interruption.
    for words in (["lag"], ["services"], ["topics", "list"], ["topics", "plan"], ["dlq", "list", "--state", "all"], ["config"]):
        done = subprocess.run([BUS, *words, "-o", "json", "--bootstrap", service.kafka.servers], capture_output=True, text=True, timeout=60)
        check(done.returncode in (OK, PARTIAL, NOTHING), f"bus {' '.join(words)}: exit {done.returncode}", done.stderr)
        run("jq", "-e", "type", stdin=done.stdout or "null")
    for words in (["lag", "--nonsense"], ["nonsense"], ["dlq"], ["consume"], ["lag", "-o", "yaml"], ["lag", "--set", "bootstrap.server=x"]):
        equal(subprocess.run([BUS, *words], capture_output=True, timeout=60).returncode, USAGE, f"exit code of bus {' '.join(words)}")
    for words in (["lag"], ["services"], ["topics", "list"], ["consume", "asked.commands"], ["dlq", "list"]):
        done = subprocess.run([BUS, *words, "--bootstrap", "127.0.0.1:1", "--timeout", "1s"], capture_output=True, text=True, timeout=30)
        equal(done.returncode, UNREACHABLE, f"exit code of bus {' '.join(words)} without a broker ({done.stderr})")
        check("127.0.0.1:1" in done.stderr or "bootstrap" in done.stderr, "the message says where:", done.stderr)
    follow = lab.own(subprocess.Popen([BUS, "consume", "asked.commands", "-f", "--from", "start", "--bootstrap", service.kafka.servers, "-o", "json"],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    json.loads(follow.stdout.readline())
    follow.send_signal(signal.SIGINT)
    told = follow.communicate(timeout=10)[1]
    check(follow.returncode == INTERRUPTED and re.search("[0-9]+ events", told), "Ctrl-C ends following", follow.returncode, told)


main("b-operators", at_once=3)
