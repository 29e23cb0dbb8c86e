"""Batches: several changes of one region, all or nothing, in order, and what they answer."""
import os
import random
import signal
import threading
import unittest

from case import Case, run
from mpack import Client, RpcError, pack, pack_header
from region import Region, start, stop

MIB = 1 << 20


def setUpModule():
    start()


def tearDownModule():
    stop()


class Batch(Region):
    def batch(self, *changes):
        return self.call("batch", list(changes))

    def refused_at(self, index, code, *changes):
        """By the change with this index."""
        sentence = self.refused(code, "batch", list(changes))
        self.assertTrue(sentence.startswith(f"change {index} ({changes[index][0]}): "), sentence)
        return sentence

    def state(self):
        """Everything that a change could change."""
        blocks = self.call("allocatedBlocksInRange", 0, self.call("size"))
        return (self.call("memoryInfo"), self.free(), blocks,
                [self.call("loadBlob", *block) for block in blocks])


class Results(Batch):
    def test_of_every_method(self):
        self.fill(100, 100, 100, 1)
        self.assertEqual(self.batch(
            ["allocate", 24], ["deallocate", 0, 10], ["resize", 100, 100, 50], ["addBlob", b"x" * 60],
            ["storeBlob", 110, b"ab"],
            ["removeBlob", 108, 4], ["replaceBlob", 200, 100, b"y" * 99],
            ["deallocateRange", 0, 100], ["grow", 2], ["clearAndRetainHeader", 320], ["clear"]),
            [301, None, 100, 325, None, b"\2\2ab", 200, 90, 1, None, None])
        self.assertEqual(self.call("allocated"), 0)
        self.assertEqual(self.call("pages"), 3)

    def test_none(self):
        self.assertEqual(self.batch(), [])
        self.assertEqual(self.call("batch", [], {}), [])

    def test_each_sees_those_before_it(self):
        self.assertEqual(self.batch(["addBlob", b"abc"], ["addBlob", b"defg"],
                                    ["deallocate", 0, 3], ["addBlob", b"xyz"],
                                    ["storeBlob", 2, b"ZD"], ["resize", 3, 4, 2]),
                         [0, 3, None, 0, None, 3])
        self.assertEqual(self.call("loadBlob", 0, 5), b"xyZDe")
        self.refused_at(1, "not_allocated", ["deallocate", 0, 1], ["storeBlob", 0, b"a"])

    def test_regions_by_name_id_and_left_out(self):
        self.assertEqual(self.batch(["addBlob", b"a"], ["addBlob", self.region, b"b"],
                                    ["addBlob", self.id, b"c"], ["addBlob", "d", {}],
                                    [b"addBlob", self.region.encode(), "e", {}],
                                    ["clearAndRetainHeader", self.region, 5], ["grow", 0]),
                         [0, 1, 2, 3, 4, None, 1])
        self.assertEqual(self.call("loadBlob", 0, 5), b"abcde")
        for other in ("main", 1, "nobody", 2**64 - 1, self.region + "x", ""):
            self.refused_at(1, "invalid_argument", ["clear"], ["addBlob", other, b"x"])
        self.assertEqual(self.call("allocated"), 5)

    def test_numbers_of_every_width(self):
        """Results shrink to their shortest form, and bytes behind them move along."""
        self.call("allocate", 5 << 32)
        blocks = [1, 200, 70000, 5 << 31]
        blobs = [os.urandom(size) for size in (1, 255, 256, 70000)]
        for at, blob in zip(blocks, blobs):
            self.call("storeBlob", at, blob)
        changes, expected = [], []
        for at, blob in zip(blocks, blobs):
            changes += [["removeBlob", at, len(blob)], ["deallocateRange", at, at + len(blob)],
                        ["addBlob", blob], ["grow", 0]]
            expected += [blob, 0, at, self.call("pages")]
        # each hole is taken again at once, being the tightest
        self.assertTrue(self.batch(*changes) == expected)

    def test_notifications(self):
        self.client.notify("batch", self.region, [["addBlob", b"abc"], ["addBlob", b"de"],
                                                  ["removeBlob", 0, 2]])
        self.client.notify("batch", self.region, [["clear"], ["deallocate", 0, 100]])
        self.client.notify("batch", self.region, [["clear"], 5])
        self.client.notify("batch", self.region, 5)
        self.assertEqual(self.call("allocated"), 3)
        self.assertEqual(self.free(), [[0, 2]])
        self.assertEqual(self.client.answers, {})


