"""What the end-to-end tests of the daemon share."""
import subprocess
import unittest

from server import DEADLINE, MREGIOND, Server, mrcli


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

    def assert_serves(self, server):
        reference = mrcli(server, "-r", "main", "add", "-", stdin=b"\x01\x02\x03\x04").stdout.strip()
        self.assertEqual(mrcli(server, "-r", "main", "load", reference.decode(), "-").stdout,
                         b"\x01\x02\x03\x04")
