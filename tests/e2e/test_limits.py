"""The limits of the configuration: who passes one is turned away or closed, it counts in serverInfo,
and the log says why. Nobody else notices."""
import os
import resource
import signal
import socket
import time
import unittest

from case import Case
from faults import FAULT
from mpack import Client, RpcError, pack, request

KIB = 1 << 10
MIB = 1 << 20


class Limits(Case):
    REGIONS = "regions: [{name: main}]"

    def configured(self, *lines):
        server = self.server(config="{}")
        self.configure(server, self.REGIONS, *lines)
        return server.start()

    @staticmethod
    def configure(server, *lines):
        server.write_config("".join(line + "\n" for line in (
            f"data_dir: {server.data_dir}", "listen:", f"  - unix: {server.path('s')}",
            "  - tcp: 127.0.0.1:0", *lines)))

    def reload(self, server, *lines):
        self.configure(server, *lines)
        server.signal(signal.SIGHUP)
        server.wait_log("reloaded the configuration")

    def connect_to(self, address):
        client = Client(address)
        self.addCleanup(client.close)
        return client

    def assert_turned_away(self, address):
        client = self.connect_to(address)
        self.assertEqual(client.wait_closed(), [])

    def assert_counts(self, client, **counts):
        info = client.call("serverInfo")
        self.assertEqual({key: info[key] for key in counts}, counts)


class Connections(Limits):
    def test_of_one_peer(self):
        server = self.configured("max_connections_per_peer: 3")
        local = [self.connect_to(server.unix) for _ in range(3)]
        remote = [self.connect_to(server.tcp) for _ in range(3)]  # that is somebody else
        for client in (*local, *remote):
            self.assertEqual(client.call("ping"), "pong")
        self.assert_turned_away(server.unix)
        self.assert_turned_away(server.tcp)
        server.wait_log(r"uid.*refused: max_connections_per_peer, 3, are open")
        server.wait_log(r"127\.0\.0\.1 .*refused: max_connections_per_peer, 3, are open")
        self.assert_counts(local[0], connections=6, connections_refused=2)
        with socket.create_connection(server.tcp, source_address=("127.0.0.2", 0)) as neighbor:
            neighbor.sendall(request(7, "ping", []))
            self.assertEqual(neighbor.recv(100), pack([1, 7, None, "pong"]))
        local[2].close()
        remote[2].close()
        while local[0].call("serverInfo")["connections"] > 4:
            pass
        for address in (server.unix, server.tcp):
            self.assertEqual(self.connect_to(address).call("ping"), "pong")
            self.assert_turned_away(address)
        self.reload(server, self.REGIONS)
        self.assertEqual(self.connect_to(server.unix).call("ping"), "pong")
        server.stop()

    def test_turned_away_at_a_bounded_rate_of_lines(self):
        server = self.configured("max_connections: 1")
        client = self.connect_to(server.unix)
        self.assertEqual(client.call("ping"), "pong")
        began = time.monotonic()
        for _ in range(300):
            self.assert_turned_away(server.unix)
        seconds = time.monotonic() - began + 2
        self.assert_counts(client, connections=1, connections_total=301, connections_refused=300)
        self.assertLessEqual(server.log().count("refused: max_connections, 1, are open"),
                             10 * seconds)
        server.stop()


