"""Tokens and batches on a disk that is slow, fails or is full."""
import errno
import os
import signal

from faults import FaultCase, main
from mpack import RpcError

KIB, MIB = 1 << 10, 1 << 20
UNCACHED = f"preadv2 {errno.EAGAIN} regions/main/data"
SLOW = (UNCACHED, "pread hold regions/main/data")


def token():
    return {"token": os.urandom(16)}


class Slow(FaultCase):
    """Bytes that come from the disk, while others go on."""

    def send_slow(self, client, method, *params):
        """A request that is being read for."""
        self.rule(*SLOW)
        msgid = client.send(method, "main", *params)
        self.assertFalse(client.readable(0.1))
        return msgid

    def outcome(self, client, msgid):
        try:
            return client.wait(msgid)
        except RpcError as error:
            return error.code, error.sentence

    def removes(self, *sizes):
        """Blobs, and the changes that remove them."""
        blobs = [os.urandom(size) for size in sizes]
        addresses = [self.client.call("addBlob", "main", blob) for blob in blobs]
        return blobs, [["removeBlob", address, len(blob)]
                       for address, blob in zip(addresses, blobs)]

    def test_a_remove_that_is_sent_again_while_it_reads(self):
        option = token()
        others = [self.connect() for _ in range(3)]
        ids = [(self.client, self.send_slow(self.client, "removeBlob", self.address, 1000, option))]
        ids += [(other, other.send("removeBlob", "main", self.address, 1000, option))
                for other in others]
        self.assertFalse(self.client.readable(0.1))
        self.rule()
        for client, msgid in ids:
            self.assertEqual(client.wait(msgid), self.blob)
        self.assertTrue(self.client.call("isFreed", "main", self.address, 1000))
        self.assertEqual(self.client.call("removeBlob", "main", self.address, 1000, option), self.blob)

    def test_a_token_that_somebody_else_uses_meanwhile(self):
        for is_batch in (False, True):
            (blob,), (change,) = self.removes(70000)
            option = token()
            msgid = (self.send_slow(self.client, "batch", [change], option) if is_batch else
                     self.send_slow(self.client, *change, option))
            other = self.connect()
            taken = other.send("clearAndRetainHeader", "main", change[1] + 70000, option)
            self.assertEqual(other.call("size", "other"), 0)  # it is staged by now
            self.rule()
            self.assertIsNone(other.wait(taken))
            self.assertEqual(self.outcome(self.client, msgid)[0], "invalid_argument")
            self.assertTrue(self.client.call(*change[:1], "main", *change[1:]) == blob)

    def test_a_batch_that_is_sent_again_while_it_reads(self):
        blobs, changes = self.removes(10, 70000, 5000)
        option = token()
        others = [self.connect() for _ in range(3)]
        ids = [(self.client, self.send_slow(self.client, "batch", changes, option))]
        ids += [(other, other.send("batch", "main", changes, option)) for other in others]
        self.rule()
        for client, msgid in ids:
            self.assertTrue(client.wait(msgid) == blobs)
        self.assertEqual(self.client.call("allocated", "main"), 1000)

    def test_batches_of_blobs_that_are_not_cached(self):
        """Small messages, which are copied, and such as become the home of a blob."""
        for extra in (10, 60 * KIB, 64 * KIB, 3 * MIB):
            blobs, changes = self.removes(1, 4096, 70000, 2 * MIB)
            new = os.urandom(extra)
            self.rule(UNCACHED)
            results = self.client.call("batch", "main", [["addBlob", new], *changes])
            self.assertTrue(results[1:] == blobs)
            self.assertTrue(self.client.call("removeBlob", "main", results[0], extra) == new)
            self.rule()
            self.assertEqual(self.client.call("allocated", "main"), 1000)
            self.assertEqual(self.client.call("serverInfo")["buffered"], 0)

    def test_order_of_a_connection_and_others_that_go_on(self):
        large = os.urandom(100000)
        msgid = self.send_slow(self.client, "batch", [["removeBlob", self.address, 1000],
                                                      ["addBlob", b"n" * 1000], ["addBlob", large]])
        behind = [self.client.send("loadBlob", "main", self.address, 1000),
                  self.client.send("batch", "main", [["removeBlob", 1000, 100000]])]
        other = self.connect()
        place = other.call("addBlob", "other", b"x")
        self.assertEqual(other.call("removeBlob", "other", place, 1), b"x")
        self.rule()
        self.assertEqual(self.client.wait(msgid), [self.blob, self.address, 1000])
        self.assertEqual(self.client.wait(behind[0]), b"n" * 1000)
        self.assertTrue(self.client.wait(behind[1]) == [large])

    def test_a_store_meanwhile(self):
        """Of whole pages, for which nothing need be read: only the pins keep it off."""
        (blob,), (change,) = self.removes(100000)
        msgid = self.send_slow(self.client, "batch", [change])
        other = self.connect()
        store = other.send("storeBlob", "main", 8192, b"\2" * 4096)
        self.assertEqual(other.call("size", "other"), 0)  # it is staged by now
        self.assertFalse(other.readable(0.2), "written over what is being read")
        self.rule()
        at = 8192 - change[1]
        self.assertTrue(self.client.wait(msgid) == [blob[:at] + b"\2" * 4096 + blob[at + 4096:]])
        self.assertIsNone(other.wait(store))

    def test_a_free_meanwhile(self):
        blobs, changes = self.removes(10, 10)
        msgid = self.send_slow(self.client, "batch", [["addBlob", b"new"], *changes])
        other = self.connect()
        freed = other.send("deallocate", "main", changes[1][1], 5)
        self.assertEqual(other.call("size", "other"), 0)
        self.rule()
        code, sentence = self.outcome(self.client, msgid)
        self.assertEqual(code, "not_allocated")
        self.assertTrue(sentence.startswith("change 2 (removeBlob): "), sentence)
        self.assertIsNone(other.wait(freed))
        self.assertEqual(self.client.call("loadBlob", "main", changes[0][1], 10), blobs[0])
        self.assertEqual(self.client.call("allocated", "main"), 1015)

    def test_a_hole_that_others_fill_meanwhile(self):
        self.client.call("addBlob", "main", b"e" * 1000)
        self.client.call("deallocate", "main", 1000, 10)
        msgid = self.send_slow(self.client, "batch", [["removeBlob", 990, 30]])
        other = self.connect()
        added = other.send("addBlob", "main", b"0123456789")
        self.assertEqual(other.call("size", "other"), 0)
        self.rule()
        self.assertEqual(self.client.wait(msgid), [self.blob[990:] + b"0123456789" + b"e" * 10])
        self.assertEqual(other.wait(added), 1000)

    def test_a_hole_that_others_have_filled_meanwhile(self):
        """Durably: in pages of its own, which nobody reads."""
        self.client.call("addBlob", "main", b"e" * 10000)
        self.client.call("deallocate", "main", 4096, 4096)
        msgid = self.send_slow(self.client, "batch", [["removeBlob", 4000, 4300]])
        other = self.connect()
        self.assertEqual(other.call("addBlob", "main", b"n" * 4096), 4096)
        self.rule()
        self.assertEqual(self.client.wait(msgid), [b"e" * 96 + b"n" * 4096 + b"e" * 108])

    def test_who_asked_has_gone(self):
        """With a token what was sent whole can be asked for again; it is done once."""
        for end in ("close", "reset"):
            blobs, changes = self.removes(100, 70000)
            for method, params, result in (("batch", [changes[:1]], blobs[:1]),
                                           ("removeBlob", changes[1][1:], blobs[1])):
                option = token()
                client = self.connect()
                self.send_slow(client, method, *params, option)
                getattr(client, end)()
                self.rule()
                self.assertTrue(self.client.call(method, "main", *params, option) == result)
        self.assertEqual(self.client.call("allocated", "main"), 1000)
        self.assert_intact()

    def test_region_dropped_while_a_batch_reads(self):
        msgid = self.send_slow(self.client, "batch", [["removeBlob", self.address, 1000]])
        other = self.connect()
        drop = other.send("dropRegion", "main")
        self.assertFalse(other.readable(0.1))
        self.rule()
        self.assertEqual(self.client.wait(msgid), [self.blob])
        self.assertIsNone(other.wait(drop))

    def test_stop_while_a_batch_reads(self):
        msgid = self.send_slow(self.client, "batch", [["removeBlob", self.address, 1000]], token())
        self.daemon.signal(signal.SIGTERM)
        self.daemon.wait_log("stopping")
        self.rule()
        self.assertEqual(self.client.wait(msgid), [self.blob])
        self.assertEqual(self.daemon.wait(), 0)

    def test_a_retry_waits_until_it_is_durable(self):
        blob = os.urandom(500)
        blobs, changes = self.removes(30, 40)
        for method, params in (("addBlob", [blob]), ("batch", [changes])):
            option = token()
            self.rule("fdatasync hold regions/main/")
            first = self.client.send(method, "main", *params, option)
            other = self.connect()
            again = [other.send(method, "main", *params, option) for _ in range(20)]
            behind = other.send("addBlob", "main", b"behind")
            self.assertFalse(other.readable(0.2), "answered before it was durable")
            self.rule()
            result = self.client.wait(first)
            self.assertEqual([other.wait(msgid) for msgid in again], [result] * 20)
            other.wait(behind)
        self.assertEqual(result, blobs)


