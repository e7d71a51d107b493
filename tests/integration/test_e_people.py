#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What people are shown is true: readiness, lag, ranges by time, and what the tools say of what is not there."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
import lab
from lab import check, eventually, test


def deny(kafka, topic, verb="--add"):
    more = ["--force"] if verb == "--remove" else []
    kafka.tool("kafka-acls", verb, *more, "--deny-principal", "User:ANONYMOUS", "--operation", "Read", "--topic", topic)


@test
def a_denied_topic_is_not_ready_until_it_is_read_again(lab):
    """Nothing new is on the topic: that it may be read again is noticed all the same."""
    s = lab.service("shut").make_topics().start()
    lab.kafka.produce("shut.commands", [("k", "1")])
    s.done(1)
    s.idle()
    deny(lab.kafka, "shut.commands")
    s.says("lane_failed", "shut.commands/0", 60)
    eventually("not ready", 20, lambda: s.get("/readyz") is None)
    deny(lab.kafka, "shut.commands", "--remove")
    s.says("lane_well", "shut.commands/0", 60)
    eventually("ready again", 30, lambda: s.get("/readyz"))
    check("shut.commands/0 cannot be read" in s.says("well", "over after"), "what is over is named")
    lab.kafka.produce("shut.commands", [("k", "2")])
    s.done(2)
    s.stop()


if __name__ == "__main__":
    lab.main("people", "--acl", at_once=4)
