"""stats(): every request is counted once, where it belongs, and by how long it took; regions that may
not be seen are not in it."""
import json
import os
import signal
import threading
import unittest

import msgpack

from case import Case
from mpack import Client, RpcError
from server import Server, mrcli

PAGE = 4096
USERS = """
listen: [{{unix: {socket}}}]
regions: [{{name: main}}, {{name: other}}]
users:
  - name: alice
    uid: {uid}
    grants: [{{regions: main, access: write}}]
"""


def count(histogram):
    return sum(entry[1] for entry in histogram)


class Stats(Case):
    def setUp(self):
        self.served = self.server(regions=["main", "other"]).start()
        self.client = self.connect(self.served)

    def stats(self, *options):
        return self.client.call("stats", *options)

    def test_each_request_counts_once(self):
        blocks = [self.client.call("addBlob", "main", bytes(100)) for _ in range(20)]
        for address in blocks[:10]:
            self.client.call("loadBlob", "main", address, 100)
        for _ in range(3):
            with self.assertRaises(RpcError):
                self.client.call("loadBlob", "main", 10**9, 1)
        with self.assertRaises(RpcError):
            self.client.call("noSuchMethod")
        self.client.notify("clear", "other")
        self.client.call("size", "other")
        stats = self.stats()
        methods = stats["methods"]
        wanted = {"addBlob": (20, 0), "loadBlob": (13, 3), "unknown": (1, 1), "clear": (1, 0),
                  "size": (1, 0)}
        self.assertEqual({name: (method["requests"], method["errors"])
                          for name, method in methods.items()}, wanted)
        for name, method in methods.items():
            with self.subTest(name):
                uppers = [upper for upper, _ in method["latency"]]
                self.assertEqual(uppers, sorted(set(uppers)))
        self.assertEqual(count(methods["addBlob"]["latency"]), 20)
        self.assertEqual(count(methods["loadBlob"]["latency"]), 13)
        self.assertEqual((stats["requests"], stats["errors"]), (36, 4))
        self.assertEqual(stats["error_codes"], {"out_of_bounds": 3, "no_such_method": 1})
        self.assertGreater(stats["bytes_received"], 20 * 100)
        self.assertGreater(stats["bytes_sent"], 10 * 100)
        self.assertEqual(stats["connections"], 1)
        main, other = stats["regions"]["main"], stats["regions"]["other"]
        self.assertEqual(main["operations"], {"addBlob": 20, "loadBlob": 13})
        self.assertEqual(main["errors"], 3)
        self.assertEqual(other["operations"], {"clear": 1, "size": 1})
        self.assertEqual(main["allocated"], 2000)
        self.assertFalse(main["read_only"])

    def test_pipelined_requests_of_many_kinds(self):
        ids, turns = [], 50
        for i in range(turns):
            ids += [self.client.send("addBlob", "main", b"x" * 64), self.client.send("ping"),
                    self.client.send("allocate", "other", 10),
                    self.client.send("batch", "main", [["addBlob", b"y"]]),
                    self.client.send("isAllocated", "main", 0, 1)]
        for msgid in ids:
            self.client.wait(msgid)
        methods = self.stats()["methods"]
        for name in ("addBlob", "ping", "allocate", "batch", "isAllocated"):
            self.assertEqual(methods[name]["requests"], turns)
            self.assertEqual(count(methods[name]["latency"]), turns)

    def test_commits_syncs_and_checkpoints(self):
        before = self.stats()
        for _ in range(5):
            self.client.call("addBlob", "main", bytes(10))
        self.client.call("checkpoint", "main")
        after = self.stats()
        self.assertEqual(after["commits"] - before["commits"], 5)
        self.assertEqual(count(after["commit_latency"]), after["commits"])
        self.assertGreaterEqual(after["syncs"] - before["syncs"], 5)
        self.assertEqual(count(after["sync_latency"]), after["syncs"])
        self.assertEqual(after["checkpoints"] - before["checkpoints"], 1)
        self.assertEqual(count(after["checkpoint_latency"]), after["checkpoints"])
        region = after["regions"]["main"]
        self.assertEqual((region["commits"], region["checkpoints"]), (5, 1))
        self.assertGreaterEqual(region["journal_written"], 5 * PAGE)
        self.assertEqual(region["journal_bytes"], 0)
        self.assertGreater(after["time_us"], before["time_us"])

    def test_commits_that_are_not_waited_for(self):
        self.client.call("createRegion", "lazy", {"durability": "none"})
        before = self.stats()["commits"]
        self.client.call("addBlob", "lazy", bytes(10))
        self.assertEqual(self.stats()["commits"] - before, 1)

    def test_the_page_cache(self):
        address = self.client.call("addBlob", "main", bytes(PAGE))
        self.client.call("loadBlob", "main", address, 10)
        first = self.stats()["regions"]["main"]
        for _ in range(10):
            self.client.call("loadBlob", "main", address, 10)
        second = self.stats()["regions"]["main"]
        self.assertGreaterEqual(first["cache_misses"], 1)
        self.assertEqual(second["cache_hits"] - first["cache_hits"], 10)
        self.assertEqual(second["cache_misses"], first["cache_misses"])
        self.client.call("loadBlob", "main", address, PAGE)  # held where it is
        self.assertEqual(self.stats()["regions"]["main"]["cache_hits"] - second["cache_hits"], 1)

    def test_uploads_count_for_their_region(self):
        upload = self.client.call("beginBlob", "other", 10)
        self.client.call("appendBlob", upload, bytes(10))
        self.assertEqual(self.stats()["uploads"], 1)
        self.client.call("commitBlob", upload)
        self.assertEqual(self.stats()["regions"]["other"]["operations"],
                         {"beginBlob": 1, "appendBlob": 1, "commitBlob": 1})

    def test_regions_in_pages(self):
        names = [f"r{i:02}" for i in range(20)]
        for name in names:
            self.client.call("createRegion", name)
        everything = sorted(names + ["main", "other"])
        self.assertEqual(sorted(self.stats()["regions"]), everything)
        seen, after, more = [], "", True
        while more:
            page = self.stats({"after": after, "limit": 7})
            names, more = list(page["regions"]), page["more"]
            self.assertLessEqual(len(names), 7)
            seen += names
            after = names[-1]
        self.assertEqual(seen, everything)
        self.assertEqual(self.stats({"limit": 0})["regions"], {})
        self.assertEqual(self.stats({"after": "zzz"})["regions"], {})
        self.assertFalse(self.stats({"after": "zzz"})["more"])

    def test_a_region_that_is_dropped_is_not_in_it(self):
        self.client.call("addBlob", "other", b"x")
        self.client.call("dropRegion", "other")
        stats = self.stats()
        self.assertEqual(list(stats["regions"]), ["main"])
        self.assertEqual(stats["methods"]["dropRegion"]["requests"], 1)
        self.assertEqual(count(stats["methods"]["dropRegion"]["latency"]), 1)


