"""The same workload on each file system, with a kill, a stop and a check: they differ in what they do
with O_DIRECT, RWF_NOWAIT, fallocate and holes. And disks that fail for good."""
import ctypes
import fcntl
import os
import signal
import struct
import subprocess
import tempfile
import unittest

import disks
from case import Case, run
from disks import MIB, Disk
from mpack import Client, RpcError
from test_kill_nth import FIRST, SEED, Workload
from workload import Model, subtract

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
PUNCH = 3  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
FIBMAP = 1
CONFIG = """
listen: [{{unix: "{0}"}}]
regions: [{{name: main, journal_size: 16MiB}}, {{name: other, journal_size: 16MiB}}]
"""


class FileSystems(Case):
    def whole_workload(self, kind, *options, is_restored=False):
        disk = Disk(kind, 512 * MIB, options)
        self.addCleanup(disk.remove)
        daemon = self.server(config="listen: []\n", data_dir=os.path.join(disk.folder, "data"))
        self.addCleanup(lambda: daemon.process is None or daemon.kill())
        workload = Workload(daemon, SEED)
        workload.configure(FIRST)
        if is_restored:
            daemon.start()
            daemon.stop()
            disks.restore(daemon.data_dir)
        workload.run()
        self.assertEqual(daemon.wait(), 0)
        for is_killed in (True, False, True):
            self.check(daemon)
            daemon.start()
            with Client(daemon.unix) as workload.client:
                workload.check(workload.client)
                workload.send_again(workload.client)
                workload.some(10)
                workload.burst(10)
                report = workload.client.call("scrub", "main")
                self.assertEqual((report["damaged"], report["unverified"]), (0, 0))
            daemon.kill() if is_killed else daemon.stop()
            if kind != "tmpfs":
                disk.remount()
        return os.path.join(daemon.data_dir, "regions/main")

    def check(self, daemon):
        report = run("--data-dir", daemon.data_dir, "--check")
        self.assertEqual(report.returncode, 0, report.stdout + report.stderr)

    def test_ext4(self):
        self.whole_workload("ext4")

    def test_xfs(self):
        self.whole_workload("xfs")

    def test_btrfs(self):
        """A region is made with files that are written in place."""
        folder = self.whole_workload("btrfs")
        for name in (".", "data", "sums", "checkpoint-a"):
            self.assertTrue(disks.is_in_place(os.path.join(folder, name)), name)

    def test_btrfs_that_copies_and_compresses(self):
        folder = self.whole_workload("btrfs", "compress-force=zstd", is_restored=True)
        self.assertFalse(disks.is_in_place(os.path.join(folder, "data")))

    def test_tmpfs(self):
        self.whole_workload("tmpfs")


