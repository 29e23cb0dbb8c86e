"""SIGKILL under eight writers, several rounds on the same data. With any durability: what is lost
with the machine is not lost with the server.

Each writer knows what was acknowledged to it and what it had sent without an answer. After each
restart every byte in use must be explained: by a blob that was acknowledged, or by a change that
was on its way, which happened wholly or not at all, and only if those before it on the same
connection did.
"""
import os
import random
import signal
import threading
import unittest

from case import Case, run
from mpack import Client, Closed, RpcError

WRITERS = 8
ROUNDS = 4 if os.environ.get("MREGION_ASAN") else 12
BLOBS_MAX = 60  # of one writer; beyond it only removes
SIZES = [16, 64, 100, 1000, 4096, 5000, 20000, 70000, 300000]
DURABILITIES = ["sync", "none", "interval"]
WEIGHTS = [30, 30, 20, 20, 10, 10, 5, 3, 1]


class Change:
    """One request on its way: the block that it needs and gives up, the one that it makes."""

    def __init__(self, method, params, old=None, new=None):
        self.method, self.params = method, params
        self.old = old  # (address, bytes) before, or None
        self.new = new  # bytes afterwards, or None
        self.msgid = None


class Writer(threading.Thread):
    def __init__(self, address, seed, window):
        super().__init__(daemon=True)
        self.address, self.window = address, window
        self.random = random.Random(seed)
        self.blobs = {}  # address: bytes, acknowledged
        self.pending = []  # changes sent and not answered, in order
        self.answered = 0
        self.failure = None

    # ---- The work ----

    def run(self):
        try:
            client = Client(self.address)
        except OSError:
            return  # killed before it could connect
        try:
            while True:
                while len(self.pending) < self.window:
                    change = self.choose()
                    self.pending.append(change)
                    change.msgid = client.send(change.method, "main", *change.params)
                self.settle(self.pending[0], client.wait(self.pending[0].msgid))
        except (Closed, OSError):
            self.drain(client)
        except BaseException as error:  # pylint: disable=broad-except
            self.failure = error
        finally:
            client.close()

    def drain(self, client):
        """Answers that had arrived before the end count."""
        try:
            answers = dict(client.answers)
            answers.update({msgid: (error, result)
                            for msgid, error, result in client.wait_closed()})
            for change in list(self.pending):
                if change.msgid in answers:
                    error, result = answers[change.msgid]
                    if error is not None:
                        raise RpcError(error)
                    self.settle(change, result)
        except BaseException as error:  # pylint: disable=broad-except
            self.failure = error

    def choose(self):
        """The next change, on a blob that none on its way touches."""
        busy = {change.old[0] for change in self.pending if change.old}
        free = [address for address in self.blobs if address not in busy]
        dice = self.random.random()
        if not free or (dice < 0.5 and len(self.blobs) < BLOBS_MAX):
            blob = self.blob()
            return Change("addBlob", [blob], new=blob)
        address = self.random.choice(free)
        old = self.blobs[address]
        if dice < 0.75 or len(self.blobs) >= BLOBS_MAX:
            return Change("removeBlob", [address, len(old)], old=(address, old))
        if dice < 0.9:
            blob = self.blob()
            return Change("replaceBlob", [address, len(old), blob], old=(address, old), new=blob)
        blob = self.random.randbytes(len(old))
        return Change("storeBlob", [address, blob], old=(address, old), new=blob)

    def blob(self):
        return self.random.randbytes(self.random.choices(SIZES, WEIGHTS)[0] +
                                     self.random.randrange(16))

    def settle(self, change, result):
        """What the answer says is from now on certain."""
        self.pending.remove(change)
        if change.old:
            del self.blobs[change.old[0]]
        if change.method == "removeBlob":
            assert result == change.old[1], "removeBlob answered other bytes"
        elif change.method == "storeBlob":
            assert result is None
            self.blobs[change.old[0]] = change.new
        else:
            assert result not in self.blobs, f"{result} was handed out twice"
            self.blobs[result] = change.new
        self.answered += 1

    # ---- After the kill ----

    def certain(self):
        """Blobs that no change on its way touches."""
        touched = {change.old[0] for change in self.pending if change.old}
        return {address: blob for address, blob in self.blobs.items() if address not in touched}


