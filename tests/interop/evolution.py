# SPDX-License-Identifier: MIT
"""Random pairs of schemas through fastavro and through our plans: defaults, aliases of fields and types, promotions, logical types, unions, enums with
a default, skipped and reordered fields. Whichever reads, what comes out encodes to the same bytes."""
import copy, datetime, decimal, io, json, random, subprocess, sys, uuid
import fastavro

PAIRS = 3000
counter = 0
NONE = object()  # no default: fastavro hands out defaults of bytes and fixed as the text they are written as


def name(prefix):
    global counter
    counter += 1
    return f"{prefix}{counter}"


EPOCH = datetime.datetime(1970, 1, 1)


def logical(r, base, name, value):
    """The writer may not know the logical type yet: it wrote the base type."""
    full = {"type": base, "logicalType": name}
    return r.choice([(full, full, value, 5), (base, full, lambda: r.randint(0, 10**6), 5)])


def plain(r):
    """(writer's type, reader's type, value, default for the reader in JSON)"""
    return r.choice([
        ("int", "int", lambda: r.randint(-2**31, 2**31 - 1), 7), ("int", "long", lambda: r.randint(-2**31, 2**31 - 1), 7),
        ("int", "double", lambda: r.randint(-1000, 1000), 0.5), ("long", "long", lambda: r.randint(-2**63, 2**63 - 1), -2**63),
        ("long", "double", lambda: r.randint(-2**40, 2**40), 1.25), ("float", "double", lambda: r.randint(-100, 100) / 4, 2.5),
        ("string", "string", lambda: r.choice(["", "x", "héllo €", "a" * 70]), "d"), ("bytes", "bytes", lambda: r.randbytes(r.randint(0, 9)), NONE),
        ("boolean", "boolean", lambda: r.random() < 0.5, True), ("null", "null", lambda: None, None),
        ({"type": "int", "logicalType": "date"}, {"type": "int", "logicalType": "date"}, lambda: datetime.date(2026, 1, r.randint(1, 28)), 5),
        ({"type": "long", "logicalType": "timestamp-millis"}, {"type": "long", "logicalType": "timestamp-millis"},
         lambda: datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(milliseconds=r.randint(0, 10**9)), 5),
        logical(r, "int", "time-millis", lambda: datetime.time(r.randint(0, 23), 59, 58, 1000 * r.randint(0, 999))),
        logical(r, "long", "timestamp-micros", lambda: EPOCH.replace(tzinfo=datetime.timezone.utc) + datetime.timedelta(microseconds=r.randint(-10**15, 10**15))),
        logical(r, "long", "local-timestamp-millis", lambda: EPOCH + datetime.timedelta(milliseconds=r.randint(-10**12, 10**12))),
        logical(r, "long", "local-timestamp-micros", lambda: EPOCH + datetime.timedelta(microseconds=r.randint(-10**15, 10**15))),
        ({"type": "long", "logicalType": "time-micros"}, {"type": "long", "logicalType": "time-micros"}, lambda: datetime.time(1, 2, 3, r.randint(0, 999999)), 5),
        ({"type": "string", "logicalType": "uuid"}, {"type": "string", "logicalType": "uuid"}, lambda: uuid.UUID(int=r.getrandbits(128)),
         "0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},) * 2 + (lambda: decimal.Decimal(r.randint(-10**8, 10**8)).scaleb(-2), NONE),
    ])


def renamed(r, old, prefix):
    """The reader's name of a type, with an alias if it is another one."""
    return r.choice([{"name": old}, {"name": name(prefix), "aliases": [old]}])


def draw(r, depth):
    kind = r.randint(0, 9) if depth > 0 else 0
    if kind <= 3:
        return plain(r)
    if kind == 4:
        w, d, v, _ = draw(r, depth - 1)
        return {"type": "array", "items": w}, {"type": "array", "items": d}, lambda: [v() for _ in range(r.randint(0, 3))], []
    if kind == 5:
        w, d, v, _ = draw(r, depth - 1)
        return {"type": "map", "values": w}, {"type": "map", "values": d}, lambda: {f"k{i}": v() for i in range(r.randint(0, 3))}, {}
    if kind == 6:
        n = name("E")
        return ({"type": "enum", "name": n, "symbols": ["A", "B", "C"]}, {"type": "enum", **renamed(r, n, "D"), "symbols": ["C", "A"], "default": "A"},
                lambda: r.choice("ABC"), "C")
    if kind == 7:
        n = name("F")
        return {"type": "fixed", "name": n, "size": 3}, {"type": "fixed", **renamed(r, n, "G"), "size": 3}, lambda: r.randbytes(3), NONE
    if kind == 8:
        w, d, v, _ = plain(r)
        if w == "null":
            return w, d, v, None
        some = lambda: v() if r.random() < 0.7 else None
        return r.choice([(["null", w], ["null", d], some, None), (w, ["null", d], v, None), (["null", w], [d, "null"], some, NONE)])
    w, d, v, _ = record(r, depth - 1)
    return w, d, v, NONE


def record(r, depth):
    n = name("R")
    writer, reader, values = [], [], {}
    for i in range(r.randint(1, 5)):
        w, d, v, preset = draw(r, depth)
        field = f"f{i}"
        change = r.randint(0, 5)
        if change != 0:  # else only the reader has it
            writer.append({"name": field, "type": w})
            values[field] = v
        elif preset is NONE:
            continue
        if change == 1:
            continue  # only the writer has it
        mine = {"name": field, "type": copy.deepcopy(d)}
        if change == 0:
            mine["default"] = preset
        if change == 2:
            mine.update(name="g" + field, aliases=[field])
        reader.append(mine)
    r.shuffle(reader)
    return ({"type": "record", "name": n, "fields": writer}, {"type": "record", **renamed(r, n, "S"), "fields": reader},
            lambda: {k: v() for k, v in values.items()}, NONE)


def main():
    cases = []
    for seed in range(PAIRS):
        r = random.Random(seed)
        w, d, v, _ = record(r, 3)
        value, body, back = v(), io.BytesIO(), io.BytesIO()
        writer, reader = fastavro.parse_schema(copy.deepcopy(w)), fastavro.parse_schema(copy.deepcopy(d))
        fastavro.schemaless_writer(body, writer, value)
        read = fastavro.schemaless_reader(io.BytesIO(body.getvalue()), writer, reader)
        fastavro.schemaless_writer(back, reader, read)
        cases.append((seed, w, d, body.getvalue(), back.getvalue()))
    text = "".join(f"{json.dumps(w)}\n{json.dumps(d)}\n{body.hex()}\n" for _, w, d, body, _ in cases)
    said = subprocess.run([sys.argv[1]], input=text, capture_output=True, text=True, check=True, timeout=300).stdout.split("\n")
    bad = 0
    for (seed, w, d, body, back), line in zip(cases, said):
        if line != back.hex():
            bad += 1
            if bad <= 3:
                print(f"seed {seed}:\n  writer {json.dumps(w)}\n  reader {json.dumps(d)}\n  body     {body.hex()}\n  fastavro {back.hex()}\n  here     {line}")
    print(f"{len(cases)} pairs, {bad} differ; {sum(len(c[4]) > 0 for c in cases)} with bytes")
    return 1 if bad or len(said) < len(cases) or len(cases) < PAIRS else 0


sys.exit(main())