class Time(Limits):
    def test_peers_that_have_vanished(self):
        """Of a machine that lost its power nothing comes, not even an end: the kernel has to ask."""
        server = self.configured()
        client = self.connect_to(server.tcp)
        self.assertEqual(client.call("ping"), "pong")
        ends = [f"0100007F:{port:04X}" for port in (server.tcp[1], client.socket.getsockname()[1])]
        with open("/proc/net/tcp", encoding="ascii") as file:
            timers = [line.split()[5] for line in file if line.split()[1:3] == ends]
        self.assertEqual([timer[:2] for timer in timers], ["02"])  # keepalive
        server.stop()

    def test_idle(self):
        """Who sends nothing, and who does not read, are closed; who asks now and then is not."""
        server = self.configured("idle_timeout: 1s")
        busy = self.connect_to(server.unix)
        address = busy.call("addBlob", "main", bytes(MIB))
        deaf = self.connect_to(server.unix)
        for _ in range(20):
            deaf.send("loadBlob", "main", address, MIB)
        for address in (server.unix, server.tcp):
            client = self.connect_to(address)
            self.assertEqual(client.call("ping"), "pong")
            while not client.readable(0.1):
                self.assertEqual(busy.call("ping"), "pong")
            self.assertEqual(client.wait_closed(), [])
        server.wait_log("closed: nothing has moved for idle_timeout, 1000 ms$")
        while busy.call("serverInfo")["connections_timed_out"] < 3:
            time.sleep(0.1)
        server.wait_log("closed: nothing has moved for idle_timeout, 1000 ms; it does not take")
        self.assertLess(len(deaf.wait_closed()), 20)
        self.assert_counts(busy, connections=1, connections_timed_out=3, buffered=0)
        server.stop()

    @unittest.skipIf(FAULT is None, "a preloaded library and AddressSanitizer do not get along")
    def test_who_waits_for_the_disk_is_not_idle(self):
        server = self.server(config="{}")
        self.configure(server, self.REGIONS, "idle_timeout: 1s")
        server.env.update(LD_PRELOAD=FAULT, MREGION_FAULT=server.path("rules"))
        server.start()
        waiting, idle = self.connect_to(server.unix), self.connect_to(server.unix)
        waiting.call("addBlob", "main", b"first")
        with open(server.path("rules"), "w", encoding="ascii") as file:
            file.write("fdatasync hold journal\n")
        self.addCleanup(lambda: os.path.exists(server.path("rules")) and
                        os.unlink(server.path("rules")))
        msgid = waiting.send("addBlob", "main", b"second")
        self.assertEqual(idle.wait_closed(), [])
        late = self.connect_to(server.unix)
        self.assertEqual(late.wait_closed(), [])  # which takes longer than the timeout once more
        self.assertFalse(waiting.readable(0))
        os.unlink(server.path("rules"))
        self.assertEqual(waiting.wait(msgid), 5)
        self.assert_counts(waiting, connections_timed_out=2)
        server.stop()

    def test_an_upload_has_a_time_of_its_own(self):
        server = self.configured("idle_timeout: 1s", "upload_timeout: 2s")
        busy, uploader = self.connect_to(server.unix), self.connect_to(server.unix)
        uploader.call("beginBlob", "main", 10)
        while busy.call("serverInfo")["uploads"] > 0:
            self.assert_counts(busy, connections_timed_out=0)
            time.sleep(0.1)
        while busy.call("serverInfo")["connections_timed_out"] == 0:
            time.sleep(0.1)
        self.assertEqual(uploader.wait_closed(), [])
        server.stop()

    def test_messages(self):
        """Whoever drips is closed, whoever is slow but steady is not, nor who pauses in between."""
        server = self.configured("message_timeout: 1s")
        steady, pausing, dripping = (self.connect_to(server.tcp) for _ in range(3))
        silent = self.connect_to(server.unix)
        self.assertEqual(pausing.call("ping"), "pong")
        silent.send_raw(b"\x94")
        message = request(1, "addBlob", ["main", bytes(256 * KIB)])
        drops = iter(message[:1000])
        size = len(message) // 20
        for start in range(0, len(message), size):
            steady.send_raw(message[start:start + size])
            time.sleep(0.1)
        self.assertEqual(steady.wait(1), 0)
        self.assertEqual(silent.wait_closed(), [])
        try:
            while True:
                dripping.send_raw(bytes([next(drops)]))
                time.sleep(0.02)
        except OSError:
            pass
        self.assertEqual(dripping.wait_closed(), [])
        server.wait_log("closed: a message, of which 1 bytes have come, is not whole after "
                        "message_timeout, 1000 ms")
        self.assertEqual(pausing.call("ping"), "pong")
        self.assert_counts(pausing, connections=2, connections_timed_out=2, buffered=0)
        server.stop()

    def test_memory_that_others_wait_for(self):
        """Who takes an answer byte by byte, or sends a message so, makes way; who reads on does not,
        though he reads in small pieces."""
        server = self.configured("stall_timeout: 1s", "max_message: 4MiB", "max_buffered: 4MiB")
        other = self.connect_to(server.unix)
        other.call("createRegion", "uncached", {"page_cache": 0})
        address = other.call("addBlob", "uncached", bytes(3 * MIB))
        sipping, dripping, steady = (self.connect_to(server.unix) for _ in range(3))
        dripping.send_raw(request(1, "addBlob", ["main", bytes(4000 * KIB)])[:2500 * KIB])
        for client in (sipping, steady):
            client.send("loadBlob", "uncached", address, 3 * MIB)
            self.assertTrue(client.readable(client.timeout))
        waiting = [self.connect_to(server.unix) for _ in range(8)]
        for client in waiting:
            client.send("loadBlob", "uncached", address, MIB)
        taken = 0
        while other.call("serverInfo")["connections_timed_out"] < 2:
            sipping.socket.recv(1)
            try:
                dripping.socket.send(b"x")
            except OSError:
                pass
            for client in waiting:
                if client.readable(0):
                    client._fill()
            if taken < 2 * MIB:
                taken += len(steady.socket.recv(64 * KIB))
            time.sleep(0.05)
        server.wait_log("which others wait for, and has hardly moved for "
                        "stall_timeout, 1000 ms", 2)
        while taken < 3 * MIB:
            taken += len(steady.socket.recv(MIB))
        for client in waiting:
            self.assertEqual(len(client.wait(0)), MIB)
        self.assert_counts(other, connections_timed_out=2)
        server.stop()

    def test_beginnings_that_others_wait_for(self):
        """Small ones too, once they are too many; whoever waited meanwhile is served."""
        server = self.configured("stall_timeout: 1s", "max_message: 1MiB", "max_buffered: 1MiB")
        other = self.connect_to(server.unix)
        message = request(1, "addBlob", ["main", bytes(60 * KIB)])
        clients = [self.connect_to(server.tcp) for _ in range(80)]
        for client in clients:
            client.send_raw(message[:40 * KIB])
        while other.call("serverInfo")["connections_timed_out"] == 0:
            self.assertLess(other.call("serverInfo")["buffered"], 3 * MIB)
            time.sleep(0.05)
        clients[-1].send_raw(message[40 * KIB:])
        clients[-1].wait(1)
        server.wait_log("which others wait for, and has hardly moved for stall_timeout, 1000 ms")
        other.call("addBlob", "main", bytes(60 * KIB))
        server.stop()

    def test_waiting_for_memory_is_no_fault_of_the_client(self):
        server = self.configured("message_timeout: 1s", "max_message: 1MiB", "max_buffered: 1MiB")
        holders = [self.connect_to(server.unix) for _ in range(2)]
        waiting, other = self.connect_to(server.unix), self.connect_to(server.unix)
        held = 0
        message = request(1, "addBlob", ["main", bytes(1000 * KIB)])
        for holder in holders:  # one fills the memory, one goes beyond it
            holder.send_raw(message[:-1])
            held += len(message) * 9 // 10
            while other.call("serverInfo")["buffered"] < held:
                time.sleep(0.01)
        waiting.send_raw(message[:70 * KIB])
        time.sleep(5.8)  # more than a second, and one more for each 16 KiB
        for client in holders:
            client.send_raw(message[-1:])
            client.wait(1)
        time.sleep(0.6)  # it is read from again, and its time is looked at
        waiting.send_raw(message[70 * KIB:])
        waiting.wait(1)
        server.stop()


