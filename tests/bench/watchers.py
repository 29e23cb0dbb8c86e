#!/usr/bin/python3
"""What those who look on cost the server: a scrape of 1000 regions, what one question takes of its loop,
and what top, map -w, stat -i 1, the status page and Prometheus take while they are there.

MREGIOND=build/daemon/mregiond MRCLI=build/client/mrcli BENCH_LOAD=build/tests/bench/bench_load \\
    tests/bench/watchers.py [--only PART]... [--regions N] [--connections N] [--holes N] [--seconds S]
                            [--rounds N] [--folder DIR] [--keep]

questions    one after the other: processor time of the server's loop, and of all its threads
latency      of pings on another connection, without scrapes and while one follows the other
watchers     each beside a server that has nothing else to do: processor time in a second
load         loads of 64 bytes with each of them and without, in turn: the rate

A server has one loop, so the part of a core that a watcher takes of it is the part of the throughput
that it may cost: trust that, which noise on the machine hardly moves. The rates are there to agree with it, as
far as they can. Promised are less than 1 % for a watcher, and a scrape of 1000 regions within 50 ms.
"""
import argparse
import contextlib
import http.client
import json
import multiprocessing
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import msgpack

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]
# pylint: disable=wrong-import-position
from million_holes import run  # noqa: E402
from mpack import Client  # noqa: E402
from server import MRCLI, Server  # noqa: E402

PARTS = ("questions", "latency", "watchers", "load")
REPEATS = 20  # of each question
PROMETHEUS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
SCRAPES_EVERY = 15  # seconds
REST = 2.5  # until a server that has nothing to do any more does nothing: daemon/rest.h
IN_SIGHT = 6  # maps on a page
BIG = 200_000  # bytes of /status from which on a page asks less often
CONFIG = """
listen: [{{unix: {folder}/s}}]
http: [{{unix: {folder}/h}}]
max_connections: {connections}
max_regions: 10000
regions: [{regions}]
"""
CHEAP = {"durability": "none", "journal_size": 1 << 24, "page_cache": 1 << 16}


class Watched(Server):
    """A server with HTTP on a core of its own, its data in the folder. So many of its regions are the
    configuration's, the others are made by a client; all of them have been used."""

    def __init__(self, options, configured=1, regions=0, connections=100):
        self.keeps = options.keep
        if self.keeps:
            folder = os.path.join(os.path.abspath(options.folder), f"mregion-watch-{configured}-{regions}")
            os.makedirs(folder, exist_ok=True)
        else:
            folder = tempfile.mkdtemp(prefix="mregion-watch.", dir=os.path.abspath(options.folder))
        super().__init__(data_dir=os.path.join(folder, "data"), config=" ",
                         wrapper=["taskset", "-c", str(options.cores[0])])
        names = [f"region-{i:04}" for i in range(configured)]
        listed = ", ".join(f"{{name: {name}, durability: none, journal_size: 16MiB}}" for name in names)
        self.write_config(CONFIG.format(folder=self.folder, connections=connections, regions=listed))
        self.names = names + [f"region-{i:04}" for i in range(configured, regions)]

    def use(self):
        """Regions that are not there are made, those that are new have something put into them."""
        names = self.names
        with Client(self.unix) as client:
            missing = sorted(set(names).difference(client.call("listRegions")))
            if missing:
                run(self.unix, len(missing), lambda i: ("createRegion", [missing[i], CHEAP]))
            new = [name for name in names if client.call("size", name) == 0]
        if new:
            for method, rest in ("addBlob", [bytes(64)]), ("allocate", [100]), ("deallocate", [64, 50]):
                run(self.unix, len(new), lambda i: (method, [new[i], *rest]))
        for method, rest in ("loadBlob", [0, 64]), ("isAllocated", [0, 64]), ("size", []), ("id", []):
            run(self.unix, len(names), lambda i: (method, [names[i], *rest]))

    def make_holes(self, count):
        """Unless it has as many already, of an earlier run."""
        with Client(self.unix) as client:
            if client.call("regionInfo", "region-0000")["free_blocks"] >= count:
                return
        run(self.unix, 2 * count + 4, lambda i: ("allocate", ["region-0000", 128]))
        run(self.unix, count, lambda i: ("deallocate", ["region-0000", 256 * i + 512, 64]))

    def processor(self):
        """Seconds of the loop, and of all threads, those that have ended too."""
        pid = self.process.pid
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
            loop = int(file.read().split()[0]) / 1e9
        return loop, time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3)

    def remove(self):
        super().remove()
        if not self.keeps:
            shutil.rmtree(os.path.dirname(self.data_dir), ignore_errors=True)


