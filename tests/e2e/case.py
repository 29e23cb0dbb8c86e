"""What the end-to-end tests of the daemon share."""
import hashlib
import os
import subprocess
import unittest

from mpack import Client
from server import DEADLINE, MREGIOND, Server


def run(*args, **options):
    """Runs mregiond to its end."""
    return subprocess.run([MREGIOND, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=DEADLINE, check=False,
                          **options)


def contents(folder):
    """Every file below a folder with a hash of its bytes."""
    found = {}
    for path, _, names in os.walk(folder):
        for name in names:
            file_path = os.path.join(path, name)
            with open(file_path, "rb") as file:
                found[file_path] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


class Case(unittest.TestCase):
    def server(self, **options):
        """A server that is removed with the test, not yet started."""
        server = Server(**options)
        self.addCleanup(server.remove)
        return server

    def assert_refused(self, status, log, *patterns):
        self.assertGreater(status, 0, log)
        for pattern in patterns:
            self.assertRegex(log, pattern)

    def connect(self, server):
        """A client on the server's first socket, closed with the test."""
        client = Client(server.unix or server.tcp)
        self.addCleanup(client.close)
        return client

    def assert_serves(self, server):
        client = self.connect(server)
        address = client.call("addBlob", "main", b"\x01\x02\x03\x04")
        self.assertEqual(client.call("loadBlob", "main", address, 4), b"\x01\x02\x03\x04")

    # ---- A small file system ----

    def mount_small(self, server, size):
        """Makes one of so many bytes the server's data directory, or skips the test."""
        image, folder = server.path("image"), server.data_dir
        os.mkdir(folder)
        with open(image, "wb") as file:
            file.truncate(size)
        commands = [["mkfs.ext4", "-q", "-F", "-m", "0", image],
                    ["mount", "-o", "loop", image, folder]]
        reason = self._try_commands(commands)
        if reason:  # no loop devices here, perhaps
            reason = self._try_commands([["mount", "-t", "tmpfs", "-o", f"size={size}", "mregiond",
                                          folder]])
        if reason:
            self.skipTest(f"cannot mount a small file system: {reason}")
        # Before the server's own clean-up, which was added first and so runs last.
        self.addCleanup(self._unmount, server)

    @staticmethod
    def _try_commands(commands):
        for command in commands:
            try:
                done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      text=True, check=False)
            except FileNotFoundError as error:
                return str(error)
            if done.returncode != 0:
                return done.stdout.strip()
        return None

    @staticmethod
    def _unmount(server):
        if server.process is not None:
            server.kill()
        subprocess.run(["umount", server.data_dir], check=True)
