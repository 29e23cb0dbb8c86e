"""Limits that the kernel keeps: the size of a file, a full file system, a quota.

What passes them is refused with no_space and nothing else happens: the region goes on, other regions
too, freeing stays possible, and where room is made again it is used.
"""
import os
import resource
import subprocess
import tempfile
import unittest

import disks
from case import Case, run
from disks import MIB, Disk
from mpack import Client, RpcError
from server import ServerError
from workload import Model, Step, perform

BLOB = 256 << 10
CONFIG = """
listen: [{{unix: "{0}"}}]
regions: [{{name: main, journal_size: 16MiB, discard: 64KiB}}, {{name: other, journal_size: 16MiB}}]
"""


class LimitCase(Case):
    def prepare(self, folder=None, **options):
        data_dir = os.path.join(folder, "data") if folder else None
        self.daemon = self.server(config="listen: []\n", data_dir=data_dir, **options)
        self.daemon.write_config(CONFIG.format(self.daemon.path("s")))
        self.addCleanup(lambda: self.daemon.process is None or self.daemon.kill())
        self.model = Model("main")

    def start(self):
        self.daemon.start()
        self.client = self.connect(self.daemon)

    def restart(self, is_killed=True):
        if is_killed:
            self.daemon.kill()
        else:
            self.daemon.stop()
        report = run("--data-dir", self.daemon.data_dir, "--check")
        self.assertEqual(report.returncode, 0, report.stdout + report.stderr)
        self.start()

    def add(self, size, region="main"):
        blob = os.urandom(size)
        address = self.client.call("addBlob", region, blob)
        if region == "main":
            self.model.put(address, blob)
        return address

    def refused(self, method, *params, code="no_space"):
        with self.assertRaises(RpcError) as caught:
            self.client.call(method, *params)
        self.assertEqual(caught.exception.code, code, caught.exception)
        return caught.exception.sentence

    def fill(self, *sizes):
        """Blobs of these sizes, each until there is no space; returns how many were added."""
        before = len(self.model.blocks)
        for size in sizes:
            with self.assertRaises(RpcError) as caught:
                while True:
                    self.add(size)
            self.assertEqual(caught.exception.code, "no_space", caught.exception)
        return len(self.model.blocks) - before

    def free(self, address):
        size, blob = self.model.blocks.pop(address)
        self.assertTrue(self.client.call("removeBlob", "main", address, size) == blob)

    def assert_intact(self):
        self.assertIsNone(self.model.differences(self.client))
        self.assertFalse(self.client.call("regionInfo", "main")["read_only"])
        self.assertFalse(self.client.call("regionInfo", "other")["read_only"])


class FileSize(LimitCase):
    """RLIMIT_FSIZE: the kernel refuses with EFBIG, and a SIGXFSZ that would end the process."""

    def limit(self, size):
        resource.prlimit(self.daemon.process.pid, resource.RLIMIT_FSIZE,
                         (size, resource.RLIM_INFINITY))

    def test_start(self):
        """A limit that leaves no room for a region is an error with a sentence."""
        for size in (100, 4096, MIB, 3 * MIB):
            self.prepare(wrapper=["prlimit", f"--fsize={size}:"])
            status, log = self.daemon.run()
            self.assert_refused(status, log, "File too large")
            self.daemon.command = self.daemon.command[2:]
            self.start()
            self.add(100)
            self.assert_intact()
            self.daemon.stop()

    def test_log(self):
        """A log that may not grow any more ends nothing."""
        self.prepare()
        with tempfile.TemporaryFile() as log:
            command = self.daemon.command
            with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log) as process:
                try:
                    while b"ready" not in os.pread(log.fileno(), 1 << 16, 0):
                        self.assertIsNone(process.poll())
                    resource.prlimit(process.pid, resource.RLIMIT_FSIZE,
                                     (os.fstat(log.fileno()).st_size, resource.RLIM_INFINITY))
                    for _ in range(3):  # each is logged
                        with Client(self.daemon.path("s")) as client:
                            self.assertEqual(client.call("ping"), "pong")
                finally:
                    process.terminate()
            self.assertEqual(process.returncode, 0)

    def test_growing(self):
        self.prepare()
        self.start()
        self.add(1000)
        self.limit(40 * MIB)
        self.assertGreater(self.fill(BLOB, 5000), 50)
        self.refused("grow", "main", 1 << 14)
        self.refused("allocate", "main", 40 * MIB)
        self.client.call("checkpoint", "main")
        self.add(1000, "other")
        self.assert_intact()
        for address in list(self.model.blocks)[::3]:
            self.free(address)
        self.assertGreater(self.fill(BLOB), 10)
        self.assert_intact()
        self.limit(resource.RLIM_INFINITY)
        self.add(20 * MIB)
        self.restart()
        self.assert_intact()

    def test_everything_is_too_large(self):
        """Not even what is there may be written: regions fail by name, and only they."""
        self.prepare()
        self.start()
        address = self.add(100000)
        self.limit(1)
        with self.assertRaises(RpcError):
            self.client.call("storeBlob", "main", address, bytes(100000))
        self.assertEqual(self.client.call("ping"), "pong")
        with self.assertRaises(RpcError):
            self.client.call("createRegion", "new")
        self.assertEqual(self.client.call("listRegions"), ["main", "other"])
        self.limit(resource.RLIM_INFINITY)
        self.restart()
        self.assert_intact()
        self.client.call("createRegion", "new")


