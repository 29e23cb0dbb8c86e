"""Large loads are read, verified and sent piece by piece: memory stays small however many there are
and however slowly they are taken, and what is sent is what was there at one moment."""
import hashlib
import os
import random
import re
import threading
import unittest

from bad import ASAN, MIB
from case import Case
from mpack import Client, Closed, RpcError, request
from server import Server

SLACK = (512 if ASAN else 16) * MIB
PIECES = 512 * 1024  # of one load, in the server's memory


def header(msgid, size):
    """What stands before the bytes of a large blob."""
    return b"\x94\x01" + bytes([msgid]) + b"\xc0\xc6" + size.to_bytes(4, "big")


class Taker(Client):
    """Takes a large blob as slowly as it likes."""

    def begin(self, region, address, size):
        self.socket.sendall(request(1, "loadBlob", [region, address, size]))
        self.left = size
        self.digest = hashlib.blake2b()
        return self

    def take_header(self):
        wanted = header(1, self.left)
        got = b""
        while len(got) < len(wanted):
            data = self.socket.recv(len(wanted) - len(got))
            assert data, "closed"
            got += data
        assert got == wanted, got
        return self

    def take(self, size=None):
        """So many bytes more, or all that are left; raises Closed."""
        buffer = bytearray(MIB)
        size = self.left if size is None else size
        while size > 0:
            count = self.socket.recv_into(buffer, min(size, MIB))
            if count == 0:
                raise Closed
            self.digest.update(memoryview(buffer)[:count])
            size -= count
            self.left -= count
        return self.digest.hexdigest()


def digest(blob):
    return hashlib.blake2b(blob).hexdigest()


