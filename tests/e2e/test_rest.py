#!/usr/bin/env python3
"""A server that was busy gives its memory back once it is not, whatever it stores, and sleeps then."""
import os
import threading
import time
import unittest

from case import Case
from mpack import Client, request
from server import DEADLINE

MIB = 1 << 20
CONNECTIONS, REQUESTS = 8, 1000
BLOB = bytes(range(256)) * 16


class Rest(Case):
    def setUp(self):
        self.daemon = None

    def start(self, options):
        self.daemon = self.server(
            config=f"regions: [{{name: main, page_cache: 0{options}}}, {{name: other}}]\n",
            listen=["tcp:127.0.0.1:0"])
        self.daemon.start()

    def status(self, name):
        with open(f"/proc/{self.daemon.process.pid}/status", encoding="ascii") as file:
            return int(dict(line.split(":", 1) for line in file)[name].split()[0])

    def memory(self):
        return self.status("RssAnon") * 1024

    def burst(self, blob=BLOB, count=REQUESTS):
        """Many at once; the most memory that was seen meanwhile."""
        messages = b"".join(request(i, "addBlob", ["main", blob]) for i in range(count))

        def add():
            with Client(self.daemon.tcp) as client:
                sending = threading.Thread(target=client.socket.sendall, args=(messages,))
                sending.start()
                for _ in range(count):
                    self.assertIsNone(client.receive()[1])
                sending.join()

        threads = [threading.Thread(target=add) for _ in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        most = 0
        for thread in threads:
            while thread.is_alive():
                most = max(most, self.memory())
                thread.join(0.01)
        return max(most, self.memory())

    def wait_until(self, condition):
        deadline = time.monotonic() + DEADLINE
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"still {self.memory()} bytes")
            time.sleep(0.1)

    def check_rest(self, options=""):
        if os.environ.get("MREGION_ASAN"):
            self.skipTest("a sanitizer keeps what is freed")
        self.start(options)
        before = self.memory()
        self.assertGreater(self.burst(), before + 2 * MIB)
        self.wait_until(lambda: self.memory() < before + MIB)
        self.assertEqual(self.connect(self.daemon).call("allocated", "main"),
                         CONNECTIONS * REQUESTS * len(BLOB))

    def test_gives_its_memory_back(self):
        self.check_rest()

    def test_buffers_of_large_messages(self):
        """They are kept for the next ones, and not for longer."""
        if os.environ.get("MREGION_ASAN"):
            self.skipTest("a sanitizer keeps what is freed")
        self.start("")
        before = self.memory()
        self.assertGreater(self.burst(BLOB * 256, 10), before + 4 * MIB)
        self.wait_until(lambda: self.memory() < before + MIB)

    def test_what_is_flushed_late(self):
        """Nobody asks anything any more when these batches are done."""
        self.check_rest(", durability: interval, flush_interval: 3s")

    def test_nothing_wakes_it(self):
        self.start("")
        client = self.connect(self.daemon)
        address = client.call("addBlob", "main", BLOB)

        def is_asleep():
            switches = self.status("voluntary_ctxt_switches")
            time.sleep(1.5)  # longer than between two looks at whether there was work
            return self.status("voluntary_ctxt_switches") == switches

        self.wait_until(is_asleep)
        self.assertEqual(client.call("loadBlob", "main", address, len(BLOB)), BLOB)
        self.assertEqual(client.call("addBlob", "main", BLOB), address + len(BLOB))


if __name__ == "__main__":
    unittest.main()
