# SPDX-License-Identifier: MIT
"""The shop under load: two processes of each of its services, restarted when they end, orders at a steady rate, and a meter on
the services' own metrics."""
import collections
import concurrent.futures
import json
import os
import queue
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration", "support"))
from lab import PROJECT, Failure, eventually, free_port, run # noqa: E402

SERVICES = ("order", "inventory", "payment")
SHARDS = 2
BIN = os.environ.get("BUS_BIN") or os.path.join(PROJECT, os.environ.get("BUS_BUILD", "build"), "release", "bin")
BUS = os.path.join(BIN, "bus")
INVARIANTS = [word for name in SERVICES for word in ("--invariants", os.path.join(PROJECT, "services", name, "invariants.sql"))]


def schema(name):
    return os.path.join(PROJECT, "schemas", name + ".avsc")


class Process:
    """One process of a service. Attacks end it; if it is wanted, the shop starts it again."""

    def __init__(self, shop, service, number, data=None):
        self.shop, self.service, self.number = shop, service, number
        self.name, self.data = f"{service}-{number}", data or shop.data
        self.log, self.port = os.path.join(shop.work, self.name + ".log"), free_port()
        self.process, self.wanted, self.attacked, self.frozen = None, False, False, False

    def start(self):
        properties = {"bootstrap.servers": self.shop.servers, "data.dir": self.data, "shards": SHARDS, "status.port": self.port,
                      **self.shop.properties}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([os.path.join(BIN, self.service), *(f"--{k}={v}" for k, v in properties.items())],
                                            env=self.shop.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.attacked, self.frozen = False, False

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def page(self, name):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{name}", timeout=1) as answer:
                return answer.read().decode()
        except OSError:
            return None

    def kill(self, wanted=True):
        """SIGKILL, after its counters have been read; the shop starts it again unless it is not wanted any more."""
        self.wanted = wanted
        self.shop.meter.read(self)
        self.attacked = True
        self.process.kill()
        self.process.wait()

    def stop(self, wanted=False):
        self.wanted, self.attacked = wanted, True
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} has not ended 15 s after SIGTERM, see {self.log}") from None

    def freeze(self):
        self.frozen = True
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)
        self.frozen = False

    def last_words(self):
        try:
            with open(self.log, errors="replace") as log:
                return " | ".join(line.strip()[:300] for line in collections.deque(log, 4))
        except OSError:
            return "no log"


class Meter(threading.Thread):
    """Reads /metrics of all processes four times a second. Counters of a shard begin again at zero with its process and when it moves: what
    counts is by how much they rose. What a killed process counted after the last reading is missed."""
    COUNTERS = ("consumed", "handled", "retried", "dead_lettered", "duplicates_dropped", "gap_events", "relay_failures", "rejected_rows",
                "pauses")
    PATTERN = re.compile(r'^bus_(%s)_total\{service="(\w+)",shard="(\d+)"\} (\S+)$' % "|".join(COUNTERS), re.M)

    def __init__(self, shop):
        super().__init__(daemon=True)
        self.shop, self.lock, self.ending = shop, threading.Lock(), threading.Event()
        self.last, self.total = {}, collections.Counter()
        self.moved, self.stall, self.watching = {}, (0.0, "-"), False
        self.pool = concurrent.futures.ThreadPoolExecutor(12)

    def run(self):
        while not self.ending.wait(0.25):
            list(self.pool.map(self.read, [p for p in list(self.shop.processes) if p.alive() and not p.frozen]))
            self.look()

    def read(self, process):
        page = process.page("/metrics")
        if page is None or not process.alive():
            return
        with self.lock:
            for name, service, shard, value in self.PATTERN.findall(page):
                at, value = (process.process.pid, service, shard, name), float(value)
                before = self.last.get(at, 0.0)
                rise = value - before if value >= before else value
                self.last[at] = value
                self.total[name] += int(rise)
                if name == "handled" and rise:
                    self.note(f"{service}/{shard}")

    def note(self, shard):
        now = time.monotonic()
        if self.watching and shard in self.moved:
            self.stall = max(self.stall, (now - self.moved[shard], shard))
        self.moved[shard] = now

    def look(self):
        """A shard that has not gone on yet counts as well."""
        with self.lock:
            now = time.monotonic()
            for shard, since in self.moved.items() if self.watching else ():
                self.stall = max(self.stall, (now - since, shard))

    def watch(self, on):
        with self.lock:
            self.watching = on
            if on:
                self.stall, now = (0.0, "-"), time.monotonic()
                for service in SERVICES:
                    for shard in range(SHARDS):
                        self.moved[f"{service}/{shard}"] = now

    def now(self):
        with self.lock:
            return time.monotonic(), collections.Counter(self.total)


