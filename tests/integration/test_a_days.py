#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Bad days: each says what is wrong, where, and what to do; and nothing is lost once the cause is gone."""
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
import lab  # noqa: E402
from lab import Skip, check, equal, eventually, keyed, run, succeeds, test  # noqa: E402

KEYS = [f"k{i}" for i in range(8)]
NOBODY = 65534


def commands(service, events):
    service.kafka.produce(service.topic("commands"), events)


def refused(service, code, *patterns, **more):
    """Starts it; it must end by itself with this exit code, and its last message must hold every pattern."""
    before = len(service.lines())
    service.start(ready=False, **more)
    equal(service.ended(30), code, f"exit code; {service.last_words()}")
    said = " ".join(line["msg"] for line in service.lines()[before:])
    for pattern in patterns:
        check(pattern in said, f"the message of {service.name} says {pattern!r}:", said[-900:])


@test
def missing_topic(lab):
    """Waited for, with its name and the command that makes it."""
    s = lab.service("missing").make_topics()
    lab.kafka.delete("missing.commands")
    s.start(ready=False)
    s.says("topic_missing", "topic missing.commands .input of missing. is missing.*bus topics apply")
    equal(s.get("/readyz"), None, "ready without its input")
    s.make_topics()
    s.wait_ready()
    events, numbers = keyed(KEYS, 30)
    commands(s, events)
    s.done(30)
    s.idle()
    s.check_exactly_once(numbers)


@test
def topic_deleted_meanwhile(lab):
    """An output topic that goes away while rows wait for it: they stay in the outbox until it is there again."""
    s = lab.service("vanish").make_topics().start()
    commands(s, [("a", "1")])
    s.done(1)
    s.idle()
    lab.kafka.delete("vanish.events")
    events, numbers = keyed(KEYS, 60, first=2)
    commands(s, events)
    s.done(61)
    s.says("relay_failed", "vanish.events/.*sent again until it is acknowledged", 40)
    s.make_topics()
    s.idle(60)
    equal(len({r["headers"]["ce_id"] for r in lab.kafka.consume("vanish.events")}), 60, "events on the new topic")


@test
def wrong_partition_counts(lab):
    """Input topics that do not divide among the shards, and a lead topic of another size, are refused with what to do."""
    lab.kafka.create("odd.commands", 3)
    s = lab.service("odd", shards=2)
    lab.kafka.create("odd.redrive", 2)
    for tier in ("odd.retry.100ms", "odd.retry.300ms", "odd.dlq", "odd.events"):
        lab.kafka.create(tier, 2)
    refused(s, 5, "topic odd.commands has 3 partitions, which is not a multiple of the 2 shards of odd", "bus topics plan")
    commands(s, [("a", "1"), ("a", "2")])
    lab.kafka.add_partitions("odd.commands", 4)
    s.start()
    s.done(2)
    s.stop()
    refused(s, 5, "topic odd.redrive has 2 partitions but odd has 4 shards", "set shards=2", shards=4)
    s.start()
    s.idle()
    s.check_exactly_once({"a": [1, 2]})


@test
def grown_topic(lab):
    """More partitions move keys to other shards: deliveries pause until every process was restarted."""
    s = lab.service("grown").make_topics().start()
    commands(s, [("a", "1")])
    s.done(1)
    lab.kafka.add_partitions("grown.commands", 8)
    said = s.says("topic_grew", "topic grown.commands had 4 partitions and has 8 now", 100)
    check("Restart every process of grown" in said, "the message says what to do:", said)
    commands(s, [("a", "2")])
    eventually("not ready", 20, lambda: s.get("/readyz") is None)
    equal(s.effects(), 1, "effects while paused")
    s.stop()
    s.start()
    s.done(2)
    s.idle()
    s.check_exactly_once({"a": [1, 2]})


