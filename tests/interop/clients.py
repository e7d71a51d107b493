# SPDX-License-Identifier: MIT
"""Foreign clients read what the bus writes and write what it reads: confluent-kafka with fastavro, franz-go with goavro, a CloudEvents
SDK; in Avro's single-object encoding and in Confluent's framings, with a value of every type, on a real Kafka and with a schema
registry that is there, away, and back. Run by test_clients."""
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
from lab import BUILD, PROJECT, check, equal, eventually, free_port, run, test  # noqa: E402

import fastavro  # noqa: E402
from cloudevents.core.bindings import kafka as ce_kafka  # noqa: E402
from cloudevents.core.v1.event import CloudEvent  # noqa: E402
from confluent_kafka import Consumer, Producer  # noqa: E402
from confluent_kafka.schema_registry import (Schema, SchemaReference, SchemaRegistryClient, header_schema_id_serializer,  # noqa: E402
                                             prefix_schema_id_serializer, topic_record_subject_name_strategy,
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
    service = lab_.service(name, env={"MIRROR_NAME": name}, pause__first__ms="100ms", pause__most__ms="500ms", **properties)
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


def consume(service, count, topic="events", seconds=30):
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
                found[message.key().decode()] = message
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


# ---- tests

@test
def single_object_python_and_go(lab_):
    """fastavro writes, the bus reads and writes, goavro reads and writes, the bus reads and writes, fastavro reads."""
    registry = Registry(lab_)
    first, second = mirror(lab_, "single"), mirror(lab_, "single-again")
    for each in (first, second):
        each.make_topics().start()
    produce(first, [(f"k{n}", SINGLE + body(PARSED, value(n)), cloud_headers(n)) for n in range(COUNT)])
    found, ids = consume(first, COUNT), set()
    for n in range(COUNT):
        message = found[f"k{n}"]
        equal(message.value()[:10], SINGLE, "framing")
        same(fastavro.schemaless_reader(io.BytesIO(message.value()[10:]), PARSED), n, "fastavro reads")
        equal(message.value(), SINGLE + body(PARSED, value(n)), "bytes")
        ids.add(is_cloud_event(first, message, f"py-{n}"))
    equal(len(ids), COUNT, "ids")
    relay(first, registry, second, "single-object", lab_)
    found = consume(second, COUNT)
    for n in range(COUNT):
        same(fastavro.schemaless_reader(io.BytesIO(found[f"k{n}"].value()[10:]), PARSED), n, "by way of Go")
        is_cloud_event(second, found[f"k{n}"], f"go-k{n}")
    for each in (first, second):
        each.stop()


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


@test
def confluent_python_and_go(lab_):
    """The same in Confluent's framing, by its own serializers: the id before the body, and the GUID in a header."""
    registry = Registry(lab_)
    first = mirror(lab_, "framed", registry, framing="confluent")
    second = mirror(lab_, "framed-again", registry, framing="confluent", registry__subject="topic")
    for each in (first, second):
        each.make_topics().start()
    by_prefix = serializer(registry, **{"schema.id.serializer": prefix_schema_id_serializer})
    # The registry in memory tells a schema's GUID when it is looked up, not when it is registered.
    by_header = serializer(registry, **{"schema.id.serializer": header_schema_id_serializer, "auto.register.schemas": False})
    records = []
    for n in range(COUNT):
        data, headers = serialized(first, by_header if n % 2 else by_prefix, value(n), cloud_headers(n))
        equal("__value_schema_id" in dict(headers), n % 2 == 1, "GUID header")
        records.append((f"k{n}", data, headers))
    produce(first, records)
    found = consume(first, COUNT)
    mine = registry.client.get_latest_version("framed.events-zoo.Everything")
    for n in range(COUNT):
        message = found[f"k{n}"]
        equal(message.value()[:5], struct.pack(">bI", 0, mine.schema_id), "framing")
        same(read_by_confluent(registry, message, True), n, "confluent-kafka reads")
        check("__value_schema_id" not in dict(message.headers()), "no header of the cause is passed on")
        is_cloud_event(first, message, f"py-{n}")
    relay(first, registry, second, "confluent", lab_)
    found = consume(second, COUNT)
    for n in range(COUNT):
        same(read_by_confluent(registry, found[f"k{n}"], False), n, "by way of Go")
    kept = {row[0] for row in first.sql("SELECT question FROM bus_answer")}
    check(any(q.startswith("schemas/guids/") for q in kept) and any(q.startswith("schemas/ids/") for q in kept) and
          any(q.startswith("subjects/framed.events-zoo.Everything/") for q in kept), "answers kept in the store", kept)
    for each in (first, second):
        each.stop()


def without(*names):
    """An older version: fields that have defaults are not there yet, `int`s promoted since, and one field that is gone since."""
    schema = inlined()
    schema["fields"] = [{"name": "gone", "type": ["null", "string"], "default": None}] + [f for f in schema["fields"] if f["name"] not in names]
    next(f for f in schema["fields"] if f["name"] == "big")["type"] = "int"
    return schema


@test
def other_versions_and_references(lab_):
    """A producer with an older schema, and one whose schema refers to another subject's."""
    registry = Registry(lab_)
    service = mirror(lab_, "versions", registry).make_topics().start()
    old = serializer(registry, without("maybe_text", "maybe_last", "maybe_keeper"))
    wanted = {**value(1), "big": 77}
    data, headers = serialized(service, old, {**wanted, "gone": "x"}, cloud_headers(0))
    registry.id_of("staff.Keeper", KEEPER)
    reference = SchemaReference("staff.Keeper", "staff.Keeper", 1)
    apart = registry.id_of("apart", APART, [reference])
    produce(service, [("old", data, headers), ("apart", struct.pack(">bI", 0, apart) + body(PARSED, value(2)), cloud_headers(1))])
    found = consume(service, 2)
    got = fastavro.schemaless_reader(io.BytesIO(found["old"].value()[10:]), PARSED)
    for name, each in {**plain(wanted), "maybe_text": None, "maybe_last": 5, "maybe_keeper": None}.items():
        equal(got[name], each, f"by the older schema, {name}")
    equal(found["apart"].value()[:10], SINGLE, "single-object encoding is written all the same")
    same(fastavro.schemaless_reader(io.BytesIO(found["apart"].value()[10:]), PARSED), 2, "by reference")
    service.stop()


@test
def registry_away(lab_):
    """What is known goes on through a restart; what is not waits, and nothing is lost."""
    registry = Registry(lab_)
    service = mirror(lab_, "away", registry, framing="confluent").make_topics().start()
    write = serializer(registry)
    produce(service, [("first", *serialized(service, write, value(1), cloud_headers(1)))])
    consume(service, 1)
    unknown = registry.id_of("unknown", without("maybe_text"))
    service.stop()
    registry.away()
    service.start()
    produce(service, [("second", *serialized(service, write, value(2), cloud_headers(2)))])
    same(fastavro.schemaless_reader(io.BytesIO(consume(service, 2)["second"].value()[5:]), PARSED), 2, "with the registry away")
    late = struct.pack(">bI", 0, unknown) + body(fastavro.parse_schema(without("maybe_text")), {**value(3), "big": 5, "gone": None})
    produce(service, [("third", late, cloud_headers(3))])
    said = service.says("paused", "schema registry")
    check("nothing is lost" in said, said)
    equal(service.letters(), [], "dead letters")
    registry.back()
    found = consume(service, 3)
    equal(fastavro.schemaless_reader(io.BytesIO(found["third"].value()[5:]), PARSED)["maybe_text"], None, "the late one")
    service.says("registry_back", "answers again")
    service.stop()


@test
def rebuild(lab_):
    """A lost store is made again from topics in Confluent's framing, and what it would emit is known to be sent."""
    registry = Registry(lab_)
    service = mirror(lab_, "rebuilt", registry, framing="confluent").make_topics().start()
    write = serializer(registry)
    produce(service, [(f"k{n}", *serialized(service, write, value(n), cloud_headers(n))) for n in range(COUNT)])
    consume(service, COUNT)
    eventually("the outbox is empty", 10, lambda: not service.sql("SELECT 1 FROM bus_outbox"))
    service.stop()
    os.remove(os.path.join(service.data, service.name, "0.db"))
    said = run(service.program, "--rebuild", *service.arguments(), env=service.environment)
    check(f"{COUNT} emitted events were sent before, 0 are left to send" in said, said)
    service.start()
    produce(service, [("more", *serialized(service, write, value(1), cloud_headers(COUNT)))])
    found = consume(service, COUNT + 1)
    equal(len(found), COUNT + 1, "events")
    equal(service.letters(), [], "dead letters")
    service.stop()


@test
def unknown_to_the_registry(lab_):
    """An id that nobody registered pauses its topic; without a registry it is a dead letter that says what to set."""
    registry = Registry(lab_)
    service = mirror(lab_, "nobody", registry, registry__unknown__ms="1s").make_topics().start()
    produce(service, [("k", struct.pack(">bI", 0, 1) + body(PARSED, value(1)), cloud_headers(1))])
    service.says("paused", "404")
    equal(registry.id_of("late", EVERYTHING), 1, "the id")
    consume(service, 1)
    service.stop()
    bare = mirror(lab_, "bare").make_topics().start()
    produce(bare, [("k", struct.pack(">bI", 0, 1) + body(PARSED, value(1)), cloud_headers(1))])
    letter = eventually("a dead letter", 20, bare.letters)[0]
    check("set registry.url" in letter["headers"]["__dlq.errors.message"], letter["headers"]["__dlq.errors.message"])
    bare.stop()


if __name__ == "__main__":
    lab.main("interop", at_once=3)
