# SPDX-License-Identifier: MIT
"""Odd but legal schemas through bus-schemac: names that C, its headers or the compiler itself would like to have, every kind of type inside every
other, defaults, several name spaces. What it makes must compile as C11, its headers as C++17 too, beside the system's; its structs must write what
they read, fastavro must read it, have the same fingerprint and write it alike, and the constants must hold the defaults."""
import copy, glob, io, json, os, random, shutil, struct, subprocess, sys, tempfile, time
import fastavro

SPACES = ["n", "n", "n.sub", "features", "stdint", "string", "limits", "v1", "v2", "record", "car", "errno", "time", "int", "x_y"]
TYPES = ["R", "S", "R_array", "R_map", "R_ref", "R_optional", "R_entry", "R_f", "R_f_item", "record", "enum", "fixed", "array", "map", "union", "error", "tag", "as",
         "Kind", "Kind_array", "long_array", "long_array_array", "string_optional", "entry", "none", "shape", "bus_string", "int32_t", "P", "Q", "class_"]
FIELDS = ["f", "g", "f_item", "int", "int_", "int__", "_Bool", "_Atomic", "_Generic", "_Static_assert", "_Complex", "class", "register", "at", "len", "key", "value", "present",
          "tag", "as", "none", "errno", "stdin", "NULL", "EOF", "I", "complex", "noreturn", "thread_local", "assert", "offsetof", "sizeof", "true", "linux", "unix", "st_atime",
          "sa_handler", "si_pid", "s6_addr", "__op", "__FILE__", "_GNU_SOURCE", "bus_string", "int32_t", "n_R", "n_R_array", "n_Kind", "R", "this", "export", "BUS_TYPE_H",
          "BUS_SOME", "and", "xor_eq", "asm", "typeof", "nullptr", "requires", "EIO", "SIGINT", "INT_MAX", "major", "minor", "main", "bool", "float", "event"]
SYMBOLS = ["A", "B", "array", "map", "optional", "entry", "shape", "symbols", "type", "of", "defaults", "tag", "ref", "int", "NULL", "EOF", "true", "class", "fields", "_", "_A", "a_b"]
DOCS = ["plain", "ends */ here", "/* nests", "what??/ a trigraph", "back\\slash \\", "\u202e turned \u202c", "h\u00e9llo \U0001f600", "*", "/", "a" * 200, "// x \\\n y", "\x01\x7f"]
SCALARS = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"]
LOGICAL = [("int", "date"), ("int", "time-millis"), ("long", "time-micros"), ("long", "timestamp-millis"), ("long", "timestamp-micros"),
           ("long", "local-timestamp-millis"), ("long", "local-timestamp-micros"), ("string", "uuid"), ("int", "no-such"), ("string", "date")]
NO = object()


