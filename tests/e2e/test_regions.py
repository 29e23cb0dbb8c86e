"""Regions are renamed and given other options while they are served: what goes on, what is refused,
who is told, and what is there after a crash."""
import os
import random
import signal
import threading
import unittest

from case import Case
from methods import METHODS
from mpack import Client, Closed, RpcError
from test_users import BOB, user

ROUNDS = 3 if os.environ.get("MREGION_ASAN") else 6
OPTIONS = {"durability": "interval", "flush_interval": 50, "fit": "lowest", "max_size": 10 << 30,
           "journal_size": 32 << 20, "checksum": "off", "token_window": 100, "discard": 0,
           "scrub_interval": 3600000, "scrub_rate": 1 << 20, "page_cache": 1 << 20}

class RegionCase(Case):
    def setUp(self):
        self.served = self.server().start()
        self.client = self.connect(self.served)

    def refused(self, code, *call, client=None):
        with self.assertRaises(RpcError) as caught:
            (client or self.client).call(*call)
        self.assertEqual(caught.exception.code, code, caught.exception)
        return caught.exception.sentence

    def restart(self):
        self.served.kill()
        self.served.start()
        self.client = self.connect(self.served)


class Rename(RegionCase):
    def test_it_is_the_same_region(self):
        number = self.client.call("createRegion", "old")
        address = self.client.call("addBlob", "old", b"x" * 5000)
        token = {"token": os.urandom(16)}
        again = self.client.call("addBlob", number, b"once", token)
        self.assertIsNone(self.client.call("renameRegion", "old", "new"))
        self.assertEqual(self.client.call("listRegions"), ["main", "new"])
        self.refused("no_such_region", "size", "old")
        for _ in range(2):
            self.assertEqual(self.client.call("id", "new"), number)
            self.assertEqual(self.client.call("regionInfo", number)["name"], "new")
            self.assertEqual(self.client.call("loadBlob", "new", address, 5000), b"x" * 5000)
            self.assertEqual(self.client.call("addBlob", "new", b"once", token), again)
            self.assertEqual(os.listdir(self.served.data_dir + "/regions/new").count("meta-renamed"), 0)
            more = self.client.call("addBlob", "new", b"more")
            self.assertEqual(self.client.call("loadBlob", number, more, 4), b"more")
            self.restart()
        self.assertNotEqual(self.client.call("createRegion", "old"), number)
        self.client.call("dropRegion", "new")
        self.assertIsNone(self.client.call("renameRegion", "old", "new"))
        self.assertRegex(self.served.wait_log("renamed"), "region old: renamed to new")

    def test_what_is_refused(self):
        self.client.call("createRegion", "x")
        self.client.call("createRegion", "y")
        self.assertIn('"y"', self.refused("exists", "renameRegion", "x", "y"))
        self.refused("exists", "renameRegion", "x", "x")
        self.refused("no_such_region", "renameRegion", "none", "new")
        self.refused("no_such_region", "renameRegion", 999, "new")
        for name in ("", ".", "../x", "a/b", ".new-x", "x" * 65, "a\0b"):
            self.refused("invalid_argument", "renameRegion", "x", name)
        sentence = self.refused("invalid_argument", "renameRegion", "main", "new")
        self.assertIn("take it off that list", sentence)
        self.assertEqual(self.client.call("listRegions"), ["main", "x", "y"])
        self.client.call("dropRegion", "y")
        self.client.call("renameRegion", "x", "y")

    def test_what_is_under_way_goes_on(self):
        number = self.client.call("createRegion", "old")
        large = os.urandom(8 << 20)
        address = self.client.call("addBlob", "old", large)
        reader, writer, waiting = (self.connect(self.served) for _ in range(3))
        stream = reader.send("loadBlob", "old", address, len(large))  # read later
        upload = writer.call("beginBlob", "old", None)
        writer.call("appendBlob", upload, b"a" * 100000)
        last = [waiting.send("addBlob", number, bytes([i]) * 3000) for i in range(50)]
        self.client.call("renameRegion", "old", "new")
        last += [waiting.send("addBlob", number, bytes([i]) * 3000) for i in range(50, 100)]
        for i, msgid in enumerate(last):
            at = waiting.wait(msgid)
            self.assertEqual(waiting.call("loadBlob", "new", at, 3000), bytes([i]) * 3000)
        writer.call("appendBlob", upload, b"b" * 100000)
        at = writer.call("commitBlob", upload)
        self.assertEqual(writer.call("loadBlob", "new", at, 200000), b"a" * 100000 + b"b" * 100000)
        self.assertEqual(reader.wait(stream), large)
        self.client.call("checkpoint", "new")
        self.client.call("scrub", "new")
        self.restart()
        self.assertEqual(self.client.call("loadBlob", "new", address, len(large)), large)

    def test_renamed_and_dropped_at_once(self):
        """One after the other, in the order in which they came."""
        number = self.client.call("createRegion", "x")
        clients = [self.connect(self.served) for _ in range(6)]
        sent = [(client, client.send(*call)) for client, call in zip(clients, (
            ("createRegion", "a"), ("renameRegion", number, "y"), ("renameRegion", number, "z"),
            ("setRegion", number, {"fit": "lowest"}), ("dropRegion", number),
            ("createRegion", "x")))]
        outcomes = []
        for client, msgid in sent:
            try:
                outcomes.append(client.wait(msgid))
            except RpcError as error:
                outcomes.append(error.code)
        # what the others find depends on who was read first; nothing else may be the answer
        for outcome in outcomes:
            self.assertTrue(outcome is None or isinstance(outcome, int) or
                            outcome in ("no_such_region", "exists"), outcomes)
        self.assertIsNone(outcomes[4])
        self.refused("no_such_region", "size", number)
        left = sorted(os.listdir(self.served.data_dir + "/regions"))
        self.assertEqual(left, self.client.call("listRegions"))

    def test_again_and_again_while_it_is_read(self):
        """What readers have of the names that it had is kept for them, and not without end."""
        number = self.client.call("createRegion", "r0")
        blob = os.urandom(8 << 20)
        address = self.client.call("addBlob", number, blob)
        reader = self.connect(self.served)
        stream = reader.send("loadBlob", number, address, len(blob))  # read later
        with self.assertRaises(RpcError) as caught:
            for i in range(1, 100):
                self.client.call("renameRegion", number, f"r{i}")
        self.assertEqual(caught.exception.code, "busy")
        self.assertIn("read", caught.exception.sentence)
        self.assertGreater(i, 10)
        self.assertEqual(self.client.call("listRegions"), ["main", f"r{i - 1}"])
        self.assertEqual(reader.wait(stream), blob)
        self.client.call("renameRegion", number, "last")

    def test_events(self):
        listener = self.connect(self.served)
        listener.call("subscribe")
        number = self.client.call("createRegion", "old")
        self.client.call("renameRegion", "old", "new")
        self.assertEqual(listener.wait_event(event="renamed"),
                         {"event": "renamed", "region": "new", "id": number, "before": "old"})

    def test_figures_have_the_new_name(self):
        self.client.call("createRegion", "old")
        self.client.call("renameRegion", "old", "new")
        self.assertEqual(sorted(self.client.call("stats")["regions"]), ["main", "new"])

    def test_killed_again_and_again(self):
        """Whatever was answered is there, under one name, and the other is free."""
        number = self.client.call("createRegion", "a")
        kept = {}
        chance = random.Random(1)
        for _ in range(ROUNDS):
            address, stopped = self.served.unix, threading.Event()

            def write(address=address, seed=chance.random()):
                numbers = random.Random(seed)
                try:
                    with Client(address) as client:
                        while True:
                            blob = numbers.randbytes(numbers.choice((30, 5000, 70000)))
                            kept[client.call("addBlob", number, blob)] = blob
                except (Closed, OSError):
                    stopped.set()

            def rename(address=address):
                try:
                    with Client(address) as client:
                        while True:
                            now = client.call("regionInfo", number)["name"]
                            client.call("renameRegion", number, "b" if now == "a" else "a")
                except (Closed, OSError):
                    pass

            threads = [threading.Thread(target=target) for target in (write, write, rename)]
            for thread in threads:
                thread.start()
            self.served.wait_log("renamed", chance.randrange(1, 20))
            self.served.signal(signal.SIGKILL)
            self.served.wait()
            for thread in threads:
                thread.join()
            self.served.start()
            self.client = self.connect(self.served)
            names = self.client.call("listRegions")
            self.assertIn(names, (["a", "main"], ["b", "main"]))
            self.assertEqual(sorted(os.listdir(self.served.data_dir + "/regions")), names)
            self.assertEqual(self.client.call("id", names[0] if names[0] != "main" else names[1]),
                             number)
            for address, blob in kept.items():
                self.assertEqual(self.client.call("loadBlob", number, address, len(blob)), blob)


