"""TLS: who connects with what, what goes wrong and how it ends, and new certificates."""
import os
import random
import re
import shutil
import signal
import socket
import ssl
import struct
import threading
import time
import unittest

import msgpack

from bad import ASAN, MIB
from case import run
from mpack import request
from tls import Pipe, TlsCase, TlsClient, context_for, openssl

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


class Connections(TlsCase):
    def test_both_versions(self):
        server = self.started()
        for version in VERSIONS:
            self.assert_serves_tls(server, version=version)
        server.wait_log(r"listening on tls:127\.0\.0\.1:\d+")

    def test_only_the_newest(self):
        server = self.started("tls_minimum: 1.3")
        self.assert_serves_tls(server)
        with self.assertRaises(ssl.SSLError):
            self.client(server, version=ssl.TLSVersion.TLSv1_2)
        server.wait_log(r"closing: TLS: it wants an older version of TLS")

    def test_older_versions_are_refused(self):
        server = self.started()
        context = context_for(self.authority)
        context.set_ciphers("ALL@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        with self.assertRaises(ssl.SSLError):
            self.client(server, context)
        server.wait_log(r"closing: TLS: it wants an older version of TLS")
        self.assert_serves_tls(server)

    def test_large_blobs_both_ways(self):
        server = self.started()
        blobs = [os.urandom(size) for size in (1, 16383, 16384, 16385, 65536, 10 * MIB)]
        for version in VERSIONS:
            client = self.client(server, version=version)
            for blob in blobs:
                address = client.call("addBlob", "main", blob)
                self.assertEqual(client.call("loadBlob", "main", address, len(blob)), blob)

    def test_many_requests_in_flight(self):
        """More than the server takes at a time: it keeps what it has received encrypted."""
        server = self.started("max_pipeline: 3")
        pipe = Pipe(server.tls, context_for(self.authority))
        self.addCleanup(pipe.close)
        pipe.handshake()
        count = 20000
        for msgid in range(count):
            pipe.object.write(request(msgid, "addBlob", ["main", b"%06d" % msgid])
                              if msgid % 100 == 0 else request(msgid, "ping", []))
        # Python's TLS is not for two threads; what it has encrypted is.
        sender = threading.Thread(target=pipe.socket.sendall, args=(pipe.take(),))
        sender.start()
        unpacker, got = msgpack.Unpacker(), []
        while len(got) < count:
            data = pipe.read()
            self.assertNotEqual(data, b"")
            unpacker.feed(data)
            got.extend(message[1] for message in unpacker)
        sender.join()
        self.assertEqual(sorted(got), list(range(count)))

    def test_an_end_that_is_announced(self):
        """The client says that it sends no more, right behind its requests: all are answered."""
        server = self.started("max_pipeline: 2")
        for version in VERSIONS:
            pipe = Pipe(server.tls, context_for(self.authority, version=version))
            pipe.handshake()
            for msgid in range(200):
                pipe.object.write(request(msgid, "allocate", ["main", 10]))
            with self.assertRaises(ssl.SSLWantReadError):
                pipe.object.unwrap()
            pipe.socket.sendall(pipe.take())
            unpacker = msgpack.Unpacker()
            got = []
            while data := pipe.read():
                unpacker.feed(data)
                got += [message[1] for message in unpacker]
            self.assertEqual(sorted(got), list(range(200)))
            pipe.close()

    def test_orderly_stop(self):
        server = self.started()
        clients = [self.client(server, version=version) for version in VERSIONS]
        for client in clients:
            client.call("addBlob", "main", b"blob")
        waiting = socket.create_connection(server.tls)  # has not even begun
        server.stop()
        for client in clients:
            # Anything but an announced end would raise.
            self.assertEqual(client.wait_closed(), [])
        self.assertEqual(waiting.recv(1), b"")
        waiting.close()

    def test_memory_is_not_dumped(self):
        server = self.started()
        with open(f"/proc/{server.process.pid}/limits", encoding="ascii") as file:
            self.assertRegex(file.read(), r"Max core file size +0 +0 ")


class Clients(TlsCase):
    """Certificates of clients."""

    def assert_turned_away(self, server, reason, **options):
        for version in VERSIONS:
            # With 1.3 the client learns of it by its first answer.
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                self.client(server, version=version, **options).call("ping")
        server.wait_log("closing: TLS: " + reason, count=len(VERSIONS))

    def good(self):
        return {"certificate": self.file("client.pem"), "key": self.file("client.key")}

    def bad(self):
        return {"certificate": self.file("stranger.pem"), "key": self.file("stranger.key")}

    def test_required(self):
        server = self.started("tls_clients: required", f"tls_ca: {self.authority.file}")
        self.assert_serves_tls(server, **self.good())
        server.wait_log(r"TLSv1\.3, certificate: CN=backup,O=Example\\x5c, Inc")
        self.assert_turned_away(server, "it has shown no certificate, and must")
        self.assert_turned_away(server, "its certificate is not accepted: unable to get local issuer",
                                **self.bad())

    def test_optional(self):
        server = self.started("tls_clients: optional", f"tls_ca: {self.authority.file}")
        self.assert_serves_tls(server, **self.good())
        self.assert_serves_tls(server)
        self.assert_turned_away(server, "its certificate is not accepted", **self.bad())

    def test_expired(self):
        self.authority.issue("expired", days=-1)
        server = self.started("tls_clients: optional", f"tls_ca: {self.authority.file}")
        self.assert_turned_away(server, "its certificate is not accepted: certificate has expired",
                                certificate=self.file("expired.pem"), key=self.file("expired.key"))

    def test_every_address_where_clients_are_known(self):
        server = self.started("tls_clients: required", f"tls_ca: {self.authority.file}",
                              listen="tls: 0.0.0.0:0")
        server.tls = ("127.0.0.1", server.tls[1])
        self.assert_serves_tls(server, **self.good())
        for more in (), ("tls_clients: optional", f"tls_ca: {self.authority.file}"):
            status, log = self.server(config=self.config(*more, listen="tls: 0.0.0.0:0")).run()
            self.assertEqual(status, 78)
            self.assertRegex(log, r'mregiond\.yaml:1:10: the address "0\.0\.0\.0" is not on '
                             "loopback")


class Hostile(TlsCase):
    def test_plain_client(self):
        server = self.started()
        for data in (request(1, "ping", []), b"GET / HTTP/1.1\r\n\r\n", b"\x00", os.urandom(5000)):
            with socket.create_connection(server.tls) as plain:
                plain.sendall(data if data[0] != 0x16 else b"\x17" + data)
                # The record of an alert, and the end.
                self.assertEqual(plain.makefile("rb").read(), b"\x15\x03\x03\x00\x02\x02\x0a")
        server.wait_log("closing: TLS: it does not speak TLS, which is spoken here", count=4)
        self.assert_serves_tls(server)

    def test_plain_port(self):
        server = self.started(listen="tcp: 127.0.0.1:0")
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            TlsClient(server.tcp, context_for(self.authority))
        server.wait_log("closing: it speaks TLS, which is not spoken here")
        self.assert_serves(server)

    def test_stalled_handshake(self):
        server = self.started("tls_handshake: 300ms")
        pipe = Pipe(server.tls, context_for(self.authority))
        with self.assertRaises(ssl.SSLWantReadError):
            pipe.object.do_handshake()
        hello = pipe.take()
        beginnings = [b"", hello[:1], hello[:-1], hello]
        stalled = [socket.create_connection(server.tls) for _ in beginnings]
        for one, beginning in zip(stalled, beginnings):
            one.sendall(beginning)
        self.assert_serves_tls(server)
        for one in stalled:
            while one.recv(65536):
                pass
            one.close()
        server.wait_log(r"closed: no TLS handshake within tls_handshake, 300 ms", len(stalled))
        # Whoever is through has time.
        client = self.client(server)
        self.assertFalse(client.readable(1))
        self.assertEqual(client.call("ping"), "pong")
        pipe.close()

    def test_trickled(self):
        """Byte by byte: the handshake, and requests."""
        server = self.started()

        def trickle(data):
            for byte in data:
                pipe.socket.sendall(bytes([byte]))

        for version in VERSIONS:
            pipe = Pipe(server.tls, context_for(self.authority, version=version))
            pipe.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pipe.handshake(trickle)
            pipe.object.write(request(1, "addBlob", ["main", b"trickled"]))
            trickle(pipe.take())
            self.assertEqual(msgpack.unpackb(pipe.read())[:3], [1, 1, None])
            pipe.close()

    def test_records_that_drip(self):
        """A message is begun by the first byte of its record, though TLS shows nothing of it before the
        last; who has sent whole ones has time."""
        server = self.started("message_timeout: 1s")
        idle = self.client(server)
        self.assertEqual(idle.call("ping"), "pong")
        pipes = []
        for version in VERSIONS:
            for first in (1, 5, 6):  # within the record's header, with all of it, and more
                pipe = Pipe(server.tls, context_for(self.authority, version=version))
                self.addCleanup(pipe.close)
                pipe.socket.settimeout(idle.timeout)
                pipe.handshake()
                pipe.object.write(request(1, "addBlob", ["main", bytes(10000)]))
                pipe.data = pipe.take()
                pipe.socket.sendall(pipe.data[:first])
                pipes.append(pipe)
        dripping = pipes.pop()
        try:
            for byte in dripping.data[6:]:
                dripping.socket.sendall(bytes([byte]))
                time.sleep(0.02)
            self.fail("it was listened to, to the end")
        except OSError:
            pass  # closed
        for pipe in pipes:
            with self.assertRaises(OSError):
                while pipe.read():
                    pass
        server.wait_log("closed: a message, of which 0 bytes have come, is not whole after "
                        "message_timeout, 1000 ms", len(pipes) + 1)
        self.assertEqual(idle.call("ping"), "pong")
        self.assertEqual(idle.call("allocated", "main"), 0)

    def test_cut_off(self):
        """What had arrived whole is done, the rest is not, and nobody else notices."""
        server = self.started()
        witness = self.client(server)
        before = witness.call("allocated", "main")
        for cut in (0, 1, 20, 60):
            pipe = Pipe(server.tls, context_for(self.authority))
            pipe.handshake()
            pipe.object.write(request(1, "allocate", ["main", 100]))
            whole = pipe.take()
            pipe.object.write(request(2, "allocate", ["main", 1000000]))
            pipe.socket.sendall(whole + pipe.take()[:cut if cut < 40 else -1])
            self.assertEqual(msgpack.unpackb(pipe.read())[:3], [1, 1, None])
            if cut % 40 == 20:  # with a reset
                pipe.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       struct.pack("ii", 1, 0))
            pipe.close()
            before += 100
        self.assertEqual(witness.call("allocated", "main"), before)
        self.assert_serves_tls(server)

    def test_cut_off_within_an_answer(self):
        """The end of the socket, which anybody on the way can fake, in the middle of a large answer
        that is followed by another one: what comes of the first is its own bytes, to the end or not."""
        server = self.started()
        witness = self.client(server)
        small = b"B" * (300 << 10)
        at_small = witness.call("addBlob", "main", small)
        witness.call("loadBlob", "main", at_small, len(small))  # is at hand from now on
        cut = 0
        for attempt in range(24):
            large = random.Random(attempt).randbytes((4 << 20) + attempt * (96 << 10))
            at_large = witness.call("addBlob", "main", large)
            pipe = Pipe(server.tls, context_for(self.authority), receives=32 << 10)
            pipe.handshake()
            pipe.object.write(request(1, "loadBlob", ["main", at_large, len(large)]))
            pipe.object.write(request(2, "loadBlob", ["main", at_small, len(small)]))
            pipe.socket.sendall(pipe.take())
            got = bytearray()
            while len(got) < len(large) and not self.is_halfway(witness):
                for _ in range(8):
                    got += pipe.read()
            pipe.socket.shutdown(socket.SHUT_WR)
            time.sleep(0.02)
            try:
                while data := pipe.read():
                    got += data
            except ConnectionError:
                cut += 1
            pipe.close()
            header = len(msgpack.packb([1, 1, None, b""])) + 3  # of a bin of 32 bits
            self.assertEqual(bytes(got[header:header + len(large)]),
                             large[:max(len(got) - header, 0)], f"attempt {attempt}")
            witness.call("deallocate", "main", at_large, len(large))
        self.assertGreater(cut, 0)

    @staticmethod
    def is_halfway(witness):
        """Both requests of the youngest connection were executed, and one is not answered whole."""
        youngest = max(witness.call("connections")["connections"], key=lambda told: told["id"])
        return youngest["requests"] == 2 and youngest["in_flight"] == 1

    def test_changed_on_the_way(self):
        server = self.started()
        dice = random.Random(5)
        for _ in range(20):
            pipe = Pipe(server.tls, context_for(self.authority))
            pipe.handshake()
            pipe.object.write(request(1, "allocate", ["main", 100]))
            data = bytearray(pipe.take())
            data[dice.randrange(5, len(data))] ^= 1 << dice.randrange(8)
            pipe.socket.sendall(data)
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                pipe.read()
            pipe.close()
        server.wait_log("closing: TLS: bytes were changed on their way")
        self.assertEqual(self.client(server).call("allocated", "main"), 0)

    def test_garbage_in_the_handshake(self):
        server = self.started()
        dice = random.Random(6)
        pipe = Pipe(server.tls, context_for(self.authority))
        with self.assertRaises(ssl.SSLWantReadError):
            pipe.object.do_handshake()
        hello = pipe.take()
        pipe.close()
        for _ in range(100):
            data = bytearray(hello)
            for _ in range(dice.randrange(1, 20)):
                data[dice.randrange(1, len(data))] = dice.randrange(256)
            with socket.create_connection(server.tls) as bad:
                bad.sendall(data)
                bad.shutdown(socket.SHUT_WR)
                try:
                    while bad.recv(65536):
                        pass
                except ConnectionError:
                    pass
        self.assert_serves_tls(server)

    def test_slow_readers(self):
        """What they are owed stays on the disk, and the rest is bounded."""
        server = self.started("max_buffered: 64MiB")
        blob = os.urandom(20 * MIB)
        address = self.client(server).call("addBlob", "main", blob)
        before = self.memory(server)
        slow = [self.client(server) for _ in range(20)]
        for client in slow:
            for msgid in range(5):
                client.send_raw(request(msgid, "loadBlob", ["main", address, len(blob)]))
        self.assert_serves_tls(server)
        self.assertLess(self.memory(server) - before, (300 if ASAN else 40) * MIB)
        self.assertEqual(slow[0].receive(), (0, None, blob))
        # Whoever goes away in the middle leaves nothing behind.
        for client in slow:
            client.close()
        self.assert_serves_tls(server)

    def memory(self, server):
        with open(f"/proc/{server.process.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1]) * 1024


class Reload(TlsCase):
    def setUp(self):
        for name in ("server.pem", "server.key"):
            shutil.copy(self.file(name), self.file("now-" + name))
        self.authority.issue("next")

    def put(self, certificate, key):
        shutil.copy(self.file(certificate), self.file("now-server.pem"))
        shutil.copy(self.file(key), self.file("now-server.key"))

    def now(self, *more, **options):
        return self.config(*more, certificate="now-server.pem", key="now-server.key", **options)

    def reload(self, server, pattern):
        count = len(re.findall(pattern, server.log()))
        server.signal(signal.SIGHUP)
        server.wait_log(pattern, count + 1)

    def der(self, name):
        with open(self.file(name), encoding="ascii") as file:
            return ssl.PEM_cert_to_DER_cert(file.read())

    def test_new_certificate(self):
        server = self.server(config=self.now()).start()
        old = self.client(server)
        self.assertEqual(old.certificate(), self.der("server.pem"))
        self.put("next.pem", "next.key")
        blob = os.urandom(8 * MIB)
        address = old.call("addBlob", "main", blob)
        waiting = old.send("loadBlob", "main", address, len(blob))  # in the middle of this
        self.reload(server, "reloaded the configuration")
        self.assertEqual(old.wait(waiting), blob)
        self.assertEqual(old.call("ping"), "pong")
        new = self.client(server)
        self.assertEqual(new.certificate(), self.der("next.pem"))
        for client in (old, new):
            self.assertEqual(client.call("loadBlob", "main", address, len(blob)), blob)
        server.stop()

    def test_bad_files_change_nothing(self):
        server = self.server(config=self.now()).start()
        self.put("next.pem", "server.key")
        self.reload(server, "tls_key: .* is not the key of tls_certificate")
        server.wait_log("the configuration stays as it was")
        os.remove(self.file("now-server.pem"))
        self.reload(server, "tls_certificate: cannot read .*: No such file")
        self.assertEqual(self.client(server).certificate(), self.der("server.pem"))
        server.stop()

    def test_clients(self):
        """Who is there stays; who comes is asked."""
        server = self.server(config=self.now()).start()
        old = self.client(server)
        server.write_config(self.now("tls_clients: required", f"tls_ca: {self.authority.file}"))
        self.reload(server, "reloaded the configuration")
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            self.client(server).call("ping")
        self.assert_serves_tls(server, certificate=self.file("client.pem"),
                               key=self.file("client.key"))
        self.assertEqual(old.call("ping"), "pong")
        server.stop()

    def test_what_open_sockets_need(self):
        """A socket that others can reach does not lose what keeps strangers out."""
        known = ("tls_clients: required", f"tls_ca: {self.authority.file}")
        server = self.server(config=self.now(*known, listen="tls: 0.0.0.0:0")).start()
        server.tls = ("127.0.0.1", server.tls[1])
        server.write_config(self.now())
        self.reload(server, r"reload: refused: tls:0\.0\.0\.0:\d+ is open until a restart, and needs users, "
                            "or tls_clients: required")
        server.write_config("listen: []\n")
        self.reload(server, r"reload: refused: tls:0\.0\.0\.0:\d+ is open until a restart, and needs tls_certificate")
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            self.client(server).call("ping")
        self.assert_serves_tls(server, certificate=self.file("client.pem"),
                               key=self.file("client.key"))
        server.stop()


class Configuration(TlsCase):
    def refused(self, pattern, *more, env=None, **options):
        server = self.server(config=self.config(*more, **options), env=env)
        status, log = server.run()
        self.assertEqual(status, 78, log)
        self.assertRegex(log, pattern)
        self.assertFalse(os.path.exists(server.data_dir), "started half configured")
        done = run("--config", server.path("mregiond.yaml"), "--check-config", env=server.env)
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertRegex(done.stderr, pattern)

    def test_files(self):
        self.authority.issue("expired", days=-1)
        with open(self.file("empty"), "w", encoding="ascii"):
            pass
        with open(self.file("damaged"), "w", encoding="ascii") as file:
            file.write("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        with open(self.file("server.key"), encoding="ascii") as file:
            openssl("pkey", "-aes256", "-passout", "pass:x", "-out", self.file("locked"),
                    stdin=file.read().encode())
        for pattern, options in (
                (r"tls_certificate: cannot read \S+/missing: No such file", {"certificate": "missing"}),
                (r"tls_certificate: \S+ is not a file", {"certificate": "."}),
                (r"tls_certificate: \S+/empty holds no certificate: PEM", {"certificate": "empty"}),
                (r"tls_certificate: \S+/damaged is damaged: ", {"certificate": "damaged"}),
                (r"tls_certificate: \S+ has expired, on \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: put a "
                 "renewed", {"certificate": "expired.pem", "key": "expired.key"}),
                (r"tls_key: cannot read \S+/missing: No such file", {"key": "missing"}),
                (r"tls_key: \S+/empty holds no private key: PEM", {"key": "empty"}),
                (r"tls_key: \S+/locked is protected by a passphrase", {"key": "locked"}),
                (r"tls_key: \S+/client.key is not the key of tls_certificate",
                 {"key": "client.key"})):
            with self.subTest(pattern):
                self.refused(pattern, **options)
        self.refused(r"tls_ca: \S+/empty holds no certificate", "tls_clients: optional",
                     f"tls_ca: {self.file('empty')}")

    @unittest.skipIf(os.geteuid() != 0, "only root can become somebody who may not read a file")
    def test_unreadable_key(self):
        os.chmod(self.folder, 0o755)
        server = self.server(config=self.config())
        os.chmod(server.folder, 0o777)
        done = run("--config", server.path("mregiond.yaml"), "--check-config", user=65534, group=65534)
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertRegex(done.stderr, r"tls_key: cannot read \S+: Permission denied; the server runs "
                         "as user 65534, who has to be allowed to")

    def test_positions(self):
        server = self.server(config="listen:\n  - unix: /tmp/x\n  - tls: 127.0.0.1:0\n")
        status, log = server.run()
        self.assertEqual(status, 78, log)
        self.assertRegex(log, r"mregiond\.yaml:3:5: tls:127\.0\.0\.1:0 needs tls_certificate and ")
        done = run("--listen", "tls:127.0.0.1:0", "--check-config")
        self.assertEqual(done.returncode, 78)
        self.assertRegex(done.stderr, r"--listen: tls:127\.0\.0\.1:0 needs tls_certificate and ")

    def test_warnings(self):
        self.authority.issue("soon", days=3)
        os.chmod(self.file("soon.key"), 0o644)
        server = self.server(config=self.config(certificate="soon.pem", key="soon.key"))
        done = run("--config", server.path("mregiond.yaml"), "--check-config")
        self.assertEqual(done.returncode, 0, done.stderr)
        expires = r"warning: tls_certificate expires in [23] days, on \d{4}-\d\d-\d\d "
        everybody = r"warning: tls_key: everybody on this machine may read \S+/soon.key"
        self.assertRegex(done.stdout, expires)
        self.assertRegex(done.stdout, everybody)
        server.start()
        self.assertRegex(server.log(), expires)
        self.assertRegex(server.log(), everybody)
        self.assert_serves_tls(server)
        server.stop()

    def test_credentials(self):
        config = (f"listen: [tls: 127.0.0.1:0]\ntls_certificate: {self.file('server.pem')}\n"
                  "tls_key: ${CREDENTIALS_DIRECTORY}/server.key\nregions: [name: main]\n")
        server = self.server(config=config, env={"CREDENTIALS_DIRECTORY": self.folder}).start()
        self.assert_serves_tls(server)
        server.stop()
        status, log = self.server(config=config).run()
        self.assertEqual(status, 78)
        self.assertRegex(log, r"server\.key: CREDENTIALS_DIRECTORY is not set; .*LoadCredential=")

    @unittest.skipUnless(shutil.which("systemd-socket-activate"), "no systemd-socket-activate")
    def test_socket_from_the_service_manager(self):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        for config, fits in (self.config(listen=""), True), ("listen: []\n", False):
            server = self.server(config=config, listen=[], wrapper=[
                "systemd-socket-activate", "--listen", f"127.0.0.1:{port}", "--fdname=tls"])
            server.start(wait=False)
            server.wait_log(r"^Listening on")
            with socket.create_connection(("127.0.0.1", port)):  # starts it
                if not fits:
                    status = server.wait()
                    self.assert_refused(status, server.log(),
                                        "FileDescriptorName=tls: that takes .* tls_key")
                    continue
                server.wait_log(r"\bready\b")
                self.assert_serves_tls(server)
            server.stop()


if __name__ == "__main__":
    unittest.main()
