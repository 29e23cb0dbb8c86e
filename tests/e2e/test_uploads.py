"""Blobs that arrive in pieces: any size, whole or not at all, and nothing is left behind by whoever
does not finish."""
import os
import random
import subprocess
import threading
import unittest

from bad import MIB
from case import Case
from mpack import Client, RpcError, pack
from server import DEADLINE, MRCLI, Server
from test_large_loads import SLACK, Taker, digest

TOKEN = bytes(range(16))
CONFIG = """max_message: 16MiB
max_buffered: 32MiB
max_uploads: 5
upload_timeout: 24h
regions: [{name: main}, {name: other}, {name: small, max_size: 6MiB}]
"""


def blob_of(size, seed=1):
    return random.Random(seed).randbytes(size)


class Uploads(Case):
    CONFIG = CONFIG

    def setUp(self):
        self.daemon = Server(config=self.CONFIG)
        self.daemon.command += ["--listen", "unix:" + self.daemon.path("s"),
                                "--listen", "tcp:127.0.0.1:0"]
        self.addCleanup(self.daemon.remove)
        self.daemon.start()
        self.client = self.connect()

    def tearDown(self):
        self.daemon.stop()

    def connect(self, tcp=False):
        client = Client(self.daemon.tcp if tcp else self.daemon.unix)
        self.addCleanup(client.close)
        return client

    def refused(self, code, method, *params, client=None):
        with self.assertRaises(RpcError, msg=(method, params)) as caught:
            (client or self.client).call(method, *params)
        self.assertEqual(caught.exception.code, code, caught.exception)
        return caught.exception.sentence

    def info(self, region="main"):
        return self.client.call("regionInfo", region)

    def wait_uploads(self, count):
        """Until so many are open; the server notices a lost connection when it gets to it."""
        while self.client.call("serverInfo")["uploads"] != count:
            pass

    def assert_nothing_left(self, region="main"):
        self.wait_uploads(0)
        while self.info(region)["uploads"] > 0:
            pass  # what is being written of one that was aborted holds its place until it is through
        info = self.info(region)
        self.assertEqual((info["allocated"], info["uploads"], info["reserved"]), (0, 0, 0))
        # all of it can be had again
        if info["size"] > 0:
            address = self.client.call("allocate", region, info["size"])
            self.assertEqual(address, 0)
            self.client.call("deallocate", region, 0, info["size"])

    # ---- What it is for ----

    def upload(self, blob, piece, size=None, client=None, window=4):
        client = client or self.client
        upload = client.call("beginBlob", "main", size)
        ids = []
        for start in range(0, len(blob), piece):
            if len(ids) == window:
                self.assertIsNone(client.wait(ids.pop(0)))
            ids.append(client.send("appendBlob", upload, blob[start:start + piece]))
        for msgid in ids:
            self.assertIsNone(client.wait(msgid))
        return client.call("commitBlob", upload)

    def load(self, address, size, region="main"):
        return b"".join(self.client.call("loadBlob", region, address + start,
                                         min(8 * MIB, size - start))
                        for start in range(0, size, 8 * MIB))

    def test_pieces_of_all_sizes(self):
        for number, (size, piece) in enumerate([
                (1, 1), (100, 7), (4096, 4096), (70000, 65536), (200001, 65535), (300000, 131072),
                (3 * MIB + 17, MIB), (20 * MIB, 15 * MIB)]):
            for given in (size, None):
                blob = blob_of(size, number)
                address = self.upload(blob, piece, given)
                self.assertTrue(self.load(address, size) == blob, (size, piece, given))
        self.assertEqual(self.info()["uploads"], 0)

    def test_nothing_in_it(self):
        for size in (0, None):
            upload = self.client.call("beginBlob", "main", size)
            self.client.call("appendBlob", upload, b"")
            address = self.client.call("commitBlob", upload)
            self.assertEqual(self.client.call("loadBlob", "main", address, 0), b"")
        upload = self.client.call("beginBlob", "main", 0)
        self.refused("out_of_bounds", "appendBlob", upload, b"x")
        self.client.call("abortBlob", upload)
        self.assert_nothing_left()

    def test_it_is_there_after_a_crash_once_it_is_answered(self):
        blob = blob_of(5 * MIB)
        address = self.upload(blob, MIB, len(blob))
        self.daemon.kill()
        self.daemon.start()
        self.client = self.connect()
        self.assertTrue(self.load(address, len(blob)) == blob)

    def test_several_at_once(self):
        """On one connection and on several, with other changes in between."""
        blobs = [blob_of(2 * MIB + i, i) for i in range(4)]
        clients = [self.client, self.client, self.connect(), self.connect(tcp=True)]
        uploads = [client.call("beginBlob", "main", len(blob))
                   for client, blob in zip(clients, blobs)]
        self.assertEqual(len(set(uploads)), 4)
        small = []
        for start in range(0, 3 * MIB, 100000):
            for client, upload, blob in zip(clients, uploads, blobs):
                client.call("appendBlob", upload, blob[start:start + 100000])
            small.append(self.client.call("addBlob", "main", b"%08d" % start))
        for client, upload, blob in zip(clients, uploads, blobs):
            address = client.call("commitBlob", upload)
            self.assertTrue(self.load(address, len(blob)) == blob)
        for start, address in zip(range(0, 3 * MIB, 100000), small):
            self.assertEqual(self.client.call("loadBlob", "main", address, 8), b"%08d" % start)

    def test_of_unknown_size_while_others_add(self):
        """Whoever is in its way, it finds room."""
        blob = blob_of(20 * MIB)
        clients = [self.connect() for _ in range(3)]
        uploads = [client.call("beginBlob", "main", None) for client in clients]
        small = []
        for start in range(0, len(blob), MIB):
            ids = [client.send("appendBlob", upload, blob[start:start + MIB])
                   for client, upload in zip(clients, uploads)]
            small.append(self.client.call("addBlob", "main", blob[start:start + 5000]))
            for client, msgid in zip(clients, ids):
                self.assertIsNone(client.wait(msgid))
        for client, upload in zip(clients, uploads):
            address = client.call("commitBlob", upload)
            self.assertTrue(self.load(address, len(blob)) == blob)
        for start, address in zip(range(0, len(blob), MIB), small):
            self.assertEqual(self.client.call("loadBlob", "main", address, 5000),
                             blob[start:start + 5000])
        self.assertEqual(self.info()["allocated"], 3 * len(blob) + 5000 * len(small))
        self.assertEqual(self.info()["reserved"], 0)

    def test_where_somebody_still_loads(self):
        """What is in its place was removed, and who loads it takes the bytes slowly, or not at
        all: the upload goes on, and so does who waits behind it."""
        size = 8 * MIB
        old, new = blob_of(size, 2), blob_of(size, 3)
        address = self.client.call("addBlob", "main", old)
        self.client.call("addBlob", "main", b"wall")
        taker = Taker(self.daemon.unix)
        self.addCleanup(taker.close)
        taker.begin("main", address, size).take_header()
        self.client.call("removeBlob", "main", address, size)
        upload = self.client.call("beginBlob", "main", size)
        for at in range(0, size, 2 * MIB):
            self.client.call("appendBlob", upload, new[at:at + 2 * MIB])
        self.assertEqual(self.client.call("commitBlob", upload), address)
        self.assertTrue(self.client.call("loadBlob", "main", address, size) == new)
        self.assertEqual(taker.take(), digest(old))

    def test_memory_of_a_large_one(self):
        """Neither what is sent faster than it can be written nor the whole stays in memory."""
        size, piece = 256 * MIB, 4 * MIB
        before = self.memory()
        block = blob_of(piece)
        upload = self.client.call("beginBlob", "main", size)
        peak = 0
        for start in range(0, size, piece):
            self.client.notify("appendBlob", upload, block)
            peak = max(peak, self.memory())
        address = self.client.call("commitBlob", upload)
        self.assertLess(peak - before, 32 * MIB + 2 * 16 * MIB + SLACK)
        self.assertTrue(self.client.call("loadBlob", "main", address + size - piece, piece) == block)

    def memory(self):
        with open(f"/proc/{self.daemon.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def test_before_the_commit_it_is_free(self):
        upload = self.client.call("beginBlob", "main", 100000)
        self.client.call("appendBlob", upload, bytes(100000))
        info = self.info()
        self.assertEqual((info["allocated"], info["uploads"], info["reserved"]), (0, 1, 100000))
        self.refused("not_allocated", "loadBlob", "main", 0, 10)
        self.refused("not_allocated", "deallocate", "main", 0, 10)
        other = self.client.call("addBlob", "main", b"x" * 100)
        self.client.call("clear", "main")
        self.assertEqual(self.client.call("commitBlob", upload), 0)
        self.assertGreaterEqual(other, 100000)
        self.assertEqual(self.client.call("loadBlob", "main", 0, 100000), bytes(100000))

    # ---- Nothing is left behind ----

    def begin_and_append(self, client, size=4 * MIB, region="main"):
        upload = client.call("beginBlob", region, size)
        client.call("appendBlob", upload, blob_of(MIB))
        return upload

    def test_a_lost_connection(self):
        for end in ("close", "reset", "in the middle", "half", "unread"):
            client = self.connect(tcp=end == "reset")
            upload = self.begin_and_append(client)
            if end == "close":
                client.close()
            elif end == "reset":
                client.reset()
            elif end == "in the middle":
                client.send_raw(pack([0, 1, "appendBlob", [upload, blob_of(MIB)]])[:500000])
                client.close()
            elif end == "half":
                client.half_close()
                client.wait_closed()
            else:
                for _ in range(3):
                    client.send("appendBlob", upload, blob_of(MIB))
                client.reset()
            self.assert_nothing_left()

    def test_what_was_sent_whole_is_executed(self):
        """As with any request: the commit came before the end."""
        client = self.connect()
        upload = self.begin_and_append(client, MIB)
        client.send("commitBlob", upload)
        client.close()
        self.wait_uploads(0)
        while self.info()["allocated"] != MIB:
            pass

    def test_a_killed_server(self):
        uploads = [self.begin_and_append(self.connect()) for _ in range(3)]
        self.client.call("checkpoint", "main")
        self.client.call("appendBlob", self.begin_and_append(self.client), blob_of(MIB))
        self.daemon.kill()
        self.daemon.start()
        self.client = self.connect()
        self.assert_nothing_left()
        self.refused("invalid_argument", "appendBlob", uploads[0], b"x")
        self.refused("invalid_argument", "commitBlob", uploads[0])

    def test_a_killed_server_while_it_writes(self):
        clients = [self.connect(tcp=i % 2 == 1) for i in range(3)]
        going = threading.Event()

        def send(client):
            try:
                upload = client.call("beginBlob", "main", None)
                while True:
                    client.call("appendBlob", upload, blob_of(MIB))
                    going.set()
            except Exception:  # pylint: disable=broad-except  # it was killed
                pass

        threads = [threading.Thread(target=send, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        going.wait()
        self.daemon.kill()
        for thread in threads:
            thread.join()
        self.daemon.start()
        self.client = self.connect()
        self.assert_nothing_left()

    def test_abort(self):
        upload = self.begin_and_append(self.client)
        for _ in range(3):
            self.client.notify("appendBlob", upload, blob_of(MIB))
        self.client.call("abortBlob", upload)
        for method in ("commitBlob", "abortBlob"):
            self.assertIn("no upload", self.refused("invalid_argument", method, upload))
        self.refused("invalid_argument", "appendBlob", upload, b"x")
        self.assert_nothing_left()

    def test_a_dropped_region(self):
        client = self.connect()
        upload = self.begin_and_append(client, region="other")
        ids = [client.send("appendBlob", upload, blob_of(MIB)) for _ in range(2)]
        self.client.call("dropRegion", "other")
        for msgid in ids:
            try:
                client.wait(msgid)
            except RpcError as error:
                self.assertIn(error.code, ("no_such_region", "invalid_argument"))
        self.refused("invalid_argument", "commitBlob", upload, client=client)
        self.assertEqual(self.client.call("serverInfo")["uploads"], 0)

    def test_a_server_that_is_stopped(self):
        self.begin_and_append(self.client)
        self.daemon.stop()
        self.daemon.start()
        self.client = self.connect()
        self.assert_nothing_left()

    # ---- Bad input ----

    def test_past_the_size(self):
        upload = self.client.call("beginBlob", "main", 100)
        self.client.call("appendBlob", upload, b"a" * 60)
        self.refused("out_of_bounds", "appendBlob", upload, b"b" * 41)
        self.refused("out_of_bounds", "appendBlob", upload, b"b" * MIB)
        self.client.call("appendBlob", upload, b"b" * 40)
        self.refused("out_of_bounds", "appendBlob", upload, b"c")
        address = self.client.call("commitBlob", upload)
        self.assertEqual(self.client.call("loadBlob", "main", address, 100),
                         b"a" * 60 + b"b" * 40)

    def test_a_commit_too_early(self):
        upload = self.client.call("beginBlob", "main", 100)
        self.client.call("appendBlob", upload, b"a" * 60)
        self.refused("invalid_argument", "commitBlob", upload)
        self.refused("invalid_argument", "commitBlob", upload, {"token": TOKEN})
        self.client.call("appendBlob", upload, b"b" * 40)
        self.client.call("commitBlob", upload, {"token": TOKEN})
        self.refused("invalid_argument", "commitBlob", upload)

    def test_somebody_elses(self):
        upload = self.begin_and_append(self.client, 2 * MIB)
        other = self.connect()
        self.refused("invalid_argument", "appendBlob", upload, b"x", client=other)
        self.refused("invalid_argument", "commitBlob", upload, client=other)
        self.refused("invalid_argument", "abortBlob", upload, client=other)
        self.client.call("appendBlob", upload, blob_of(MIB))
        self.client.call("commitBlob", upload)

    def test_numbers_that_make_no_sense(self):
        for number in (0, 1, 2**32, 2**53, 2**64 - 1):
            self.refused("invalid_argument", "appendBlob", number, b"x")
            self.refused("invalid_argument", "commitBlob", number)
            self.refused("invalid_argument", "commitBlob", number, {"token": TOKEN})
            self.refused("invalid_argument", "abortBlob", number)
        for bad in (None, "1", -1, 1.0, [], {}):
            self.refused("invalid_argument", "appendBlob", bad, b"x")
        for bad in ("1", b"1", -1, 1.0, [], True):
            self.refused("invalid_argument", "beginBlob", "main", bad)
        for size in (2**62, 2**63, 2**64 - 1):
            self.refused("no_space", "beginBlob", "main", size)
        self.refused("no_such_region", "beginBlob", "none", 10)
        self.assert_nothing_left()

    def test_too_many(self):
        uploads = [self.client.call("beginBlob", "main", 10) for _ in range(5)]
        self.assertIn("max_uploads", self.refused("busy", "beginBlob", "main", 10))
        self.refused("busy", "beginBlob", "other", None, client=self.connect())
        self.client.call("abortBlob", uploads[2])
        self.client.call("beginBlob", "other", 10)
        self.client.close()
        self.client = self.connect()
        self.assert_nothing_left()

    def test_no_space(self):
        self.refused("no_space", "beginBlob", "small", 7 * MIB)
        upload = self.client.call("beginBlob", "small", None)
        with self.assertRaises(RpcError) as caught:
            for _ in range(7):
                self.client.call("appendBlob", upload, bytes(MIB))
        self.assertEqual(caught.exception.code, "no_space")
        self.client.call("abortBlob", upload)
        self.assert_nothing_left("small")

    def test_not_in_a_batch(self):
        upload = self.begin_and_append(self.client, MIB)
        self.refused("invalid_argument", "batch", "main", [["commitBlob", upload]])
        self.refused("invalid_argument", "batch", "main", [["beginBlob", 10]])
        self.client.call("commitBlob", upload)

    # ---- Once ----

    def test_a_commit_sent_again(self):
        blob = blob_of(MIB)
        upload = self.client.call("beginBlob", "main", MIB)
        self.client.call("appendBlob", upload, blob)
        address = self.client.call("commitBlob", upload, {"token": TOKEN})
        others = [self.client, self.connect(), self.connect(tcp=True)]
        for other in others:
            self.assertEqual(other.call("commitBlob", upload, {"token": TOKEN}), address)
        self.refused("invalid_argument", "commitBlob", upload + 1, {"token": TOKEN})
        self.daemon.kill()
        self.daemon.start()
        self.client = self.connect()
        self.assertEqual(self.client.call("commitBlob", upload, {"token": TOKEN}), address)
        self.assertEqual(self.info()["allocated"], MIB)

    def test_a_commit_sent_again_whose_token_another_region_knows(self):
        """Regions do not share tokens."""
        blob = blob_of(MIB)
        for mine, others in (("main", "other"), ("other", "main")):
            token = os.urandom(16)
            self.client.call("addBlob", others, b"x", {"token": token})
            upload = self.client.call("beginBlob", mine, MIB)
            self.client.call("appendBlob", upload, blob)
            address = self.client.call("commitBlob", upload, {"token": token})
            for client in (self.client, self.connect()):
                self.assertEqual(client.call("commitBlob", upload, {"token": token}), address)
            self.refused("invalid_argument", "commitBlob", upload + 1, {"token": token})

    def test_a_commit_whose_answer_was_lost(self):
        for _ in range(10):
            client = self.connect()
            upload = self.begin_and_append(client, MIB)
            token = os.urandom(16)
            client.send("commitBlob", upload, {"token": token})
            client.close()
            try:
                address = self.client.call("commitBlob", upload, {"token": token})
            except RpcError:  # it had not come so far yet
                self.wait_uploads(0)
                address = self.client.call("commitBlob", upload, {"token": token})
            self.client.call("deallocate", "main", address, MIB)
        self.assert_nothing_left()


class Timeouts(Uploads):
    CONFIG = "max_message: 16MiB\nupload_timeout: 1s\nregions: [{name: main}]\n"

    def test_nobody_goes_on(self):
        upload = self.begin_and_append(self.client)
        self.daemon.wait_log("upload_timeout")
        self.assertIn("upload_timeout", self.refused("invalid_argument", "appendBlob", upload, b"x"))
        self.assert_nothing_left()


class Kept(Uploads):
    """The timeout is one that a busy machine does not reach by itself."""
    CONFIG = "max_message: 16MiB\nupload_timeout: 5s\nregions: [{name: main}]\n"

    def test_empty_appends_keep_it(self):
        upload = self.begin_and_append(self.client, MIB)
        done = threading.Event()
        other = self.connect()

        def wait():
            self.begin_and_append(other)
            self.daemon.wait_log("upload_timeout")  # of the other one
            done.set()

        thread = threading.Thread(target=wait)
        thread.start()
        while not done.wait(0.1):
            self.client.call("appendBlob", upload, b"")
        thread.join()
        self.client.call("commitBlob", upload)


    def test_a_pipe_that_pauses(self):
        """mrcli keeps the upload while it waits for more."""
        blob = blob_of(6 * MIB)
        environment = {**os.environ, "MREGION_SERVER": "unix:" + self.daemon.unix}
        with subprocess.Popen([MRCLI, "add", "-"], env=environment, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as process:
            process.stdin.write(blob[:5 * MIB])
            process.stdin.flush()
            self.wait_uploads(1)
            self.begin_and_append(self.client)
            self.daemon.wait_log("upload_timeout")  # of that one
            process.stdin.write(blob[5 * MIB:])
            process.stdin.close()
            address, size = process.stdout.read().split(b"+")
            self.assertEqual(process.wait(DEADLINE), 0)
        self.assertEqual(int(size), len(blob))
        self.assertTrue(self.load(int(address), len(blob)) == blob)


def load_tests(loader, *_):
    suite = loader.loadTestsFromTestCase(Uploads)
    suite.addTest(Timeouts("test_nobody_goes_on"))
    suite.addTest(Kept("test_empty_appends_keep_it"))
    suite.addTest(Kept("test_a_pipe_that_pauses"))
    return suite


if __name__ == "__main__":
    unittest.main()
