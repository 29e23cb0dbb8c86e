#!/usr/bin/python3
"""What a server takes in memory and how long it takes to start, with an empty region and with one of
a million free blocks (or N), after an orderly stop and after SIGKILL; and what changes and a
checkpoint take there.

MREGIOND=build/daemon/mregiond tests/bench/million_holes.py [N]
"""
import os
import re
import socket
import sys
import threading
import time

import msgpack

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
# pylint: disable=wrong-import-position
from server import Server  # noqa: E402

HOLES = 1_000_000
STRIDE = 7919  # a prime, so that changes come in no order of addresses
SIZE = 32
CHUNK = 1000  # requests in one send


def run(path, count, request):
    """Sends request(0) ... request(count - 1), pipelined, and checks that none is refused."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)

        def send():
            for first in range(0, count, CHUNK):
                connection.sendall(b"".join(msgpack.packb([0, i, *request(i)])
                                            for i in range(first, min(first + CHUNK, count))))

        sender = threading.Thread(target=send)
        sender.start()
        answers, got = msgpack.Unpacker(), 0
        while got < count:
            answers.feed(connection.recv(1 << 20))
            for _, _, error, _ in answers:
                assert error is None, error
                got += 1
        sender.join()


def resident(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1]) / 1024


def timed(server, what, count, request):
    began = time.monotonic()
    run(server.unix, count, request)
    took = time.monotonic() - began
    each = f"{took / count * 1e6:.2f} us each" if count > 1 else ""
    print(f"{what:38} {took * 1000:8.0f} ms  {each}", flush=True)


def block_between(i, holes):
    return 2 * SIZE * (i * STRIDE % holes) + SIZE


def start(server, after):
    began = time.monotonic()
    server.start()
    took = time.monotonic() - began
    print(f"start {after:32} {took * 1000:8.0f} ms  {resident(server):6.1f} MiB resident")


def main():
    holes = int(sys.argv[1]) if len(sys.argv) > 1 else HOLES
    changes = min(holes, 100_000)
    server = Server()
    try:
        start(server, "of an empty region")
        empty = resident(server)
        timed(server, "allocate in order", 2 * holes, lambda i: ("allocate", ["main", SIZE]))
        timed(server, "deallocate every second", holes,
              lambda i: ("deallocate", ["main", 2 * SIZE * i, SIZE]))
        timed(server, "checkpoint", 1, lambda i: ("checkpoint", ["main"]))
        server.stop()
        start(server, f"with {holes} free blocks")
        print(f"{'memory for a free block':38} {(resident(server) - empty) * 2**20 / holes:8.1f} bytes")
        timed(server, "deallocate between them, in no order", changes,
              lambda i: ("deallocate", ["main", block_between(i, holes), SIZE]))
        timed(server, "allocate as many", changes, lambda i: ("allocate", ["main", SIZE]))
        timed(server, "checkpoint", 1, lambda i: ("checkpoint", ["main"]))
        run(server.unix, 1000, lambda i: ("addBlob", ["main", b"x" * SIZE]))
        server.kill()
        start(server, "again, after SIGKILL")
        server.stop()
    finally:
        server.remove()


if __name__ == "__main__":
    main()
