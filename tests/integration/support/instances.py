# SPDX-License-Identifier: MIT
"""Further to lab.py: several processes of one service on one data directory, a load that goes on beside them, Kafka's own offset tool."""
import copy
import json
import os
import subprocess
import threading
import time

from lab import BUS, Failure, eventually, free_port, in_full, run


def twin(service, number=2):
    """Another process of the same service: same name, stores and topics, own port and log."""
    other = copy.copy(service)
    other.port, other.process = free_port(), None
    other.log_file = service.log_file.replace(".log", f"-{number}.log")
    other.environment = dict(service.environment)
    return other


class Load(threading.Thread):
    """Sends events over `keys` in turn, `rate` a second, until told to stop; numbers rise by key. `word` gives the rest of the value."""

    def __init__(self, service, topic, keys, rate, word=lambda key, number: "", first=1):
        super().__init__(daemon=True)
        self.keys, self.rate, self.word, self.number = keys, rate, word, first
        self.numbers, self.ending, self.failure = {}, threading.Event(), None
        self.kcat = service.lab.own(subprocess.Popen(
            ["kcat", "-b", service.kafka.servers, "-P", "-t", topic, "-K", "\t", "-X", "topic.partitioner=murmur2_random", "-X",
             "enable.idempotence=true"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
        self.start()

    def run(self):
        began, sent = time.monotonic(), 0
        try:
            while not self.ending.wait(0.05):
                while sent < (time.monotonic() - began) * self.rate:
                    key, number = self.keys[sent % len(self.keys)], self.number
                    word = self.word(key, number)
                    self.kcat.stdin.write(f"{key}\t{number}{' ' + word if word else ''}\n")
                    self.numbers.setdefault(key, []).append(number)
                    self.number, sent = number + 1, sent + 1
                self.kcat.stdin.flush()
        except OSError as why:
            self.failure = why

    def stop(self):
        """What was sent, key -> numbers; every one acknowledged."""
        self.ending.set()
        self.join()
        said = self.kcat.communicate(timeout=30)[1]
        if self.failure or self.kcat.returncode != 0:
            raise Failure(f"the load could not be sent: {self.failure} {said}")
        return self.numbers


def both(*all_numbers):
    """Numbers of several loads together."""
    out = {}
    for numbers in all_numbers:
        for key, each in numbers.items():
            out.setdefault(key, []).extend(each)
    return out


def total(numbers):
    return sum(len(each) for each in numbers.values())


def settled(services, count, seconds=40):
    """Until that many effects are there, no outbox row and no waiting key is left in any store."""
    service = services[0]

    def whole():
        for each in services:
            if each.process and each.process.poll() is not None:
                raise Failure(f"a process of {each.name} ended with {each.process.returncode}; {each.last_words()}")
        return (service.effects() >= count and not service.sql("SELECT 1 FROM bus_outbox LIMIT 1")
                and not service.sql("SELECT 1 FROM bus_parked LIMIT 1"))
    try:
        eventually("", seconds, whole)
    except Failure as why:
        if not str(why).startswith("not within"):
            raise
        raise Failure(f"{service.name}: {service.effects()} of {count} effects, {service.sql('SELECT count(*) FROM bus_outbox')} rows in "
                      f"outboxes after {seconds} s; {' || '.join(each.last_words() for each in services)}") from None


def held(service):
    """The shards that this process has open and flowing, by its log."""
    mine = set()
    for line in service.lines():
        words = line["msg"].split()
        if line.get("event") == "shard_taken":
            mine.add(int(words[1]))
        elif line.get("event") == "shard_released":
            mine.discard(int(words[1]))
    return mine


def bus(service, *words, status=0, stdin=None):
    """The bus command, told the brokers."""
    return run(BUS, *words, "--bootstrap", service.kafka.servers, env=service.environment, status=status, stdin=stdin)


def bus_json(service, *words, status=0, stdin=None):
    return json.loads(bus(service, *words, "-o", "json", status=status, stdin=stdin))


def bus_says(service, *words, status, stdin=None):
    """What it writes to stderr, with that exit status."""
    done = subprocess.run([BUS, *words, "--bootstrap", service.kafka.servers], env=service.environment, capture_output=True, timeout=60,
                          input=stdin, text=True, **({} if stdin is not None else {"stdin": subprocess.DEVNULL}))
    if done.returncode != status:
        raise Failure(f"bus {' '.join(words)}: exit {done.returncode}, expected {status}\n{done.stdout}{done.stderr}")
    return done.stderr


def refused(service, **more):
    """Starts it, expects it to end by itself; (exit code, its last error's text)."""
    service.start(ready=False, **more)
    code = service.ended(30)
    errors = [line["msg"] for line in service.lines() if line.get("level") == "error" or line.get("event") == "text"]
    return code, errors[-1] if errors else ""


def store(service, shard=0):
    return os.path.join(service.data, service.name, f"{shard}.db")


def make_topics(service, partitions=None):
    """As Service.make_topics, with so many partitions of inputs and outputs."""
    properties = {k: v for k, v in service.properties.items() if k in ("shards", "retry.tiers")}
    if partitions:
        properties["topics.partitions"] = partitions
    bus(service, "topics", "apply", "--program", " ".join([service.program, *(f"--{k}={v}" for k, v in properties.items())]))
    return service


def group_tool(service, *words):
    """Kafka's own tool on the service's group, which must be empty: a stopped process is a member until its session ends."""
    said = ""

    def accepted():
        nonlocal said
        said = run(service.kafka.script, "tool", "kafka-consumer-groups", "--bootstrap-server", service.kafka.servers, "--group",
                   service.name, *words, status=None)
        return "rror" not in said
    try:
        eventually("", 20, accepted)
    except Failure:
        raise Failure(f"kafka-consumer-groups {' '.join(words)}: {said}") from None
    return said


def reset(service, topic, offset):
    group_tool(service, "--reset-offsets", "--topic", topic, "--to-offset", str(offset), "--execute")


def records(service, topic):
    """All records of a topic as kcat's JSON tells them, headers as a list of pairs."""
    text = run("kcat", "-b", service.kafka.servers, "-C", "-t", topic, "-e", "-q", "-o", "beginning", "-J")
    out = [json.loads(line) for line in text.splitlines()]
    for record in out:
        flat = record.get("headers", [])
        record["pairs"] = list(zip(flat[0::2], flat[1::2]))
        record["header"] = in_full(dict(record["pairs"]))
    return out


def send_again(service, record):
    """The very same record once more, to the same partition."""
    headers = [word for name, value in record["pairs"] for word in ("-H", f"{name}={value}")]
    run("kcat", "-b", service.kafka.servers, "-P", "-t", record["topic"], "-p", str(record["partition"]), "-K", "\t", *headers,
        stdin=f"{record['key']}\t{record['payload']}\n")
