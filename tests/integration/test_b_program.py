#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A program that calls its service from threads of its own: bus_transact, bus_read, bus_request, bus_publish, bus_fd."""
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from lab import BUILD, check, equal, eventually, keyed, main, test
from instances import bus_says, make_topics, records

TELLER = os.path.join(BUILD, "tests", "services", "teller")


def teller(lab, name, shards=1, **properties):
    service = lab.service(name, shards=shards, env={"TELLER_NAME": name}, session__timeout__ms=6000, **properties)
    service.program = TELLER
    return make_topics(service)


def begin(service, run_name, *mode):
    """Starts teller in one of its modes; its lines go to a file."""
    out = os.path.join(service.lab.work, f"{service.name}-{run_name}.out")
    with open(out, "wb") as lines, open(service.log_file, "ab") as log:
        process = service.lab.own(subprocess.Popen([TELLER, *mode, *service.arguments()], stdin=subprocess.DEVNULL, stdout=lines, stderr=log,
                                                   env={**service.environment, "TELLER_RUN": run_name}))
    return process, out


def said(path):
    with open(path) as file:
        return [line.rstrip("\n").split(" ", 1) for line in file if line.endswith("\n")]


def whole(service, texts, at_least=False):
    """Each of the texts is entered once and said once; `at_least`: others may be, too."""
    rows = service.sql("SELECT text, times FROM entry")
    equal([row for row in rows if row[1] != 1], [], "entries not made once")
    entered = {row[0] for row in rows}
    missing = sorted(set(texts) - entered)
    equal(missing, [], "texts answered for and not in the store")
    if not at_least:
        equal(sorted(entered - set(texts)), [], "texts nobody was told of")
    events = records(service, f"{service.name}.events")
    ids = {event["header"]["ce_id"]: event["header"]["bus-hop"] for event in events}
    equal(len(ids), len(entered), "events said, by id")
    equal(len({event["header"]["bus-hop"] for event in events}), len(ids), "events said, by hop")
    numbers = [json.loads(line)["value"]["text"] for line in
               subprocess.run([os.path.join(BUILD, "bin", "bus"), "consume", f"{service.name}.events", "-o", "json", "-q", "--bootstrap",
                               service.kafka.servers], capture_output=True, text=True, check=True).stdout.splitlines()]
    equal(sorted(set(numbers)), sorted(entered), "texts said")
    return len(events) - len(ids) # copies of one record


@test
def sixty_four_callers(lab):
    service = teller(lab, "counter")
    process, out = begin(service, "first", "callers", "64", "100")
    equal(process.wait(60), 0, f"exit code ({service.last_words()})")
    lines = said(out)
    equal({word for word, _ in lines}, {"ok"}, "what the callers were told")
    equal(len(lines), 6400, "entries made")
    equal(service.sql("SELECT count(*) FROM bus_outbox"), [(0,)], "rows left in the outbox: bus_close drains")
    equal(whole(service, [text for _, text in lines]), 0, "copies of an event")

    # No topic tells what bus_transact wrote.
    program = " ".join([TELLER, *service.arguments()])
    text = bus_says(service, "rebuild", "--program", program, "--set", f"data.dir={service.data}", status=5)
    check("bus_transact wrote" in text, "rebuild is refused:", text)


@test
def killed_while_64_call(lab):
    """What a caller was told is durable is there after kill -9, and its event arrives, once."""
    service = teller(lab, "killed")
    texts = []
    for turn in ("one", "two"):
        process, out = begin(service, turn, "callers", "64", "100000")
        eventually(f"entries are made; {service.last_words()}", 30, lambda: len(said(out)) > 1000)
        process.kill()
        process.wait()
        lines = said(out)
        equal({word for word, _ in lines}, {"ok"}, "what the callers were told")
        texts += [text for _, text in lines]
    service.start()
    service.idle()
    service.stop()
    whole(service, texts, at_least=True)