class Draw:
    """The files of one seed: schemas whose types may refer to those before them."""

    def __init__(self, seed, prefix=None):
        self.r = random.Random(seed)
        self.known = {}      # full name to schema
        self.closed = []     # names that later types may refer to
        self.files = []
        # Name spaces in one order: a type refers to those of its own or an earlier one, for headers cannot include each other.
        self.spaces = list(dict.fromkeys(self.r.sample(SPACES, 3)))
        for i in range(self.r.randint(1, 4)):
            space = self.spaces[min(i, len(self.spaces) - 1)]
            self.files.append(self.record(space, 3, []))

    def name(self, space):
        for _ in range(50):
            simple = self.r.choice(TYPES)
            full = f"{space}.{simple}"
            if full not in self.known and full.replace(".", "_") not in {k.replace(".", "_") for k in self.known}:
                self.known[full] = None
                return simple, full
        full = f"{space}.T{len(self.known)}"
        self.known[full] = None
        return full.rsplit(".", 1)[1], full

    def doc(self, out):
        if self.r.random() < 0.2:
            out["doc"] = self.r.choice(DOCS)
        return out

    def record(self, space, depth, open_):
        simple, full = self.name(space)
        out = self.doc({"type": "record", "name": simple, "namespace": space})
        fields = []
        self.known[full] = out
        for field in self.r.sample(FIELDS, self.r.randint(0, 6)):
            kind = self.type(space, depth - 1, open_ + [full])
            item = self.doc({"name": field, "type": kind})
            preset = self.preset(kind, 0) if self.r.random() < 0.4 else NO
            if preset is not NO:
                item["default"] = preset
            fields.append(item)
        out["fields"] = fields
        self.closed.append(full)
        return out

    def scalar(self, space):
        pick = self.r.randint(0, 9)
        if pick < 5:
            return self.r.choice(SCALARS)
        if pick < 8:
            base, logical = self.r.choice(LOGICAL)
            return {"type": base, "logicalType": logical}
        precision = self.r.choice([1, 4, 9, 18, 19, 40])
        return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": self.r.randint(0, min(precision, 4))}

    def named(self, space, depth, open_):
        pick = self.r.randint(0, 3)
        if pick == 0 and self.closed:
            return self.r.choice(self.closed)
        if pick == 1:
            simple, full = self.name(space)
            out = self.doc({"type": "enum", "name": simple, "namespace": space, "symbols": self.r.sample(SYMBOLS, self.r.randint(1, 6))})
        elif pick == 2:
            simple, full = self.name(space)
            out = {"type": "fixed", "name": simple, "namespace": space, "size": self.r.choice([1, 3, 12, 16])}
            if self.r.random() < 0.5:
                out.update({12: {"logicalType": "duration"}, 16: {"logicalType": "uuid"}}.get(out["size"], {"logicalType": "decimal", "precision": 2, "scale": 1}))
        else:
            return self.record(space, depth - 1, open_)
        self.known[full] = out
        self.closed.append(full)
        return out

    def type(self, space, depth, open_, in_union=False):
        pick = self.r.randint(0, 9)
        if depth <= 0 or pick < 3:
            return self.scalar(space)
        if pick < 5:
            kind = self.r.choice(["array", "map"])
            item = self.item(space, depth, open_)
            return {"type": kind, "items" if kind == "array" else "values": item}
        if pick < 8 or in_union:
            return self.named(space, depth, open_)
        return self.union(space, depth, open_)

    def item(self, space, depth, open_):
        """May be a record that is not finished: an array ends."""
        pick = self.r.random()
        if open_ and pick < 0.1:
            return self.r.choice(open_)
        if open_ and pick < 0.15:
            return ["null", self.r.choice(open_)]
        return self.type(space, depth - 1, open_)

    def union(self, space, depth, open_):
        branches, seen = [], set()
        if self.r.random() < 0.5:
            branches.append("null")
            seen.add("null")
        for _ in range(self.r.randint(1, 4)):
            if open_ and branches and self.r.random() < 0.1:
                branch = self.r.choice(open_)
            else:
                branch = self.type(space, depth - 1, open_, in_union=True)
            name = self.branch(branch)
            if name not in seen:
                seen.add(name)
                branches.append(branch)
        self.r.shuffle(branches)
        if any(self.closing(b, open_) for b in branches):
            return branches
        return ["null"] + [b for b in branches if b != "null"]

    def closing(self, branch, open_):
        return not (isinstance(branch, str) and branch in open_)

    def branch(self, branch):
        if isinstance(branch, str):
            return branch
        if branch["type"] in ("record", "enum", "fixed"):
            return f"{branch['namespace']}.{branch['name']}"
        return branch["type"]

    # ---- defaults: one that the type surely takes, or none

    def preset(self, kind, depth):
        if isinstance(kind, list):
            return self.preset(kind[0], depth + 1)
        if isinstance(kind, str) and kind in self.known:
            kind = self.known[kind]
        if kind is None or depth > 3:
            return NO
        full = {"type": kind} if isinstance(kind, str) else kind
        base, logical = full["type"], full.get("logicalType")
        if base == "null":
            return None
        if base == "boolean":
            return self.r.random() < 0.5
        if base in ("int", "long"):
            return self.r.choice([0, 1, -1, 2**31 - 1, -2**31] + ([2**63 - 1, -2**63] if base == "long" else []))
        if base in ("float", "double"):
            return self.r.choice([0, 1.5, -2.25, 1e10, "NaN", "Infinity", "-Infinity"])
        if base == "bytes":
            return "\u0001" if logical == "decimal" else self.r.choice(["", "a", "\u0000\u00ff?\"\\"])
        if base == "string":
            return "0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55" if logical == "uuid" else self.r.choice(["", "x", "h\u00e9 ??/ \"\\ \n", "7" * 40])
        if base == "enum":
            return self.r.choice(full["symbols"])
        if base == "fixed":
            return "\u0000" * (full["size"] - 1) + "\u0007"
        if base in ("array", "map"):
            item = self.preset(full["items" if base == "array" else "values"], depth + 1)
            if item is NO:
                return [] if base == "array" else {}
            return [item] * self.r.randint(0, 2) if base == "array" else {k: item for k in ["", "k"][: self.r.randint(0, 2)]}
        if "fields" not in full:
            return NO
        out = {}
        for field in full["fields"]:
            value = self.preset(field["type"], depth + 1)
            if value is not NO:
                out[field["name"]] = value
            elif "default" not in field:
                return NO
        return out

    # ---- bodies, by the specification

    def body(self, kind, depth=0):
        if isinstance(kind, list):
            i = self.r.randrange(len(kind))
            if depth > 8:
                i = next((j for j, b in enumerate(kind) if b in SCALARS), next((j for j, b in enumerate(kind) if self.flat(b)), i))
            return number(i) + self.body(kind[i], depth + 1)
        if isinstance(kind, str) and kind in self.known:
            kind = self.known[kind]
        full = {"type": kind} if isinstance(kind, str) else kind
        base, logical = full["type"], full.get("logicalType")
        if base == "null":
            return b""
        if base == "boolean":
            return self.r.choice([b"\0", b"\1"])
        if base in ("int", "long"):
            if logical:
                return number(self.r.randrange(100000))
            return number(self.r.choice([0, 1, -1, 63, -64, 64, 10**6, 2**31 - 1, -2**31]))
        if base in ("float", "double"):
            return struct.pack("<f" if base == "float" else "<d", self.r.choice([0.0, 1.5, -2.25, 1e10]))
        if base == "bytes":
            raw = self.r.choice([b"\x01", b"\xff", b"\x00"]) if logical == "decimal" else self.r.randbytes(self.r.randint(0, 5))
            return number(len(raw)) + raw
        if base == "string":
            raw = b"0b6ce1c8-5f1d-5d0c-9a39-0b2c8a1e7f55" if logical == "uuid" else self.r.choice(["", "x", "h\u00e9\u20ac"]).encode()
            return number(len(raw)) + raw
        if base == "enum":
            return number(self.r.randrange(len(full["symbols"])))
        if base == "fixed":
            return b"\0" * (full["size"] - 1) + b"\x07"
        if base in ("array", "map"):
            count, out = self.r.randint(0, 2) if depth < 8 else 0, b""
            for i in range(count):
                out += (number(1) + b"ab"[i:i + 1] if base == "map" else b"") + self.body(full["items" if base == "array" else "values"], depth + 1)
            return (number(count) + out if count else b"") + number(0)
        return b"".join(self.body(field["type"], depth + 1) for field in full["fields"])

    def flat(self, branch):
        full = self.known.get(branch, branch) if isinstance(branch, str) else branch
        return not (isinstance(full, dict) and full["type"] == "record")


