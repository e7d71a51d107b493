# SPDX-License-Identifier: MIT
"""A real Kafka, the echo service and what is asked of them, for integration tests written in Python.

A test is a function taking a Lab, marked @test; main() runs them, several at once, and prints "N passed, N failed". One
that this machine cannot run raises Skip(why): scripts/run-tests counts it apart and shows why.
Tests share the lab's broker; each has services, and so topics, of its own name."""
import concurrent.futures
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BUILD = os.path.join(os.path.join(PROJECT, os.environ.get("BUS_BUILD", "build")), os.environ.get("VARIANT", "debug"))
BUS = os.path.join(BUILD, "bin", "bus")
ECHO = os.path.join(BUILD, "tests", "services", "echo")


class Failure(Exception):
    pass


class Skip(Exception):
    """What this machine lacks for the test."""


def check(holds, what, *more):
    if not holds:
        raise Failure(" ".join([what, *(repr(m) for m in more)]))


def equal(got, wanted, what):
    if got == wanted:
        return
    if isinstance(got, set) and isinstance(wanted, set):
        raise Failure(f"{what}: {len(wanted - got)} missing, {len(got - wanted)} too many, as {sorted(got ^ wanted)[:3]!r}")
    raise Failure(f"{what}: got {repr(got)[:800]}, expected {repr(wanted)[:800]}")


def eventually(what, seconds, holds):
    """Asks until it holds, and returns what it said."""
    end = time.monotonic() + seconds
    while True:
        said = holds()
        if said:
            return said
        if time.monotonic() > end:
            raise Failure(f"not within {seconds} s: {what}")
        time.sleep(0.05)


given, giving = set(), threading.Lock()


def free_port():
    """Each once: who asked has it, though it may not be bound yet."""
    with giving:
        while True:
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                port = s.getsockname()[1]
            if port not in given:
                given.add(port)
                return port


