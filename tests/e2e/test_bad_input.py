"""Bytes that a peer should not send: what is no message, what is half a message, what claims to be
more than it is. After each: the server lives, its state is what it was, its memory did not follow a
claimed number, and another client never noticed."""
import os
import unittest

import msgpack

from bad import MAX_MESSAGE, MIB, Bad
from mpack import Client, Float32, pack, request


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


if __name__ == "__main__":
    unittest.main()
