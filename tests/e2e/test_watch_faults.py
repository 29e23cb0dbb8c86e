"""A region that fails is seen from outside: by an event, by /readyz, in the metrics and the status."""
import errno
import http.client
import json
import re

from faults import FAULT, FaultCase, main
from server import DEADLINE

CONFIG = """
listen: [{{unix: {folder}/s}}]
http: [{{tcp: 127.0.0.1:0}}]
regions: [{{name: main}}, {{name: other}}]
"""


class Failed(FaultCase):
    def setUp(self):
        self.daemon = self.server(config=" ")
        self.daemon.write_config(CONFIG.format(folder=self.daemon.folder))
        self.rules = self.daemon.path("rules")
        self.daemon.env.update(LD_PRELOAD=FAULT, MREGION_FAULT=self.rules)
        self.daemon.start()
        self.client = self.connect()
        port = int(re.search(r"serving HTTP on tcp:127\.0\.0\.1:(\d+)", self.daemon.log())[1])
        self.browser = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        self.addCleanup(self.browser.close)

    def get(self, path):
        self.browser.request("GET", path)
        answer = self.browser.getresponse()
        return answer.status, answer.read().decode()

    def test_it_is_seen(self):
        listener = self.connect()
        listener.call("subscribe")
        self.assertEqual(self.get("/readyz"), (200, "ready\n"))
        self.rule(f"fdatasync {errno.EIO} regions/main/")
        self.refused(("io_error", "read_only"), "addBlob", "main", b"lost")
        event = listener.wait_event(event="read_only")
        self.assertEqual(event["region"], "main")
        self.assertIn("sync", event["failure"])
        status, text = self.get("/readyz")
        self.assertEqual(status, 503)
        self.assertIn("region main has failed", text)
        self.assertNotIn("other", text)
        self.assertEqual(self.get("/healthz"), (200, "ok\n"))
        metrics = self.get("/metrics")[1]
        self.assertIn('mregion_region_read_only{region="main"} 1\n', metrics)
        self.assertIn('mregion_region_read_only{region="other"} 0\n', metrics)
        regions = json.loads(self.get("/status")[1])["stats"]["regions"]
        self.assertEqual(regions["main"]["failure"], event["failure"])
        self.assertNotIn("failure", regions["other"])
        self.assertEqual(self.client.call("stats")["regions"]["main"]["read_only"], True)


if __name__ == "__main__":
    main()
