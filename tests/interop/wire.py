# SPDX-License-Identifier: MIT
"""docs/examples/wire.py, which knows docs/wire.md and nothing of the bus's library, publishes to a service, reads what it emits and asks it; service
and reader are killed again and again meanwhile. Run by test_wire."""
import json
import os
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration", "support"))
import lab  # noqa: E402
from lab import BUILD, PROJECT, check, equal, eventually, run, test  # noqa: E402

TELLER = os.path.join(BUILD, "tests", "services", "teller")
WIRE = [sys.executable, os.path.join(PROJECT, "docs", "examples", "wire.py")]
SAID = {"name": "echo.Said", "type": "record", "fields": [{"name": "number", "type": "long"}, {"name": "text", "type": "string"}]}
ROUNDS, EACH = 5, 400


@test
def a_stranger_goes_by_the_page(lab_):
    s = lab_.service("told", shards=2, env={"TELLER_NAME": "told"}, log__level="info", batch__records=50)
    s.program = TELLER
    s.make_topics()
    schema, store = os.path.join(lab_.work, "echo.Said.avsc"), os.path.join(lab_.work, "stranger.db")
    with open(schema, "w") as file:
        json.dump(SAID, file)

    def lines(n):
        return "".join(f"id-{i}\tk{i % 16}\t{json.dumps({'number': 0, 'text': f't{i}'})}\n" for i in range(n * EACH, (n + 1) * EACH))

    def reader(*more):
        return lab_.own(subprocess.Popen([*WIRE, "read", s.kafka.servers, "told.events", store, *more], stderr=subprocess.PIPE, text=True))
    for n in range(ROUNDS):
        run(*WIRE, "publish", s.kafka.servers, "told.commands", schema, stdin=lines(n))
        run(*WIRE, "publish", s.kafka.servers, "told.commands", schema, stdin=lines(n))  # the same events a second time
        reading = reader()
        s.start(ready=False)
        eventually("it is at work", 60, lambda: sum(row[0] for row in s.sql("SELECT count(*) FROM entry")) > n * EACH)
        s.kill()
        reading.kill()
        reading.wait()
    s.start()
    reading = reader("--count", str(ROUNDS * EACH))
    said = reading.communicate(timeout=90)[1]
    equal(reading.returncode, 0, f"end of the reader: {said}")
    db = sqlite3.connect(store)
    equal(db.execute("SELECT count(*), max(times) FROM effect").fetchone(), (ROUNDS * EACH, 1), "effects of the reader")
    equal(db.execute("SELECT what FROM told WHERE what != 'copy'").fetchall(), [], "what the reader missed")
    equal({json.loads(row[0])["text"] for row in db.execute("SELECT body FROM effect")}, {f"t{i}" for i in range(ROUNDS * EACH)}, "texts")
    equal(s.sql("SELECT count(*) FROM entry WHERE times != 1"), [(0,), (0,)], "entries of the service not made once")
    answer = json.loads(run(*WIRE, "ask", s.kafka.servers, "told.commands", schema, "told.replies", "k1", json.dumps({"number": 1, "text": "asked"})))
    equal(answer, {"number": 1, "text": "asked"}, "the answer")
    s.stop()
    check(s.lines("schema_announced"), "the service announced its schema")


if __name__ == "__main__":
    lab.main("interop-wire")
