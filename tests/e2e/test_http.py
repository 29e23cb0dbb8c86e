"""HTTP for those who watch: what is served is right, in formats that others parse; what is not
well-formed, too large, too slow or from elsewhere is refused, and nobody else notices."""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import unittest

from case import Case, run
from mpack import RpcError
from server import DEADLINE

try:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families
except ImportError:
    text_string_to_metric_families = None

CONFIG = """
listen: [{{unix: {folder}/s}}]
http:
  - tcp: 127.0.0.1:0
  - unix: {folder}/h
    mode: 0600
"""
OPEN = "application/openmetrics-text; version=1.0.0"
PROMETHEUS = ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
              "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")


class Watched(Case):
    more = ""  # of the configuration

    def setUp(self):
        self.served = self.server(config=" ")
        self.served.write_config(CONFIG.format(folder=self.served.folder) + self.more)
        self.served.start()
        self.port = int(re.search(r"serving HTTP on tcp:127\.0\.0\.1:(\d+)", self.served.log())[1])
        self.client = self.connect(self.served)

    def open(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        self.addCleanup(connection.close)
        return connection

    def get(self, path, method="GET", connection=None, **headers):
        connection = connection or self.open()
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read().decode()

    def ask(self, path, **headers):
        """What must be answered with 200."""
        answer, body = self.get(path, **headers)
        self.assertEqual(answer.status, 200, body)
        return body

    def wait_healthy(self):
        """Until the server has seen that the others are gone."""
        while True:
            try:
                self.assertEqual(self.ask("/healthz"), "ok\n")
                return
            except (ConnectionError, http.client.HTTPException):
                continue

    def raw(self, data, port=None):
        """All that comes back for these bytes, until the server closes."""
        with socket.create_connection(("127.0.0.1", port or self.port), DEADLINE) as connection:
            connection.sendall(data)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
            return answer


def samples(text):
    """Of the format of Prometheus: name and labels to value."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name not in found, f"{name} is there twice"
            found[name] = float(value)
    return found


class Figures(Watched):
    def work(self):
        blocks = [self.client.call("addBlob", "main", bytes(1000)) for _ in range(30)]
        for address in blocks[::3]:
            self.client.call("removeBlob", "main", address, 1000)
        for address in blocks[1::3]:
            self.client.call("loadBlob", "main", address, 1000)
        with self.assertRaises(RpcError):
            self.client.call("loadBlob", "main", 10**9, 1)
        self.client.call("checkpoint", "main")

    def test_metrics_are_right(self):
        self.work()
        answer, text = self.get("/metrics")
        self.assertEqual(answer.getheader("Content-Type"),
                         "text/plain; version=0.0.4; charset=utf-8")
        found = samples(text)
        self.assertEqual(found['mregion_requests_total{method="addBlob"}'], 30)
        self.assertEqual(found['mregion_requests_total{method="loadBlob"}'], 11)
        self.assertEqual(found['mregion_request_errors_total{method="loadBlob"}'], 1)
        self.assertEqual(found['mregion_errors_total{code="out_of_bounds"}'], 1)
        self.assertEqual(found['mregion_request_duration_seconds_count{method="removeBlob"}'], 10)
        self.assertEqual(found['mregion_region_allocated_bytes{region="main"}'], 20000)
        self.assertEqual(found['mregion_region_free_bytes{region="main"}'], 10000)
        self.assertEqual(found['mregion_region_holes{region="main"}'], 10)
        self.assertEqual(found['mregion_region_largest_hole_bytes{region="main"}'], 1000)
        self.assertEqual(found['mregion_region_read_only{region="main"}'], 0)
        self.assertEqual(
            found['mregion_region_operations_total{region="main",method="addBlob"}'], 30)
        self.assertEqual(found["mregion_checkpoint_duration_seconds_count"], 1)
        self.assertGreater(found["mregion_sync_duration_seconds_count"], 0)
        self.assertEqual(found["mregion_connections"], 1)
        self.assertEqual(found["mregion_up"], 1)

    def test_buckets_add_up(self):
        self.work()
        found = samples(self.ask("/metrics"))
        before = {}
        for name, value in found.items():
            if "_bucket" in name:
                series = re.sub(r',?le="[^"]*"', "", name)
                self.assertGreaterEqual(value, before.get(series, 0), name)
                before[series] = value
        for series, value in before.items():
            self.assertEqual(found[series.replace("_bucket", "_count").replace("{}", "")], value)

    @unittest.skipUnless(text_string_to_metric_families, "python3-prometheus-client is not installed")
    def test_openmetrics(self):
        self.work()
        for accept in (OPEN, PROMETHEUS):
            answer, text = self.get("/metrics", Accept=accept)
            self.assertEqual(answer.getheader("Content-Type"),
                             "application/openmetrics-text; version=1.0.0; charset=utf-8")
            families = {family.name: family for family in text_string_to_metric_families(text)}
            self.assertEqual(families["mregion_requests"].type, "counter")
            self.assertEqual(families["mregion_request_duration_seconds"].unit, "seconds")
            self.assertEqual(families["mregion_build"].type, "info")
            for name, family in families.items():
                self.assertTrue(family.documentation, name)
        plain, openly = samples(self.ask("/metrics")), samples(text)
        self.assertEqual(set(plain), set(openly))

    @unittest.skipUnless(shutil.which("promtool"), "promtool (package prometheus) is not installed")
    def test_promtool(self):
        self.work()
        done = subprocess.run(["promtool", "check", "metrics"], input=self.ask("/metrics"),
                              text=True, capture_output=True, timeout=DEADLINE, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_status_is_what_stats_tells(self):
        self.work()
        answer, text = self.get("/status")
        self.assertEqual(answer.getheader("Content-Type"), "application/json")
        status = json.loads(text)
        self.assertEqual((status["name"], status["running"]), ("mregiond", True))
        told, asked = status["stats"], self.client.call("stats")
        for figures in (told, asked):
            for moving in ("time_us", "sync_latency", "sync_latency_us", "syncs"):
                figures.pop(moving)
        self.assertEqual(told, asked)

    def test_maps(self):
        self.work()
        size = self.client.call("size", "main")
        for cells in (1, 7, 512, 4096):
            found = json.loads(self.ask(f"/status/main/map?cells={cells}"))
            each = found["cell_bytes"]
            self.assertLessEqual(len(found["cells"]), cells)
            free = [0] * size
            for address, length in self.client.call("getFreeMemory", "main"):
                free[address:address + length] = [1] * length
            for i, fill in enumerate(found["cells"]):
                part = free[i * each:(i + 1) * each]
                self.assertAlmostEqual(fill, 1000 * (1 - sum(part) / len(part)), delta=1)
            self.assertEqual(sum(count for _, count in found["holes"]), 10)
            self.assertEqual(found["free_bytes"], 10000)
        found = json.loads(self.ask("/status/main/map"))
        self.assertEqual(len(found["cells"]), -(-size // found["cell_bytes"]))
        self.assertEqual(found["cell_bytes"], -(-size // 512))

    def test_a_map_of_many_holes(self):
        holes = 20000
        for _ in range(0, holes, 1000):
            self.client.call("batch", "main", [["allocate", 10]] * 1000)
        self.client.call("grow", "main", 1)
        size = self.client.call("size", "main")
        for begin in range(0, size, 10 * 1000):
            self.client.call("batch", "main", [["deallocate", address, 5]
                                               for address in range(begin, begin + 10000, 10)])
        found = json.loads(self.ask("/status/main/map?cells=100"))
        self.assertEqual(found["free_blocks"], holes)
        self.assertEqual(found["cells"], [500] * 100)
        self.assertEqual(found["holes"], [[4, holes]])

    def test_what_is_not_there(self):
        for path in ("/nope", "/metrics/", "//", "/status/", "/status/map", "/status//map",
                     "/status/none/map", "/status/main/maps", "/status/../map", "/%2e%2e/etc/passwd",
                     "/status/" + "x" * 200 + "/map", "/status/main%00/map"):
            answer, _ = self.get(path)
            self.assertEqual(answer.status, 404, path)
        for cells in ("0", "-1", "4097", "x", "1x", "", "18446744073709551617", "%2b1", " 1"):
            answer, text = self.get(f"/status/main/map?cells={cells}".replace(" ", "%20"))
            self.assertEqual(answer.status, 400, cells)
            self.assertIn("4096", text)

    def test_health(self):
        self.assertEqual(self.ask("/healthz"), "ok\n")
        self.assertEqual(self.ask("/readyz"), "ready\n")

    def test_a_head_has_no_body(self):
        for path in ("/", "/metrics", "/status", "/healthz"):
            answer, body = self.get(path, method="HEAD")
            self.assertEqual((answer.status, body), (200, ""))
            self.assertGreater(int(answer.getheader("Content-Length")), 0)

    def test_nothing_is_kept_or_guessed(self):
        for path in ("/", "/metrics", "/status", "/nope"):
            answer, _ = self.get(path)
            self.assertEqual(answer.getheader("Cache-Control"), "no-store")
            self.assertEqual(answer.getheader("X-Content-Type-Options"), "nosniff")
            self.assertIsNone(answer.getheader("Access-Control-Allow-Origin"))
            self.assertIn("default-src 'none'", answer.getheader("Content-Security-Policy"))

    def test_many_on_one_connection(self):
        connection = self.open()
        for _ in range(200):
            for path in ("/metrics", "/healthz", "/status", "/status/main/map"):
                answer, _ = self.get(path, connection=connection)
                self.assertEqual(answer.status, 200)

    def test_over_a_unix_socket(self):
        path = self.served.path("h")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        connection = self.open()
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(path)
        answer, body = self.get("/healthz", connection=connection, Host="any.name.example")
        self.assertEqual((answer.status, body), (200, "ok\n"))
        self.served.stop()
        self.assertFalse(os.path.exists(path))


class Refused(Watched):
    def test_methods(self):
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"):
            answer, _ = self.get("/status", method=method)
            self.assertEqual(answer.status, 405, method)
            self.assertEqual(answer.getheader("Allow"), "GET, HEAD")

    def test_hosts(self):
        for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost.evil",
                     "[::1", "localhost:x", ":1", "a" * 1000):
            answer, _ = self.get("/status", Host=host)
            self.assertEqual(answer.status, 421, host)
        for host in ("localhost", "LOCALHOST:9421", "127.0.0.1", "127.0.0.1:1", "[::1]:80", "[::1]"):
            answer, _ = self.get("/status", Host=host)
            self.assertEqual(answer.status, 200, host)

    def test_bodies(self):
        for head in (b"Content-Length: 5", b"Transfer-Encoding: chunked"):
            answer = self.raw(b"GET /status HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
            self.assertRegex(answer, rb"^HTTP/1.1 400 ")
            self.assertEqual(answer.count(b"HTTP/1.1 "), 1)

    def assert_slow_ones_end(self):
        patient = [socket.create_connection(("127.0.0.1", self.port), DEADLINE) for _ in range(3)]
        self.addCleanup(lambda: [connection.close() for connection in patient])
        patient[0].sendall(b"GET /status HTTP/1.1\r\nHost: localhost\r\nX: ")
        patient[1].sendall(b"G")
        open_still, rounds = set(patient), 0
        while open_still and rounds < 2400:
            rounds += 1
            for connection in list(open_still):
                connection.settimeout(0.02)
                try:
                    if connection is patient[0]:
                        connection.sendall(b"x")
                    if not connection.recv(100):
                        open_still.remove(connection)
                except TimeoutError:
                    pass
                except OSError:
                    open_still.remove(connection)
        self.assertFalse(open_still)

    def test_malformed_and_slow(self):
        """A byte now and then does not keep a connection, and neither does none, nor what is none of
        HTTP. Whoever ends only by the clock does so meanwhile."""
        sent = []
        for data in (b"\r\n\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 100 + b"\r\n\r\n",
                     b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n",
                     b"GET / HTTP/1.1\r\n: x\r\n\r\n", b"GET / HTTP/1.1\r\nHost\r\n\r\n",
                     b"GET /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
                     b"\x94\x00\x00\xa4ping\x90\r\n\r\n"):
            connection = socket.create_connection(("127.0.0.1", self.port), DEADLINE)
            self.addCleanup(connection.close)
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            sent.append((data, connection))
        self.assert_slow_ones_end()
        for data, connection in sent:  # each ends, with a refusal or without
            answer = b""
            try:
                while piece := connection.recv(65536):
                    answer += piece
            except ConnectionResetError:
                pass
            if answer:
                self.assertRegex(answer, rb"^HTTP/1.[01] [245]\d\d ", data)
        self.assertEqual(self.ask("/healthz"), "ok\n")

    def test_huge(self):
        for data in (b"GET /" + b"x" * 10**6 + b" HTTP/1.1\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 10**6 + b"\r\n\r\n",
                     b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200000 + b"\r\n"):
            with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as connection:
                answer = b""
                try:
                    connection.sendall(data)
                    while piece := connection.recv(65536):
                        answer += piece
                except (ConnectionResetError, BrokenPipeError):
                    pass
                if answer:
                    self.assertRegex(answer, rb"^HTTP/1.1 (414|431|413) ")
        self.assertEqual(self.ask("/healthz"), "ok\n")

    def test_who_does_not_read(self):
        """Their answers wait in the kernel's buffers, and with them they, and nobody else."""
        deaf = []
        for _ in range(5):
            connection = socket.create_connection(("127.0.0.1", self.port), DEADLINE)
            self.addCleanup(connection.close)
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)
            deaf.append(connection)
        self.assertEqual(self.ask("/healthz"), "ok\n")
        self.assert_serves(self.served)

    def test_too_many(self):
        others = [socket.create_connection(("127.0.0.1", self.port), DEADLINE) for _ in range(64)]
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as late:
            late.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            try:
                self.assertEqual(late.recv(100), b"")
            except ConnectionResetError:
                pass
        self.served.wait_log("an HTTP connection is refused: 64 are open")
        self.assert_serves(self.served)
        for connection in others:
            connection.close()
        self.wait_healthy()

    def test_gone_before_the_answer(self):
        for i in range(100):
            connection = socket.create_connection(("127.0.0.1", self.port), DEADLINE)
            connection.sendall(b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"metrics", b"status")[i % 2].ljust(6))
            connection.close()
        self.wait_healthy()

    def test_scrapers_at_once(self):
        connections = [self.open() for _ in range(20)]
        for _ in range(10):
            for i, connection in enumerate(connections):
                connection.request("GET", ("/metrics", "/status", "/status/main/map")[i % 3])
            bodies = []
            for connection in connections:
                answer = connection.getresponse()
                self.assertEqual(answer.status, 200)
                bodies.append(answer.read())
            self.assertEqual(len(bodies), 20)


