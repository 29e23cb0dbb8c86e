"""Users over TLS: who is known by a certificate, where a password may be sent, and what a reload may
not take away."""
import os
import signal
import ssl
import subprocess
import unittest

from mpack import Client, RpcError, request
from server import DEADLINE, MRCLI
from test_users import ALICE, HASHES, find_in_memory, own_address, user
from tls import Pipe, TlsCase, context_for

SUBJECT = r"'CN=backup,O=Example\, Inc'"
BACKUP = user("backup", "main:write", certificate=SUBJECT)
USERS = [BACKUP, user("alice", "*:admin", password=ALICE)]


class UsersCase(TlsCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.authority.issue("guest", "/O=Example, Inc/CN=guest")
        cls.other.issue("false", "/O=Example, Inc/CN=backup")

    def config(self, *more, users=(), clients=None, **options):
        if clients is not None:
            more = (f"tls_clients: {clients}", f"tls_ca: {self.authority.file}", *more)
        return super().config(*more, "users:\n" + "".join(users) if users else "", **options)

    def known_as(self, name):
        """A client that shows that certificate."""
        return {"certificate": self.file(name + ".pem"), "key": self.file(name + ".key")}

    def reload(self, server, config, pattern="reloaded the configuration"):
        count = sum(pattern in line for line in server.lines if line)
        server.write_config(config)
        server.signal(signal.SIGHUP)
        server.wait_log(pattern, count + 1)

    def refused(self, client, code, method, *params):
        with self.assertRaises(RpcError) as caught:
            client.call(method, *params)
        self.assertEqual(caught.exception.code, code, caught.exception)
        return caught.exception.sentence

    def assert_is(self, client, name, by):
        told = client.call("whoAmI")
        self.assertEqual((told["user"], told["by"]), (name, by))

    def mrcli(self, address, *args, env=None, ca=True):
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith("MREGION_")}
        options = ["--ca", self.authority.file] if ca else []
        return subprocess.run([MRCLI, "-s", address, "-o", "json", *options, *args],
                              env={**environment, **(env or {})}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=DEADLINE, check=False)


class Certificates(UsersCase):
    def test_who_has_it_is_the_user(self):
        server = self.started(users=USERS, clients="optional")
        for number, version in enumerate((ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3), 1):
            client = self.client(server, version=version, **self.known_as("client"))
            self.assert_is(client, "backup", "certificate")
            client.call("addBlob", "main", b"x")
            self.refused(client, "denied", "checkpoint", "main")
            server.wait_log(rf'audit: user=backup peer="connection {number} \(tls, .*" '
                            "act=authenticate by=certificate result=ok")
        client.call("authenticate", "alice", ALICE)
        self.assert_is(client, "alice", "password")
        client.call("checkpoint", "main")

    def test_others_are_nobody(self):
        server = self.started(users=USERS, clients="optional")
        for shown in self.known_as("guest"), {}:
            client = self.client(server, **shown)
            self.assert_is(client, None, None)
            self.refused(client, "unauthenticated", "addBlob", "main", b"x")
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            self.client(server, **self.known_as("false")).call("whoAmI")
        self.assertNotIn("audit: user=backup", server.log())

    def test_not_asked_for(self):
        """A certificate that nobody has verified makes nobody a user."""
        server = self.started(users=USERS)
        for name in "client", "false":
            self.assert_is(self.client(server, **self.known_as(name)), None, None)

    def test_who_can_never_be_known_is_said(self):
        warning = "warning: users: nobody can be known as backup, by a certificate that no listener asks"
        server = self.started(users=USERS)
        server.wait_log(warning)
        self.reload(server, self.config(users=USERS, clients="optional"))
        self.assertEqual(server.log().count(warning), 1)
        self.reload(server, self.config(users=USERS), warning)
        self.assertEqual(server.log().count(warning), 2)

    def test_from_the_first_request_on(self):
        """It comes in one piece with the end of the handshake."""
        server = self.started(users=USERS, clients="required")
        pipe = Pipe(server.tls, context_for(self.authority, **self.known_as("client")))
        self.addCleanup(pipe.close)
        flights = []

        def send(data):
            """The first flight; what follows waits."""
            if flights:
                flights.append(data)
            else:
                flights.append(b"")
                pipe.socket.sendall(data)

        pipe.handshake(send)
        pipe.object.write(request(1, "addBlob", ["main", b"x"]))
        pipe.socket.sendall(b"".join(flights) + pipe.take())
        self.assertEqual(pipe.read(), b"\x94\x01\x01\xc0\x00")

    def test_reload(self):
        server = self.started(users=USERS, clients="optional")
        client = self.client(server, **self.known_as("client"))
        self.assert_is(client, "backup", "certificate")
        self.reload(server, self.config(clients="optional", users=[
            user("other", "main:read", certificate=SUBJECT)]))
        self.assert_is(client, "other", "certificate")
        self.refused(client, "denied", "addBlob", "main", b"x")
        self.reload(server, self.config(clients="optional", users=USERS[1:]))
        self.assert_is(client, None, None)

    def test_mrcli(self):
        server = self.started(users=USERS, clients="optional")
        address = f"tls:127.0.0.1:{server.tls[1]}"
        shown = ("--cert", self.file("client.pem"), "--key", self.file("client.key"))
        done = self.mrcli(address, *shown, "whoami")
        self.assertIn('"user":"backup"', done.stdout, done.stderr)
        self.assertIn('"by":"certificate"', done.stdout)
        done = self.mrcli(address, "-r", "main", "size")
        self.assertEqual(done.returncode, 77)
        self.assertIn("mrcli: unauthenticated: ", done.stderr)