class Loads(Case):
    def setUp(self):
        self.daemon = Server(config=self.CONFIG, regions=["main"])
        self.daemon.command += ["--listen", "unix:" + self.daemon.path("s"),
                                "--listen", "tcp:127.0.0.1:0"]
        self.addCleanup(self.daemon.remove)
        self.daemon.start()
        self.client = self.connect()

    def tearDown(self):
        self.daemon.stop()

    def connect(self, kind=Client, tcp=False):
        client = kind(self.daemon.tcp if tcp else self.daemon.unix)
        self.addCleanup(client.close)
        return client

    def add(self, size, seed=1):
        """A blob of random bytes: (address, blob)."""
        blob = random.Random(seed).randbytes(size)
        return self.client.call("addBlob", "main", blob), blob

    def memory(self):
        with open(f"/proc/{self.daemon.process.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1]) * 1024


class LargeLoads(Loads):
    CONFIG = "max_buffered: 256MiB\n"

    def test_a_hundred_at_once(self):
        size, count = 16 * MIB, 100
        address, blob = self.add(size)
        self.client.call("ping")
        before = self.memory()
        takers = [self.connect(Taker, i % 2 == 1).begin("main", address, size)
                  for i in range(count)]
        for taker in takers:
            taker.take_header()
        self.assertEqual(self.client.call("ping"), "pong")
        self.assertLess(self.memory() - before, count * PIECES + SLACK)
        for taker in takers[4:]:
            taker.close()
        for taker in takers[:4]:
            self.assertEqual(taker.take(), digest(blob))
        self.assertLess(self.memory() - before, count * PIECES + SLACK)

    def test_every_size_around_the_pieces(self):
        address, blob = self.add(3 * MIB)
        for size in (MIB - 1, MIB, MIB + 1, MIB + 256 * 1024, MIB + 256 * 1024 + 1, 3 * MIB - 1):
            for start in (0, 1, 4095):
                got = self.client.call("loadBlob", "main", address + start,
                                       min(size, 3 * MIB - start))
                self.assertTrue(got == blob[start:start + size], (start, size))

    def test_answers_of_other_requests_keep_their_place(self):
        """What is answered while a blob is on its way comes before it or after it, whole."""
        address, blob = self.add(2 * MIB)
        ids = []
        for i in range(40):
            ids.append(self.client.send("loadBlob", "main", address, 2 * MIB - i))
            ids.append(self.client.send("addBlob", "main", bytes([i]) * 5000))
            ids.append(self.client.send("ping"))
        for i in range(40):
            self.assertTrue(self.client.wait(ids[3 * i]) == blob[:2 * MIB - i])
            self.assertEqual(self.client.wait(ids[3 * i + 2]), "pong")
        addresses = [self.client.wait(ids[3 * i + 1]) for i in range(40)]
        for i, at in enumerate(addresses):
            self.assertEqual(self.client.call("loadBlob", "main", at, 5000), bytes([i]) * 5000)

    def test_a_blob_that_changes_meanwhile(self):
        """The change does not wait for who takes the old bytes slowly, and that one gets them."""
        size = 20 * MIB
        address, blob = self.add(size)
        takers = [self.connect(Taker, i % 2 == 1).begin("main", address, size).take_header()
                  for i in range(3)]
        self.client.call("storeBlob", "main", address, bytes(size))
        self.client.call("deallocate", "main", address, size)
        self.assertEqual(self.client.call("addBlob", "main", b"\1" * size), address)
        for taker in takers:
            self.assertEqual(taker.take(), digest(blob))

    def test_a_load_sees_what_came_before_it(self):
        size = 4 * MIB
        address, _ = self.add(size)
        for i in range(10):
            stored = self.client.send("storeBlob", "main", address, bytes([i]) * size)
            loaded = self.client.send("loadBlob", "main", address, size)
            after = self.client.send("storeBlob", "main", address, bytes([100 + i]) * size)
            self.assertTrue(self.client.wait(loaded) == bytes([i]) * size)
            self.client.wait(stored)
            self.client.wait(after)

    def test_takers_that_go_away(self):
        size = 32 * MIB
        address, _ = self.add(size)
        before = self.memory()
        for i in range(60):
            taker = self.connect(Taker, i % 2 == 1).begin("main", address, size)
            if i % 3 > 0:
                taker.take_header().take(1000 * i)
            taker.close() if i % 2 == 0 else taker.reset()
        self.client.call("storeBlob", "main", address, bytes(size))  # nothing is in its way
        self.assertTrue(self.client.call("loadBlob", "main", address, size) == bytes(size))
        self.assertLess(self.memory() - before, 60 * PIECES + size + SLACK)

    def test_half_closed(self):
        address, blob = self.add(20 * MIB)
        msgid = self.client.send("loadBlob", "main", address, 20 * MIB)
        self.client.half_close()
        self.assertTrue(self.client.wait(msgid) == blob)
        self.assertEqual(self.client.wait_closed(), [])

    def check_damage(self, size, offset):
        """Of a blob of that size, so far behind its start."""
        address, _ = self.add(size)
        self.client.call("checkpoint", "main")
        with open(os.path.join(self.daemon.data_dir, "regions", "main", "data"), "r+b") as file:
            file.seek(address + offset)
            file.write(b"\0" * 50)
        with self.assertRaises(RpcError) as caught:
            self.client.call("loadBlob", "main", address, size)
        self.assertEqual(caught.exception.code, "corrupt")
        self.assertIn(str((address + offset) // 4096 * 4096), caught.exception.sentence)
        return address

    def test_damage_is_answered(self):
        """Also where it lies at the end: nothing has been sent by then."""
        size = 8 * MIB
        address = self.check_damage(size, size - 100)
        self.assertEqual(len(self.client.call("loadBlob", "main", address, size - 8192)),
                         size - 8192)

    def test_damage_of_the_beginning_is_answered(self):
        """Which is verified last, and sent from where it was read for that."""
        for offset in 100, PIECES // 2 + 5000, PIECES + 5000:
            self.check_damage(2 * MIB, offset)

    def bytes_read(self):
        with open(f"/proc/{self.daemon.process.pid}/io", encoding="ascii") as file:
            return int(re.search(r"rchar: (\d+)", file.read())[1])

    def test_the_beginning_is_read_once(self):
        size, count = MIB + 256 * 1024, 10
        address, blob = self.add(size)
        before = self.bytes_read()
        for _ in range(count):
            self.assertTrue(self.client.call("loadBlob", "main", address, size) == blob)
        each = (self.bytes_read() - before) // count
        self.assertGreater(each, size)  # verified before, and what follows read once more
        self.assertLess(each, 2 * size - PIECES + 64 * 1024)

    def test_damage_in_the_middle_of_an_answer(self):
        """What was well when the answer began: it is never completed with other bytes."""
        size = 32 * MIB
        address, _ = self.add(size)
        self.client.call("checkpoint", "main")
        taker = self.connect(Taker).begin("main", address, size).take_header()
        with open(os.path.join(self.daemon.data_dir, "regions", "main", "data"), "r+b") as file:
            file.seek(address + size - 100)
            file.write(b"\0" * 50)
        with self.assertRaises(Closed):
            taker.take()
        self.daemon.wait_log("closed in the middle of an answer.*checksum")
        self.assertGreater(taker.left, 0)
        self.assertEqual(self.client.call("ping"), "pong")

    def test_drop(self):
        """A region is dropped although somebody is loading from it, who gets it all."""
        size = 32 * MIB
        self.client.call("createRegion", "other")
        blob = random.Random(5).randbytes(size)
        address = self.client.call("addBlob", "other", blob)
        taker = self.connect(Taker).begin("other", address, size).take_header()
        self.client.call("dropRegion", "other")
        self.assertEqual(taker.take(), digest(blob))

    def test_stop(self):
        """Who takes the answer gets it all; who does not is not waited for for ever."""
        size = 32 * MIB
        address, blob = self.add(size)
        good = self.connect(Taker).begin("main", address, size).take_header()
        bad = self.connect(Taker).begin("main", address, size).take_header()
        thread = threading.Thread(target=self.daemon.stop)
        thread.start()
        self.assertEqual(good.take(), digest(blob))
        thread.join()
        self.assertIn("did not take its answers", self.daemon.log())
        with self.assertRaises((Closed, ConnectionResetError)):
            bad.take()
        self.daemon.start()


class ShortOfMemory(Loads):
    """Where max_buffered has room for few loads at a time, let alone for their bytes."""
    CONFIG = "max_message: 16MiB\nmax_buffered: 16MiB\n"

    def test_more_than_there_is_room_for(self):
        size, count = 8 * MIB, 60
        address, blob = self.add(size)
        before = self.memory()
        takers = [self.connect(Taker, i % 2 == 1).begin("main", address, size)
                  for i in range(count)]
        def take_header(taker):
            try:
                taker.take_header()
            except (AssertionError, OSError):
                pass  # the test has ended

        threads = [threading.Thread(target=take_header, args=(taker,)) for taker in takers]
        for thread in threads:
            thread.start()
        for taker, thread in zip(takers[:8], threads):
            thread.join()
            self.assertEqual(taker.take(), digest(blob))
        self.assertLess(self.memory() - before, 2 * 16 * MIB + SLACK)
        for taker in takers[8:]:
            taker.socket.shutdown(2)
        for thread in threads:
            thread.join()

    def test_a_blob_that_changes_meanwhile(self):
        """Whoever takes the old bytes too slowly is closed, where they cannot be kept: others wait
        for the change."""
        size = 12 * MIB
        address, _ = self.add(size)
        takers = [self.connect(Taker).begin("main", address, size).take_header() for i in range(5)]
        self.client.call("storeBlob", "main", address, bytes(size))
        self.daemon.wait_log("takes them too slowly")
        closed = 0
        for taker in takers:
            try:
                taker.take()
            except (Closed, ConnectionResetError):
                closed += 1
        self.assertGreater(closed, 0)
        self.assertTrue(self.client.call("loadBlob", "main", address, size) == bytes(size))


if __name__ == "__main__":
    unittest.main()
