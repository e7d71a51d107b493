# SPDX-License-Identifier: MIT
"""The attacks, one function each. An attack breaks things for about `chaos.seconds` and may leave them broken: healing is the driver's."""
import itertools
import os
import shutil
import sqlite3
import time

from cluster import NODES, Failure, eventually
from shop import SERVICES, SHARDS, random_of

ATTACKS, HARMS = {}, {}
INPUTS = ("order.commands", "inventory.commands", "payment.commands", "inventory.events", "payment.events")


class Attack:
    def __init__(self, function, needs, poison, within):
        self.function, self.needs, self.poison, self.within = function, frozenset(needs), poison, within
        self.name = function.__name__.replace("_", "-")
        self.about = function.__doc__.strip().splitlines()[0]


def attack(*needs, poison=1.0, within=None, table=ATTACKS):
    """Marks an attack. needs: of `proxy`, `small-log`, `small-store`; poison: percent of the orders, from the attack's begin on;
    within: instead of the option."""
    def mark(function):
        made = Attack(function, needs, poison, within)
        table[made.name] = made
        return function
    return mark


# ---- brokers

def killed_in_turn(chaos, choose):
    """One node at a time: of three, two must be in sync, or everything only stands still."""
    for turn in itertools.count():
        node, why = choose(turn)
        chaos.did(f"kill -9 of node {node}, {why}")
        chaos.cluster.kill(node)
        chaos.rest(4, 8)
        chaos.cluster.start(node)
        chaos.cluster.wait_in_sync()
        if not chaos.rest(1, 3):
            return


@attack()
def leader(chaos):
    """The node that leads an input topic is killed, each topic in turn."""
    def choose(turn):
        topic, partition = INPUTS[turn % len(INPUTS)], chaos.dice.randrange(4)
        return chaos.cluster.leader(topic, partition), f"the leader of {topic}/{partition}"
    killed_in_turn(chaos, choose)


@attack()
def coordinator(chaos):
    """The node that coordinates a service's group is killed, each service in turn."""
    def choose(turn):
        group = SERVICES[turn % len(SERVICES)]
        return chaos.cluster.coordinator(group), f"the coordinator of {group}"
    killed_in_turn(chaos, choose)


@attack()
def frozen_leader(chaos):
    """A leading node is stopped by SIGSTOP until others lead, and then goes on as if nothing had happened."""
    for turn in itertools.count():
        topic = INPUTS[turn % len(INPUTS)]
        node = chaos.cluster.leader(topic, 0)
        chaos.did(f"SIGSTOP of node {node}, the leader of {topic}/0")
        chaos.cluster.pause(node)
        chaos.rest(*((35, 45), (12, 18))[turn % 2])
        chaos.cluster.resume(node)
        chaos.cluster.wait_in_sync()
        if not chaos.rest(1, 3):
            return


@attack("small-log")
def log_full(chaos):
    """A node's log directory is full: the node ends; then the disk grows."""
    small, size = chaos.lab.small_log, chaos.lab.LOG_MB
    while True:
        node = chaos.lab.SMALL_NODE
        chaos.did(f"{small.fill() >> 10} KiB fill the log directory of node {node}")
        chaos.cluster.down_nodes.add(node)
        eventually("the node ends or is cut off", 60, lambda: not chaos.cluster.answers(node) or not chaos.left())
        chaos.rest(8, 12)
        size += chaos.lab.LOG_MB
        small.grow(size)
        chaos.cluster.heal()
        chaos.cluster.wait_in_sync()
        if not chaos.rest(2, 4):
            return


# ---- services

@attack()
def sigstop(chaos):
    """One process of each service stands still for 40 s, far past its session, and goes on."""
    frozen = [chaos.dice.choice(chaos.shop.of(name)) for name in SERVICES]
    while chaos.left() or not chaos.deeds:
        for process in frozen:
            chaos.did(f"SIGSTOP of {process.name}")
            process.freeze()
        time.sleep(40)
        for process in frozen:
            process.thaw()
        chaos.rest(5, 8)


@attack()
def kills(chaos):
    """A random process is killed every few seconds."""
    while chaos.rest(0.5, 3):
        process = random_of(chaos.shop, chaos.dice)
        chaos.did(f"kill -9 of {process.name}")
        process.kill()


@attack()
def storm(chaos):
    """Members join and leave all the time, by SIGTERM and by SIGKILL, for shorter and longer than a session."""
    extra = [chaos.shop.add(name, 3) for name in SERVICES]
    away = []
    while chaos.rest(0.5, 2):
        for back in [each for each in away if each[0] < time.monotonic()]:
            away.remove(back)
            back[1].wanted = True
            chaos.did(f"{back[1].name} joins")
        if len(away) < 4:
            process = random_of(chaos.shop, chaos.dice)
            chaos.did(f"{process.name} leaves")
            (process.stop if chaos.dice.random() < 0.6 else process.kill)(wanted=False)
            away.append((time.monotonic() + chaos.dice.choice([0.5, 3, 10]), process))
    for _, process in away:
        process.wanted = True
    for process in extra:
        chaos.shop.remove(process)


