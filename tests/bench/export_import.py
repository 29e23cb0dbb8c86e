#!/usr/bin/python3
"""What an export and an import take beside a copy of the same bytes: `cp --sparse=never` of a region's data
file, with a sync; `mrcli export` to a file; `mrcli import` from it; and `mrcli export | mrcli import`. Of
a region of large blobs, and of one of small blobs, between each two of which there is a hole with --holes.

MREGIOND=build/daemon/mregiond MRCLI=build/client/mrcli \\
    tests/bench/export_import.py [--large MIB] [--small MIB] [--holes] [--rounds N] [--folder DIR]

Each round does all four, one after the other, and is rid of what they made; the first one does not count. Trust
the ratios, which are taken within the rounds. An export through a pipe is promised to have at least half the speed of cp.
"""
import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]
# pylint: disable=wrong-import-position
from million_holes import run  # noqa: E402
from server import MRCLI, Server  # noqa: E402

MIB = 1 << 20
LARGE, SMALL = MIB, 4096
AT_ONCE = 64 * MIB  # bytes of blobs that are added before anything is checked


def fill(server, region, size, count):
    """Blobs of bytes that no file system makes smaller."""
    run(server.unix, 1, lambda _: ("createRegion", [region]))
    block = random.Random(size).randbytes(AT_ONCE + MIB)
    for first in range(0, count, AT_ONCE // size):
        run(server.unix, min(AT_ONCE // size, count - first),
            lambda i: ("addBlob", [region, block[i * size + i % 999:(i + 1) * size + i % 999]]))


def make_holes(server, region, count):
    """Of every second small blob its first half."""
    run(server.unix, count // 2, lambda i: ("deallocate", [region, 2 * i * SMALL, SMALL // 2]))


class Copies:
    """The four ways; each leaves what it made to be removed."""

    def __init__(self, server, folder, region):
        self.server, self.folder, self.region = server, folder, region
        self.environment = {**os.environ, "MREGION_SERVER": f"unix:{server.unix}",
                            "MRCLI": MRCLI, "R": region, "F": os.path.join(folder, "export"),
                            "C": os.path.join(folder, "copy"), "D": self.data_file()}

    def data_file(self):
        """The largest one of all that is called data and belongs to a region."""
        files = [os.path.join(path, "data") for path, _, names in os.walk(self.server.data_dir)
                 if "data" in names]
        return max(files, key=os.path.getsize)

    def shell(self, command):
        subprocess.run(["bash", "-o", "pipefail", "-e", "-c", command], env=self.environment,
                       check=True, stdout=subprocess.DEVNULL)

    def timed(self, command):
        self.shell("sync")
        began = time.monotonic()
        self.shell(command)
        return time.monotonic() - began

    def round(self):
        """Memory and disk space that one has left is for the next one, as all of them like it."""
        times = {"export": self.timed('"$MRCLI" -r "$R" export "$F"; sync "$F"'),
                 "cp": self.timed('cp --sparse=never "$D" "$C"; sync "$C"')}
        self.shell('rm "$C"')
        times["import"] = self.timed('"$MRCLI" import "$F" copy')
        self.shell('"$MRCLI" drop copy; rm "$F"')
        times["export | import"] = self.timed('"$MRCLI" -r "$R" export | "$MRCLI" import - copy')
        self.shell('"$MRCLI" drop copy')
        return times


def measure(options, name, size, count, holes=False):
    server = Server(regions=["main"], data_dir=os.path.join(options.folder, "data"))
    try:
        server.start()
        fill(server, "from", size, count)
        if holes:
            make_holes(server, "from", count)
        copies = Copies(server, options.folder, "from")
        copies.round()  # the first one finds memory that the machine has not had before
        rounds = [copies.round() for _ in range(options.rounds)]
        server.stop()
    finally:
        server.remove()
        shutil.rmtree(server.data_dir, ignore_errors=True)
    total = size * count / MIB
    print(f"{name}: {count} blobs of {size} bytes, {total:.0f} MiB")
    for way in rounds[0]:
        times = [one[way] for one in rounds]
        ratios = [one["cp"] / one[way] for one in rounds]
        print(f"  {way:16} {statistics.median(times):6.2f} s {total / statistics.median(times):6.0f} "
              f"MiB/s   {statistics.median(ratios):5.2f} of cp's speed "
              f"[{min(ratios):.2f} {max(ratios):.2f}]", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--large", type=int, default=1024)
    parser.add_argument("--small", type=int, default=256)
    parser.add_argument("--holes", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", default=".")
    options = parser.parse_args()
    options.folder = tempfile.mkdtemp(prefix="mregion-export.", dir=os.path.abspath(options.folder))
    try:
        if options.large > 0:
            measure(options, "large", LARGE, options.large * MIB // LARGE)
        if options.small > 0:
            measure(options, "small", SMALL, options.small * MIB // SMALL, options.holes)
    finally:
        shutil.rmtree(options.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
