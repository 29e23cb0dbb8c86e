"""What the tests of methods share: one server for a whole file, one region for each test."""
import unittest

from case import Case
from mpack import Client, RpcError
from server import Server


def start():
    """For setUpModule."""
    Region.server = Server(backups=True)
    unittest.addModuleCleanup(Region.server.remove)
    Region.server.start()


def stop():
    """For tearDownModule."""
    Region.server.stop()


class Region(Case):
    """Each test has a region of its own and a connection, a TCP one and a Unix one by turns."""
    server = None  # shared by all, see start()
    options = {}
    turn = 0

    def setUp(self):
        Region.turn += 1
        self.client = self.connect(Region.server.unix if Region.turn % 2 else Region.server.tcp)
        self.region = f"test-{Region.turn}"
        self.id = self.client.call("createRegion", self.region, self.options)
        self.addCleanup(self.drop)

    def connect(self, address):
        client = Client(address)
        self.addCleanup(client.close)
        return client

    def drop(self):
        with Client(Region.server.unix) as client:
            if self.region in client.call("listRegions"):
                client.call("dropRegion", self.region)

    def call(self, method, *params):
        return self.client.call(method, self.region, *params)

    def refused(self, code, method, *params):
        with self.assertRaises(RpcError) as caught:
            self.call(method, *params)
        self.assertEqual(caught.exception.code, code, caught.exception)
        return caught.exception.sentence

    def free(self):
        return self.call("getFreeMemory")

    def fill(self, *sizes):
        """Adds blobs of these sizes one behind the other; returns their addresses."""
        return [self.call("addBlob", bytes([i + 1]) * size) for i, size in enumerate(sizes)]
