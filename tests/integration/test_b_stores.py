#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is under the service changes while it is stopped: offsets by Kafka's own tool, its store, its topics."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from lab import check, equal, eventually, main, run, test
from instances import group_tool, make_topics, refused, reset, store, twin

REFUSED = 5


def texts(first, last):
    return [("k", str(i)) for i in range(first, last + 1)]


def numbers_times(service):
    """number -> how often it took effect"""
    return dict(service.sql("SELECT number, times FROM effect ORDER BY number"))


def small(lab, name, **properties):
    """One shard, one partition: offsets are numbers less one."""
    return make_topics(lab.service(name, session__timeout__ms=6000, **properties), 1)


@test
def offsets_reset_by_kafkas_tool(lab):
    """Forward skips; backward delivers again, foreign events and those of the bus alike; the store takes over the commit."""
    service = small(lab, "resets")
    reader = small(lab, "echoed", env={"ECHO_TYPED": "resets.events"})
    lab.kafka.produce("resets.commands", texts(1, 20))
    service.start()
    reader.start()
    service.done(20)
    reader.done(20)
    service.idle()
    service.stop()
    lab.kafka.produce("resets.commands", texts(21, 40))

    reset(service, "resets.commands:0", 30)
    service.start()
    check("going on from there" in service.says("offset_reset", r"resets.commands/0: someone committed offset 30, the store was at 20"),
          "the reset is told")
    service.done(30)
    equal(numbers_times(service), {n: 1 for n in [*range(1, 21), *range(31, 41)]}, "effects after a reset forward")
    service.idle()
    reader.done(30)
    service.stop()
    reader.stop()

    reset(service, "resets.commands:0", 5)
    reset(reader, "resets.events:0", 10)
    service.start()
    service.says("offset_reset", "someone committed offset 5, the store was at 40")
    again = {**{n: 1 for n in range(1, 6)}, **{n: 2 for n in [*range(6, 21), *range(31, 41)]}, **{n: 1 for n in range(21, 31)}}
    eventually("what was delivered again took effect again", 20, lambda: numbers_times(service) == again)
    service.idle()
    # A rerun emits under the same ids: each event that is there again is a copy.
    events = lab.kafka.consume("resets.events")
    equal(len({e["headers"]["ce_id"] for e in events}), 40, "ids on resets.events")
    equal(len(events), 30 + 35, "records on resets.events")
    # The reader forgot partition 0's marks, so 20 old and 35 new records run; its store counts by event id.
    reader.start()
    reader.says("offset_reset", "someone committed offset 10, the store was at 30")
    eventually("the reader ran them", 20, lambda: sum(numbers_times(reader).values()) == 30 + 20 + 35)
    service.stop()
    service.start()
    lab.kafka.produce("resets.commands", texts(41, 42))
    service.done(42)
    equal(len(service.lines("offset_reset")), 2, "the foreign commit is overwritten, once")


@test
def store_of_another_service(lab):
    one, two = small(lab, "mine"), small(lab, "yours")
    for service in (one, two):
        lab.kafka.produce(service.topic("commands"), texts(1, 3))
        service.start().done(3)
        service.idle()
        service.stop()
    # A store is a file and its -wal: they move together.
    kept = one.data + "-kept"
    shutil.copytree(one.data, kept)
    for name in os.listdir(os.path.dirname(store(two))):
        if name.startswith("0.db"):
            shutil.copy(os.path.join(os.path.dirname(store(two)), name), os.path.dirname(store(one)))
    code, text = refused(one)
    equal(code, REFUSED, f"exit code with the store of another service ({text})")
    check("yours" in text and "mine" in text and store(one) in text, "the message names both and the file:", text)
    shutil.rmtree(one.data)

    # The same name, but an empty directory: on the wrong host, or the volume is not mounted.
    stranger = twin(one, "stranger")
    stranger.data = one.data + "-elsewhere"
    stranger.properties = {**one.properties, "data.dir": stranger.data}
    for attempt in ("at first", "again"):
        code, text = refused(stranger)
        equal(code, REFUSED, f"exit code with an empty directory, {attempt} ({text})")
        check("directory has none" in text and "--init" in text, "the message says what is missing and what to do:", text)
    equal(stranger.sql("SELECT * FROM effect"), [], "effects of a start that was refused")

    # The right one goes on as if nothing had been.
    os.rename(kept, one.data)
    lab.kafka.produce("mine.commands", texts(4, 5))
    one.start().done(5)
    one.idle()
    one.stop()
    equal(numbers_times(one), {n: 1 for n in range(1, 6)}, "effects in the right store")

    # --init: the former store is given up, the new one begins at the logs' start; then the old one is refused.
    stranger.process = lab.own(launch(stranger, "--init"))
    stranger.wait_ready()
    stranger.done(5)
    stranger.idle()
    stranger.stop()
    stranger.start().stop() # without --init from now on
    code, text = refused(one)
    equal(code, REFUSED, f"exit code of the store that was given up ({text})")
    check("is not the store" in text, "the message:", text)


