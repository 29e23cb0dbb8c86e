"""Certificates made with the openssl command, a client that speaks TLS with Python's library, and what
the tests of TLS share."""
import os
import shutil
import socket
import ssl
import subprocess
import tempfile

from case import Case
from mpack import Client

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def openssl(*args, stdin=None):
    subprocess.run(["openssl", *args], input=stdin, stdout=subprocess.DEVNULL,
                   stderr=subprocess.PIPE, check=True)


class Authority:
    """Issues certificates into a folder: NAME.pem and NAME.key."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        openssl("req", "-x509", *CURVE, "-days", "30", "-subj", f"/CN={name}",
                "-keyout", self.key(name), "-out", self.pem(name))
        self.file = self.pem(name)

    def pem(self, name):
        return os.path.join(self.folder, name + ".pem")

    def key(self, name):
        return os.path.join(self.folder, name + ".key")

    def issue(self, name, subject=None, hosts="DNS:localhost,IP:127.0.0.1", days=30):
        openssl("req", *CURVE, "-subj", subject or f"/CN={name}", "-keyout", self.key(name),
                "-out", self.pem(name) + ".request")
        with tempfile.NamedTemporaryFile("w", dir=self.folder) as extensions:
            extensions.write(f"subjectAltName={hosts}\n" if hosts else "\n")
            extensions.flush()
            openssl("x509", "-req", "-in", self.pem(name) + ".request", "-CA", self.file, "-CAkey",
                    self.key(self.name), "-days", str(days), "-extfile", extensions.name,
                    "-out", self.pem(name))
        os.chmod(self.key(name), 0o600)


class TlsClient(Client):
    """The same client over TLS."""

    def __init__(self, address, context):
        super().__init__(address)
        try:
            # An end that TLS has not announced is an error.
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost",
                                              suppress_ragged_eofs=False)
        except BaseException:
            self.socket.close()
            raise

    def send_raw(self, data):
        self.socket.sendall(data)

    def certificate(self):
        """The server's, in DER."""
        return self.socket.getpeercert(binary_form=True)


def context_for(authority, certificate=None, key=None, version=None):
    context = ssl.create_default_context(cafile=authority.file)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


class Pipe:
    """A client's end without a socket: what it wants to send can be cut anywhere."""

    def __init__(self, address, context, receives=None):
        self.socket = socket.socket(socket.AF_INET)
        if receives is not None:  # no more bytes on their way than about that
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        self.socket.connect(address)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def receive(self):
        """False at the end of the stream."""
        data = self.socket.recv(1 << 16)
        self.incoming.write(data)
        return bool(data)

    def take(self):
        return self.outgoing.read()

    def handshake(self, send=None):
        while True:
            try:
                self.object.do_handshake()
                (send or self.socket.sendall)(self.take())
                return
            except ssl.SSLWantReadError:
                (send or self.socket.sendall)(self.take())
                if not self.receive():
                    raise ConnectionError("closed in the handshake") from None

    def read(self):
        """The next bytes; empty at the end, which TLS has to announce."""
        while True:
            try:
                return self.object.read(1 << 16)
            except ssl.SSLWantReadError:
                if not self.receive():
                    raise ConnectionError("cut off") from None
            except ssl.SSLZeroReturnError:
                return b""

    def close(self):
        self.socket.close()


class TlsCase(Case):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="mregiond-tls.")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.authority = Authority(cls.folder, "authority")
        cls.other = Authority(cls.folder, "other")
        cls.authority.issue("server")
        cls.authority.issue("client", "/O=Example, Inc/CN=backup")
        cls.other.issue("stranger")

    def file(self, name):
        return os.path.join(self.folder, name)

    def config(self, *more, certificate="server.pem", key="server.key", listen="tls: 127.0.0.1:0"):
        return "\n".join((f"listen: [{listen}]", f"tls_certificate: {self.file(certificate)}",
                          f"tls_key: {self.file(key)}", "log_level: debug", "regions: [name: main]",
                          *more, ""))

    def started(self, *more, **options):
        server = self.server(config=self.config(*more, **options)).start()
        self.addCleanup(lambda: server.process and server.stop())
        return server

    def client(self, server, context=None, **options):
        client = TlsClient(server.tls, context or context_for(self.authority, **options))
        self.addCleanup(client.close)
        return client

    def assert_serves_tls(self, server, **options):
        client = self.client(server, **options)
        address = client.call("addBlob", "main", b"\x01\x02\x03\x04")
        self.assertEqual(client.call("loadBlob", "main", address, 4), b"\x01\x02\x03\x04")