@test
def callers_of_a_shard_elsewhere(lab):
    """A key of another process's shard gives BUS_ELSEWHERE; the same entry by bus_request is made there, and answered."""
    service = teller(lab, "apart", shards=2)
    service.start()
    process, out = begin(service, "near", "callers", "8", "400")
    equal(process.wait(60), 0, f"exit code ({said(out)[-3:]})")
    lines = said(out)
    equal(len(lines), 3200, "entries made")
    equal({word for word, _ in lines}, {"ok", "asked"}, "both ways were taken")
    check(service.process.poll() is None, "the other process lives")

    # And from a program without a service.
    process, out = begin(service, "far", "outsider", "16", "20")
    equal(process.wait(60), 0, f"exit code ({said(out)[-3:]})")
    more = said(out)
    equal(({word for word, _ in more}, len(more)), ({"asked"}, 320), "what the outsider was told")
    eventually("the shards are together again", 20, lambda: service.get("/readyz") and service.metric("bus_lag_messages") == 0)
    service.idle()
    service.stop()
    whole(service, [text for _, text in lines + more])


@test
def event_loop(lab):
    """Callbacks wait for bus_dispatch and run on its thread."""
    service = teller(lab, "looped")
    process, out = begin(service, "loop", "loop", "500")
    equal(process.wait(60), 0, f"exit code ({service.last_words()})")
    with open(out) as file:
        told = json.loads(file.read())
    equal({k: told[k] for k in ("transacted", "published", "failed", "strangers", "early", "readable_after")},
          {"transacted": 500, "published": 500, "failed": 0, "strangers": 0, "early": 0, "readable_after": 0}, "what the loop saw")
    check(told["woken"] > 0, "it was woken")
    service.start()
    eventually("what was published is handled", 20, lambda: service.sql("SELECT count(*) FROM entry") == [(1000,)])
    service.idle()
    service.stop()
    whole(service, [f"loop-async-{i}" for i in range(500)] + [f"loop-published-{i}" for i in range(500)])


@test
def limits(lab):
    service = teller(lab, "bounds", shards=2, store__read__max__ms=300)
    process, out = begin(service, "limits", "limits")
    equal(process.wait(60), 0, f"exit code ({service.last_words()})")
    with open(out) as file:
        told = {line["what"]: line for line in map(json.loads, file)}
    equal({what: line["status"] for what, line in told.items() if "status" in line},
          {"good": "BUS_OK", "rejected": "BUS_REFUSED", "ddl": "BUS_INVALID", "too big": "BUS_TOO_BIG", "no key": "BUS_INVALID", "read": "BUS_OK",
           "write by reader": "BUS_STORE", "slow reader": "BUS_TIMEOUT", "inside": "BUS_OK", "deadline": "BUS_TIMEOUT"}, "answers")
    check("not today" in told["rejected"]["text"], "the reason is handed on:", told["rejected"])
    check(300 <= told["slow reader"]["ms"] < 20000, "a slow reader is interrupted in time", told["slow reader"])
    check(700 <= told["deadline"]["ms"] < 20000, "a request ends at its deadline", told["deadline"])
    equal((told["counts"]["entries"], told["counts"]["inside"]), (1, "BUS_INVALID"), "entries read, and bus_transact inside a handler")
    service.start()
    service.idle()
    service.stop()
    equal(sorted(row[0] for row in service.sql("SELECT text FROM entry")), ["limit", "unanswered"], "entries")


@test
def a_second_signal_ends_it_at_once(lab):
    """The first one waits for the broker, which is away; nothing is lost by the second."""
    kafka = lab.broker()
    service = lab.service("hasty", kafka=kafka, drain__timeout__ms=60000).make_topics()
    events, numbers = keyed(["a", "b"], 3000, word=lambda key, number: " sleep:4")
    kafka.produce(service.topic("commands"), events)
    service.start()
    eventually("it is amid them", 20, lambda: service.effects() > 50)
    kafka.node("pause")
    eventually("rows are out that nobody acknowledges", 20, lambda: (time.sleep(1), service.metric("bus_outbox_bytes"))[1])
    service.process.send_signal(signal.SIGTERM)
    service.says("signal", "SIGTERM: .*a second signal ends it at once")
    time.sleep(1)
    equal(service.process.poll(), None, "it is still there while it drains")
    since = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    equal(service.ended(20), 130, "exit code after the second")
    check(time.monotonic() - since < 15, "it ended at once")
    kafka.node("resume")
    service.start()
    service.done(3000, 90)
    service.idle(30)
    service.check_exactly_once(numbers)
    service.stop()


main("b-program", at_once=3)
