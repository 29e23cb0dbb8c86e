"""Stores that the mregiond of each on-disk format has written, opened by the mregiond of today.

tests/golden/make.py has made them. Each was killed with records in its journal.
"""
import glob
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import unittest

from case import Case, contents
from mpack import Client
from server import MREGIOND, Server

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden")
sys.path.insert(0, GOLDEN)
from make import folded, unfolded  # noqa: E402 pylint: disable=wrong-import-position


class Golden(Case):
    def unpacked(self, archive):
        server = Server(regions=[])
        self.addCleanup(server.remove)
        with tarfile.open(archive) as tar:
            tar.extractall(server.folder)
        return server

    def compare(self, client, expected):
        self.assertEqual(client.call("listRegions"), sorted(expected))
        for name, region in expected.items():
            info = client.call("regionInfo", name)
            self.assertEqual({key: info[key] for key in region["info"]}, region["info"])
            self.assertEqual(client.call("getFreeMemory", name), region["free"])
            for address, size, digest in region["blobs"]:
                blob = client.call("loadBlob", name, address, size)
                self.assertEqual(hashlib.sha256(blob).hexdigest(), digest, (name, address, size))

    def ask_again(self, client, calls):
        """What was done with a token is answered again, and not done again."""
        for call in calls:
            answer = client.call(call["method"], call["region"], *unfolded(call["params"]),
                                 {"token": bytes.fromhex(call["token"])})
            self.assertEqual(folded(answer), call["answer"], call)

    def check(self, archive):
        with open(archive.replace(".tar.gz", ".json"), encoding="utf-8") as file:
            expected = json.load(file)
        server = self.unpacked(archive)

        before = contents(server.data_dir)
        report = subprocess.run([MREGIOND, "--check", "--data-dir", server.data_dir],
                                capture_output=True, text=True, check=False)
        self.assertEqual(report.returncode, 0, report.stdout + report.stderr)
        self.assertEqual(contents(server.data_dir), before, "--check has changed something")

        for _ in range(2):  # as it was left, and as the first start has left it
            server.start()
            with Client(server.unix) as client:
                self.ask_again(client, expected.get("tokens", []))
                self.compare(client, expected["regions"])
            server.stop()
        server.start()
        with Client(server.unix) as client:
            address = client.call("addBlob", "seed", b"new")
            self.assertEqual(address, 100, "the smallest hole, which stands first")
            self.assertGreater(client.call("createRegion", "new"), expected["last_id"])
        server.stop()

    def test_every_format(self):
        archives = sorted(glob.glob(os.path.join(GOLDEN, "format-*.tar.gz")))
        self.assertTrue(archives)
        for archive in archives:
            with self.subTest(os.path.basename(archive)):
                self.check(archive)


if __name__ == "__main__":
    unittest.main()