class Undone(Batch):
    # On blocks at 0, 1000, 2000 ... of 1000 bytes each.
    CHANGES = [["addBlob", b"n" * 300], ["allocate", 700], ["deallocate", 1000, 500],
               ["resize", 2000, 1000, 1500], ["resize", 3000, 1000, 10], ["storeBlob", 4100, b"s" * 50],
               ["replaceBlob", 5000, 1000, b"r" * 1200], ["removeBlob", 6000, 1000],
               ["deallocateRange", 7000, 7500], ["grow", 3], ["addBlob", b"l" * 200000],
               ["storeBlob", 8000, b"t" * 70000], ["clearAndRetainHeader", 4500], ["clear"]]
    FAILING = [("out_of_bounds", ["deallocate", 900, 10**9]), ("no_space", ["grow", 2**60]),
               ("not_allocated", ["replaceBlob", 95000, 1, b"what no change takes"])]

    def test_at_every_index(self):
        self.fill(*[1000] * 8, 90000)
        for number in range(3):
            self.call("deallocate", 80000 + 2000 * number, 700)
        self.call("deallocate", 95000, 1)
        before = self.state()
        for index in range(len(self.CHANGES) + 1):
            for code, failing in self.FAILING:
                changes = self.CHANGES[:index] + [failing] + self.CHANGES[index:]
                self.refused_at(index, code, *changes)
                self.assertEqual(self.state(), before)
        # what it would have been
        self.batch(*self.CHANGES)
        self.assertEqual(self.call("allocated"), 0)

    def test_while_others_change(self):
        """Undone in the middle of what others stage."""
        stop_now = threading.Event()
        failures = []

        def others(number):
            try:
                with Client(self.server.unix) as client:
                    mine = {}
                    while not stop_now.is_set():
                        blob = random.Random(number).randbytes(random.choice((10, 5000, 70000)))
                        address = client.call("addBlob", self.region, blob)
                        mine[address] = blob
                        if len(mine) > 5:
                            address, blob = mine.popitem()
                            got = client.call("removeBlob", self.region, address, len(blob))
                            assert got == blob, "another batch has changed it"
                    for address, blob in mine.items():
                        got = client.call("removeBlob", self.region, address, len(blob))
                        assert got == blob, "another batch has changed it"
            except BaseException as error:  # shown by the test
                failures.append(error)

        threads = [threading.Thread(target=others, args=(i,)) for i in range(3)]
        for thread in threads:
            thread.start()
        kept = {}
        for i in range(150):
            blobs = [os.urandom(random.choice((1, 100, 4096, 65536, 100000))) for _ in range(6)]
            changes = [["addBlob", blob] for blob in blobs]
            if i % 3:
                self.refused_at(6, "out_of_bounds", *changes, ["deallocate", 2**50, 1])
            else:
                kept.update(zip(self.batch(*changes), blobs))
        stop_now.set()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        self.assertEqual(self.call("allocated"), sum(map(len, kept.values())))
        for address, blob in kept.items():
            self.assertTrue(self.call("loadBlob", address, len(blob)) == blob)