@attack("small-store")
def store_full(chaos):
    """The disk of all stores is full; meanwhile processes are killed and start on the full disk; then there is room again."""
    while True:
        chaos.did(f"{chaos.lab.small_store.fill() >> 10} KiB fill the stores' disk")
        chaos.rest(5, 8)
        process = random_of(chaos.shop, chaos.dice)
        chaos.did(f"kill -9 of {process.name}")
        process.kill()
        chaos.rest(8, 12)
        chaos.lab.small_store.free()
        if not chaos.rest(6, 9):
            return


@attack()
def two_relays(chaos):
    """More processes on the stores in use, by another path, and on a copy of them: each shard has one relay, the copy is refused."""
    shop = chaos.shop
    other = os.path.join(shop.work, "by-another-path")
    if not os.path.exists(other):
        os.symlink(shop.data, other)
    name, copied, refused = "order", 0, 0
    while chaos.left() or not copied:
        second = shop.add(name, 3, data=other)
        chaos.did(f"{second.name} on the same directory, by another path")
        copy = os.path.join(shop.work, f"copy-{len(chaos.deeds)}")
        shutil.copytree(os.path.join(shop.data, name), os.path.join(copy, name))
        # A copy that still equals the store may take its place; so the store goes on first.
        since = time.monotonic() + 2
        eventually(f"{name} goes on after its copy", 40, lambda: all(shop.meter.moved[f"{name}/{i}"] > since for i in range(SHARDS)))
        # Its shards must come to it, or it has nothing to be refused: what else serves the service stands aside.
        chaos.did(f"{name} on a copy of its stores, some seconds old, while nobody else runs")
        for process in shop.of(name):
            process.stop()
        third = shop.add(name, 4, data=copy)
        third.wanted = False
        copied += 1
        try:
            eventually("", 30, lambda: not third.alive())
            refused += third.process.returncode == 5
            chaos.did(f"the copy ended with {third.process.returncode}: {third.last_words()[-300:]}")
        except Failure:
            chaos.did("the copy still runs after 30 s")
        shop.remove(third)
        shop.remove(second)
        for process in shop.of(name):
            process.wanted = True
        chaos.rest(3, 5)
        name = SERVICES[copied % len(SERVICES)]
    if refused != copied:
        chaos.wrong.append(f"of {copied} processes on a copy of a store {refused} were refused")


@attack(poison=5.0)
def poison(chaos):
    """Of the orders 5 % cannot succeed: unreadable bytes, impossible ones, unknown goods, unreadable cards; and a kill now and then."""
    while chaos.rest(8, 12):
        process = random_of(chaos.shop, chaos.dice)
        chaos.did(f"kill -9 of {process.name}")
        process.kill()


# ---- the network

@attack("proxy")
def cut(chaos):
    """Connections between services and nodes are cut: one node's, two, all, for a second up to past the session."""
    for turn in itertools.count():
        nodes = chaos.dice.sample(NODES, (1, 2, 3)[turn % 3])
        seconds = chaos.dice.choice([1, 4]) if turn % 4 else 14
        chaos.did(f"nodes {sorted(nodes)} cut off for {seconds} s")
        chaos.proxies.cut(*nodes)
        time.sleep(seconds)
        chaos.proxies.join(*nodes)
        if not chaos.rest(2, 4):
            return


@attack("proxy")
def slow(chaos):
    """Each answer takes 0.1 to 0.5 s more, one node's 1.5 s, and bytes come in small pieces."""
    for turn in itertools.count():
        for node in NODES:
            chaos.proxies.poison(node, "latency", latency=300, jitter=200)
            chaos.proxies.poison(node, "slicer", stream="upstream", average_size=700, size_variation=300, delay=500)
        worst = chaos.dice.choice(NODES)
        chaos.proxies.poison(worst, "latency", stream="upstream", latency=1200, jitter=300)
        chaos.did(f"latency of 0.3 s, of node {worst} 1.5 s")
        more = chaos.rest(12, 16)
        chaos.proxies.heal()
        if not more or not chaos.rest(2, 4):
            return


