# SPDX-License-Identifier: MIT
"""Odd but legal schemas through bus-schemac: names that C, its headers or the compiler itself would like to have, every kind of type inside every
other, defaults, several name spaces. What it makes must compile as C11, its headers as C++17 too, beside the system's; and its structs must write
what they read. A schema that C cannot hold is refused by name. `python3 odd.py FROM:TO` tells what a range of seeds does."""
import json, os, random, struct, subprocess, sys

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
            if logical and logical.startswith("time-"):
                return number(self.r.randrange(86400000))
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


# ---- files, C, and back

SYSTEM = "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg stdbool stddef stdint stdio stdlib string threads time uchar \
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


def check_c(directory, headers, compilers):
    """What the compilers say of it: each header alone and between the system's, as C11 and C++17."""
    system = "".join(f"#include <{name}.h>\n" for name in SYSTEM)
    units = "".join(f'#include "{name}"\n' for name in headers)
    said = ""
    for order in (units, units + system, system + units):
        for compiler, language, standard in compilers:
            text = order if language == "c" else order.replace("#include <threads.h>\n", "").replace("#include <complex.h>\n", "")
            done = subprocess.run([compiler, f"-std={standard}", "-D_GNU_SOURCE", "-fsyntax-only", *WARN, "-I", directory, "-x", language, "-"], input=text,
                                  capture_output=True, text=True)
            said += done.stderr if done.returncode else ""
    return said


def link(directory, headers, libraries):
    """A program that knows all types of the headers, in their order; and what the C compiler says."""
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
                           os.path.join(directory, "driver"), *libraries], capture_output=True, text=True)
    return types, done.stderr if done.returncode else ""