class DeadDisk(Case):
    """The file system of one region fails; regions/NAME is a mount of its own."""

    def prepare(self, disk):
        """main on that disk, other beside it."""
        self.disk = disk
        self.daemon = self.server(config="listen: []\n")
        self.daemon.write_config(CONFIG.format(self.daemon.path("s")))
        self.daemon.start()
        self.daemon.stop()
        self.folder = os.path.join(self.daemon.data_dir, "regions/main")
        subprocess.run(["cp", "-a", self.folder + "/.", disk.folder], check=True)
        subprocess.run(["sync", "-f", disk.folder], check=True)
        lost = os.path.join(disk.folder, "lost+found")
        if os.path.isdir(lost):
            os.rmdir(lost)
        self.bind()
        self.addCleanup(self.unbind)
        self.models = {name: Model(name) for name in ("main", "other")}
        self.daemon.start()
        self.client = self.connect(self.daemon)
        for _ in range(30):
            self.add("main", 5000)
            self.add("other", 5000)
        self.add("main", 300000)

    def bind(self):
        subprocess.run(["mount", "--bind", self.disk.folder, self.folder], check=True)

    def unbind(self):
        if self.daemon.process is not None:
            self.daemon.kill()
        if os.path.ismount(self.folder):
            subprocess.run(["umount", self.folder], check=True)

    def add(self, name, size):
        blob = os.urandom(size)
        self.models[name].put(self.client.call("addBlob", name, blob), blob)

    def fail_until_read_only(self):
        """Blobs for main until it has failed; returns those that were not acknowledged."""
        lost = []
        while not self.client.call("regionInfo", "main")["read_only"]:
            blob = os.urandom(100000)
            try:
                self.models["main"].put(self.client.call("addBlob", "main", blob), blob)
            except RpcError as error:
                self.assertIn(error.code, ("io_error", "read_only"), error)
                lost.append(blob)
            self.assertLess(len(lost), 1000)
        return lost

    def assert_main_failed(self, most_unreadable):
        """What was being put in place when it failed, and who shares a page with that, is not to be
        had before the restart."""
        self.daemon.wait_log("region main has failed and is read-only now")
        with self.assertRaises(RpcError) as caught:
            self.client.call("addBlob", "main", b"x")
        self.assertEqual(caught.exception.code, "read_only")
        self.assertTrue(self.client.call("regionInfo", "main")["failure"])
        unreadable = []
        for address, (size, data) in self.models["main"].blocks.items():
            try:
                self.assertTrue(self.client.call("loadBlob", "main", address, size) == data)
            except RpcError as error:
                self.assertEqual(error.code, "io_error", error)
                unreadable.append((address, size, error))
        self.assertLessEqual(len(unreadable), most_unreadable, unreadable)
        for _ in range(20):
            self.add("other", 5000)
        self.assertIsNone(self.models["other"].differences(self.client))
        self.assertFalse(self.client.call("regionInfo", "other")["read_only"])

    def heal(self, lost, is_killed):
        """On a disk that works again; what had no answer may be there, whole, or not."""
        if self.daemon.process is not None:
            self.daemon.signal(signal.SIGKILL if is_killed else signal.SIGTERM)
            self.daemon.wait()
        subprocess.run(["umount", self.folder], check=True)
        self.disk.remount()
        self.bind()
        self.daemon.start()
        self.client = self.connect(self.daemon)
        there = self.models["main"].ranges()
        size = self.client.call("size", "main")
        for address, length in self.client.call("allocatedBlocksInRange", "main", 0, size):
            for start, part in subtract([[address, length]], there):
                blob = self.client.call("loadBlob", "main", start, part)
                self.assertIn(blob, lost, "bytes of nobody")
                self.models["main"].put(start, blob)
        for model in self.models.values():
            self.assertIsNone(model.differences(self.client))
        self.add("main", 100000)
        self.daemon.stop()
        report = run("--data-dir", self.daemon.data_dir, "--check")
        self.assertEqual(report.returncode, 0, report.stdout + report.stderr)
        subprocess.run(["umount", self.folder], check=True)

    def shut_down(self, kind, is_killed):
        disk = Disk(kind, 320 * MIB)
        self.addCleanup(disk.remove)
        self.prepare(disk)
        disk.cut_power()
        lost = self.fail_until_read_only()
        self.assert_main_failed(most_unreadable=len(self.models["main"].blocks))
        self.heal(lost, is_killed)

    def test_ext4_shut_down(self):
        self.shut_down("ext4", is_killed=True)

    def test_xfs_shut_down(self):
        self.shut_down("xfs", is_killed=False)

    def test_writes_that_fail(self):
        """The disk below takes no more writes, as one with bad sectors: the file system turns itself
        read-only (errors=remount-ro). Its image lies on a full disk."""
        outer = Disk("tmpfs", 128 * MIB)
        self.addCleanup(outer.remove)
        self.addCleanup(setattr, tempfile, "tempdir", tempfile.tempdir)
        tempfile.tempdir = outer.folder
        disk = Disk("ext4", 320 * MIB, ["errors=remount-ro"])
        self.addCleanup(disk.remove)
        tempfile.tempdir = None
        self.prepare(disk)
        ballast = os.path.join(outer.folder, "ballast")
        with open(ballast, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(MIB))
            except OSError:
                pass
        lost = self.fail_until_read_only()
        self.assert_main_failed(most_unreadable=2)
        self.daemon.kill()
        os.remove(ballast)
        status, log = self.daemon.run()
        self.assert_refused(status, log, "region main: .*Read-only file system")
        self.heal(lost, is_killed=True)

    def lose_segments(self, disk):
        """The image gives up what it has of main's segments but for their headers."""
        image = os.open(disk.image, os.O_RDWR)
        for name in os.listdir(self.folder):
            if not name.startswith("journal-"):
                continue
            segment = os.open(os.path.join(self.folder, name), os.O_RDONLY)
            for block in range(1, os.fstat(segment).st_size // 4096):
                number = struct.unpack("i", fcntl.ioctl(segment, FIBMAP, struct.pack("i", block)))[0]
                self.assertGreater(number, 0)
                self.assertEqual(LIBC.fallocate(image, PUNCH, number * 4096, 4096), 0)
            os.close(segment)
        os.close(image)

    def test_records_that_are_in_the_cache_only(self):
        """The disk takes no record, whose pages stay in the page cache as if it had. A start without
        a loss of power finds what one after it finds."""
        outer = Disk("tmpfs", 112 * MIB)
        self.addCleanup(outer.remove)
        self.addCleanup(setattr, tempfile, "tempdir", tempfile.tempdir)
        tempfile.tempdir = outer.folder
        disk = Disk("ext4", 96 * MIB, ["errors=continue"], ["-b", "4096"])
        self.addCleanup(disk.remove)
        tempfile.tempdir = None
        with open(disk.image, "rb+") as image:
            os.posix_fallocate(image.fileno(), 0, disk.size)
        self.prepare(disk)
        self.daemon.stop()
        self.daemon.write_config(CONFIG.format(self.daemon.path("s")).replace(
            "name: main", "name: main, durability: none, flush_interval: 1s"))
        self.daemon.start()
        self.client = self.connect(self.daemon)
        os.sync()
        self.lose_segments(disk)
        ballast = os.path.join(outer.folder, "ballast")
        with open(ballast, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        self.client.call("addBlob", "main", os.urandom(64))
        self.daemon.wait_log("region main has failed and is read-only now")
        self.daemon.kill()
        os.remove(ballast)
        found = run("--data-dir", self.daemon.data_dir, "--check")
        self.assertEqual(found.returncode, 0, found.stdout + found.stderr)
        subprocess.run(["umount", self.folder], check=True)
        disk.remount()
        self.bind()
        again = run("--data-dir", self.daemon.data_dir, "--check")
        self.assertEqual(found.stdout + found.stderr, again.stdout + again.stderr)
        self.daemon.start()
        self.client = self.connect(self.daemon)
        for model in self.models.values():
            self.assertIsNone(model.differences(self.client))
        self.add("main", 100000)
        self.daemon.stop()
        subprocess.run(["umount", self.folder], check=True)


if __name__ == "__main__":
    disks.main()
