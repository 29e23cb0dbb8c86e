"""Tokens: whatever is sent again is made once, and answered as the first time."""
import os
import threading
import unittest

from case import Case, run
from mpack import Client, RpcError, request
from region import Region, start, stop

MIB = 1 << 20


def setUpModule():
    start()


def tearDownModule():
    stop()


def token():
    return {"token": os.urandom(16)}


# Every change, on a region that has [0, 1000) in use, and what it answers; chosen so that to make
# it twice would show.
CHANGES = {
    "allocate": ([24], 1000),
    "deallocate": ([10, 10], None),
    "resize": ([0, 1000, 100], 0),
    "addBlob": ([b"blob"], 1000),
    "storeBlob": ([5, b"blob"], None),
    "removeBlob": ([10, 10], b"\1" * 10),
    "replaceBlob": ([10, 10, b"longer than ten bytes"], 1000),
    "deallocateRange": ([10, 30], 20),
    "clear": ([], None),
    "clearAndRetainHeader": ([64], None),
    "grow": ([3], 1),
    "batch": ([[["addBlob", b"blob"], ["removeBlob", 0, 5], ["grow", 1]]],
              [1000, b"\1" * 5, 1]),
}


class Again(Region):
    """Each method, sent again in every situation."""

    def anew(self, size):
        """An empty region again, then one blob."""
        self.client.call("dropRegion", self.region)
        self.client.call("createRegion", self.region)
        self.fill(size)

    def state(self):
        return (self.call("memoryInfo"), self.free(),
                [self.call("loadBlob", *block) for block in
                 self.call("allocatedBlocksInRange", 0, self.call("size"))])

    def each(self):
        for method, (params, expected) in CHANGES.items():
            with self.subTest(method=method):
                self.anew(1000)
                yield method, params, expected

    def test_on_the_same_connection(self):
        for method, params, expected in self.each():
            option = token()
            self.assertEqual(self.call(method, *params, option), expected)
            state = self.state()
            for _ in range(3):
                self.assertEqual(self.call(method, *params, option), expected)
            self.assertEqual(self.state(), state)

    def test_on_another_connection_and_by_id_and_in_other_forms(self):
        for method, params, expected in self.each():
            option = token()
            self.assertEqual(self.call(method, *params, option), expected)
            state = self.state()
            other = self.connect(self.server.tcp)
            self.assertEqual(other.call(method, self.region, *params, option), expected)
            number = other.call("id", self.region)
            self.assertEqual(other.call(method, number, *params, option), expected)
            as_text = [p.decode() if isinstance(p, bytes) else p for p in params]
            self.assertEqual(other.call(method, number, *as_text, option), expected)
            self.assertEqual(self.state(), state)

    def test_pipelined(self):
        """The first is still under way."""
        for method, params, expected in self.each():
            option = token()
            others = [self.client, self.connect(self.server.unix), self.connect(self.server.tcp)]
            ids = [(client, client.send(method, self.region, *params, option))
                   for _ in range(20) for client in others]
            for client, msgid in ids:
                self.assertEqual(client.wait(msgid), expected)
            state = self.state()
            self.assertEqual(self.call(method, *params, option), expected)
            self.assertEqual(self.state(), state)

    def test_notifications(self):
        for method, params, expected in self.each():
            option = token()
            self.client.notify(method, self.region, *params, option)
            self.client.notify(method, self.region, *params, option)
            self.assertEqual(self.call(method, *params, option), expected)
            self.client.notify(method, self.region, *params, option)
            self.assertEqual(self.call(method, *params, option), expected)

    def test_another_change_with_the_same_token(self):
        for method, params, expected in self.each():
            option = token()
            self.call(method, *params, option)
            state = self.state()
            for other, (others, _) in CHANGES.items():
                if other != method:
                    self.refused("invalid_argument", other, *others, option)
            for index, param in enumerate(params):
                changed = list(params)
                changed[index] = (param + 1 if isinstance(param, int) else
                                  param + b"x" if isinstance(param, bytes) else param[:-1])
                self.refused("invalid_argument", method, *changed, option)
                if isinstance(param, bytes):
                    changed[index] = param[:-1] + b"?"
                    self.refused("invalid_argument", method, *changed, option)
            self.assertEqual(self.call(method, *params, option), expected)
            self.assertEqual(self.state(), state)

    def test_what_was_refused_is_tried_anew(self):
        option = token()
        self.refused("out_of_bounds", "removeBlob", 0, 10, option)
        self.fill(10)
        self.assertEqual(self.call("removeBlob", 0, 10, option), b"\1" * 10)
        option = token()
        self.refused("not_allocated", "batch", [["addBlob", b"x"], ["deallocate", 5, 5]], option)
        self.fill(10)
        self.assertEqual(self.call("batch", [["addBlob", b"x"], ["deallocate", 5, 5]], option),
                         [10, None])

    def test_regions_have_tokens_of_their_own(self):
        self.client.call("createRegion", "other")
        self.addCleanup(self.client.call, "dropRegion", "other")
        option = token()
        self.assertEqual(self.call("addBlob", b"a", option), 0)
        self.assertEqual(self.client.call("addBlob", "other", b"b", option), 0)
        self.assertEqual(self.call("loadBlob", 0, 1), b"a")

    def test_changes_of_nothing(self):
        self.fill(10)
        for method, params, expected in (("allocate", [0], 10), ("addBlob", [b""], 10),
                                         ("deallocate", [3, 0], None), ("storeBlob", [3, b""], None),
                                         ("removeBlob", [3, 0], b""), ("grow", [0], 1),
                                         ("deallocateRange", [4, 4], 0), ("batch", [[]], [])):
            option = token()
            self.assertEqual(self.call(method, *params, option), expected)
            self.call("addBlob", b"x")  # the region's size is another one now
            self.assertEqual(self.call(method, *params, option), expected)
            self.refused("invalid_argument", "clear", option)
            self.anew(10)

    def test_tokens_of_any_bytes(self):
        for number, option in enumerate((b"\0" * 16, b"\xff" * 16, "sixteen as a str", b"\0" * 15 + b"1")):
            self.assertEqual(self.call("addBlob", b"x", {"token": option}), number)
            self.assertEqual(self.call("addBlob", b"x", {"token": option}), number)
        self.assertEqual(self.call("addBlob", b"x", {"token": b"sixteen as a str"}), 2)
        self.assertEqual(self.call("addBlob", b"x", {}), 4)

    def test_no_token_elsewhere(self):
        self.fill(10)
        for method, params in (("loadBlob", [0, 1]), ("size", []), ("checkpoint", [])):
            self.refused("invalid_argument", method, *params, token())
        for method, params in (("createRegion", ["x"]), ("dropRegion", [self.region]), ("ping", [])):
            with self.assertRaises(RpcError) as caught:
                self.client.call(method, *params, token())
            self.assertEqual(caught.exception.code, "invalid_argument")


