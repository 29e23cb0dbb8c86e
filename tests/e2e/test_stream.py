"""Many requests on a connection, many connections on a region: order, pipelining, notifications,
msgids, and what one sees of the other's changes."""
import unittest

from region import Region, start, stop


def setUpModule():
    start()


def tearDownModule():
    stop()


class Stream(Region):
    def test_pipelined_effects_are_in_order(self):
        ids = [self.client.send("addBlob", self.region, bytes([i % 251]) * 10) for i in range(3000)]
        loads = [self.client.send("loadBlob", self.region, i * 10, 10) for i in range(3000)]
        self.assertEqual([self.client.wait(msgid) for msgid in ids],
                         list(range(0, 30000, 10)))
        for i, msgid in enumerate(loads):
            self.assertEqual(self.client.wait(msgid), bytes([i % 251]) * 10)

    def test_a_load_sees_what_was_stored_before_it(self):
        self.fill(200000)
        ids = []
        for i in range(200):
            blob = bytes([i]) * (100000 if i % 50 == 0 else 9)
            self.client.send("storeBlob", self.region, i, blob)
            ids.append((i, self.client.send("loadBlob", self.region, i, 9)))
        for i, msgid in ids:
            self.assertEqual(self.client.wait(msgid), bytes([i]) * 9)

    def test_removed_space_is_handed_out_with_the_right_bytes(self):
        adds, removes = [], []
        for i in range(500):
            adds.append(self.client.send("addBlob", self.region, bytes([i % 256]) * 5000))
            removes.append(self.client.send("removeBlob", self.region, 0, 5000))
        for i in range(500):
            self.assertEqual(self.client.wait(adds[i]), 0)
            self.assertEqual(self.client.wait(removes[i]), bytes([i % 256]) * 5000)

    def test_notifications(self):
        self.client.notify("addBlob", self.region, b"quiet")
        self.client.notify("noSuchMethod", 1, 2, 3)
        self.client.notify("loadBlob", self.region, 2**64 - 1, 1)
        self.client.notify("addBlob", "no region of this name", b"x")
        self.client.notify("addBlob")
        self.assertEqual(self.call("loadBlob", 0, 5), b"quiet")
        self.assertEqual(self.call("size"), 5)
        self.assertEqual(self.client.answers, {})

    def test_msgids(self):
        ids = (0, 1, 127, 128, 255, 256, 65535, 65536, 2**31, 2**32 - 1)
        for msgid in ids:
            self.client.next_msgid = msgid
            self.assertEqual(self.client.call("ping"), "pong")

    def test_equal_msgids_each_get_an_answer(self):
        for _ in range(3):
            self.client.next_msgid = 7
            self.client.send("ping")
        self.assertEqual([self.client.receive() for _ in range(3)], [(7, None, "pong")] * 3)

    def test_integers_of_every_width(self):
        self.fill(100)
        name = b"\xc4" + bytes([len(self.region)]) + self.region.encode()
        for address in ("05", "cc05", "cd0005", "ce00000005", "cf0000000000000005", "d005",
                        "d10005", "d200000005", "d30000000000000005"):
            result = self.client.call_packed("loadBlob", b"\xdc\x00\x03" + name +
                                             bytes.fromhex(address) + b"\xcc\x03")
            self.assertEqual(result, b"\1\1\1")

    def test_a_load_never_sees_half_a_store(self):
        for size in (100, 5000, 70000, 1 << 20):
            rounds = 40 if size < 1 << 20 else 12
            address = self.call("addBlob", bytes(size))
            reader = self.connect(self.server.tcp)
            for i in range(1, rounds):
                stores = [self.client.send("storeBlob", self.region, address, bytes([j]) * size)
                          for j in (i, i + 100)]
                loads = [reader.send("loadBlob", self.region, address, size) for _ in range(3)]
                for msgid in loads:
                    self.assertEqual(len(set(reader.wait(msgid))), 1, "half of each")
                for msgid in stores:
                    self.client.wait(msgid)
                self.assertEqual(self.call("loadBlob", address, size), bytes([i + 100]) * size)

    def test_two_connections_share_a_region(self):
        other = self.connect(self.server.unix)
        self.assertEqual(self.call("addBlob", b"mine"), 0)
        self.assertEqual(other.call("loadBlob", self.region, 0, 4), b"mine")
        self.assertEqual(other.call("removeBlob", self.region, 0, 4), b"mine")
        self.refused("not_allocated", "loadBlob", 0, 4)


if __name__ == "__main__":
    unittest.main()
