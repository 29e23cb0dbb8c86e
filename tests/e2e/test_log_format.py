"""log_format: json: every line is an object, from the first to the last, with what it is about."""
import json
import os
import signal
import socket
import unittest

from case import Case
from mpack import Client

CONFIG = """
listen: [{{unix: {folder}/s}}]
log_format: {format}
users:
  - name: alice
    uid: {uid}
    grants: [{{regions: '*', access: admin}}]
"""


class Json(Case):
    def test_every_line(self):
        server = self.server(config=" ")
        server.write_config(CONFIG.format(folder=server.folder, format="json", uid=os.getuid()))
        server.start()
        client = Client(server.path("s"))
        self.addCleanup(client.close)
        client.call("createRegion", "x")
        client.call("dropRegion", "x")
        with socket.socket(socket.AF_UNIX) as broken:
            broken.connect(server.path("s"))
            broken.sendall(b"\xc1")
            while broken.recv(4096):
                pass
        server.write_config(CONFIG.format(folder=server.folder, format="text", uid=os.getuid()))
        server.signal(signal.SIGHUP)
        server.wait_log("reloaded the configuration")
        count = next(i for i, line in enumerate(server.lines) if "reloaded the conf" in line)
        lines = [json.loads(line) for line in server.lines[:count - 1] if line.startswith("{")]
        self.assertEqual(len(lines), sum(line.startswith("{") for line in server.lines))
        for line in lines:
            self.assertLessEqual({"time", "level", "message"}, set(line))
        said = {line["message"]: line for line in lines}
        self.assertIn("ready", said)
        self.assertEqual(said["region x: created"]["region"], "x")
        audited = [line for line in lines if line["message"].startswith("audit: ")
                   and line.get("method") == "createRegion"]
        self.assertEqual([(line["user"], line["region"]) for line in audited], [("alice", "x")])
        self.assertIn("unix", audited[0]["peer"])
        self.assertNotIn("error", audited[0])
        closing, = [line for line in lines if "closing: not MessagePack" in line["message"]]
        self.assertEqual(closing["user"], "alice")
        self.assertEqual(closing["message"].partition(": closing")[0], closing["peer"])
        self.assertEqual(server.log().splitlines()[count],
                         "reloaded the configuration: 1 changed")
        server.stop()


if __name__ == "__main__":
    unittest.main()
