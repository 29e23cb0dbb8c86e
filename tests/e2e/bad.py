"""What the tests of bad input share: a server with small limits, a client that must not notice, and
the check that the state is what it was."""
import os
import re
import threading

from case import Case
from mpack import Client, RpcError
from server import Server

MIB = 1 << 20
ASAN = bool(os.environ.get("MREGION_ASAN"))

MAX_MESSAGE = 32 * MIB
MAX_BUFFERED = 64 * MIB
# What a region keeps of its pages in memory is no part of what is bounded here.
CONFIG = ("max_message: 32MiB\nmax_buffered: 64MiB\nstall_timeout: 2s\n"
          "regions: [{name: main, page_cache: 1MiB}, {name: bystander, page_cache: 1MiB}]\n")

# What memory may grow by while a test does its worst; far below what is claimed or asked for there.
# Sanitizers keep freed memory for a while.
SLACK = MAX_BUFFERED + (512 if ASAN else 16) * MIB


class Bystander(threading.Thread):
    """Another client, which adds, loads and removes all the while and must not notice anything."""

    def __init__(self, address, region):
        super().__init__()
        self.client = Client(address)
        self.region = region
        self.rounds = 0
        self.ending = threading.Event()
        self.failure = None
        self.start()

    def run(self):
        try:
            while not self.ending.is_set():
                blob = (b"%08d" % self.rounds) * 64
                address = self.client.call("addBlob", self.region, blob)
                assert self.client.call("loadBlob", self.region, address, len(blob)) == blob
                assert self.client.call("removeBlob", self.region, address, len(blob)) == blob
                self.rounds += 1
        except BaseException as error:  # told to the test by finish()
            self.failure = error

    def finish(self):
        """Waits until it has done something more, now that the worst is over; then ends it."""
        self.ending.set()
        self.join()
        self.client.close()
        if self.failure is not None:
            raise AssertionError("the other client noticed") from self.failure
        assert self.rounds > 0


class Bad(Case):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Server(config=CONFIG, regions=["main", "bystander"])
        cls.daemon.command += ["--listen", "unix:" + cls.daemon.path("s"),
                               "--listen", "tcp:127.0.0.1:0"]
        cls.addClassCleanup(cls.daemon.remove)
        cls.daemon.start()
        cls.bystander = Bystander(cls.daemon.unix, "bystander")
        with Client(cls.daemon.unix) as client:
            client.call("addBlob", "main", bytes(range(100)))
            client.call("deallocate", "main", 40, 20)

    @classmethod
    def tearDownClass(cls):
        cls.bystander.finish()
        cls.daemon.stop()

    def setUp(self):
        self.client = self.connect()
        self.state = self.read_state()
        self.addCleanup(self.check_unchanged)

    def connect(self, tcp=False):
        client = Client(self.daemon.tcp if tcp else self.daemon.unix)
        self.addCleanup(client.close)
        return client

    def read_state(self):
        with Client(self.daemon.unix) as client:
            return (client.call("memoryInfo", "main"), client.call("getFreeMemory", "main"),
                    client.call("listRegions"), client.call("loadBlob", "main", 0, 40),
                    client.call("loadBlob", "main", 60, 40))

    def check_unchanged(self):
        self.assertEqual(self.read_state(), self.state)

    def refused(self, code, method, *params):
        with self.assertRaises(RpcError, msg=f"{method}{params}") as caught:
            self.client.call(method, *params)
        self.assertEqual(caught.exception.code, code, (method, params, caught.exception))
        return caught.exception.sentence

    def refused_packed(self, method, params):
        with self.assertRaises(RpcError, msg=f"{method} {params!r}") as caught:
            self.client.call_packed(method, params)
        self.assertEqual(caught.exception.code, "invalid_argument", (method, params))
        return caught.exception.sentence

    def memory(self):
        """Bytes resident now."""
        with open(f"/proc/{self.daemon.process.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1]) * 1024

    def wait_rounds(self, count):
        """Until the bystander has come so far: the server is at work, and what it would do wrong by
        now it has done."""
        goal = self.bystander.rounds + count
        while self.bystander.rounds < goal:
            self.assertIsNone(self.bystander.failure)
            self.bystander.join(0.01)

    def assert_memory_bounded(self, before):
        self.assertLess(self.memory(), before + SLACK)