class Large(Region):
    def test_large_blobs(self):
        """The region borrows them, the second one is not needed."""
        for size in (65535, 65536, 65537, 5 * MIB):
            blob = os.urandom(size)
            option = token()
            ids = [self.client.send("addBlob", self.region, blob, option) for _ in range(3)]
            (address,) = {self.client.wait(msgid) for msgid in ids}
            self.assertTrue(self.call("loadBlob", address, size) == blob)
            again = blob[:-1] + bytes([blob[-1] ^ 1])
            self.refused("invalid_argument", "addBlob", again, option)
            store = token()
            self.call("storeBlob", address, again, store)
            self.call("storeBlob", address, blob)
            self.call("storeBlob", address, again, store)  # not again
            self.assertTrue(self.call("loadBlob", address, size) == blob)
        self.assertEqual(self.call("allocated"), 65535 + 65536 + 65537 + 5 * MIB)

    def test_answers_up_to_a_mebibyte(self):
        for size in (20, 21, 255, 256, 65535, 65536, MIB - 1, MIB):
            blob = os.urandom(size)
            address = self.call("addBlob", blob)
            option = token()
            ids = [self.client.send("removeBlob", self.region, address, size, option)
                   for _ in range(4)]
            for msgid in ids:
                self.assertTrue(self.client.wait(msgid) == blob)
            self.assertTrue(self.call("removeBlob", address, size, option) == blob)
        self.assertEqual(self.call("allocated"), 0)

    def test_answers_above_that(self):
        self.call("addBlob", bytes(2 * MIB))
        for method, params in (("removeBlob", [0, MIB + 1]),
                               ("batch", [[["removeBlob", 0, MIB], ["removeBlob", MIB, 1]]])):
            sentence = self.refused("too_large", method, *params, token())
            self.assertIn("deallocate", sentence)
            self.assertIn(str(MIB), sentence)
        self.assertEqual(self.call("allocated"), 2 * MIB)
        option = token()
        self.call("deallocate", 0, MIB + 1, option)  # the remedy
        self.call("deallocate", 0, MIB + 1, option)
        self.assertEqual(self.call("allocated"), MIB - 1)

    def test_answers_that_are_no_longer_kept(self):
        blob = os.urandom(MIB)
        options = []
        for _ in range(20):  # more than 16 MiB
            options.append(token())
            address = self.call("addBlob", blob)
            self.call("removeBlob", address, MIB, options[-1])
        self.refused("not_allocated", "removeBlob", 0, MIB, options[0])
        self.assertTrue(self.call("removeBlob", 0, MIB, options[-1]) == blob)
        self.refused("invalid_argument", "removeBlob", 0, 1, options[0])

    def test_many_wait_for_large_answers(self):
        """More than a connection may be owed; all come."""
        blob = os.urandom(MIB)
        address = self.call("addBlob", blob)
        option = token()
        clients = [self.connect(self.server.unix) for _ in range(10)]
        ids = [(client, client.send("removeBlob", self.region, address, MIB, option))
               for _ in range(10) for client in clients]
        for client, msgid in ids:
            self.assertTrue(client.wait(msgid) == blob)
        self.assertEqual(self.client.call("serverInfo")["buffered"], 0)


