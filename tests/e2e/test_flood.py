"""Clients that send and do not read, or begin and do not finish: memory stays bounded and nobody
else waits for ever."""
import threading
import unittest

from bad import MAX_MESSAGE, MIB, SLACK, Bad
from mpack import Client, request

# An addBlob up to its blob.
ADD = b"\x94\x00\x05\xa7addBlob\x92\xa4main"


class Flood(Bad):
    """Clients that send and do not read."""
    REQUESTS = 100000

    def make_region(self):
        """One of its own for the test."""
        def drop():
            with Client(self.daemon.unix) as client:
                client.call("dropRegion", "flood")

        self.client.call("createRegion", "flood")
        self.addCleanup(drop)

    def flood(self, messages):
        """Sends from a thread, which blocks once the server reads no more."""
        client = self.connect()

        def send():
            try:
                client.socket.sendall(messages)  # and not send_raw, which reads
            except OSError:
                pass  # the test has ended

        client.socket.settimeout(None)
        thread = threading.Thread(target=send)
        thread.start()
        return client, thread

    def test_answers_nobody_reads(self):
        self.make_region()
        self.client.call("addBlob", "flood", bytes(16384))
        before = self.memory()
        messages = b"".join(request(i, "loadBlob", ["flood", 0, 16384])
                            for i in range(self.REQUESTS))  # 1.6 GB of answers
        client, thread = self.flood(messages)
        self.wait_rounds(50)
        self.assert_memory_bounded(before)
        seen = bytearray(self.REQUESTS)
        for i in range(self.REQUESTS):
            msgid, error, result = client.receive()
            self.assertIsNone(error)
            self.assertEqual(len(result), 16384)
            seen[msgid] += 1
            if i % 20000 == 0:
                self.assert_memory_bounded(before)
        self.assertEqual(seen, b"\1" * self.REQUESTS)
        thread.join()

    def test_small_answers_nobody_reads(self):
        before = self.memory()
        messages = b"".join(request(i, "ping", []) for i in range(self.REQUESTS * 3))
        client, thread = self.flood(messages)
        self.wait_rounds(50)
        self.assert_memory_bounded(before)
        for i in range(self.REQUESTS * 3):
            self.assertEqual(client.receive()[1:], (None, "pong"))
        thread.join()

    def test_changes_whose_answers_nobody_reads(self):
        self.make_region()
        before = self.memory()
        blob = bytes(1000)
        messages = b"".join(request(i, "addBlob", ["flood", blob]) for i in range(self.REQUESTS))
        client, thread = self.flood(messages)
        self.wait_rounds(50)
        self.assert_memory_bounded(before)
        addresses = {client.receive()[2] for _ in range(self.REQUESTS)}
        self.assertEqual(addresses, set(range(0, self.REQUESTS * 1000, 1000)))
        thread.join()

    def test_floods_that_go_away(self):
        messages = b"".join(request(i, "loadBlob", ["main", 0, 40]) for i in range(self.REQUESTS))
        before = self.memory()
        for end in ("close", "reset"):
            client, thread = self.flood(messages)
            self.wait_rounds(10)
            client.socket.shutdown(2)  # frees the thread
            thread.join()
            client.close() if end == "close" else client.reset()
        self.wait_rounds(10)
        self.assert_memory_bounded(before)

    def test_uploads_larger_than_memory_together(self):
        """Each holds half a message in memory, and none may wait for another for ever."""
        self.make_region()
        before = self.memory()
        count, size, slice_size = 24, 8 * MIB, 256 * 1024  # 192 MiB, three times max_buffered
        clients = [self.connect(i % 2 == 1) for i in range(count)]
        results = [None] * count
        barrier = threading.Barrier(count)

        def upload(index):
            message = request(1, "addBlob", ["flood", bytes([index]) * size])
            for start in range(0, len(message), slice_size):
                clients[index].send_raw(message[start:start + slice_size])
                if start == 0:
                    barrier.wait()  # all have begun
            results[index] = clients[index].wait(1)

        threads = [threading.Thread(target=upload, args=(i,)) for i in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(results), [i * size for i in range(count)])
        for index, address in enumerate(results):
            blob = self.client.call("loadBlob", "flood", address, size)
            self.assertTrue(blob == bytes([index]) * size)
        # The largest message may be taken in beyond the bound, so that one always gets through.
        self.assertLess(self.memory(), before + SLACK + 2 * MAX_MESSAGE)

    def test_memory_that_nobody_gives_back(self):
        """Clients that hold all of it in answers which they do not read are closed once they have
        kept others waiting for some time. (What is removed is in memory as a whole.)"""
        self.make_region()
        size = MAX_MESSAGE - 1000
        holders = [self.connect() for _ in range(3)]
        for holder in holders:
            holder.send("removeBlob", "flood", self.client.call("allocate", "flood", size), size)
        address = self.client.call("allocate", "flood", 8 * MIB)
        self.wait_rounds(20)  # small requests go on meanwhile
        self.assertEqual(len(self.client.call("loadBlob", "flood", address, 8 * MIB)), 8 * MIB)
        self.daemon.wait_log("max_buffered")

    def test_many_that_never_finish(self):
        before = self.memory()
        clients = [self.connect(i % 2 == 1) for i in range(300)]
        for client in clients:
            client.send_raw(ADD + b"\xc6\x00\x10\x00\x00" + bytes(5000))
        self.wait_rounds(20)
        self.assert_memory_bounded(before)
        self.assertEqual(self.client.call("ping"), "pong")


if __name__ == "__main__":
    unittest.main()