def number(value):
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def preset_bytes(known, kind, value):
    """A default as Avro: of a union its first branch."""
    if isinstance(kind, list):
        return number(0) + preset_bytes(known, kind[0], value)
    full = known.get(kind, {"type": kind}) if isinstance(kind, str) else kind
    base = full["type"]
    if base == "null":
        return b""
    if base == "boolean":
        return bytes([value])
    if base in ("int", "long"):
        return number(value)
    if base in ("float", "double"):
        return struct.pack("<f" if base == "float" else "<d", float(value))
    if base in ("bytes", "string"):
        raw = value.encode("latin1" if base == "bytes" else "utf8")
        return number(len(raw)) + raw
    if base == "fixed":
        return value.encode("latin1")
    if base == "enum":
        return number(full["symbols"].index(value))
    if base == "array":
        return (number(len(value)) + b"".join(preset_bytes(known, full["items"], v) for v in value) if value else b"") + number(0)
    if base == "map":
        pairs = [number(len(k.encode())) + k.encode() + preset_bytes(known, full["values"], v) for k, v in value.items()]
        return (number(len(value)) + b"".join(pairs) if value else b"") + number(0)
    return b"".join(preset_bytes(known, f["type"], value.get(f["name"], f.get("default"))) for f in full["fields"])


