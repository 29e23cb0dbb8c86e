"""What a hostile peer may try, as one list: each class of it with the tests that show what becomes of
it, most of them in other files. The rest is here. All run against the real server, also under
AddressSanitizer; in most of them another client works all the while and must not notice, the memory
stays within its bound, and the connection is closed or gets an error.

What comes over TLS, and what has to do with users, is in the tests of these.
"""
import importlib
import os
import random
import socket
import unittest

import msgpack

from bad import MIB, Bad
from faults import FAULT, FaultCase
from methods import METHODS
from mpack import Client, pack, request

CLASSES = {
    "the byte that MessagePack does not use": "test_bad_input.Messages.test_unused_byte",
    "HTTP, TLS, Redis, random bytes": "test_bad_input.Messages.test_garbage",
    "objects that are no message": "test_bad_input.Messages.test_objects_that_are_no_message",
    "responses sent to the server": "test_bad_input.Messages.test_responses",
    "unknown types of message": "test_bad_input.Messages.test_types",
    "envelopes of too few and too many elements": "test_bad_input.Messages.test_counts",
    "msgids that are none": "test_bad_input.Messages.test_msgids",
    "methods and parameter lists that are none":
        "test_bad_input.Messages.test_method_and_params",
    "requests behind bad bytes": "test_hostile.Envelopes.test_what_is_behind_is_not_executed",
    "every request cut off at every byte": "test_hostile.Requests.test_cut_off_at_every_byte",
    "every request byte by byte": "test_hostile.Requests.test_byte_by_byte",
    "every request, changed at random": "test_hostile.Requests.test_changed_at_random",
    "messages in odd slices": "test_bad_input.Truncated.test_slices_of_many",
    "large blobs that break off": "test_bad_input.Truncated.test_disconnect_within_a_large_blob",
    "claims of 2^32 - 1 elements or bytes, anywhere":
        "test_hostile.Envelopes.test_claims_anywhere",
    "claims within the limits that are not kept":
        "test_bad_input.Claims.test_lengths_within_the_limit",
    "messages past max_message": "test_bad_input.Claims.test_a_message_over_the_limit",
    "strings past max_message together":
        "test_bad_input.Claims.test_many_strings_past_the_limit_together",
    "nesting, 100,000 deep": "test_bad_input.Messages.test_depth",
    "chains of arrays and maps with wide headers": "test_hostile.Envelopes.test_chains",
    "too many elements": "test_bad_input.Messages.test_elements",
    "extension types and timestamps, anywhere":
        "test_hostile.Envelopes.test_extensions_anywhere",
    "the wrong type for every parameter of every method":
        "test_parameters.Parameters.test_wrong_types",
    "the wrong number of parameters": "test_parameters.Parameters.test_wrong_counts",
    "options that are none": "test_parameters.Parameters.test_wrong_options",
    "negative numbers, floats, NaN, 2^64 - 1":
        "test_parameters.Parameters.test_floats_say_float_and_negatives_say_negative",
    "wrong values of options": "test_parameters.Parameters.test_wrong_values_of_options",
    "addresses around 2^64 and the region's end":
        "test_parameters.Parameters.test_blocks_past_all_bounds",
    "blocks that are free already, or in part":
        "test_parameters.Parameters.test_double_frees_and_frees_across_a_hole",
    "names with ../, NUL, newline, of 100 KB": "test_parameters.Parameters.test_names",
    "batches of what is no change": "test_parameters.Parameters.test_what_is_no_change",
    "changes in a batch past all bounds":
        "test_parameters.Parameters.test_changes_past_all_bounds",
    "100,000 requests whose answers nobody reads":
        "test_flood.Flood.test_answers_nobody_reads",
    "floods that go away": "test_flood.Flood.test_floods_that_go_away",
    "a million notifications": "test_hostile.Floods.test_a_million_notifications",
    "1,000 slow readers of large blobs": "test_hostile.Floods.test_slow_readers_of_large_blobs",
    "messages that together are larger than memory":
        "test_flood.Flood.test_uploads_larger_than_memory_together",
    "memory that nobody gives back": "test_flood.Flood.test_memory_that_nobody_gives_back",
    "readers and senders of a byte now and then":
        "test_limits.Time.test_memory_that_others_wait_for",
    "messages that drip": "test_limits.Time.test_messages",
    "connections that nothing moves on": "test_limits.Time.test_idle",
    "more connections than max_connections":
        "test_limits.Connections.test_turned_away_at_a_bounded_rate_of_lines",
    "more connections of one peer": "test_limits.Connections.test_of_one_peer",
    "connections up to the limit of file descriptors":
        "test_pressure.Descriptors.test_connections_leave_some_to_the_regions",
    "connections without any file descriptor":
        "test_limits.Descriptors.test_accepting_pauses_without_any",
    "regions without number": "test_limits.Amounts.test_regions",
    "uploads without number, and forgotten ones":
        "test_uploads.Timeouts.test_nobody_goes_on",
    "connections that come and go": "test_hostile.Floods.test_connections_that_come_and_go",
    "file descriptors sent along": "test_hostile.Ends.test_file_descriptors_sent_along",
    "urgent bytes": "test_hostile.Ends.test_urgent_bytes",
    "half-closed connections": "test_bad_input.Truncated.test_half_close_still_answers",
    "a reset in the middle of an answer": "test_hostile.Ends.test_reset_within_an_answer",
    "the end of a connection while the disk works":
        "test_hostile.Ends.test_gone_while_the_disk_works",
    "the end of a connection while a sync hangs": "test_hostile.Held.test_gone_while_a_sync_hangs",
    "the end before the answer": "test_bad_input.Truncated.test_disconnect_before_the_answer",
    "10,000 silent connections, and 100 that attack": "test_crowd.Crowd.test_with_defaults",
    "messages that are begun, by thousands": "test_crowd.Crowd.test_beginnings",
    "stale sockets": "test_sockets.Sockets.test_stale_is_replaced",
    "symbolic links, folders, pipes in a socket's place":
        "test_sockets.Sockets.test_what_is_no_socket_is_left_alone",
    "configurations of aliases of aliases, and the like":
        "test_config.Configuration.test_hostile",
}


