"""Backups that share their blocks with the region, on the file systems that can: what they have, what
they take up, and what becomes of them when either of the two is changed or the power is cut.
"""
import os
import subprocess
import threading
import unittest

import disks
from case import Case, run
from disks import MIB, Disk
from mpack import Client, RpcError

CONFIG = """
listen: [{{unix: "{0}"}}]
data_dir: {1}/data
backup_dir: {1}/backups
backup_reflinks: {2}
regions: [{{name: main, journal_size: 16MiB}}]
"""
BLOB = 1 * MIB


class Writer(threading.Thread):
    """Overwrites blobs, each with one byte all over, so that a torn one shows."""

    def __init__(self, path, addresses):
        super().__init__()
        self.client, self.addresses, self.is_over = Client(path), addresses, False
        self.error, self.number = None, 0

    def run(self):
        try:
            while not self.is_over:
                self.number += 1
                self.client.call("storeBlob", "main", self.addresses[self.number % len(self.addresses)],
                                 bytes([self.number % 251]) * BLOB)
        except Exception as error:  # told by the test
            self.error = error

    def stop(self):
        self.is_over = True
        self.join()
        self.client.close()
        if self.error is not None:
            raise self.error


class Reflinks(Case):
    def prepare(self, kind, reflinks="on", size=512 * MIB, make=()):
        self.disk = Disk(kind, size, make=make)
        self.addCleanup(self.disk.remove)
        self.daemon = self.server(config="listen: []\n", data_dir=self.disk.folder + "/data")
        self.daemon.write_config(CONFIG.format(self.daemon.path("s"), self.disk.folder, reflinks))
        self.addCleanup(lambda: self.daemon.process is None or self.daemon.kill())
        self.start()

    def start(self):
        self.daemon.start()
        self.client = self.connect(self.daemon)

    def fill(self, count):
        """Blobs of noise: {address: bytes}."""
        blobs = {}
        for _ in range(count):
            blob = os.urandom(BLOB)
            blobs[self.client.call("addBlob", "main", blob)] = blob
        self.client.call("checkpoint", "main")
        return blobs

    def assert_blobs(self, region, blobs):
        for address, blob in blobs.items():
            self.assertTrue(self.client.call("loadBlob", region, address, len(blob)) == blob, address)
        scrub = self.client.call("scrub", region)
        self.assertEqual((scrub["damaged"], scrub["unverified"]), (0, 0))

    def used(self):
        subprocess.run(["sync", "-f", self.disk.folder], check=True)
        if self.disk.kind == "btrfs":
            subprocess.run(["btrfs", "filesystem", "sync", self.disk.folder], check=True,
                           stdout=subprocess.DEVNULL)
        status = os.statvfs(self.disk.folder)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    def shared(self, path):
        """How many of the file's extents are shared, and how many are not."""
        done = subprocess.run(["filefrag", "-v", os.path.join(self.disk.folder, path)], check=True,
                              stdout=subprocess.PIPE, text=True)
        extents = [line for line in done.stdout.splitlines()
                   if line.count("..") == 2 and "unwritten" not in line]
        count = sum("shared" in line for line in extents)
        return count, len(extents) - count

    def round_trip(self, kind):
        self.prepare(kind, size=1024 * MIB)
        still = self.fill(100)
        changing = self.fill(20)
        before = self.used()
        self.client.call("backupRegion", "main", "b")
        self.daemon.wait_log("backed up as b, .* bytes cloned")
        self.assertLess(self.used() - before, 20 * MIB)
        shared, own = self.shared("backups/b/data")
        self.assertGreater(shared, 0)
        # While pages are written to, which are copied or cloned, old or new.
        writer = Writer(self.daemon.path("s"), list(changing))
        writer.start()
        for name in ("c", "d", "e"):
            self.client.call("backupRegion", "main", name)
        writer.stop()
        self.daemon.wait_log("backed up as e, .* bytes cloned")
        # It is what it was, whatever becomes of the region. What is restored is cloned, too.
        self.client.call("clear", "main")
        before = self.used()
        for name in "bcde":
            self.client.call("restoreRegion", name, "again-" + name)
        self.assertLess(self.used() - before, 200 * MIB)
        self.assert_blobs("again-b", {**still, **changing})
        for name in "cde":
            self.assert_blobs("again-" + name, still)
            for address, blob in changing.items():
                found = self.client.call("loadBlob", "again-" + name, address, BLOB)
                self.assertTrue(found == blob or found == found[:1] * BLOB, address)
        for address in still:
            self.client.call("storeBlob", "again-b", address, b"new" * 1000)
        self.assert_blobs("again-c", still)
        self.client.call("restoreRegion", "b", "once-more")
        self.assert_blobs("once-more", {**still, **changing})
        self.daemon.stop()
        done = run("--data-dir", self.daemon.data_dir, "--check")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_xfs(self):
        self.round_trip("xfs")

    def test_btrfs(self):
        self.round_trip("btrfs")

    def test_power_cut(self):
        """What was answered is there."""
        self.prepare("xfs")
        blobs = self.fill(50)
        changing = self.fill(5)
        writer = Writer(self.daemon.path("s"), list(changing))
        writer.start()
        self.client.call("backupRegion", "main", "b")
        self.disk.cut_power()
        with self.assertRaises(RpcError):
            writer.stop()
            self.client.call("addBlob", "main", bytes(5000))
        self.daemon.kill()
        self.disk.remount()
        self.start()
        self.client.call("restoreRegion", "b", "again")
        for region in ("main", "again"):
            self.assert_blobs(region, blobs)

    def test_full_disk(self):
        """Blocks that are shared need space when they are overwritten: a region may fail when there is
        none, and comes back with all that was acknowledged; the backup is whole."""
        self.prepare("xfs")
        blobs = self.fill(100)
        self.client.call("backupRegion", "main", "b")
        before = dict(blobs)
        ballast = os.path.join(self.disk.folder, "ballast")
        with open(ballast, "wb") as file:
            free = os.statvfs(self.disk.folder)
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - 20 * MIB)
        error = None
        for address in before:
            blob = os.urandom(BLOB)
            try:
                self.client.call("storeBlob", "main", address, blob)
            except RpcError as caught:
                error = caught
                break
            blobs[address] = blob
        self.assertIsNotNone(error)
        unknown = address
        self.daemon.kill()
        os.remove(ballast)
        self.start()
        del blobs[unknown]
        self.assert_blobs("main", blobs)
        self.client.call("restoreRegion", "b", "again")
        self.assert_blobs("again", before)

    def test_without_room(self):
        """With less space free than the region takes up it is copied, as far as there is space."""
        self.prepare("xfs", size=480 * MIB)
        blobs = self.fill(220)
        for address in list(blobs)[:170]:
            self.client.call("deallocate", "main", address, BLOB)
            del blobs[address]
        self.client.call("backupRegion", "main", "b")
        self.daemon.wait_log("backed up as b, .* bytes copied")
        self.assertEqual(self.shared("backups/b/data")[0], 0)
        self.client.call("restoreRegion", "b", "again")
        self.assert_blobs("again", blobs)

    def test_where_it_cannot_be(self):
        for kind, reflinks, make in (("ext4", "on", ()), ("xfs", "off", ()),
                                     ("xfs", "on", ("-m", "reflink=0"))):
            with self.subTest(kind=kind, reflinks=reflinks, make=make):
                self.prepare(kind, reflinks, make=make)
                blobs = self.fill(20)
                self.client.call("backupRegion", "main", "b")
                self.daemon.wait_log("backed up as b, .* bytes copied")
                self.client.call("restoreRegion", "b", "again")
                self.assert_blobs("again", blobs)
                self.daemon.stop()
                self.doCleanups()


if __name__ == "__main__":
    disks.main()