def zero_bytes(known, kind):
    """What a field of zeros is; None: not worth telling here."""
    if isinstance(kind, list):
        return number(kind.index("null")) if len(kind) == 2 and "null" in kind else None
    full = known.get(kind, {"type": kind}) if isinstance(kind, str) else kind
    if full.get("logicalType"):
        return None
    sizes = {"null": 0, "boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1, "array": 1, "map": 1, "enum": 1}
    return b"\0" * sizes[full["type"]] if full["type"] in sizes else None


def defaults_bytes(known, record):
    parts = [preset_bytes(known, f["type"], f["default"]) if "default" in f else zero_bytes(known, f["type"]) for f in record["fields"]]
    return None if None in parts else b"".join(parts)


def plain(schema):
    """Without unions whose branch a value does not tell."""
    if isinstance(schema, list):
        return len(schema) <= 2 and "null" in schema and all(map(plain, schema))
    if isinstance(schema, dict):
        return all(plain(schema[k]) for k in ("type", "items", "values") if k in schema) and all(plain(f["type"]) for f in schema.get("fields", []))
    return True


# ---- files, C, and back

SYSTEM = "assert ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg stdbool stddef stdint stdio stdlib string time uchar \
wchar wctype sys/stat sys/types sys/socket netinet/in pthread unistd fcntl sched".split()
WARN = ["-Wall", "-Wextra", "-Werror", "-Ibus/include"]

DRIVER = """
#include <stdio.h>
#include <stdlib.h>
static const struct { const bus_type *type; const void *defaults; } types[] = {
%s};
static void tell(const bus_type *type, const void *body)
{
    void *bytes = NULL;
    size_t len = 0;
    bus_error err;
    if (bus_encode(type, body, &bytes, &len, &err) != BUS_OK) {
        printf("%%s\\n", err.text);
        return;
    }
    for (size_t i = 10; i < len; i++)
        printf("%%02x", ((unsigned char *)bytes)[i]);
    printf("\\n");
    free(bytes);
}
int main(void)
{
    static char line[200000];
    static unsigned char bytes[100010];
    unsigned at, byte;
    char *text = line;
    while (fgets(line, sizeof line, stdin)) {
        size_t len = 10;
        int used = 0;
        const void *body = NULL;
        bus_error err;
        sscanf(line, "%%u%%n", &at, &used);
        if (line[used] == 's') {
            printf("%%016llx %%s\\n", (unsigned long long)bus_type_fingerprint(types[at].type), bus_type_schema(types[at].type));
            continue;
        }
        if (line[used] == '\\n') {
            tell(types[at].type, types[at].defaults);
            continue;
        }
        for (text = line + used + 1; sscanf(text, "%%2x", &byte) == 1; text += 2)
            bytes[len++] = (unsigned char)byte;
        bytes[0] = 0xC3;
        bytes[1] = 1;
        uint64_t fingerprint = bus_type_fingerprint(types[at].type);
        for (int i = 0; i < 8; i++)
            bytes[2 + i] = (unsigned char)(fingerprint >> 8 * i);
        if (bus_decode(types[at].type, bytes, len, &body, &err) != BUS_OK)
            printf("%%s\\n", err.text);
        else
            tell(types[at].type, body);
        bus_body_free(body);
    }
    return 0;
}
"""


def write_files(directory, files):
    os.makedirs(directory, exist_ok=True)
    paths = []
    for i, schema in enumerate(files):
        paths.append(os.path.join(directory, f"{i}.avsc"))
        with open(paths[-1], "w") as out:
            json.dump(schema, out, ensure_ascii=i % 2 == 0)
    return paths


def compile_c(schemac, directory, paths):
    """None and the headers, or what schemac says."""
    said = subprocess.run([schemac, "-o", directory, *paths], capture_output=True, text=True)
    headers = sorted(name for name in os.listdir(directory) if name.endswith(".events.h"))
    return (said.stderr, []) if said.returncode else (None, headers)


def check_c(directory, headers, text):
    """What the compilers say of the headers between other includes."""
    said = ""
    for compiler, language, standard in (("gcc", "c", "c11"), ("g++", "c++", "c++17")):
        done = subprocess.run([compiler, f"-std={standard}", "-D_GNU_SOURCE", "-fsyntax-only", *WARN, "-I", directory, "-x", language, "-"], input=text,
                              capture_output=True, text=True)
        said += done.stderr if done.returncode else ""
    return said


def link(directory, headers, library):
    """A program that knows all records of the headers: their names and whether they have defaults, and what the compiler says."""
    types, text = [], ""
    for header in headers:
        text += f'#include "{header}"\n'
        with open(os.path.join(directory, header)) as file:
            content = file.read()
        for name in content.split("extern const bus_type ")[1:]:
            name = name.split(";")[0][: -len("_type")]
            types.append((name, f"extern const {name} {name}_defaults;" in content))
    rows = "".join(f"    {{ &{name}_type, {f'&{name}_defaults' if has else 'NULL'} }},\n" for name, has in types)
    with open(os.path.join(directory, "driver.c"), "w") as file:
        file.write(text + DRIVER % (rows or "    { NULL, NULL },\n"))
    sources = [os.path.join(directory, header[:-2] + ".c") for header in headers]
    done = subprocess.run(["gcc", "-std=c11", "-D_GNU_SOURCE", *WARN, "-I", directory, os.path.join(directory, "driver.c"), *sources, "-o",
                           os.path.join(directory, "driver"), "-L", library, "-lbus", f"-Wl,-rpath,{os.path.abspath(library)}"], capture_output=True, text=True)
    return types, done.stderr if done.returncode else ""


def values(draw, directory, types):
    """Bodies of every record through C and fastavro; yields what is wrong."""
    records = {full.replace(".", "_"): full for full, schema in draw.known.items() if schema and schema["type"] == "record"}
    asked, lines = [], []
    for at, (name, has) in enumerate(types):
        full = records[name]
        asked.append(("schema", full, None))
        lines.append(f"{at}s")
        if has:
            asked.append(("defaults", full, defaults_bytes(draw.known, draw.known[full])))
            lines.append(f"{at}")
        for _ in range(3):
            body = draw.body(full)
            asked.append(("body", full, body))
            lines.append(f"{at} {body.hex()}")
    said = subprocess.run([os.path.join(directory, "driver")], input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=60).stdout.split("\n")
    schema = None
    for (what, full, body), line in zip(asked, said):
        if what == "schema":
            fingerprint, text = line.split(" ", 1)
            schema = json.loads(text)
            theirs = fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(copy.deepcopy(schema)), "CRC-64-AVRO")
            if int.from_bytes(bytes.fromhex(theirs), "little") != int(fingerprint, 16):
                yield f"{full}: fingerprint {fingerprint}, fastavro's is {theirs}"
        elif body is None:
            continue
        elif line != body.hex():
            yield f"{full}: {what} {body.hex()} became {line}"
        elif what == "body": # a default may be no time of any day
            parsed = fastavro.parse_schema(copy.deepcopy(schema))
            value = fastavro.schemaless_reader(io.BytesIO(body), parsed)
            back = io.BytesIO()
            if plain(schema):
                fastavro.schemaless_writer(back, parsed, value)
                if back.getvalue() != body:
                    yield f"{full}: fastavro writes {back.getvalue().hex()} for {body.hex()}"
    if len(said) < len(asked):
        yield f"{len(said)} answers to {len(asked)} questions"


