"""mrcli stat, top and latency: from what a server tells of itself, twice, to what is shown."""
import json
import re
import signal
import time
import unittest

from cli import CliCase, FakeServer


def look(seconds, scale):
    """What stats answers after so many seconds, with so many times the work."""
    return {
        "time_us": seconds * 1000000, "connections": 3, "connections_total": 5 * scale,
        "requests": 150 * scale, "errors": 2 * scale, "bytes_received": 1 << 20,
        "bytes_sent": 20480 * scale, "buffered": 100, "uploads": 0, "commits": 10 * scale,
        "syncs": 20 * scale, "sync_latency": [[500, 10 * scale], [3000, 10 * scale]],
        "commit_latency": [[4000, 10 * scale]], "checkpoint_latency": [],
        "methods": {
            "addBlob": {"requests": 50 * scale, "errors": 2 * scale, "latency_us": 1,
                        "latency": [[900, 40 * scale], [2000, 10 * scale]]},
            "loadBlob": {"requests": 100 * scale, "errors": 0, "latency": [[80, 100 * scale]]}},
        "regions": {
            "quiet": {"size": 0, "operations": {}},
            "main": {"errors": scale, "size": 1 << 30, "allocated": 3 << 28, "deallocated": 1 << 28,
                     "free_blocks": 77, "largest_free": 1 << 20, "commits": 10 * scale,
                     "cache_hits": 30 * scale, "cache_misses": 10 * scale, "read_only": False,
                     "operations": {"addBlob": 50 * scale, "loadBlob": 100 * scale,
                                    "whatever": 10 * scale}}},
        "more": False}


def peer(number, scale, **others):
    """What connections tells of one."""
    return {"id": number, "peer": f"connection {number} (127.0.0.1:5)", "user": None, "by": None,
            "tls": False, "subscribed": False, "since": int(time.time()) - 100, "idle_ms": 2000,
            "requests": 100 * scale, "bytes_received": 1024 * scale, "bytes_sent": 4096 * scale,
            "in_flight": 2, "unread": 0, "buffered": 1 << 20, **others}