class Index(unittest.TestCase):
    def test_all_exist(self):
        for name in CLASSES.values():
            file, case, test = name.split(".")
            self.assertTrue(callable(getattr(getattr(importlib.import_module(file), case), test)))
        self.assertGreaterEqual(len(CLASSES), 30)


class Hostile(Bad):
    def make_region(self, name="hostile"):
        """One of its own for the test, of 100 bytes in use."""
        def drop():
            with Client(self.daemon.unix) as client:
                if name in client.call("listRegions"):
                    client.call("dropRegion", name)

        self.client.call("createRegion", name, {"page_cache": MIB})
        self.addCleanup(drop)
        self.client.call("addBlob", name, bytes(100))


class Envelopes(Hostile):
    """Headers that promise anything, wherever a message may have one."""

    # A message up to each place where an object is due, and what would complete it.
    PLACES = (
        b"",
        b"\x94",
        b"\x94\x00",
        b"\x94\x00\x05",
        b"\x94\x00\x05\xa4ping",
        b"\x93\x02",
        b"\x93\x02\xa4ping",
        b"\x94\x00\x05\xa8loadBlob\x93",
        b"\x94\x00\x05\xa8loadBlob\x93\xa4main",
        b"\x94\x00\x05\xa8loadBlob\x93\xa4main\x00",
        b"\x94\x00\x05\xa7addBlob\x92\xa4main",
        b"\x94\x00\x05\xadgetFreeMemory\x92\xa4main",
        b"\x94\x00\x05\xadgetFreeMemory\x92\xa4main\x81",
        b"\x94\x00\x05\xadgetFreeMemory\x92\xa4main\x81\xa5limit",
        b"\x94\x00\x05\xa8allocate\x93\xa4main\x01\x81\xa5token",
        b"\x94\x00\x05\xa5batch\x92\xa4main",
        b"\x94\x00\x05\xa5batch\x92\xa4main\x91",
        b"\x94\x00\x05\xa5batch\x92\xa4main\x91\x92",
        b"\x94\x00\x05\xa5batch\x92\xa4main\x91\x92\xa7addBlob",
        b"\x94\x00\x05\xa5batch\x92\xa4main\x91\x93\xaadeallocate\x00",
    )

    def assert_ends(self, data):
        """By an error, or without a word; whatever is answered is a refusal."""
        client = self.connect(tcp=len(data) % 2 == 1)
        client.send_raw(data)
        try:
            client.half_close()
        except OSError:
            pass  # the server was faster
        for msgid, error, _ in client.wait_closed():
            self.assertEqual(msgid, 5, data)
            self.assertRegex(error or "", "^(invalid_argument|too_large): ", data)
        client.close()

    def test_claims_anywhere(self):
        before = self.memory()
        for place in self.PLACES:
            for header in ("dcffff", "ddffffffff", "deffff", "dfffffffff", "daffff", "dbffffffff",
                           "c5ffff", "c6ffffffff", "c8ffff01", "c9ffffffffff"):
                self.assert_ends(place + bytes.fromhex(header))
                self.assert_ends(place + bytes.fromhex(header) + b"\xc0" * 100)
        self.assertLess(self.memory() - before, 16 * MIB)

    def test_chains(self):
        before = self.memory()
        for link in ("dc0001", "dcffff", "dd00000001", "ddffffffff", "de0001c0", "df00000001c0",
                     "9f", "8fc0", "dc0002c0", "81dc000191"):
            for place in (b"", b"\x94\x00\x05\xa4ping", b"\x93\x02\xa4ping"):
                for count in (17, 1000, 100000):
                    self.assert_ends(place + bytes.fromhex(link) * count)
        self.assertLess(self.memory() - before, 16 * MIB)

    def test_extensions_anywhere(self):
        """Also timestamps of a wrong size, and with more nanoseconds than a second has."""
        values = [bytes.fromhex(text) for text in
                  ("d6ffffffffff", "d7ffffffffffffffffff", "c70cffffffffff7fffffffffffffff",
                   "c705ff0102030405", "c700ff", "c8000cffffffffff8000000000000000", "d4ff00", "d500ffff",
                   "d87f" + "ff" * 16, "d480c1", "c70180c1")]
        for place in self.PLACES:
            for value in values:
                rest = b"\xc0" * 4  # completes it, or is one thing more that is none
                self.assert_ends(place + value + rest)

    def test_what_is_behind_is_not_executed(self):
        for bad in (b"\xc1", pack([3, 5, "ping", []]), pack([0, 5, "ping"]), b"\xdd\xff\xff\xff\xff",
                    b"\x91" * 20, pack("text")):
            change = request(6, "addBlob", ["main", b"x" * 100])
            for data in (bad + change, bad + pack([2, "clear", ["main"]]), bad + change * 1000):
                client = self.connect()
                try:
                    client.send_raw(data)
                except OSError:
                    pass  # the server was faster
                self.assertNotIn(6, [msgid for msgid, _, _ in client.wait_closed()])
                client.close()
        # that nothing has changed is looked at in the end


