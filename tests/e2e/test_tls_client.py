"""mrcli and libmregion over TLS: whom they trust, what they say when they do not, and connections
that break."""
import os
import shutil
import socket
import subprocess
import threading
import unittest

from bad import MIB
from server import DEADLINE, MRCLI
from tls import TlsCase


class Cut:
    """A port that passes everything on to another one; what comes back is cut off after so many
    bytes, on the first connection only."""

    def __init__(self, address, after):
        self.address, self.after = address, after
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.count = 0
        self.sockets = [self.listener]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.address)
            self.count += 1
            self.sockets += [client, server]
            left = [self.after if self.count == 1 else 1 << 60]
            for one, other, bounded in (client, server, False), (server, client, True):
                threading.Thread(target=self.carry, args=(one, other, left if bounded else [1 << 60]),
                                 daemon=True).start()

    @staticmethod
    def carry(one, other, left):
        try:
            while left[0] > 0 and (data := one.recv(min(65536, left[0]))):
                other.sendall(data)
                left[0] -= len(data)
        except OSError:
            pass
        for end in one, other:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        for one in self.sockets:
            one.close()


class ClientCase(TlsCase):
    def mrcli(self, server, *args, ca=True, stdin=b"", env=None, port=None, kind="tls",
              host="127.0.0.1"):
        address = server.tls or server.tcp
        options = ["--ca", self.authority.file] if ca else []
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MREGION_")}
        return subprocess.run(
            [MRCLI, "-s", f"{kind}:{host}:{port or address[1]}", "-r", "main", *options, *args],
            input=stdin, env={**environment, **(env or {})}, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, timeout=DEADLINE, check=False)

    def out(self, server, *args, **options):
        done = self.mrcli(server, *args, **options)
        self.assertEqual((done.returncode, done.stderr), (0, b""), args)
        return done.stdout

    def fails(self, status, pattern, server, *args, **options):
        done = self.mrcli(server, *args, **options)
        said = done.stderr.decode()
        self.assertEqual(done.returncode, status, (args, said))
        self.assertRegex(said, r"\Amrcli: " + pattern)
        self.assertEqual(said.count("\n"), 1, said)


class Blobs(ClientCase):
    def test_both_ways(self):
        """In one message, and, where that is too large, in many."""
        for more in (), ("max_message: 1MiB",):
            server = self.started(*more)
            for size in (0, 1, 20000, MIB - 100, 10 * MIB):
                blob = os.urandom(size)
                reference = self.out(server, "add", "-", stdin=blob).decode().strip()
                self.assertEqual(self.out(server, "load", reference), blob)
                self.assertEqual(self.out(server, "remove", reference), blob)

    def test_script(self):
        """Thousands of requests, one by one."""
        server = self.started()
        path = server.path("blob")
        with open(path, "wb") as file:
            file.write(os.urandom(3000))
        out = self.out(server, stdin=f"add {path}\n".encode() * 3000)
        self.assertEqual(len(set(out.split())), 3000)

    def test_by_name(self):
        server = self.started()
        self.assertEqual(self.out(server, "ping", host="localhost"), b"pong\n")
        self.assertEqual(self.out(server, "ping", ca=False, env={"MREGION_CA": self.authority.file}),
                         b"pong\n")


