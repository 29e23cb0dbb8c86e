"""Bits that flip on the disk: who says so, and what goes on being served."""
import json
import os
import re
import socket
import struct
import time
import unittest

from case import Case, run
from mpack import Client, RpcError
from server import mrcli

PAGE = 4096
MIB = 1 << 20
CONFIG = """
listen: [{{unix: "{0}"}}]
regions: [{1}]
"""
SIZES = (300000, 100, 5000, 70000, 2 * MIB + 17, 1)


class Damage(Case):
    OPTIONS = ""

    def setUp(self):
        self.mregiond = self.server(config="listen: []\n", regions=[])
        self.configure("{name: main%s}" % self.OPTIONS)
        self.start()
        self.blobs = {}
        for size in SIZES:
            blob = os.urandom(size)
            self.blobs[self.client.call("addBlob", "main", blob)] = blob

    def configure(self, regions):
        self.mregiond.write_config(CONFIG.format(self.mregiond.path("s"), regions))

    def start(self):
        self.mregiond.start()
        self.mregiond.unix = self.mregiond.path("s")
        self.client = self.connect(self.mregiond)

    def path(self, name, region="main"):
        return os.path.join(self.mregiond.data_dir, "regions", region, name)

    def flip(self, name, offset, region="main"):
        with open(self.path(name, region), "r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 0x20]))

    def flip_pages(self, *addresses):
        """Damages pages of the stopped server: bytes of some, the checksums of others."""
        for number, address in enumerate(addresses):
            if number % 2 == 0:
                self.flip("data", address + 17 * number)
            else:
                self.flip("sums", PAGE + address // PAGE * 4 + 2)

    def refused(self, code, method, *params):
        with self.assertRaises(RpcError) as caught:
            self.client.call(method, *params)
        self.assertEqual(caught.exception.code, code)
        return str(caught.exception)

    def info(self, region="main"):
        return self.client.call("regionInfo", region)

    def pages(self):
        return -(-sum(SIZES) // PAGE)

    def wait_until(self, condition):
        deadline = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def assert_blobs(self, *damaged):
        """Blobs that touch a damaged page are refused, all others are what was stored."""
        for address, blob in self.blobs.items():
            hit = [page for page in damaged if address < page + PAGE and page < address + len(blob)]
            if hit:
                text = self.refused("corrupt", "loadBlob", "main", address, len(blob))
                self.assertIn(f"page at {hit[0]}", text)
            else:
                self.assertEqual(self.client.call("loadBlob", "main", address, len(blob)), blob)


class Scrub(Damage):
    DAMAGED = (0, 5 * PAGE, 91 * PAGE, 200 * PAGE)

    def damage(self):
        self.mregiond.stop()
        self.flip_pages(*self.DAMAGED)

    def test_healthy(self):
        found = self.client.call("scrub", "main")
        self.assertEqual(found, {"pages": self.pages(), "verified": self.pages(), "unverified": 0,
                                 "damaged": 0, "damages": []})
        info = self.info()
        self.assertEqual((info["checksum"], info["verified_percent"], info["scrub_running"],
                          info["scrub_passes"], info["scrub_pages"], info["damaged_pages"],
                          info["damages"]), ("on", 100, False, 1, self.pages(), 0, []))
        self.assertLess(abs(info["scrub_finished"] - time.time()), 3600)
        self.assertEqual(self.client.call("serverInfo")["damaged_pages"], 0)
        self.assert_blobs()

    def test_never_scrubbed(self):
        info = self.info()
        self.assertEqual((info["scrub_passes"], info["scrub_finished"], info["verified_percent"]),
                         (0, 0, 0))

    def test_found_by_address(self):
        self.damage()
        self.start()
        damaged = list(self.DAMAGED)
        found = self.client.call("scrub", "main")
        self.assertEqual(found, {"pages": self.pages(), "verified": self.pages() - len(damaged),
                                 "unverified": 0, "damaged": len(damaged), "damages": damaged})
        self.assert_blobs(*damaged)
        info = self.info()
        self.assertEqual((info["damaged_pages"], info["damages"]), (len(damaged), damaged))
        self.assertLess(info["verified_percent"], 100)
        self.assertFalse(info["read_only"])
        self.assertEqual(self.client.call("serverInfo")["damaged_pages"], len(damaged))
        # Each is logged, and each once.
        for address in damaged:
            lines = [line for line in self.mregiond.log().splitlines()
                     if re.search(f"region main: page at {address} .*checksum", line)]
            self.assertEqual(len(lines), 1, self.mregiond.log())

    def test_found_by_a_load(self):
        self.damage()
        self.start()
        self.assert_blobs(*self.DAMAGED)
        self.mregiond.wait_log(r"region main: page at 0 does not match its checksum")
        # A load names the first of its pages.
        self.assertEqual(self.info()["damages"][0], 0)
        self.assertEqual(self.info()["damaged_pages"],
                         self.client.call("serverInfo")["damaged_pages"])
        self.assertEqual(self.mregiond.log().count("page at 0 "), 1, self.mregiond.log())

    def test_written_whole_it_is_well(self):
        self.damage()
        self.start()
        self.client.call("scrub", "main")
        blob = os.urandom(PAGE)
        self.client.call("storeBlob", "main", 5 * PAGE, blob)
        self.assertEqual(self.client.call("loadBlob", "main", 5 * PAGE, PAGE), blob)
        left = [page for page in self.DAMAGED if page != 5 * PAGE]
        self.assertEqual(self.info()["damages"], left)
        self.assertEqual(self.client.call("scrub", "main")["damages"], left)
        # In part, it is not.
        self.client.call("storeBlob", "main", 10, b"abc")
        self.refused("corrupt", "loadBlob", "main", 10, 3)
        self.assertEqual(self.client.call("scrub", "main")["damages"], left)
        # Freed, it is nobody's.
        self.client.call("clear", "main")
        self.assertEqual(self.info()["damages"], [])
        self.assertEqual(self.client.call("scrub", "main")["pages"], 0)

    def test_removing_and_moving(self):
        """What reads before it changes says so, and changes nothing."""
        self.damage()
        self.start()
        first = len(self.blobs[0])
        self.refused("corrupt", "removeBlob", "main", 0, first)
        self.mregiond.wait_log(r"region main: page at 0 does not match")
        self.refused("corrupt", "resize", "main", 5 * PAGE, PAGE, 9 * MIB)
        self.mregiond.wait_log(rf"region main: page at {5 * PAGE} does not match")
        self.assertTrue(self.client.call("isAllocated", "main", 0, first))
        self.assertIsNone(self.client.call("deallocate", "main", 0, first))

    def test_two_at_once(self):
        other = self.connect(self.mregiond)
        ids = [(client, client.send("scrub", "main")) for client in (self.client, other) * 3]
        for client, msgid in ids:
            self.assertEqual(client.wait(msgid)["verified"], self.pages())
        self.assertGreaterEqual(self.info()["scrub_passes"], 1)

    def test_while_it_is_being_changed(self):
        other = self.connect(self.mregiond)
        for _ in range(20):
            msgid = other.send("scrub", "main")
            for _ in range(20):
                blob = os.urandom(3000)
                address = self.client.call("addBlob", "main", blob)
                self.client.call("storeBlob", "main", 40000, blob)
                self.assertEqual(self.client.call("removeBlob", "main", address, 3000), blob)
            self.assertEqual(other.wait(msgid)["damaged"], 0)
        self.assertEqual(self.info()["damaged_pages"], 0)

    def test_dropped_and_stopped(self):
        """Neither waits for a pass."""
        self.client.call("createRegion", "other")
        for _ in range(8):
            self.client.call("addBlob", "other", os.urandom(8 * MIB))
        other = self.connect(self.mregiond)
        msgid = other.send("scrub", "other")
        self.client.call("dropRegion", "other")
        try:
            self.assertEqual(other.wait(msgid)["damaged"], 0)
        except RpcError as error:
            self.assertEqual(error.code, "no_such_region")
        self.assert_blobs()
        self.client.send("scrub", "main")
        self.mregiond.stop()

    def test_who_is_gone_is_not_waited_for(self):
        """The pass goes on, whoever asked for it."""
        reset = struct.pack("ii", 1, 0)
        for _ in range(100):
            other = Client(self.mregiond.unix)
            other.send("scrub", "main")
            other.send("scrub", "main")
            other.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            other.close()
        self.assertEqual(self.client.call("scrub", "main")["verified"], self.pages())
        self.wait_until(lambda: self.client.call("serverInfo")["connections"] == 1)
        self.assert_blobs()

    def test_notified(self):
        self.client.notify("scrub", "main")
        self.wait_until(lambda: self.info()["scrub_passes"] == 1)


class ByItself(Damage):
    OPTIONS = ", scrub_interval: 50ms, scrub_rate: 64MiB"

    def test_it_comes_again_and_again(self):
        self.wait_until(lambda: self.info()["scrub_passes"] >= 3)
        self.assertEqual(self.info()["damaged_pages"], 0)
        self.mregiond.stop()
        self.flip_pages(2 * PAGE, 3 * PAGE)
        self.start()
        self.mregiond.wait_log(rf"region main: page at {3 * PAGE} does not match")
        self.wait_until(lambda: self.info()["damages"] == [2 * PAGE, 3 * PAGE])
        # A reload ends it.
        self.configure("{name: main, scrub_interval: 0ms}")
        self.mregiond.signal(1)
        self.mregiond.wait_log("reloaded")
        self.wait_until(lambda: not self.info()["scrub_running"])
        passes = self.info()["scrub_passes"]
        time.sleep(0.2)
        self.assertEqual(self.info()["scrub_passes"], passes)

    def test_many_regions_take_turns(self):
        names = [f"r{number}" for number in range(12)]
        for name in names:
            self.client.call("createRegion", name, {"scrub_interval": "20ms", "scrub_rate": 0})
            self.client.call("addBlob", name, os.urandom(3 * MIB))
        for name in names:
            self.wait_until(lambda name=name: self.info(name)["scrub_passes"] >= 2)
        self.assert_blobs()


class Off(Damage):
    OPTIONS = ", checksum: off"

    def test_refused(self):
        text = self.refused("invalid_argument", "scrub", "main")
        self.assertIn("checksums off", text)
        self.assertEqual(self.info()["checksum"], "off")
        done = mrcli(self.mregiond, "-r", "main", "check", check=False)
        self.assertEqual(done.returncode, 1)
        # Turned on, what is there stays unverified.
        self.mregiond.stop()
        self.configure("{name: main}")
        self.start()
        found = self.client.call("scrub", "main")
        self.assertEqual((found["unverified"], found["verified"]), (self.pages(), 0))
        self.assertEqual(self.info()["verified_percent"], 0)


class Offline(Damage):
    def check(self):
        done = run("--data-dir", self.mregiond.data_dir, "--check")
        return done.returncode, done.stdout + done.stderr

    def files(self):
        found = {}
        for folder, _, names in os.walk(self.mregiond.data_dir):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    found[name] = file.read()
        return found

    def test_damaged_pages_are_named(self):
        self.client.call("deallocate", "main", 10 * PAGE + 100, 2 * PAGE)
        self.client.call("createRegion", "other")
        self.mregiond.stop()
        status, report = self.check()
        self.assertEqual(status, 0, report)
        self.assertIn(f"{self.pages() - 1} in use: {self.pages() - 1} verified, 0 unverified, 0 "
                      "damaged", report)
        self.flip_pages(0, 10 * PAGE, 11 * PAGE)
        before = self.files()
        status, report = self.check()
        self.assertEqual(status, 1, report)
        self.assertEqual(self.files(), before)
        self.assertRegex(report, "(?m)^region main: damaged$")
        self.assertRegex(report, "(?m)^region other: ok$")
        self.assertRegex(report, "(?m)^  damaged page  0 .* \\[0, 4096\\)$")
        self.assertRegex(report, rf"(?m)^  damaged page  {10 * PAGE} .* "
                                 rf"\[{10 * PAGE}, {10 * PAGE + 100}\)$")
        self.assertNotIn(f"page  {11 * PAGE}", report)  # it is free
        self.assertIn("2 regions, 1 damaged", report)

    def test_many(self):
        self.client.call("addBlob", "main", bytes(range(256)) * 16 * 1100)
        self.mregiond.stop()
        first = -(-sum(SIZES) // PAGE)
        for page in range(first, first + 1050):
            self.flip("data", page * PAGE)
        status, report = self.check()
        self.assertEqual(status, 1)
        self.assertEqual(report.count("damaged page  "), 1000)
        self.assertRegex(report, "and +50 more")
        # The log is not flooded, and nothing is left out of the counts.
        self.start()
        found = self.client.call("scrub", "main")
        self.assertEqual((found["damaged"], len(found["damages"])), (1050, 1000))
        self.assertEqual(self.info()["damaged_pages"], 1050)
        self.assertEqual(len(self.info()["damages"]), 100)
        self.assertLess(len(self.mregiond.lines), 1000)


class Check(Damage):
    """mrcli check."""

    def mrcli_check(self, *args, status=0):
        done = mrcli(self.mregiond, *args, check=False)
        self.assertEqual(done.returncode, status, done)
        return done.stdout.decode(), done.stderr.decode()

    def test_healthy(self):
        out, error = self.mrcli_check("check")
        self.assertRegex(out, r"main +%d +%d +0 +0" % (self.pages(), self.pages()))
        self.assertEqual(error, "")
        out, _ = self.mrcli_check("-o", "json", "check")
        self.assertEqual(json.loads(out), [{"region": "main", "pages": self.pages(),
                                            "verified": self.pages(), "unverified": 0,
                                            "damaged": 0, "damages": []}])
        out, _ = self.mrcli_check("-o", "raw", "check")
        self.assertEqual(out, "")

    def test_damaged(self):
        self.client.call("createRegion", "other")
        self.mregiond.stop()
        self.flip_pages(4 * PAGE, 0)
        self.start()
        out, error = self.mrcli_check("check", status=6)
        self.assertRegex(out, r"(?m)^main +%d +%d +0 +2$" % (self.pages(), self.pages() - 2))
        self.assertRegex(out, r"(?m)^other +0 +0 +0 +0$")
        self.assertRegex(out, r"(?m)^main: damaged page at 0$")
        self.assertIn("mrcli: corrupt: ", error)
        out, _ = self.mrcli_check("-r", "other", "check")
        self.assertNotIn("main", out)
        out, _ = self.mrcli_check("-o", "json", "-r", "main", "check", status=6)
        self.assertEqual(json.loads(out)[0]["damages"], [0, 4 * PAGE])
        out, _ = self.mrcli_check("-o", "raw", "check", status=6)
        self.assertEqual(out, f"main\t0\nmain\t{4 * PAGE}\n")

    def test_no_such_region(self):
        self.mrcli_check("-r", "none", "check", status=3)


if __name__ == "__main__":
    unittest.main()
