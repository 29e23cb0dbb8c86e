"""Where mregiond listens, and where it refuses to."""
import os
import re
import socket
import stat
import unittest

from case import Case


class Sockets(Case):
    def test_mode_and_removal(self):
        for mode in (0o600, 0o660, 0o664):
            server = self.server(config="listen: []\n", regions=["main"])
            server.write_config(f"listen:\n  - unix: {server.path('s')}\n    mode: {mode:04o}\n")
            server.start()
            self.assertEqual(stat.S_IMODE(os.stat(server.path("s")).st_mode), mode)
            server.stop()
            self.assertFalse(os.path.exists(server.path("s")), "the socket file is still there")

    def test_stale_is_replaced(self):
        server = self.server().start()
        server.kill()
        self.assertTrue(os.path.exists(server.path("s")))
        server.start()
        self.assert_serves(server)
        server.stop()

    def test_live_is_refused(self):
        first = self.server().start()
        second = self.server(listen=["unix:" + first.path("s")])
        status, log = second.run()
        self.assert_refused(status, log, re.escape(first.path("s")), "in use|already|live")
        self.assert_serves(first)

    def test_file_that_is_no_socket_is_left_alone(self):
        server = self.server()
        with open(server.path("s"), "w", encoding="ascii") as file:
            file.write("precious")
        status, log = server.run()
        self.assert_refused(status, log, re.escape(server.path("s")))
        with open(server.path("s"), encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")

    def test_what_is_no_socket_is_left_alone(self):
        """Nor is anything made, or removed, where a link leads to, be it to a socket that is stale."""
        stale = self.server().start()
        stale.kill()
        makers = {
            "link to a stale socket": lambda path: os.symlink(stale.path("s"), path),
            "dangling link": lambda path: os.symlink(path + ".nothing", path),
            "link to a folder": lambda path: os.symlink("/tmp", path),
            "folder": os.mkdir,
            "pipe": os.mkfifo,
        }
        for what, make in makers.items():
            server = self.server()
            make(server.path("s"))
            before = os.lstat(server.path("s"))
            status, log = server.run()
            self.assert_refused(status, log, re.escape(server.path("s")) + ".* not a socket")
            self.assertEqual(os.lstat(server.path("s")).st_ino, before.st_ino, what)
            self.assertFalse(os.path.exists(server.path("s.nothing")), what)
        self.assertTrue(stat.S_ISSOCK(os.stat(stale.path("s")).st_mode))

    def test_a_file_that_took_its_place_is_not_removed(self):
        server = self.server().start()
        os.unlink(server.path("s"))
        with open(server.path("s"), "w", encoding="ascii") as file:
            file.write("precious")
        server.stop()
        self.assertTrue(os.path.exists(server.path("s")))

    def test_port_in_use(self):
        first = self.server(listen=["tcp:127.0.0.1:0"]).start()
        second = self.server(listen=["tcp:127.0.0.1:%d" % first.tcp[1]])
        status, log = second.run()
        self.assert_refused(status, log, "127.0.0.1:%d" % first.tcp[1], "in use")
        self.assert_serves(first)

    def test_only_loopback(self):
        for address in ("tcp:0.0.0.0:0", "tcp:[::]:0", "tcp:192.0.2.1:0"):
            status, log = self.server(listen=[address]).run()
            self.assert_refused(status, log, "loopback")
        status, log = self.server(listen=["tcp:example.org:0"]).run()
        self.assert_refused(status, log, "a numeric address or localhost")

    def test_unreachable_socket_folder(self):
        server = self.server()
        path = server.path("missing/s")
        server.command[server.command.index("unix:" + server.path("s"))] = "unix:" + path
        status, log = server.run()
        self.assert_refused(status, log, re.escape(path), "No such file or directory")

    def test_peer_is_logged(self):
        server = self.server(config="log_level: debug\nlisten: []\n", regions=["main"])
        server.write_config(f"log_level: debug\nlisten:\n  - unix: {server.path('s')}\n")
        server.start()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(server.path("s"))
            server.wait_log(rf"pid\D{{1,3}}{os.getpid()}\b")
            server.wait_log(rf"uid\D{{1,3}}{os.getuid()}\b")
        server.stop()

    def test_max_connections(self):
        server = self.server(config="listen: []\n")
        server.write_config(f"max_connections: 3\nlisten:\n  - unix: {server.path('s')}\n")
        server.start()
        clients = [self.connect(server) for _ in range(3)]
        with socket.socket(socket.AF_UNIX) as fourth:
            fourth.connect(server.path("s"))
            self.assertEqual(fourth.recv(1), b"", "it was let in")
        server.wait_log("max_connections")
        for client in clients:
            self.assertEqual(client.call("serverInfo")["connections"], 3)
        clients[0].close()
        while clients[1].call("serverInfo")["connections"] == 3:
            pass
        self.assert_serves(server)
        server.stop()


if __name__ == "__main__":
    unittest.main()
