"""Servers and connections that are killed at random, and clients that send again.

With tokens: at the end there is exactly what the clients hold, and not one byte more. Without:
every batch that was on its way has happened wholly or not at all. ONCE_SEED and ONCE_ROUNDS in the
environment make another run, or a longer one.
"""
import os
import random
import struct
import threading
import time
import unittest

from case import Case, run
from mpack import Client, Closed, RpcError

SEED = int(os.environ.get("ONCE_SEED", "1"))
ROUNDS = int(os.environ.get("ONCE_ROUNDS", "4" if os.environ.get("MREGION_ASAN") else "10"))
WRITERS = 6
WINDOW = 12  # changes on their way, of one writer
BLOBS_MAX = 50  # of one writer; beyond it only removes
SIZES = [16, 64, 1000, 4096, 5000, 20000, 66000, 150000]
WEIGHTS = [30, 30, 20, 10, 10, 5, 2, 1]
MAKING = ("addBlob", "replaceBlob")


class Change:
    """A request, the blocks that it takes from the writer, and what it makes of its answer."""

    def __init__(self, method, params, taken, settle):
        self.method, self.params = method, [*params, {"token": os.urandom(16)}]
        self.taken, self.settle = taken, settle
        self.msgid = None


class Writer(threading.Thread):
    """One client that makes up its mind about each change once and sends it until it is answered,
    over as many connections as that takes."""

    def __init__(self, addresses, seed):
        super().__init__(daemon=True)
        self.addresses = addresses  # how to connect, asked anew each time
        self.random = random.Random(seed)
        self.blobs = {}  # address: bytes
        self.pending = []
        self.answered = self.sent_again = 0
        self.ending = threading.Event()
        self.failure = None

    def run(self):
        try:
            while self.pending or not self.ending.is_set():
                self.use_connection()
        except BaseException as error:  # pylint: disable=broad-except
            self.failure = error

    def use_connection(self):
        try:
            client = Client(self.random.choice(self.addresses()))
        except (OSError, IndexError):
            time.sleep(0.01)  # nobody is there yet
            return
        try:
            for change in self.pending:
                self.sent_again += 1
                change.msgid = client.send(change.method, "main", *change.params)
            left = self.random.randrange(1, 300)  # until it breaks off
            while left > 0 and (self.pending or not self.ending.is_set()):
                while len(self.pending) < WINDOW and not self.ending.is_set():
                    self.send_one(client)
                self.take(client)
                left -= 1
        except (Closed, OSError):
            pass
        finally:
            self.random.choice((client.close, client.reset))()

    def take(self, client):
        """The oldest one's answer; also of one that was answered out of order."""
        change = self.pending[0]
        result = client.wait(change.msgid)
        self.pending.remove(change)
        self.answered += 1
        change.settle(result)

    def send_one(self, client):
        change = self.choose()
        for address in change.taken:
            del self.blobs[address]
        self.pending.append(change)
        change.msgid = client.send(change.method, "main", *change.params)

    # ---- What to change ----

    def blob(self):
        return self.random.randbytes(self.random.choices(SIZES, WEIGHTS)[0] +
                                     self.random.randrange(16))

    def keep(self, blob):
        def settle(address):
            assert address not in self.blobs, f"{address} was handed out twice"
            self.blobs[address] = blob
        return settle

    def choose(self):
        dice = self.random.random()
        if not self.blobs or (dice < 0.3 and len(self.blobs) < BLOBS_MAX):
            blob = self.blob()
            return Change("addBlob", [blob], [], self.keep(blob))
        if dice < 0.6:
            return self.choose_batch()
        address = self.random.choice(list(self.blobs))
        old = self.blobs[address]
        if dice < 0.7 or len(self.blobs) >= BLOBS_MAX:
            return Change("removeBlob", [address, len(old)], [address],
                          lambda got: self.expect(got, old))
        if dice < 0.75:
            return Change("deallocate", [address, len(old)], [address],
                          lambda got: self.expect(got, None))
        if dice < 0.85:
            blob = self.blob()
            return Change("replaceBlob", [address, len(old), blob], [address], self.keep(blob))
        if dice < 0.92:
            size = self.random.randrange(1, len(old) + 1)
            return Change("resize", [address, len(old), size], [address], self.keep(old[:size]))
        blob = self.random.randbytes(len(old))
        return Change("storeBlob", [address, blob], [address],
                      lambda got: self.expect(got, None) or self.keep(blob)(address))

    @staticmethod
    def expect(got, expected):
        assert got == expected, f"answered {got!r:.60}, not {expected!r:.60}"

    def choose_batch(self):
        """Some blobs go, others come; results in order."""
        taken = self.random.sample(list(self.blobs), min(len(self.blobs), self.random.randrange(5)))
        changes, settles = [], []
        for address in taken:
            old = self.blobs[address]
            if self.random.random() < 0.5:
                changes.append(["removeBlob", address, len(old)])
                settles.append(lambda got, old=old: self.expect(got, old))
            else:
                blob = self.random.randbytes(len(old))
                changes.append(["storeBlob", address, blob])
                settles.append(lambda got, a=address, b=blob: self.expect(got, None) or
                               self.keep(b)(a))
        for _ in range(self.random.randrange(4)):
            blob = self.blob()
            changes.append(["addBlob", blob])
            settles.append(self.keep(blob))

        def settle(results):
            assert len(results) == len(settles)
            for one, result in zip(settles, results):
                one(result)

        return Change("batch", [changes], taken, settle)


