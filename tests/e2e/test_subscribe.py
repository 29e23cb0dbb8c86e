"""subscribe: each event is told once, to who may know of it; who does not read misses some, and is
told so."""
import os
import unittest

from case import Case
from mpack import Client, RpcError

PAGE = 4096
USERS = """
listen: [{{unix: {folder}/s}}]
regions: [{{name: main}}, {{name: other}}]
users:
  - name: alice
    uid: {uid}
    grants: [{{regions: m*, access: admin}}]
"""


class Events(Case):
    def setUp(self):
        self.served = self.server().start()
        self.client = self.connect(self.served)
        self.listener = self.connect(self.served)
        self.assertIsNone(self.listener.call("subscribe"))
        self.assertIsNone(self.listener.call("subscribe"))

    def test_created_and_dropped(self):
        number = self.client.call("createRegion", "x")
        self.assertEqual(self.listener.wait_event(), {"event": "created", "region": "x", "id": number})
        self.client.call("dropRegion", "x")
        event = self.listener.wait_event(event="dropped")
        self.assertEqual((event["region"], event["id"]), ("x", number))
        self.listener.call("ping")
        self.assertEqual(self.listener.events, [])

    def test_checkpoints(self):
        self.client.call("addBlob", "main", b"x")
        self.client.call("checkpoint", "main")
        event = self.listener.wait_event(event="checkpoint")
        self.assertEqual(set(event), {"event", "region", "id", "duration_us"})
        self.assertGreater(event["duration_us"], 0)

    def test_damage(self):
        address = self.client.call("addBlob", "main", b"x" * (8 * PAGE))
        self.client.call("checkpoint", "main")
        self.served.stop()
        for folder, _, names in os.walk(self.served.data_dir):
            if "data" in names and "sums" in names:
                with open(os.path.join(folder, "data"), "r+b") as file:
                    file.seek(address + 2 * PAGE)
                    file.write(b"y")
        self.served.start()
        client, listener = self.connect(self.served), self.connect(self.served)
        listener.call("subscribe")
        with self.assertRaises(RpcError) as caught:
            client.call("loadBlob", "main", address, 8 * PAGE)
        self.assertEqual(caught.exception.code, "corrupt")
        event = listener.wait_event(event="corrupt")
        self.assertEqual((event["region"], event["page"]), ("main", address + 2 * PAGE))

    def test_nobody_else_hears_of_it(self):
        self.client.notify("subscribe")  # which does nothing
        self.client.call("createRegion", "x")
        self.client.call("ping")
        self.assertEqual(self.client.events, [])

    def test_who_does_not_read_misses_some(self):
        """Answers that nobody reads fill the socket and the server's queue; then events are lost."""
        blob = self.client.call("addBlob", "main", bytes(512 << 10))
        for _ in range(30):
            self.listener.send("loadBlob", "main", blob, 512 << 10)
        made = 5
        for i in range(made):
            self.client.call("createRegion", f"x{i}")
        for msgid in range(2, 32):
            self.listener.wait(msgid)
        self.client.call("createRegion", "last")
        event = self.listener.wait_event(region="last")
        self.assertEqual(self.listener.events, [])
        self.assertEqual(event["lost"], made)

    def test_a_subscriber_that_goes(self):
        self.listener.close()
        self.client.call("createRegion", "x")
        listener = self.connect(self.served)
        listener.call("subscribe")
        self.client.call("dropRegion", "x")
        listener.wait_event(event="dropped", region="x")


class Seen(Case):
    def test_only_what_may_be_seen(self):
        server = self.server(config=" ")
        server.write_config(USERS.format(folder=server.folder, uid=os.getuid()))
        server.start()
        listener = self.connect(server)
        listener.call("subscribe")
        listener.call("checkpoint", "main")
        listener.wait_event(event="checkpoint", region="main")
        server.write_config(USERS.format(folder=server.folder, uid=os.getuid()).replace("m*", "o*"))
        server.signal(1)
        server.wait_log("reloaded the configuration")
        listener.call("checkpoint", "other")
        listener.wait_event(event="checkpoint", region="other")

    def test_nobody_hears_anything(self):
        server = self.server(config=" ")
        server.write_config(USERS.format(folder=server.folder, uid=os.getuid() + 1))
        client = Client(server.start().unix)
        self.addCleanup(client.close)
        with self.assertRaises(RpcError) as caught:
            client.call("subscribe")
        self.assertEqual(caught.exception.code, "unauthenticated")


if __name__ == "__main__":
    unittest.main()
