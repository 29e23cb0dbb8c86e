"""Data directories of format 1, brought up to date by the mregiond of today, or refused."""
import os
import random
import re
import shutil
import struct
import tarfile
import time
import unittest

import format1
from case import Case, contents, run
from notify import NotifySocket

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden")
MIB = 1 << 20
PIECE = 4 * MIB
SEED = int(os.environ.get("SEED", random.randrange(2**32)))


class Migration(Case):
    def setUp(self):
        self.rng = random.Random(SEED)
        self.mregiond = self.server()

    # ---- Old stores ----

    def large(self, mib):
        """A region of so many MiB with holes and with records in its journal. Returns it and what
        the journal puts there."""
        region = format1.Store(self.mregiond.data_dir).region(
            "main", size=mib * MIB + 777, data_size=mib * MIB + 777 + 2345,
            free=[(100, 35), (MIB, 5000), (mib // 2 * MIB + 1, 3 * MIB)])
        puts = {12345: b"A" * 70000, MIB: b"B" * 2000, 9 * MIB - 1: b"C"}
        region.record(format1.put(12345, puts[12345]))
        region.record(format1.use(MIB, 2000), format1.put(MIB, puts[MIB]))
        region.record(format1.free(5 * MIB, 9000), format1.put(9 * MIB - 1, puts[9 * MIB - 1]))
        region.write()
        self.free = [[100, 35], [MIB + 2000, 3000], [5 * MIB, 9000],
                     [mib // 2 * MIB + 1, 3 * MIB]]
        return region, puts

    def assert_whole(self, client, region, puts):
        """Every byte in use is what it was."""
        self.assertEqual(client.call("getFreeMemory", "main"), self.free)
        self.assertEqual(client.call("size", "main"), region.size)
        start = 0
        for hole, size in self.free + [[region.size, 0]]:
            for address in range(start, hole, PIECE):
                length = min(PIECE, hole - address)
                want = bytearray(region.expected(address, length))
                for at, data in puts.items():
                    low, high = max(at, address), min(at + len(data), address + length)
                    if low < high:
                        want[low - address:high - address] = data[low - at:high - at]
                blob = client.call("loadBlob", "main", address, length)
                self.assertTrue(blob == want, f"the bytes of {address}+{length}")
            start = hole + size

    def unpack_golden(self):
        with tarfile.open(os.path.join(GOLDEN, "format-1.tar.gz")) as tar:
            tar.extractall(self.mregiond.folder)

    def region_path(self, name):
        return os.path.join(self.mregiond.data_dir, "regions", "main", name)

    def assert_start_refused(self, *patterns, server=None):
        server = server or self.mregiond
        before = contents(server.data_dir)
        status, log = server.run()
        self.assert_refused(status, log, *patterns)
        self.assertEqual(contents(server.data_dir), before, "a file has changed")

    # ---- Told ----

    def test_progress_is_logged_and_told_to_the_service_manager(self):
        region, puts = self.large(256)
        notify = NotifySocket(self.mregiond.path("notify"))
        self.addCleanup(notify.close)
        self.mregiond.env["NOTIFY_SOCKET"] = notify.path
        begun = time.monotonic()
        self.mregiond.start(wait=False)
        notify.wait("READY=1")
        took = time.monotonic() - begun
        self.mregiond.wait_log(r"\bready\b")
        ready = notify.lines.index("READY=1")
        steps = [i for i, line in enumerate(notify.lines)
                 if re.fullmatch(r"STATUS=migrating regions/main to format 2: \d+ %", line)]
        self.assertGreaterEqual(len(steps), 5, notify.lines)  # 0, each 64 MiB, the end
        self.assertLess(steps[-1], ready)
        self.assertEqual(notify.lines[steps[0]].split()[-2], "0")
        self.assertEqual(notify.lines[steps[-1]].split()[-2], "100")
        for step in steps:
            self.assertRegex(notify.lines[step - 1], r"^EXTEND_TIMEOUT_USEC=\d+$")
        lines = [line for line in self.mregiond.log().split("\n") if "migrating regions/main" in line]
        self.assertRegex(lines[0], r"to format 2: 0 of \d+ bytes \(0 %\)")
        self.assertRegex(lines[-1], r"to format 2: (\d+) of \1 bytes \(100 %\)")
        self.assertLessEqual(len(lines), 2 + took / 10)
        self.mregiond.wait_log("region main: migrated from format 1 to 2")
        with self.connect(self.mregiond) as client:
            self.assert_whole(client, region, puts)
            info = client.call("regionInfo", "main")
            self.assertEqual(info["format"], 2)
        self.mregiond.stop()

    def test_check_says_what_would_be_done(self):
        self.large(16)
        before = contents(self.mregiond.data_dir)
        done = run("--data-dir", self.mregiond.data_dir, "--check")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, "region main: ok, to be migrated\n"
                                      "  format +1: the next start brings it to 2\n"
                                      "  journal +3 records[^\n]*\n"
                                      "  reads +[0-9]+ bytes[^\n]*\n"
                                      "  needs +[0-9]+ bytes of disk, and [0-9]+ are free\n")
        self.assertEqual(contents(self.mregiond.data_dir), before, "--check has changed something")

    def test_sums_are_as_documented(self):
        """Those of a migration and those of changes, by core/FORMAT.md's words."""
        self.unpack_golden()
        self.mregiond.start()
        with self.connect(self.mregiond) as client:
            client.call("addBlob", "main", os.urandom(70000))
            zeros = client.call("addBlob", "main", bytes(20000))
            client.call("checkpoint", "main")
            free = client.call("getFreeMemory", "main")
            size = client.call("size", "main")
        self.mregiond.stop()
        with open(self.region_path("meta"), "rb") as file:
            seed = format1.crc32c(file.read()[72:88])
        with open(self.region_path("sums"), "rb") as file:
            sums = file.read()
        header, crc = sums[:4096], struct.unpack_from("<I", sums, 12)[0]
        self.assertEqual(header[:12], b"MREGSUMS" + struct.pack("<I", 2))
        self.assertEqual(crc, format1.crc32c(header[:12] + bytes(4) + header[16:]))
        checked = 0
        with open(self.region_path("data"), "rb") as file:
            data = file.read(size + 4096)
        self.assertGreaterEqual(len(sums), 4096 + 4 * (len(data) // 4096))
        for page in range(-(-size // 4096)):
            begin, end = 4096 * page, min(4096 * (page + 1), size)
            if any(address <= begin and end <= address + length for address, length in free):
                continue
            got = struct.unpack_from("<I", sums, 4096 + 4 * page)[0]
            content = data[begin:begin + 4096]
            want = format1.crc32c(struct.pack("<Q", page) + content, seed) if any(content) else 0
            if content and any(content) and not 2 <= want.bit_count() <= 30:
                want ^= 0x00FFFF00
            self.assertEqual(got, want, f"page {page}")
            checked += 1
        self.assertGreater(checked, 180)
        first = -(-zeros // 4096)
        self.assertEqual(sums[4096 + 4 * first:4096 + 4 * first + 12], bytes(12))

    # ---- The seed ----

    def test_the_seed(self):
        """1000 bytes, of which (100, 35), (200, 50) and (300, 70) were freed."""
        self.unpack_golden()
        self.mregiond.start()
        with self.connect(self.mregiond) as client:
            info = client.call("regionInfo", "seed")
            figures = {"format": 2, "size": 1000, "capacity": 65536, "pages": 1, "allocated": 845,
                       "deallocated": 155, "free_blocks": 3, "largest_free": 70}
            self.assertEqual({key: info[key] for key in figures}, figures)
            self.assertEqual(client.call("getFreeMemory", "seed"), [[100, 35], [200, 50], [300, 70]])
            self.assertEqual(client.call("allocate", "seed", 35), 100)
            self.assertEqual(client.call("allocate", "seed", 50), 200)
            self.assertEqual(client.call("allocate", "seed", 70), 300)
            self.assertEqual(client.call("getFreeMemory", "seed"), [])
            self.assertEqual(client.call("allocate", "seed", 1), 1000)
            self.assertEqual(client.call("size", "seed"), 1001)
        self.mregiond.stop()

    # ---- Refused ----

    def test_refused_by_the_setting(self):
        self.large(16)
        server = self.server(data_dir=self.mregiond.data_dir, config="listen: []\nmigrate: refuse\n")
        self.assert_start_refused("regions/main has format version 1", "migrate is refuse",
                                  "set it to auto", server=server)
        self.mregiond.start()
        self.assert_serves(self.mregiond)
        self.mregiond.stop()
        server.start(wait=False)  # what is migrated needs no migration
        server.wait_log("region main: open")
        server.kill()

    def test_too_small_a_disk(self):
        self.mount_small(self.mregiond, 48 * MIB)
        shutil.rmtree(os.path.join(self.mregiond.data_dir, "lost+found"), ignore_errors=True)
        region, puts = self.large(16)
        filler = os.path.join(self.mregiond.data_dir, "filler")
        with open(filler, "wb") as file:
            free = os.statvfs(self.mregiond.data_dir)
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - 8 * MIB)
        done = run("--data-dir", self.mregiond.data_dir, "--check")
        self.assertRegex(done.stdout, "bytes of disk, and [0-9]+ are free: make space first\n")
        self.assert_start_refused("from format 1 to 2 takes [0-9]+ bytes of disk, and [0-9]+ are free",
                                  "make space")
        os.remove(filler)
        self.mregiond.start()
        with self.connect(self.mregiond) as client:
            self.assert_whole(client, region, puts)
        self.mregiond.stop()

    def test_newer_versions(self):
        self.large(16)
        for path, length, patterns in (
                (os.path.join(self.mregiond.data_dir, "store"), 40,
                 ["format version 2", "use a newer mregiond"]),
                (self.region_path("meta"), 152,
                 ["regions/main/meta has format version 3", "use a newer mregiond"])):
            with open(path, "rb") as file:
                original = file.read()
            self.assertEqual(len(original), length)
            version = struct.unpack_from("<I", original, 8)[0] + (2 if length == 152 else 1)
            format1.save(path, format1.skipped(original[:8] + struct.pack("<II", version, 0) +
                                               original[16:]))
            self.assert_start_refused(*patterns)
            format1.save(path, original)
        self.mregiond.start()
        self.assert_serves(self.mregiond)
        self.mregiond.stop()

    def test_damage_is_named(self):
        self.large(16)
        for name, offset in (("meta", 100), ("journal-0000000000000000", 4096 + 100),
                             ("journal-0000000000000000", 16), ("checkpoint-1", 4096 + 8)):
            with open(self.region_path(name), "r+b") as file:
                original = file.read()
                file.seek(offset)
                file.write(bytes([original[offset] ^ 4]))
            self.assert_start_refused(f"region main.*regions/main/{name}")
            done = run("--data-dir", self.mregiond.data_dir, "--check")
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertRegex(done.stdout, f"region main: corrupt: .*{name}")
            format1.save(self.region_path(name), original)
        self.mregiond.start()
        self.assert_serves(self.mregiond)
        self.mregiond.stop()

    # ---- Killed ----

    def start_and_kill(self, took):
        """At some time, or once it says that it is so far in a migration, if there is one."""
        notify = NotifySocket(self.mregiond.path("notify"))
        steps = self.rng.randint(1, 4)
        try:
            self.mregiond.start(wait=False)
            if self.rng.random() < 0.3:
                time.sleep(self.rng.uniform(0, took))
            else:
                while "READY=1" not in notify.lines and steps > len(
                        [line for line in notify.lines if line.startswith("STATUS=migrating")]):
                    notify.wait("", len(notify.lines) + 1)
            self.mregiond.kill()
        finally:
            notify.close()
            os.remove(notify.path)

    def test_killed_at_any_moment(self):
        """By SIGKILL, several times in a row: the next start ends well, and all is there."""
        region, puts = self.large(192)
        pristine = self.mregiond.path("pristine")
        shutil.copytree(self.mregiond.data_dir, pristine)
        begun = time.monotonic()
        self.mregiond.start()
        took = time.monotonic() - begun
        self.mregiond.kill()
        self.mregiond.env["NOTIFY_SOCKET"] = self.mregiond.path("notify")
        in_migration = 0
        for _ in range(5):
            shutil.rmtree(self.mregiond.data_dir)
            shutil.copytree(pristine, self.mregiond.data_dir)
            for _ in range(4):
                self.start_and_kill(took)
                with open(self.region_path("meta"), "rb") as file:
                    is_old = struct.unpack_from("<I", file.read(), 8)[0] == 1
                in_migration += is_old and os.path.exists(self.region_path("sums"))
            self.mregiond.start()
            with self.connect(self.mregiond) as client:
                self.assert_whole(client, region, puts)
                self.assertEqual(client.call("regionInfo", "main")["format"], 2)
            left = set(os.listdir(self.region_path("")))
            self.assertFalse(left & {"checkpoint-0", "checkpoint-1"}, left)
            self.mregiond.stop()
            done = run("--data-dir", self.mregiond.data_dir, "--check")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertGreater(in_migration, 0)
        print(f"killed {in_migration} times in the middle of a migration (SEED={SEED})")


if __name__ == "__main__":
    unittest.main()
