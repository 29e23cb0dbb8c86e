"""A disk that fails, fills up or takes its time, under the real daemon: what it answers, that
nothing acknowledged is lost, and that other regions and connections go on."""
import errno
import os
import signal

from faults import FaultCase, main
from mpack import Client, Closed, RpcError


class Faults(FaultCase):
    def assert_region_failed(self):
        """It takes no change, says so and why, still answers questions; the other one works."""
        for method, params in (("addBlob", [b"x"]), ("allocate", [5]),
                               ("deallocate", [self.address, 1]),
                               ("storeBlob", [self.address, b"x"]), ("clear", [])):
            self.refused(["read_only"], method, "main", *params)
        self.assertTrue(self.client.call("regionInfo", "main")["read_only"])
        self.assertFalse(self.client.call("regionInfo", "other")["read_only"])
        self.assert_intact()
        address = self.client.call("addBlob", "other", b"fine")
        self.assertEqual(self.client.call("removeBlob", "other", address, 4), b"fine")
        self.daemon.wait_log("main.*read-only|read-only.*main")

    def test_failed_sync(self):
        waiting = [self.connect() for _ in range(5)]
        self.rule(f"fdatasync {errno.EIO} regions/main/")
        ids = [[client.send("addBlob", "main", b"lost") for _ in range(10)] for client in waiting]
        for client, msgids in zip(waiting, ids):
            for msgid in msgids:
                with self.assertRaises(RpcError) as caught:
                    client.wait(msgid)
                self.assertIn(caught.exception.code, ("io_error", "read_only"))
        self.rule()  # never retried: a sync that works now would not mean anything
        self.assert_region_failed()
        self.assertIn("io_error", Client.codes)
        self.restart()
        self.assert_intact()
        self.assertFalse(self.client.call("regionInfo", "main")["read_only"])
        self.client.call("addBlob", "main", b"works again")

    def test_signals_and_short_counts(self):
        """Calls that are interrupted, or do less than they were asked for, are gone on with."""
        calls = ("pread", "preadv2", "pwritev", "fallocate", "zero", "punch", "openat")
        for rules in ([f"{call} signal regions/" for call in calls],
                      ["pread short regions/", "pwritev short regions/",
                       f"preadv2 {errno.EAGAIN} regions/"]):
            self.rule(*rules)
            blobs = {}
            for size in (1, 4097, 100001, 3 << 20):
                blob = os.urandom(size)
                blobs[self.client.call("addBlob", "main", blob)] = blob
            self.client.call("createRegion", "third")
            gone = self.client.call("addBlob", "main", bytes(4 << 20))
            self.client.call("deallocate", "main", gone, 4 << 20)
            for address, blob in blobs.items():
                self.assertTrue(self.client.call("loadBlob", "main", address, len(blob)) == blob)
            self.assertFalse(self.client.call("regionInfo", "main")["read_only"])
            self.daemon.kill()
            self.daemon.start()  # recovery with the same rules
            self.client = self.connect()
            for address, blob in blobs.items():
                self.assertTrue(self.client.call("loadBlob", "main", address, len(blob)) == blob)
            self.client.call("dropRegion", "third")
            self.assert_intact()

    def test_interrupted_sync(self):
        """It may be said in the place of an error: nothing is acknowledged."""
        self.rule("fdatasync signal regions/main/journal")
        self.refused(["io_error"], "addBlob", "main", b"lost")
        self.rule()
        self.assert_region_failed()
        self.restart()
        self.assert_intact()

    def test_failed_write(self):
        """What was being overwritten is not shown until recovery has made it whole, old or new."""
        other = self.client.call("addBlob", "main", b"\1" * 1000)
        self.rule(f"pwritev {errno.EIO} regions/main/")
        self.refused(["io_error"], "storeBlob", "main", other, b"\2" * 1000)
        self.rule()
        self.assert_region_failed()
        try:
            blob = self.client.call("loadBlob", "main", other, 1000)
            self.assertIn(blob, (b"\1" * 1000, b"\2" * 1000))
        except RpcError as error:
            self.assertEqual(error.code, "io_error")
        self.restart()
        self.assert_intact()
        self.assertIn(self.client.call("loadBlob", "main", other, 1000),
                      (b"\1" * 1000, b"\2" * 1000))

    def test_failed_read(self):
        self.rule(f"pread {errno.EIO} regions/main/data", f"preadv2 {errno.EIO} regions/main/data")
        self.assertIn("Input/output error",
                      self.refused(["io_error"], "loadBlob", "main", self.address, 1000))
        self.refused(["io_error"], "removeBlob", "main", self.address, 1000)
        self.assertTrue(self.client.call("isAllocated", "main", self.address, 1000))
        self.rule()
        self.assert_intact()
        self.assertEqual(self.client.call("removeBlob", "main", self.address, 1000), self.blob)

    def test_data_file_cut_short(self):
        path = os.path.join(self.daemon.data_dir, "regions", "main", "data")
        address = self.client.call("addBlob", "main", bytes(100000))
        os.truncate(path, 10000)
        for method in ("loadBlob", "removeBlob"):
            self.assertIn("data", self.refused(["corrupt"], method, "main", address, 100000))
        self.assertTrue(self.client.call("isAllocated", "main", address, 100000))
        self.assert_intact()

    def test_full_disk(self):
        self.rule(f"fallocate {errno.ENOSPC} regions/main/",
                  f"pwritev {errno.ENOSPC} regions/main/data")
        before = self.client.call("memoryInfo", "main")
        free = self.client.call("getFreeMemory", "main")
        for method, params in (("addBlob", [bytes(40 << 20)]), ("allocate", [1 << 40]),
                               ("grow", [1 << 20])):
            self.refused(["no_space"], method, "main", *params)
        self.assertEqual(self.client.call("memoryInfo", "main"), before)
        self.assertEqual(self.client.call("getFreeMemory", "main"), free)
        self.rule(f"fallocate {errno.ENOSPC} regions/main/")
        for i in range(1000):  # freeing always works
            self.client.call("deallocate", "main", self.address + i, 1)
        self.rule()
        self.assertEqual(self.client.call("addBlob", "main", bytes(1000)), self.address)
        self.client.call("addBlob", "main", bytes(40 << 20))

    def test_full_disk_refuses_everybody_and_then_nobody(self):
        self.rule(f"fallocate {errno.ENOSPC} regions/main/")
        clients = [self.connect() for _ in range(8)]
        blobs = [bytes([i]) * (3 << 20) for i in range(len(clients))]  # more than is reserved
        ids = [[client.send("addBlob", "main", blob) for _ in range(12)]
               for client, blob in zip(clients, blobs)]
        for client, msgids in zip(clients, ids):
            for msgid in msgids:
                with self.assertRaises(RpcError) as caught:
                    client.wait(msgid)
                self.assertEqual(caught.exception.code, "no_space")
        self.rule()
        for client, blob in zip(clients, blobs):
            address = client.call("addBlob", "main", blob)
            self.assertTrue(client.call("loadBlob", "main", address, len(blob)) == blob)
        self.assert_intact()

    def test_region_that_cannot_be_made(self):
        for rule in (f"openat {errno.ENOSPC} data", f"fsync {errno.EIO} regions",
                     f"openat {errno.EACCES} meta"):
            self.rule(rule)
            self.refused(["no_space", "io_error", "denied"], "createRegion", "new")
            self.assertEqual(self.client.call("listRegions"), ["main", "other"])
            self.rule()
        self.client.call("createRegion", "new")
        self.assertEqual(self.client.call("listRegions"), ["main", "new", "other"])
        self.client.call("dropRegion", "new")

    def test_slow_sync_holds_its_own_region_only(self):
        # From memory: its page is about to be written by a commit that hangs.
        self.assert_intact()
        self.rule("fdatasync hold regions/main/")
        ids = [self.client.send("addBlob", "main", bytes([i]) * 100) for i in range(100)]
        other = self.connect()
        for i in range(20):
            address = other.call("addBlob", "other", b"x" * (i + 1))
            self.assertEqual(other.call("removeBlob", "other", address, i + 1), b"x" * (i + 1))
            self.assertEqual(other.call("loadBlob", "main", self.address, 1000), self.blob)
            # What is staged shows in the questions, and is answered only when it is durable.
            other.call("memoryInfo", "main")
        self.assertFalse(self.client.readable(0.2), "answered before it was durable")
        self.rule()
        self.assertEqual([self.client.wait(msgid) for msgid in ids],
                         [1000 + 100 * i for i in range(100)])

    # ---- Space that goes back ----

    def test_discard_is_not_possible(self):
        self.rule(f"punch {errno.EOPNOTSUPP} regions/main/data")
        address = self.client.call("addBlob", "main", bytes(4 << 20))
        self.client.call("deallocate", "main", address, 4 << 20)
        self.daemon.wait_log("main.*discard has no effect")
        self.assertEqual(self.client.call("regionInfo", "main")["discarded_bytes"], 0)
        self.assertEqual(self.client.call("addBlob", "main", b"x" * (4 << 20)), address)
        self.assert_intact()
        self.assertEqual(self.daemon.log().count("discard has no effect"), 1)

    def test_failed_discard(self):
        self.rule(f"punch {errno.EIO} regions/main/data")
        address = self.client.call("addBlob", "main", bytes(4 << 20))
        self.client.call("deallocate", "main", address, 4 << 20)
        self.daemon.wait_log("main.*read-only")
        self.assert_region_failed()
        self.restart()
        self.assert_intact()

    # ---- Reads that have to wait for the disk ----

    UNCACHED = f"preadv2 {errno.EAGAIN} regions/main/data"
    SLOW = (UNCACHED, "pread hold regions/main/data")

    def test_uncached_blobs(self):
        self.rule(self.UNCACHED)
        blobs = {}
        for size in (1, 4096, 70000, 2 << 20):
            blob = os.urandom(size)
            blobs[self.client.call("addBlob", "main", blob)] = blob
        ids = [(self.client.send("loadBlob", "main", address, len(blob)), blob)
               for address, blob in blobs.items() for _ in range(20)]
        for msgid, blob in ids:
            self.assertTrue(self.client.wait(msgid) == blob)
        for address, blob in blobs.items():
            self.assertTrue(self.client.call("removeBlob", "main", address, len(blob)) == blob)
            self.assertTrue(self.client.call("isFreed", "main", address, len(blob)))

    def test_store_while_the_block_is_being_read(self):
        self.rule(*self.SLOW)
        load = self.client.send("loadBlob", "main", self.address, 1000)
        self.assertFalse(self.client.readable(0.1))
        other = self.connect()
        store = other.send("storeBlob", "main", self.address, b"\2" * 1000)
        self.assertEqual(self.connect().call("ping"), "pong")
        self.assertFalse(self.client.readable(0.1))
        self.rule()
        self.assertIn(self.client.wait(load), (self.blob, b"\2" * 1000))
        self.assertIsNone(other.wait(store))
        self.assertEqual(self.client.call("loadBlob", "main", self.address, 1000), b"\2" * 1000)

    def test_two_remove_the_same_blob(self):
        for method in ("removeBlob", "deallocate"):
            address = self.client.call("addBlob", "main", self.blob)
            self.rule(*self.SLOW)
            other = self.connect()
            ids = [(self.client, self.client.send("removeBlob", "main", address, 1000)),
                   (other, other.send(method, "main", address, 1000))]
            self.assertFalse(self.client.readable(0.1))
            self.rule()
            outcomes = []
            for client, msgid in ids:
                try:
                    self.assertIn(client.wait(msgid), (self.blob, None))
                    outcomes.append("removed")
                except RpcError as error:
                    outcomes.append(error.code)
            self.assertEqual(sorted(outcomes), ["not_allocated", "removed"])
            self.assertTrue(self.client.call("isFreed", "main", address, 1000))

    def test_later_requests_see_a_slow_remove(self):
        self.rule(*self.SLOW)
        ids = [self.client.send("removeBlob", "main", self.address, 1000),
               self.client.send("addBlob", "main", b"n" * 1000),
               self.client.send("loadBlob", "main", self.address, 1000)]
        self.assertFalse(self.client.readable(0.1))
        self.rule()
        self.assertEqual([self.client.wait(msgid) for msgid in ids],
                         [self.blob, self.address, b"n" * 1000])

    def test_who_asked_has_gone(self):
        address = self.client.call("addBlob", "main", os.urandom(1 << 20))
        self.rule(*self.SLOW)
        for method in ("loadBlob", "removeBlob"):
            for end in ("close", "reset"):
                client = self.connect()
                client.send(method, "main", address, 1 << 20)
                self.assertFalse(client.readable(0.05))
                getattr(client, end)()
        self.rule()
        self.assert_intact()

    def test_region_dropped_while_it_is_read(self):
        self.rule(*self.SLOW)
        load = self.client.send("loadBlob", "main", self.address, 1000)
        self.assertFalse(self.client.readable(0.1))
        other = self.connect()
        drop = other.send("dropRegion", "main")
        self.assertFalse(other.readable(0.1))
        with self.assertRaises(RpcError) as caught:
            self.connect().call("size", "main")
        self.assertEqual(caught.exception.code, "no_such_region")
        self.rule()
        self.assertEqual(self.client.wait(load), self.blob)
        self.assertIsNone(other.wait(drop))
        self.assertEqual(self.client.call("listRegions"), ["other"])
        self.assertIsInstance(self.client.call("createRegion", "main"), int)

    def test_stop_while_a_blob_is_read(self):
        self.rule(*self.SLOW)
        load = self.client.send("loadBlob", "main", self.address, 1000)
        remove = self.client.send("removeBlob", "main", self.address, 1000)
        self.assertFalse(self.client.readable(0.1))
        self.daemon.signal(signal.SIGTERM)
        self.daemon.wait_log("stopping")
        self.rule()
        self.assertEqual(self.client.wait(load), self.blob)
        self.assertEqual(self.client.wait(remove), self.blob)
        self.assertEqual(self.daemon.wait(), 0)

    def test_stop_finishes_what_is_in_flight(self):
        self.rule("fdatasync hold regions/main/")
        ids = [self.client.send("addBlob", "main", bytes([i]) * 100) for i in range(50)]
        while self.staged() < 50:
            pass
        late = self.connect()
        self.daemon.signal(signal.SIGTERM)
        self.daemon.wait_log("stopping|SIGTERM")
        self.assertTrue(self.refused_while_stopping(late))
        self.rule()
        self.assertEqual([self.client.wait(msgid) for msgid in ids],
                         [1000 + 100 * i for i in range(50)])
        self.assertEqual(self.client.wait_closed(), [])
        self.assertEqual(self.daemon.wait(), 0)
        self.daemon.start()
        client = self.connect()
        for i in range(50):
            self.assertEqual(client.call("loadBlob", "main", 1000 + 100 * i, 100), bytes([i]) * 100)

    def staged(self):
        """Blobs of 100 bytes behind the first one, durable or not."""
        with Client(self.daemon.unix) as client:
            return (client.call("size", "main") - 1000) // 100

    def refused_while_stopping(self, client):
        """A request that comes after SIGTERM is refused, or its connection closed."""
        try:
            client.call("addBlob", "other", b"too late")
        except RpcError as error:
            return error.code == "shutting_down"
        except (Closed, OSError):
            return True
        return False

    def test_kill_while_a_sync_hangs(self):
        self.rule("fdatasync hold regions/main/")
        self.client.send("storeBlob", "main", self.address, bytes(1000))
        self.client.send("addBlob", "main", bytes(300000))
        self.assertFalse(self.client.readable(0.2))
        self.restart()
        blob = self.client.call("loadBlob", "main", self.address, 1000)
        self.assertIn(blob, (self.blob, bytes(1000)), "a mix of old and new")


if __name__ == "__main__":
    main()