class Stats(CliCase):
    def fake(self, *looks):
        """A server that has these answers, the last one for ever."""
        looks = list(looks)

        def answer(method, params):
            if method != "stats":
                return "no_such_method: " + method, None
            return None, looks.pop(0) if len(looks) > 1 else looks[0]
        fake = FakeServer(answer)
        self.enterContext(fake)
        return ("-s", fake.address)

    def test_since_the_start(self):
        lines = self.out(*self.fake(look(2, 1)), "stat").splitlines()
        self.assertEqual(lines[0].split(), ["READ/S", "WRITE/S", "ERR/S", "P50", "P99", "IN/S",
                                            "OUT/S", "SYNC/S", "SYNC99", "CONNS"])
        self.assertEqual(lines[1].split(), ["50", "25", "1", "80us", "2.0ms", "524.3k", "10.2k",
                                            "10", "3.0ms", "3"])
        self.assertEqual(len(lines), 2)

    def test_in_between(self):
        """Five times the work of the first ten seconds in the next two."""
        server = self.fake(look(10, 1), look(12, 6))
        lines = self.out(*server, "stat", "-i", "0.01", "-n", "2").splitlines()
        self.assertEqual(lines[1].split()[:5], ["250", "125", "5", "80us", "2.0ms"])
        self.assertEqual(lines[2].split()[:5], ["0", "0", "0", "-", "-"])
        found = json.loads(self.out("-o", "json", *self.fake(look(10, 1), look(12, 6)), "stat", "-i",
                                    "10ms", "-n", "1"))
        self.assertEqual((found["seconds"], found["requests_per_s"], found["reads_per_s"],
                          found["writes_per_s"], found["p50_us"], found["max_us"]),
                         (2, 375, 250, 125, 80, 2000))
        self.assertEqual(found["methods"]["addBlob"],
                         {"requests_per_s": 125, "errors_per_s": 5, "p50_us": 900, "p99_us": 2000,
                          "max_us": 2000})
        main = found["regions"]["main"]
        self.assertEqual((main["reads_per_s"], main["writes_per_s"], main["cache_hits_per_s"],
                          main["size"], main["read_only"]), (250, 150, 75, 1 << 30, False))

    def test_a_server_that_was_started_anew(self):
        lines = self.out("-o", "raw", *self.fake(look(100, 50), look(2, 1)), "stat", "-i", "10ms",
                         "-n", "1").splitlines()
        self.assertEqual(lines, ["2000000\t50.000\t25.000"])

    def test_top(self):
        text = self.out(*self.fake(look(2, 1)), "top")
        self.assertIn("75 requests/s, p50 80us, p99 2.0ms\n", text)
        self.assertIn("3 connections, 100 bytes buffered\n", text)
        rows = [line.split() for line in text.splitlines()]
        self.assertIn(["main", "50", "30", "0", "1.0", "GiB", "75%", "77", "1.0", "MiB", "75%", "5"],
                      rows)
        self.assertLess(rows.index(["loadBlob", "50", "0", "80us", "80us", "80us"]),
                        rows.index(["addBlob", "25", "1", "900us", "2.0ms", "2.0ms"]))
        self.assertLess([row[:1] for row in rows].index(["main"]),
                        [row[:1] for row in rows].index(["quiet"]))
        lines = self.out("-o", "json", *self.fake(look(2, 1)), "top", "-i", "10ms", "-n",
                         "2").splitlines()
        self.assertEqual([json.loads(line)["seconds"] for line in lines], [2, 0.000001])

    def crowd(self, *parts):
        """A server with these answers to connections, the last one for ever."""
        parts = list(parts)

        def answer(method, params):
            if method == "connections":
                part = parts.pop(0) if len(parts) > 1 else parts[0]
                return part if isinstance(part, tuple) else (None, part)
            return (None, look(2, 1)) if method == "stats" else ("no_such_method: no", None)
        fake = FakeServer(answer)
        self.enterContext(fake)
        return fake, ("-s", fake.address)

    def test_connections(self):
        fake, server = self.crowd(
            {"connections": [peer(1, 1), peer(7, 2, user="alice", by="uid")], "more": True},
            {"connections": [peer(9, 3)], "more": False})
        lines = self.out(*server, "connections").splitlines()
        self.assertEqual(fake.requests[-2:], [("connections", [{"after": 0}]),
                                              ("connections", [{"after": 7}])])
        self.assertEqual(lines[0].split(), ["CONNECTION", "USER", "AGE", "IDLE", "REQUESTS", "IN", "OUT",
                                            "FLIGHT", "BUFFERED"])
        self.assertRegex(lines[1], r"\Aconnection 1 \(127\.0\.0\.1:5\) - +10\ds +2s +100 +1\.0 KiB +"
                                   r"4\.0 KiB +2 +1\.0 MiB\Z")
        self.assertRegex(lines[2], r"\Aconnection 7 .* alice ")
        self.assertEqual(len(lines), 4)
        parts = ({"connections": [peer(1, 1, since=5), peer(2, 1)], "more": True},
                 {"connections": [peer(7, 1)], "more": False})
        found = json.loads(self.out("-o", "json", *self.crowd(*parts)[1], "connections"))
        self.assertEqual([one["id"] for one in found], [1, 2, 7])
        self.assertIsNone(found[0]["user"])
        raw = self.out("-o", "raw", *self.crowd(*parts)[1], "connections").splitlines()
        self.assertEqual(raw[0].split("\t"), ["1", "connection 1 (127.0.0.1:5)", "", "5", "2000", "100",
                                              "1024", "4096", "2", str(1 << 20)])
        # A server that says "more" and has none, or does not know of any, ends it.
        for odd in ({"connections": [], "more": True}, {}, [], None):
            self.assertEqual(json.loads(self.out("-o", "json", *self.crowd(odd)[1], "connections")), [])
        self.fails(77, "denied: no", *self.crowd(("denied: no", None))[1], "connections")

    def test_connections_in_top(self):
        """The busiest first: since they have come, then since the picture before."""
        first = {"connections": [peer(1, 1), peer(2, 50), peer(3, 2)], "more": False}
        later = {"connections": [peer(1, 40), peer(2, 50), peer(9, 1)], "more": False}
        rows = [line.split() for line in
                self.out(*self.crowd(first)[1], "top", "-n", "1").splitlines()]
        found = [row[1] for row in rows if row[:1] == ["connection"]]
        self.assertEqual(found, ["2", "3", "1"])
        text = self.out(*self.crowd(first, later)[1], "top", "-i", "10ms", "-n", "2")
        found = [line.split()[1] for line in text.splitlines() if line.startswith("connection ")]
        self.assertEqual(found, ["2", "3", "1", "1", "9", "2"])
        many = {"connections": [peer(i, i) for i in range(1, 200)], "more": False}
        text = self.out(*self.crowd(many)[1], "top")
        self.assertEqual(text.count("\nconnection "), 10)
        self.assertIn("\nconnection 199 ", text)

    def test_thousands_of_connections_in_top(self):
        """50 every millisecond are more than 4000 a second: 12 pictures in between show them as they were."""
        crowd = {"connections": [peer(i, i) for i in range(1, 51)], "more": False}
        for pictures, looks in (("13", 1), ("14", 2), ("27", 3)):
            fake, server = self.crowd(crowd)
            text = self.out(*server, "top", "-i", "1ms", "-n", pictures)
            asked = [method for method, _ in fake.requests]
            self.assertEqual((asked.count("stats"), asked.count("connections")), (int(pictures), looks))
            self.assertEqual(text.count("\nconnection "), 10 * int(pictures))

    def test_regions_are_asked_for_where_they_are_shown(self):
        for words, params in ((("stat",), [{"limit": 0}]), (("latency",), [{"limit": 0}]), (("top",), []),
                              (("-o", "json", "stat"), []), (("-o", "json", "latency"), [{"limit": 0}])):
            fake = FakeServer(lambda method, params: (None, look(2, 1)) if method == "stats" else
                              ("no_such_method: no", None))
            self.enterContext(fake)
            self.out("-s", fake.address, *words)
            self.assertIn(("stats", params), fake.requests, words)

    def test_regions_that_come_in_parts(self):
        def part(more, *names):
            return {**look(2, 1), "regions": {name: {"size": 0, "operations": {}} for name in names}, "more": more}

        def asked(*parts):
            parts = list(parts)
            fake = FakeServer(lambda *_: (None, parts.pop(0)))
            self.enterContext(fake)
            told = json.loads(self.out("-s", fake.address, "-o", "json", "top", "-n", "1"))
            return [params for method, params in fake.requests if method == "stats"], list(told["regions"])

        self.assertEqual(asked(part(True, "a", "b"), part(True, "c"), part(False, "d")),
                         ([[], [{"after": "b"}], [{"after": "c"}]], ["a", "b", "c", "d"]))
        # A server that says "more" and has none, begins anew, or tells none by name, ends it.
        for odd in (part(True), part(True, "a"), part(True, "b"), {**part(True), "regions": 7}, {}, None):
            self.assertEqual(asked(part(True, "a", "b"), odd)[1], ["a", "b"], odd)
        self.assertEqual(asked(part(True)), ([[]], []))

    def test_top_where_nobody_may_see_them(self):
        for code in ("denied: no", "no_such_method: no"):
            fake, server = self.crowd((code, None))
            text = self.out(*server, "top", "-i", "10ms", "-n", "3")
            self.assertNotIn("CONNECTION", text)
            self.assertEqual(text.count("METHOD"), 3)
            self.assertEqual([method for method, _ in fake.requests].count("connections"), 1)
        self.fails(75, "busy: no", *self.crowd(("busy: no", None))[1], "top")

    def test_many_regions_leave_room(self):
        regions = {f"r{i}": {"operations": {}} for i in range(100)}
        fake = FakeServer(lambda method, params: (None, {**look(2, 1), "regions": regions})
                          if method == "stats" else (None, {"connections": [peer(1, 1)]}))
        self.enterContext(fake)
        _, shown = self.on_terminal("-s", fake.address, "top", "-n", "1", size=(24, 100))
        self.assertIn("connection 1", shown)
        self.assertIn("loadBlob", shown)

    def test_latency(self):
        server = self.fake(look(2, 1))
        text = self.out(*server, "latency", "addBlob")
        self.assertRegex(text, r"\n900us +40 +80\.00% █+\n2\.0ms +10 100\.00% █+\n")
        self.assertIn("50 in all\np50 900us, p90 2.0ms, p99 2.0ms\n", text)
        self.assertIn("150 in all\np50 80us,", self.out(*server, "latency"))
        self.assertIn("20 in all\np50 500us, p90 3.0ms", self.out(*server, "latency", "sync"))
        self.assertIn("0 in all\np50 -", self.out(*server, "latency", "checkpoint"))
        self.assertEqual(self.out("-o", "raw", *server, "latency", "commit"), "4000\t10\n")
        found = json.loads(self.out("-o", "json", *server, "latency", "sync"))
        self.assertEqual((found["count"], found["p50_us"], found["p99.99_us"], found["histogram"]),
                         (20, 500, 3000, [[500, 10], [3000, 10]]))
        lines = self.out(*self.fake(look(10, 1), look(12, 6)), "latency", "-i", "10ms", "-n",
                         "2").splitlines()
        self.assertEqual([line.split()[:3] for line in lines],
                         [["COUNT/S", "p50", "p90"], ["375", "80us", "900us"], ["0", "-", "-"]])
        self.fails(64, r"latency: \"size\?\" is no method", *server, "latency", "size?")

    def test_a_narrow_terminal(self):
        for command in (("stat", "-i", "10ms", "-n", "2"), ("top", "-n", "1"), ("latency",),
                        ("latency", "-i", "10ms", "-n", "2")):
            status, shown = self.on_terminal(*self.fake(look(2, 1), look(3, 2)), *command,
                                             size=(16, 40))
            self.assertEqual(status, 0)
            plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r", "")
            self.assertEqual([line for line in plain.split("\n") if len(line) > 40], [], command)
            self.assertLessEqual(plain.count("\n"), 16, command)

    def test_top_on_a_terminal(self):
        server = self.fake(look(2, 1), look(3, 2))
        status, shown = self.on_terminal(*server, "top", "-i", "10ms", typed=[b"q"],
                                         prompt=b"loadBlob")
        self.assertEqual(status, 0)
        self.assertTrue(shown.startswith("\x1b[?1049h"), shown)
        self.assertTrue(shown.endswith("\x1b[?1049l\x1b[?25h"), shown)
        status, shown = self.on_terminal(*server, "top", typed=[b"\x03"], prompt=b"loadBlob")
        self.assertEqual(status, -signal.SIGINT)
        self.assertTrue(shown.endswith("\x1b[?1049l\x1b[?25h"), shown)

    def test_wrong_options_and_servers(self):
        server = self.fake(look(2, 1))
        for command in ("stat", "top", "latency"):
            self.fails(64, ".*--interval: \"0\" is not a time", *server, command, "-i", "0")
            self.fails(64, ".*--count: \"x\" is not a whole number", *server, command, "-n", "x")
        with FakeServer(lambda method, params: ("no_such_method: stats", None)) as old:
            self.fails(1, "no_such_method: ", "-s", old.address, "stat")
            self.fails(1, "no_such_method: ", "-s", old.address, "top")
        with FakeServer(lambda method, params: (None, [1, 2])) as odd:
            self.assertEqual(self.out("-s", odd.address, "stat").splitlines()[1].split()[:3],
                             ["0", "0", "0"])

    def test_a_closed_pipe(self):
        """It ends, and says why, instead of printing for ever."""
        with open("/dev/full", "wb") as full:
            self.fails(74, "standard output: cannot write", *self.fake(look(2, 1)), "stat", "-i",
                       "10ms", stdout=full)

    def test_this_server(self):
        if self.run_mrcli("call", "stats").returncode != 0:
            self.skipTest("this server does not count")
        self.out("add", self.write("x", b"blob"))
        found = json.loads(self.out("-o", "json", "stat"))
        self.assertGreater(found["methods"]["addBlob"]["requests_per_s"], 0)
        self.assertEqual(found["regions"]["main"]["size"], 4)
        self.assertIn("addBlob", self.out("top"))
        self.assertIn("p99.99", self.out("latency", "addBlob"))


if __name__ == "__main__":
    unittest.main()
