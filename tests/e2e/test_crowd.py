"""Ten thousand connections that are silent and a hundred that attack, each in one of the ways of
ATTACKS, over and over: the server's memory stays below 64 MiB, and another client is served. With
small limits, and with those that it has by itself."""
import os
import re
import resource
import select
import socket
import time
import unittest

from bad import ASAN, Bystander
from case import Case
from mpack import Client, pack, request

KIB, MIB = 1 << 10, 1 << 20
SILENT, ATTACKERS = 1000 if ASAN else 10000, 100
BEGINNINGS = 200 if ASAN else 2500
FILES = SILENT + 500  # that this process needs, and the server

DEFAULTS = "max_connections: 11000\n"
REGIONS = "regions: [{name: main}, {name: bystander}]\n"
SMALL = "max_message: 8MiB\nmax_buffered: 16MiB\nmax_unread: 256KiB\n"
SMALL_REGIONS = "regions: [{name: main, page_cache: 4MiB}, {name: bystander, page_cache: 4MiB}]\n"

LARGE = 4 * MIB  # the blob that is loaded, at 0
ADD = b"\x94\x00\x05\xa7addBlob\x92\xa4main"


def load(size, count):
    return request(1, "loadBlob", ["main", 0, size]) * count


# What one attacker sends, without ever reading, and then, when the server has closed, again.
ATTACKS = [
    ADD + b"\xc6\x00\x7f\xff\x00" + bytes(6 * MIB),  # of 8 MiB
    ADD + b"\xc6\x00\x7f\xff\x00" + bytes(60 * KIB),
    ADD + b"\xc6\xff\xff\xff\xff" + bytes(MIB),
    b"\x94\x00\x05\xa4ping" + b"\xdc\xff\xff" * 100000,
    b"\xdd\xff\xff\xff\xff" * 1000,
    request(1, "ping", []) * 100000,
    load(16 * KIB, 5000),
    load(MIB, 500),
    load(LARGE, 50),
    request(1, "getFreeMemory", ["main"]) * 5000,
    request(1, "addBlob", ["main", bytes(1000)]) * 5000,
    request(1, "batch", ["main", [["addBlob", bytes(1000)], ["deallocate", 0, 1]]]) * 2000,
    request(1, "noSuchMethod" * 1000, []) * 1000,
    pack([2, "deallocate", ["main", LARGE + 1000000, 1]]) * 100000,
    b"".join(request(i, "loadBlob", ["x" * 60000, 0, 1]) for i in range(50)),
    b"\x94\x00",
]


class Attacker:
    def __init__(self, address, attack):
        self.address, self.attack = address, attack
        self.socket = None
        self.connections = 0
        self.sent = 0

    def connect(self):
        self.close()
        kind = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
        self.socket = socket.socket(kind)
        if kind == socket.AF_INET:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(self.address)
        self.socket.setblocking(False)
        self.connections += 1
        self.rest = memoryview(self.attack)

    def go_on(self):
        """Sends what is taken, and comes again if the server has closed."""
        try:
            while self.rest:
                count = self.socket.send(self.rest)
                self.rest = self.rest[count:]
                self.sent += count
        except BlockingIOError:
            pass
        except OSError:
            self.connect()

    def has_been_closed(self):
        """Without taking a byte of the answers that wait."""
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        return bool(poll.poll(0))

    def close(self):
        if self.socket is not None:
            self.socket.close()