@contextlib.contextmanager
def serving(*arguments, **more):
    server = Watched(*arguments, **more)
    try:
        server.start()
        server.use()
        yield server
        server.stop()
    finally:
        server.remove()


class Browser(http.client.HTTPConnection):
    """On the Unix socket."""

    def __init__(self, server):
        super().__init__("localhost")
        self.path = server.path("h")

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

    def get(self, path, **headers):
        self.request("GET", path, headers=headers)
        answer = self.getresponse()
        body = answer.read()
        assert answer.status == 200, (path, body)
        return body

    def size_of(self, path):
        return len(self.get(path))

    def scrape(self):
        return self.get("/metrics", Accept=PROMETHEUS)


# ---- Questions ----


def ask(server, what, question):
    """Each alone, so that it has the caches that it finds."""
    question()
    times, loops, totals, size = [], [], [], 0
    for _ in range(REPEATS):
        loop, total = server.processor()
        began = time.monotonic()
        size = question()
        times.append(time.monotonic() - began)
        time.sleep(0.002)  # until a worker has counted its end, too
        now = server.processor()
        loops.append(now[0] - loop)
        totals.append(now[1] - total)
    took = "{:8.2f} {:8.2f} {:8.2f}".format(
        *(1000 * value for value in (min(times), statistics.median(times), max(times))))
    print(f"  {what:40} {took}   {statistics.median(loops) * 1000:8.2f} "
          f"{statistics.median(totals) * 1000:8.2f} {size:9}", flush=True)


class Caller(Client):
    def size_of(self, method, *params):
        """Bytes of the answer, which is not looked into."""
        unpacker = msgpack.Unpacker(max_buffer_size=2**31 - 1)
        self.send(method, *params)
        while True:
            unpacker.feed(self.socket.recv(1 << 20))
            with contextlib.suppress(msgpack.OutOfData):
                unpacker.skip()
                return unpacker.tell()


def questions(options):
    print(f"{'':42} {'least ms':>8} {'median':>8} {'most':>8}   {'loop ms':>8} {'all ms':>8} {'bytes':>9}")
    with serving(options, regions=options.regions) as server, Caller(server.unix) as client:
        server.make_holes(options.holes)
        browser = Browser(server)
        print(f"{options.regions} regions")
        ask(server, "ping", lambda: client.size_of("ping"))
        ask(server, "/metrics", lambda: browser.size_of("/metrics"))
        ask(server, "/metrics, OpenMetrics", lambda: len(browser.scrape()))
        ask(server, "/status", lambda: browser.size_of("/status"))
        ask(server, f"/status/REGION/map, {options.holes} holes",
            lambda: browser.size_of("/status/region-0000/map"))
        ask(server, "/readyz", lambda: browser.size_of("/readyz"))
        ask(server, "stats", lambda: client.size_of("stats"))
        ask(server, "stats of 10 regions", lambda: client.size_of("stats", {"limit": 10}))
        ask(server, "stats of none", lambda: client.size_of("stats", {"limit": 0}))
        ask(server, "listRegions", lambda: client.size_of("listRegions"))
    with serving(options, configured=300) as server, Caller(server.unix) as client:
        print("300 regions in the configuration")
        ask(server, "configGet of all", lambda: client.size_of("configGet", "*"))
        ask(server, "configGet of one", lambda: client.size_of("configGet", "max_message"))
    with serving(options, connections=options.connections + 100) as server, Caller(server.unix) as client:
        silent = crowd(server, options.connections)
        print(f"{options.connections} connections")
        ask(server, "connections, the first 1000", lambda: client.size_of("connections"))
        ask(server, "stats", lambda: client.size_of("stats"))
        close(silent)