def run(*command, stdin=None, env=None, status=0, timeout=60):
    """Runs a program to its end; its standard output. status None: any."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(command, input=data, env=env, capture_output=True, timeout=timeout,
                          stdin=None if data is not None else subprocess.DEVNULL)
    text = done.stdout.decode(errors="replace")
    if status is not None and done.returncode != status:
        raise Failure(f"{' '.join(command)}: exit {done.returncode}, expected {status}\n{text}{done.stderr.decode(errors='replace')}")
    return text


def succeeds(*command, timeout=60):
    return subprocess.run(command, capture_output=True, timeout=timeout, stdin=subprocess.DEVNULL).returncode == 0


def in_full(headers):
    """Each attribute under its name, where bus-hop has it as a letter; after docs/wire.md, written apart from the library."""
    names = {"i": "ce_id", "y": "ce_type", "c": "ce_causationid", "r": "ce_correlationid", "p": "traceparent"}
    source, _, *letters = headers.get("bus-hop", "").split(" ") + [""]
    said = {names[letter[0]]: letter[2:] for letter in letters if letter[1:2] == "=" and letter[0] in names}
    implied = {"ce_specversion": "1.0", "ce_source": source.split("/")[0], "content-type": "application/avro"} if "ce_id" in said else {}
    if "ce_causationid" in said:
        implied["ce_correlationid"] = said["ce_causationid"]
    return {**implied, **headers, **said}


class Kafka:
    """One broker of the pinned version, in a directory of its own."""

    def __init__(self, directory, *more, port="auto"):
        self.directory = directory
        self.script = os.path.join(PROJECT, "scripts", "kafka")
        self.up("--port", str(port), *more)
        self.servers = run(self.script, "address", "--dir", directory).strip()
        with open(os.path.join(directory, "node-1", "server.log")) as log:
            version = re.search(r"Kafka version: (\S+)", log.read())
        check(version and version[1].startswith("4."), "the broker must be Kafka 4.x, not", version and version[1])

    def up(self, *more):
        run(self.script, "up", "--dir", self.directory, "--timeout", "180", *more, timeout=240)

    def node(self, verb):
        run(self.script, verb, "--dir", self.directory, "--node", "1", "--timeout", "180", timeout=240)

    def tool(self, name, *arguments):
        return run(self.script, "tool", name, "--bootstrap-server", self.servers, *arguments)

    # ---- topics

    def create(self, topic, partitions=1, **settings):
        more = [word for name, value in settings.items() for word in ("--config", f"{name.replace('_', '.')}={value}")]
        self.tool("kafka-topics", "--create", "--topic", topic, "--partitions", str(partitions), *more)
        self.known(topic, partitions)

    def delete(self, topic):
        self.tool("kafka-topics", "--delete", "--topic", topic)
        self.known(topic, 0)

    def add_partitions(self, topic, partitions):
        self.tool("kafka-topics", "--alter", "--topic", topic, "--partitions", str(partitions))
        self.known(topic, partitions)

    def known(self, topic, partitions):
        """Waits until clients see so many partitions, each with a leader: Kafka's tools come back before that."""
        def seen():
            told = json.loads(run("kcat", "-b", self.servers, "-L", "-J", "-t", topic))
            leaders = [p["leader"] for t in told["topics"] if t["topic"] == topic for p in t["partitions"]]
            return len(leaders) == partitions and all(leader >= 0 for leader in leaders)
        eventually(f"clients see {partitions} partitions of {topic}", 30, seen)

    def produce(self, topic, events, headers=(), partition=None):
        """events: (key, value) pairs of text without tabs or line ends."""
        more = [word for header in headers for word in ("-H", header)]
        if partition is not None:
            more += ["-p", str(partition)]
        run("kcat", "-b", self.servers, "-P", "-t", topic, "-K", "\t", "-X", "topic.partitioner=murmur2_random", "-X", "enable.idempotence=true", *more,
            stdin="".join(f"{key}\t{value}\n" for key, value in events))

    def produce_bytes(self, topic, key, value, headers=()):
        """One record of any bytes; None: a tombstone."""
        more = [word for header in headers for word in ("-H", header)]
        if value is None:
            run("kcat", "-b", self.servers, "-P", "-t", topic, "-K", "\t", "-Z", "-X", "topic.partitioner=murmur2_random", "-X", "enable.idempotence=true", *more,
                stdin=f"{key}\t\n")
            return
        with tempfile.NamedTemporaryFile() as file:
            file.write(value)
            file.flush()
            run("kcat", "-b", self.servers, "-P", "-t", topic, "-k", key, "-X", "topic.partitioner=murmur2_random",
                *more, file.name)

    def produce_at(self, topic, timestamp, key):
        """One record with that CreateTime: copied by the bus from a line that says it."""
        run(os.path.join(BUILD, "tests", "services", "stamp"), self.servers, topic, str(timestamp), key)

    def delete_below(self, topic, partition, offset):
        """The log begins at `offset` then, as when retention has taken what is below."""
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump({"partitions": [{"topic": topic, "partition": partition, "offset": offset}], "version": 1}, file)
            file.flush()
            self.tool("kafka-delete-records", "--offset-json-file", file.name)

    def consume(self, topic):
        """Every record now on the topic, oldest first in each partition; read by kcat, which knows nothing of the bus."""
        text = run("kcat", "-b", self.servers, "-C", "-t", topic, "-e", "-q", "-o", "beginning",
                   "-f", r"%p\x1f%o\x1f%k\x1f%h\x1f%S\x1e")
        records = []
        for line in text.split("\x1e")[:-1]:
            partition, offset, key, headers, size = line.split("\x1f")
            # A value may hold commas: only a name and "=" begin the next header.
            pairs = re.findall(r"(?:^|,)([a-zA-Z_.\-]+)=(.*?)(?=,[a-zA-Z_.\-]+=|$)", headers, re.S)
            records.append({"partition": int(partition), "offset": int(offset), "key": key, "headers": in_full(dict(pairs)), "sent": dict(pairs),
                            "size": int(size)})
        return records