@test
def recreated_topic(lab):
    """An input that ends before what was read of it is another one: refused, with the ways out; the store stays as it is."""
    s = lab.service("again").make_topics().start()
    commands(s, [("a", "1"), ("a", "2"), ("a", "3")])
    s.done(3)
    s.idle()
    s.stop()
    lab.kafka.delete("again.commands")
    s.make_topics()
    commands(s, [("a", "4")])
    refused(s, 5, "again.commands/", "ends at offset 1", "is at 3", "recreated")
    equal(s.effects(), 3, "effects after the refusal")


@test
def status_port_taken(lab):
    s = lab.service("taken").make_topics().start()
    other = lab.service("taken2")
    other.port = s.port
    refused(other, 1, str(s.port), "in use")


@test
def shards_of_the_store_changed(lab):
    """The number of shards is in each store: topics made again with another number are refused."""
    s = lab.service("resized").make_topics().start()
    commands(s, [("a", "1")])
    s.done(1)
    s.idle()
    s.stop()
    for topic in ("resized.redrive", "resized.dlq"):
        lab.kafka.delete(topic)
        lab.kafka.create(topic, 2)
    for topic in ("resized.retry.100ms", "resized.retry.300ms"):
        lab.kafka.add_partitions(topic, 2)
    refused(s, 5, "0.db", "shard", shards=2)
    equal(s.effects(), 1, "effects in the refused store")


@test
def second_process_is_a_second_member(lab):
    s = lab.service("pair", shards=2).make_topics().start()
    other = lab.service("pair", shards=2, data__dir=s.data)
    other.data, other.log_file = s.data, os.path.join(lab.work, "pair-2.log")
    other.start()
    eventually("each has one shard", 30, lambda: s.metric("bus_assigned") == 1 and other.metric("bus_assigned") == 1)
    events, numbers = keyed(KEYS, 100)
    commands(s, events)
    eventually("all are handled", 20, lambda: s.effects() == 100)
    s.stop()
    eventually("the other has both shards", 30, lambda: other.metric("bus_assigned") == 2)
    commands(s, [("k0", "101")])
    numbers["k0"].append(101)
    other.done(101)
    other.idle()
    other.check_exactly_once(numbers)


@test
def locked_by_a_foreigner(lab):
    """Another program holds the shard's lock: the message names file and process; it goes on when the lock is free."""
    s = lab.service("locked", open__wait__ms=1500).make_topics()
    os.makedirs(os.path.join(s.data, "locked"))
    path = os.path.join(s.data, "locked", "0.lock")
    holder = subprocess.Popen([sys.executable, "-c", "import fcntl, struct, sys, time; f = open(sys.argv[1], 'w+'); "
                               "fcntl.fcntl(f, 37, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0)); "
                               "import os; f.write(str(os.getpid())); f.flush(); print('held', flush=True); time.sleep(100)", path],
                              stdout=subprocess.PIPE)
    lab.own(holder)
    equal(holder.stdout.readline(), b"held\n", "the foreigner")
    events, numbers = keyed(KEYS, 20)
    commands(s, events)
    s.start(ready=False)
    said = s.says("shard_waits", "0.lock is held by process")
    check(str(holder.pid) in said, "the message names the process:", said)
    s.says("left_group", "open.wait.ms.*still held.*0.lock")
    equal(s.process.poll(), None, "the process stays")
    holder.kill()
    holder.wait()
    s.done(20, 30)
    s.wait_ready()
    s.idle()
    s.check_exactly_once(numbers)


@contextlib.contextmanager
def small_disk(path, size):
    os.makedirs(path, exist_ok=True)
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    mount = (*sudo, "mount", "-t", "tmpfs", "-o", f"size={size},mode=700,uid={os.geteuid()}", "none", path)
    if not succeeds(*mount):
        raise Skip("a small disk is a tmpfs, and this user may mount none (root, or sudo without a password)")
    try:
        yield
    finally:
        run(*sudo, "umount", "-l", path)