class Requests(Hostile):
    """Every method, by the table."""
    GOOD = {"R": "hostile", "U": 4, "S": 4, "N": "hostile-too", "B": b"blob",
            "C": [["allocate", 4], ["addBlob", b"blob"]]}

    def valid(self):
        """One request of each method, and one with each of its options."""
        options = {"from": 0, "limit": 5, "max_size": 0, "journal_size": 2**28, "durability": "sync",
                   "flush_interval": 100, "fit": "tight", "token": b"sixteen bytes ok", "discard": 0}
        for method in METHODS:
            params = [self.GOOD.get(letter, "x") for letter in method.letters]
            yield request(70000, method.name, params)
            for option in method.options:
                if option in options:
                    yield request(70000, method.name, [*params, {option: options[option]}])

    def setUp(self):
        super().setUp()
        self.addCleanup(self.drop_made)

    def drop_made(self):
        with Client(self.daemon.unix) as client:
            for name in client.call("listRegions"):
                if name not in ("main", "bystander", "hostile"):
                    client.call("dropRegion", name)

    def test_cut_off_at_every_byte(self):
        self.make_region()
        before = self.client.call("memoryInfo", "hostile")
        for message in self.valid():
            for length in range(len(message)):
                with Client(self.daemon.unix) as client:
                    client.socket.sendall(message[:length])
                    client.half_close()
                    self.assertEqual(client.wait_closed(), [], message[:length])
        self.assertEqual(self.client.call("memoryInfo", "hostile"), before)

    def test_byte_by_byte(self):
        self.make_region()
        client = self.connect(tcp=True)
        for message in self.valid():
            for byte in message:
                client.socket.sendall(bytes([byte]))
            self.assertEqual(client.receive()[0], 70000, message)
            if "hostile" not in self.client.call("listRegions"):
                self.make_region()

    @staticmethod
    def is_for_others(data):
        """Whether there is a request in it for a region by one of their numbers: 1 and 2."""
        unpacker = msgpack.Unpacker(raw=True, strict_map_key=False)
        unpacker.feed(data)
        try:
            return any(isinstance(message, list) and message and isinstance(message[-1], list)
                       and message[-1][:1] in ([1], [2]) for message in unpacker)
        except (ValueError, TypeError, msgpack.UnpackException):
            return False

    @staticmethod
    def changed(message, chance):
        """A copy with some bytes replaced, left out, inserted, or a part repeated."""
        data = bytearray(message)
        for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
            at = chance.randrange(len(data))
            kind = chance.randrange(5)
            if kind == 0:
                data[at] = chance.randrange(256)
            elif kind == 1:
                data[at] ^= 1 << chance.randrange(8)
            elif kind == 2 and len(data) > 1:
                del data[at:at + chance.randrange(1, 4)]
            elif kind == 3:
                data[at:at] = bytes([chance.choice((0x91, 0xc0, 0xc1, 0xcf, 0xdd, 0xff, 0x00))])
            else:
                data[at:at] = data[at:at + chance.randrange(1, 20)]
            if not data:
                break
        return bytes(data)

    def test_changed_at_random(self):
        """On one seed, so that a failure comes again. MREGION_HOSTILE_TURNS asks for more of them, and
        another seed."""
        turns = int(os.environ.get("MREGION_HOSTILE_TURNS", "2000"))
        chance = random.Random(turns)
        self.make_region()
        messages = list(self.valid())
        before = self.memory()
        for turn in range(turns):
            with Client(self.daemon.unix) as client:
                data = self.changed(chance.choice(messages), chance)
                if turn % 4 == 0:
                    data += b"\xc0" * 40  # completes most of what was cut off
                if self.is_for_others(data):
                    continue
                client.socket.sendall(data)
                client.half_close()
                for msgid, _, _ in client.wait_closed():
                    self.assertIsInstance(msgid, int)
            if turn % 50 == 0 and "hostile" not in self.client.call("listRegions"):
                self.make_region()
        self.wait_rounds(3)
        self.assert_memory_bounded(before)


