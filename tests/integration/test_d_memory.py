#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Memory stays flat: a service's resident set over a million events (MEMORY_EVENTS: another number)."""
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from lab import check, equal, eventually, main, test

EVENTS = int(os.environ.get("MEMORY_EVENTS", 1000000))
MOST_GROWTH = 1.1  # of the last half's peak over the first's


def resident_mb(process):
    with open(f"/proc/{process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def feed(service, chunk=10000):
    """Numbers rise within each key, so that the service can tell disorder; fed while it works, not before."""
    kcat = subprocess.Popen(["kcat", "-P", "-b", service.kafka.servers, "-t", service.topic("commands"), "-K", ":", "-X",
                             "topic.partitioner=murmur2_random", "-X", "enable.idempotence=true"], stdin=subprocess.PIPE, text=True)
    for first in range(1, EVENTS + 1, chunk):
        kcat.stdin.write("".join(f"key-{n % 1000}:{n}\n" for n in range(first, min(first + chunk, EVENTS + 1))))
    kcat.stdin.close()
    equal(kcat.wait(60), 0, "kcat")


@test
def memory_is_flat(lab):
    service = lab.service("flat", shards=2, store__cache__bytes="8m").make_topics()
    service.start()
    feeder = threading.Thread(target=feed, args=(service,))
    feeder.start()
    samples = []
    deadline = time.time() + 120 + EVENTS / 5000
    handled = 0
    while handled < EVENTS and time.time() < deadline:
        time.sleep(0.25)
        handled = service.metric("bus_handled_total") or handled
        samples.append((handled, resident_mb(service.process)))
    feeder.join()
    equal(handled, EVENTS, f"events handled; {service.last_words()}")
    # The first tenth fills caches and the allocator's pools.
    early = max((mb for done, mb in samples if EVENTS * 0.1 < done <= EVENTS * 0.5), default=0)
    late = max((mb for done, mb in samples if done > EVENTS * 0.5), default=0)
    check(early > 0, "there are samples of the first half", samples)
    print(f"resident: {early:.0f} MB in the first half, {late:.0f} MB in the second, of {EVENTS:,} events")
    check(late <= early * MOST_GROWTH, "memory is flat", samples[:: max(1, len(samples) // 20)])
    equal(sum(row[0] for row in service.sql("SELECT sum(disorder) FROM last")), 0, "events out of order")
    eventually("every effect is in the stores once", 20, lambda: sum(row[0] for row in service.sql("SELECT count(*) FROM effect WHERE times = 1"))
               == EVENTS)


main(os.path.basename(__file__))
