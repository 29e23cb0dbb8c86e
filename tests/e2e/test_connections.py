"""connections: who is there and what he does; a part at a time, however many there are."""
import os
import resource
import time
import unittest

from case import Case
from mpack import Client, RpcError
from server import DEADLINE

USERS = """
listen: [{{unix: {folder}/s}}]
regions: [{{name: main}}]
users:
  - name: root
    uid: {uid}
    grants: [{{regions: "{regions}", access: {access}}}]
"""
KEYS = {"id", "peer", "user", "by", "tls", "subscribed", "since", "idle_ms", "requests",
        "bytes_received", "bytes_sent", "in_flight", "unread", "buffered"}


def all_of(client, **options):
    """All parts one behind the other."""
    found = []
    while True:
        part = client.call("connections", {**options, **({"after": found[-1]["id"]} if found else {})})
        found += part["connections"]
        if not part["more"]:
            return found


class Connections(Case):
    def server_with(self, settings):
        server = self.server(config="x")
        server.write_config(f"listen: [unix: {server.path('s')}]\nregions: [name: main]\n" + settings)
        return server.start()

    def raise_files(self, count):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < count:
            self.skipTest(f"{count} files are needed, and {hard} are allowed")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    def until(self, condition):
        deadline = time.monotonic() + DEADLINE
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.005)

    def test_what_is_told(self):
        server = self.server().start()
        client, other = self.connect(server), Client(server.tcp)
        address = client.call("addBlob", "main", bytes(100000))
        self.addCleanup(other.close)
        other.call("subscribe")
        self.assertEqual(len(client.call("loadBlob", "main", address, 100000)), 100000)
        found = client.call("connections")
        self.assertEqual(found["more"], False)
        mine, others = found["connections"][-2:]
        self.assertEqual(set(mine), KEYS)
        self.assertLess(mine["id"], others["id"])
        self.assertIn("connection %d" % mine["id"], client.call("whoAmI")["peer"])
        self.assertEqual(mine["peer"], client.call("whoAmI")["peer"])
        self.assertEqual((mine["requests"], others["requests"]), (2, 1))
        self.assertGreater(mine["bytes_received"], 100000)
        self.assertGreater(mine["bytes_sent"], 100000)
        self.assertLess(others["bytes_sent"], 100)
        self.assertEqual((mine["in_flight"], others["in_flight"]), (1, 0))
        self.assertEqual((mine["user"], mine["by"], mine["tls"]), (None, None, False))
        self.assertEqual((mine["subscribed"], others["subscribed"]), (False, True))
        self.assertLess(abs(mine["since"] - time.time()), 100)

    def test_what_waits(self):
        """Answers that nobody reads."""
        server = self.server().start()
        client, deaf = self.connect(server), self.connect(server)
        address = client.call("addBlob", "main", bytes(512 << 10))
        for _ in range(8):
            deaf.send("loadBlob", "main", address, 512 << 10)
        self.until(lambda: all_of(client)[-1]["unread"] > 0)
        self.assertEqual(all_of(client)[0]["unread"], 0)

    def test_parts(self):
        server = self.server().start()
        client = self.connect(server)
        others = [self.connect(server) for _ in range(20)]
        for other in others:
            other.call("ping")
        whole = [one["id"] for one in client.call("connections")["connections"]]
        self.assertEqual(whole, sorted(set(whole)))
        self.assertEqual(len(whole), 21)
        for limit in (1, 2, 20, 21, 22, 1 << 62):
            self.assertEqual([one["id"] for one in all_of(client, limit=limit)], whole, limit)
        self.assertEqual(client.call("connections", {"limit": 0}), {"connections": [], "more": True})
        self.assertEqual(client.call("connections", {"after": whole[-1]}),
                         {"connections": [], "more": False})
        client.notify("connections")
        for options in ({"limit": "x"}, {"after": -1}, {"other": 1}):
            with self.assertRaises(RpcError) as caught:
                client.call("connections", options)
            self.assertEqual(caught.exception.code, "invalid_argument")

    def test_a_small_max_message(self):
        server = self.server_with("max_message: 64KiB\nmax_connections: 2000\n")
        client = self.connect(server)
        others = [self.connect(server) for _ in range(300)]
        others[-1].call("ping")
        part = client.call("connections")
        self.assertTrue(part["more"])
        self.assertLess(len(part["connections"]), 130)
        self.assertEqual(len(all_of(client)), 301)

    def test_thousands_that_come_and_go(self):
        """Nobody twice, nobody left out who was there all the time, and others get their turns."""
        self.raise_files(8000)
        server = self.server_with("max_connections: 4000\n")
        client = self.connect(server)
        staying = [self.connect(server) for _ in range(1500)]
        leaving = [self.connect(server) for _ in range(1500)]
        leaving[-1].call("ping")
        ids = [one["id"] for one in all_of(client)]
        self.assertEqual(len(ids), 3001)
        asked = [client.send("connections", {"after": after}) for after in ids[::100]]
        for i, other in enumerate(leaving):
            other.close()
            if i % 500 == 0:
                staying[0].call("ping")
        for msgid, after in zip(asked, ids[::100]):
            found = [one["id"] for one in client.wait(msgid)["connections"]]
            self.assertEqual(found, sorted(set(found)))
            self.assertLessEqual(set(found), set(ids))
            if after < ids[1500 - 1000]:
                self.assertEqual(len(found), 1000)
        self.until(lambda: len(all_of(client)) == 1501)
        self.assertEqual([one["id"] for one in all_of(client)], ids[:1501])

    def test_who_asks_goes(self):
        """In the middle of his answer."""
        self.raise_files(8000)
        server = self.server_with("max_connections: 4000\n")
        others = [self.connect(server) for _ in range(1000)]
        others[-1].call("ping")
        for _ in range(20):
            client = Client(server.unix)
            for _ in range(10):
                client.send("connections")
            client.close()
        self.assertGreaterEqual(len(all_of(others[0])), 1000)

    def users(self, regions, access):
        server = self.server(config="x")
        server.write_config(USERS.format(folder=server.folder, uid=os.getuid(), regions=regions,
                                         access=access))
        return self.connect(server.start())

    def test_who_may_see_it(self):
        client = self.users("*", "admin")
        found = all_of(client)
        self.assertEqual((found[0]["user"], found[0]["by"]), ("root", "uid"))
        for regions, access in (("*", "write"), ("m*", "admin")):
            client = self.users(regions, access)
            with self.assertRaises(RpcError) as caught:
                client.call("connections")
            self.assertEqual(caught.exception.code, "denied")
            self.assertIn("user root", caught.exception.sentence)
            self.assertEqual(client.call("serverInfo")["refusals"], 1)


if __name__ == "__main__":
    unittest.main()
