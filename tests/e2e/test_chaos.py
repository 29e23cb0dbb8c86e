"""Everything at once: many connections that pipeline, break off and come back, regions that come and
go, blobs that are not cached, and limits so tight that requests wait for each other.

Every connection knows what it has stored and checks every byte that comes back. CHAOS_SEED and
CHAOS_ROUNDS in the environment make another run, or a longer one.
"""
import os
import random
import threading
import unittest

from case import Case, run
from mpack import Client

SEED = int(os.environ.get("CHAOS_SEED", "1"))
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "40"))
WRITERS = 8

CONFIG = """
{limits}
listen: []
regions:
  - name: main
    durability: {durability}
    flush_interval: 20ms
    journal_size: 16MiB
"""
TIGHT = """
max_message: 1100KiB
max_buffered: 1200KiB
max_pipeline: 3
"""
SIZES = (0, 1, 64, 4095, 4096, 65535, 65536, 70000, 300000, 1000000)


class Writer:
    """One client after another, each with blobs of its own."""

    def __init__(self, server, number):
        self.server = server
        self.random = random.Random(SEED * 1000 + number)
        self.client = None
        self.blobs = {}  # address: bytes
        self.sent = []  # msgid, method, bytes

    def blob(self):
        size = (self.random.choice(SIZES) if self.random.random() < 0.3
                else self.random.randrange(1, 20000))
        return self.random.randbytes(size)

    def send(self, method, blob, *params):
        self.sent.append((self.client.send(method, "main", *params), method, blob))

    def send_one(self):
        choice = self.random.random()
        if choice < 0.4 or not self.blobs:
            blob = self.blob()
            self.send("addBlob", blob, blob)
            return
        address = self.random.choice(list(self.blobs))
        old = self.blobs[address]
        if choice < 0.65:
            self.send("loadBlob", old, address, len(old))
        elif choice < 0.75:
            self.blobs[address] = self.random.randbytes(len(old))
            self.send("storeBlob", None, address, self.blobs[address])
        elif choice < 0.88:
            del self.blobs[address]
            self.send("removeBlob", old, address, len(old))
        elif choice < 0.97:
            del self.blobs[address]
            blob = self.random.randbytes(self.random.randrange(1, 100000))
            self.send("replaceBlob", blob, address, len(old), blob)
        else:
            self.send("checkpoint", None)

    def take_answers(self):
        for msgid, method, blob in self.sent:
            result = self.client.wait(msgid)
            if method in ("addBlob", "replaceBlob"):
                if blob:
                    self.blobs[result] = blob
            elif method in ("loadBlob", "removeBlob"):
                assert result == blob, f"{method} of {len(blob)} bytes came back with others"
        self.sent = []

    def run(self):
        while_connected = 0
        for _ in range(ROUNDS):
            if while_connected == 0:
                self.client = Client(self.random.choice((self.server.unix, self.server.tcp)))
                while_connected = self.random.randrange(1, 20)
            for _ in range(self.random.randrange(1, 40)):
                self.send_one()
            while_connected -= 1
            if while_connected == 0 and self.random.random() < 0.5:
                self.client.close()  # in the middle of it: what it had is lost to us
                self.blobs, self.sent = {}, []
                continue
            self.take_answers()
            if while_connected == 0:
                for address, blob in self.blobs.items():
                    assert self.client.call("loadBlob", "main", address, len(blob)) == blob
                    self.client.call("deallocate", "main", address, len(blob))
                self.blobs = {}
                self.client.close()
        self.client.close()


class Chaos(Case):
    def serve(self, limits, durability):
        server = self.server(config=CONFIG.format(limits=limits, durability=durability))
        server.command += ["--listen", "unix:" + server.path("s"), "--listen", "tcp:127.0.0.1:0"]
        return server.start()

    def churn(self, server, stop):
        """Regions that are dropped with changes under way."""
        with Client(server.unix) as client:
            while not stop.is_set():
                client.call("createRegion", "churn")
                added = [client.send("addBlob", "churn", bytes(70000)) for _ in range(20)]
                dropped = client.send("dropRegion", "churn")
                for msgid in (*added, dropped):
                    client.wait(msgid)

    def chill(self, server, stop):
        """Takes what is written already out of the page cache, again and again."""
        path = os.path.join(server.data_dir, "regions/main/data")
        while not stop.wait(0.01):
            file = os.open(path, os.O_RDONLY)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)

    def chaos(self, limits, durability):
        server = self.serve(limits, durability)
        stop = threading.Event()
        failures = []

        def guarded(function, *arguments):
            def body():
                try:
                    function(*arguments)
                except BaseException as error:  # shown by the thread that waits
                    failures.append(error)
            return threading.Thread(target=body)

        others = [guarded(self.churn, server, stop), guarded(self.chill, server, stop)]
        writers = [guarded(Writer(server, number).run) for number in range(WRITERS)]
        for thread in (*others, *writers):
            thread.start()
        for thread in writers:
            thread.join()
        stop.set()
        for thread in others:
            thread.join()
        if failures:
            raise failures[0]
        with Client(server.unix) as client:
            self.assertEqual(client.call("serverInfo")["buffered"], 0, "a buffer was not given back")
        server.stop()
        done = run("--data-dir", server.data_dir, "--check")
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_sync(self):
        self.chaos("", "sync")

    def test_tight_limits(self):
        self.chaos(TIGHT, "sync")

    def test_interval(self):
        self.chaos(TIGHT, "interval")

    def test_none(self):
        self.chaos(TIGHT, "none")


if __name__ == "__main__":
    unittest.main()
