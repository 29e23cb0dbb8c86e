#!/usr/bin/python3
"""Instructions that the server executes for a small request, from the socket and back, counted with
callgrind: of the loop's thread, and of the workers. And how often it asks for memory. Counts do not
depend on how busy the machine is.

MREGIOND=build/daemon/mregiond tests/bench/instructions.py [--check] [--keep FOLDER]

50 connections keep 16 requests in flight each: all 800 arrive while the server is stopped, so that
it finds them in one turn, and changes are one batch. What the kernel executes is not counted.

--check  fails where a count is above its bound, which a tenth more than it was reaches
--keep   leaves callgrind's files there, one a phase and thread
"""
import argparse
import glob
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import msgpack

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
# pylint: disable=wrong-import-position
from server import Server, DEADLINE  # noqa: E402

CONNECTIONS, PIPELINE = 50, 16
REQUESTS = CONNECTIONS * PIPELINE
SIZE, PAGE = 64, 4096
# Rounds of a phase before it is measured, and those that are.
WARM, MEASURED = 3, 2

# Without the sandbox, in which callgrind can neither make code nor write its files.
CONFIG = """
sandbox: off
listen: [{{unix: {socket}}}]
regions:
  - {{name: main, token_window: 1024}}
  - {{name: cold, page_cache: 64KiB}}
"""

# Upper bounds per request: of the loop, of the workers.
BOUNDS = {
    "add": (2470, 250),
    "add, token": (3860, 260),
    "load": (1120, 10),
    "load, not cached": (2650, 10),
    "load 4 KiB": (1640, 10),
    "remove": (3500, 20),
    "remove, token": (4930, 50),
    "deallocate": (2700, 20),
}

# No request asks for memory. A batch may: for nodes of the sets of extents that are its own, and for
# everything when there has been no other one before it, because the last one is being put in place.
BATCH_ALLOCATIONS = 40

ALLOCATORS = ("malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign")


class Clients:
    """The connections, and the server that they are of."""

    def __init__(self, server):
        self.server = server
        self.connections = []
        for _ in range(CONNECTIONS):
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(DEADLINE)
            connection.connect(server.unix)
            self.connections.append(connection)

    def send_all(self, requests):
        """Has them arrive at once: of each connection PIPELINE of them, one behind the other."""
        pid = self.server.process.pid
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED)
        for i, connection in enumerate(self.connections):
            mine = requests[i * PIPELINE:(i + 1) * PIPELINE]
            connection.sendall(b"".join(msgpack.packb([0, j, *request])
                                        for j, request in enumerate(mine)))
        os.kill(pid, signal.SIGCONT)

    def results_of(self, connection):
        unpacker, results = msgpack.Unpacker(), {}
        while len(results) < PIPELINE:
            unpacker.feed(connection.recv(1 << 20))
            for kind, msgid, error, result in unpacker:
                assert kind == 1 and error is None, error
                results[msgid] = result
        return [results[i] for i in range(PIPELINE)]

    def round(self, requests):
        """The results, in the order of the requests."""
        self.send_all(requests)
        return [result for connection in self.connections for result in self.results_of(connection)]


# ---- What is asked for ----

