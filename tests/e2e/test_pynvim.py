"""A MessagePack-RPC client that is not ours, the session of Python's Neovim client, over both kinds of
socket."""
import sys
import unittest

from server import Server

try:
    from pynvim import msgpack_rpc
except ImportError:
    print("skipped: pynvim is not here (package python3-pynvim)")
    sys.exit(77)


class ServerRefused(Exception):
    """What the server has answered as an error."""


class Pynvim(unittest.TestCase):
    def first_minute(self, session):
        # It begins with a notification of Neovim's, which means nothing here.
        self.addCleanup(session.close)
        session.error_wrapper = ServerRefused
        call = session.request
        self.assertEqual(call("ping"), "pong")
        self.assertEqual(call(b"ping"), "pong")
        self.assertEqual(call("addBlob", "main", b"\1\2\3\4"), 0)
        self.assertEqual(call("loadBlob", "main", 0, 4), b"\1\2\3\4")
        self.assertEqual(call("removeBlob", "main", 0, 4), b"\1\2\3\4")
        self.assertEqual(call("getFreeMemory", "main"), [[0, 4]])
        self.assertEqual(call("addBlob", "main", "\u00e4\u20ac"), 4)  # a str
        self.assertEqual(call("loadBlob", "main", 4, 5), "\u00e4\u20ac".encode())
        large = bytes(range(256)) * (16 << 10)
        address = call("addBlob", "main", large)
        self.assertEqual(call("loadBlob", "main", address, len(large)), large)
        info = call("memoryInfo", "main")
        self.assertEqual(info["size"], info["allocated"] + info["deallocated"])
        # Which the client's "asynchronous" requests are.
        call("addBlob", "main", b"seven..", async_=True)
        call("noSuchThing", async_=True)
        self.assertEqual(call("allocated", "main"), info["allocated"] + 7)
        for code, args in {"not_allocated": ("deallocate", "main", 0, 3),
                           "no_such_region": ("size", "nowhere"),
                           "no_such_method": ("fly",),
                           "invalid_argument": ("allocate", "main", 1.5)}.items():
            with self.assertRaisesRegex(ServerRefused, "^" + code + ": "):
                call(*args)
        self.assertIsNone(call("clear", "main"))

    def test_unix(self):
        with Server() as server:
            self.first_minute(msgpack_rpc.socket_session(server.unix))

    def test_tcp(self):
        with Server() as server:
            self.first_minute(msgpack_rpc.tcp_session(*server.tcp))


if __name__ == "__main__":
    unittest.main()