class Set(RegionCase):
    def test_all_options_at_creation(self):
        """What the configuration can say of a region, a client can, and it lasts."""
        for method in METHODS:
            if method.name in ("createRegion", "setRegion"):
                self.assertEqual(sorted(method.options), sorted(OPTIONS))
        self.client.call("createRegion", "x", OPTIONS)
        for _ in range(2):
            info = self.client.call("regionInfo", "x")
            self.assertEqual({key: info[key] for key in OPTIONS}, OPTIONS)
            self.restart()

    def test_each_option_alone(self):
        self.client.call("createRegion", "x")
        wanted = {key: self.client.call("regionInfo", "x")[key] for key in OPTIONS}
        for key, value in OPTIONS.items():
            self.assertNotEqual(wanted[key], value)
            wanted[key] = value
            self.assertIsNone(self.client.call("setRegion", "x", {key: value}))
            info = self.client.call("regionInfo", "x")
            self.assertEqual({key: info[key] for key in OPTIONS}, wanted)
        address = self.client.call("addBlob", "x", b"still served")
        self.restart()
        info = self.client.call("regionInfo", "x")
        self.assertEqual({key: info[key] for key in OPTIONS}, OPTIONS)
        self.assertEqual(self.client.call("loadBlob", "x", address, 12), b"still served")

    def test_a_limit_is_one_at_once(self):
        self.client.call("createRegion", "x")
        self.client.call("addBlob", "x", bytes(100000))
        self.client.call("setRegion", "x", {"max_size": 100000})
        self.assertIn("max_size", self.refused("no_space", "addBlob", "x", b"more"))
        self.client.call("setRegion", "x", {"max_size": "1MiB"})
        self.client.call("addBlob", "x", b"more")
        sentence = self.refused("invalid_argument", "setRegion", "x", {"max_size": 100003})
        for word in ("max_size", "100003", "100004"):
            self.assertIn(word, sentence)
        self.assertEqual(self.client.call("regionInfo", "x")["max_size"], 1 << 20)
        self.client.call("setRegion", "x", {"max_size": 0})
        self.client.call("addBlob", "x", bytes(2 << 20))

    def test_at_the_same_time(self):
        """Each changes what it names, and nothing else, whoever changes another one just then."""
        self.client.call("createRegion", "x")
        clients = [self.connect(self.served) for _ in OPTIONS]
        sent = [client.send("setRegion", "x", {key: value})
                for client, (key, value) in zip(clients, OPTIONS.items())]
        for client, msgid in zip(clients, sent):
            self.assertIsNone(client.wait(msgid))
        info = self.client.call("regionInfo", "x")
        self.assertEqual({key: info[key] for key in OPTIONS}, OPTIONS)

    def test_what_is_refused(self):
        self.client.call("createRegion", "x")
        before = self.client.call("regionInfo", "x")
        self.assertIn("no option", self.refused("invalid_argument", "setRegion", "x"))
        self.refused("invalid_argument", "setRegion", "x", {})
        self.refused("invalid_argument", "setRegion", "x", {"fit": "lowest", "token_window": 0})
        self.refused("no_such_region", "setRegion", "none", {"fit": "lowest"})
        sentence = self.refused("invalid_argument", "setRegion", "main", {"fit": "lowest"})
        self.assertIn("configuration", sentence)
        after = self.client.call("regionInfo", "x")
        self.assertEqual([after[key] for key in OPTIONS], [before[key] for key in OPTIONS])


