"""What a peer should not send, in all its forms. After each: the server lives, its state is what it
was, its memory did not follow a claimed number, and another client never noticed.

The cases for parameters are made from methods.def: every method, every parameter, every wrong type
and number."""
import os
import re
import threading
import unittest

import msgpack

from case import Case
from methods import METHODS
from mpack import Client, Float32, RpcError, pack, pack_header, request
from server import Server

MIB = 1 << 20
ASAN = bool(os.environ.get("MREGION_ASAN"))

MAX_MESSAGE = 32 * MIB
MAX_BUFFERED = 64 * MIB
CONFIG = "max_message: 32MiB\nmax_buffered: 64MiB\n"

# What memory may grow by while a test does its worst; far below what is claimed or asked for there.
# Sanitizers keep freed memory for a while.
SLACK = MAX_BUFFERED + (512 if ASAN else 16) * MIB

GOOD = {"R": "main", "U": 4, "N": "some-name", "B": b"blob"}


class Bystander(threading.Thread):
    """Another client, which adds, loads and removes all the while and must not notice anything."""

    def __init__(self, address, region):
        super().__init__()
        self.client = Client(address)
        self.region = region
        self.rounds = 0
        self.ending = threading.Event()
        self.failure = None
        self.start()

    def run(self):
        try:
            while not self.ending.is_set():
                blob = (b"%08d" % self.rounds) * 64
                address = self.client.call("addBlob", self.region, blob)
                assert self.client.call("loadBlob", self.region, address, len(blob)) == blob
                assert self.client.call("removeBlob", self.region, address, len(blob)) == blob
                self.rounds += 1
        except BaseException as error:  # told to the test by finish()
            self.failure = error

    def finish(self):
        """Waits until it has done something more, now that the worst is over; then ends it."""
        self.ending.set()
        self.join()
        self.client.close()
        if self.failure is not None:
            raise AssertionError("the other client noticed") from self.failure
        assert self.rounds > 0