class Removed(Batch):
    """removeBlob within a batch."""

    def test_before_the_batch(self):
        self.fill(10, 20, 70000)
        self.assertEqual(self.batch(["removeBlob", 5, 10], ["removeBlob", 0, 5],
                                    ["removeBlob", 30, 70000], ["removeBlob", 15, 0]),
                         [b"\1" * 5 + b"\2" * 5, b"\1" * 5, b"\3" * 70000, b""])
        self.assertEqual(self.free(), [[0, 15], [30, 70000]])

    def test_what_the_batch_gave(self):
        self.fill(10, 10)
        self.assertEqual(self.batch(["storeBlob", 2, b"ab"], ["storeBlob", 3, b"XY"],
                                    ["removeBlob", 0, 12]), [None, None, b"\1\1aXY" + b"\1" * 5 + b"\2\2"])
        self.assertEqual(self.batch(["addBlob", b"0123456789ab"], ["removeBlob", 3, 6],
                                    ["addBlob", b"new"], ["removeBlob", 3, 3], ["removeBlob", 0, 3]),
                         [0, b"345678", 3, b"new", b"012"])
        self.clear_and_fill(10, 10)
        moved = self.batch(["replaceBlob", 0, 10, b"z" * 30], ["removeBlob", 20, 30],
                           ["removeBlob", 10, 10])
        self.assertEqual(moved, [20, b"z" * 30, b"\2" * 10])

    def clear_and_fill(self, *sizes):
        self.client.call("dropRegion", self.region)
        self.client.call("createRegion", self.region)
        self.fill(*sizes)

    def test_partly_before_and_partly_given(self):
        self.fill(10, 10, 10)
        self.call("deallocate", 10, 10)
        self.assertEqual(self.batch(["addBlob", b"ABCDEFGHIJ"], ["storeBlob", 8, b"<><>"],
                                    ["removeBlob", 5, 20]),
                         [10, None, b"\1\1\1<><>CDEFGHIJ\3\3\3\3\3"])
        self.refused_at(0, "not_allocated", ["removeBlob", 0, 6])
        self.refused_at(1, "not_allocated", ["removeBlob", 0, 2], ["removeBlob", 1, 3])
        self.refused_at(0, "out_of_bounds", ["removeBlob", 25, 6])
        self.refused_at(1, "out_of_bounds", ["addBlob", b"12345"], ["removeBlob", 29, 8])

    def test_partly_before_and_read_by_a_worker(self):
        """So much that it is read aside; then the blocks are looked at once more."""
        size = 300000
        self.fill(size, 10, size)
        self.call("deallocate", size, 10)
        self.assertTrue(self.batch(["addBlob", b"ABCDEFGHIJ"], ["removeBlob", 0, 2 * size + 10]) ==
                        [size, b"\1" * size + b"ABCDEFGHIJ" + b"\3" * size])

    def test_past_the_size_before(self):
        self.fill(3)
        self.assertEqual(self.batch(["addBlob", b"abc"], ["removeBlob", 1, 4]),
                         [3, b"\1\1ab"])

    def test_what_has_no_content(self):
        """Nothing of older blobs, where the block was free before the batch."""
        self.fill(10)
        self.call("clear")
        self.assertEqual(self.batch(["allocate", 10], ["storeBlob", 4, b"x"], ["removeBlob", 0, 10]),
                         [0, None, b"\0\0\0\0x\0\0\0\0\0"])

    def test_what_a_resize_moved(self):
        self.fill(10, 10)
        for block in ((20, 30), (25, 1), (49, 1)):
            sentence = self.refused_at(1, "invalid_argument", ["resize", 0, 10, 30],
                                       ["removeBlob", *block])
            self.assertIn("deallocate", sentence)
        self.assertEqual(self.batch(["resize", 0, 10, 5], ["removeBlob", 0, 5]), [0, b"\1" * 5])
        self.assertEqual(self.batch(["resize", 10, 10, 30], ["deallocate", 10, 30]), [10, None])

    def test_staged_but_not_durable(self):
        """The bytes are still on their way."""
        blobs = [os.urandom(random.choice((1, 5000, 70000))) for _ in range(40)]
        added = [self.client.send("addBlob", self.region, blob) for blob in blobs]
        address, blocks = 0, []
        for blob in blobs:
            blocks.append(["removeBlob", address, len(blob)])
            address += len(blob)
        removed = self.client.send("batch", self.region, blocks)
        again = self.client.send("batch", self.region, blocks[:1])
        for msgid in added:
            self.client.wait(msgid)
        self.assertTrue(self.client.wait(removed) == blobs)
        with self.assertRaises(RpcError) as caught:
            self.client.wait(again)
        self.assertEqual(caught.exception.code, "not_allocated")

    def test_as_much_as_a_message_holds(self):
        limit = self.client.call("serverInfo")["max_message"]
        size = limit // 4
        self.call("allocate", limit + 100)
        self.call("storeBlob", limit - 10, b"the last")
        self.refused("too_large", "batch", [["removeBlob", i * size, size] for i in range(4)])
        self.refused("too_large", "batch", [["removeBlob", 0, limit]])
        self.refused("too_large", "batch", [["clear"], ["removeBlob", 0, limit - 20]])
        self.assertEqual(self.call("allocated"), limit + 100)
        results = self.batch(["removeBlob", limit // 2, limit // 2 - 40], ["removeBlob", limit - 10, 8])
        self.assertEqual(len(results[0]), limit // 2 - 40)
        self.assertEqual(results[1], b"the last")

    def test_in_too_many_pieces(self):
        self.fill(1000)
        for i in range(0, 1000, 2):
            self.call("deallocate", i, 1)
        before = self.state()
        self.assertIn("deallocate", self.refused_at(0, "invalid_argument", ["removeBlob", 0, 1000]))
        self.assertEqual(self.state(), before)

    def test_against_a_model(self):
        """Random batches, compared with the same changes made one by one in another region."""
        rng = random.Random(7)
        self.client.call("createRegion", "model")
        self.addCleanup(self.client.call, "dropRegion", "model")
        blocks = {}  # address: size
        for _ in range(120):
            changes, expected, after = [], [], dict(blocks)
            for _ in range(rng.randrange(1, 25)):
                change = self.random_change(rng, after)
                result = self.client.call(change[0], "model", *change[1:])
                changes.append(change)
                expected.append(result)
                if change[0] in ("removeBlob", "replaceBlob", "deallocate"):
                    del after[change[1]]
                if change[0] in ("addBlob", "replaceBlob") and change[-1]:
                    after[result] = len(change[-1])
            self.assertTrue(self.batch(*changes) == expected)
            self.assertEqual(self.free(), self.client.call("getFreeMemory", "model"))
            blocks = after
        for address, size in blocks.items():
            self.assertTrue(self.call("loadBlob", address, size) ==
                            self.client.call("loadBlob", "model", address, size))

    @staticmethod
    def random_change(rng, blocks):
        blob = rng.randbytes(rng.choice((1, 30, 500, 5000, 66000)))
        if not blocks or rng.random() < 0.4:
            return ["addBlob", blob]
        address = rng.choice(list(blocks))
        size = blocks[address]
        dice = rng.random()
        if dice < 0.3:
            return ["removeBlob", address, size]
        if dice < 0.5:
            return ["replaceBlob", address, size, blob]
        if dice < 0.6:
            return ["deallocate", address, size]
        at = rng.randrange(size)
        return ["storeBlob", address + at, blob[:size - at]]


class Large(Batch):
    def test_blobs_that_are_borrowed(self):
        for sizes in ((65536,), (10, 65536, 10), (65536, 70000, 5 * MIB, 3), (MIB,) * 20):
            blobs = [os.urandom(size) for size in sizes]
            addresses = self.batch(*[["addBlob", blob] for blob in blobs])
            for address, blob in zip(addresses, blobs):
                self.assertTrue(self.call("loadBlob", address, len(blob)) == blob)
            others = [os.urandom(size) for size in sizes]
            self.batch(*[["storeBlob", address, blob] for address, blob in zip(addresses, others)])
            results = self.batch(*[["removeBlob", address, len(blob)]
                                   for address, blob in zip(addresses, others)][:5])
            self.assertTrue(results == others[:5])
            self.call("clear")

    def test_borrowed_and_read_in_one(self):
        old = os.urandom(3 * MIB)
        self.call("addBlob", old)
        new = os.urandom(2 * MIB)
        address, removed = self.batch(["addBlob", new], ["removeBlob", 0, 3 * MIB])
        self.assertTrue(removed == old)
        self.assertTrue(self.call("loadBlob", address, 2 * MIB) == new)

    def test_many_that_wait_for_space(self):
        """Each needs more than is reserved, and they wait for each other."""
        clients = [self.connect(self.server.unix) for _ in range(8)]
        blobs = [bytes([i]) * (1 * MIB) for i in range(8)]
        ids = []
        for _ in range(3):
            for client, blob in zip(clients, blobs):
                ids.append((client, blob, client.send(
                    "batch", self.region, [["addBlob", blob], ["addBlob", blob[:60000]],
                                           ["addBlob", blob[:10]]])))
        total = 0
        for client, blob, msgid in ids:
            for address, size in zip(client.wait(msgid), (len(blob), 60000, 10)):
                self.assertTrue(self.call("loadBlob", address, size) == blob[:size])
                total += size
        self.assertEqual(self.call("allocated"), total)

    def test_more_journal_than_a_commit_gathers(self):
        blobs = [os.urandom(60000) for _ in range(600)]  # 36 MB, all journaled
        ids = [self.client.send("addBlob", self.region, b"before")]
        ids.append(self.client.send("batch", self.region, [["addBlob", blob] for blob in blobs]))
        ids.append(self.client.send("addBlob", self.region, b"behind"))
        self.assertEqual(self.client.wait(ids[0]), 0)
        addresses = self.client.wait(ids[1])
        self.assertEqual(self.client.wait(ids[2]), 6 + 600 * 60000)
        for address, blob in zip(addresses, blobs):
            self.assertTrue(self.call("loadBlob", address, 60000) == blob)

    def test_order_on_a_connection(self):
        ids = [self.client.send("addBlob", self.region, bytes(70000)),
               self.client.send("batch", self.region, [["deallocate", 0, 70000],
                                                       ["addBlob", b"first"]]),
               self.client.send("removeBlob", self.region, 0, 5),
               self.client.send("batch", self.region, [["addBlob", b"second"]]),
               self.client.send("batch", self.region, [["removeBlob", 0, 6]]),
               self.client.send("batch", self.region, [["addBlob", b"third"]]),
               self.client.send("loadBlob", self.region, 0, 5)]
        self.assertEqual([self.client.wait(msgid) for msgid in ids],
                         [0, [None, 0], b"first", [0], [b"second"], [0], b"third"])


class Limits(Case):
    def serve(self, *lines):
        server = self.server(config="listen: []\n")
        self.configure(server, *lines)
        server.start()
        return server, self.connect(server)

    def configure(self, server, *lines):
        server.write_config(f"listen: [{{unix: {server.path('s')}}}]\n" +
                            "".join(line + "\n" for line in lines))

    def refused(self, client, code, *params):
        with self.assertRaises(RpcError) as caught:
            client.call("batch", "main", *params)
        self.assertEqual(caught.exception.code, code)
        return caught.exception.sentence

    def test_max_batch(self):
        server, client = self.serve()
        self.assertEqual(client.call("serverInfo")["max_batch"], 1024)
        self.assertEqual(client.call("batch", "main", [["addBlob", b"x"]] * 1024), list(range(1024)))
        sentence = self.refused(client, "invalid_argument", [["addBlob", b"x"]] * 1025)
        self.assertRegex(sentence, "1025.*max_batch, 1024")
        self.refused(client, "invalid_argument", [["clear"]] * 1025, {"token": b"x" * 16})
        self.assertEqual(client.call("allocated", "main"), 1024)
        server.stop()

    def test_reload(self):
        server, client = self.serve("max_batch: 3")
        option = {"token": os.urandom(16)}
        changes = [["addBlob", b"x"]] * 3
        self.assertEqual(client.call("batch", "main", changes, option), [0, 1, 2])
        self.assertIn("max_batch, 3", self.refused(client, "invalid_argument", changes + changes))
        self.configure(server, "max_batch: 2")
        server.signal(signal.SIGHUP)
        server.wait_log("reloaded the configuration")
        self.assertIn("max_batch, 2", self.refused(client, "invalid_argument", changes))
        self.assertEqual(client.call("batch", "main", changes, option), [0, 1, 2])  # as before
        self.assertEqual(client.call("serverInfo")["max_batch"], 2)
        server.stop()

    def test_out_of_range(self):
        for value in ("0", "32769"):
            status, log = self.server(config=f"max_batch: {value}\n").run()
            self.assert_refused(status, log, "max_batch must be between 1 and 32768")

    def test_as_many_as_a_message_holds(self):
        server, client = self.serve("max_batch: 32768")
        self.assertEqual(client.call("batch", "main", [["clear"]] * 32764), [None] * 32764)
        self.assertEqual(client.call("batch", "main", [["addBlob", b"x"]] * 20000),
                         list(range(20000)))
        self.refused(client, "not_allocated", [["deallocate", i, 1] for i in range(15000)] +
                     [["deallocate", 5, 1]])
        removed = client.call("batch", "main", [["removeBlob", i, 1] for i in range(16000)])
        self.assertEqual(removed, [b"x"] * 16000)
        self.assertEqual(client.call("allocated", "main"), 4000)
        client.send_raw(b"\x94\x00\x05\xa5batch\x92\xa4main" + pack_header(0x90, 0xdc, 32765) +
                        pack(["clear"]) * 32765)
        (msgid, error, _), = client.wait_closed()
        self.assertEqual(msgid, 5)
        self.assertRegex(error, "^invalid_argument: .*65536")
        self.assertEqual(self.connect(server).call("allocated", "main"), 4000)
        server.stop()

    def test_small_messages_and_buffers(self):
        """Answers that are larger than the requests that ask for them; many wait for memory."""
        server, client = self.serve("max_message: 128KiB", "max_buffered: 256KiB",
                                    "max_batch: 20000")
        sentence = self.refused(client, "too_large", [["grow", 0]] * 15000)
        self.assertIn("max_message", sentence)
        blob = os.urandom(100000)
        others = [self.connect(server) for _ in range(6)]
        for _ in range(5):
            ids = [(other, other.send("batch", "main", [["addBlob", blob]])) for other in others]
            addresses = [other.wait(msgid)[0] for other, msgid in ids]
            ids = [(other, other.send("batch", "main", [["removeBlob", address, 50000],
                                                        ["removeBlob", address + 50000, 50000]]))
                   for other, address in zip(others, addresses)]
            for other, msgid in ids:
                self.assertTrue(b"".join(other.wait(msgid)) == blob)
        self.assertEqual(client.call("allocated", "main"), 0)
        self.assertEqual(client.call("serverInfo")["buffered"], 0)
        server.stop()
        done = run("--data-dir", server.data_dir, "--check")
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_no_space(self):
        server, client = self.serve("regions: [{name: main, max_size: 1000}]")
        client.call("addBlob", "main", bytes(600))
        sentence = self.refused(client, "no_space", [["addBlob", bytes(300)], ["addBlob", bytes(101)],
                                                     ["clear"]])
        self.assertTrue(sentence.startswith("change 1 (addBlob): "), sentence)
        self.assertEqual(client.call("allocated", "main"), 600)
        # room that the batch itself makes
        self.assertEqual(client.call("batch", "main", [["deallocate", 0, 600],
                                                       ["addBlob", bytes(900)]]), [None, 0])
        server.stop()


if __name__ == "__main__":
    unittest.main()
