"""The power goes while many connections write: ext4 and xfs are shut down with all that is not on the
device lost, btrfs and these two are cloned in mid-flight, as the device has them at that moment.

Then the file system is mounted again, which replays its own log, and the server started, sometimes
to lose its power once more during recovery. With durability sync everything that was acknowledged is
there, exactly, once what had no answer was sent again with its token. With interval and none the
region is in a state that it has been in, no older than its last checkpoint; with none a blob of a change
that was not synced may be refused as damaged, and never comes back with other bytes.

KERNEL_LONG=1 for many rounds, or KERNEL_ROUNDS=n; KERNEL_SEED for others.
"""
import collections
import contextlib
import fcntl
import io
import os
import random
import signal
import tempfile
import time
import unittest

import disks
from case import Case, run
from disks import MIB, Disk
from mpack import Client, RpcError
from server import DEADLINE, ServerError
from writers import Writer, union

SEED = int(os.environ.get("KERNEL_SEED", "1"))
ROUNDS = int(os.environ.get("KERNEL_ROUNDS", "40" if disks.LONG else "1"))
CLONE = 0x40049409  # FICLONE, _IOW(0x94, 9, int)
CONNECTIONS = 6  # to the region with durability sync
CONFIG = """
listen: [{{unix: "{0}"}}]
regions:
  - {{name: main, journal_size: 16MiB, discard: 64KiB}}
  - {{name: interval, durability: interval, flush_interval: 200ms, journal_size: 16MiB}}
  - {{name: none, durability: none, flush_interval: 2s, journal_size: 16MiB}}
"""