class Bad(Case):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Server(config=CONFIG, regions=["main", "bystander"])
        cls.daemon.command += ["--listen", "unix:" + cls.daemon.path("s"),
                               "--listen", "tcp:127.0.0.1:0"]
        cls.addClassCleanup(cls.daemon.remove)
        cls.daemon.start()
        cls.bystander = Bystander(cls.daemon.unix, "bystander")
        with Client(cls.daemon.unix) as client:
            client.call("addBlob", "main", bytes(range(100)))
            client.call("deallocate", "main", 40, 20)

    @classmethod
    def tearDownClass(cls):
        cls.bystander.finish()
        cls.daemon.stop()

    def setUp(self):
        self.client = self.connect()
        self.state = self.read_state()
        self.addCleanup(self.check_unchanged)

    def connect(self, tcp=False):
        client = Client(self.daemon.tcp if tcp else self.daemon.unix)
        self.addCleanup(client.close)
        return client

    def read_state(self):
        with Client(self.daemon.unix) as client:
            return (client.call("memoryInfo", "main"), client.call("getFreeMemory", "main"),
                    client.call("listRegions"), client.call("loadBlob", "main", 0, 40),
                    client.call("loadBlob", "main", 60, 40))

    def check_unchanged(self):
        self.assertEqual(self.read_state(), self.state)

    def refused(self, code, method, *params):
        with self.assertRaises(RpcError, msg=f"{method}{params}") as caught:
            self.client.call(method, *params)
        self.assertEqual(caught.exception.code, code, (method, params, caught.exception))
        return caught.exception.sentence

    def refused_packed(self, method, params):
        with self.assertRaises(RpcError, msg=f"{method} {params!r}") as caught:
            self.client.call_packed(method, params)
        self.assertEqual(caught.exception.code, "invalid_argument", (method, params))
        return caught.exception.sentence

    def memory(self):
        """Bytes resident now."""
        with open(f"/proc/{self.daemon.process.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1]) * 1024

    def wait_rounds(self, count):
        """Until the bystander has come so far: the server is at work, and what it would do wrong by
        now it has done."""
        goal = self.bystander.rounds + count
        while self.bystander.rounds < goal:
            self.assertIsNone(self.bystander.failure)
            self.bystander.join(0.01)

    def assert_memory_bounded(self, before):
        self.assertLess(self.memory(), before + SLACK)


class Messages(Bad):
    """What is no request ends its connection."""

    def assert_ends(self, data, msgid=None, code="invalid_argument", tcp=False):
        """The server closes; before that it answers an earlier request and, if it can be
        addressed, the bad one."""
        client = self.connect(tcp)
        client.send_raw(request(1000, "ping", []) + data)
        responses = client.wait_closed()
        self.assertEqual(responses[0], (1000, None, "pong"), data)
        if msgid is None:
            self.assertEqual(responses[1:], [], data)
        else:
            self.assertEqual(len(responses), 2, (data, responses))
            self.assertEqual(responses[1][0], msgid)
            self.assertRegex(responses[1][1], f"^{code}: ")
        client.close()

    def test_garbage(self):
        for data in (b"\xc1", b"\n", b"hello\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                     b"\x16\x03\x01\x02\x00\x01\x00", b"*1\r\n$4\r\nPING\r\n", b"\0" * 100,
                     b"\xff" * 1000, os.urandom(4096) + b"\xc1"):
            for tcp in (False, True):
                self.assert_ends_somehow(data, tcp)

    def assert_ends_somehow(self, data, tcp):
        """Random bytes may even hold a msgid: only the end is certain."""
        client = self.connect(tcp)
        client.send_raw(data)
        try:
            client.half_close()
        except OSError:
            pass  # the server was faster
        client.wait_closed()
        client.close()

    def test_unused_byte(self):
        self.assert_ends(b"\xc1")
        self.assert_ends(b"\x94\x00\xc1")
        self.assert_ends(b"\x94\x00\x05\xc1", msgid=5)
        self.assert_ends(b"\x94\x00\x05\xa7addBlob\x92\xa4main\xc1", msgid=5)
        self.assert_ends(b"\x93\x02\xa7addBlob\x92\xa4main\xc1")

    def test_objects_that_are_no_message(self):
        for value in (None, True, 5, -5, 1.5, "text", b"bin", {}, {0: 1, 2: 3}, [],
                      msgpack.ExtType(1, b"x")):
            self.assert_ends(pack(value))

    def test_types(self):
        for kind in (3, 255, 2**32, 2**64 - 1, -1, 0.0, None, "0", b"\0", True, [], {}):
            self.assert_ends(pack([kind, 5, "ping", []]))

    def test_responses(self):
        self.assert_ends(pack([1, 5, None, "pong"]))
        self.assert_ends(pack([1, 5, "internal: no", None]))
        self.assert_ends(pack([1]))

    def test_counts(self):
        self.assert_ends(pack([0]))
        self.assert_ends(pack([0, 5]), msgid=5)
        self.assert_ends(pack([0, 5, "ping"]), msgid=5)
        self.assert_ends(pack([0, 5, "ping", [], None]), msgid=5)
        self.assert_ends(pack([0, 5] + [1] * 100), msgid=5)
        self.assert_ends(pack([2]))
        self.assert_ends(pack([2, "ping"]))
        self.assert_ends(pack([2, 5, "ping", []]))

    def test_msgids(self):
        for msgid in (-1, 2**32, 2**64 - 1, 1.0, Float32(1.0), None, "5", b"5", True, [5], {}):
            self.assert_ends(pack([0, msgid, "ping", []]))

    def test_method_and_params(self):
        for method in (5, -5, 1.5, None, True, ["ping"], {}, msgpack.ExtType(1, b"ping")):
            self.assert_ends(pack([0, 5, method, []]), msgid=5)
        for params in (5, -5, 1.5, "main", b"main", True, {}, {"region": "main"}):
            self.assert_ends(pack([0, 5, "ping", params]), msgid=5)

    def test_depth(self):
        def nested(depth):
            return b"\x94\x00\x05\xa4ping" + b"\x91" * depth + b"\xc0"

        self.client.send_raw(nested(15))  # 16 with the envelope, which is allowed
        self.assertRegex(self.client.receive()[1], "^invalid_argument: ping: ")
        self.assertEqual(self.client.call("ping"), "pong")
        for depth in (16, 17, 32, 33, 1000, 100000):
            self.assert_ends(nested(depth), msgid=5)
            self.assert_ends(b"\x81\xc0" * 17 * depth)

    def test_elements(self):
        self.refused_packed("ping", b"\xdc\xff\x00" + b"\xc0" * 0xff00)  # bad, but within bounds
        for claim in (b"\xdd\x00\x01\x00\x00" + b"\xc0" * 65536, b"\xdd\xff\xff\xff\xff",
                      b"\x91\xdf\xff\xff\xff\xff", b"\xdf\x80\x00\x00\x00"):
            self.assert_ends(b"\x94\x00\x05\xa4ping" + claim, msgid=5)
        self.assert_ends(b"\xdd\xff\xff\xff\xff")
        self.assert_ends(b"\xdf\xff\xff\xff\xff")


class Truncated(Bad):
    MESSAGE = request(70000, "resize", ["no such region", 1, 2**40, 3, {}])

    def test_ends_at_every_byte(self):
        for tcp in (False, True):
            for length in range(len(self.MESSAGE)):
                client = self.connect(tcp)
                client.send_raw(self.MESSAGE[:length])
                if length % 2:
                    client.half_close()
                    self.assertEqual(client.wait_closed(), [])
                    client.close()
                else:
                    client.reset()

    def test_byte_by_byte(self):
        for tcp in (False, True):
            client = self.connect(tcp)
            for i in range(len(self.MESSAGE)):
                client.send_raw(self.MESSAGE[i:i + 1])
            self.assertRegex(client.receive()[1], "^no_such_region: ")

    def test_every_split(self):
        for at in range(1, len(self.MESSAGE)):
            self.client.send_raw(self.MESSAGE[:at])
            self.client.send_raw(self.MESSAGE[at:])
            self.assertEqual(self.client.receive()[0], 70000)

    def test_slices_of_many(self):
        data = self.MESSAGE * 200
        for size in (7, 13, 64, 1000):
            for at in range(0, len(data), size):
                self.client.send_raw(data[at:at + size])
            for _ in range(200):
                self.assertEqual(self.client.receive()[0], 70000)

    def test_disconnect_within_a_large_blob(self):
        blob = bytes(3 * MIB)
        message = request(1, "addBlob", ["main", blob])
        for length in (30, 4096, 65536, MIB, len(message) - 1):
            for end in ("close", "reset", "half"):
                client = self.connect(tcp=end == "reset")
                client.send_raw(message[:length])
                if end == "half":
                    client.half_close()
                    self.assertEqual(client.wait_closed(), [])
                elif end == "reset":
                    client.reset()
                client.close()

    def test_disconnect_before_the_answer(self):
        for end in ("close", "reset"):
            for _ in range(50):
                client = Client(self.daemon.tcp)
                client.send("loadBlob", "main", 0, 40)
                client.send("storeBlob", "main", 0, bytes(range(10)))
                client.send("getFreeMemory", "main")
                client.close() if end == "close" else client.reset()

    def test_half_close_still_answers(self):
        for tcp in (False, True):
            client = self.connect(tcp)
            count = 500
            for i in range(count):
                client.send("loadBlob" if i % 2 else "storeBlob", "main", 0, 40 if i % 2 else
                            bytes(range(40)))
            client.half_close()
            responses = client.wait_closed()
            self.assertEqual(sorted(msgid for msgid, _, _ in responses), list(range(count)))
            self.assertEqual({error for _, error, _ in responses}, {None})


class Claims(Bad):
    """Numbers that the bytes to come never live up to."""
    ADD = b"\x94\x00\x05\xa7addBlob\x92\xa4main"

    def test_lengths_past_the_limit(self):
        for header in ("c6ffffffff", "dbffffffff", "c9ffffffff00", "c602000000", "c680000000"):
            before = self.memory()
            clients = [self.connect(i % 2 == 1) for i in range(40)]
            for client in clients:
                client.send_raw(self.ADD + bytes.fromhex(header))
            for client in clients:
                (msgid, error, _), = client.wait_closed()
                self.assertEqual(msgid, 5)
                self.assertRegex(error, "^too_large: ")
                client.close()
            self.assert_memory_bounded(before)

    def test_lengths_within_the_limit(self):
        before = self.memory()
        clients = [self.connect(i % 2 == 1) for i in range(200)]
        for client in clients:
            client.send_raw(self.ADD + b"\xc6\x01\xf0\x00\x00" + bytes(1000))  # 31 MiB claimed
        other = self.connect()
        blob = os.urandom(MIB)
        address = other.call("addBlob", "bystander", blob)
        self.assertEqual(other.call("removeBlob", "bystander", address, MIB), blob)
        self.wait_rounds(3)
        self.assert_memory_bounded(before)
        for client in clients:
            client.close()

    def test_a_message_over_the_limit(self):
        for method, extra in (("addBlob", 0), ("storeBlob", MIB)):
            params = ["main", 0, bytes(MAX_MESSAGE + extra)]
            if method == "addBlob":
                del params[1]
            client = self.connect()
            try:
                client.send_raw(request(1, method, params))
            except OSError:
                pass  # closed while it was being sent, as it should be
            for _, error, _ in client.wait_closed():
                self.assertRegex(error, "^too_large: ")

    def test_many_strings_past_the_limit_together(self):
        # Each is within the limit, their sum is not: refused before the second has come.
        part = b"\xc6" + (MAX_MESSAGE // 2).to_bytes(4, "big")
        client = self.connect()
        client.send_raw(b"\x94\x00\x05\xa4ping\x92" + part + bytes(MAX_MESSAGE // 2) + part)
        (msgid, error, _), = client.wait_closed()
        self.assertEqual(msgid, 5)
        self.assertRegex(error, "^too_large: ")


class Parameters(Bad):
    """Made from the table."""

    WRONG = {  # what is no parameter of the kind
        "U": [-1, -2**63, 0.0, 1.0, 1e300, float("nan"), Float32(2.0), None, True, False, "4",
              b"4", [], [4], {}, {"a": 1}, msgpack.ExtType(1, b"4"), msgpack.Timestamp(4)],
        "R": [-1, 1.0, Float32(0.0), None, True, [], ["main"], {}, msgpack.ExtType(1, b"main")],
        "N": [0, 5, -1, 1.0, None, True, [], ["name"], {}, msgpack.ExtType(1, b"name")],
        "B": [0, 5, -1, 1.0, Float32(0.0), None, True, [], [1, 2], {}, msgpack.ExtType(1, b"blob"),
              msgpack.ExtType(1, b"x" * 100000)],
    }

    def good(self, method):
        return [GOOD[letter] for letter in method.letters]

    def test_wrong_types(self):
        for method in METHODS:
            for index, letter in enumerate(method.letters):
                for wrong in self.WRONG[letter]:
                    params = self.good(method)
                    params[index] = wrong
                    sentence = self.refused("invalid_argument", method.name, *params)
                    self.assertIn(f"{method.name}: {method.names[index]} ", sentence)

    def test_floats_say_float_and_negatives_say_negative(self):
        for wrong, word in ((1.0, "float"), (Float32(1.0), "float"), (-1, "negative")):
            self.assertIn(word, self.refused("invalid_argument", "loadBlob", "main", wrong, 1))
            self.assertIn(word, self.refused("invalid_argument", "allocate", "main", wrong))

    def test_wrong_counts(self):
        for method in METHODS:
            good = self.good(method)
            for count in range(len(good)):
                self.refused("invalid_argument", method.name, *good[:count])
            for more in ([{}, {}], [{}, 1], [1, {}], [None, None], [1] * 100):
                sentence = self.refused("invalid_argument", method.name, *good, *more)
                self.assertTrue(sentence.startswith(method.name), sentence)
            if good:
                self.refused_packed(method.name, b"\xc0")

    def test_wrong_options(self):
        for method in METHODS:
            good = self.good(method)
            for wrong in (None, 0, 1, 1.0, True, "limit", b"limit", [], [{}],
                          msgpack.ExtType(1, b"x")):
                self.refused("invalid_argument", method.name, *good, wrong)
            for key in ("", "unknown", "Limit", "limit ", "limit\0", b"\xff\xfe", "x" * 10000):
                sentence = self.refused("invalid_argument", method.name, *good, {key: 1})
                self.assertTrue(sentence.startswith(method.name), sentence)
                for option in method.options:
                    self.assertIn(option, sentence)
            for key in (1, -1, 1.5, None, True):
                self.refused("invalid_argument", method.name, *good, {key: 1})
            packed = pack_header(0x90, 0xdc, len(good) + 1) + b"".join(map(pack, good))
            for option in method.options:
                as_bin = pack(option.encode())
                for again in (pack(option), as_bin):
                    pairs = b"\x82" + pack(option) + b"\x01" + again + b"\x01"
                    self.assertIn(option, self.refused_packed(method.name, packed + pairs))

    def test_wrong_values_of_options(self):
        wrong = {
            "from": self.WRONG["U"], "limit": self.WRONG["U"],
            "max_size": [-1, 1.5, None, True, [], "many", 2**64 - 1],
            "journal_size": [-1, 1.5, None, True, [], "many", 0, 1, 2**64 - 1],
            "flush_interval": [-1, 1.5, None, True, [], "often", 0, 2**64 - 1],
            "durability": [0, 1, -1, 1.5, None, True, [], "", "SYNC", "sync ", "sync\0",
                           "x" * 9999],
            "fit": [0, 1, 1.5, None, True, [], "", "best", "tight\0"],
        }
        for method in METHODS:
            for option in method.options:
                for value in wrong[option]:
                    sentence = self.refused("invalid_argument", method.name, *self.good(method),
                                            {option: value})
                    self.assertIn(option, sentence)

    def test_names(self):
        bad = ["", ".", "..", "../main", "/", "/etc/passwd", "a/b", "a\\b/..", "main/", "./main",
               "a\0b", "main\0", "\0", ".hidden", "-rf", "_x", "a b", " main", "main ", "a\nb",
               "caf\u00e9", "\u202e", "x" * 65, "x" * 100000, b"\xff\xfe", b"\x80", "a:b", "a*",
               "~"]
        for name in bad:
            self.refused("invalid_argument", "createRegion", name)
            with self.assertRaises(RpcError) as caught:
                self.client.call("size", name)
            self.assertIn(caught.exception.code, ("no_such_region", "invalid_argument"))
            with self.assertRaises(RpcError) as caught:
                self.client.call("dropRegion", name)
            self.assertIn(caught.exception.code, ("no_such_region", "invalid_argument"))
        folder = os.listdir(os.path.join(self.daemon.data_dir, "regions"))
        self.assertEqual(sorted(folder), ["bystander", "main"])

    def test_blocks_past_all_bounds(self):
        far = [(2**64 - 1, 1), (2**64 - 1, 2**64 - 1), (1, 2**64 - 1), (2**63, 2**63), (101, 0),
               (2**62, 2**62), (100, 1), (0, 101), (0, 2**64 - 1), (2**64 - 4, 8), (2**32, 4),
               (2**64 - 1, 0)]
        for method in METHODS:
            if method.names[1:3] == ["address", "size"]:
                for address, size in far:
                    self.refused("out_of_bounds", method.name, "main", address, size,
                                 *self.good(method)[3:])
            elif method.names[1:3] == ["start", "end"]:
                for start, end in ((0, 101), (100, 99), (101, 101), (0, 2**64 - 1),
                                   (2**64 - 1, 0), (2**64 - 1, 2**64 - 1), (2**63, 2**63 + 1)):
                    self.refused("out_of_bounds", method.name, "main", start, end)
        for address in (97, 100, 101, 2**32, 2**63, 2**64 - 4, 2**64 - 1):
            self.refused("out_of_bounds", "storeBlob", "main", address, b"blob")
        for header in (101, 2**63, 2**64 - 1):
            self.refused("out_of_bounds", "clearAndRetainHeader", "main", header)
        for size in (2**62, 2**63, 2**64 - 1):
            self.refused("no_space", "allocate", "main", size)
            self.refused("no_space", "resize", "main", 0, 4, size)
        for pages in (2**46, 2**47, 2**48, 2**63, 2**64 - 1):
            self.refused("no_space", "grow", "main", pages)

    def test_double_frees_and_frees_across_a_hole(self):
        for address, size in ((40, 20), (45, 1), (39, 2), (59, 2), (0, 100), (30, 40), (40, 60)):
            self.refused("not_allocated", "deallocate", "main", address, size)
            self.refused("not_allocated", "removeBlob", "main", address, size)
            self.refused("not_allocated", "resize", "main", address, size, 1)
            self.refused("not_allocated", "replaceBlob", "main", address, size, b"x")
            self.refused("not_allocated", "loadBlob", "main", address, size)
            self.refused("not_allocated", "storeBlob", "main", address, bytes(size))

    def test_notifications_that_fail_are_silent(self):
        for method in METHODS:
            for index, letter in enumerate(method.letters):
                for wrong in self.WRONG[letter][:4]:
                    params = self.good(method)
                    params[index] = wrong
                    self.client.notify(method.name, *params)
        self.assertEqual(self.client.call("ping"), "pong")
        self.assertEqual(self.client.answers, {})


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
                if start == slice_size:
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
        kept others waiting for some time."""
        self.make_region()
        size = MAX_MESSAGE - 1000
        self.client.call("allocate", "flood", size)
        holders = [self.connect() for _ in range(3)]
        for holder in holders:
            for _ in range(4):
                holder.send("loadBlob", "flood", 0, size)
        self.wait_rounds(20)  # small requests go on meanwhile
        self.assertEqual(len(self.client.call("loadBlob", "flood", 0, 8 * MIB)), 8 * MIB)
        self.daemon.wait_log("max_buffered")

    def test_many_that_never_finish(self):
        before = self.memory()
        clients = [self.connect(i % 2 == 1) for i in range(300)]
        for client in clients:
            client.send_raw(Claims.ADD + b"\xc6\x00\x10\x00\x00" + bytes(5000))
        self.wait_rounds(20)
        self.assert_memory_bounded(before)
        self.assertEqual(self.client.call("ping"), "pong")


if __name__ == "__main__":
    unittest.main()
