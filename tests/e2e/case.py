"""What the end-to-end tests of the daemon share."""
import subprocess
import unittest

from mpack import Client
from server import DEADLINE, MREGIOND, Server


def run(*args, **options):
    """Runs mregiond to its end."""
    return subprocess.run([MREGIOND, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=DEADLINE, check=False,
                          **options)


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
