"""A file system without space: the request is refused, nothing is lost, freeing works."""
import os
import unittest

from case import Case, run
from mpack import Client, RpcError

DISK = 96 << 20  # bytes
BLOB = 256 << 10
CONFIG = """
listen: [{{unix: "{0}"}}]
regions: [{{name: main, journal_size: 16MiB}}]
"""


class FullDisk(Case):
    def setUp(self):
        self.mregiond = self.server(config="listen: []\n", regions=[])
        self.mregiond.write_config(CONFIG.format(self.mregiond.path("s")))
        self.mount_small(self.mregiond, DISK)

    def fill(self, client, blobs, size):
        """Adds blobs until there is no space."""
        while True:
            blob = os.urandom(size)
            try:
                blobs[client.call("addBlob", "main", blob)] = blob
            except RpcError as error:
                self.assertEqual(error.code, "no_space", error)
                return

    def assert_blobs(self, client, blobs):
        for address, blob in blobs.items():
            self.assertEqual(client.call("loadBlob", "main", address, len(blob)), blob)
        self.assertEqual(client.call("allocated", "main"), sum(map(len, blobs.values())))

    def test_full(self):
        server, blobs = self.mregiond, {}
        server.start()
        with Client(server.path("s")) as client:
            for size in (BLOB, 5000):
                self.fill(client, blobs, size)
            self.assertGreater(len(blobs), 100)
            self.assert_blobs(client, blobs)
            with self.assertRaises(RpcError) as caught:
                client.call("allocate", "main", DISK)
            self.assertEqual(caught.exception.code, "no_space")
            size = client.call("size", "main")

            # Freeing stays possible, and what is freed can be used again.
            for address in list(blobs)[::3]:
                self.assertEqual(client.call("removeBlob", "main", address, len(blobs[address])),
                                 blobs.pop(address))
            blob = os.urandom(5000)
            blobs[client.call("addBlob", "main", blob)] = blob
            self.assertEqual(client.call("size", "main"), size)
            self.fill(client, blobs, BLOB)
            self.assert_blobs(client, blobs)

        # It starts on a full disk too, after a kill as after a stop.
        server.kill()
        server.start()
        with Client(server.path("s")) as client:
            self.assert_blobs(client, blobs)
            with self.assertRaises(RpcError) as caught:
                client.call("createRegion", "second")
            self.assertEqual(caught.exception.code, "no_space")
            self.assertEqual(client.call("listRegions"), ["main"])
            address = next(iter(blobs))
            client.call("deallocate", "main", address, len(blobs.pop(address)))
        server.stop()
        report = run("--data-dir", server.data_dir, "--check")
        self.assertEqual(report.returncode, 0, report.stdout + report.stderr)
        server.start()
        with Client(server.path("s")) as client:
            self.assert_blobs(client, blobs)
            client.call("clear", "main")
            blobs = {}
            self.fill(client, blobs, BLOB)
            self.assertGreater(len(blobs), 100)
            self.assert_blobs(client, blobs)
        server.stop()


if __name__ == "__main__":
    unittest.main()
