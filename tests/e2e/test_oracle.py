"""Random operations of several clients against a model of each one's blobs, through orderly restarts
and SIGKILL. What was answered must be there, byte for byte; what was not answered when the server
died may have happened or not, wholly.

SEED in the environment repeats a run's choices; ROUNDS makes it longer.
"""
import errno
import os
import random
import tempfile
import threading
import unittest

from case import Case
from mpack import Client, Closed

SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
ROUNDS = int(os.environ.get("ROUNDS", "6"))
FAULT = os.environ.get("MREGION_FAULT_LIBRARY")  # fault.c
CLIENTS = 6
SIZES = (1, 7, 64, 500, 4096, 5000, 65535, 65536, 70000, 300000)


def content(size, seed):
    """Bytes that are different everywhere, quickly made."""
    return random.Random(seed).randbytes(min(size, 1009)).ljust(size, bytes([seed % 256]))


class Blob:
    def __init__(self, address, data):
        self.address = address
        self.data = data


class User(threading.Thread):
    """One client, which works until the server ends. Its state: blobs that are certain, and the
    request that was under way."""

    def __init__(self, seed):
        super().__init__()
        self.random = random.Random(seed)
        self.blobs = []
        self.pending = None  # (method, blob or None, data or None) without an answer
        self.failure = None
        self.requests = 0

    def connect(self, server):
        address = server.unix if self.random.random() < 0.5 else server.tcp
        self.client = Client(address)

    def run(self):
        try:
            while True:
                self.step()
                self.requests += 1
        except (Closed, OSError):
            pass
        except BaseException as error:
            self.failure = error
        self.client.close()

    def data(self):
        size = self.random.choice(SIZES) + self.random.randrange(3)
        return content(size, self.random.randrange(2**32))

    def step(self):
        full = len(self.blobs) > 60
        method = self.random.choice(("removeBlob", "deallocate") if full else METHODS)
        getattr(self, method)(self.random.choice(self.blobs) if self.blobs else None)
        self.pending = None

    def addBlob(self, _):
        data = self.data()
        self.pending = ("addBlob", None, data)
        self.blobs.append(Blob(self.client.call("addBlob", "main", data), data))

    def loadBlob(self, blob):
        if blob is not None:
            data = self.client.call("loadBlob", "main", blob.address, len(blob.data))
            assert data == blob.data, f"[{blob.address}, +{len(blob.data)}) is not what was stored"

    def storeBlob(self, blob):
        if blob is None:
            return
        start = self.random.randrange(len(blob.data))
        piece = self.data()[:len(blob.data) - start]
        data = blob.data[:start] + piece + blob.data[start + len(piece):]
        self.pending = ("storeBlob", blob, data)
        self.client.call("storeBlob", "main", blob.address + start, piece)
        blob.data = data

    def replaceBlob(self, blob):
        if blob is None:
            return
        data = self.data()
        self.pending = ("replaceBlob", blob, data)
        blob.address = self.client.call("replaceBlob", "main", blob.address, len(blob.data), data)
        blob.data = data

    def resize(self, blob):
        if blob is None:
            return
        size = self.random.choice(SIZES) + self.random.randrange(3)
        self.pending = ("resize", blob, None)
        blob.address = self.client.call("resize", "main", blob.address, len(blob.data), size)
        if size <= len(blob.data):
            blob.data = blob.data[:size]
            return
        kept = len(blob.data)
        data = self.client.call("loadBlob", "main", blob.address, size)
        assert data[:kept] == blob.data, f"resize of [{blob.address}, +{size}) lost bytes"
        blob.data = data  # what is behind is whatever it is, but stays

    def removeBlob(self, blob):
        if blob is None:
            return
        self.pending = ("removeBlob", blob, None)
        data = self.client.call("removeBlob", "main", blob.address, len(blob.data))
        assert data == blob.data, f"[{blob.address}, +{len(blob.data)}) is not what was stored"
        self.blobs.remove(blob)

    def deallocate(self, blob):
        if blob is None:
            return
        self.pending = ("deallocate", blob, None)
        self.client.call("deallocate", "main", blob.address, len(blob.data))
        self.blobs.remove(blob)

    def verify(self, client):
        """Everything certain is there. What was under way: a store has happened wholly or not at
        all; for the others the blob is forgotten, whichever way it went."""
        if self.pending is not None and self.pending[1] in self.blobs:
            method, blob, data = self.pending
            if method == "storeBlob":
                now = client.call("loadBlob", "main", blob.address, len(blob.data))
                assert now in (blob.data, data), f"half a store at {blob.address}"
                blob.data = now
            else:
                self.blobs.remove(blob)
        self.pending = None
        for blob in self.blobs:
            data = client.call("loadBlob", "main", blob.address, len(blob.data))
            assert data == blob.data, f"[{blob.address}, +{len(blob.data)}) is not what was stored"


