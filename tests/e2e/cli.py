"""What the tests of mrcli share."""
import fcntl
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

import msgpack

from case import Case
from server import DEADLINE, MRCLI, Server


def default_signals():
    """In a new process: what the tests were started with (in the background, by nohup) is not
    what they are about."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def take_terminal():
    """In a new process: its standard input is its terminal, whose Ctrl-C it gets."""
    default_signals()
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class CliCase(Case):
    """One server for the class, and an empty region "main" and folder for each test."""

    @classmethod
    def setUpClass(cls):
        cls.mregiond = Server(backups=True)
        cls.addClassCleanup(cls.mregiond.remove)
        cls.mregiond.start()

    @classmethod
    def tearDownClass(cls):
        cls.mregiond.stop()

    def setUp(self):
        self.folder = os.path.join(self.mregiond.folder, self.id().rsplit(".", 1)[-1])
        os.mkdir(self.folder)
        self.environment = {key: value for key, value in os.environ.items()
                            if not key.startswith(("MREGION_S", "MREGION_R", "XDG_"))}
        self.environment.update(MREGION_SERVER="unix:" + self.mregiond.unix, MREGION_REGION="main",
                                HOME=self.folder, LC_ALL="C.UTF-8", TERM="xterm")
        for name in self.out("list").split():
            self.out("drop", name)
        self.out("create", "main")

    # ---- Files ----

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content)
        return self.path(name)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    # ---- mrcli ----

    def run_mrcli(self, *args, stdin=b"", env=None, **options):
        """Runs it in the test's folder to its end; what it prints is bytes."""
        options.setdefault("stdout", subprocess.PIPE)
        return subprocess.run([MRCLI, *args], env={**self.environment, **(env or {})}, input=stdin,
                              stderr=subprocess.PIPE, cwd=self.folder, timeout=DEADLINE,
                              check=False, **options)

    def out(self, *args, **options):
        """What it prints; it must succeed and complain about nothing."""
        done = self.run_mrcli(*args, **options)
        self.assertEqual((done.returncode, done.stderr), (0, b""), args)
        return done.stdout.decode(errors="surrogateescape")

    def fails(self, status, pattern, *args, **options):
        """It must end with this status and one line that matches on standard error. Returns what
        it has printed."""
        done = self.run_mrcli(*args, **options)
        said = done.stderr.decode()
        self.assertEqual(done.returncode, status, (args, said))
        self.assertRegex(said, r"\Amrcli: " + pattern)
        self.assertEqual(said.count("\n"), 1, said)
        return (done.stdout or b"").decode()

    def on_terminal(self, *args, typed=(), env=None, size=None, prompt=b"> ",
                    waits=None, command=(MRCLI,)):
        """Runs it on a terminal of its own, of size (rows, columns): types each of typed once the
        screen shows the prompt before it (waits: or, for those numbers, once the function says so),
        and returns the exit status and everything that was shown."""
        try:
            controller, terminal = pty.openpty()
        except OSError as error:
            self.skipTest(f"this machine has no terminals: {error}")
        if size is not None:
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        process = subprocess.Popen([*command, *args], stdin=terminal, stdout=terminal, stderr=terminal,
                                   cwd=self.folder, env={**self.environment, **(env or {})},
                                   preexec_fn=take_terminal)
        os.close(terminal)
        shown = b""
        typed = list(typed)
        count = len(typed)
        seen = 0
        try:
            while True:
                if typed and (waits or {}).get(count - len(typed)):
                    while not waits[count - len(typed)]():
                        time.sleep(0.001)
                    os.write(controller, typed.pop(0))
                # The prompt comes before the line's editor takes what is typed.
                asks = typed and shown.find(prompt, seen) >= 0
                if asks and not termios.tcgetattr(controller)[3] & termios.ICANON:
                    seen = len(shown)
                    os.write(controller, typed.pop(0))
                    asks = False
                if not select.select([controller], [], [], 0.01 if asks else DEADLINE)[0]:
                    self.assertTrue(asks, f"it hangs: {shown!r}")
                    continue
                try:
                    part = os.read(controller, 65536)
                except OSError:  # the other side is closed
                    break
                if not part:
                    break
                shown += part
            return process.wait(DEADLINE), shown.decode(errors="replace")
        finally:
            process.kill()
            process.wait()
            os.close(controller)


class FakeServer:
    """Answers every request with what the function says: (error, result); None: not at all."""

    def __init__(self, answer):
        self.answer = answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "tcp:127.0.0.1:%d" % self.listener.getsockname()[1]
        self.requests = []
        self.connections = []
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(DEADLINE)
        self.listener.close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)  # ends its thread, which closes it
            except OSError:
                pass

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        unpacker = msgpack.Unpacker(raw=False, max_buffer_size=0)
        try:
            while part := connection.recv(65536):
                unpacker.feed(part)
                for _, msgid, method, params in unpacker:
                    self.requests.append((method, params))
                    answer = self.answer(method, params)
                    if answer is not None:
                        connection.sendall(msgpack.packb([1, msgid, *answer]))
        except OSError:
            pass
        finally:
            connection.close()