class Crowd(Case):
    def setUp(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < FILES:
            self.skipTest(f"{SILENT} connections need a limit of {FILES} open files; it is {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    @staticmethod
    def memory(server, of="RssAnon"):
        """Bytes that the process has for itself, as opposed to what it maps of files; VmHWM: the most
        that it ever had, files too."""
        with open(f"/proc/{server.process.pid}/status", encoding="ascii") as file:
            return int(re.search(of + r":\s+(\d+) kB", file.read())[1]) * KIB

    def started(self, config):
        server = self.server(config=config, args=["--listen", "tcp:127.0.0.1:0"])
        server.command += ["--listen", "unix:" + server.path("s")]
        return server.start()

    def test_with_defaults(self):
        self.attack(self.started(DEFAULTS + REGIONS))

    def test_with_small_limits(self):
        self.attack(self.started(DEFAULTS + SMALL + SMALL_REGIONS))

    def test_beginnings(self):
        """All send the beginning of a message that is small enough to pass by itself, and together
        they are far more than 64 MiB. Who sends a whole one is served, and in the end all are."""
        server = self.started(DEFAULTS + REGIONS)
        patient = self.connect(server)
        message = request(1, "addBlob", ["main", bytes(40000)])
        clients = []
        for i in range(BEGINNINGS):
            clients.append(Client(server.tcp if i % 2 else server.unix))
            self.addCleanup(clients[-1].close)
            clients[-1].socket.setblocking(False)
        sent = [0] * BEGINNINGS
        for i, client in enumerate(clients):
            try:
                while sent[i] < len(message) - 1:
                    sent[i] += client.socket.send(message[sent[i]:-1])
            except BlockingIOError:
                pass  # the rest is in nobody's memory
        patient.call("addBlob", "main", bytes(3000))
        patient.call("ping")
        most = self.memory(server, "VmHWM")
        print(f"{BEGINNINGS} beginnings: {most / MIB:.1f} MiB, {sum(sent) / MIB:.0f} sent", flush=True)
        if not ASAN:
            self.assertGreater(sum(sent), 80 * MIB)
            self.assertLess(most, 64 * MIB)
        for i, client in enumerate(clients):
            client.socket.settimeout(client.timeout)
            client.socket.sendall(message[sent[i]:])
        for client in clients:
            self.assertIsNone(client.receive()[1])
        patient.call("addBlob", "main", bytes(30000))
        self.assertEqual(patient.call("allocated", "main"), BEGINNINGS * 40000 + 33000)
        server.stop()

    def attack(self, server):
        patient = self.connect(server)
        patient.call("addBlob", "main", bytes(LARGE))
        before = self.memory(server)

        silent = []
        for i in range(SILENT):
            silent.append(socket.socket(socket.AF_INET if i % 2 else socket.AF_UNIX))
            self.addCleanup(silent[-1].close)
            silent[-1].connect(server.tcp if i % 2 else server.unix)
        while patient.call("serverInfo")["connections"] < SILENT + 1:
            pass
        quiet = self.memory(server)

        bystander = Bystander(server.unix, "bystander")
        attackers = [Attacker(server.tcp if i % 3 else server.unix, ATTACKS[i % len(ATTACKS)])
                     for i in range(ATTACKERS)]
        most = 0
        for attacker in attackers:
            self.addCleanup(attacker.close)
            attacker.connect()
        for _ in range(40):
            rounds = bystander.rounds
            for attacker in attackers:
                attacker.go_on()
                if attacker.has_been_closed():
                    attacker.connect()
                most = max(most, self.memory(server))
            while bystander.rounds == rounds and bystander.failure is None:
                time.sleep(0.01)
                most = max(most, self.memory(server))
        bystander.finish()
        ever = self.memory(server, "VmHWM")
        info = patient.call("serverInfo")
        print(f"one connection: {(quiet - before) / SILENT:.0f} bytes; "
              f"{SILENT} silent ones: {quiet / MIB:.1f} MiB, {ATTACKERS} attackers: "
              f"{most / MIB:.1f} MiB, {ever / MIB:.1f} at most with files; {info['requests_total']} requests, "
              f"{info['connections_failed']} connections closed, "
              f"{sum(attacker.sent for attacker in attackers) / MIB:.0f} MiB sent", flush=True)
        if not ASAN:  # which keeps what was freed, and more for each allocation
            self.assertLess(quiet, 24 * MIB)
            self.assertLess(ever, 64 * MIB)
        self.assertGreater(info["connections_failed"], 100)
        self.assertGreaterEqual(info["connections"], SILENT)  # none of them was touched
        for client in silent[:10]:
            client.sendall(request(7, "ping", []))
            self.assertEqual(client.recv(100), pack([1, 7, None, "pong"]))
        for client in (*silent, *attackers):
            client.close()
        server.stop()


if __name__ == "__main__":
    unittest.main()