class Load(threading.Thread):
    """Orders at a steady rate, by `bus publish`; of them `poison` percent cannot succeed. What goes wrong with an order follows from
    the dice alone, so from the seed."""

    def __init__(self, shop, rate, poison, dice, first):
        super().__init__(daemon=True)
        self.rate, self.poison, self.dice, self.number = rate, poison, dice, first
        self.sent, self.ending, self.failure, self.killed = set(), threading.Event(), None, False
        self.log = os.path.join(shop.work, "load.log")
        with open(self.log, "ab") as log:
            self.good = subprocess.Popen(
                [BUS, "publish", "order.commands", "-", "--schema", schema("order.PlaceOrder"), "--key-field", "order_id",
                 "--id-field", "order_id", "--bootstrap", shop.cluster.servers, "-q", "--timeout", "120s"], stdin=subprocess.PIPE, stdout=log, stderr=log, text=True)
        self.unreadable, self.servers = queue.Queue(), shop.cluster.servers
        self.sender = threading.Thread(target=self.send_unreadable, daemon=True)
        self.sender.start()
        self.start()

    def send_unreadable(self):
        """By kcat, which gives up when all nodes are away: again, under the same id."""
        while (number := self.unreadable.get()) is not None:
            done = None
            while not self.killed and (done is None or done.returncode):
                with open(self.log, "ab") as log:
                    done = subprocess.run(["kcat", "-P", "-b", self.servers, "-t", "order.commands", "-K", "|", "-H", f"ce_id=o-{number}",
                                           "-X", "partitioner=murmur2_random", "-X", "message.timeout.ms=20000"],
                                          input=f"o-{number}|{{\"order\": {number}\n", stdout=log, stderr=log, text=True)

    def order(self, number):
        dice, line = self.dice, {}
        card, quantity, deadline, sku = "tok_visa", dice.randint(1, 3), 0, f"SKU-{dice.randint(1, 20):02}"
        lot = dice.uniform(0, 100)
        if lot < self.poison * 0.25:
            return None                                         # bytes that nobody can read: a letter
        if lot < self.poison * 0.5:
            quantity = -1                                       # refused by the handler: a letter
        elif lot < self.poison * 0.75:
            card, deadline = "4111 1111", 5                     # refused by the provider: payment's letter, the order times out
        elif lot < self.poison:
            sku, deadline = "SKU-NEW", 5                        # unknown to inventory: its letter, the order times out
        elif lot < self.poison + 5:
            card = dice.choice(["tok_busy", "tok_lost", "tok_declined"]) # a retry, a retry after a charge, a refusal
        elif lot < self.poison + 6:
            sku = "SKU-RARE"                                    # runs out
        elif lot < self.poison + 7:
            deadline = 3                                        # a customer in a hurry: what is slow is paid back
        line = [{"sku": sku, "quantity": quantity, "unit_price_cents": 100 * (1 + number % 40)}]
        if number % 4 == 0 and sku != "SKU-01":
            line.append({"sku": "SKU-01", "quantity": 1, "unit_price_cents": 250})
        return {"order_id": f"o-{number}", "customer": f"c-{number % 137}", "card": card, "deadline_seconds": deadline, "lines": line}

    def run(self):
        began, count = time.monotonic(), 0
        try:
            while not self.ending.wait(0.05):
                while count < (time.monotonic() - began) * self.rate:
                    order = self.order(self.number)
                    if order:
                        self.good.stdin.write(json.dumps(order) + "\n")
                    else:
                        self.unreadable.put(self.number)
                    self.sent.add(f"o-{self.number}")
                    self.number, count = self.number + 1, count + 1
                self.good.stdin.flush()
        except OSError as why:
            self.failure = why

    def stop(self):
        """Waits until all is acknowledged; the ids of all that was sent."""
        self.ending.set()
        self.join(60)
        self.good.stdin.close()
        self.unreadable.put(None)
        self.sender.join(60)
        try:
            self.good.wait(60)
        except subprocess.TimeoutExpired:
            pass
        if self.failure or self.good.poll() != 0 or self.sender.is_alive():
            self.kill()
            raise Failure(f"not all orders could be sent: {self.failure}, exit {self.good.poll()}, see {self.log}")
        return self.sent

    def kill(self):
        self.killed = True
        self.ending.set()
        self.unreadable.put(None)
        self.good.kill()


