# SPDX-License-Identifier: MIT
"""What the interoperability tests share: a type with a field of every kind and values of it, the service that mirrors it, a schema
registry in memory, foreign producers and consumers."""
import copy
import datetime
import decimal
import io
import json
import os
import signal
import struct
import subprocess
import sys
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration", "support"))
import lab  # noqa: E402
from lab import BUILD, PROJECT, check, equal, free_port, run  # noqa: E402

import fastavro  # noqa: E402
from cloudevents.core.bindings import kafka as ce_kafka  # noqa: E402
from cloudevents.core.v1.event import CloudEvent  # noqa: E402
from confluent_kafka import Consumer, Producer  # noqa: E402
from confluent_kafka.schema_registry import (Schema, SchemaRegistryClient, topic_record_subject_name_strategy,  # noqa: E402
                                             topic_subject_name_strategy)
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer  # noqa: E402
from confluent_kafka.serialization import MessageField, SerializationContext  # noqa: E402

MIRROR = os.path.join(BUILD, "tests", "services", "mirror")
INTEROP = os.path.join(PROJECT, os.environ.get("BUS_BUILD", "build"), "interop", "interop")


# ---- the type: a field of every kind

def schema_file(name):
    with open(os.path.join(PROJECT, "tests", "data", "schemac", name)) as file:
        return json.load(file)


KEEPER = schema_file("staff.Keeper.avsc")
APART = schema_file("zoo.Everything.avsc")  # refers to staff.Keeper


def inlined():
    """One schema: staff.Keeper stands where it is first used."""
    schema = copy.deepcopy(APART)
    next(field for field in schema["fields"] if field["name"] == "keeper")["type"] = copy.deepcopy(KEEPER)
    return schema


EVERYTHING = inlined()
PARSED = fastavro.parse_schema(copy.deepcopy(EVERYTHING))
UTC = datetime.timezone.utc


def value(number):
    """Differs with the number, and reaches the ends of what types hold."""
    spot = {"x": number, "y": -number}
    leaf = {"label": f"leaf {number}", "children": [], "next": None, "named": {}, "either": "neither"}
    tree = {"label": "root \u00e4\U0001f600", "children": [leaf, leaf], "next": leaf, "named": {"left": leaf}, "either": ("zoo.Tree", leaf)}
    choices = [None, "text", 1 << 40, ("zoo.Spot", spot), [1, -2, 3], ("zoo.Hash", b"\x00\xff\x80\x7f")]
    return {
        "nothing": None, "flag": number % 2 == 1, "int": (-2147483648, 2147483647)[number % 2], "big": (-1 << 63, (1 << 63) - 1)[number % 2],
        "ratio": 0.5 * number, "precise": 1e300 / (number + 1), "raw": bytes(range(256)), "text": "\u00fcber\x00 \u6f22\u5b57" * number,
        "mood": ("CALM", "CROSS")[number % 2], "hash": struct.pack(">I", number), "spot": spot, "spots": [spot] * number,
        "grid": [[], [1 << 62], [-1, 0, 1]], "by_name": {"a": spot, "\u00e9": spot}, "counts": {"one": 1} if number else {},
        "moods": ["CROSS", "CALM"], "maybe_text": None if number % 2 else "here", "maybe_last": None if number % 2 else -7,
        "maybe_mood": "CROSS" if number % 2 else None, "maybe_spot": spot if number % 2 else None, "maybe_spots": [spot] if number % 2 else None,
        "gaps": [None, spot, None], "holes": {"none": None, "some": "x"}, "choice": choices[number % len(choices)],
        "choices": [1, "two"], "day": datetime.date(1969, 12, 31) + datetime.timedelta(number),
        "at_ms": datetime.time(23, 59, 59, 999000), "at_us": datetime.time(0, 0, 0, number + 1),
        "when_ms": datetime.datetime(2026, 11, 21, 7, 30, 1, 5000, UTC), "when_us": datetime.datetime(1960, 1, 1, 0, 0, 0, number + 1, UTC),
        "local_ms": datetime.datetime(2000, 2, 29, 12, 0, 0, 1000), "local_us": datetime.datetime(2000, 2, 29, 12, 0, 0, number),
        "id": uuid.UUID(int=number << 100 | 1), "id_raw": uuid.UUID(int=(number << 90) + 2).bytes, "price": decimal.Decimal(f"-{number}.05"),
        "rate": decimal.Decimal(f"{number}.1234"), "wide": decimal.Decimal(f"{10 ** 37 + number}.25"), "span": struct.pack("<III", 1, number, 999),
        "prices": [decimal.Decimal("0.5"), decimal.Decimal("-999.9")], "tree": tree, "keeper": {"name": "Ann", "role": "VET"},
        "keepers": [{"name": "", "role": "FEEDER"}], "maybe_keeper": {"name": "Bo", "role": "FEEDER"} if number % 2 else None, "empty": {},
    }


COUNT = 6


def plain(each):
    """As a reader gives it back: without the names of branches."""
    if isinstance(each, tuple):
        return plain(each[1])
    if isinstance(each, dict):
        return {key: plain(inner) for key, inner in each.items()}
    return [plain(inner) for inner in each] if isinstance(each, list) else each


def body(schema, each):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, each)
    return out.getvalue()