class Floods(Hostile):
    def test_a_million_notifications(self):
        """Of what does nothing, of what fails, of methods that there are not."""
        before = self.memory()
        failed = self.client.call("serverInfo")["requests_failed"]
        kinds = [pack([2, "ping", []]), pack([2, "noSuchMethod", [1, 2, 3]]),
                 pack([2, "deallocate", ["main", 50, 1]]), pack([2, "deallocate", ["nobody", 0, 1]])]
        client = self.connect()
        for _ in range(250):
            client.send_raw(b"".join(kinds) * 1000)
        self.assertEqual(client.call("ping"), "pong")
        self.assertEqual(client.answers, {})
        self.assertGreaterEqual(self.client.call("serverInfo")["requests_failed"] - failed, 750000)
        self.wait_rounds(3)
        self.assertLess(self.memory() - before, 16 * MIB)

    def test_slow_readers_of_large_blobs(self):
        """Each may have 512 KiB of the server's memory, and all together no more than there is. Those
        who want as much meanwhile get it: the slow ones make way."""
        size, count = 8 * MIB, 990
        self.make_region()
        address = self.client.call("allocate", "hostile", size)
        before = self.memory()
        clients = [self.connect(i % 2 == 1) for i in range(count)]
        for client in clients:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.send("loadBlob", "hostile", address, size)
        for _ in range(3):
            for client in clients:
                client.socket.setblocking(False)
                try:
                    client.socket.recv(100)
                except OSError:
                    pass  # nothing has come yet, or it had to make way
            self.wait_rounds(5)
            self.assert_memory_bounded(before)
        for client in clients[::2]:  # who wait, and go away
            client.reset()
        quick = self.connect()
        self.assertEqual(quick.call("loadBlob", "hostile", address, size), bytes(size))
        self.assert_memory_bounded(before)

    def test_connections_that_come_and_go(self):
        files = len(os.listdir(f"/proc/{self.daemon.process.pid}/fd"))
        before = self.memory()
        for i in range(3000):
            client = Client(self.daemon.tcp if i % 2 else self.daemon.unix)
            client.reset() if i % 3 == 0 else client.close()
        self.assertEqual(self.client.call("ping"), "pong")
        while self.client.call("serverInfo")["connections"] > 2:
            pass
        self.wait_rounds(1)
        self.assertLess(self.memory() - before, 16 * MIB)
        self.assertLess(len(os.listdir(f"/proc/{self.daemon.process.pid}/fd")), files + 8)