class Service:
    """One echo service: its processes, its stores, its topics."""

    def __init__(self, lab, name, shards=1, env=None, kafka=None, **properties):
        self.lab, self.name, self.shards, self.kafka = lab, name, shards, kafka or lab.kafka
        self.data = os.path.join(lab.work, "data-" + name)
        self.log_file = os.path.join(lab.work, name + ".log")
        self.port = free_port()
        self.process, self.program, self.prefix, self.said_before = None, ECHO, [], 0
        self.environment = {**os.environ, "ECHO_NAME": name, **(env or {})}
        self.properties = {"bootstrap.servers": self.kafka.servers if self.kafka else "", "data.dir": self.data,
                           "shards": shards, "status.listen": "127.0.0.1", "retry.tiers": "100ms,300ms",
                           "commit.interval.ms": 100, "log.level": "debug"}
        self.properties.update({k.replace("__", "."): v for k, v in properties.items()})

    def topic(self, kind):
        return f"{self.name}.{kind}"

    def arguments(self, **more):
        properties = {**self.properties, **{k.replace("__", "."): v for k, v in more.items()}}
        return [f"--{name}={value}" for name, value in properties.items()]

    def make_topics(self):
        wanted = " ".join([self.program, *(f"--{k}={v}" for k, v in self.properties.items() if k in ("shards", "retry.tiers"))])
        run(BUS, "topics", "apply", "--bootstrap", self.kafka.servers, "--program", wanted, env=self.environment)
        return self

    # ---- its process

    def start(self, failpoint=None, trace=None, ready=True, **more):
        env = dict(self.environment)
        self.said_before = len(self.lines())
        if failpoint:
            env["BUS_FAILPOINT"] = failpoint
        if trace:
            env["BUS_FAILPOINT_TRACE"] = trace
        with open(self.log_file, "ab") as log:
            self.process = self.lab.own(subprocess.Popen(
                [*self.prefix, self.program, *self.arguments(status__port=self.port, **more)], env=env, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log))
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=25):
        def ready():
            if self.process.poll() is not None:
                raise Failure(f"{self.name} ended with {self.process.returncode} before it was ready: {self.last_words()}")
            return self.get("/readyz")
        eventually(f"{self.name} ready; {self.last_words()}", seconds, ready)

    def get(self, page):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{page}", timeout=2) as answer:
                return answer.read().decode()
        except OSError:
            return None

    def ended(self, seconds=30):
        """Its exit code, once it has ended by itself."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} has not ended in {seconds} s") from None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, seconds=10):
        """SIGTERM; the seconds it took to end."""
        since = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.ended(seconds)
        equal(code, 0, f"exit code of {self.name} after SIGTERM; {self.last_words()}")
        return time.monotonic() - since

    # ---- what it says

    def lines(self, event=None):
        found = []
        if not os.path.exists(self.log_file):
            return found
        with open(self.log_file, errors="replace") as log:
            for line in log:
                try:
                    entry = json.loads(line)
                except ValueError:
                    entry = {"event": "text", "msg": line.strip()}
                if event is None or entry.get("event") == event:
                    found.append(entry)
        return found

    def says(self, event, pattern, seconds=15):
        """Waits for a log line of that event whose message matches, since the last start."""
        def find():
            new = self.lines()[self.said_before:]
            return next((line for line in new if line.get("event") == event and re.search(pattern, line["msg"])), None)
        return eventually(f"{self.name} logs {event}: {pattern}; {self.last_words()}", seconds, find)["msg"]

    def last_words(self):
        return "its log ends: " + " | ".join(f"{line.get('event')}: {line['msg']}" for line in self.lines()[-4:])

    def metric(self, name):
        """Summed over shards; None if the page is away."""
        page = self.get("/metrics")
        if page is None:
            return None
        return sum(float(v) for v in re.findall(rf"^{name}\{{[^}}]*\}} (\S+)$", page, re.M))

    # ---- its stores

    def sql(self, query):
        rows = []
        for shard in range(self.shards):
            path = os.path.join(self.data, self.name, f"{shard}.db")
            if not os.path.exists(path):
                continue
            db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
            try:
                rows += db.execute(query).fetchall()
            except sqlite3.OperationalError as error: # not migrated yet, or just being made
                if "no such table" not in str(error) and "locked" not in str(error) and "unable to open" not in str(error):
                    raise
            finally:
                db.close()
        return rows

    def effects(self):
        return sum(row[0] for row in self.sql("SELECT count(*) FROM effect"))

    def done(self, count, seconds=30):
        def whole():
            if self.process and self.process.poll() is not None:
                raise Failure(f"{self.name} ended with {self.process.returncode}; {self.last_words()}")
            return self.effects() >= count
        try:
            eventually("", seconds, whole)
        except Failure as why:
            if str(why).startswith("not within"):
                raise Failure(f"{self.name} has {self.effects()} of {count} effects after {seconds} s; {self.last_words()}") from None
            raise
        equal(self.effects(), count, f"effects of {self.name}")

    def at_the_end(self):
        """Whether its stores have read all that Kafka holds: a service that has just begun knows of no lag yet."""
        read = {f"{topic}:{partition}": following for topic, partition, following in
                self.sql("SELECT topic, partition, next FROM bus_position") if ".retry." not in topic}
        words = [word for place in read for word in ("-t", f"{place}:-1")]
        told = run("kcat", "-b", self.kafka.servers, "-Q", *words) if words else ""
        ends = {f"{topic}:{partition}": int(end) for topic, partition, end in re.findall(r"^(\S+) \[(\d+)\] offset (\d+)$", told, re.M)}
        check(set(ends) == set(read), "kcat tells the ends of topics, not", told)
        return all(read[place] >= ends[place] for place in read)

    def told(self):
        behind = 3
        return subprocess.run([BUS, "lag", self.name, "--max", "0", "-q", "-b", self.kafka.servers], capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=60).returncode != behind

    def idle(self, seconds=20):
        """Until nothing waits: neither in the outbox, nor behind a key, nor in Kafka, which knows it (a replay goes by what is committed)."""
        def still():
            return (not self.sql("SELECT 1 FROM bus_outbox LIMIT 1") and not self.sql("SELECT 1 FROM bus_parked LIMIT 1")
                    and self.metric("bus_lag_messages") == 0 and self.metric("bus_outbox_rows") == 0 and self.at_the_end() and self.told())
        try:
            eventually("", seconds, still)
        except Failure:
            state = {name: self.metric(name) for name in ("bus_lag_messages", "bus_outbox_rows", "bus_parked_events", "bus_paused_topics")}
            raise Failure(f"{self.name} is not idle after {seconds} s: {state}; {self.last_words()}") from None

    def check_exactly_once(self, numbers, emitted=True):
        """numbers: key -> the numbers published for it that must have taken effect, each once, and in that order."""
        equal(self.sql("SELECT event_id, key, number, times FROM effect WHERE times != 1"), [], "effects not exactly once")
        got = {}
        for key, number in self.sql("SELECT key, number FROM effect ORDER BY key, number"):
            got.setdefault(key, []).append(number)
        wanted = {key: sorted(each) for key, each in numbers.items() if each}
        for key in sorted(set(got) | set(wanted)):
            equal(got.get(key), wanted.get(key), f"numbers of key {key}")
        equal(self.sql("SELECT key, number, count, disorder FROM last WHERE disorder != 0"), [], "keys out of order")
        if emitted:
            self.check_emitted({row[0]: row[1] for row in self.sql("SELECT event_id, key FROM effect")})

    def check_emitted(self, causes):
        """Each cause has one event on <name>.events; copies are of one id and one hop, and no hop names two contents."""
        equal(self.sql("SELECT id FROM bus_outbox"), [], "rows left in the outbox")
        ids, hops, seqs = {}, {}, {}
        for record in self.kafka.consume(self.topic("events")):
            headers = record["headers"]
            ids.setdefault(headers["ce_causationid"], set()).add(headers["ce_id"])
            hops.setdefault(headers["bus-hop"], set()).add(headers["ce_id"])
            source, place = headers["bus-hop"].split(" ")[:2]
            topic, partition, seq = place.rsplit("/", 2)
            equal((topic, int(partition)), (self.topic("events"), record["partition"]), "destination in bus-hop")
            seqs.setdefault((source, topic, partition), set()).add(int(seq))
        equal(set(ids), set(causes), "causes of emitted events")
        equal([c for c, made in ids.items() if len(made) != 1], [], "causes with more than one event id")
        equal([h for h, made in hops.items() if len(made) != 1], [], "hops naming more than one event")
        for where, each in seqs.items():
            equal(sorted(each), list(range(1, len(each) + 1)), f"sequence of {where}")

    def letters(self):
        return self.kafka.consume(self.topic("dlq"))


class Lab:
    def __init__(self, name, *kafka_arguments, broker=True):
        check(os.path.exists(ECHO), f"{ECHO} is missing: run make VARIANT={os.path.basename(BUILD)}")
        self.work = tempfile.mkdtemp(prefix=f"bus-{name}.")
        self.lock, self.starting, self.processes, self.kafkas = threading.Lock(), threading.Lock(), [], []
        self.kafka = self.broker(*kafka_arguments) if broker else None

    def broker(self, *arguments, **options):
        with self.starting: # one after the other: they look for free ports
            directory = os.path.join(self.work, f"kafka-{len(self.kafkas)}")
            self.kafkas.append(directory)
            return Kafka(directory, *arguments, **options)

    def own(self, process):
        with self.lock:
            self.processes.append(process)
        return process

    def service(self, name, **options):
        return Service(self, name, **options)

    def close(self, keep):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        for directory in self.kafkas:
            run(os.path.join(PROJECT, "scripts", "kafka"), "down", "--dir", directory, status=None)
        if not keep:
            shutil.rmtree(self.work, ignore_errors=True)


tests = []


def test(function):
    tests.append(function)
    return function


def keyed(keys, count, first=1, word=lambda key, number: ""):
    """count events over the keys in turn, numbers rising: (events, numbers by key)."""
    events, numbers = [], {}
    for i in range(count):
        key, number = keys[i % len(keys)], first + i
        events.append((key, f"{number}{word(key, number)}"))
        numbers.setdefault(key, []).append(number)
    return events, numbers


def main(name, *kafka_arguments, at_once=4, broker=True):
    """ONLY="one two" runs only these; KEEP=1 keeps the directory."""
    chosen = [t for t in tests if not os.environ.get("ONLY") or t.__name__ in os.environ["ONLY"].split()]
    failed, skipped, lab = 0, 0, None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        lab = Lab(name, *kafka_arguments, broker=broker)

        def one(function):
            since, why = time.monotonic(), ""
            try:
                function(lab)
            except Skip as reason:
                print(f"SKIPPED {function.__name__}: {reason}", flush=True)
                return "skipped"
            except Failure as failure:
                why = str(failure)
            except Exception: # a test's own fault fails it, too
                why = traceback.format_exc()
            print(f"{'FAILED' if why else 'ok':6} {function.__name__:40} {time.monotonic() - since:6.1f} s", flush=True)
            if why:
                print(f"       {why}", flush=True)
            return "failed" if why else "ok"
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            ends = list(pool.map(one, chosen))
        failed, skipped = ends.count("failed"), ends.count("skipped")
    finally:
        if lab:
            keep = bool(failed or os.environ.get("KEEP"))
            lab.close(keep)
            if keep:
                print(f"everything is kept in {lab.work}")
    print(f"{len(chosen) - failed - skipped} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    sys.exit(1 if failed or not chosen else 0)