def fill(path, leave):
    """A file that takes all but so many bytes of the disk."""
    room = os.statvfs(path)
    left = room.f_bavail * room.f_frsize - leave
    with open(os.path.join(path, "filler"), "wb") as file:
        file.write(b"\0" * max(0, left))


@test
def full_disk(lab):
    """Nothing of a batch is applied, no attempt is spent, and it is tried again until there is room."""
    s = lab.service("full", retry__attempts=2).make_topics()
    with small_disk(s.data, "8m"):
        s.start()
        commands(s, [("a", "1")])
        s.done(1)
        s.idle()
        fill(s.data, 16384)
        events, numbers = keyed(KEYS, 1000)
        numbers.setdefault("a", []).append(1)
        commands(s, events)
        said = eventually("a message about the disk", 20, lambda: [line["msg"] for line in s.lines("store_failed") + s.lines("paused")])
        check(any("full" in m or "disk" in m for m in said), "the message says that the disk is full:", said)
        check(any("0.db" in m for m in said), "the message names the store:", said)
        equal(s.process.poll(), None, "the process stays")
        before = s.effects()
        check(before < 1001, "effects on a full disk", before)
        os.unlink(os.path.join(s.data, "filler"))
        s.done(1001)
        s.idle()
        s.check_exactly_once(numbers)
        equal((s.letters(), s.metric("bus_retried_total")), ([], 0), "letters and attempts spent")
        s.stop()


@test
def full_disk_at_start(lab):
    s = lab.service("fullstart").make_topics()
    with small_disk(s.data, "4m"):
        fill(s.data, 0)
        commands(s, [("a", "1")])
        s.start(ready=False)
        said = eventually("a message about the disk", 20, lambda: [line["msg"] for line in s.lines() if "No space" in line["msg"] or "full" in line["msg"]])
        check(s.data in said[0], "the message says where:", said)
        code = s.process.poll()
        check(code in (None, 1), "exit code", code)
        os.unlink(os.path.join(s.data, "filler"))
        if code is not None:
            s.start(ready=False)
        s.done(1, 60)
        s.idle()
        s.check_exactly_once({"a": [1]})
        s.stop()


@test
def wrong_permissions(lab):
    """A data directory, and then a store, that the service's user may not write."""
    s = lab.service("barred").make_topics()
    if os.geteuid() == 0:   # root may write everywhere: be another
        bin_dir = os.path.join(lab.work, "bin")
        os.chmod(lab.work, 0o755)
        os.makedirs(bin_dir, exist_ok=True)
        s.program = shutil.copy(lab_echo(), bin_dir)
        s.prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    os.makedirs(s.data)
    os.chmod(s.data, 0o555)
    refused(s, 1, s.data, "Permission denied", "data.dir")
    os.chmod(s.data, 0o700)
    if os.geteuid() == 0:
        os.chown(s.data, NOBODY, NOBODY)
    commands(s, [("a", "1")])
    s.start()
    s.done(1)
    s.idle()
    s.stop()
    store = os.path.join(s.data, "barred", "0.db")
    os.chmod(store, 0o444)
    if os.geteuid() == 0:
        os.chown(store, 0, 0)
    commands(s, [("a", "2")])
    s.start(ready=False)
    said = eventually("a message about the store", 20, lambda: [line["msg"] for line in s.lines()[s.said_before:] if "0.db" in line["msg"] and
                      line.get("level") in ("warn", "error", None)])
    check(any(word in said[0] for word in ("readonly", "read-only", "ermission", "cannot")), "the message says why:", said)
    if s.process.poll() is None:
        s.kill()
    os.chmod(store, 0o666)
    s.start()
    s.done(2)
    s.idle()
    s.check_exactly_once({"a": [1, 2]})


def lab_echo():
    return lab.ECHO


