# SPDX-License-Identifier: MIT
"""Reads the public headers: what they declare, and the comment that is each declaration's contract.

A comment directly above a declaration belongs to it, and to those that follow it without a blank line or a comment between. A comment
behind a declaration on its line belongs to that one alone. In the contract of a function, paragraphs that begin with "Thread:", "Errors:"
and "Owner:" have these meanings; "Errors, sticky:" are those that roll the delivery back, whatever the handler returns."""
import re
import textwrap

LABELS = ("Thread", "Errors", "Owner")
COMMENT = re.compile(r"/\*.*?\*/", re.S)
WORD = re.compile(r"\bbus_\w+|\bBUS_\w+")


class Item:
    """One declaration: kind is "function", "type" or "macro"."""

    def __init__(self, kind, name, source, line):
        self.kind, self.name, self.source, self.line = kind, name, source, line
        self.doc, self.group, self.members, self.opaque, self.target = "", 0, [], False, ""

    def signature(self):
        """The declaration on one line, without comments or a body."""
        text = COMMENT.sub("", self.source)
        text = text.split("{")[0] if self.kind == "function" else text
        text = re.sub(r"\b(\w+)_(?=[,)])", r"\1", text) # an inline function's parameters, which must shadow nothing
        return re.sub(r"\s+", " ", re.sub(r"^static inline ", "", text)).strip().rstrip(";")

    def parameters(self):
        """The parameters' declarations, of a function or a pointer to one."""
        inner = re.split(r"\b%s\b" % self.name, self.signature(), maxsplit=1)[1].strip().lstrip(")")
        inner = inner[1:inner.rindex(")")] if "BUS_PRINTF" not in inner else inner[1:inner.index(") BUS_PRINTF")]
        return [] if inner.strip() in ("", "void") else split_list(inner)


def split_list(text, at=","):
    """Splits at the commas that are in no parentheses."""
    parts, depth, part = [], 0, ""
    for c in text:
        depth += (c in "({") - (c in ")}")
        if c == at and depth == 0:
            parts, part = parts + [part.strip()], ""
        else:
            part += c
    return parts + ([part.strip()] if part.strip() else [])


def plain(comment):
    """A comment's text: without its frame, lines as they are."""
    lines = comment[2:-2].split("\n")
    lines = [lines[0].strip()] + [re.sub(r"^\s*\* ?", "", line) for line in lines[1:]]
    return "\n".join(line.rstrip() for line in lines).strip("\n").rstrip()


def members(body):
    """A struct's or an enum's members: (declaration, text)."""
    at = ";" if ";" in COMMENT.sub("", body) else ","
    found, part, ended, position, depth, before = [], "", True, 0, 0, ""
    while position < len(body):
        comment = COMMENT.match(body, position)
        if comment:
            text = re.sub(r"\s+", " ", plain(comment.group()))
            alone = "\n" in body[:position][len(body[:position].rstrip(" \t,;")):] or body[:position].rstrip(" \t").endswith("\n")
            if part.strip() and not alone: # behind the last enum value, which has no comma
                found, part, before = found + [[part, before]], "", ""
            if found and not alone:
                found[-1][1] = (found[-1][1] + " " + text).strip()
            else:
                before = text
            position = comment.end()
            continue
        c = body[position]
        depth += (c in "({") - (c in ")}")
        if c == at and depth == 0:
            found, part, before = found + [[part, before]], "", ""
        else:
            part += c
        position += 1
    if part.strip():
        found.append([part, before])
    return [(re.sub(r"\s+", " ", declared).strip(), text) for declared, text in found if declared.strip()]


def declared(source, line):
    """The item that a declaration makes; None if it says nothing new."""
    text = re.sub(r"\s+", " ", COMMENT.sub(" ", source)).strip()
    if re.match(r"struct \w+;$|[A-Z_]+\(", text):
        return None
    pointer = re.match(r"typedef [^({]*\(\*(\w+)\)\(", text)
    defined = re.match(r"(?:typedef )?(?:struct|enum) (\w+) ?\{", text)
    forward = re.match(r"typedef struct (\w+) \1;", text)
    if pointer or defined or forward:
        item = Item("type", (pointer or defined or forward).group(1), source, line)
        item.opaque = bool(forward)
        if defined:
            item.members = members(source[source.index("{") + 1:source.rindex("}")])
        return item
    function = re.match(r"(?:static inline )?[\w \*]+?[ \*](\w+)\(", text)
    return Item("function", function.group(1), source, line) if function else None