class Ends(Hostile):
    """Of connections, when they are not expected."""

    def test_reset_within_an_answer(self):
        self.make_region()
        size = 4 * MIB
        address = self.client.call("allocate", "hostile", size)
        before = self.memory()
        for turn in range(60):
            client = self.connect(tcp=turn % 3 > 0)
            for _ in range(3):  # one is streamed, others wait behind it
                client.send("loadBlob", "hostile", address, size)
            taken = 0
            while taken < turn * 100000:
                taken += len(client.socket.recv(100000))
            client.reset()
        self.client.call("dropRegion", "hostile")  # nobody holds it any more
        self.wait_rounds(3)
        self.assert_memory_bounded(before)

    def test_gone_while_the_disk_works(self):
        self.make_region()
        self.client.call("addBlob", "hostile", bytes(2 * MIB))
        large = bytes(MIB)
        requests = [
            ("addBlob", "hostile", large), ("storeBlob", "hostile", 0, large),
            ("removeBlob", "hostile", 100, MIB), ("checkpoint", "hostile"), ("scrub", "hostile"),
            ("createRegion", "hostile-too"), ("dropRegion", "hostile-too"),
            ("batch", "hostile", [["addBlob", large], ["clear"]]), ("loadBlob", "hostile", 0, 2 * MIB),
            ("beginBlob", "hostile", 4 * MIB), ("getFreeMemory", "hostile")]
        for turn in range(8):
            for method, *params in requests:
                client = self.connect(tcp=turn % 2 == 1)
                client.send(method, *params)
                client.close() if turn % 4 < 2 else client.reset()
        while self.client.call("serverInfo")["connections"] > 2:
            pass
        self.wait_rounds(3)
        self.assertEqual(self.client.call("serverInfo")["uploads"], 0)
        for name in self.client.call("listRegions"):
            self.assertFalse(self.client.call("regionInfo", name)["read_only"])
            if name == "hostile-too":
                self.client.call("dropRegion", name)

    def test_file_descriptors_sent_along(self):
        """They end in the kernel, and not in the server's table."""
        files = f"/proc/{self.daemon.process.pid}/fd"
        with open("/dev/null", "rb") as null:
            client = self.connect()
            for i in range(50):
                socket.send_fds(client.socket, [request(i, "ping", [])], [null.fileno()] * 100)
                self.assertEqual(client.receive(), (i, None, "pong"))
            held = [os.readlink(os.path.join(files, name)) for name in os.listdir(files)]
        self.assertLess(held.count("/dev/null"), 4)

    def test_urgent_bytes(self):
        client = self.connect(tcp=True)
        for _ in range(50):
            client.socket.send(b"\xc1", socket.MSG_OOB)  # out of the stream
            self.assertEqual(client.call("ping"), "pong")


@unittest.skipIf(FAULT is None, "a preloaded library and AddressSanitizer do not get along")
class Held(FaultCase):
    def test_gone_while_a_sync_hangs(self):
        """What had come whole happens, once, though nobody hears of it; others are served."""
        size = self.client.call("size", "main")
        self.rule("fdatasync hold journal")
        blob = bytes(100 * 1024)
        patient = self.connect()
        msgid = patient.send("addBlob", "main", blob)
        for turn in range(90):
            client = self.connect()
            if turn % 3 == 0:
                client.send("addBlob", "main", blob)
            elif turn % 3 == 1:
                client.send("removeBlob", "main", self.address, len(self.blob))
            else:
                client.send("addBlob", "main", blob)
                client.socket.sendall(request(2, "addBlob", ["main", blob])[:5000])
            client.reset() if turn % 2 else client.close()
            self.assertEqual(self.client.call("ping"), "pong")
        self.assertFalse(patient.readable(0))
        self.rule()
        patient.wait(msgid)
        # The first removal took the blob away, and its bytes were not handed out before that.
        while self.client.call("allocated", "main") != 61 * len(blob):
            pass
        self.assertLessEqual(self.client.call("size", "main"), size + 61 * len(blob))
        self.assertFalse(self.client.call("regionInfo", "main")["read_only"])
        while self.client.call("serverInfo")["connections"] > 2:
            pass
        self.daemon.stop()


if __name__ == "__main__":
    unittest.main()
