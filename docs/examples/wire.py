#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A program that does not use the bus's library reads its topics so that each event takes effect once, publishes, and asks a question. It goes by
docs/wire.md alone. Needs confluent-kafka and fastavro.

  wire.py read BROKERS TOPIC STORE [--count N]     each event of the topic becomes a row of `effect` in STORE (SQLite), once
  wire.py publish BROKERS TOPIC SCHEMA             lines of "id<TAB>key<TAB>JSON" from standard input
  wire.py ask BROKERS TOPIC SCHEMA REPLIES KEY JSON  prints the answer as JSON"""
import argparse
import hashlib
import io
import json
import re
import sqlite3
import sys
import time
import uuid

import fastavro
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from fastavro.schema import fingerprint, to_parsing_canonical_form

SINGLE_OBJECT = b"\xc3\x01"


# ---- schemas

def wire_fingerprint(schema):
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def consumer(brokers):
    """Not a member of any group: positions are ours to keep."""
    return Consumer({"bootstrap.servers": brokers, "group.id": "unused", "enable.auto.commit": False, "enable.partition.eof": True,
                     "isolation.level": "read_committed", "auto.offset.reset": "error"})


def partitions(client, topic):
    found = client.list_topics(topic, timeout=10).topics[topic]
    if found.error:
        raise SystemExit(f"{topic}: {found.error}")
    return sorted(found.partitions)


class Schemas:
    """What is on bus.schemas, by fingerprint; read on while a fingerprint is unknown."""

    def __init__(self, brokers):
        self.known, self.client = {}, consumer(brokers)
        self.client.assign([TopicPartition("bus.schemas", p, OFFSET_BEGINNING) for p in partitions(self.client, "bus.schemas")])

    def add(self, schema):
        self.known[wire_fingerprint(schema)] = fastavro.parse_schema(schema)

    def find(self, name, seconds=30):
        until = time.monotonic() + seconds
        while name not in self.known:
            message = self.client.poll(0.2)
            if message and not message.error() and message.value():
                try:
                    self.add(json.loads(message.value()))
                except Exception as why:  # anybody may write there: what is no schema is passed over
                    print(f"bus.schemas offset {message.offset()}: {why}", file=sys.stderr)
            elif time.monotonic() > until:
                raise SystemExit(f"schema {name.hex()} is not on bus.schemas")
        return self.known[name]

    def decode(self, value):
        if value is None:
            return None
        if value[:2] != SINGLE_OBJECT:
            raise SystemExit("the value is not in Avro's single-object encoding")
        return fastavro.schemaless_reader(io.BytesIO(value[10:]), self.find(value[2:10]), None)


def encode(schema, body):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), body)
    return SINGLE_OBJECT + wire_fingerprint(schema) + out.getvalue()


LETTERS = {"i": "ce_id", "y": "ce_type", "c": "ce_causationid", "r": "ce_correlationid", "p": "traceparent"}


def headers_of(message):
    """Of several of one name the last counts. What bus-hop has as a letter is put under its name."""
    headers = {name: (value or b"").decode(errors="replace") for name, value in message.headers() or []}
    source, _, *letters = headers.get("bus-hop", "").split(" ") + [""]
    said = {LETTERS[letter[0]]: letter[2:] for letter in letters if letter[1:2] == "=" and letter[0] in LETTERS}
    if "ce_id" in said:
        headers = {"ce_source": source.split("/")[0], **headers}
    if "ce_causationid" in said:
        headers = {"ce_correlationid": said["ce_causationid"], **headers}
    return {**headers, **said}


# ---- reading: each event once

class Inbox:
    """Positions, the highest number of each source, and the holes below it: in the database of the effects, in their transaction."""

    def __init__(self, path):
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.executescript("""
            PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
            CREATE TABLE IF NOT EXISTS position(topic TEXT, part INTEGER, next INTEGER, PRIMARY KEY(topic, part));
            CREATE TABLE IF NOT EXISTS mark(source TEXT, topic TEXT, part INTEGER, high INTEGER, PRIMARY KEY(source, topic, part));
            CREATE TABLE IF NOT EXISTS hole(source TEXT, topic TEXT, part INTEGER, seq INTEGER, PRIMARY KEY(source, topic, part, seq));
            CREATE TABLE IF NOT EXISTS seen(topic TEXT, part INTEGER, source TEXT, id TEXT, PRIMARY KEY(topic, part, source, id));
            CREATE TABLE IF NOT EXISTS effect(id TEXT PRIMARY KEY, times INTEGER, key TEXT, body TEXT);
            CREATE TABLE IF NOT EXISTS told(what TEXT PRIMARY KEY, times INTEGER);""")

    def tell(self, what, times=1):
        self.db.execute("INSERT INTO told VALUES(?, ?) ON CONFLICT DO UPDATE SET times = times + excluded.times", (what, times))

    def position(self, topic, part):
        row = self.db.execute("SELECT next FROM position WHERE topic = ? AND part = ?", (topic, part)).fetchone()
        return row[0] if row else OFFSET_BEGINNING

    def is_new(self, message, headers):
        where = (message.topic(), message.partition())
        hop = re.fullmatch(r"(\S{1,160}) ([^/ ]+)/(\d+)/([1-9]\d*)(?: .*)?", headers.get("bus-hop", ""))
        if not hop or (hop[2], int(hop[3])) != where:
            name = (*where, headers.get("ce_source", ""), headers.get("ce_id") or f"{message.offset()}")
            return self.db.execute("INSERT OR IGNORE INTO seen VALUES(?, ?, ?, ?)", name).rowcount == 1
        name, seq = (hop[1], *where), int(hop[4])
        row = self.db.execute("SELECT high FROM mark WHERE source = ? AND topic = ? AND part = ?", name).fetchone()
        if row and seq <= row[0]:
            return self.db.execute("DELETE FROM hole WHERE source = ? AND topic = ? AND part = ? AND seq = ?", (*name, seq)).rowcount == 1
        if row and seq > row[0] + 1:
            self.tell("missing", seq - row[0] - 1)
            if seq - row[0] > 10000:  # a bound: anybody may have written that number
                raise SystemExit(f"{name}: {seq} follows {row[0]}: look at it")
            self.db.executemany("INSERT INTO hole VALUES(?, ?, ?, ?)", [(*name, n) for n in range(row[0] + 1, seq)])
        self.db.execute("INSERT INTO mark VALUES(?, ?, ?, ?) ON CONFLICT DO UPDATE SET high = excluded.high", (*name, seq))
        return True

    def take(self, message, body):
        headers = headers_of(message)
        self.db.execute("BEGIN IMMEDIATE")
        if self.is_new(message, headers):
            name = headers.get("ce_id") or f"{message.topic()}/{message.partition()}/{message.offset()}"
            self.db.execute("INSERT INTO effect VALUES(?, 1, ?, ?) ON CONFLICT DO UPDATE SET times = times + 1",
                            (name, (message.key() or b"").decode(errors="replace"), json.dumps(body, default=str)))
        else:
            self.tell("copy")
        self.db.execute("INSERT INTO position VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET next = excluded.next",
                        (message.topic(), message.partition(), message.offset() + 1))
        self.db.execute("COMMIT")


def read(brokers, topic, store, count):
    inbox, schemas, client = Inbox(store), Schemas(brokers), consumer(brokers)
    client.assign([TopicPartition(topic, p, inbox.position(topic, p)) for p in partitions(client, topic)])
    while count is None or inbox.db.execute("SELECT count(*) FROM effect").fetchone()[0] < count:
        message = client.poll(0.2)
        if message is None or (message.error() and message.error().code() == KafkaError._PARTITION_EOF):
            continue
        if message.error():
            raise SystemExit(f"{topic}: {message.error()}")
        inbox.take(message, schemas.decode(message.value()))


# ---- writing

def producer(brokers):
    return Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "acks": "all", "partitioner": "murmur2_random"})


def event_headers(schema, event_id, *more):
    name = schema["name"] if "." in schema["name"] or "namespace" not in schema else f"{schema['namespace']}.{schema['name']}"
    return [("ce_specversion", "1.0"), ("ce_id", event_id), ("ce_source", "wire.py"), ("ce_type", name), ("content-type", "application/avro"), *more]


def announce(client, schema):
    text = json.dumps(schema)
    client.produce("bus.schemas", key=hashlib.sha256(text.encode()).hexdigest(), value=text)


def failed(error, _message):
    if error:
        raise SystemExit(f"not sent: {error}")


def publish(brokers, topic, schema, lines):
    client = producer(brokers)
    announce(client, schema)
    for line in lines:
        event_id, key, body = line.rstrip("\n").split("\t")
        client.produce(topic, key=key, value=encode(schema, json.loads(body)), headers=event_headers(schema, event_id), on_delivery=failed)
        client.poll(0)
    client.flush()


def ask(brokers, topic, schema, replies, key, body, seconds=30):
    schemas, listener, client = Schemas(brokers), consumer(brokers), producer(brokers)
    place = TopicPartition(replies, 0)
    listener.assign([TopicPartition(replies, 0, listener.get_watermark_offsets(place, timeout=10)[1])])  # before the question is sent
    question = str(uuid.uuid4())
    announce(client, schema)
    client.produce(topic, key=key, value=encode(schema, body), on_delivery=failed,
                   headers=event_headers(schema, question, ("ce_correlationid", question), ("bus-reply-to", f"{replies}/0")))
    client.flush()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        message = listener.poll(0.2)
        if message and not message.error() and headers_of(message).get("ce_correlationid") == question:
            return schemas.decode(message.value())
    raise SystemExit(f"no answer within {seconds} s; the question may still be carried out")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("read", "publish", "ask"))
    parser.add_argument("brokers")
    parser.add_argument("topic")
    parser.add_argument("more", nargs="*")
    parser.add_argument("--count", type=int)
    given = parser.parse_args()
    if given.verb == "read":
        read(given.brokers, given.topic, given.more[0], given.count)
        return
    with open(given.more[0], encoding="utf-8") as file:
        schema = json.load(file)
    if given.verb == "publish":
        publish(given.brokers, given.topic, schema, sys.stdin)
    else:
        print(json.dumps(ask(given.brokers, given.topic, schema, given.more[1], given.more[2], json.loads(given.more[3])), default=str))


if __name__ == "__main__":
    main()