class Passwords(UsersCase):
    def test_from_another_address(self):
        """Over TLS it is taken, and over plain TCP still not."""
        host = own_address(self)
        self.authority.issue("here", hosts=f"IP:{host},DNS:localhost")
        server = self.started(users=USERS, listen="{tls: '0.0.0.0:0'}, {tcp: '0.0.0.0:0'}",
                              certificate="here.pem", key="here.key")
        server.tls = (host, server.tls[1])
        client = self.client(server)
        self.assertIn("authenticate(user, password)",
                      self.refused(client, "unauthenticated", "size", "main"))
        self.refused(client, "unauthenticated", "authenticate", "alice", "wrong")
        client.call("authenticate", "alice", ALICE)
        self.assert_is(client, "alice", "password")
        with Client((host, server.tcp[1])) as plain:
            self.assertIn("only over TLS",
                          self.refused(plain, "denied", "authenticate", "alice", ALICE))
        self.check_mrcli(server, f"tls:{host}:{server.tls[1]}", f"tcp:{host}:{server.tcp[1]}")

    def check_mrcli(self, server, address, plain):
        alice = {"MREGION_PASSWORD": ALICE, "MREGION_USER": "alice"}
        done = self.mrcli(address, "whoami", env=alice)
        self.assertIn('"user":"alice"', done.stdout, done.stderr)
        count = server.log().count("audit:")
        for ca, *args in (False, plain, "ping"), (False, address, "--insecure", "ping"):
            done = self.mrcli(*args, env=alice, ca=ca)
            self.assertEqual(done.returncode, 77)
            self.assertRegex(done.stderr, r"\Amrcli: denied: a password is sent only over a Unix socket, "
                             "to loopback, or over TLS to a server whose certificate is verified")
        self.assertEqual(server.log().count("audit:"), count)

    def test_after_a_restart(self):
        """The server is another one in the middle of a script: mrcli says again who it is."""
        server = self.started(users=USERS)
        port = server.tls[1]
        server.write_config(self.config(users=USERS, listen=f"tls: 127.0.0.1:{port}"))
        environment = {**os.environ, "MREGION_PASSWORD": ALICE}
        with subprocess.Popen([MRCLI, "-s", f"tls:127.0.0.1:{port}", "--ca", self.authority.file,
                               "-r", "main", "-u", "alice"], env=environment,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            def ask(line):
                process.stdin.write(line + b"\n")
                process.stdin.flush()
                return process.stdout.readline()

            self.assertEqual(ask(b"allocate 7"), b"0+7\n")
            server.kill()
            server.start()
            self.assertEqual(ask(b"allocate 5"), b"7+5\n")
            process.stdin.close()
            self.assertEqual(process.wait(DEADLINE), 0)
        self.assertRegex(server.log(), "audit: user=alice .* act=authenticate by=password result=ok")

    def test_they_are_wiped(self):
        """Also where TLS has decrypted them."""
        server = self.started(users=USERS)
        client = self.client(server)
        client.call("authenticate", "alice", ALICE)
        whole = request(1, "authenticate", ["alice", ALICE])
        for part in whole[:-3], whole[-3:]:
            client.send_raw(part)
            with self.client(server) as other:
                other.call("ping")
        client.receive()
        self.refused(client, "unauthenticated", "authenticate", "backup", ALICE)
        # Behind others in one record, where nothing that comes later overwrites it.
        for count in 200, 500:
            client.send_raw(request(1, "ping", []) * count + whole)
            for _ in range(count + 1):
                client.receive()
        self.assertGreater(find_in_memory(self, server, HASHES[ALICE].encode()), 0)
        self.assertEqual(find_in_memory(self, server, ALICE.encode()), 0)


class Listeners(UsersCase):
    EVERYWHERE = "tls: '0.0.0.0:0'"

    def test_users_open_every_address(self):
        status, log = self.server(config=self.config(listen=self.EVERYWHERE)).run()
        self.assertEqual(status, 78)
        self.assertRegex(log, "configure users, or tls_clients: required with a tls_ca")
        server = self.started(users=USERS, listen=self.EVERYWHERE)
        server.tls = ("127.0.0.1", server.tls[1])
        self.reload(server, self.config(), "is open until a restart, and needs users")
        self.assert_is(self.client(server), None, None)
        self.reload(server, self.config(listen=self.EVERYWHERE, users=USERS[1:]))

    def test_who_was_nobody_does_not_become_everybody(self):
        """Connections stay open that nobody has asked for a certificate: users cannot be taken away
        any more, whatever is asked for from now on."""
        server = self.started(clients="required", listen=self.EVERYWHERE)
        server.tls = ("127.0.0.1", server.tls[1])
        without = self.config(listen=self.EVERYWHERE, clients="required")
        with_users = self.config(listen=self.EVERYWHERE, clients="required", users=USERS)
        self.reload(server, with_users)
        self.reload(server, without)
        self.reload(server, self.config(listen=self.EVERYWHERE, users=USERS))
        stranger = self.client(server)
        self.refused(stranger, "unauthenticated", "size", "main")
        self.reload(server, with_users)
        self.reload(server, without, "is open until a restart, and needs users")
        self.refused(stranger, "unauthenticated", "size", "main")


if __name__ == "__main__":
    unittest.main()
