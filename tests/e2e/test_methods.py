"""Every method of the table and every result, over both kinds of socket, by a client that shares no
code with the server; every error code that a healthy server on a healthy disk has."""
import sys
import time
import unittest
import uuid

from methods import METHODS
from mpack import Client, RpcError
from region import Region, start, stop

PAGE = 65536


def setUpModule():
    start()


def tearDownModule():
    stop()
    if any(not argument.startswith("-") for argument in sys.argv[1:]):
        return  # only some tests were run
    missing = {method.name for method in METHODS} - Client.called
    if missing:
        raise AssertionError(f"no test has called {missing}")
    expected = {"invalid_argument", "no_such_method", "no_such_region", "exists", "out_of_bounds",
                "not_allocated", "partly_free", "no_space"}
    if expected - Client.codes:
        raise AssertionError(f"no test has provoked {expected - Client.codes}")


class Server(Region):
    def test_who_am_i(self):
        """Without users: everybody may do everything (test_users.py has the rest)."""
        self.assertEqual(self.client.call("whoAmI")["grants"],
                         [{"regions": "*", "access": "admin"}])
        with self.assertRaises(RpcError) as caught:
            self.client.call("authenticate", "alice", "secret")
        self.assertEqual(caught.exception.code, "denied")


class Blobs(Region):
    def test_add_and_load(self):
        self.assertEqual(self.call("addBlob", b"abc"), 0)
        self.assertEqual(self.call("addBlob", b"defgh"), 3)
        self.assertEqual(self.call("loadBlob", 0, 3), b"abc")
        self.assertEqual(self.call("loadBlob", 3, 5), b"defgh")
        self.assertEqual(self.call("loadBlob", 2, 2), b"cd")
        self.assertEqual(self.call("loadBlob", 0, 8), b"abcdefgh")

    def test_every_size_around_the_bounds(self):
        blobs = {}
        for size in (1, 31, 32, 255, 256, 4095, 4096, 4097, 65535, 65536, 65537, 131072, 200001,
                     1 << 20, (1 << 20) + 1, 5 << 20):
            blob = (size.to_bytes(4, "big") * (size // 4 + 1))[:size]
            blobs[self.call("addBlob", blob)] = blob
        for address, blob in blobs.items():
            self.assertEqual(self.call("loadBlob", address, len(blob)), blob)
        for address, blob in blobs.items():
            self.assertEqual(self.call("removeBlob", address, len(blob)), blob)
        size = self.call("size")
        self.assertEqual(self.free(), [[0, size]])
        self.assertEqual(size, sum(map(len, blobs.values())))

    def test_the_largest_that_a_message_holds(self):
        limit = self.client.call("serverInfo")["max_message"]
        blob = bytes(range(256)) * ((limit - 256) // 256)
        address = self.call("addBlob", blob)
        self.assertTrue(self.call("loadBlob", address, len(blob)) == blob)
        self.assertTrue(self.call("removeBlob", address, len(blob)) == blob)

    def test_answers_that_pass_a_message(self):
        limit = self.client.call("serverInfo")["max_message"]
        address = self.call("allocate", limit + 1)
        for method in ("loadBlob", "removeBlob"):
            self.assertIn(str(limit + 1), self.refused("too_large", method, address, limit + 1))
        self.assertTrue(self.call("isAllocated", address, limit + 1))

    def test_empty_blobs(self):
        self.assertEqual(self.call("addBlob", b""), 0)
        self.assertEqual(self.call("size"), 0)
        self.fill(10)
        self.assertEqual(self.call("addBlob", b""), 10)
        self.assertEqual(self.call("allocate", 0), 10)
        self.assertEqual(self.call("loadBlob", 4, 0), b"")
        self.assertIsNone(self.call("storeBlob", 4, b""))
        self.assertEqual(self.call("removeBlob", 4, 0), b"")
        self.assertIsNone(self.call("deallocate", 4, 0))
        self.assertEqual((self.call("size"), self.call("allocated"), self.free()), (10, 10, []))

    def test_strings_are_blobs(self):
        self.assertEqual(self.call("addBlob", "text"), 0)
        self.assertEqual(self.call("loadBlob", 0, 4), b"text")
        self.assertIsNone(self.call("storeBlob", 1, "EX"))
        self.assertEqual(self.call("loadBlob", 0, 4), b"tEXt")

    def test_store(self):
        self.fill(100)
        self.assertIsNone(self.call("storeBlob", 10, b"x" * 5))
        self.assertEqual(self.call("loadBlob", 8, 9), b"\1\1xxxxx\1\1")
        self.refused("out_of_bounds", "storeBlob", 96, b"12345")
        self.call("deallocate", 50, 1)
        self.refused("not_allocated", "storeBlob", 48, b"1234")
        self.assertEqual(self.call("loadBlob", 48, 2), b"\1\1")

    def test_store_of_many_pages(self):
        self.call("addBlob", bytes(300000))
        blob = bytes(range(1, 251)) * 1000
        self.call("storeBlob", 12345, blob)
        self.assertEqual(self.call("loadBlob", 0, 300000),
                         bytes(12345) + blob + bytes(300000 - 12345 - len(blob)))

    def test_remove(self):
        self.fill(3, 4, 5)
        self.assertEqual(self.call("removeBlob", 3, 4), b"\2\2\2\2")
        self.assertEqual(self.free(), [[3, 4]])
        self.refused("not_allocated", "removeBlob", 3, 4)
        self.refused("not_allocated", "removeBlob", 6, 2)
        self.refused("out_of_bounds", "removeBlob", 10, 3)
        self.assertEqual(self.free(), [[3, 4]])
        self.assertEqual(self.call("addBlob", b"back"), 3)

    def test_replace(self):
        self.fill(10, 10)
        address = self.call("replaceBlob", 0, 10, b"much longer than before")
        self.assertEqual(self.call("loadBlob", address, 23), b"much longer than before")
        shorter = self.call("replaceBlob", 10, 10, b"short")
        self.assertEqual(self.call("loadBlob", shorter, 5), b"short")
        self.assertEqual(self.call("allocated"), 28)
        same = self.call("replaceBlob", shorter, 5, b"SHORT")
        self.assertEqual(self.call("loadBlob", same, 5), b"SHORT")
        self.assertEqual(self.call("allocated"), 28)
        self.refused("out_of_bounds", "replaceBlob", self.call("size") - 1, 2, b"x")
        hole = self.free()[0][0]
        self.refused("not_allocated", "replaceBlob", hole, 1, b"x")

    def test_lost_blocks(self):
        self.fill(100)
        self.call("deallocate", 40, 20)
        for address, size in ((40, 20), (39, 2), (59, 2), (0, 100), (50, 1)):
            self.refused("not_allocated", "loadBlob", address, size)
        for address, size in ((0, 101), (100, 1), (101, 0), (2**64 - 1, 1), (1, 2**64 - 1)):
            self.refused("out_of_bounds", "loadBlob", address, size)


class Blocks(Region):
    def test_allocate(self):
        self.assertEqual(self.call("allocate", 1000), 0)
        self.assertEqual(self.call("allocate", 24), 1000)
        self.assertEqual(len(self.call("loadBlob", 0, 1024)), 1024)
        self.assertEqual(self.call("size"), 1024)

    def test_freed_space_is_reused(self):
        self.fill(100, 50, 30, 50)
        self.call("deallocate", 0, 100)
        self.call("deallocate", 150, 30)
        self.assertEqual(self.call("allocate", 30), 150)  # the tightest
        self.assertEqual(self.call("allocate", 40), 0)  # the low end
        self.assertEqual(self.free(), [[40, 60]])
        self.assertEqual(self.call("size"), 230)

    def test_neighbors_merge(self):
        self.fill(10, 10, 10, 10, 10)
        for address in (0, 20, 40):
            self.call("deallocate", address, 10)
        self.assertEqual(self.free(), [[0, 10], [20, 10], [40, 10]])
        self.call("deallocate", 10, 10)
        self.assertEqual(self.free(), [[0, 30], [40, 10]])
        self.call("deallocate", 30, 10)
        self.assertEqual(self.free(), [[0, 50]])
        self.assertEqual(self.call("size"), 50)

    def test_double_free(self):
        self.fill(100)
        self.call("deallocate", 40, 20)
        for address, size in ((40, 20), (45, 5), (30, 11), (59, 10), (0, 100), (30, 40)):
            self.refused("not_allocated", "deallocate", address, size)
        for address, size in ((90, 11), (100, 1), (2**63, 2**63), (2**64 - 1, 2**64 - 1)):
            self.refused("out_of_bounds", "deallocate", address, size)
        self.assertEqual(self.free(), [[40, 20]])
        self.assertEqual(self.call("deallocated"), 20)

    def test_resize(self):
        self.fill(10)
        self.assertEqual(self.call("resize", 0, 10, 4), 0)
        self.assertEqual(self.free(), [[4, 6]])
        self.assertEqual(self.call("resize", 0, 4, 8), 0)
        self.assertEqual(self.call("loadBlob", 0, 4), b"\1" * 4)
        self.assertEqual(self.call("addBlob", b"next"), 10)
        moved = self.call("resize", 0, 8, 20)
        self.assertGreaterEqual(moved, 14)
        self.assertEqual(self.call("loadBlob", moved, 4), b"\1" * 4)
        self.assertEqual(self.call("allocated"), 24)
        self.refused("not_allocated", "resize", 0, 8, 20)
        self.refused("out_of_bounds", "resize", self.call("size"), 1, 2)

    def test_resize_moves_large_blobs_whole(self):
        blob = bytes(range(255)) * 1000
        self.call("addBlob", blob)
        self.fill(1)
        moved = self.call("resize", 0, len(blob), 2 * len(blob))
        self.assertEqual(self.call("loadBlob", moved, len(blob)), blob)
        self.assertTrue(self.call("isFreed", 0, len(blob)))

    def test_deallocate_range(self):
        self.fill(100)
        self.call("deallocate", 20, 10)
        self.assertEqual(self.call("deallocateRange", 10, 40), 20)
        self.assertEqual(self.free(), [[10, 30]])
        self.assertEqual(self.call("deallocateRange", 10, 40), 0)
        self.assertEqual(self.call("deallocateRange", 50, 50), 0)
        self.refused("out_of_bounds", "deallocateRange", 50, 101)
        self.refused("out_of_bounds", "deallocateRange", 60, 50)
        self.assertEqual(self.call("deallocateRange", 0, 100), 70)
        self.assertEqual(self.free(), [[0, 100]])

    def test_clear(self):
        self.fill(100, 200)
        self.call("deallocate", 5, 10)
        self.assertIsNone(self.call("clear"))
        self.assertEqual(self.free(), [[0, 300]])
        self.assertEqual((self.call("size"), self.call("allocated")), (300, 0))
        self.assertIsNone(self.call("clear"))
        self.assertEqual(self.call("addBlob", b"anew"), 0)

    def test_clear_and_retain_header(self):
        self.fill(100, 200)
        self.call("deallocate", 5, 10)
        self.assertIsNone(self.call("clearAndRetainHeader", 64))
        self.assertEqual(self.free(), [[5, 10], [64, 236]])
        self.assertEqual(self.call("loadBlob", 15, 49), b"\1" * 49)
        self.refused("out_of_bounds", "clearAndRetainHeader", 301)
        self.assertIsNone(self.call("clearAndRetainHeader", 300))
        self.assertIsNone(self.call("clearAndRetainHeader", 0))
        self.assertEqual(self.free(), [[0, 300]])

    def test_grow(self):
        pages = self.call("pages")
        self.assertEqual(self.call("grow", 3), pages)
        self.assertEqual(self.call("pages"), pages + 3)
        self.assertEqual(self.call("capacity"), (pages + 3) * PAGE)
        self.assertEqual(self.call("grow", 0), pages + 3)
        self.assertEqual(self.call("size"), 0)
        self.refused("no_space", "grow", 2**64 - 1)
        self.refused("no_space", "grow", 2**47)
        self.assertEqual(self.call("pages"), pages + 3)

    def test_no_space_for_the_absurd(self):
        self.fill(10)
        for size in (2**62, 2**63, 2**64 - 1):
            self.refused("no_space", "allocate", size)
            self.refused("no_space", "resize", 0, 10, size)
        self.assertEqual((self.call("size"), self.free()), (10, []))


class Batches(Region):
    """In short; test_batch.py has the rest."""

    def test_results_in_order(self):
        self.fill(10)
        self.assertEqual(self.call("batch", [["addBlob", b"abc"], ["deallocate", 0, 4],
                                             ["removeBlob", 4, 2], ["resize", 6, 4, 2]]),
                         [10, None, b"\1\1", 6])
        self.assertEqual(self.free(), [[0, 6], [8, 2]])

    def test_all_or_nothing(self):
        self.fill(10)
        sentence = self.refused("not_allocated", "batch", [["deallocate", 0, 4], ["allocate", 5],
                                                           ["deallocate", 3, 2]])
        self.assertTrue(sentence.startswith("change 2 (deallocate): "), sentence)
        self.assertEqual((self.free(), self.call("size")), ([], 10))


class Questions(Region):
    def test_is_allocated_and_is_freed(self):
        self.fill(100)
        self.call("deallocate", 40, 20)
        cases = ((0, 40, True, False), (40, 20, False, True), (45, 5, False, True),
                 (60, 40, True, False), (30, 20, False, None), (0, 100, False, None))
        for address, size, allocated, freed in cases:
            self.assertIs(self.call("isAllocated", address, size), allocated)
            if freed is None:
                self.refused("partly_free", "isFreed", address, size)
            else:
                self.assertIs(self.call("isFreed", address, size), freed)
        for method in ("isAllocated", "isFreed"):
            for address, size in ((0, 101), (100, 1), (99, 2), (1, 2**64 - 1), (2**64 - 1, 1)):
                self.refused("out_of_bounds", method, address, size)

    def punch(self, holes):
        """Holes of 5 bytes, 10 apart."""
        self.fill(holes * 10)
        for i in range(holes):
            self.call("deallocate", i * 10 + 2, 5)
        return [[i * 10 + 2, 5] for i in range(holes)]

    def test_free_memory_in_pages(self):
        holes = self.punch(25)
        self.assertEqual(self.free(), holes)
        self.assertEqual(self.call("getFreeMemory", {}), holes)
        self.assertEqual(self.call("getFreeMemory", {"limit": 3}), holes[:3])
        self.assertEqual(self.call("getFreeMemory", {"from": 12}), holes[1:])
        self.assertEqual(self.call("getFreeMemory", {"from": 7}), holes[1:])
        self.assertEqual(self.call("getFreeMemory", {"from": 250}), [])
        seen, start = [], 0
        while len(page := self.call("getFreeMemory", {"from": start, "limit": 4})) == 4:
            seen += page
            start = page[-1][0] + page[-1][1]
        self.assertEqual(seen + page, holes)

    def test_blocks_in_range(self):
        holes = self.punch(10)
        used = [[0, 2]] + [[i * 10 + 7, 5] for i in range(9)] + [[97, 3]]
        self.assertEqual(self.call("deallocatedBlocksInRange", 0, 100), holes)
        self.assertEqual(self.call("allocatedBlocksInRange", 0, 100), used)
        self.assertEqual(self.call("deallocatedBlocksInRange", 4, 33),
                         [[4, 3], [12, 5], [22, 5], [32, 1]])
        self.assertEqual(self.call("allocatedBlocksInRange", 8, 27), [[8, 4], [17, 5]])
        self.assertEqual(self.call("allocatedBlocksInRange", 8, 100, {"limit": 2}),
                         [[8, 4], [17, 5]])
        self.assertEqual(self.call("deallocatedBlocksInRange", 0, 100, {"limit": 1}), [[2, 5]])
        for method in ("allocatedBlocksInRange", "deallocatedBlocksInRange"):
            self.assertEqual(self.call(method, 50, 50), [])
            self.refused("out_of_bounds", method, 0, 101)
            self.refused("out_of_bounds", method, 51, 50)
            self.refused("out_of_bounds", method, 0, 2**64 - 1)

    def test_figures(self):
        info = self.call("memoryInfo")
        self.assertEqual(set(info), {"pages", "size", "capacity", "allocated", "deallocated"})
        self.assertEqual((info["size"], info["allocated"], info["deallocated"]), (0, 0, 0))
        self.fill(1000, PAGE * 3)
        self.call("deallocate", 100, 50)
        self.call("deallocate", 1000, 700)
        info = self.call("memoryInfo")
        size = 1000 + PAGE * 3
        self.assertEqual((info["size"], info["allocated"], info["deallocated"]),
                         (size, size - 750, 750))
        self.assertEqual(info["capacity"], info["pages"] * PAGE)
        self.assertGreaterEqual(info["capacity"], info["size"])
        for key, value in info.items():
            self.assertEqual(self.call(key), value)
        everything = self.call("regionInfo")
        self.assertEqual({key: everything[key] for key in info}, info)
        self.assertEqual((everything["free_blocks"], everything["largest_free"]), (2, 700))

    def test_region_info(self):
        info = self.call("regionInfo")
        self.assertEqual((info["id"], info["name"], info["format"]), (self.id, self.region, 2))
        self.assertEqual(str(uuid.UUID(info["uuid"])), info["uuid"])
        self.assertEqual((info["durability"], info["fit"], info["max_size"]), ("sync", "tight", 0))
        self.assertEqual(self.call("id"), self.id)
        self.assertEqual((info["checksum"], info["token_window"], info["discard"],
                          info["scrub_interval"], info["scrub_rate"], info["page_cache"]),
                         ("on", 65536, 1 << 20, 168 * 3600 * 1000, 8 << 20, 128 << 20))
        self.assertEqual([info[key] for key in
                          ("tokens", "page_cache_used", "migrated_from", "verified_percent",
                           "scrub_running", "scrub_position", "scrub_passes", "scrub_finished",
                           "scrub_pages", "damaged_pages", "damages")],
                         [0, 0, 0, 0, False, 0, 0, 0, 0, 0, []])

    def test_changes_are_counted(self):
        """Each, as soon as it can be seen; nothing else."""
        self.fill(10000)
        seen = self.call("regionInfo")["changes"]
        for method, *params in (
                ("storeBlob", 5, b"x"), ("addBlob", b"y" * 100), ("addBlob", b"z" * (2 << 20)),
                ("deallocate", 100, 50), ("removeBlob", 200, 50), ("replaceBlob", 300, 10, b"new"),
                ("allocate", 7000), ("resize", 400, 10, 5), ("grow", 3), ("deallocateRange", 0, 1000),
                ("batch", [["allocate", 5]]), ("clearAndRetainHeader", 10), ("clear",)):
            self.call(method, *params)
            before, seen = seen, self.call("regionInfo")["changes"]
            self.assertGreater(seen, before, method)
        upload = self.call("beginBlob", 5)
        self.client.call("appendBlob", upload, b"12345")
        self.assertEqual(self.call("regionInfo")["changes"], seen)
        self.client.call("commitBlob", upload)
        before, seen = seen, self.call("regionInfo")["changes"]
        self.assertGreater(seen, before)
        for method, *params in (
                ("isFreed", 5000, 500), ("checkpoint",), ("scrub",), ("allocate", 0), ("getFreeMemory",),
                ("memoryInfo",)):
            self.call(method, *params)
            self.assertEqual(self.call("regionInfo")["changes"], seen, method)
        with self.assertRaises(RpcError):
            self.call("deallocate", 5000, 1)
        self.assertEqual(self.call("regionInfo")["changes"], seen)

    def test_scrub(self):
        self.assertEqual(self.call("scrub"), {"pages": 0, "verified": 0, "unverified": 0,
                                              "damaged": 0, "damages": []})
        self.fill(10000)
        self.assertEqual(self.call("scrub"), {"pages": 3, "verified": 3, "unverified": 0,
                                              "damaged": 0, "damages": []})
        info = self.call("regionInfo")
        self.assertEqual((info["scrub_passes"], info["scrub_pages"], info["verified_percent"]),
                         (2, 3, 100))


class Regions(Region):
    def test_backups(self):
        blob = bytes(range(256)) * 100
        address = self.call("addBlob", blob)
        backup, copy = self.region + "-backup", self.region + "-copy"
        self.assertEqual(self.call("backupRegion", backup), 7 * 4096)
        listed = {item["name"]: item for item in self.client.call("listBackups")}[backup]
        self.assertEqual((listed["region"], listed["size"]), (self.region, len(blob)))
        self.assertLess(abs(listed["made"] - time.time()), 3600)
        self.call("clear")
        copy_id = self.client.call("restoreRegion", backup.encode(), copy)
        self.addCleanup(self.client.call, "dropRegion", copy)
        self.assertNotIn(copy_id, (self.id, self.client.call("id", "main")))
        self.assertEqual(self.client.call("loadBlob", copy_id, address, len(blob)), blob)
        self.assertEqual(self.call("allocated"), 0)
        self.refused("exists", "backupRegion", backup)
        self.client.notify("backupRegion", self.region, backup + "-2")
        while backup + "-2" not in [item["name"] for item in self.client.call("listBackups")]:
            pass
        self.assertIsNone(self.client.call("removeBackup", backup))
        self.refused("invalid_argument", "removeBackup", backup)
        self.client.notify("removeBackup", (backup + "-2").encode())
        while [item for item in self.client.call("listBackups") if item["region"] == self.region]:
            pass

    def test_by_id(self):
        self.assertEqual(self.client.call("addBlob", self.id, b"abc"), 0)
        self.assertEqual(self.client.call("loadBlob", self.region.encode(), 0, 3), b"abc")
        self.assertEqual(self.client.call("id", self.id), self.id)

    def test_rename_and_set(self):
        """More of it in test_regions.py."""
        number = self.client.call("createRegion", "before")
        self.addCleanup(self.client.call, "dropRegion", number)
        self.assertIsNone(self.client.call("renameRegion", "before", "after"))
        self.assertEqual(self.client.call("id", "after"), number)
        self.assertIsNone(self.client.call("setRegion", "after", {"max_size": "1MiB"}))
        self.assertEqual(self.client.call("regionInfo", "after")["max_size"], 1 << 20)

    def test_list_is_sorted(self):
        names = ["B", "a", "a.b", "0", "a-b", "Z" * 64]
        for name in names:
            self.client.call("createRegion", name)
            self.addCleanup(self.client.call, "dropRegion", name)
        listed = self.client.call("listRegions")
        self.assertEqual(listed, sorted(listed))
        self.assertLessEqual({*names, self.region, "main"}, set(listed))

    def test_options(self):
        options = {"durability": "interval", "flush_interval": 50, "fit": "lowest",
                   "max_size": 1 << 20, "journal_size": 32 << 20, "checksum": "off",
                   "token_window": 7, "discard": 12345, "scrub_interval": 3000, "scrub_rate": 77,
                   "page_cache": 0}
        self.client.call("createRegion", "with-options", options)
        self.addCleanup(self.client.call, "dropRegion", "with-options")
        info = self.client.call("regionInfo", "with-options")
        for key, value in options.items():
            self.assertEqual(info[key], value, key)
        texts = {"discard": "2MiB", "scrub_interval": "2h", "scrub_rate": "1GiB",
                 "page_cache": "64KiB", "checksum": "on"}
        self.client.call("createRegion", "with-texts", texts)
        self.addCleanup(self.client.call, "dropRegion", "with-texts")
        info = self.client.call("regionInfo", "with-texts")
        self.assertEqual([info[key] for key in texts],
                         [2 << 20, 7200000, 1 << 30, 64 << 10, "on"])
        self.assertLessEqual({"durability", "fit", "max_size"}, set(info))

    def test_exists(self):
        self.refused("exists", "createRegion")
        self.refused("exists", "createRegion", {"fit": "lowest"})

    def test_names_that_are_none(self):
        for name in ("", "a/b", "..", "x" * 65):
            with self.assertRaises(RpcError) as caught:
                self.client.call("createRegion", name)
            self.assertEqual(caught.exception.code, "invalid_argument")

    def test_two_at_once(self):
        ids = [self.client.send("createRegion", "twin") for _ in range(2)]
        outcomes = []
        for msgid in ids:
            try:
                self.client.wait(msgid)
                outcomes.append("made")
            except RpcError as error:
                outcomes.append(error.code)
        self.assertEqual(outcomes, ["made", "exists"])
        self.client.call("dropRegion", "twin")

    def test_drop(self):
        self.fill(1000)
        self.assertIsNone(self.call("dropRegion"))
        self.refused("no_such_region", "loadBlob", 0, 1)
        self.refused("no_such_region", "dropRegion")
        self.assertNotIn(self.region, self.client.call("listRegions"))
        with self.assertRaises(RpcError):
            self.client.call("size", self.id)
        again = self.client.call("createRegion", self.region)
        self.assertNotEqual(again, self.id, "an id was used twice")
        self.assertEqual(self.call("size"), 0)

    def test_regions_are_apart(self):
        self.fill(10)
        self.client.call("createRegion", "other")
        self.addCleanup(self.client.call, "dropRegion", "other")
        self.assertEqual(self.client.call("addBlob", "other", b"xyz"), 0)
        self.assertEqual(self.call("loadBlob", 0, 3), b"\1\1\1")
        self.client.call("clear", "other")
        self.assertEqual(self.call("allocated"), 10)

    def test_no_such_region(self):
        samples = {"R": "nobody", "U": 0, "S": 0, "N": "x", "B": b"blob", "C": [["clear"]]}
        for method in METHODS:
            if method.letters.startswith("R"):
                for region in ("nobody", 2**64 - 1):
                    params = [region] + [samples[letter] for letter in method.letters[1:]]
                    with self.assertRaises(RpcError) as caught:
                        self.client.call(method.name, *params)
                    self.assertEqual(caught.exception.code, "no_such_region", method.name)

    def test_uploads(self):
        """More of them in test_uploads.py."""
        self.fill(10)
        upload = self.call("beginBlob", 6)
        self.assertIsNone(self.client.call("appendBlob", upload, b"abc"))
        self.assertIsNone(self.client.call("appendBlob", upload, b"def"))
        self.assertEqual(self.client.call("commitBlob", upload), 10)
        self.assertEqual(self.call("loadBlob", 10, 6), b"abcdef")
        self.assertIsNone(self.client.call("abortBlob", self.call("beginBlob", None)))

    def test_checkpoint(self):
        self.fill(10, 20)
        self.assertIsNone(self.call("checkpoint"))
        self.assertIsNone(self.call("checkpoint"))
        self.assertEqual(self.call("loadBlob", 10, 20), b"\2" * 20)


class Limited(Region):
    options = {"max_size": 4 * PAGE}

    def test_no_space_leaves_all_as_it_was(self):
        size = 4 * PAGE
        address = self.call("addBlob", bytes(size - 100))
        before = self.call("memoryInfo")
        for method, params in (("addBlob", [bytes(101)]), ("allocate", [101]),
                               ("resize", [address, 10, size]),
                               ("replaceBlob", [address, 10, bytes(200)])):
            self.refused("no_space", method, *params)
        self.refused("no_space", "grow", 1000)
        self.assertEqual(self.call("memoryInfo"), before)
        self.assertEqual(self.call("addBlob", bytes(100)), size - 100)
        self.refused("no_space", "addBlob", b"x")
        self.call("deallocate", 7, 1)  # freeing always works
        self.assertEqual(self.call("addBlob", b"x"), 7)


class Lowest(Region):
    options = {"fit": "lowest"}

    def test_first_fit(self):
        self.fill(100, 50, 30, 50)
        self.call("deallocate", 0, 100)
        self.call("deallocate", 150, 30)
        self.assertEqual(self.call("allocate", 30), 0)


class Largest(Region):
    options = {"fit": "largest"}

    def test_end_of_the_largest(self):
        self.fill(100, 50, 30, 50)
        self.call("deallocate", 0, 100)
        self.call("deallocate", 150, 30)
        self.assertEqual(self.call("allocate", 30), 70)


class ServerMethods(Region):
    def test_ping(self):
        self.assertEqual(self.client.call("ping"), "pong")
        self.assertEqual(self.client.call("ping", {}), "pong")
        self.assertEqual(self.client.call_packed("ping", b"\xc0"), "pong")

    def test_server_info(self):
        info = self.client.call("serverInfo")
        self.assertEqual(info["name"], "mregiond")
        for key in ("version", "protocol", "uptime_s", "connections", "max_message"):
            self.assertIn(key, info)
        self.assertEqual(info["max_message"], 64 << 20)
        count = info["connections"]
        self.connect(self.server.unix).call("ping")
        self.assertEqual(self.client.call("serverInfo")["connections"], count + 1)

    def test_stats(self):
        self.assertGreater(self.client.call("stats")["requests"], 0)

    def test_config_get(self):
        """More of it in test_config.py."""
        self.assertEqual(self.client.call("configGet", "max_batch"), {"max_batch": {"value": "1024"}})

    def test_connections(self):
        found = self.client.call("connections")
        self.assertFalse(found["more"])
        self.assertIn(self.client.call("whoAmI")["peer"], [one["peer"] for one in found["connections"]])

    def test_subscribe(self):
        self.assertIsNone(self.client.call("subscribe"))

    def test_unknown_method(self):
        for name in ("", "addblob", "ping\0", "x" * 100000, b"\xff\xfe", "système"):
            with self.assertRaises(RpcError) as caught:
                self.client.call(name)
            self.assertEqual(caught.exception.code, "no_such_method")
        self.assertEqual(self.client.call("ping"), "pong")


if __name__ == "__main__":
    unittest.main()
