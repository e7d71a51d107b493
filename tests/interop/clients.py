# SPDX-License-Identifier: MIT
"""Foreign clients read what the bus writes and write what it reads: confluent-kafka with fastavro, franz-go with goavro, a CloudEvents
SDK; in Avro's single-object encoding and in Confluent's framings, with a value of every type, on a real Kafka and with a schema
registry that is there, away, and back. Run by test_clients."""
import io
import os
import struct

import fastavro
from confluent_kafka.schema_registry import SchemaReference, header_schema_id_serializer, prefix_schema_id_serializer
from zoo import (APART, COUNT, EVERYTHING, KEEPER, PARSED, SINGLE, Registry, body, cloud_headers, consume, inlined, is_cloud_event, lab, mirror,
                 plain, produce, read_by_confluent, relay, same, serialized, serializer, value)
from lab import check, equal, eventually, run, test  # zoo says where it is


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
    check(f"{COUNT} emitted events were sent before," in said and "0 are left to send" in said, said)
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