@attack("proxy")
def narrow(chaos):
    """Each connection carries 20 KB/s, and a third of them are reset after some seconds, or swallow what they should carry."""
    for turn in itertools.count():
        for node in NODES:
            chaos.proxies.poison(node, "bandwidth", rate=20)
            chaos.proxies.poison(node, "bandwidth", stream="upstream", rate=20)
        one, two = chaos.dice.sample(NODES, 2)
        chaos.proxies.poison(one, "reset_peer", toxicity=0.33, timeout=3000)
        chaos.proxies.poison(two, "timeout", toxicity=0.33, timeout=0)
        chaos.did(f"20 KB/s; connections to node {one} reset, to node {two} swallowed")
        more = chaos.rest(12, 16)
        chaos.proxies.renew()
        if not more or not chaos.rest(2, 4):
            return


# ---- all of it

@attack()
def everything(chaos):
    """All nodes and all processes are killed at once, and started."""
    while True:
        chaos.did("kill -9 of everything")
        processes = list(chaos.shop.processes)
        for process in processes:
            process.kill(wanted=False)
        chaos.cluster.kill_all()
        chaos.rest(1, 2)
        for process in processes:
            process.wanted = True
        chaos.cluster.heal()
        if not chaos.rest(10, 15):
            return


@attack()
def mix(chaos):
    """Short, for CI: a leader is killed, and processes every second or two beside it."""
    node = chaos.cluster.leader("order.commands", 0)
    chaos.did(f"kill -9 of node {node}, the leader of order.commands/0")
    chaos.cluster.kill(node)
    while chaos.rest(1, 2):
        process = random_of(chaos.shop, chaos.dice)
        chaos.did(f"kill -9 of {process.name}")
        process.kill()


# ---- harm that the audit must find, so that its silence means something

@attack(table=HARMS, within=10) # it will not be clean in more
def harm(chaos):
    """By hand in stores, amid chaos: an event committed and gone before it was sent, and one sent twice under two numbers."""
    shop, cluster = chaos.shop, chaos.cluster
    cluster.in_sync_wanted("inventory.events", len(NODES))
    cluster.stop(NODES[-1]) # from now on that topic takes nothing, and the others do
    chaos.did(f"node {NODES[-1]} stopped, and inventory.events wants it in sync")
    doubled = False
    while not doubled:
        eventually("rows wait in inventory's outbox", 30, lambda: waiting(shop, "inventory") > 5)
        processes = list(shop.processes)
        for process in processes:
            process.kill(wanted=False)
        doubled = double_one(shop, "inventory")
        if doubled:
            lose_one(shop, "order")
            chaos.did("a row of inventory's outbox doubled, one of order's gone")
            cluster.in_sync_wanted("inventory.events", 2)
        for process in processes:
            process.wanted = True
        if not doubled and not chaos.rest(2, 3):
            raise Failure("no row in inventory's outbox could be doubled")


def waiting(shop, service):
    return sum(row[0] for row in shop.ask(service, "SELECT count(*) FROM bus_outbox"))


def stores(shop, service):
    for shard in range(SHARDS):
        db = sqlite3.connect(os.path.join(shop.data, service, f"{shard}.db"), timeout=10)
        try:
            yield db
        finally:
            db.close()


def lose_one(shop, service):
    """What is left of a row that was committed, and deleted before it was sent: its number."""
    for db in stores(shop, service):
        db.execute("UPDATE bus_destination AS d SET next_seq = n.next_seq + 1 FROM bus_numbered AS n WHERE n.id = d.id AND d.id ="
                   " (SELECT id FROM bus_numbered ORDER BY next_seq DESC LIMIT 1)")
        db.commit()
        return


def double_one(shop, service):
    """The last row once more under the next number, in its headers as well."""
    for db in stores(shop, service):
        row = db.execute("SELECT o.id, d.id, o.seq, d.next_seq, d.topic || '/' || d.partition || '/', o.headers FROM bus_outbox o"
                         " JOIN bus_numbered d ON d.id = o.destination ORDER BY o.id DESC LIMIT 1").fetchone()
        # Letters are not events; and the header must keep its length.
        if row is None or not row[4].startswith(f"{service}.events/") or len(str(row[2])) != len(str(row[3])):
            continue
        last, destination, seq, following, place, headers = row
        headers = headers.replace(f"{place}{seq}".encode(), f"{place}{following}".encode())
        columns = ", ".join(c[1] for c in db.execute("PRAGMA table_info(bus_outbox)") if c[1] not in ("id", "seq", "headers"))
        for table in ("bus_outbox_0", "bus_outbox_1"): # by turns; bus_outbox is their view
            db.execute(f"INSERT INTO {table}(id, seq, headers, {columns}) SELECT id + 1, ?, ?, {columns} FROM {table} WHERE id = ?",
                       (following, headers, last))
        db.execute("UPDATE bus_meta SET next_outbox = max(next_outbox, ?)", (last + 2,))
        db.commit()
        return True
    return False
