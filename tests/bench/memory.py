#!/usr/bin/python3
"""What a server takes in memory that has nothing to do: fresh, with a thousand connections that are
open, with a thousand regions (new, and after a change in each), with a million free blocks.

MREGIOND=build/daemon/mregiond tests/bench/memory.py

Of the process alone (RssAnon): the page cache of a region comes on top as far as it is filled, and the
kernel's memory for sockets and open files.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
# pylint: disable=wrong-import-position
from million_holes import run  # noqa: E402
from mpack import Client  # noqa: E402
from server import Server  # noqa: E402

CONNECTIONS = REGIONS = 1000
HOLES = 1_000_000
SIZE = 32
REST = 2.5  # seconds; daemon/rest.h: two at most


def memory(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["RssAnon"].split()[0])


def tell(text, before, now, of=1):
    each = f", {(now - before) / of:.2f} KiB each" if of > 1 else ""
    print(f"{text:52} {now:8} KiB{each}", flush=True)


def at_rest(server):
    time.sleep(REST)
    return memory(server)


def connections(server):
    before = at_rest(server)
    clients = [Client(server.unix) for _ in range(CONNECTIONS)]
    for client in clients:
        client.call("ping")
    tell(f"{CONNECTIONS} connections, each asked once", before, at_rest(server), CONNECTIONS)
    for client in clients:
        client.close()
    tell("when they are gone", before, at_rest(server))


def regions(server):
    before = at_rest(server)
    with Client(server.unix) as client:
        for i in range(REGIONS):
            client.call("createRegion", f"r{i}")
        tell(f"{REGIONS} regions, new", before, at_rest(server), REGIONS)
        for i in range(REGIONS):
            client.call("addBlob", f"r{i}", bytes(SIZE))
        tell("after a change in each", before, at_rest(server), REGIONS)


def holes(server):
    before = at_rest(server)
    run(server.unix, 2 * HOLES, lambda i: ("allocate", ["main", SIZE]))
    tell(f"{2 * HOLES} blocks in use", before, at_rest(server))
    run(server.unix, HOLES, lambda i: ("deallocate", ["main", 2 * SIZE * i, SIZE]))
    tell(f"{HOLES} free blocks between them", before, memory(server))
    tell("at rest", before, at_rest(server))
    with Client(server.unix) as client:
        client.call("clear", "main")
    tell("all of it free", before, at_rest(server))


def main():
    for measure in (connections, regions, holes):
        server = Server()
        try:
            server.start()
            if measure is connections:
                tell("a fresh server", 0, at_rest(server))
            measure(server)
            server.stop()
        finally:
            server.remove()


if __name__ == "__main__":
    main()