class Shop:
    def __init__(self, work, cluster, servers, properties):
        self.work, self.cluster, self.servers = work, cluster, servers
        self.data = os.path.join(work, "data")
        self.properties = {"retry.tiers": "1s,5s", "wal.max.bytes": "4m", "status.listen": "127.0.0.1", **properties}
        self.environment = {**{k: v for k, v in os.environ.items() if not k.startswith("BUS_")}, "ORDER_DEADLINE_SECONDS": "60",
                            "PAYMENT_PROVIDER": os.path.join(work, "provider")}
        self.processes, self.ended, self.load, self.sent = [], [], None, set()
        self.meter, self.ending = Meter(self), threading.Event()
        os.makedirs(os.path.join(work, "provider"), exist_ok=True)

    def open(self):
        programs = [word for name in SERVICES for word in
                    ("--program", f"{os.path.join(BIN, name)} --shards={SHARDS} --retry.tiers={self.properties['retry.tiers']}")]
        run(BUS, "topics", "apply", *programs, "--bootstrap", self.cluster.servers, "--timeout", "60s", timeout=120)
        stock = "".join(json.dumps({"delivery": "D-1", "sku": sku, "quantity": quantity}) + "\n" for sku, quantity in
                        [(f"SKU-{i:02}", 1000000) for i in range(1, 21)] + [("SKU-RARE", 10)])
        receive = [BUS, "publish", "inventory.commands", "-", "--schema", schema("inventory.StockReceived"), "--key-field", "sku",
                   "--bootstrap", self.cluster.servers, "-q"]
        # A node may not have heard of the new topic yet.
        eventually("goods arrive", 30, lambda: subprocess.run(receive, input=stock, capture_output=True, text=True).returncode == 0)
        for number in (1, 2):
            for name in SERVICES:
                self.add(name, number)
        self.meter.start()
        self.guard = threading.Thread(target=self.watch, daemon=True)
        self.guard.start()
        eventually("the shop is open", 90, self.whole)

    def add(self, service, number, **options):
        process = Process(self, service, number, **options)
        process.start()
        process.wanted = True
        self.processes.append(process)
        return process

    def remove(self, process):
        process.wanted = False
        if process.alive():
            process.kill(wanted=False)
        self.processes.remove(process)

    def of(self, service):
        return [p for p in self.processes if p.service == service]

    def whole(self):
        """Each shard is held by a process whose deliveries flow."""
        found = set()
        for process in self.processes:
            page = process.page("/metrics") or ""
            for service, shard, on in re.findall(r'^bus_assigned\{service="(\w+)",shard="(\d+)"\} (\d)', page, re.M):
                if on == "1":
                    found.add((service, shard))
        return len(found) == len(SERVICES) * SHARDS

    def watch(self):
        """Starts again what is wanted and has ended, as any host would."""
        while not self.ending.wait(0.2):
            for process in list(self.processes):
                if not process.wanted or process.alive() or self.ending.is_set():
                    continue
                if not process.attacked:
                    self.ended.append({"process": process.name, "exit": process.process.returncode, "said": process.last_words()})
                    if self.ending.wait(1): # what ends by itself is not started in a hurry
                        return
                process.start()

    def heal(self):
        for process in self.processes:
            if process.frozen:
                process.thaw()

    # ---- orders

    def orders(self, rate, poison, dice):
        self.load = Load(self, rate, poison, dice, 1 + len(self.sent))

    def orders_end(self):
        load, self.load = self.load, None
        self.sent |= load.stop()

    # ---- what came of it

    def ask(self, service, query):
        rows = []
        for shard in range(SHARDS):
            db = sqlite3.connect(f"file:{self.data}/{service}/{shard}.db?mode=ro", uri=True, timeout=10)
            try:
                rows += db.execute(query).fetchall()
            finally:
                db.close()
        return rows

    def missing(self):
        """Orders that were sent, and are neither in a store nor among the dead letters."""
        known = {row[0] for row in self.ask("order", "SELECT order_id FROM orders")}
        if known >= self.sent:
            return set()
        letters = run(BUS, "dlq", "list", "order", "--letters", "--state", "all", "-o", "json", "--bootstrap", self.cluster.servers)
        return self.sent - known - {each["key"] for each in json.loads(letters)}

    def audit(self, within):
        """Exit code and report of `bus audit --watch`."""
        done = subprocess.run([BUS, "audit", "--bootstrap", self.cluster.servers, "--data", self.data, *INVARIANTS,
                               *(word for name in SERVICES for word in ("--service", name)), "--watch", "--within",
                               f"{max(1, int(within))}s", "--timeout", "30s", "-q", "-o", "json"],
                              capture_output=True, text=True, timeout=within + 300)
        if done.returncode not in (0, 3):
            raise Failure(f"bus audit: exit {done.returncode}: {done.stderr.strip()}")
        return done.returncode, json.loads(done.stdout)

    def close(self):
        self.ending.set()
        if self.load:
            self.load.kill()
        self.meter.ending.set()
        for process in self.processes:
            process.wanted = False
            if process.alive():
                process.process.kill()
                process.process.wait()


def random_of(shop, dice: random.Random):
    return dice.choice([p for p in shop.processes if p.alive() and not p.frozen])
