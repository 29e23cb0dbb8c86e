#!/usr/bin/python3
"""What a checkpoint costs those who wait for an answer: latencies of durable adds without checkpoints
and while one follows the other, in a region of few, of 100,000 and of a million free blocks.

MREGIOND=build/daemon/mregiond BENCH_LOAD=build/tests/bench/bench_load \\
    tests/bench/checkpoint_load.py [--seconds S] [--holes N]... [--rounds N]

Trust the ratios of one run. That of p99.9 is promised to be at most 3 for 64 bytes.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]
# pylint: disable=wrong-import-position
from million_holes import SIZE, run  # noqa: E402
from server import Server  # noqa: E402

PERCENTILES = ("p50_us", "p99_us", "p999_us")
LOADS = ((64, 50, 1), (64, 1, 1), (4096, 50, 16))


class Checkpoints:
    """One after the other, on a connection of their own, for as long as it is entered."""

    def __init__(self, server):
        self.server, self.count, self.ending = server, 0, threading.Event()
        self.thread = threading.Thread(target=self.repeat)

    def repeat(self):
        while not self.ending.is_set():
            run(self.server.unix, 1, lambda _: ("checkpoint", ["main"]))
            self.count += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()


def make_holes(server, count):
    """Smaller than what is added, so that they stay."""
    run(server.unix, 2 * count, lambda i: ("allocate", ["main", SIZE]))
    run(server.unix, count, lambda i: ("deallocate", ["main", 2 * SIZE * i, SIZE]))


def adds(server, load, seconds):
    size, connections, pipeline = load
    done = subprocess.run(
        [os.environ["BENCH_LOAD"], "--json", "--server", f"unix:{server.unix}", "--region", "main",
         "--size", str(size), "--connections", str(connections), "--pipeline", str(pipeline),
         "--seconds", str(seconds)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def line(name, results):
    values = " ".join(f"{statistics.median(result[key] for result in results):9.0f}"
                      for key in PERCENTILES)
    rate = statistics.median(result["per_second"] for result in results)
    print(f"    {name:24} {rate:9.0f}/s {values}", flush=True)


def measure(server, load, options):
    """Without and with, in turn, so that a change of the disk's mood meets both."""
    without, during, checkpoints = [], [], 0
    for _ in range(options.rounds):
        without.append(adds(server, load, options.seconds))
        with Checkpoints(server) as running:
            during.append(adds(server, load, options.seconds))
        checkpoints += running.count
    print(f"  {load[0]} bytes, {load[1]}x{load[2]}")
    line("without checkpoints", without)
    line(f"with {checkpoints / options.rounds / options.seconds:.1f} a second", during)
    ratios = [statistics.median(result[key] for result in during) /
              statistics.median(result[key] for result in without) for key in PERCENTILES]
    print(f"    {'ratio':36}" + " ".join(f"{ratio:9.1f}" for ratio in ratios), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--holes", type=int, action="append")
    options = parser.parse_args()
    print(f"{'':38}" + " ".join(f"{key.replace('_us', ' us'):>9}" for key in PERCENTILES))
    for holes in options.holes or (100, 100_000, 1_000_000):
        server = Server()
        try:
            server.start()
            make_holes(server, holes)
            print(f"{holes} free blocks")
            for load in LOADS:
                measure(server, load, options)
            server.stop()
        finally:
            server.remove()


if __name__ == "__main__":
    main()
