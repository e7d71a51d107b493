#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A cluster that asks for a name and a password, by SASL/SCRAM: the right ones, wrong ones, ones that change while a service runs; and a
librdkafka that cannot show them."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
import lab  # noqa: E402
from lab import BUS, ECHO, PROJECT, Skip, check, equal, eventually, keyed, run, test  # noqa: E402

WORDS = {"kafka.security.protocol": "SASL_PLAINTEXT", "kafka.sasl.mechanism": "SCRAM-SHA-256", "kafka.sasl.username": "anna"}


def secured(lab):
    """A broker, and where it asks for a password."""
    kafka = lab.broker("--scram", "anna:right")
    return kafka, run(kafka.script, "address", "--dir", kafka.directory, "--sasl").strip()


def password(lab, text):
    path = os.path.join(lab.work, "password-" + text)
    with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
    return path


def service(lab, name, kafka, address, word):
    properties = {**WORDS, "bootstrap.servers": address, "kafka.sasl.password.file": password(lab, word)}
    return lab.service(name, kafka=kafka, **{k.replace(".", "__"): v for k, v in properties.items()}).make_topics()


def refused(lab, address, word, *more, env=None):
    """What `bus` says, and its exit code."""
    settings = {**WORDS, "kafka.sasl.password.file": password(lab, word), "broker.timeout.ms": "3s"}
    done = subprocess.run([BUS, "topics", "list", "--bootstrap", address, *(w for k, v in settings.items() for w in ("--set", f"{k}={v}"))],
                          capture_output=True, text=True, timeout=60, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL)
    return done.stderr, done.returncode


def set_password(kafka, text):
    kafka.tool("kafka-configs", "--alter", "--entity-type", "users", "--entity-name", "anna",
               "--add-config", f"SCRAM-SHA-256=[password={text}]")


def system_version():
    return [int(n) for n in subprocess.run(["pkg-config", "--modversion", "rdkafka"], capture_output=True, text=True).stdout.split(".")]


def built_with_a_current_one():
    own = subprocess.run([os.path.join(PROJECT, "scripts", "setup-librdkafka"), "--where"], capture_output=True, text=True).stdout.strip()
    return bool(own) or system_version() >= [2, 6, 1]


@test
def by_name_and_password(lab):
    """It works with the right one; with a wrong one it says so and ends; when the cluster forgets it meanwhile, it waits and goes on."""
    if not built_with_a_current_one():
        raise Skip("only the system's librdkafka is here, which cannot do SCRAM against Kafka 4: scripts/setup-librdkafka")
    kafka, address = secured(lab)
    s = service(lab, "anna", kafka, address, "right")
    events, _ = keyed(["a", "b"], 100)
    kafka.produce(s.topic("commands"), events)
    s.start()
    eventually("all are handled", 30, lambda: s.effects() == len(events))

    said, code = refused(lab, address, "wrong")
    equal(code, 1, "exit code of bus with a wrong password")
    check("refuses the credentials: SASL authentication error" in said and "kafka.sasl.password" in said, "it says why and what to do:", said)
    other = service(lab, "other", kafka, address, "wrong").start(ready=False)
    equal(other.ended(30), 2, "exit code of a service with a wrong password")
    other.says("halted", r"refuses the credentials: SASL authentication error.*kafka\.sasl\.password", 1)

    set_password(kafka, "other")
    kafka.node("stop")
    kafka.node("start")
    s.says("credentials_refused", "refuses the credentials", 60)
    check(s.process.poll() is None, "it waits")
    set_password(kafka, "right")
    kafka.produce(s.topic("commands"), [("c", "1")])
    eventually("it goes on", 60, lambda: s.effects() == len(events) + 1)
    s.stop()


@test
def library_that_cannot(lab):
    """The system's librdkafka, where it is too old: told at the start, before anything is asked of the cluster."""
    where = subprocess.run(["pkg-config", "--variable=libdir", "rdkafka"], capture_output=True, text=True).stdout.strip()
    version = subprocess.run(["pkg-config", "--modversion", "rdkafka"], capture_output=True, text=True).stdout.strip()
    if not where or [int(n) for n in version.split(".")] >= [2, 6, 1]:
        return
    old = {"LD_LIBRARY_PATH": where}
    said, code = refused(lab, "127.0.0.1:1", "right", env=old)
    equal(code, 2, "exit code of bus with an old library")
    check(f"librdkafka here is {version}" in said and "2.6.1 or newer" in said, "it says why and what to do:", said)
    done = subprocess.run([ECHO, "--bootstrap.servers=127.0.0.1:1", f"--data.dir={lab.work}/old", "--kafka.sasl.mechanism=SCRAM-SHA-256"],
                          capture_output=True, text=True, timeout=30, env={**os.environ, **old, "ECHO_NAME": "old"})
    equal(done.returncode, 2, "exit code of a service with an old library")
    check(f"librdkafka here is {version}" in done.stderr, "its log", done.stderr)


if __name__ == "__main__":
    lab.main("scram", broker=False)