def launch(service, *flags):
    with open(service.log_file, "ab") as log:
        return subprocess.Popen([service.program, *flags, *service.arguments(status__port=service.port)], env=service.environment,
                                stdin=subprocess.DEVNULL, stdout=log, stderr=log)


@test
def older_copy_of_the_store(lab):
    service = small(lab, "copied")
    lab.kafka.produce("copied.commands", texts(1, 5))
    service.start().done(5)
    service.idle()
    service.stop()
    shutil.copytree(service.data, service.data + "-old")
    lab.kafka.produce("copied.commands", texts(6, 10))
    service.start().done(10)
    service.idle()
    service.stop()
    os.rename(service.data, service.data + "-new")
    shutil.copytree(service.data + "-old", service.data)
    code, text = refused(service)
    equal(code, REFUSED, f"exit code with an older copy ({text})")
    check("older copy" in text and "rebuild" in text, "the message:", text)
    shutil.rmtree(service.data)
    os.rename(service.data + "-new", service.data)
    lab.kafka.produce("copied.commands", texts(11, 12))
    service.start().done(12)
    service.idle()
    service.stop()
    service.check_exactly_once({"k": list(range(1, 13))})


@test
def store_and_commits_both_gone(lab):
    """Its topics hold letters, so it ran before: it must not begin again by itself."""
    service = small(lab, "vanished", retry__attempts=1)
    lab.kafka.produce("vanished.commands", [("k", "1"), ("k", "2 reject"), ("k", "3")])
    service.start().done(2)
    service.idle()
    service.stop()
    group_tool(service, "--delete")
    shutil.rmtree(service.data)
    code, text = refused(service)
    equal(code, REFUSED, f"exit code without store and commits ({text})")
    check("it ran before" in text and "--init" in text, "the message:", text)
    service.process = lab.own(launch(service, "--init"))
    service.wait_ready()
    service.done(2)
    service.stop()


@test
def topic_made_again(lab):
    """With fewer records: the position is past the end. With as many: the anchor has other bytes."""
    service = small(lab, "remade")
    lab.kafka.produce("remade.commands", texts(1, 10))
    service.start().done(10)
    service.idle()
    service.stop()
    remake(lab, "remade.commands")
    lab.kafka.produce("remade.commands", texts(101, 103))
    code, text = refused(service)
    equal(code, REFUSED, f"exit code past the end ({text})")
    check("ends at offset 3" in text and "is at 10" in text and "recreated" in text, "the message:", text)
    lab.kafka.produce("remade.commands", texts(104, 112))
    code, text = refused(service)
    equal(code, REFUSED, f"exit code with another anchor ({text})")
    check("remade.commands/0" in text and "recreated" in text, "the message:", text)
    equal(service.effects(), 10, "effects")
    # The way out that the messages name.
    reset(service, "remade.commands:0", 0)
    service.start()
    # Records without ce_id are named by their place, so the new ones at old places count as the same events once more.
    eventually("all of the new topic has run", 20, lambda: sum(numbers_times(service).values()) == 22)
    equal(service.sql("SELECT number, count FROM last"), [(112, 22)], "last number and count of the key")
    service.stop()


@test
def log_start_past_the_position(lab):
    service = small(lab, "expired")
    lab.kafka.produce("expired.commands", texts(1, 10))
    service.start().done(10)
    service.idle()
    service.stop()
    lab.kafka.produce("expired.commands", texts(11, 20))
    truncate(lab, "expired.commands", 15)
    code, text = refused(service)
    equal(code, REFUSED, f"exit code with a hole in the log ({text})")
    check("begins at offset 15" in text and "is at 10" in text, "the message:", text)
    reset(service, "expired.commands:0", 15)
    service.start().done(15)
    service.stop()
    equal(sorted(numbers_times(service)), [*range(1, 11), *range(16, 21)], "numbers that took effect")


def truncate(lab, topic, before):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as plan:
        json.dump({"partitions": [{"topic": topic, "partition": 0, "offset": before}], "version": 1}, plan)
        plan.flush()
        lab.kafka.tool("kafka-delete-records", "--offset-json-file", plan.name)


def remake(lab, topic):
    lab.kafka.delete(topic)

    def made():
        return "Created" in run(lab.kafka.script, "tool", "kafka-topics", "--bootstrap-server", lab.kafka.servers, "--create", "--topic",
                                topic, "--partitions", "1", status=None)
    eventually(f"{topic} is made again", 15, made)


main("b-stores", at_once=3)
