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
from workload import Model

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


if __name__ == "__main__":
    disks.main()