class Kill(Case):
    def test_every_acknowledged_byte_is_there(self):
        server = self.server(config=self.config(0))
        server.command += ["--listen", "unix:" + server.path("s")]
        server.start()
        writers = [Writer(server.unix, seed, 1 if seed < WRITERS // 2 else 16)
                   for seed in range(WRITERS)]
        for number in range(ROUNDS):
            self.work_until_killed(server, writers, 500 + 300 * number, number)
            server.start()
            self.settle_all(server, writers)
            writers = [self.successor(writer, server, number) for writer in writers]
        server.stop()
        report = run("--data-dir", server.data_dir, "--check")
        self.assertEqual(report.returncode, 0, report.stdout + report.stderr)
        server.start()
        self.settle_all(server, writers)
        server.stop()

    @staticmethod
    def config(number):
        return f"regions: [{{name: main, durability: {DURABILITIES[number % 3]}}}]\n"

    def work_until_killed(self, server, writers, answers, number):
        """Every second round the durability changes in the middle, else with the next start."""
        for writer in writers:
            writer.start()
        self.work(writers, answers // 2)
        server.write_config(self.config(number + 1))
        if number % 2 == 1:
            server.signal(signal.SIGHUP)
        self.work(writers, answers)
        server.kill()
        for writer in writers:
            writer.join()
            if writer.failure:
                raise writer.failure
        print(f"durability {DURABILITIES[number % 3]}, answered {[writer.answered for writer in writers]}, "
              f"on their way {[len(writer.pending) for writer in writers]}")

    @staticmethod
    def work(writers, answers):
        while sum(writer.answered for writer in writers) < answers:
            writers[0].join(0.001)
            for writer in writers:
                if not writer.is_alive():
                    raise AssertionError(f"a writer has ended: {writer.failure!r}")

    def successor(self, writer, server, number):
        """A writer that goes on with the same blobs; a thread runs only once."""
        heir = Writer(server.unix, hash((writer.random.random(), number)), writer.window)
        heir.blobs = writer.blobs
        return heir

    # ---- The proof ----

    def settle_all(self, server, writers):
        with Client(server.unix) as client:
            certain = {}
            for writer in writers:
                for address, blob in writer.certain().items():
                    self.assertNotIn(address, certain, "two writers were given one address")
                    certain[address] = blob
                    self.assertEqual(client.call("loadBlob", "main", address, len(blob)), blob)
            rest = self.unexplained(client, certain)
            found = self.explain(rest, [c for writer in writers for c in writer.pending])
            for writer in writers:
                self.check_pending(writer, found)
            self.assertEqual(client.call("allocated", "main"),
                             sum(map(len, certain.values())) + sum(map(len, rest.values())))
            # What was on its way belongs to nobody: give it back, so that the next round is exact.
            for address, blob in rest.items():
                client.call("deallocate", "main", address, len(blob))
            self.assertEqual(client.call("allocated", "main"), sum(map(len, certain.values())))
            for writer in writers:
                writer.blobs, writer.pending = writer.certain(), []

    @staticmethod
    def unexplained(client, certain):
        """What is in use and not certain: {address: bytes}."""
        rest = {}
        known = sorted((address, address + len(blob)) for address, blob in certain.items())
        size = client.call("size", "main")
        for start, length in client.call("allocatedBlocksInRange", "main", 0, size):
            end = start + length
            for first, last in known:
                if last <= start or first >= end:
                    continue
                if first > start:
                    rest[start] = client.call("loadBlob", "main", start, first - start)
                start = last
            if start < end:
                rest[start] = client.call("loadBlob", "main", start, end - start)
        return rest

    def explain(self, rest, changes):
        """Every byte left over belongs to a change on its way; returns {blob: address}."""
        candidates = [blob for change in changes
                      for blob in ((change.old[1] if change.old else None), change.new) if blob]
        found = {}
        for address, left in rest.items():
            while left:
                blob = next((b for b in candidates if b not in found and left.startswith(b)), None)
                self.assertIsNotNone(blob, f"{len(left)} bytes at {address} belong to nobody")
                found[blob] = address
                address, left = address + len(blob), left[len(blob):]
        return found

    def check_pending(self, writer, found):
        """Each change happened wholly or not at all, and in order."""
        happened = []
        for change in writer.pending:
            old = change.old is not None and change.old[1] in found
            new = change.new is not None and change.new in found
            if old:
                self.assertEqual(found[change.old[1]], change.old[0], "a blob has moved")
            if change.old:
                self.assertFalse(old and new, f"{change.method}: both blobs are there")
            if change.old and change.new:
                self.assertTrue(old or new, f"{change.method}: neither blob is there")
            happened.append(new if change.new else not old)
        self.assertEqual(happened, sorted(happened, reverse=True),
                         "a change happened although one before it on its connection did not")


class Clients(Case):
    def test_client_that_goes_away_in_the_middle(self):
        """A client that ends while it sends a blob costs nothing."""
        server = self.server().start()
        with Client(server.unix) as client:
            before = client.call("memoryInfo", "main")
            for cut in (1, 10, 1000, 99999):
                with Client(server.unix) as other:
                    other.send_raw(b"\x94\x00\x01\xa7addBlob\x92\xa4main\xc6\x00\x01\x86\xa0" +
                                   bytes(100000 - cut))
            self.assertEqual(client.call("memoryInfo", "main"), before)
        server.stop()

    def test_large_blob_survives_each_kill(self):
        server = self.server().start()
        blob = os.urandom(3_000_000)
        address = self.connect(server).call("addBlob", "main", blob)
        for _ in range(3):
            server.kill()
            server.start()
            self.assertEqual(self.connect(server).call("loadBlob", "main", address, len(blob)),
                             blob)
        server.stop()


if __name__ == "__main__":
    unittest.main()
