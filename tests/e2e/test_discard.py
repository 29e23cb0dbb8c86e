"""Space that blobs left behind goes back to the file system."""
import os
import time
import unittest

from case import Case

MIB = 1 << 20
CONFIG = """
listen: [{{unix: "{0}"}}]
regions: [{{name: main}}]
"""


class Discard(Case):
    def setUp(self):
        self.mregiond = self.server(config="listen: []\n", regions=[])
        self.mregiond.write_config(CONFIG.format(self.mregiond.path("s")))
        self.mregiond.unix = self.mregiond.path("s")
        self.mregiond.start()
        self.client = self.connect(self.mregiond)

    def du(self):
        """What the region's data file occupies."""
        folder = os.path.join(self.mregiond.data_dir, "regions", "main")
        return os.stat(os.path.join(folder, "data")).st_blocks * 512

    def wait_until(self, condition):
        deadline = time.monotonic() + 30
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"{self.du()} bytes still occupied")
            time.sleep(0.05)

    def info(self):
        return self.client.call("regionInfo", "main")

    def test_space_comes_back(self):
        small, large = {}, {}
        for i in range(16):
            blob = os.urandom(5000)
            small[self.client.call("addBlob", "main", blob)] = blob
            blob = os.urandom(4 * MIB)
            large[self.client.call("addBlob", "main", blob)] = blob
        full = self.du()
        self.assertGreater(full, 64 * MIB)
        self.assertEqual(self.info()["disk_bytes"], full)
        self.assertEqual(self.info()["discarded_bytes"], 0)

        for address in large:
            self.client.call("deallocate", "main", address, 4 * MIB)
        self.wait_until(lambda: self.du() < full - 63 * MIB)
        self.wait_until(lambda: self.info()["disk_bytes"] < full - 63 * MIB)
        self.assertGreater(self.info()["discarded_bytes"], 63 * MIB)
        self.assertEqual(self.info()["size"], 16 * (5000 + 4 * MIB))
        self.assert_blobs(small)

        # The holes are used again, also after a restart, and what is around them is unharmed.
        for _ in range(2):
            again = {}
            for size in (4 * MIB, 100, 3 * MIB, 70000):
                blob = os.urandom(size)
                again[self.client.call("addBlob", "main", blob)] = blob
            self.assertLess(max(again), 16 * (5000 + 4 * MIB))
            self.assert_blobs(small)
            self.assert_blobs(again)
            small.update(again)
            self.client.close()
            self.mregiond.stop()
            self.mregiond.start()
            self.client = self.connect(self.mregiond)
            self.assert_blobs(small)
            self.assertLess(self.du(), full - 40 * MIB)

    def assert_blobs(self, blobs):
        for address, blob in blobs.items():
            self.assertEqual(self.client.call("loadBlob", "main", address, len(blob)), blob)


if __name__ == "__main__":
    unittest.main()
