"""mrcli events: what happens to regions, as it happens, until somebody or something ends it."""
import json
import select
import signal
import subprocess
import unittest

from cli import CliCase, default_signals
from server import DEADLINE, MRCLI


class Events(CliCase):
    def setUp(self):
        super().setUp()
        del self.environment["MREGION_REGION"]

    def listen(self, *args, **options):
        """Runs it until it is subscribed."""
        options.setdefault("stdout", subprocess.PIPE)
        process = subprocess.Popen([MRCLI, *args], env=self.environment, stderr=subprocess.PIPE,
                                   stdin=subprocess.DEVNULL, cwd=self.folder,
                                   preexec_fn=default_signals, **options)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait, DEADLINE)
        self.addCleanup(process.kill)
        if process.stdout is not None:
            self.addCleanup(process.stdout.close)
            self.assertIn(b"subscribed", self.line(process))
        return process

    def line(self, process):
        self.assertTrue(select.select([process.stdout], [], [], DEADLINE)[0])
        return process.stdout.readline()

    def end(self, process, status=0, said=rb"\A\Z"):
        self.assertEqual(process.wait(DEADLINE), status)
        self.assertRegex(process.stderr.read(), said)

    def test_lines(self):
        process = self.listen("events", "-n", "4")
        self.out("create", "photo")
        self.assertRegex(self.line(process),
                         rb"\A\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}  photo  +created\n\Z")
        self.out("rename", "photo", "photos")
        self.assertRegex(self.line(process), rb"  photos  +renamed: was photo\n\Z")
        self.out("-r", "photos", "checkpoint")
        self.assertRegex(self.line(process), rb"  photos  +checkpoint: took \S+\n\Z")
        self.out("drop", "photos")
        while b"dropped" not in (line := self.line(process)):
            self.assertIn(b"checkpoint", line)  # of its own accord
        self.end(process)

    def test_json(self):
        process = self.listen("-o", "json", "subscribe", "p*")
        self.out("create", "other")
        self.out("create", "photos")
        event = json.loads(self.line(process))
        self.assertRegex(event.pop("time"), r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")
        self.assertEqual(event, {"event": "created", "region": "photos",
                                 "id": int(self.out("-r", "photos", "id"))})
        process.send_signal(signal.SIGINT)
        self.end(process)

    def test_one_region(self):
        number = self.out("-r", "main", "id").strip()
        for region in ("main", "#" + number):
            process = self.listen("-r", region, "-o", "raw", "events", "--count=1")
            self.out("create", "x")
            self.out("-r", "main", "checkpoint")
            self.assertEqual(self.line(process).split(b"\t")[1], b"main")
            self.end(process)
            self.out("drop", "x")

    def test_nobody_reads_any_more(self):
        process = self.listen("events")
        process.stdout.close()
        self.end(process, 74, rb"\Amrcli: standard output: cannot write: Broken pipe\n\Z")

    def test_nowhere_to_write(self):
        with open("/dev/full", "wb") as full:
            process = self.listen("events", stdout=full)
            self.end(process, 74, rb"No space left on device")

    def test_the_server_comes_back(self):
        process = self.listen("-o", "json", "events")
        self.mregiond.kill()
        self.mregiond.start()
        event = json.loads(self.line(process))
        self.assertEqual((event["event"], event["again"]), ("subscribed", True))
        self.out("create", "back")
        self.assertEqual(json.loads(self.line(process))["region"], "back")
        process.send_signal(signal.SIGTERM)
        self.end(process)

    def test_wrong_usage(self):
        self.fails(64, "events: --count: \"0\"", "events", "-n", "0")
        self.fails(69, "cannot connect", "-s", "unix:/nonexistent", "events")


if __name__ == "__main__":
    unittest.main()