METHODS = ("addBlob", "addBlob", "addBlob", "loadBlob", "loadBlob", "storeBlob", "replaceBlob",
           "resize", "removeBlob", "deallocate")


class Oracle(Case):
    def check(self, server, users):
        with Client(server.unix) as client:
            for user in users:
                user.verify(client)
            certain = sorted((blob.address, len(blob.data)) for user in users
                             for blob in user.blobs)
            end = 0
            for address, size in certain:
                self.assertGreaterEqual(address, end, "two blobs overlap")
                end = address + size
            info = client.call("memoryInfo", "main")
            self.assertEqual(info["allocated"] + info["deallocated"], info["size"])
            self.assertEqual(sum(size for _, size in client.call("getFreeMemory", "main")),
                             info["deallocated"])
            self.assertGreaterEqual(info["allocated"], sum(size for _, size in certain))
            # What nobody is certain of is freed, so that the figures are exact from here on.
            start = 0
            for address, size in certain + [(info["size"], 0)]:
                client.call("deallocateRange", "main", start, address)
                start = address + size
            self.assertEqual(client.call("allocated", "main"), sum(size for _, size in certain))

    def test_through_restarts(self):
        self.run_rounds(random.Random(SEED))

    @unittest.skipIf(FAULT is None, "needs the preloaded library")
    def test_through_restarts_uncached(self):
        """Every read goes to a worker, as if nothing were cached."""
        rules = tempfile.NamedTemporaryFile("w", suffix=".rules")
        self.addCleanup(rules.close)
        rules.write(f"preadv2 {errno.EAGAIN} regions/main/data\n")
        rules.flush()
        self.run_rounds(random.Random(SEED + 1),
                        {"LD_PRELOAD": FAULT, "MREGION_FAULT": rules.name})

    def run_rounds(self, choices, env=None):
        server = self.server(config="regions: [{name: main, journal_size: 16MiB}]\n", env=env,
                             sandbox=env is None)
        server.command += ["--listen", "unix:" + server.path("s"), "--listen", "tcp:127.0.0.1:0"]
        users = [User(choices.randrange(2**32)) for _ in range(CLIENTS)]
        print(f"SEED={SEED}", flush=True)
        for _ in range(ROUNDS):
            server.start()
            self.check(server, users)
            users = [self.renew(user, server) for user in users]
            self.work(server, users, choices)
        server.start()
        self.check(server, users)
        server.stop()

    def renew(self, user, server):
        """A thread starts only once: the next one takes over the blobs."""
        heir = User(user.random.randrange(2**32))
        heir.blobs = user.blobs
        heir.connect(server)
        return heir

    def work(self, server, users, choices):
        for user in users:
            user.start()
        goal = choices.randrange(500, 1500)
        while sum(user.requests for user in users) < goal and all(
                user.is_alive() for user in users):
            users[0].join(0.01)
        if choices.random() < 0.7:
            server.kill()
        else:
            server.stop()
        for user in users:
            user.join()
            if user.failure is not None:
                raise AssertionError(f"SEED={SEED}") from user.failure


if __name__ == "__main__":
    unittest.main()