class Configured(Case):
    def test_off_unless_configured(self):
        self.assertNotIn("HTTP", self.server().start().log())

    def test_other_machines_are_refused(self):
        server = self.server(config="http: [{tcp: '0.0.0.0:9421'}]\n")
        done = run("--config", server.path("mregiond.yaml"), "--check-config")
        self.assertEqual(done.returncode, 78)
        self.assertIn("put a proxy in front", done.stderr)

    def test_the_same_socket_twice(self):
        server = self.server(config=" ")
        server.write_config(f"listen: [{{unix: {server.path('s')}}}]\nhttp: [{{unix: {server.path('s')}}}]\n")
        self.assert_refused(*server.run(), r"mregiond\.yaml:2:8: .* is one of listen's")


class Reloaded(Watched):
    def test_it_goes_on(self):
        connection = self.open()
        self.get("/healthz", connection=connection)
        self.served.write_config(CONFIG.format(folder=self.served.folder) + "max_connections: 7\n")
        self.served.signal(signal.SIGHUP)
        self.served.wait_log("reloaded the configuration")
        self.assertNotIn("http has changed", self.served.log())
        answer, text = self.get("/metrics", connection=connection)
        self.assertEqual(samples(text)["mregion_connections_limit"], 7)

    def test_other_listeners_take_a_restart(self):
        self.served.write_config(f"listen: [{{unix: {self.served.path('s')}}}]\n")
        self.served.signal(signal.SIGHUP)
        self.served.wait_log("reload: http needs a restart: is .*, the file says ")
        self.assertEqual(self.ask("/healthz"), "ok\n")