class PowerCut(Case):
    def setUp(self):
        self.random = random.Random(f"{SEED}{self.id()}")
        self.totals = collections.Counter()
        self.environment = {}

    def tearDown(self):
        print(", ".join(f"{name} {number}" for name, number in self.totals.items()))

    # ---- A life of many cuts ----

    def prepare(self, disk):
        self.disk = disk
        self.daemon = self.server(config="listen: []\n", data_dir=os.path.join(disk.folder, "data"),
                                  env=self.environment)
        self.daemon.write_config(CONFIG.format(self.daemon.path("s")))
        self.daemon.start()
        self.writers = [Writer("main", f"{SEED} {i}", 1 + 5 * (i % 2)) for i in range(CONNECTIONS)]
        self.writers += [Writer(name, f"{SEED} {name}", 4, has_history=True)
                         for name in ("interval", "none")]

    def rounds(self, disk, cut, count=ROUNDS):
        self.addCleanup(disk.remove)
        self.prepare(disk)
        self.addCleanup(self.end)
        for number in range(count):
            try:
                self.work()
                cut()
                self.end(is_killed=number % 2 == 0)
                self.recover(cut if number % 3 == 0 else None)
                self.check()
            except BaseException:
                print(f"---- log of mregiond\n{self.daemon.log()}\n---- round {number} of\n"
                      f"    KERNEL_SEED={SEED} KERNEL_ROUNDS={ROUNDS} KERNEL_LONG=1 ctest --test-dir "
                      f".build/release --output-on-failure -R kernel/test_power_cut", flush=True)
                raise
            self.writers = [writer.heir() for writer in self.writers]
        self.end()

    def work(self):
        """Until some hundred changes were answered, and then some moment more."""
        goals = {"main": self.random.randrange(20, 600), "interval": 1, "none": 1}
        before = self.answered()
        for writer in self.writers:
            writer.address = self.daemon.unix
            writer.start()
        while any(self.answered()[name] < before[name] + goal for name, goal in goals.items()):
            self.writers[0].join(0.002)
            self.assert_no_failure()
        time.sleep(self.random.random() * 0.02)

    def answered(self):
        numbers = {}
        for writer in self.writers:
            name = writer.model.region
            numbers[name] = numbers.get(name, 0) + writer.total
        return numbers

    def assert_no_failure(self):
        for writer in self.writers:
            if writer.failure:
                raise AssertionError(f"the writer of {writer.model.region} has failed") \
                    from writer.failure

    def end(self, is_killed=True):
        """A server whose disk is dead can be stopped too, whatever its exit status is."""
        if self.daemon.process is None:
            return
        if is_killed:
            self.daemon.kill()
        else:
            self.daemon.signal(signal.SIGTERM)
            self.daemon.wait()
        for writer in self.writers:
            if writer.ident is not None:
                writer.join(DEADLINE)

    def recover(self, cut):
        """With a cut: first a start whose power goes at some moment."""
        self.assert_no_failure()
        self.totals["cuts"] += 1
        if cut is not None:
            self.mount()
            self.daemon.start(wait=False)
            time.sleep(self.random.random() * 0.05)
            cut()
            self.daemon.kill()
            self.totals["cuts"] += 1
        self.mount()
        try:
            self.daemon.start()
        except ServerError:
            self.fail(self.daemon.log())

    def mount(self):
        if os.path.exists(self.disk.image + ".cut"):
            self.disk.unmount()
            os.replace(self.disk.image + ".cut", self.disk.image)
            self.disk.mount_again()
        else:
            self.disk.remount()

    def check(self):
        main = [writer for writer in self.writers if not writer.has_history]
        self.totals["answered"] = sum(self.answered().values())
        with Client(self.daemon.unix) as client:
            for writer in main:
                self.totals["sent again"] += writer.send_again(client)
            left = union(main).differences(client)
            self.assertIsNone(left, f"main: {left}")
            for writer in self.writers:
                if writer.has_history:
                    lost, damaged = writer.settle_history(client, writer.model.region == "none")
                    self.totals["lost of interval and none"] += lost
                    self.totals["damaged of none"] += damaged
        self.verify()

    def verify(self):
        self.daemon.stop()
        report = run("--data-dir", self.daemon.data_dir, "--check")
        self.assertEqual(report.returncode, 0, report.stdout + report.stderr)
        self.daemon.start()

    # ---- Kinds of disks ----

    def shut_down(self, kind, *options):
        disk = Disk(kind, 512 * MIB, options)
        self.rounds(disk, disk.cut_power)

    def clone(self, kind):
        """The disk's image lies on xfs, which clones a file at one moment."""
        outer = Disk("xfs", 3072 * MIB)
        self.addCleanup(outer.remove)
        self.addCleanup(setattr, tempfile, "tempdir", tempfile.tempdir)
        tempfile.tempdir = outer.folder
        disk = Disk(kind, 512 * MIB)

        def cut():
            for writer in self.writers:
                writer.close_gate()
            with open(disk.image, "rb") as image, open(disk.image + ".cut", "wb") as clone:
                fcntl.ioctl(clone, CLONE, image.fileno())

        self.rounds(disk, cut)

    def test_ext4(self):
        self.shut_down("ext4")

    def test_xfs(self):
        self.shut_down("xfs")

    def test_ext4_of_other_kinds(self):
        if not disks.LONG:
            self.skipTest("only with KERNEL_LONG=1")
        for options in (["nodelalloc"], ["data=writeback", "journal_async_commit"], ["data=journal"]):
            with self.subTest(options=options):
                self.shut_down("ext4", *options)
                self.doCleanups()

    def test_syncs_that_lie_are_noticed(self):
        """Else these tests would prove nothing."""
        for part in ("/", "regions/main/data"):
            self.environment = {"LD_PRELOAD": os.environ["KILL_LIBRARY"], "SYNC_LIES": part}
            disk = Disk("ext4", 512 * MIB)
            with self.assertRaises((AssertionError, RpcError)) as caught:
                with contextlib.redirect_stdout(io.StringIO()):
                    self.rounds(disk, disk.cut_power, 20)
            print(f"without syncs of {part}: {str(caught.exception).splitlines()[-1]}")
            self.doCleanups()

    def test_clones_of_btrfs(self):
        self.clone("btrfs")

    def test_clones_of_ext4(self):
        self.clone("ext4")

    def test_clones_of_xfs(self):
        self.clone("xfs")


if __name__ == "__main__":
    disks.main()