def crowd(server, count):
    """Connections that are silent, but for one question each."""
    silent = [Client(server.unix) for _ in range(count)]
    for client in silent:
        client.call("ping")
    return silent


def close(clients):
    for client in clients:
        client.close()


# ---- Latency ----


def pings(path, seconds):
    """Latencies of pings, one after the other."""
    with Client(path) as client:
        times, end = [], time.monotonic() + seconds
        request = b"\x94\x00\x01\xa4ping\x90"
        connection = client.socket
        before = time.monotonic()
        while before < end:
            connection.sendall(request)
            connection.recv(4096)
            now = time.monotonic()
            times.append(now - before)
            before = now
        return sorted(times)


def over_and_over(question):
    """For a process of its own."""
    while True:
        question()


def tell_latency(what, rounds):
    times = [[1e6 * one[int(part * (len(one) - 1))] for one in rounds] for part in (0.5, 0.99, 0.999, 1)]
    print(f"  {what:40}" + "".join(f" {statistics.median(values):9.0f}" for values in times) +
          f"   {sum(map(len, rounds)):8}", flush=True)


def latency(options):
    """Who asks is on the cores that the server is not on; so is who pings."""
    print(f"{'pings, us':42}" + "".join(f" {text:>9}" for text in ("p50", "p99", "p99.9", "most")) +
          f"   {'pings':>8}")
    with serving(options, regions=options.regions) as server:
        ways = {"without": None,
                "beside /metrics": lambda: Browser(server).scrape(),
                "beside /status": lambda: Browser(server).get("/status"),
                "beside stats": lambda: stats_once(server)}
        found = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, question in ways.items():
                with beside(question):
                    found[name].append(pings(server.unix, options.seconds))
        for name, rounds in found.items():
            tell_latency(name, rounds)


def stats_once(server):
    with Caller(server.unix) as client:
        client.size_of("stats")


@contextlib.contextmanager
def beside(question):
    """Asks it over and over, ten times a second at most, in a process of its own."""
    if question is None:
        yield
        return

    def repeat():
        over_and_over(lambda: (question(), time.sleep(0.1)))

    process = multiprocessing.Process(target=repeat)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


# ---- Watchers ----


def cli(server, *words):
    """mrcli as somebody has it in a terminal, who looks at it."""
    command = " ".join([MRCLI, *words])
    environment = {**os.environ, "MREGION_SERVER": f"unix:{server.unix}", "TERM": "xterm"}
    return subprocess.Popen(["script", "-qfec", f"stty cols 132 rows 50; exec {command}", "/dev/null"],
                            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment)


def page(server):
    """What status.html asks for, when it does."""
    browser, due = Browser(server), {}
    while True:
        text = browser.get("/status")
        names = list(json.loads(text)["stats"]["regions"])[:IN_SIGHT]
        at = time.monotonic() * 1000
        wanted = sorted((due.get(name, 0), name) for name in names if due.get(name, 0) <= at)[:4]
        for _, name in wanted:
            found = json.loads(browser.get(f"/status/{name}/map?cells=512"))
            due[name] = time.monotonic() * 1000 + 2000 + found["cost_us"] / 5 * len(wanted)
        time.sleep(5 if len(text) > BIG else 1)


def prometheus(server, every):
    browser = Browser(server)
    while True:
        browser.scrape()
        time.sleep(every)


class Process:
    """A function as a watcher."""

    def __init__(self, function, *arguments):
        self.process = multiprocessing.Process(target=function, args=arguments)
        self.process.start()

    def kill(self):
        self.process.kill()

    def wait(self):
        self.process.join()