class Amounts(Limits):
    def test_regions(self):
        server = self.configured("max_regions: 3")
        client = self.connect_to(server.unix)
        client.call("createRegion", "second")
        client.call("createRegion", "third")
        with self.assertRaises(RpcError) as caught:
            client.call("createRegion", "fourth")
        self.assertEqual(caught.exception.code, "busy")
        self.assertIn("max_regions, 3", caught.exception.sentence)
        with self.assertRaises(RpcError) as caught:
            client.call("createRegion", "third")
        self.assertEqual(caught.exception.code, "exists")
        self.assert_counts(client, regions=3, requests_failed=2)
        client.call("dropRegion", "second")
        client.call("createRegion", "fourth")
        self.reload(server, "max_regions: 1", "regions: [{name: main}, {name: fifth}]")
        server.wait_log("region fifth: created")
        self.assertEqual(client.call("listRegions"), ["fifth", "fourth", "main", "third"])
        server.stop()
        server.start()  # nor does it keep any from being opened
        self.assert_counts(self.connect_to(server.unix), regions=4)
        server.stop()

    def test_answers_that_nobody_reads(self):
        size, count = 16 * KIB, 400
        for most in (64 * KIB, MIB):
            server = self.configured(f"max_unread: {most // KIB}KiB")
            other = self.connect_to(server.unix)
            other.call("createRegion", "uncached", {"page_cache": 0})
            address = other.call("addBlob", "uncached", bytes(size))
            client = self.connect_to(server.unix)
            client.socket.sendall(request(1, "loadBlob", ["uncached", address, size]) * count)
            # what is owed grows to the limit, and then no further
            while other.call("serverInfo")["buffered"] < most - 2 * size:
                pass
            for _ in range(100):
                self.assertLess(other.call("serverInfo")["buffered"], most + 3 * size)
            for _ in range(count):
                self.assertEqual(client.receive(), (1, None, bytes(size)))
            self.assert_counts(other, buffered=0)
            server.stop()

    def test_what_fails_counts(self):
        server = self.configured()
        client = self.connect_to(server.unix)
        for _ in range(3):
            with self.assertRaises(RpcError):
                client.call("loadBlob", "main", 2**64 - 1, 1)
            with self.assertRaises(RpcError):
                client.call("noSuchMethod")
        client.notify("deallocate", "main", 0, 1)
        self.assert_counts(client, requests_failed=7, connections_failed=0)
        for data in (b"\xc1", pack([3, 1, "ping", []]), b"\x91" * 20):
            other = self.connect_to(server.unix)
            other.send_raw(data)
            self.assertEqual(other.wait_closed(), [])
        self.assert_counts(client, requests_failed=7, connections_failed=3)
        server.stop()


