#!/usr/bin/python3
"""How long a backup keeps anybody waiting whose region is written to faster than it can be copied.

MREGIOND=build/daemon/mregiond tests/bench/backup_load.py [--size MIB] [--writers N] [--durability D]

Writers overwrite blobs all over the region, several requests each in flight; one client changes a
hundred bytes at a time and waits for each answer. Printed are its longest waits, without a backup and
during one, and what the backup copied: more than the region has, as pages changed meanwhile.
"""
import argparse
import multiprocessing
import os
import random
import sys
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]
# pylint: disable=wrong-import-position
from mpack import Client  # noqa: E402
from server import Server  # noqa: E402

MIB = 1 << 20
BLOB = 32 << 10  # of the writers
IN_FLIGHT = 16


def write(path, size, seed, ending):
    """Until told to end."""
    rng, client, blob = random.Random(seed), Client(path), os.urandom(BLOB)
    waiting = []
    while not ending.is_set():
        at = rng.randrange(size // BLOB) * BLOB
        waiting.append(client.send("storeBlob", "main", at, blob))
        if len(waiting) == IN_FLIGHT:
            client.wait(waiting.pop(0))
    for msgid in waiting:
        client.wait(msgid)


def change(path, size, seconds, is_over):
    """The waits of who changes a little, in milliseconds, the longest last."""
    rng, client, blob, waits = random.Random(99), Client(path), os.urandom(100), []
    end = time.monotonic() + seconds
    while time.monotonic() < end and not is_over():
        begun = time.monotonic()
        client.call("storeBlob", "main", rng.randrange(size - 100), blob)
        waits.append((time.monotonic() - begun) * 1000)
    return sorted(waits)


def line(name, waits):
    print(f"  {name:20} {len(waits):7} changes  p50 {waits[len(waits) // 2]:8.2f}  "
          f"p99.9 {waits[-1 - len(waits) // 1000]:8.2f}  longest {waits[-1]:8.2f} ms", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--durability", default="sync")
    options = parser.parse_args()
    size = options.size * MIB
    server = Server(config="listen: []\n", regions=[])
    server.write_config(f"listen: [unix: {server.path('s')}]\nbackup_dir: {server.path('backups')}\n"
                        f"regions: [{{name: main, durability: {options.durability}}}]\n")
    server.start()
    try:
        client = Client(server.unix, 600)
        client.call("allocate", "main", size)
        blob = os.urandom(MIB)
        for at in range(0, size, MIB):
            client.call("storeBlob", "main", at, blob)
        ending = multiprocessing.Event()
        writers = [multiprocessing.Process(target=write, args=(server.unix, size, i, ending))
                   for i in range(options.writers)]
        for writer in writers:
            writer.start()
        time.sleep(0.5)
        line("without a backup", change(server.unix, size, options.seconds, lambda: False))
        result = []

        def back_up():
            begun = time.monotonic()
            copied = client.call("backupRegion", "main", "b")
            result.extend((copied, time.monotonic() - begun))

        thread = threading.Thread(target=back_up)
        thread.start()
        line("during a backup", change(server.unix, size, 600, lambda: bool(result)))
        thread.join()
        print(f"  {size / MIB:.0f} MiB in use, {result[0] / MIB:.0f} MiB copied in {result[1]:.1f} s")
        ending.set()
        for writer in writers:
            writer.join()
    finally:
        server.kill()
        server.remove()


if __name__ == "__main__":
    main()