@test
def wrong_configuration(lab):
    s = lab.service("config").make_topics()
    refused(s, 2, "retry.atempts", "retry.attempts", **{"retry.atempts": "3"})
    refused(s, 2, "shards", "many", shards="many")
    refused(s, 2, "session.timeout.ms", "1", session__timeout__ms="1ms")
    refused(s, 2, "log.level", "debug|info|warn|error", log__level="loud")
    refused(s, 2, "kafka.acks", "in-sync", **{"kafka.acks": "0"})
    refused(s, 2, "kafka.no.such.thing", **{"kafka.no.such.thing": "1"})
    refused(s, 2, "retry.tiers", "longer than the one before", retry__tiers="1s,1s")
    file = os.path.join(lab.work, "config.conf")
    with open(file, "w") as out:
        out.write("# a comment\nbatch.recordz = 5\n")
    done = subprocess.run([lab_echo(), "--config", file, "--check-config"], capture_output=True, text=True, env=s.environment)
    equal(done.returncode, 2, f"exit code for a wrong file: {done.stderr}")
    for word in (file, "2", "batch.recordz", "batch.records"):
        check(word in done.stderr, f"the message says {word!r}:", done.stderr)
    s.environment["BUS_SHARDZ"] = "2"
    done = subprocess.run([lab_echo(), "--check-config"], capture_output=True, text=True, env=s.environment)
    check("BUS_SHARDZ" in done.stderr and "did you mean shards" in done.stderr, "the message about the environment:", done.stderr)
    equal(done.returncode, 2, "exit code for a wrong variable")
    del s.environment["BUS_SHARDZ"]
    done = subprocess.run([lab_echo(), "--check-config", "--kafka.no.such.thing=1"], capture_output=True, text=True, env=s.environment)
    equal(done.returncode, 2, "exit code for a property that librdkafka does not know")
    done = subprocess.run([lab_echo(), "--check-config"], capture_output=True, text=True, env=s.environment)
    equal((done.returncode, done.stdout), (0, "config: configuration and routes are valid\n"), "a right configuration")
    check(not os.path.exists(s.data), "a wrong configuration touches nothing")


@test
def newer_store(lab):
    """A store that a newer bus, or a newer version of the service, has used."""
    s = lab.service("newer").make_topics().start()
    commands(s, [("a", "1")])
    s.done(1)
    s.idle()
    s.stop()
    store = os.path.join(s.data, "newer", "0.db")

    def change(sql):
        db = sqlite3.connect(store)
        db.execute(sql)
        db.commit()
        db.close()
    commands(s, [("a", "2")])
    change("UPDATE bus_meta SET version = version + 1")
    refused(s, 5, store, "newer version of the bus", "install the newer version")
    change("UPDATE bus_meta SET version = version - 1")
    change("INSERT INTO bus_migration VALUES (2, 'more', 'x', 0)")
    refused(s, 5, store, "newer version of the service", "'more'")
    change("DELETE FROM bus_migration WHERE n = 2")
    change("UPDATE bus_migration SET checksum = 'other'")
    refused(s, 5, store, "has changed since it was applied")
    shutil.copy(store, store + ".aside")
    os.unlink(store)
    with open(store, "wb") as out:
        out.write(b"no database at all, but long enough to look at" * 100)
    refused(s, 5, store)
    os.unlink(store)
    db = sqlite3.connect(store)
    db.execute("CREATE TABLE other(x)")
    db.close()
    refused(s, 5, store, "not a store of the bus")
    os.replace(store + ".aside", store)
    db = sqlite3.connect(lab_store_of(lab, "other-newer"))
    (checksum,) = db.execute("SELECT checksum FROM bus_migration").fetchone()
    db.close()
    change(f"UPDATE bus_migration SET checksum = '{checksum}'")
    s.start()
    s.done(2)
    s.idle()
    s.check_exactly_once({"a": [1, 2]})


def lab_store_of(lab, name):
    """The store of a fresh service with the same migrations."""
    s = lab.service(name).make_topics().start()
    s.stop()
    return os.path.join(s.data, name, "0.db")


if __name__ == "__main__":
    lab.main("days", at_once=4)