class Failing(FaultCase):
    def refused_at(self, index, code, changes, option=None):
        sentence = self.refused([code], "batch", "main", changes, option or {})
        self.assertTrue(sentence.startswith(f"change {index} ({changes[index][0]}): "), sentence)
        return sentence

    def test_failed_read(self):
        self.rule(f"pread {errno.EIO} regions/main/data", f"preadv2 {errno.EIO} regions/main/data")
        changes = [["addBlob", b"x"], ["removeBlob", self.address, 1000]]
        option = token()
        self.refused_at(1, "io_error", changes, option)
        self.refused_at(1, "io_error", changes)
        self.rule()
        self.assert_intact()
        self.assertEqual(self.client.call("allocated", "main"), 1000)
        for _ in range(2):
            self.assertEqual(self.client.call("batch", "main", changes, option), [1000, self.blob])

    def test_damage(self):
        path = os.path.join(self.daemon.data_dir, "regions", "main", "data")
        address = self.client.call("addBlob", "main", os.urandom(100000))
        with open(path, "r+b") as file:
            file.seek(address + 50000)
            byte = file.read(1)
            file.seek(address + 50000)
            file.write(bytes([byte[0] ^ 1]))
        changes = [["clearAndRetainHeader", 0], ["addBlob", b"x"],
                   ["removeBlob", address, 100000]]
        self.refused_at(2, "corrupt", changes)
        self.assert_intact()
        self.assertTrue(self.client.call("isAllocated", "main", address, 100000))

    def test_failed_sync(self):
        option, other_option = token(), token()
        done = token()
        first = self.client.call("addBlob", "main", b"done before", done)
        self.rule(f"fdatasync {errno.EIO} regions/main/")
        batch = [["addBlob", b"abc"], ["deallocate", self.address, 10], ["grow", 7]]
        other = self.connect()
        ids = [(client, client.send("addBlob", "main", b"lost", option))
               for client in (self.client, other) for _ in range(5)]
        ids += [(client, client.send("batch", "main", batch, other_option))
                for client in (self.client, other) for _ in range(5)]
        for client, msgid in ids:
            with self.assertRaises(RpcError) as caught:
                client.wait(msgid)
            self.assertIn(caught.exception.code, ("io_error", "read_only"))
        self.rule()
        self.assert_intact()
        self.refused(["read_only"], "addBlob", "main", b"lost", option)
        self.refused(["read_only"], "batch", "main", batch, other_option)
        self.refused(["read_only"], "batch", "main", [])
        self.assertEqual(self.client.call("addBlob", "main", b"done before", done), first)
        self.restart()
        for _ in range(2):
            address = self.client.call("addBlob", "main", b"lost", option)
            added = self.client.call("batch", "main", batch, other_option)[0]
            self.assertEqual(self.client.call("loadBlob", "main", address, 4), b"lost")
            self.assertEqual(self.client.call("loadBlob", "main", added, 3), b"abc")
            self.assertEqual(self.client.call("allocated", "main"), 1000 + 11 + 4 + 3 - 10)

    def test_full_disk(self):
        self.rule(f"fallocate {errno.ENOSPC} regions/main/",
                  f"pwritev {errno.ENOSPC} regions/main/data")
        before = (self.client.call("memoryInfo", "main"), self.client.call("getFreeMemory", "main"))
        large = bytes(40 * MIB)
        option = token()
        changes = [["deallocate", self.address, 500], ["addBlob", large]]
        for _ in range(3):
            self.refused_at(1, "no_space", changes, option)
            self.refused_at(0, "no_space", [["grow", 1 << 20], ["clear"]])
            self.assertEqual((self.client.call("memoryInfo", "main"),
                              self.client.call("getFreeMemory", "main")), before)
        self.rule()
        results = [self.client.call("batch", "main", changes, option) for _ in range(2)]
        self.assertEqual(results, [[None, 1000]] * 2)
        self.assertEqual(self.client.call("allocated", "main"), 500 + len(large))
        self.rule(f"fallocate {errno.ENOSPC} regions/main/")
        for i in range(100):  # freeing always works
            self.client.call("batch", "main", [["deallocate", 500 + i, 1], ["deallocate", 700 + i, 1]],
                             token())


if __name__ == "__main__":
    main()