class FullDisk(LimitCase):
    """The whole file system is full."""
    SIZE = {"ext4": 96 * MIB, "xfs": 320 * MIB, "btrfs": 320 * MIB, "tmpfs": 96 * MIB}

    def full(self, kind):
        disk = Disk(kind, self.SIZE[kind])
        self.addCleanup(disk.remove)
        self.prepare(disk.folder)
        self.start()
        self.fill_and_free()
        self.restart()
        self.assert_intact()
        self.fill(BLOB, 5000)
        self.refused("createRegion", "third")
        self.assertEqual(self.client.call("listRegions"), ["main", "other"])
        self.restart(is_killed=False)
        self.assert_intact()
        self.client.call("clear", "main")
        self.model.blocks.clear()
        self.assertGreater(self.fill(BLOB), 20)
        self.assert_intact()

    def fill_and_free(self):
        self.add(1000)
        self.assertGreater(self.fill(BLOB, 5000), 20)
        self.assert_intact()
        self.refused("grow", "main", 1 << 14)
        other = self.add(10, "other")  # its own reserve
        addresses = list(self.model.blocks)
        for address in addresses[::3]:
            self.free(address)
        self.assert_intact()
        self.assertEqual(self.client.call("loadBlob", "other", other, 0), b"")
        self.assertGreater(self.fill(BLOB, 5000), 5)
        self.assert_intact()
        for address in list(self.model.blocks)[::2]:
            self.free(address)
        for _ in range(30):
            address = self.add(5000)
            self.free(address)
        self.client.call("checkpoint", "main")

    def test_ext4(self):
        self.full("ext4")

    def test_xfs(self):
        self.full("xfs")

    def test_tmpfs(self):
        self.only_long()
        self.full("tmpfs")

    def test_btrfs(self):
        """Where the files of a region are written in place, and holes, which would make no room, are
        not made."""
        self.only_long()
        self.full("btrfs")

    def fail_for_space(self):
        """Adds and frees until the region fails; returns the change of which nobody knows whether it
        has happened, or None. A disk that is only full refuses with no_space: nothing has."""
        for make in (lambda: self.adding(BLOB), lambda: self.adding(5000)):
            error = None
            while error is None:
                step = make()
                error = self.error_of(step)
            if error.code == "io_error":
                return step
            self.assertEqual(error.code, "no_space", error)
        for address, (size, _) in list(self.model.blocks.items()):
            step = Step("deallocate", ["main", address, size], [address],
                        lambda _, address=address: self.model.blocks.pop(address))
            error = self.error_of(step)
            if error is not None:
                self.assertEqual(error.code, "io_error", error)
                return step
        return None

    def error_of(self, step):
        try:
            perform(self.client, step)
        except RpcError as error:
            if error.code != "no_space":
                self.daemon.wait_log("main has failed.*No space left")
            return error
        return None

    def adding(self, size):
        blob = os.urandom(size)
        return Step("addBlob", ["main", blob], [],
                    lambda address: self.model.put(address, blob), lambda address: address)

    def test_btrfs_that_copies_on_write(self):
        """Files from a backup: every write takes new space, so none can be reserved. A region may fail
        when there is none, by name, and comes back with all that was acknowledged once there is
        room."""
        self.only_long()
        disk = Disk("btrfs", self.SIZE["btrfs"])
        self.addCleanup(disk.remove)
        ballast = os.path.join(disk.folder, "ballast")
        with open(ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, 64 * MIB)
        self.prepare(disk.folder)
        self.start()
        self.daemon.stop()
        disks.restore(self.daemon.data_dir)
        self.start()
        step = self.fail_for_space()
        self.assertLess(len(self.model.blocks), 1000)
        self.daemon.kill()
        os.remove(ballast)
        self.start()
        if step is not None:
            self.model.find(self.client, step)
        self.assert_intact()
        self.assertGreater(self.fill(BLOB), 20)

    def only_long(self):
        if not disks.LONG:
            self.skipTest("only with KERNEL_LONG=1")


class Quota(LimitCase):
    def test_btrfs(self):
        """EDQUOT: much the same as a disk without space."""
        if not disks.LONG:
            self.skipTest("only with KERNEL_LONG=1")
        disk = Disk("btrfs", 512 * MIB)
        self.addCleanup(disk.remove)
        folder = os.path.join(disk.folder, "limited")
        Disk.command("btrfs", "subvolume", "create", folder)
        Disk.command("btrfs", "quota", "enable", disk.folder)
        Disk.command("btrfs", "qgroup", "limit", str(100 * MIB), folder)
        self.prepare(folder)
        self.start()
        self.add(1000)
        self.assertGreater(self.fill(BLOB, 5000), 20)
        self.refused("addBlob", "main", bytes(8 * MIB))
        self.assert_intact()
        for address in list(self.model.blocks)[::3]:
            self.free(address)
        self.assertGreater(self.fill(BLOB, 5000), 5)
        self.assert_intact()
        self.daemon.kill()
        self.start_within_quota()
        Disk.command("btrfs", "qgroup", "limit", "none", folder)
        if self.daemon.process is None:
            self.start()
        self.assert_intact()
        for _ in range(5):
            self.add(16 * MIB)
        self.restart(is_killed=False)
        self.assert_intact()

    def start_within_quota(self):
        """With all of it used up btrfs may refuse even a renaming: then so does the start, by name."""
        try:
            self.start()
            self.assert_intact()
        except ServerError:
            self.assertGreater(self.daemon.wait(), 0)
            self.assertIn("Disk quota exceeded", self.daemon.log())


if __name__ == "__main__":
    disks.main()