class ManyRegions(Case):
    """More than are told at a stretch, by a server with little memory. It is one for all tests, because
    regions take time to be made."""
    CONFIG = "max_message: 64KiB\nmax_buffered: 64KiB\n"
    NAMES = [f"region-{i:04}" for i in range(130)]
    CHEAP = {"page_cache": 0, "scrub_interval": 0, "durability": "none"}

    @classmethod
    def setUpClass(cls):
        cls.served = Server(config=" ")
        cls.addClassCleanup(cls.served.remove)
        cls.served.write_config(f"listen: [unix: {cls.served.path('s')}]\n{cls.CONFIG}")
        with Client(cls.served.start().unix) as client:
            for msgid in [client.send("createRegion", name, cls.CHEAP) for name in cls.NAMES]:
                client.wait(msgid)

    def setUp(self):
        self.client = self.connect(self.served)
        self.addCleanup(lambda: self.assert_serves(self.served))

    def names(self):
        return self.client.call("listRegions")

    def test_all_of_them(self):
        names = self.names()
        sizes = {name: self.client.call("allocate", name, 10) + 10 for name in names}
        stats = self.client.call("stats")
        self.assertEqual(list(stats["regions"]), names)
        self.assertEqual(names, sorted(names))
        self.assertGreater(len(names), 110)
        self.assertFalse(stats["more"])
        for name, size in sizes.items():
            self.assertEqual(stats["regions"][name]["size"], size)

    def test_parts(self):
        names = self.names()
        for limit in (1, 99, 100, 101, len(names) - 1, len(names), len(names) + 1, 1 << 60):
            seen, after, more = [], "", True
            while more:
                part = self.client.call("stats", {"after": after, "limit": limit})
                self.assertLessEqual(len(part["regions"]), limit)
                seen += part["regions"]
                after, more = seen[-1], part["more"]
            self.assertEqual(seen, names)
        self.assertEqual(list(self.client.call("stats", {"after": names[50] + "x"})["regions"]), names[51:])
        self.client.notify("stats")

    def test_they_come_and_go_meanwhile(self):
        """Who is there all the time is there once, and all are in order."""
        other = self.connect(self.served)
        names = self.names()
        going = [name for name in names if name != "main"][:20]
        staying = set(names).difference(going)
        for i, name in enumerate(going):
            asked = [self.client.send("stats") for _ in range(3)]
            self.client.send("ping")
            new_name = f"{'az'[i % 2]}-{i}"  # the first one, or the last
            other.call("renameRegion", name, new_name)
            if i % 5 == 0:
                other.call("dropRegion", new_name)
                other.call("createRegion", f"region-0050-{i}", self.CHEAP)
            for msgid in asked:
                seen = list(self.client.wait(msgid)["regions"])
                self.assertEqual(seen, sorted(set(seen)))
                self.assertLessEqual(staying, set(seen))

    def test_who_asks_goes(self):
        for _ in range(20):
            client = Client(self.served.unix)
            for _ in range(10):
                client.send("stats")
            client.close()
        self.assertEqual(list(self.client.call("stats")["regions"]), self.names())

    def test_others_have_their_turns(self):
        """A change between two stretches shows in the region, but not in what was told before."""
        asked, last = self.connect(self.served), self.names()[-1]

        def changes(stats):
            return (stats["regions"][last]["operations"].get("allocate", 0),
                    stats["methods"].get("allocate", {"requests": 0})["requests"])

        of_region, of_all = changes(self.client.call("stats"))
        for _ in range(1000):
            msgid = asked.send("stats")
            for _ in range(20):
                self.client.call("allocate", last, 1)
            now_of_region, now_of_all = changes(asked.wait(msgid))
            if now_of_region - of_region > now_of_all - of_all:
                return
        self.fail("all of it is of one moment")

    def test_answers_fit_a_message(self):
        """However many methods regions have been asked for: what has no room comes with the next one."""
        names = self.names()
        calls = [("allocate", 10), ("allocate", 10), ("addBlob", b""), ("loadBlob", 0, 1), ("storeBlob", 0, b"x"),
                 ("replaceBlob", 0, 1, b"y"), ("resize", 5, 1, 1), ("deallocate", 1, 1), ("isFreed", 0, 1),
                 ("isAllocated", 0, 1), ("memoryInfo",), ("regionInfo",), ("size",), ("capacity",), ("pages",),
                 ("allocated",), ("deallocated",), ("id",), ("getFreeMemory",), ("grow", 0), ("batch", []),
                 ("allocatedBlocksInRange", 0, 1), ("deallocatedBlocksInRange", 0, 1),
                 ("deallocateRange", 0, 0), ("clearAndRetainHeader", 0), ("clear",)]
        for method, *params in calls:
            for msgid in [self.client.send(method, name, *params) for name in names]:
                try:
                    self.client.wait(msgid)
                except RpcError:
                    pass  # it counts, and its name is in the answer
        seen, parts, more = [], 0, True
        while more:
            msgid = self.client.send("stats", {"after": seen[-1] if seen else ""})
            part = self.client.wait(msgid)
            self.assertLessEqual(len(msgpack.packb([1, msgid, None, part])), 64 << 10)
            for name, region in part["regions"].items():
                self.assertEqual(set(region["operations"]), {method for method, *_ in calls}, name)
            seen += part["regions"]
            parts, more = parts + 1, part["more"]
        self.assertEqual(seen, names)
        self.assertGreater(parts, 1)
        for form in ("stat", "top"):  # joined
            told = mrcli(self.served, "-o", "json", form, "-n", "1").stdout
            self.assertEqual(list(json.loads(told)["regions"]), names, form)
        self.served.stop()  # so that it has few to tell again
        self.served.start()

    # ---- Reloads ----

    def reload(self, users):
        served = self.served
        served.write_config(f"listen: [unix: {served.path('s')}]\n{self.CONFIG}{users}")
        count = served.log().count("reloaded the configuration")
        served.signal(signal.SIGHUP)
        served.wait_log("reloaded the configuration", count + 1)

    def ask_until_refused(self, answers):
        """Has always some under way."""
        try:
            with Client(self.served.unix) as client:
                asked = [client.send("stats") for _ in range(3)]
                while True:
                    answers.append(list(client.wait(asked.pop(0))["regions"]))
                    asked.append(client.send("stats"))
        except Exception as error:
            answers.append(error)

    def test_who_becomes_nobody_meanwhile(self):
        """Who is made nobody by a reload is told so, and never half of the regions."""
        names = self.names()
        nobody = f"users: [{{name: other, uid: {os.getuid() + 1}, grants: []}}]\n"
        self.addCleanup(self.reload, "users: []\n")
        for _ in range(4):
            of_each = [[] for _ in range(4)]
            threads = [threading.Thread(target=self.ask_until_refused, args=(answers,))
                       for answers in of_each]
            for thread in threads:
                thread.start()
            self.reload(nobody)
            for thread in threads:
                thread.join()
            for *before, end in of_each:
                self.assertIsInstance(end, RpcError)
                self.assertEqual(end.code, "unauthenticated")
                for answer in before:
                    self.assertEqual(answer, names)
            self.reload("users: []\n")

    def test_many_at_once(self):
        """Each takes more than there is memory for, one after the other gets it."""
        names = self.names()
        clients = [self.connect(self.served) for _ in range(5)]
        for one, msgid in [(one, one.send("stats")) for one in clients for _ in range(10)]:
            self.assertEqual(list(one.wait(msgid)["regions"]), names)


class Seen(Case):
    def test_only_what_may_be_seen(self):
        server = self.server(config=" ")
        server.write_config(USERS.format(socket=server.path("s"), uid=os.getuid()))
        client = Client(server.start().unix)
        self.addCleanup(client.close)
        client.call("addBlob", "main", b"x")
        stats = client.call("stats")
        self.assertEqual(list(stats["regions"]), ["main"])
        self.assertFalse(stats["more"])
        self.assertFalse(client.call("stats", {"limit": 1})["more"])

    def test_nobody_sees_anything(self):
        server = self.server(config=" ")
        server.write_config(USERS.format(socket=server.path("s"), uid=os.getuid() + 1))
        client = Client(server.start().unix)
        self.addCleanup(client.close)
        with self.assertRaises(RpcError) as caught:
            client.call("stats")
        self.assertEqual(caught.exception.code, "unauthenticated")


if __name__ == "__main__":
    unittest.main()