class Header:
    """One public header: its name, the comment at its head, and its items in their order."""

    def __init__(self, path):
        self.path, self.items, self.sections = path, [], {}
        self.name = path.split("include/")[-1]
        self.page = "bus" if self.name == "bus/bus.h" else "bus_" + self.name[4:-2]
        with open(path, encoding="utf-8") as file:
            self.text = file.read()
        self.read()

    def read(self):
        text, position, pending, group = self.text, 0, None, 0
        head = COMMENT.match(text)
        self.head = plain(head.group()).replace("SPDX-License-Identifier: MIT\n", "", 1)
        self.title = re.sub(r"\s+", " ", self.head.split("\n\n")[0])
        position, last = head.end(), None
        while position < len(text):
            space = re.compile(r"\s*").match(text, position)
            if space.group().count("\n") > 1: # a blank line parts
                pending, group = None, group + 1
            fresh_line = "\n" in space.group()
            position = space.end()
            if position == len(text):
                break
            line = text.count("\n", 0, position) + 1
            comment = COMMENT.match(text, position)
            if comment:
                said = plain(comment.group())
                if said.startswith("clang-format"):
                    pass
                elif said.startswith("----"):
                    self.sections[line] = said.strip("- ")
                elif last and not fresh_line:
                    last.doc = said if last.doc is pending or not last.doc else last.doc
                else:
                    pending, group = said, group + 1
                position = comment.end()
                continue
            if text[position] == "#":
                end = re.compile(r"(?:[^\n\\]|\\\n|\\.)*").match(text, position).end()
                found = self.macro(text[position:end], line)
            elif re.compile(r'extern "C" \{|\}').match(text, position):
                position = re.compile(r'extern "C" \{|\}').match(text, position).end()
                continue
            else:
                end = self.end_of(position)
                found = declared(text[position:end], line)
            position = end
            if found:
                last = found
                found.doc, found.group = pending or "", group
                self.add(found)

    def end_of(self, position):
        """Where a declaration ends: behind its ';', or behind the body of an inline function."""
        depth, text, body = 0, self.text, False
        while position < len(text):
            comment = COMMENT.match(text, position)
            if comment:
                position = comment.end()
                continue
            c = text[position]
            body |= c == "{" and depth == 0 and text[:position].rstrip().endswith(")")
            depth += (c in "({") - (c in ")}")
            position += 1
            if depth == 0 and (c == ";" or (c == "}" and body)):
                break
        return position

    @staticmethod
    def macro(source, line):
        name = re.match(r"#\s*define (\w+)", source)
        if not name or name.group(1).endswith(("_", "_H")):
            return None
        return Item("macro", name.group(1), source, line)

    def add(self, item):
        for at, known in enumerate(self.items):
            if known.name == item.name:
                if known.opaque and item.members: # the definition says more, where it stands
                    item.doc = item.doc or known.doc
                    del self.items[at]
                    break
                return
        self.items.append(item)

    def groups(self):
        """The items in their order, those with one contract together."""
        grouped = []
        for item in self.items:
            if grouped and grouped[-1][0].group == item.group and grouped[-1][0].doc == item.doc:
                grouped[-1].append(item)
            else:
                grouped.append([item])
        return grouped


def paragraphs(doc):
    """A text's parts: ("text", words), ("code", lines) and, of contracts, ("Thread", words) and its like."""
    parts, label, lines = [], "text", []

    def flush():
        nonlocal lines
        if any(line.strip() for line in lines):
            parts.append((label, textwrap.dedent("\n".join(lines)).rstrip() if label == "code" else " ".join(line.strip() for line in lines if line.strip())))
        lines = []

    label_at = r"(?:%s)(?:, sticky)?: " % "|".join(LABELS)
    for line in re.sub(r"(?m)^(%s.*)$" % label_at, lambda m: re.sub(r"(?<=\.) (?=%s)" % label_at, "\n", m.group()), doc).split("\n"):
        named = re.match(r"((?:%s)(?:, sticky)?): (.*)" % "|".join(LABELS), line)
        code = re.match(r"   |\s*$", line) if label == "code" else re.match(r"   ", line)
        kind = named.group(1) if named else "code" if code else label if label not in ("code",) and line.strip() else "text"
        if not line.strip() and label != "code":
            flush()
            label = "text"
            continue
        if named or kind != label:
            flush()
        label = kind
        lines.append(named.group(2) if named else line if label == "code" else line)
    flush()
    return parts


# ---- what a contract must say

def handles(headers):
    return {item.name for header in headers for item in header.items if item.kind == "type" and item.opaque}


def has_memory(item, opaque):
    """Does a call take or give memory, other than its handle and the error?"""
    pointers = [p for p in item.parameters() if "*" in p or "(" in p or re.match(r"bus_(transaction|reader|done|answer|log_fn)\b", p)]
    if pointers and re.match(r"(const )?(%s) \*\w+$" % "|".join(sorted(opaque)), pointers[0]):
        pointers = pointers[1:]
    pointers = [p for p in pointers if not re.match(r"bus_error \*", p)]
    return bool(pointers) or "*" in item.signature().split(item.name)[0]


def complaints(headers):
    """What the contracts lack, as "file:line: what"."""
    said, opaque = [], handles(headers)
    items = [item for header in headers for item in header.items]
    known = {item.name for item in items} | {value[0].split(" ")[0] for item in items if "enum" in item.source for value in item.members}
    for header in headers:
        for item in header.items:
            def complain(what, item=item, header=header):
                said.append(f"{header.path}:{item.line}: {item.name} {what}")
            if not item.doc:
                complain("has no comment")
                continue
            if item.kind != "function":
                continue
            parts = {label.split(",")[0]: text for label, text in paragraphs(item.doc)}
            if "Thread" not in parts:
                complain('has no line "Thread: ...": which threads may call it')
            if "Errors" not in parts:
                complain('has no line "Errors: ...": which statuses it returns, and when')
            elif item.signature().startswith("bus_status ") and not WORD.search(parts["Errors"]):
                complain("returns a status, but its Errors line names none")
            for word in WORD.findall(parts.get("Errors", "")):
                if word.startswith("BUS_") and word not in known:
                    complain(f"names {word}, which no header declares")
            if "Owner" not in parts and has_memory(item, opaque):
                complain('takes or gives memory and has no line "Owner: ...": whose it is, and how long it must live')
    return said