class Descriptors(Limits):
    """Where there are no file descriptors, clients wait to be accepted."""

    @staticmethod
    def cpu(server):
        """Seconds that the server has worked."""
        with open(f"/proc/{server.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_accepting_pauses_without_any(self):
        """Not even one to be accepted with: the server goes on with those whom it has, and takes the
        others in when there are some again."""
        server = self.configured()
        client = self.connect(server)
        self.assertEqual(client.call("ping"), "pong")
        limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        waiting = [Client(address) for address in (server.unix, server.tcp) * 20]
        for other in waiting:
            self.addCleanup(other.close)
            other.send("ping")
        server.wait_log("accepting pauses")
        worked, began = self.cpu(server), time.monotonic()
        while time.monotonic() < began + 1:
            self.assertEqual(client.call("ping"), "pong")
            time.sleep(0.05)
        # Whoever spins works all the time.
        self.assertLess(self.cpu(server) - worked, (time.monotonic() - began) / 2)
        self.assertEqual(client.call("serverInfo")["connections"], 1)
        self.assertGreater(client.call("serverInfo")["accept_pauses"], 0)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limits)
        for other in waiting:
            self.assertEqual(other.wait(0), "pong")
        self.assertEqual(client.call("serverInfo")["connections"], 1 + len(waiting))
        server.stop()


if __name__ == "__main__":
    unittest.main()
