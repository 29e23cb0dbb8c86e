"""What the tests on a disk that fails share: a daemon with two regions whose file operations follow
rules (fault.c), and one blob that must survive."""
import os
import sys
import unittest

from case import Case
from mpack import Client, RpcError

FAULT = os.environ.get("MREGION_FAULT_LIBRARY")


def main():
    if FAULT is None:
        print("skipped: a preloaded library and AddressSanitizer do not get along")
        sys.exit(77)
    unittest.main()


class FaultCase(Case):
    regions = ["main", "other"]  # arguments: in their place a class may give a configuration
    config = None

    def setUp(self):
        self.daemon = self.server(regions=self.regions, sandbox=False)
        if self.config is not None:
            self.daemon.write_config("sandbox: off\n" + self.config)
        self.rules = self.daemon.path("rules")
        self.daemon.env.update(LD_PRELOAD=FAULT, MREGION_FAULT=self.rules)
        self.daemon.start()
        self.client = self.connect()
        self.blob = os.urandom(1000)
        self.address = self.client.call("addBlob", "main", self.blob)

    def tearDown(self):
        self.rule()  # nothing hangs for ever
        if self.daemon.process is not None:
            self.daemon.kill()

    def connect(self):
        client = Client(self.daemon.unix)
        self.addCleanup(client.close)
        return client

    def rule(self, *lines):
        with open(self.rules + ".new", "w", encoding="ascii") as file:
            file.writelines(line + "\n" for line in lines)
        os.replace(self.rules + ".new", self.rules)

    def refused(self, codes, method, *params):
        with self.assertRaises(RpcError) as caught:
            self.client.call(method, *params)
        self.assertIn(caught.exception.code, codes, caught.exception)
        return caught.exception.sentence

    def restart(self):
        """As after a crash, on a healthy disk."""
        self.rule()
        self.daemon.kill()
        self.daemon.start()
        self.client = self.connect()

    def assert_intact(self):
        self.assertEqual(self.client.call("loadBlob", "main", self.address, 1000), self.blob)
