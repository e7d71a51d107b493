#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Logs that are not what they were: topics made again, logs that lost their tail, dead-letter topics that are compacted. Nothing of a new
log is passed over in silence: the service halts, says so at each start, and goes on when the loss is accepted."""
import glob
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
import lab  # noqa: E402
from instances import bus, bus_json, group_tool, refused, reset  # noqa: E402
from lab import check, equal, eventually, test  # noqa: E402


def send(service, numbers, word=""):
    service.kafka.produce(service.topic("commands"), [("a", f"{number}{word}") for number in numbers], partition=0)


def make_again(service, kind="commands"):
    service.kafka.delete(service.topic(kind))
    service.make_topics()


def halted(service, *patterns):
    equal(service.ended(60), 5, f"exit code; {service.last_words()}")
    said = [line["msg"] for line in service.lines() if line.get("level") == "error"][-1]
    for pattern in patterns:
        check(pattern in said, f"the message says {pattern!r}:", said)
    return said


def single(lab, name, **properties):
    return lab.service(name, topics__partitions=1, **properties).make_topics()


@test
def recreated_while_it_runs(lab):
    """It goes on at the same offset of the new topic, for all the client can see: but nothing of it is taken."""
    s = single(lab, "remade").start()
    send(s, range(1, 11))
    s.done(10)
    s.idle()
    make_again(s)
    send(s, range(11, 41))
    halted(s, "remade.commands/0", "was read", "--to-earliest")
    equal(s.effects(), 10, "effects of the new topic's events")
    code, said = refused(s)
    equal(code, 5, "exit code of another start")
    check("was read" in said or "is at" in said, "it says so again:", said)
    equal(s.effects(), 10, "effects after the refusal")
    group_tool(s, "--reset-offsets", "--topic", s.topic("commands"), "--to-earliest", "--execute")
    s.start()
    s.done(40)
    s.idle()
    s.check_exactly_once({"a": list(range(1, 41))})


@test
def gone_for_a_while(lab):
    """librdkafka looks for a topic that it does not find every five minutes only: the bus tells, and asks by itself."""
    s = single(lab, "gone").start()
    send(s, range(1, 11))
    s.done(10)
    s.idle()
    s.kafka.delete(s.topic("commands"))
    s.says("log_unchecked", "gone.commands/0 .*no such partition", 40)
    eventually("not ready", 20, lambda: s.get("/readyz") is None)
    s.make_topics()
    send(s, range(11, 21))
    halted(s, "gone.commands/0", "was read")
    equal(s.effects(), 10, "effects of the new topic's events")


@test
def recreated_while_it_stands(lab):
    """With the same keys and values at the same places: their time tells."""
    s = single(lab, "stood").start()
    send(s, range(1, 8))
    s.done(7)
    s.idle()
    s.stop()
    make_again(s)
    send(s, range(1, 13))
    code, said = refused(s)
    equal(code, 5, f"exit code; {s.last_words()}")
    check("stood.commands/0" in said and "another record" in said, "the message names the place:", said)
    equal(s.effects(), 7, "effects after the refusal")


@test
def ids_of_places_have_a_life(lab):
    """An event without ce_id is named by its place: in a topic made again it is none of the old letters."""
    s = single(lab, "placed").start()
    send(s, ["1 reject:1", "2"])
    eventually("a letter, and an effect", 20, lambda: len(s.letters()) == 1 and s.effects() == 1)
    s.idle()
    s.stop()
    make_again(s)
    send(s, [3, 4, 5])
    equal(refused(s)[0], 5, "exit code")
    reset(s, s.topic("commands"), 0)
    s.start()
    s.done(4)
    s.says("log_accepted", "placed.commands/0")
    letter = bus_json(s, "dlq", "list", s.name, "--letters")[0]["id"]
    bus(s, "dlq", "discard", letter, "--reason", "its topic is gone", "--yes")
    s.idle()
    equal(sorted(row[0] for row in s.sql("SELECT number FROM effect")), [2, 3, 4, 5], "numbers that took effect")
    s.stop()


@test
def recreated_retry_topic(lab):
    """Its records only trigger: it goes on, and what waits runs by its timer."""
    s = single(lab, "retried", retry__grace__ms=500).start()
    send(s, ["1 retry:1", "2 retry:1"])
    s.done(2)
    s.idle()
    s.stop()
    for kind in ("retry.100ms", "retry.300ms"):
        make_again(s, kind)
    s.start()
    send(s, ["3 retry:2"])
    s.done(3)
    s.idle()
    make_again(s, "retry.100ms")
    send(s, ["4 retry:1", "5 retry:1"])
    s.done(5, 60)
    s.idle(40)
    s.check_exactly_once({"a": [1, 2, 3, 4, 5]})
    s.stop()


def cut_log(directory, offset):
    """Takes the batches from an offset on out of a partition's only segment, as an unclean election would."""
    path = glob.glob(os.path.join(directory, "*.log"))[0]
    with open(path, "r+b") as log:
        while True:
            at = log.tell()
            head = log.read(12)
            if len(head) < 12:
                break
            base, length = struct.unpack(">qi", head)
            if base >= offset:
                log.truncate(at)
                break
            log.seek(length, os.SEEK_CUR)
    for index in glob.glob(os.path.join(directory, "*index")):
        os.unlink(index)