class Grants(RegionCase):
    """alice administers a*, and reads r*."""

    def setUp(self):
        self.served = self.server(config="listen: []\n")
        self.served.write_config(f"listen: [{{unix: {self.served.path('s')}}}]\nregions: []\n")
        self.served.start()
        client = self.connect(self.served)
        for name in ("a1", "r1", "hidden"):
            client.call("createRegion", name)
        self.served.stop()
        self.served.write_config(
            f"listen: [{{unix: {self.served.path('s')}}}]\nregions: []\nusers:\n" +
            user("alice", "a*:admin", "r*:read", uid=os.geteuid()) +
            user("bob", "*:admin", password=BOB))
        self.served.start()
        self.client = self.connect(self.served)

    def test_both_names_need_admin(self):
        self.refused("denied", "renameRegion", "a1", "b1")
        self.refused("denied", "renameRegion", "a1", "r2")
        self.refused("denied", "renameRegion", "r1", "a2")
        self.assertEqual(self.refused("no_such_region", "renameRegion", "hidden", "a2"),
                         self.refused("no_such_region", "size", "hidden"))
        # what is there and may not be seen is refused like what is not
        self.assertEqual(self.refused("denied", "renameRegion", "a1", "hidden").replace("hidden", "x"),
                         self.refused("denied", "renameRegion", "a1", "nothing").replace("nothing", "x"))
        self.refused("denied", "setRegion", "r1", {"fit": "lowest"})
        self.refused("no_such_region", "setRegion", "hidden", {"fit": "lowest"})
        self.client.call("setRegion", "a1", {"fit": "lowest"})
        self.client.call("size", "a1")
        self.client.call("renameRegion", "a1", "a2")
        self.client.call("addBlob", "a2", b"x")
        self.served.wait_log("act=renameRegion region=a1 to=a2 result=ok")
        self.served.wait_log("act=renameRegion region=r1 to=a2 result=denied")
        self.served.wait_log("act=setRegion region=a1 result=ok")

    def test_what_may_be_seen_by_one_name_only(self):
        """For alice a region comes, goes, or is renamed, and at once hers to use, or not."""
        bob = self.connect(self.served)
        bob.call("authenticate", "bob", BOB)
        bob.call("subscribe")
        self.client.call("subscribe")
        number = self.client.call("id", "a1")
        self.client.call("addBlob", number, b"x")
        bob.call("renameRegion", number, "hidden2")
        self.assertEqual(self.client.wait_event(),
                         {"event": "dropped", "region": "a1", "id": number})
        self.refused("no_such_region", "size", number)
        bob.call("renameRegion", number, "r2")
        self.assertEqual(self.client.wait_event(),
                         {"event": "created", "region": "r2", "id": number})
        self.refused("denied", "addBlob", number, b"x")
        bob.call("renameRegion", number, "a2")
        self.assertEqual(self.client.wait_event(),
                         {"event": "renamed", "region": "a2", "id": number, "before": "r2"})
        self.client.call("addBlob", number, b"x")
        bob.call("renameRegion", "hidden", "hidden3")
        bob.call("ping")
        self.client.call("ping")
        self.assertEqual(self.client.events, [])
        self.assertEqual([event["before"] for event in bob.events], ["a1", "hidden2", "r2", "hidden"])


if __name__ == "__main__":
    unittest.main()