class Trust(ClientCase):
    def server_with(self, name, *more):
        return self.started(*more, certificate=name + ".pem", key=name + ".key")

    def test_authority(self):
        server = self.started()
        pattern = (r'the certificate of tls:127\.0\.0\.1:\d+ is not accepted: it comes from '
                   r'"authority", whom nobody here knows: .* \(--ca FILE\)')
        self.fails(69, pattern, server, "ping", ca=False)
        self.fails(69, pattern, server, "--ca", self.other.file, "ping")
        server.wait_log("closing: TLS: it does not know the authority of the certificate", count=2)
        self.assertEqual(self.out(server, "--insecure", "ping", ca=False), b"pong\n")

    def test_expired(self):
        """mregiond would not start with such a certificate, but run on."""
        self.authority.issue("expired", days=-1)
        server = self.started()
        listener = subprocess.Popen(
            ["openssl", "s_server", "-accept", "0", "-cert", self.file("expired.pem"), "-key",
             self.file("expired.key"), "-naccept", "1"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in listener.stdout:
            if line.startswith("ACCEPT"):
                break
        self.fails(69, r"the certificate of tls:\S+ is not accepted: it has expired, on \d{4}-\d\d-",
                   server, "ping", port=int(line.strip().rsplit(":", 1)[1]))
        listener.communicate(timeout=DEADLINE)

    def test_host(self):
        self.authority.issue("elsewhere", hosts="DNS:blobs.example.org,DNS:*.example.net,IP:192.0.2.7")
        server = self.server_with("elsewhere")
        for host in "127.0.0.1", "localhost":
            self.fails(69, r"the certificate of tls:\S+ is not accepted: it is for blobs\.example\."
                       rf"org, \*\.example\.net, 192\.0\.2\.7, and not for {host}: ", server, "ping",
                       host=host)
        for name in "blobs.example.org", "any.example.net", "192.0.2.7":
            self.assertEqual(self.out(server, "--server-name", name, "ping"), b"pong\n")
        self.authority.issue("nameless", hosts="")
        self.fails(69, r".* is not accepted: it is for nameless, and not for 127\.0\.0\.1: ",
                   self.server_with("nameless"), "ping")
        # An address of five bytes, and one of none: no name, and nothing is read behind them.
        self.authority.issue("crooked", hosts="DER:30:11:82:06:68:6f:73:74:2e:61:87:05:01:02:03:04:05:87:00")
        self.fails(69, r".* is not accepted: it is for host\.a, and not for 127\.0\.0\.1: ",
                   self.server_with("crooked"), "ping")
        self.fails(69, ".* and not for example.net", server, "--server-name", "example.net", "ping")

    def test_client_certificate(self):
        server = self.started("tls_clients: required", f"tls_ca: {self.authority.file}")
        good = ("--cert", self.file("client.pem"), "--key", self.file("client.key"))
        self.assertEqual(self.out(server, *good, "ping"), b"pong\n")
        self.assertEqual(self.out(server, "ping", env={"MREGION_CERT": good[1],
                                                       "MREGION_KEY": good[3]}), b"pong\n")
        self.fails(77, r"unauthenticated: tls:\S+: it wants to see a certificate, and there is none: "
                   r".*\(--cert, --key\)", server, "ping")
        self.fails(77, "unauthenticated: tls:", server, "--cert", self.file("stranger.pem"), "--key",
                   self.file("stranger.key"), "ping")

    def test_files(self):
        server = self.started()
        certificate = ("--cert", self.file("client.pem"))
        with open(server.path("empty"), "wb"):
            pass
        self.fails(74, "cannot read the certificate of an authority /missing: No such file", server,
                   "--ca", "/missing", "ping")
        self.fails(74, r"\S+/empty holds no certificate of an authority in PEM", server,
                   "--ca", server.path("empty"), "ping")
        self.fails(74, "cannot read the certificate /missing", server, "--cert", "/missing", "--key",
                   "/missing", "ping")
        self.fails(74, "cannot read the key /missing", server, *certificate, "--key", "/missing",
                   "ping")
        self.fails(74, r"\S+/empty holds no key in PEM", server, *certificate, "--key",
                   server.path("empty"), "ping")
        self.fails(74, "the key .* is not that of the certificate", server, *certificate, "--key",
                   self.file("server.key"), "ping")
        self.fails(64, "a certificate and its key go together", server, *certificate, "ping")

    def test_without_tls(self):
        server = self.started()
        self.fails(69, r"tcp:\S+ does not speak as mregiond does: it speaks TLS, for which an address "
                   "begins with tls:", server, "ping", kind="tcp")
        plain = self.started(listen="tcp: 127.0.0.1:0")
        self.fails(69, r"no TLS with tls:\S+: it has closed the connection; without TLS an address "
                   "begins with tcp:", plain, "ping")


class Broken(ClientCase):
    def test_answers_that_are_cut_off(self):
        server = self.started()
        blob = os.urandom(3 * MIB)
        reference = self.out(server, "add", "-", stdin=blob).decode().strip()
        for after in (0, 100, 1000, 5000, MIB, 3 * MIB):
            cut = Cut(server.tls, after)
            done = self.mrcli(server, "load", reference, port=cut.port)
            if after < 1000:  # in the handshake: there is no connection yet that could be made again
                self.assertEqual(done.returncode, 69, done.stderr)
            else:
                self.assertEqual((done.returncode, done.stderr), (0, b""))
                self.assertEqual(done.stdout, blob)
                self.assertEqual(cut.count, 2)
            cut.close()

    def test_restart(self):
        """The connection is made again, to the same server only."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        for name in "pem", "key":
            shutil.copy(self.file("server." + name), self.file("now." + name))
        server = self.server(config=self.config(certificate="now.pem", key="now.key",
                                                listen=f"tls: 127.0.0.1:{port}")).start()
        client = subprocess.Popen(
            [MRCLI, "-s", f"tls:127.0.0.1:{port}", "--ca", self.authority.file, "--keep-going"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

        def say(line):
            client.stdin.write(line + "\n")
            client.stdin.flush()
            return client.stdout.readline()

        self.assertEqual(say("ping"), "pong\n")
        server.stop()
        server.start()
        self.assertEqual(say("ping"), "pong\n")
        server.kill()
        server.start()
        self.assertEqual(say("ping"), "pong\n")
        server.stop()
        for name in "pem", "key":
            shutil.copy(self.file("stranger." + name), self.file("now." + name))
        server.start()
        self.assertRegex(say("ping"), r'is not accepted: it comes from "other", whom nobody here knows')
        client.communicate(timeout=DEADLINE)
        server.stop()

    def test_silent_server(self):
        server = self.started()
        with socket.create_server(("127.0.0.1", 0)) as silent:
            self.fails(69, r"no TLS with tls:\S+: Connection timed out", server, "--timeout", "1s",
                       "ping", port=silent.getsockname()[1])

    def test_chatty_server(self):
        """Something else than TLS."""
        server = self.started()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            def talk():
                for data in b"SSH-2.0-OpenSSH_9.2\r\n", b"\x15\x03\x03\x00\x02\x02\x46":
                    connection, _ = listener.accept()
                    connection.sendall(data)
                    connection.recv(65536)
                    connection.close()
            thread = threading.Thread(target=talk)
            thread.start()
            port = listener.getsockname()[1]
            self.fails(69, r"no TLS with tls:\S+: it does not speak TLS", server, "ping", port=port)
            self.fails(69, r"no TLS with tls:\S+: it speaks none of the versions", server, "ping",
                       port=port)
            thread.join()


if __name__ == "__main__":
    unittest.main()
