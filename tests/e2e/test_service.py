"""mregiond as a service: readiness, watchdog, socket activation, its end."""
import os
import re
import shutil
import signal
import socket
import sys
import unittest

from case import Case
from notify import NotifySocket
from server import DEADLINE


class Notify(Case):
    def start_with_notify(self, **env):
        server = self.server()
        notify = NotifySocket(server.path("notify"))
        self.addCleanup(notify.close)
        server.env.update(NOTIFY_SOCKET=notify.path, **env)
        server.start(wait=False)
        notify.wait("READY=1")
        return server, notify

    def test_ready_means_that_it_accepts(self):
        server, notify = self.start_with_notify()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(server.path("s"))
        self.assertTrue(notify.wait("STATUS=")[0])
        server.wait_log(r"\bready\b")
        self.assert_serves(server)

    def test_stopping(self):
        server, notify = self.start_with_notify()
        server.wait_log(r"\bready\b")
        server.stop()
        notify.wait("STOPPING=1")
        self.assertLess(notify.lines.index("READY=1"), notify.lines.index("STOPPING=1"))

    def test_watchdog(self):
        server, notify = self.start_with_notify(WATCHDOG_USEC="1000000")
        notify.wait("WATCHDOG=1", count=3)
        server.wait_log(r"\bready\b")
        server.stop()

    def test_no_watchdog_unless_asked(self):
        server, notify = self.start_with_notify()
        server.wait_log(r"\bready\b")
        server.stop()
        notify.wait("STOPPING=1")
        self.assertNotIn("WATCHDOG=1", notify.lines)

    def test_reload_is_announced_and_ends(self):
        server, notify = self.start_with_notify()
        server.wait_log(r"\bready\b")
        server.signal(signal.SIGHUP)
        server.wait_log(r"reload")
        self.assert_serves(server)
        # Whoever says RELOADING must say READY again, or the service manager waits for ever.
        notify.wait("RELOADING=1")
        notify.wait("READY=1", count=2)
        server.stop()
        notify.wait("STOPPING=1")


# A service manager of few lines: passes a Unix socket that was bound under the umask.
MANAGER = """
import os, socket, sys
os.umask(int(sys.argv[2], 8))
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
if listener.fileno() != 3:
    os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[3], sys.argv[3:])
"""


class PassedSocket(Case):
    def make(self, umask):
        server = self.server(listen=[])
        server.command[:0] = [sys.executable, "-c", MANAGER, server.path("s"), umask]
        return server

    def test_everybody_may_not_connect_without_users(self):
        server = self.make("000")
        status, log = server.run()
        self.assert_refused(status, log, "cannot listen on unix:.*as long as there are no users")
        server = self.make("007")
        server.start()
        self.assert_serves(server)
        server.stop()


@unittest.skipUnless(shutil.which("systemd-socket-activate"), "systemd-socket-activate is not here")
class Activation(Case):
    def test_inherited_sockets(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = self.server(listen=[], wrapper=["systemd-socket-activate"])
        server.command[1:1] = ["-l", server.path("s"), "-l", f"127.0.0.1:{port}"]
        server.start(wait=False)
        server.wait_log("Listening on .*as 4")
        for family, address in ((socket.AF_UNIX, server.path("s")),
                                (socket.AF_INET, ("127.0.0.1", port))):
            with socket.socket(family) as client:
                client.settimeout(DEADLINE)
                client.connect(address)
                client.sendall(b"\x94\x00\x01\xa4ping\x90")
                self.assertEqual(client.recv(100), b"\x94\x01\x01\xc0\xa4pong")
        server.wait_log(r"\bready\b")
        listeners = {line.split("listening on ")[1] for line in server.log().split("\n")
                     if "listening on" in line and "mregiond" in line or line.startswith("listening")}
        self.assertEqual(listeners, {"unix:" + server.path("s"), f"tcp:127.0.0.1:{port}"})
        server.stop()
        self.assertTrue(os.path.exists(server.path("s")), "the service manager's socket was removed")


class Life(Case):
    def test_sigint_stops_too(self):
        server = self.server().start()
        server.signal(signal.SIGINT)
        self.assertEqual(server.wait(), 0)

    def test_stops_with_idle_connections(self):
        server = self.server().start()
        clients = [socket.create_connection(server.tcp) for _ in range(20)]
        self.assert_serves(server)
        server.stop()
        for client in clients:
            client.settimeout(DEADLINE)
            self.assertEqual(client.recv(1), b"")
            client.close()

    def test_memory_when_idle(self):
        if os.environ.get("MREGION_ASAN"):
            self.skipTest("ASan's shadow memory is not ours")
        server = self.server().start()
        self.assert_serves(server)
        with open(f"/proc/{server.process.pid}/status", encoding="ascii") as file:
            kib = int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1])
        print(f"resident when idle: {kib} KiB", file=sys.stderr)
        self.assertLess(kib, 10 * 1024)
        server.stop()

    def test_restart_many_times(self):
        server = self.server()
        addresses = []
        for number in range(10):
            server.start()
            client = self.connect(server)
            for old, address in enumerate(addresses):
                self.assertEqual(client.call("loadBlob", "main", address, 100), bytes([old]) * 100)
            addresses.append(client.call("addBlob", "main", bytes([number]) * 100))
            if number % 2:
                server.stop()
            else:
                server.kill()


if __name__ == "__main__":
    unittest.main()