@test
def lost_its_tail_while_it_runs(lab):
    """Twenty records cut to ten, and filled again beyond where the service stands."""
    own = lab.broker()
    s = lab.service("tail", kafka=own, topics__partitions=1).make_topics().start()
    for first in (1, 11):
        send(s, range(first, first + 10))
    s.done(20)
    s.idle()
    own.node("stop")
    directory, = glob.glob(os.path.join(own.directory, "**", "tail.commands-0"), recursive=True)
    cut_log(directory, 10)
    for marker in glob.glob(os.path.join(os.path.dirname(directory), ".kafka_cleanshutdown")):
        os.unlink(marker)
    own.node("start")
    send(s, range(21, 46))
    halted(s, "tail.commands/0")
    equal(s.effects(), 20, "effects")
    equal(refused(s)[0], 5, "exit code of another start")
    reset(s, s.topic("commands"), 10)
    s.start()
    s.done(45)
    s.idle()
    s.check_exactly_once({"a": list(range(1, 46))})
    s.stop()


@test
def compacted_letters(lab):
    """A dead-letter topic that is compacted loses letters: told while the service runs, refused at its start."""
    s = single(lab, "packed").start()
    send(s, ["1 reject:1", "2"])
    eventually("a letter", 20, lambda: len(s.letters()) == 1)
    change = ("kafka-configs", "--alter", "--entity-type", "topics", "--entity-name", "packed.dlq", "--add-config")
    s.kafka.tool(*change, "cleanup.policy=compact")
    s.says("dlq_compacted", "packed.dlq has cleanup.policy compact.*cleanup.policy=delete", 60)
    eventually("not ready", 10, lambda: s.get("/readyz") is None)
    s.stop()
    code, said = refused(s)
    equal(code, 5, "exit code")
    check("packed.dlq has cleanup.policy compact" in said, "the message names topic and policy:", said)
    s.kafka.tool(*change, "cleanup.policy=delete")
    s.start()
    s.idle()
    s.stop()


def dead_letters(s):
    return bus_json(s, "dlq", "list", s.name, "--letters", status=None) or []


@test
def lost_letters(lab):
    """The records of open letters are deleted while the service runs, or their topic is made again while it stands: it publishes them again,
    and the tools can redrive them. A letter that holds its key has its event with it, one that does not says where that is."""
    held = lab.service("forgot", env={"ECHO_HOLD": "1"}, topics__partitions=1).make_topics().start()
    free = single(lab, "parted").start()
    for s in (held, free):
        send(s, ["1 reject:1", "2"])
        eventually("a letter", 20, lambda s=s: len(s.letters()) == 1)
        eventually("nothing is in the outbox", 20, lambda s=s: not s.sql("SELECT 1 FROM bus_outbox"))
    held.kafka.delete_below("forgot.dlq", 0, 1)
    held.says("letters_lost", "forgot.dlq no longer has 1 of the open dead letters", 60)
    free.stop()
    make_again(free, "dlq")
    free.start()
    free.says("letters_lost", "parted.dlq no longer has 1 of the open dead letters")
    for s in (held, free):
        eventually("the letter again", 20, lambda s=s: len(dead_letters(s)) == 1)
        equal(s.metric("bus_dead_letters_republished_total"), 1, "letters published again")
        (letter,) = dead_letters(s)
        equal((letter["topic"], letter["state"]), (s.topic("commands"), "open"), "the letter")
        check("reject" in bus(s, "dlq", "show", letter["id"]) or s is free, "its event is shown")
        check("failed again" in bus(s, "dlq", "redrive", "--all", "--service", s.name, "--yes", "--wait", "30s", status=3), "a redrive runs it")
        check("reject" in bus(s, "dlq", "show", letter["id"]), "its event is whole again")
        bus(s, "dlq", "discard", "--all", "--service", s.name, "--yes", "--wait", "30s", "--reason", "a test")
        s.idle()
        equal(s.effects(), 1, "what waited behind it has run")


def unfit(s, *patterns):
    """It refuses to start; the message says what to do."""
    code, said = refused(s)
    equal(code, 5, said)
    for pattern in patterns:
        check(pattern in said, f"the message says {pattern!r}:", said)


@test
def topics_made_again_with_other_partitions(lab):
    """What each message says to do works, also for a service that ran."""
    s = lab.service("shaped", shards=2, env={"ECHO_HOLD": "1"}).make_topics().start()
    s.kafka.produce(s.topic("commands"), [(f"k{n % 8}", str(n)) for n in range(1, 41)])
    s.done(40)
    s.idle()
    s.stop()
    for kind, partitions, pattern in (("dlq", 1, "--alter --partitions 2"), ("redrive", 1, "--alter --partitions 2"),
                                      ("redrive", 3, "delete the topic and run `bus topics apply`"),
                                      ("retry.100ms", 3, "delete it and run `bus topics apply`")):
        s.kafka.delete(s.topic(kind))
        s.kafka.create(s.topic(kind), partitions, **({} if "retry" in kind else {"retention_ms": -1}))
        unfit(s, pattern)
        if "alter" in pattern:
            s.kafka.add_partitions(s.topic(kind), 2)
        else:
            make_again(s, kind)
    s.start()
    s.kafka.produce(s.topic("commands"), [(f"k{n % 8}", str(n)) for n in range(41, 61)])
    s.done(60)
    s.idle()


lab.main("logs")
