"""mrcli bench: it asks what it says, counts what was answered, and leaves nothing behind."""
import csv
import io
import json
import re
import signal
import subprocess
import threading
import time
import unittest

from cli import CliCase, FakeServer, default_signals
from server import DEADLINE, MRCLI

MIB = 1 << 20


class Bench(CliCase):
    def regions(self):
        return self.out("list").split()

    def test_counts(self):
        found = json.loads(self.out("-o", "json", "bench", "--durability", "none", "-n", "1000", "-c",
                                    "3", "-p", "7", "-m", "add=1,load=2,store=1,remove=1", "-S",
                                    "1-9000", "-b", "50"))
        self.assertEqual((found["all"]["count"], found["all"]["errors"]), (1000, 0))
        self.assertEqual(sum(found[kind]["count"] for kind in ("add", "load", "store", "remove")),
                         1000)
        for kind in ("add", "load", "store", "remove"):
            row = found[kind]
            self.assertLess(0, row["p50_us"])
            self.assertEqual(sorted(row[key] for key in row if key.endswith("_us")),
                             [row[key] for key in ("p50_us", "p90_us", "p99_us", "p99_9_us",
                                                   "p99_99_us", "max_us")])
        self.assertEqual((found["connections"], found["pipeline"], found["size_max"]), (3, 7, 9000))
        self.assertEqual(self.regions(), ["main"])

    def test_forms(self):
        options = ("bench", "--durability", "none", "-n", "50", "-m", "load=1", "-R", "100000")
        rows = list(csv.DictReader(io.StringIO(self.out("-o", "raw", *options))))
        self.assertEqual([(row["request"], row["count"], row["errors"]) for row in rows],
                         [("all", "50", "0"), ("load", "50", "0")])
        text = self.out(*options)
        self.assertRegex(text, r"\A4\.0 KiB in [\d.]+ s\n1 connection, pipeline 1\n"
                               r"open loop, 100000/s\n\n +/S ERRORS +P50 .* MAX\nall ")
        status, shown = self.on_terminal(*options, size=(24, 40))
        self.assertEqual(status, 0)
        self.assertEqual([line for line in shown.replace("\r", "").split("\n") if len(line) > 40], [])

    def test_duration(self):
        found = json.loads(self.out("-o", "json", "bench", "-d", "200ms", "--durability", "none"))
        self.assertGreaterEqual(found["seconds"], 0.2)
        self.assertGreater(found["all"]["count"], 0)

    def fake(self, loads):
        """What loads says is the answer to a load; everything else goes well."""
        address = [0]

        def answer(method, params):
            if method == "addBlob":
                address[0] += len(params[1])
                return None, address[0] - len(params[1])
            if method == "loadBlob":
                return loads(params)
            return {"serverInfo": (None, {"max_message": MIB}), "createRegion": (None, 1),
                    "dropRegion": (None, None)}[method]
        fake = FakeServer(answer)
        self.enterContext(fake)
        return fake

    def test_a_server_that_stands_still(self):
        """One answer takes 300 ms. At a thousand requests a second all hundred were to be sent in the
        first 100 ms of these: each of them has waited for 200 ms at least."""
        stall = threading.Event()

        def loads(params):
            if not stall.is_set():
                stall.set()
                time.sleep(0.3)
            return None, bytes(params[2])

        options = ("-o", "json", "bench", "-m", "load=1", "-b", "10", "-n", "100")
        found = json.loads(self.out("-s", self.fake(loads).address, *options, "-R", "1000"))
        self.assertEqual(found["load"]["count"], 100)
        self.assertGreaterEqual(found["load"]["p50_us"], 200000)
        # Who waits for the answer before asking again has seen it once.
        stall.clear()
        found = json.loads(self.out("-s", self.fake(loads).address, *options))
        self.assertGreaterEqual(found["load"]["max_us"], 300000)
        self.assertLess(found["load"]["p50_us"], found["load"]["max_us"])

    def test_what_is_refused(self):
        answers = iter(range(1000))
        server = self.fake(lambda params: ("corrupt: so it is", None) if next(answers) % 2
                           else (None, bytes(params[2])))
        found = json.loads(self.out("-o", "json", "-s", server.address, "bench", "-m", "load=1", "-n",
                                    "40", "-b", "10"))
        self.assertEqual((found["load"]["count"], found["load"]["errors"]), (40, 20))
        self.assertEqual([method for method, _ in server.requests if "Region" in method],
                         ["createRegion", "dropRegion"])
        self.fails(69, "cannot connect", "-s", "unix:/nobody", "bench")
        self.fails(64, "bench: --mix: \"x\" is not like add=10", "bench", "--mix", "x")
        self.fails(64, "bench: --connections: .0. is not", "bench", "-c", "0")
        self.fails(1, "invalid_argument", "bench", "--durability", "maybe")
        self.assertEqual(self.regions(), ["main"])

    def test_interrupted(self):
        process = subprocess.Popen([MRCLI, "bench", "-d", "1h", "--durability", "none"],
                                   env=self.environment, cwd=self.folder, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, preexec_fn=default_signals)
        while self.regions() == ["main"]:
            pass
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=DEADLINE)
        self.assertEqual((process.returncode, said), (-signal.SIGINT, b""))
        self.assertTrue(re.search(rb"^all ", out, re.M) or not out, out)
        self.assertEqual(self.regions(), ["main"])


if __name__ == "__main__":
    unittest.main()