class ExactlyOnce(Case):
    def serve(self):
        server = self.server(config="listen: []\n")
        server.write_config(f"listen: [{{unix: {server.path('s')}}}, {{unix: {server.path('t')}}}]\n"
                            "regions: [{name: main, journal_size: 16MiB}]\n")
        return server.start()

    @staticmethod
    def chill(server):
        """Takes what is on the disk out of memory, so that it has to be read for."""
        file = os.open(os.path.join(server.data_dir, "regions/main/data"), os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)

    def wait_answers(self, server, writers, count):
        goal = sum(writer.answered for writer in writers) + count
        while sum(writer.answered for writer in writers) < goal:
            writers[0].join(0.005)
            self.chill(server)
            for writer in writers:
                if not writer.is_alive():
                    raise AssertionError("a writer has ended") from writer.failure

    def test_tokens(self):
        server = self.serve()
        paths = [server.path("s"), server.path("t")]
        writers = [Writer(lambda: paths, SEED * 1000 + number) for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        rng = random.Random(SEED)
        for number in range(ROUNDS):
            self.wait_answers(server, writers, 200 + rng.randrange(400))
            if number % 3 == 2:
                with Client(server.unix) as client:  # a restart without this journal
                    client.call("checkpoint", "main")
            server.kill()
            server.start()
        for writer in writers:
            writer.ending.set()
        for writer in writers:
            writer.join()
            if writer.failure:
                raise AssertionError("a writer has failed") from writer.failure
        print(f"answered {[writer.answered for writer in writers]}, "
              f"sent again {[writer.sent_again for writer in writers]}")
        self.assertGreater(sum(writer.sent_again for writer in writers), ROUNDS)
        for _ in range(2):
            self.check(server, writers)
            server.kill()
            server.start()
        server.stop()
        report = run("--data-dir", server.data_dir, "--check")
        self.assertEqual(report.returncode, 0, report.stdout + report.stderr)

    def check(self, server, writers):
        """Exactly what they hold, and not one byte more."""
        held = {}
        for writer in writers:
            for address, blob in writer.blobs.items():
                self.assertNotIn(address, held, "two writers were given one address")
                held[address] = blob
        with Client(server.unix) as client:
            for address, blob in held.items():
                self.assertTrue(client.call("loadBlob", "main", address, len(blob)) == blob)
            self.assertEqual(client.call("allocated", "main"), sum(map(len, held.values())))


# ---- Without tokens ----

HEAD = struct.Struct("<4sQHHI")  # magic, batch, index, blobs of the batch, size with this


class Batcher(threading.Thread):
    """Each batch adds a set of blobs that tell which one they are of, and removes an older set."""

    def __init__(self, address, number, first):
        super().__init__(daemon=True)
        self.address = address
        self.random = random.Random(SEED * 100 + number)
        self.next_id = first
        self.sets = {}  # id: [(address, bytes)], answered
        self.pending = {}  # msgid: (id, id of the one removed or None, blobs)
        self.answered = 0
        self.failure = None

    def run(self):
        try:
            client = Client(self.address)
        except OSError:
            return
        try:
            while True:
                while len(self.pending) < 4:
                    self.send_one(client)
                self.take(*client.receive())
        except (Closed, OSError):
            pass
        except BaseException as error:  # pylint: disable=broad-except
            self.failure = error
        finally:
            client.close()

    def send_one(self, client):
        count = self.random.randrange(1, 9)
        blobs = []
        for index in range(count):
            size = self.random.choices(SIZES, WEIGHTS)[0] + HEAD.size
            head = HEAD.pack(b"blob", self.next_id, index, count, size)
            blobs.append(head + random.Random(self.next_id * 100 + index).randbytes(size - HEAD.size))
        old = None
        changes = [["addBlob", blob] for blob in blobs]
        if len(self.sets) > 5:
            old = self.random.choice(list(self.sets))
            changes += [[self.random.choice(("removeBlob", "deallocate")), address, len(blob)]
                        for address, blob in self.sets[old]]
            self.random.shuffle(changes)
            blobs = [change[1] for change in changes if change[0] == "addBlob"]
        msgid = client.send("batch", "main", changes)
        removed = self.sets.pop(old, None)
        self.pending[msgid] = (self.next_id, changes, old, removed)
        self.next_id += 1

    def take(self, msgid, error, result):
        if error is not None:
            raise RpcError(error)
        number, changes, _, removed = self.pending.pop(msgid)
        gone = dict(removed or [])
        made = []
        for change, value in zip(changes, result):
            if change[0] == "addBlob":
                made.append((value, change[1]))
            elif change[0] == "removeBlob":
                assert value == gone[change[1]], "removeBlob answered other bytes"
        self.sets[number] = made
        self.answered += 1


class AllOrNothing(Case):
    def test_batches(self):
        server = self.server().start()
        next_id = 1
        for number in range(ROUNDS):
            writers = [Batcher(server.unix, number * WRITERS + i, next_id + i * 10**6)
                       for i in range(WRITERS)]
            next_id += WRITERS * 10**6
            for writer in writers:
                writer.start()
            while sum(writer.answered for writer in writers) < 100 + 20 * number:
                writers[0].join(0.002)
                self.assertTrue(all(writer.is_alive() for writer in writers),
                                [writer.failure for writer in writers])
            server.kill()
            for writer in writers:
                writer.join()
                if writer.failure:
                    raise AssertionError("a writer has failed") from writer.failure
            server.start()
            self.check(server, writers)
        server.stop()
        report = run("--data-dir", server.data_dir, "--check")
        self.assertEqual(report.returncode, 0, report.stdout + report.stderr)

    def check(self, server, writers):
        with Client(server.unix) as client:
            there = self.read_all(client)
            for writer in writers:
                for number, blobs in writer.sets.items():
                    self.assertEqual(there.pop(number, None), dict(blobs), "an answered batch")
                for number, changes, old, removed in writer.pending.values():
                    self.check_pending(there, number, changes, old, removed)
            self.assertEqual(there, {}, "blobs of nobody")
            client.call("clear", "main")

    def check_pending(self, there, number, changes, old, removed):
        """All of it or nothing: either its own blobs or those that it was to remove."""
        new = [change[1] for change in changes if change[0] == "addBlob"]
        found = there.pop(number, None)
        if found is not None:
            self.assertEqual(sorted(found.values()), sorted(new), "a part of a batch")
        if old is not None:
            self.assertEqual(there.pop(old, None), None if found is not None else dict(removed),
                             "a part of a batch")

    def read_all(self, client):
        """{batch: {address: bytes}}, from the region alone."""
        there = {}
        size = client.call("size", "main")
        for start, length in client.call("allocatedBlocksInRange", "main", 0, size):
            at, data = start, client.call("loadBlob", "main", start, length)
            while data:
                magic, number, _, _, blob_size = HEAD.unpack_from(data)
                self.assertEqual(magic, b"blob", f"bytes of nobody at {at}")
                there.setdefault(number, {})[at] = data[:blob_size]
                at, data = at + blob_size, data[blob_size:]
        return there


if __name__ == "__main__":
    unittest.main()