# Name, what starts it, and how many times as often as usual it asks.
WATCHERS = (
    ("top", lambda server: [cli(server, "top")], 1),
    ("map -w", lambda server: [cli(server, "-r", "region-0000", "map", "-w")], 1),
    ("stat -i 1", lambda server: [cli(server, "stat", "-i", "1")], 1),
    ("the status page, twice", lambda server: [Process(page, server), Process(page, server)], 1),
    ("Prometheus", lambda server: [Process(prometheus, server, 1)], SCRAPES_EVERY),
)


@contextlib.contextmanager
def watched(server, start):
    """From when they have asked for the first time."""
    watchers = start(server)
    time.sleep(1.2)
    try:
        assert all(not isinstance(watcher, subprocess.Popen) or watcher.poll() is None for watcher in watchers)
        yield
    finally:
        for watcher in watchers:
            watcher.kill()
            watcher.wait()


def spent(server, seconds):
    """Processor time in a second: of the loop, of all threads."""
    before, began = server.processor(), time.monotonic()
    time.sleep(seconds)
    now, took = server.processor(), time.monotonic() - began
    return [(now[i] - before[i]) / took for i in range(2)]


def compare(server, options):
    time.sleep(REST)
    resting = spent(server, options.seconds)
    for name, start, times in WATCHERS:
        with watched(server, start):
            seen = spent(server, options.seconds)
        parts = [100 * (seen[i] - resting[i]) / times for i in range(2)]
        print(f"  {name:40} {parts[0]:8.3f} {parts[1]:8.3f}", flush=True)


def watchers(options):
    print(f"{'% of a core':42} {'loop':>8} {'all':>8}")
    with serving(options, configured=3) as server:
        print(f"3 regions, one of {options.holes} holes")
        server.make_holes(options.holes)
        compare(server, options)
    with serving(options, regions=options.regions) as server:
        print(f"{options.regions} regions")
        compare(server, options)
    with serving(options, connections=options.connections + 100) as server:
        print(f"{options.connections} connections, silent")
        silent = crowd(server, options.connections)
        compare(server, options)
        close(silent)


# ---- Load ----


def rate(server, seconds):
    done = subprocess.run(
        [os.environ["BENCH_LOAD"], "--json", "--server", f"unix:{server.unix}", "--region", "region-0001",
         "--mix", "0:100:0", "--size", "64", "--connections", "50", "--pipeline", "16", "--preload", "1000",
         "--seconds", str(seconds)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["per_second"]


def load(options):
    """Without, with, without: each is compared with the mean of those around it."""
    print(f"{'loads of 64 bytes, 50x16':42} {'without/s':>9} {'with/s':>9} {'lost %':>7}")
    with serving(options, configured=3) as server:
        server.make_holes(options.holes)
        for name, start, times in WATCHERS:
            before, pairs = rate(server, options.seconds), []
            for _ in range(options.rounds):
                with watched(server, start):
                    during = rate(server, options.seconds)
                after = rate(server, options.seconds)
                pairs.append(((before + after) / 2, during))
                before = after
            lost = [100 * (1 - during / around) / times for around, during in pairs]
            print(f"  {name:40} {statistics.median(one[0] for one in pairs):9.0f} "
                  f"{statistics.median(one[1] for one in pairs):9.0f} {statistics.median(lost):7.2f} "
                  f"[{min(lost):.2f} {max(lost):.2f}]", flush=True)


def choose_cores():
    """The server's, and the others', which are this process's from now on."""
    cores = sorted(os.sched_getaffinity(0))
    others = cores[1:] or cores
    os.sched_setaffinity(0, others)
    return cores[0], others


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("--regions", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--holes", type=int, default=20_000, help="of the region that map looks at")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", default=".", help="for the data: 8 GiB of a disk, or of memory, for 1000 regions")
    parser.add_argument("--keep", action="store_true", help="the data, for the next run with --keep")
    options = parser.parse_args()
    options.cores = choose_cores()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and nothing is left
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the server's too
    for part in options.only or PARTS:
        globals()[part](options)


if __name__ == "__main__":
    main()