def fingerprint():
    """By fastavro, of its own canonical form; little-endian as on the wire."""
    text = fastavro.schema.to_parsing_canonical_form(copy.deepcopy(EVERYTHING))
    return struct.pack("<Q", int.from_bytes(bytes.fromhex(fastavro.schema.fingerprint(text, "CRC-64-AVRO")), "little"))


SINGLE = b"\xc3\x01" + fingerprint()


# ---- processes

class Registry:
    def __init__(self, lab_):
        self.url = f"http://127.0.0.1:{free_port()}"
        self.process = lab_.own(subprocess.Popen([INTEROP, "registry", self.url[7:]], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL))
        equal(self.process.stdout.readline(), b"serving\n", "first words of the registry")
        self.client = SchemaRegistryClient({"url": self.url})

    def away(self):
        self.process.send_signal(signal.SIGUSR1)
        time.sleep(0.3)

    def back(self):
        self.process.send_signal(signal.SIGUSR2)

    def id_of(self, subject, schema, references=()):
        return self.client.register_schema(subject, Schema(json.dumps(schema), "AVRO", list(references)))


def mirror(lab_, name, registry=None, **properties):
    if registry:
        properties["registry__url"] = registry.url
    service = lab_.service(name, env={"MIRROR_NAME": name}, envelope="full", pause__first__ms="100ms", pause__most__ms="500ms", **properties)
    service.program = MIRROR
    service.environment["MIRROR_NAME"] = name
    return service


def produce(service, records, topic="commands"):
    """records: (key, value, headers)"""
    producer = Producer({"bootstrap.servers": service.kafka.servers, "partitioner": "murmur2_random"})
    failed = []
    for key, each, headers in records:
        producer.produce(service.topic(topic), key=key, value=each, headers=headers,
                         on_delivery=lambda error, message: failed.append(error) if error else None)
    equal(producer.flush(20), 0, "records not sent")
    equal(failed, [], "records refused")


def consume(service, count, topic="events", seconds=30, by=lambda message: message.key().decode()):
    """The first `count` records of the topic, by key."""
    consumer = Consumer({"bootstrap.servers": service.kafka.servers, "group.id": f"reader-{uuid.uuid4()}", "auto.offset.reset": "earliest",
                         "enable.auto.commit": False})
    consumer.subscribe([service.topic(topic)])
    found, end = {}, time.monotonic() + seconds
    try:
        while len(found) < count:
            if service.process and service.process.poll() is not None:
                raise lab.Failure(f"{service.name} ended with {service.process.returncode}; {service.last_words()}")
            check(time.monotonic() < end, f"{len(found)} of {count} events of {service.name} in {seconds} s; {service.last_words()}")
            message = consumer.poll(0.2)
            if message and not message.error():
                found[by(message)] = message
    finally:
        consumer.close()
    return found


def is_cloud_event(service, message, cause):
    """What a CloudEvents SDK makes of an event's headers."""
    headers = {name: header for name, header in message.headers()}
    event = ce_kafka.from_binary(ce_kafka.KafkaMessage(headers=headers, key=message.key(), value=message.value()), Untouched())
    equal((event.get_specversion(), event.get_type(), event.get_source()), ("1.0", "zoo.Everything", service.name), "attributes")
    equal(event.get_datacontenttype(), "application/avro", "content type")
    equal((event.get_extension("causationid"), event.get_extension("correlationid")), (cause, cause), "extensions")
    uuid.UUID(event.get_id())
    equal(bytes(event.get_data()), message.value(), "data")
    return event.get_id()


class Untouched:
    """A CloudEvents format that leaves the data as they are: Avro is no business of the SDK's."""

    def write_data(self, data, content_type):
        return data

    def read_data(self, data, content_type):
        return data

    def get_content_type(self):
        return "application/avro"


def cloud_headers(number):
    """Made by the SDK."""
    event = CloudEvent(attributes={"id": f"py-{number}", "source": "/python", "type": "zoo.Everything", "specversion": "1.0",
                                   "datacontenttype": "application/avro"}, data=b"x")
    return [(name, header) for name, header in ce_kafka.to_binary(event, Untouched()).headers.items()]


def same(got, number, what):
    wanted = plain(value(number))
    for name in wanted:
        equal(got.get(name), wanted[name], f"{what}, value {number}, field {name}")
    equal(set(got), set(wanted), what)


def relay(service, registry, target, framing, lab_):
    """Go reads the service's events and writes them from its own values for the target."""
    path = os.path.join(lab_.work, "everything.avsc")
    with open(path, "w") as file:
        json.dump(EVERYTHING, file)
    run(INTEROP, "relay", service.kafka.servers, registry.url, service.topic("events"), target.topic("commands"), str(COUNT), framing, path,
        f"{struct.unpack('<Q', fingerprint())[0]:016x}", timeout=70)


# ---- Confluent's serializers

def serializer(registry, schema=None, references=(), **conf):
    text = Schema(json.dumps(schema or EVERYTHING), "AVRO", list(references))
    return AvroSerializer(registry.client, text, conf={"subject.name.strategy": topic_subject_name_strategy, **conf})


def serialized(service, write, each, headers):
    """Header serializers add to the headers."""
    return write(each, SerializationContext(service.topic("commands"), MessageField.VALUE, headers)), headers


def read_by_confluent(registry, message, by_record):
    context = SerializationContext(message.topic(), MessageField.VALUE, message.headers())
    conf = {"subject.name.strategy": topic_record_subject_name_strategy} if by_record else {}
    return AvroDeserializer(registry.client, conf=conf)(message.value(), context)