def known_of(files):
    """The corpus as if it had been drawn."""
    draw = Draw.__new__(Draw)
    draw.r, draw.known = random.Random(1), {}

    def walk(kind, space):
        if isinstance(kind, list):
            return [walk(branch, space) for branch in kind]
        if isinstance(kind, str):
            return kind if kind in SCALARS or "." in kind else f"{space}.{kind}"
        kind = dict(kind)
        if kind["type"] in ("record", "enum", "fixed"):
            full = kind["name"] if "." in kind["name"] else f"{kind.get('namespace', space)}.{kind['name']}"
            draw.known[full] = kind
            space, kind["name"] = full.rsplit(".", 1)
            kind["namespace"] = space
            if kind["type"] == "record":
                kind["fields"] = [{**field, "type": walk(field["type"], space)} for field in kind["fields"]]
            return full
        for member in ("items", "values"):
            if member in kind:
                kind[member] = walk(kind[member], space)
        return kind

    for path in files:
        with open(path) as file:
            walk(json.load(file), "")
    return draw


def attempt(schemac, library, directory, draw, paths):
    """What is wrong with one set of schemas: a list, empty if nothing is."""
    why, headers = compile_c(schemac, directory, paths)
    if why:
        return [f"refused: {why.strip()}"]
    units = "".join(f'#include "{name}"\n' for name in headers)
    system = "".join(f"#include <{name}.h>\n" for name in SYSTEM)
    said = check_c(directory, headers, random.Random(len(headers)).choice([units + system, system + units]))
    if said:
        return [said[:2000]]
    types, said = link(directory, headers, library)
    return [said[:2000]] if said else list(values(draw, directory, types))


