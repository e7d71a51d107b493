#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A process with many shards: its threads and connections are bounded, and it sleeps while nothing comes."""
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from lab import check, equal, keyed, main, test

SHARDS = 256
EVENTS = 4096


def threads(pid):
    """Voluntary switches of each thread."""
    found = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/status") as status:
            found[thread] = int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status.read(), re.M)[1])
    return found


def connections(pid, port):
    """Established ones to that port."""
    own = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            own.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:
            pass
    with open(f"/proc/{pid}/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    return sum(row[3] == "01" and int(row[2].split(":")[1], 16) == port and f"socket:[{row[9]}]" in own for row in rows)


@test
def many_shards_share_threads_and_connections(lab):
    service = lab.service("many", shards=SHARDS).make_topics()
    service.start(ready=False)
    service.wait_ready(120)
    events, numbers = keyed([f"key-{n}" for n in range(EVENTS)], EVENTS)
    service.kafka.produce(service.topic("commands"), events)
    service.done(EVENTS, 120)
    service.idle(60)
    pid, port = service.process.pid, int(service.kafka.servers.rsplit(":", 1)[1])
    sent = [row[0] for row in service.sql("SELECT count(*) FROM effect")]
    check(len(sent) == SHARDS and min(sent) > 0, "each shard has sent", sent)
    before, since = threads(pid), time.monotonic()
    time.sleep(10)
    after, took = threads(pid), time.monotonic() - since
    wakes = sum(count - before.get(thread, 0) for thread, count in after.items()) / took
    print(f"{SHARDS} shards: {len(after)} threads, {connections(pid, port)} connections, {wakes:.0f} wake-ups a second")
    check(len(after) <= 100, "threads", len(after))
    check(0 < connections(pid, port) <= 20, "connections", connections(pid, port))
    check(wakes <= 200, "wake-ups a second; idle shards have no timers", wakes)
    service.check_exactly_once(numbers)
    service.stop(60)
    equal([row[0] for row in service.sql("PRAGMA integrity_check")], ["ok"] * SHARDS, "stores after a stop")


main(os.path.basename(__file__))
