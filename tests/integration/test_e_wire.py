#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What readers that are not of the bus see on its topics, on a real Kafka."""
import collections
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
import lab  # noqa: E402
from lab import BUS, check, equal, eventually, keyed, test  # noqa: E402

KEYS = [f"k{i}" for i in range(16)]
ROUNDS, EACH = 6, 1500


def repeats(service):
    """How many records of its events topic are there a second time."""
    hops = collections.Counter(record["headers"]["bus-hop"] for record in service.kafka.consume(service.topic("events")))
    return sum(hops.values()) - len(hops)


def killed(lab, name, **more):
    """A service that is killed when it has heard of some of the rows that it has sent, again and again; rows found at its starts."""
    s = lab.service(name, shards=2, batch__records=200, log__level="info", **more).make_topics()
    events, numbers = keyed(KEYS, ROUNDS * EACH)
    for n in range(ROUNDS):
        s.kafka.produce(s.topic("commands"), events[n * EACH:(n + 1) * EACH])
        s.start(failpoint=f"acked:{50 + 100 * n}", ready=False)
        equal(s.ended(60), -9, "end of a process that was to be killed")
    s.start()
    s.done(ROUNDS * EACH)
    s.idle()
    s.check_exactly_once(numbers)
    s.stop()
    return sum(int(line["msg"].split()[0]) for line in s.lines("look"))


@test
def readers_see_what_a_killed_service_sent_once(lab):
    """Rows that were under way when it was killed are found at the ends of their topics, and not sent again."""
    found = killed(lab, "once")
    s = lab.service("once")
    equal(repeats(s), 0, "records that are there twice")
    check(found > 0, "rows were under way at the kills")


@test
def without_looking_they_see_it_twice(lab):
    """The control: so it was before, and so it is where the topics may not be read."""
    killed(lab, "twice", outbox__look__timeout__ms=0)
    check(repeats(lab.service("twice")) > 0, "rows were under way at the kills")


@test
def programs_hold_their_first_descriptors(lab):
    """Started with 0 to 2 closed: nothing else takes their place, where it would get what is printed."""
    s = lab.service("closed").make_topics()

    def close():
        os.closerange(0, 3)
    for command in ([s.program, *s.arguments(status__port=s.port)], [BUS, "consume", "closed.events", "--follow", "-b", lab.kafka.servers]):
        process = lab.own(subprocess.Popen(command, env=s.environment, preexec_fn=close))
        place = f"/proc/{process.pid}/fd"
        eventually("it has more open than those", 20, lambda: len(os.listdir(place)) > 6)
        equal([os.readlink(f"{place}/{fd}") for fd in range(3)], ["/dev/null"] * 3, f"first descriptors of {command[0]}")
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    lab.main("wire")