class Stopping(Watched):
    def test_it_ends_with_everybody_connected(self):
        connections = [self.open() for _ in range(10)]
        for connection in connections:
            self.get("/healthz", connection=connection)
        for connection in connections:
            connection.request("GET", "/metrics")
        self.served.stop()


class Crowd(Watched):
    """More regions than are copied at a stretch."""

    NAMES = [f"region-{i:04}" for i in range(69)]
    OPTIONS = {"page_cache": 0, "scrub_interval": 0, "durability": "none"}

    def test_many_regions(self):
        for msgid in [self.client.send("createRegion", name, self.OPTIONS) for name in self.NAMES]:
            self.client.wait(msgid)
        for i, name in enumerate(self.NAMES):
            self.client.call("allocate", name, 10 + i)
        found = samples(self.ask("/metrics"))
        self.assertEqual(found["mregion_regions"], 70)
        for i, name in enumerate(self.NAMES):
            self.assertEqual(found[f'mregion_region_size_bytes{{region="{name}"}}'], 10 + i)
        regions = json.loads(self.ask("/status"))["stats"]["regions"]
        self.assertEqual(list(regions), sorted(["main"] + self.NAMES))
        self.assert_right_while_they_change()

    def assert_right_while_they_change(self):
        """Who is there all the time is in each scrape, with its figures, however many come, go and get
        other names between two stretches."""
        going, staying = self.NAMES[:20], set(self.NAMES[20:])
        sizes = {f'mregion_region_size_bytes{{region="{name}"}}': 10 + i
                 for i, name in enumerate(self.NAMES) if name in staying}
        scrapers = [self.open() for _ in range(3)]
        for i, name in enumerate(going):
            asked = [self.client.send("renameRegion", name, f"z{i}"), self.client.send("dropRegion", f"z{i}"),
                     self.client.send("createRegion", f"a{i}", self.OPTIONS)]
            for scraper, path in zip(scrapers, ("/metrics", "/status", f"/status/{name}/map")):
                scraper.request("GET", path)
            texts = [(answer.status, answer.read().decode()) for answer in
                     (scraper.getresponse() for scraper in scrapers)]
            found = samples(texts[0][1])
            self.assertEqual({key: found.get(key) for key in sizes}, sizes)
            self.assertLessEqual(staying, set(json.loads(texts[1][1])["stats"]["regions"]))
            self.assertIn(texts[2][0], (200, 404))
            for msgid in asked:
                self.client.wait(msgid)

    def test_regions_that_come_and_go_meanwhile(self):
        connection = self.open()
        for i in range(10):
            self.client.call("createRegion", "brief")
            made = self.client.send("dropRegion", "brief")
            for path in ("/metrics", "/status"):
                self.assertEqual(self.get(path, connection=connection)[0].status, 200)
            self.assertIn(self.get("/status/brief/map", connection=connection)[0].status, (200, 404))
            self.client.wait(made)


if __name__ == "__main__":
    unittest.main()