def main():
    schemac, library = sys.argv[1:3]
    first, seconds = int(os.environ.get("ODD_SEED", 1)), float(os.environ.get("ODD_SECONDS", 20))
    work, bad, types = tempfile.mkdtemp(prefix="odd-"), 0, 0
    corpus = sorted(glob.glob("tests/data/odd/*.avsc"))
    end, seed, seeds = time.monotonic() + seconds, None, first
    while seed is None or seeds < first + 3 or time.monotonic() < end:
        directory = os.path.join(work, "corpus" if seed is None else str(seeds))
        os.makedirs(directory)
        if seed is None:
            draw, paths = known_of(corpus), corpus
        else:
            draw = Draw(seeds)
            paths = write_files(directory, draw.files)
        wrong = attempt(schemac, library, directory, draw, paths)
        types += len(draw.known)
        if wrong:
            bad += 1
            print(f"--- {'tests/data/odd' if seed is None else f'ODD_SEED={seeds}'}, kept in {directory}\n" + "\n".join(wrong[:5]))
        else:
            shutil.rmtree(directory)
        seeds += seed is not None
        seed = seeds
    if not bad:
        shutil.rmtree(work)
    print(f"seeds {first} to {seeds - 1}, {types} types")
    print(f"{seeds - first + 1 - bad} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
