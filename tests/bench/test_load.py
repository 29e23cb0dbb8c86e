#!/usr/bin/env python3
"""The load generator does what it counts, with each server that is there, and notices lies."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from compare import servers  # pylint: disable=wrong-import-position
from compare.servers import Server  # pylint: disable=wrong-import-position

BUILD = os.environ["BUILD"]
TIMEOUT = 60


class Bench:
    server_core = client_core = None

    def __init__(self):
        self.scratch = tempfile.mkdtemp(prefix="w.")

    def program(self, name):
        return os.path.join(BUILD, name)


def bench_load(*words, cwd):
    return subprocess.run([os.path.join(BUILD, "tests/bench/bench_load"), "--json", *words], cwd=cwd,
                          capture_output=True, text=True, timeout=TIMEOUT, check=False)


class Servers(unittest.TestCase):
    def setUp(self):
        self.bench = Bench()
        self.addCleanup(shutil.rmtree, self.bench.scratch)

    def server(self, name, command, **rest):
        server = Server(name, self.bench, command, **rest)
        self.addCleanup(server.stop)
        return server

    def load(self, server, transport, protocol, *words):
        done = bench_load("--server", server.address(transport), "--protocol", protocol, "--pid",
                          str(server.pid), "--folder", ".", *words, cwd=self.bench.scratch)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def check(self, server, transport, protocol, *options):
        """More is loaded and removed than fits a pipeline, of small blobs and of large ones."""
        for size, count in (("64", 300), ("5", 7), ("100000", 60)):
            shape = ("--connections", "3", "--pipeline", "8", "--size", size, *options)
            for mix in ("100:0:0", "0:100:0", "30:40:30"):
                result = self.load(server, transport, protocol, *shape, "--mix", mix, "--clear",
                                   "--preload", str(count), "--requests", str(count))
                self.assertEqual(result["operations"], count)
                self.assertEqual(result["errors"], 0)
                self.assertGreater(result["p999_us"], 0)
                self.assertGreaterEqual(result["p999_us"], result["p50_us"])
                self.assertGreater(result["server_cpu_us"], 0)
            result = self.load(server, transport, protocol, *shape, "--mix", "0:0:100", "--clear",
                               "--preload", str(count), "--seconds", "30")
            # The first connection without a blob ends it; the others have at most a few left.
            self.assertLessEqual(result["operations"], count + 3)
            self.assertGreater(result["operations"], 0)

    def test_mregiond(self):
        server = self.server("mregiond", servers.mregiond)
        for transport in server.transports:
            self.check(server, transport, "mregion")
        self.check(server, "unix", "mregion", "--deallocate", "--region", "fresh", "--renew")

    def test_raw(self):
        for transport, is_threaded in (("unix", False), ("unix", True), ("tcp", False)):
            server = self.server(f"raw-{transport}-{is_threaded}",
                                 servers.raw(transport, is_threaded), transports=(transport,))
            self.check(server, transport, "raw")
            server.stop()

    @unittest.skipUnless(shutil.which("redis-server"), "redis-server is not installed")
    def test_redis(self):
        server = self.server("redis", servers.redis("always"))
        for transport in server.transports:
            self.check(server, transport, "resp")

    @unittest.skipUnless(shutil.which("memcached"), "memcached is not installed")
    def test_memcached(self):
        for transport in ("unix", "tcp"):
            server = self.server(f"memcached-{transport}", servers.memcached(transport),
                                 transports=(transport,))
            self.check(server, transport, "memcached")

    @unittest.skipUnless(shutil.which("tarantool"), "tarantool is not installed")
    def test_tarantool(self):
        for transport in ("unix", "tcp"):
            server = self.server(f"tarantool-{transport}", servers.tarantool(transport),
                                 transports=(transport,))
            self.check(server, transport, "iproto")

    def test_what_is_added_is_there_unless_cleared(self):
        server = self.server("mregiond", servers.mregiond)
        for words in ((), ("--clear",), ("--renew",)):
            self.load(server, "unix", "mregion", "--size", "1000", "--requests", "20", *words)
            done = subprocess.run([self.bench.program("client/mrcli"), "-s", server.address("unix"),
                                   "-o", "json", "call", "allocated", '["main"]'],
                                  cwd=self.bench.scratch, capture_output=True, text=True,
                                  timeout=TIMEOUT, check=True)
            self.assertEqual(int(done.stdout), 0 if words else 20_000)

    def test_what_comes_first_ends_it(self):
        server = self.server("mregiond", servers.mregiond)
        result = self.load(server, "unix", "mregion", "--requests", "10", "--seconds", "1000")
        self.assertEqual(result["operations"], 10)
        result = self.load(server, "unix", "mregion", "--requests", "1000000000", "--seconds", "0.1")
        self.assertGreater(result["operations"], 0)

    @unittest.skipUnless(os.access(os.path.join(BUILD, "tests/bench/bench_lmdb"), os.X_OK),
                         "bench_lmdb was not built")
    def test_lmdb(self):
        for operation in ("put", "get", "del"):
            folder = os.path.join(self.bench.scratch, operation)
            done = subprocess.run([self.bench.program("tests/bench/bench_lmdb"), "--operation",
                                   operation, "--per-sync", "10", "--blobs", "640", "--seconds",
                                   "0.05", folder], capture_output=True, text=True, timeout=TIMEOUT,
                                  check=True)
            result = json.loads(done.stdout)
            self.assertEqual(result["operations"] % 10, 0)
            self.assertGreater(result["operations"], 0)
            if operation == "del":
                self.assertLessEqual(result["operations"], 640)


class Tls(unittest.TestCase):
    """mregiond through TLS, where what has arrived may wait in the generator's own buffers."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="w.")
        self.addCleanup(shutil.rmtree, self.folder)
        path = os.path.join(os.path.abspath(self.folder), "tls")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=test", "-keyout",
                        path + ".key", "-out", path + ".pem"], capture_output=True, check=True)
        with open(path + ".yaml", "w", encoding="ascii") as file:
            file.write(f"data_dir: {path}.data\nlisten: [tls: 127.0.0.1:0]\n"
                       f"tls_certificate: {path}.pem\ntls_key: {path}.key\n")
        self.server = subprocess.Popen([os.path.join(BUILD, "daemon/mregiond"), "--config",
                                        path + ".yaml"], stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.stop)
        for line in self.server.stderr:
            if "listening on" in line:
                self.address = line.split()[-1]
            if line.strip() == "ready":
                break
        # From here on nobody empties the pipe, which the server does not wait for.

    def stop(self):
        self.server.terminate()
        self.server.wait()
        self.server.stderr.close()

    def test_sizes(self):
        for size in "5", "64", "16384", "100000", "1000000":
            for mix in "100:0:0", "0:100:0", "30:40:30":
                done = bench_load("--server", self.address, "--connections", "3", "--pipeline", "8",
                                  "--size", size, "--mix", mix, "--preload", "20", "--requests",
                                  "100", cwd=self.folder)
                self.assertEqual(done.returncode, 0, done.stderr)
                result = json.loads(done.stdout)
                self.assertEqual((result["operations"], result["errors"]), (100, 0))