class Restarts(Case):
    def each(self, end):
        """All changes on regions of their own, then an end of the server, then all again."""
        server = self.server()
        server.start()
        client = self.connect(server)
        options = {method: token() for method in CHANGES}
        for method, (params, expected) in CHANGES.items():
            client.call("createRegion", method)
            client.call("addBlob", method, b"\1" * 1000)
            self.assertEqual(client.call(method, method, *params, options[method]), expected)
        states = {method: (client.call("memoryInfo", method), client.call("getFreeMemory", method))
                  for method in CHANGES}
        for _ in range(2):
            end(server, client)
            client = self.connect(server)
            for method, (params, expected) in CHANGES.items():
                self.assertEqual(client.call(method, method, *params, options[method]), expected)
                with self.assertRaises(RpcError):
                    client.call("allocate", method, 12345, options[method])
                self.assertEqual((client.call("memoryInfo", method),
                                  client.call("getFreeMemory", method)), states[method])
        server.stop()

    def test_after_sigkill(self):
        def end(server, _):
            server.kill()
            server.start()
        self.each(end)

    def test_after_an_orderly_stop(self):
        def end(server, _):
            server.stop()
            server.start()
        self.each(end)

    def test_after_a_checkpoint_and_sigkill(self):
        def end(server, client):
            for method in CHANGES:
                client.call("checkpoint", method)
            server.kill()
            server.start()
        self.each(end)

    def test_a_small_window(self):
        server = self.server(config="regions: [{name: main, token_window: 5}]\n")
        server.command += ["--listen", "unix:" + server.path("s")]
        server.start()
        for _ in range(2):
            client = self.connect(server)
            options = [token() for _ in range(8)]
            first = [client.call("addBlob", "main", b"x", option) for option in options]
            for option, address in zip(options[3:], first[3:]):
                self.assertEqual(client.call("addBlob", "main", b"x", option), address)
            self.assertNotEqual(client.call("addBlob", "main", b"x", options[0]), first[0])
            # under way all at once, since they arrive in one piece and are few enough for one turn:
            # none is pushed out by those behind it
            options = [token() for _ in range(8)]
            ids = range(1000, 1016)
            client.send_raw(b"".join(request(msgid, "addBlob", ["main", b"x", option])
                                     for msgid, option in zip(ids, options + options)))
            addresses = [client.wait(msgid) for msgid in ids]
            self.assertEqual(addresses[:8], addresses[8:])
            server.kill()
            server.start()

    def test_a_window_that_is_refused(self):
        for window in ("0", "16777217"):
            status, log = self.server(
                config=f"regions: [{{name: main, token_window: {window}}}]\n").run()
            self.assert_refused(status, log, "token_window must be between 1 and 16777216")

    def test_many_connections_race(self):
        """The same changes by many at once; every token is made by one of them."""
        server = self.server()
        server.start()
        options = [token() for _ in range(300)]
        answers, failures = [], []

        def body():
            try:
                with Client(server.unix) as client:
                    ids = [client.send("addBlob", "main", b"%d" % i, option)
                           for i, option in enumerate(options)]
                    answers.append([client.wait(msgid) for msgid in ids])
            except BaseException as error:  # shown by the thread that waits
                failures.append(error)

        threads = [threading.Thread(target=body) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        self.assertEqual(len({tuple(answer) for answer in answers}), 1)
        client = self.connect(server)
        self.assertEqual(client.call("allocated", "main"),
                         sum(len(b"%d" % i) for i in range(300)))
        server.stop()
        done = run("--data-dir", server.data_dir, "--check")
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_a_connection_that_is_lost(self):
        """What was sent whole is made; who sends it again on another connection gets the answer."""
        server = self.server()
        server.start()
        for i in range(100):
            option = token()
            client = Client(server.tcp)
            client.send_raw(request(1, "addBlob", ["main", b"blob %d" % i, option]) * (i % 3 + 1))
            client.close() if i % 2 else client.reset()
            client = Client(server.unix)
            address = client.call("addBlob", "main", b"blob %d" % i, option)
            size = len(b"blob %d" % i)
            self.assertEqual(client.call("loadBlob", "main", address, size), b"blob %d" % i)
            self.assertEqual(client.call("addBlob", "main", b"blob %d" % i, option), address)
            client.call("deallocate", "main", address, size)
            client.close()
        self.assertEqual(self.connect(server).call("allocated", "main"), 0)
        server.stop()


if __name__ == "__main__":
    unittest.main()
