"""A small MessagePack-RPC client that shares no code with the server or libmregion.

    client = Client(server.unix)                # or (host, port)
    address = client.call("addBlob", "main", b"...")        # raises RpcError
    ids = [client.send("ping") for _ in range(1000)]        # pipelining
    answers = [client.wait(msgid) for msgid in ids]
    client.notify("clear", "main")
    client.send_raw(b"\\xc1")                   # whatever bytes
    client.wait_closed()

It checks every response's form as it comes in, and remembers over all clients which methods were
called and which error codes came, for tests that want to have seen them all.
"""
import re
import select
import socket
import struct

import msgpack

from server import DEADLINE

REQUEST, RESPONSE, NOTIFICATION = 0, 1, 2


class RpcError(Exception):
    """The server's answer was an error."""

    def __init__(self, text):
        super().__init__(text)
        self.code, self.sentence = text.split(": ", 1)


class Closed(Exception):
    """The server has closed the connection."""


class Float32(float):
    """A float that is packed in 32 bits."""


def pack(value):
    """The shortest form, as msgpack's own; only Float32 needs a form of its own."""
    if isinstance(value, Float32):
        return b"\xca" + struct.pack(">f", value)
    if isinstance(value, (list, tuple)) and not isinstance(value, msgpack.ExtType):
        return pack_header(0x90, 0xdc, len(value)) + b"".join(map(pack, value))
    if isinstance(value, dict):
        return pack_header(0x80, 0xde, len(value)) + b"".join(
            pack(key) + pack(item) for key, item in value.items())
    return msgpack.packb(value)


def pack_header(short, long, count):
    return bytes([short | count]) if count < 16 else struct.pack(">BH", long, count)


def request(msgid, method, params):
    return pack([REQUEST, msgid, method, params])


class Client:
    called = set()  # methods that any client has called
    codes = set()  # error codes that any client has got

    def __init__(self, address, timeout=DEADLINE):
        family = socket.AF_UNIX if isinstance(address, str) else (
            socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.timeout = timeout
        # With a timeout a Unix socket would not wait where many others do already.
        self.socket.settimeout(None if family == socket.AF_UNIX else timeout)
        try:
            self.socket.connect(address)
            self.socket.settimeout(timeout)
        except OSError:
            self.socket.close()
            raise
        if family != socket.AF_UNIX:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unpacker = msgpack.Unpacker(raw=False, strict_map_key=True,
                                         max_buffer_size=2**31 - 1)
        self.at_end = False  # nothing more will come
        self.events = []  # that have come, in order
        self.answers = {}  # msgid: (error, result), not waited for yet
        self.next_msgid = 0

    # ---- Requests ----

    def send(self, method, *params):
        """Sends a request; returns its msgid."""
        msgid = self.next_msgid
        self.next_msgid = (msgid + 1) % 2**32
        Client.called.add(method)
        self.send_raw(request(msgid, method, params))
        return msgid

    def notify(self, method, *params):
        Client.called.add(method)
        self.send_raw(pack([NOTIFICATION, method, params]))

    def call(self, method, *params):
        return self.wait(self.send(method, *params))

    def call_packed(self, method, params):
        """A call whose params are bytes already packed, header included."""
        msgid = self.next_msgid
        self.next_msgid = (msgid + 1) % 2**32
        Client.called.add(method)
        self.send_raw(b"\x94\x00" + pack(msgid) + pack(method) + params)
        return self.wait(msgid)

    def send_raw(self, data):
        """Sends all of it. Takes in what the server sends meanwhile, as it may stop reading from a
        client that does not."""
        view = memoryview(data)
        self.socket.setblocking(False)
        try:
            while view:
                try:
                    view = view[self.socket.send(view):]
                except BlockingIOError:
                    readers = [] if self.at_end else [self.socket]
                    ready = select.select(readers, [self.socket], [], self.timeout)
                    if ready == ([], [], []):
                        raise TimeoutError("the server does not read") from None
                    if ready[0]:
                        self._fill()
        finally:
            self.socket.settimeout(self.timeout)

    # ---- Answers ----

    def wait(self, msgid):
        """The result of a request that was sent before; raises RpcError, Closed."""
        while msgid not in self.answers:
            got, error, result = self.receive()
            assert got not in self.answers, f"msgid {got} was answered twice"
            self.answers[got] = (error, result)
        error, result = self.answers.pop(msgid)
        if error is not None:
            raise RpcError(error)
        return result

    def receive(self):
        """The next response in the order of arrival: (msgid, error, result)."""
        while True:
            try:
                message = self.unpacker.unpack()
            except msgpack.OutOfData:
                if self.at_end:
                    raise Closed from None
                self._fill()
                continue
            if len(message) == 3:
                self._check_event(message)
                continue
            return self._check(message)

    def wait_event(self, **wanted):
        """The next event that has these; those before it are forgotten."""
        while True:
            while self.events:
                event = self.events.pop(0)
                if all(event.get(key) == value for key, value in wanted.items()):
                    return event
            self.wait(self.send("ping"))

    def _check_event(self, message):
        kind, method, params = message
        assert kind == NOTIFICATION and method == "event" and len(params) == 1, message
        self.events.append(params[0])

    def _fill(self):
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        self.at_end = not data
        self.unpacker.feed(data)

    @staticmethod
    def _check(message):
        assert isinstance(message, list) and len(message) == 4, message
        kind, msgid, error, result = message
        assert kind == RESPONSE and isinstance(msgid, int), message
        if error is not None:
            assert isinstance(error, str) and result is None, message
            assert re.fullmatch(r"[a-z_]+: [ -~]+", error), error
            Client.codes.add(error.split(":")[0])
        return msgid, error, result

    # ---- Ends ----

    def half_close(self):
        """No more requests; answers still come."""
        self.socket.shutdown(socket.SHUT_WR)

    def wait_closed(self):
        """Waits until the server closes; returns the responses that came before, in order."""
        responses = []
        try:
            while True:
                responses.append(self.receive())
        except Closed:
            return responses

    def readable(self, seconds):
        """Whether something arrives (or the connection ends) within so many seconds."""
        return bool(select.select([self.socket], [], [], seconds)[0])

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes with a reset where the kind of socket has one."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()
