# SPDX-License-Identifier: MIT
"""Three Kafka nodes, a Toxiproxy between them and the services, small file systems: what attacks break, and how each is mended."""
import concurrent.futures
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration", "support"))
from lab import PROJECT, Failure, eventually, free_port, run # noqa: E402

NODES = (1, 2, 3)
SCRIPT = os.path.join(PROJECT, "scripts", "kafka")
TOXIPROXY = os.path.join(PROJECT, os.environ.get("BUS_BUILD", "build"), "chaos-tools", "toxiproxy")
HEAP_MB = 320


class Cluster:
    def __init__(self, directory):
        self.directory = directory
        self.down_nodes, self.paused = set(), set()
        self.options = ("--nodes", "3", "--heap", str(HEAP_MB), "--proxied")
        self.kafka("up", "--port", "auto", "--timeout", "180", *self.options)
        self.servers = self.kafka("address").strip()
        self.port = int(self.servers.split(",")[0].rsplit(":", 1)[1])

    def kafka(self, command, *words, node=None):
        which = ("--node", str(node)) if node else ()
        return run(SCRIPT, command, "--dir", self.directory, *which, *words, timeout=240)

    def in_sync_wanted(self, topic, replicas):
        """With fewer in sync the topic is read, but takes nothing. More than its replicas count as all of them."""
        run(SCRIPT, "tool", "kafka-configs", "--bootstrap-server", self.servers, "--alter", "--entity-type", "topics", "--entity-name", topic,
            "--add-config", f"min.insync.replicas={replicas}", timeout=60)

    def kill(self, node):
        self.down_nodes.add(node)
        self.paused.discard(node)
        self.kafka("kill", node=node)

    def stop(self, node):
        """Its partitions are led and in sync without it when this returns."""
        self.down_nodes.add(node)
        self.kafka("stop", node=node)

    def start(self, node):
        self.kafka("start", "--timeout", "120", node=node)
        self.down_nodes.discard(node)

    def pause(self, node):
        self.paused.add(node)
        self.kafka("pause", node=node)

    def resume(self, node):
        self.kafka("resume", node=node)
        self.paused.discard(node)

    def kill_all(self):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(self.kill, NODES))

    def heal(self):
        for node in tuple(self.paused):
            self.resume(node)
        if self.down_nodes:
            self.kafka("up", "--timeout", "180", *self.options)
            self.down_nodes.clear()

    def close(self):
        run(SCRIPT, "down", "--dir", self.directory, status=None, timeout=120)

    def answers(self, node):
        """Whether the node itself says that it is one of the cluster's."""
        said = run("kcat", "-b", self.servers.split(",")[node - 1], "-L", "-J", "-m", "2", status=None)
        try:
            return any(each["id"] == node for each in json.loads(said)["brokers"])
        except ValueError:
            return False

    # ---- who leads what

    def metadata(self, topic=None):
        """As kcat tells it; asked again while no node answers."""
        def ask():
            said = run("kcat", "-b", self.servers, "-L", "-J", "-m", "3", *(("-t", topic) if topic else ()), status=None)
            try:
                return json.loads(said)
            except ValueError:
                return None
        return eventually("a node tells its metadata", 60, ask)

    def leader(self, topic, partition):
        """The node that leads it, once one does."""
        def ask():
            for each in self.metadata(topic)["topics"]:
                for one in each["partitions"]:
                    if one["partition"] == partition and one["leader"] in NODES:
                        return one["leader"]
            return None
        return eventually(f"{topic}/{partition} has a leader", 60, ask)

    def coordinator(self, group):
        """The node that coordinates the group: the leader of its partition of the offsets topic, as Kafka's own hash has it."""
        code = 0
        for char in group:
            code = (31 * code + ord(char)) & 0xFFFFFFFF
        count = len(self.metadata("__consumer_offsets")["topics"][0]["partitions"])
        return self.leader("__consumer_offsets", (code & 0x7FFFFFFF) % count)

    def in_sync(self):
        return all(len(one["isrs"]) == len(one["replicas"]) for topic in self.metadata()["topics"] for one in topic["partitions"])

    def wait_in_sync(self, seconds=90):
        eventually("all replicas are in sync", seconds, self.in_sync)


class Proxies:
    """One proxy a node. A service is told of these alone, and the nodes send it on to these alone."""

    def __init__(self, cluster, log):
        self.cluster, self.log, self.process = cluster, log, None
        self.servers = cluster.kafka("address", "--proxied").strip()
        self.begin()

    def begin(self):
        self.api = free_port()
        with open(self.log, "ab") as file:
            self.process = subprocess.Popen([TOXIPROXY, "-host", "127.0.0.1", "-port", str(self.api)], stdin=subprocess.DEVNULL,
                                            stdout=file, stderr=file, env={**os.environ, "LOG_LEVEL": "warn"})
        eventually("Toxiproxy answers", 10, self.lives)
        for node in NODES:
            self.ask("POST", "/proxies", {"name": f"node-{node}", "listen": f"127.0.0.1:{self.cluster.port + 8 + node}",
                                          "upstream": f"127.0.0.1:{self.cluster.port + 5 + node}", "enabled": True})

    def lives(self):
        try:
            return self.ask("GET", "/version")
        except Failure:
            return None

    def ask(self, method, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.api}{path}", method=method, headers={"User-Agent": "chaos"},
                                         data=json.dumps(body).encode() if body is not None else None)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as why:
            raise Failure(f"Toxiproxy: {method} {path}: {why.code} {why.read().decode()}") from None
        except OSError as why:
            raise Failure(f"Toxiproxy: {method} {path}: {why}") from None

    def cut(self, *nodes):
        """Ends what is connected and takes nobody in."""
        for node in nodes:
            self.ask("POST", f"/proxies/node-{node}", {"enabled": False})

    def join(self, *nodes):
        for node in nodes:
            self.ask("POST", f"/proxies/node-{node}", {"enabled": True})

    def poison(self, node, kind, stream="downstream", toxicity=1.0, **attributes):
        self.ask("POST", f"/proxies/node-{node}/toxics", {"name": f"{kind}-{stream}", "type": kind, "stream": stream, "toxicity": toxicity,
                                                          "attributes": attributes})

    def heal(self):
        """Everything joined, no toxics, connections kept."""
        self.ask("POST", "/reset")

    def renew(self):
        """The same with a new proxy: one that has swallowed bytes may hang on taking its toxics back (2.5.0)."""
        self.close()
        self.begin()

    def close(self):
        self.process.kill()
        self.process.wait()


class Small:
    """A tmpfs of a few megabytes, which can be filled to the last byte; root only."""

    def __init__(self, path, megabytes):
        self.path, self.ballast = path, os.path.join(path, "ballast")
        os.makedirs(path, exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "chaos", path)

    def fill(self):
        """Returns how many bytes it took."""
        with open(self.ballast, "ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    pass
        return os.path.getsize(self.ballast)

    def free(self):
        if os.path.exists(self.ballast):
            os.unlink(self.ballast)

    def grow(self, megabytes):
        run("mount", "-o", f"remount,size={megabytes}m", self.path)

    def close(self):
        for _ in range(50): # a process that is just ending may still hold it
            if subprocess.run(["umount", self.path], capture_output=True).returncode == 0:
                return
            time.sleep(0.1)
        run("umount", "-l", self.path, status=None)