class Lies(unittest.TestCase):
    """A Redis that answers something else."""

    def ask(self, answers, mix):
        """Each answer goes out for one request."""
        folder = tempfile.mkdtemp(prefix="w.")
        self.addCleanup(shutil.rmtree, folder)
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(os.path.join(folder, "s"))
        listener.listen()

        def serve():
            with listener.accept()[0] as peer:
                for answer in answers:
                    if peer.recv(65536):
                        peer.sendall(answer)
                peer.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        done = bench_load("--protocol", "resp", "--server", "unix:s", "--size", "20", "--mix", mix,
                          "--preload", "1", "--requests", "1", cwd=folder)
        thread.join(TIMEOUT)
        return done

    def test_other_bytes(self):
        done = self.ask([b"+OK\r\n", b"$20\r\n" + bytes(20) + b"\r\n"], "0:100:0")
        self.assertIn("came back with other bytes", done.stderr)
        self.assertEqual(done.returncode, 1)

    def test_another_size(self):
        done = self.ask([b"+OK\r\n", b"$3\r\nabc\r\n"], "0:100:0")
        self.assertIn("came back with other bytes", done.stderr)

    def test_no_blob(self):
        done = self.ask([b"+OK\r\n", b"+OK\r\n"], "0:100:0")
        self.assertIn("came back with other bytes", done.stderr)

    def test_refusals_are_counted(self):
        done = self.ask([b"-ERR no\r\n"], "100:0:0")
        self.assertEqual(json.loads(done.stdout)["errors"], 1)
        self.assertIn("-ERR no", done.stderr)
        self.assertEqual(done.returncode, 1)

    def test_an_answer_to_nothing(self):
        done = self.ask([b"+OK\r\n+OK\r\n"], "100:0:0")
        self.assertIn("an answer to nothing", done.stderr)

    def test_a_server_that_goes_away(self):
        done = self.ask([], "100:0:0")
        self.assertEqual(done.returncode, 1)
        self.assertIn("closed", done.stderr)


if __name__ == "__main__":
    unittest.main()