class Phases:
    """Lists of requests, by name."""

    def __init__(self, clients):
        self.clients = clients
        self.random = random.Random(64)
        self.blocks = []
        self.tokens = 0

    def token(self):
        self.tokens += 1
        return {"token": self.random.randbytes(16)}

    def add(self, *options):
        results = self.clients.round([
            ("addBlob", ["main", self.random.randbytes(SIZE)] + [option() for option in options])
            for _ in range(REQUESTS)])
        self.blocks += results

    def remove(self, method, *options):
        """Those that were added last, in no order."""
        gone, self.blocks = self.blocks[-REQUESTS:], self.blocks[:-REQUESTS]
        self.random.shuffle(gone)
        self.clients.round([
            (method, ["main", address, SIZE] + [option() for option in options])
            for address in gone])

    def load(self):
        results = self.clients.round([
            ("loadBlob", ["main", self.random.choice(self.blocks), SIZE])
            for _ in range(REQUESTS)])
        assert all(len(result) == SIZE for result in results)

    def load_cold(self):
        """Of a region in memory, but in pages that are mostly not in the cache of verified ones."""
        self.clients.round([
            ("loadBlob", ["cold", self.random.randrange(REQUESTS * PAGE // SIZE) * SIZE, SIZE])
            for _ in range(REQUESTS)])

    def load_pages(self):
        self.clients.round([
            ("loadBlob", ["main", page * PAGE, PAGE])
            for page in self.random.choices(range(len(self.blocks) * SIZE // PAGE), k=REQUESTS)])

    def prepare(self):
        """Also until the window of tokens has long been full."""
        self.clients.round([("addBlob", ["cold", self.random.randbytes(PAGE)])
                            for _ in range(REQUESTS)])
        for _ in range(2 * (WARM + MEASURED)):
            self.add(self.token)

    def all(self):
        self.prepare()
        yield "add", self.add
        yield "add, token", lambda: self.add(self.token)
        yield "load", self.load
        yield "load, not cached", self.load_cold
        yield "load 4 KiB", self.load_pages
        yield "remove", lambda: self.remove("removeBlob")
        yield "remove, token", lambda: self.remove("removeBlob", self.token)
        yield "deallocate", lambda: self.remove("deallocate")


# ---- Counting ----

def dump(server):
    """Has callgrind write what it counted since the last time, and begin anew."""
    subprocess.run(["callgrind_control", "--dump", str(server.process.pid)], check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   timeout=DEADLINE)


def read_profile(path):
    """Instructions, and calls of what allocates."""
    names, allocations, callee = {}, 0, None
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("totals:"):
                instructions = int(line.split()[1])
            elif match := re.match(r"c?fn=\((\d+)\)(?: (.*))?$", line):
                if match[2]:
                    names[match[1]] = match[2]
                callee = names[match[1]] if line.startswith("c") else None
            elif callee and (match := re.match(r"calls=(\d+)", line)):
                if re.sub(r"'\d+$", "", callee) in ALLOCATORS:
                    allocations += int(match[1])
                callee = None
    return instructions, allocations


def count(folder, number):
    """Of the dump with this number: instructions of the loop, of the workers, allocations."""
    loop = workers = allocations = 0
    for path in glob.glob(os.path.join(folder, f"*.{number}-*")):
        instructions, allocated = read_profile(path)
        allocations += allocated
        if path.endswith("-01"):
            loop = instructions
        else:
            workers += instructions
    return loop, workers, allocations


def measure(folder):
    """Yields name, instructions of the loop and the workers per request, allocations of all."""
    out = os.path.join(folder, "callgrind.out")
    server = Server(wrapper=["valgrind", "--tool=callgrind", "--separate-threads=yes",
                             f"--callgrind-out-file={out}"], config=" ")
    server.write_config(CONFIG.format(socket=server.path("s")))
    try:
        server.start()
        phases = Phases(Clients(server))
        for i, (name, run) in enumerate(phases.all()):
            for _ in range(WARM):
                run()
            dump(server)
            for _ in range(MEASURED):
                run()
            dump(server)
            loop, workers, allocations = count(folder, 2 * i + 2)
            yield name, loop // (MEASURED * REQUESTS), workers // (MEASURED * REQUESTS), allocations
        server.kill()
    finally:
        server.remove()


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--keep")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("skipped: valgrind is not installed")
        return 77
    failures = []
    folder = options.keep or tempfile.mkdtemp(prefix="mregiond-instructions.")
    os.makedirs(folder, exist_ok=True)
    try:
        print(f"{'':18} {'loop':>8} {'workers':>8} {'allocations':>12}")
        for name, loop, workers, allocations in measure(folder):
            print(f"{name:18} {loop:8} {workers:8} {allocations:12}", flush=True)
            if loop > BOUNDS[name][0] or workers > BOUNDS[name][1]:
                failures.append(f"{name}: more instructions than {BOUNDS[name][0]} of the loop and "
                                f"{BOUNDS[name][1]} of the workers")
            if allocations > MEASURED * BATCH_ALLOCATIONS:
                failures.append(f"{name}: memory was allocated {allocations} times in {MEASURED} "
                                f"batches of {REQUESTS}")
    finally:
        if options.keep is None:
            shutil.rmtree(folder)
    if options.check and failures:
        print("\n".join(failures), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
