#!/usr/bin/python3
"""What a server takes in memory and how long it takes to start, with an empty region and with one of
a million free blocks, after an orderly stop and after SIGKILL.

MREGIOND=build/daemon/mregiond tests/bench/million_holes.py
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


def start(server, after):
    began = time.monotonic()
    server.start()
    took = time.monotonic() - began
    print(f"start {after:32} {took * 1000:8.0f} ms  {resident(server):6.1f} MiB resident")


def main():
    server = Server()
    try:
        start(server, "of an empty region")
        run(server.unix, 2 * HOLES, lambda i: ("allocate", ["main", SIZE]))
        run(server.unix, HOLES, lambda i: ("deallocate", ["main", 2 * SIZE * i, SIZE]))
        server.stop()
        start(server, "with a million free blocks")
        run(server.unix, 1000, lambda i: ("addBlob", ["main", b"x" * SIZE]))
        server.kill()
        start(server, "again, after SIGKILL")
        server.stop()
    finally:
        server.remove()


if __name__ == "__main__":
    main()
