"""The servers that are measured: how each is started on a folder of its own, pinned to its core."""

import os
import shutil
import signal
import socket
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
GROWN = 2 << 30  # bytes of a log that is never cut: from there on the server is started anew


class Failed(Exception):
    """A program did not do what it is for; the text says which, and what it wrote."""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def pin(core):
    """For preexec_fn: the process and its threads run on one core."""
    return lambda: core is None or os.sched_setaffinity(0, {core})


def folder_bytes(folder):
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


class Server:
    """One process. It is started when it is first asked for its address, and always on an empty
    folder. Sockets have short names relative to the scratch folder, where the clients run too."""

    def __init__(self, name, bench, command, transports=("unix", "tcp"), grows=False):
        self.name, self.bench, self.command = name, bench, command
        self.transports, self.grows = transports, grows
        self.process = None
        self.port = None

    @property
    def folder(self):
        return os.path.join(self.bench.scratch, self.name)

    @property
    def pid(self):
        return self.process.pid

    def address(self, transport):
        if self.grows and self.process and folder_bytes(self.folder) > GROWN:
            self.stop()
        if self.process is None:
            self.start()
        return f"unix:{self.name}/socket" if transport == "unix" else f"tcp:127.0.0.1:{self.port}"

    def start(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.mkdir(self.folder)
        self.port = free_port() if "tcp" in self.transports else None
        command, environment = self.command(self)
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "LC_ALL": "C", **environment},
                preexec_fn=pin(self.bench.server_core))
        for transport in self.transports:
            self.wait_for(transport)

    def wait_for(self, transport):
        deadline = time.monotonic() + 60
        while True:
            try:
                self.connect(transport).close()
                return
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    text = self.log()
                    self.stop()
                    raise Failed(f"{self.name} does not accept connections ({error}): {text}")
                time.sleep(0.01)

    def connect(self, transport):
        if transport == "tcp":
            return socket.create_connection(("127.0.0.1", self.port), 10)
        one = socket.socket(socket.AF_UNIX)
        try:
            # A path through /proc is short, however deep the scratch folder lies.
            folder = os.open(self.folder, os.O_PATH | os.O_DIRECTORY)
            try:
                one.connect(f"/proc/self/fd/{folder}/socket")
            finally:
                os.close(folder)
        except OSError:
            one.close()
            raise
        return one

    def log(self):
        with open(os.path.join(self.folder, "log"), "rb") as log:
            return log.read()[-2000:].decode(errors="replace").strip()

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def memory(self):
        """Bytes that the process has for itself: no mapped files."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            fields = dict(line.split(":", 1) for line in status)
        return sum(int(fields[name].split()[0]) * 1024 for name in ("RssAnon", "RssShmem"))


# ---- One function for each program: the command, what to add to the environment ----


def mregiond(server, options=""):
    conf = os.path.join(server.folder, "conf")
    with open(conf, "w", encoding="utf-8") as file:
        # What is freed in main stays with its file, as where blobs are replaced by others: giving it
        # back would go on while the next server is measured. The region fresh is made anew for
        # each run.
        file.write(f"data_dir: {server.folder}/data\n"
                   f"listen: [{{unix: ./socket}}, {{tcp: '127.0.0.1:{server.port}'}}]\n"
                   f"regions: [{{name: main, discard: 0{options}}}, {{name: fresh}}]\n")
    return [server.bench.program("daemon/mregiond"), "--config", conf], {}


def mregiond_without_cache(server):
    return mregiond(server, ", page_cache: 0")


def redis(fsync):
    def command(server):
        return ["redis-server", "--port", str(server.port), "--bind", "127.0.0.1",
                "--unixsocket", "socket", "--dir", ".", "--save", "", "--appendonly", "yes",
                "--appendfsync", fsync, "--auto-aof-rewrite-percentage", "0"], {}
    return command


def memcached(transport):
    def command(server):
        listen = ["-s", "socket"] if transport == "unix" else \
            ["-l", "127.0.0.1", "-p", str(server.port), "-U", "0"]
        user = ["-u", "root"] if os.geteuid() == 0 else []
        return ["memcached", *listen, *user, "-t", "1", "-m", "4096", "-I", "8m"], {}
    return command


def tarantool(transport):
    def command(server):
        listen = "unix/:./socket" if transport == "unix" else f"127.0.0.1:{server.port}"
        return ["tarantool", os.path.join(HERE, "tarantool.lua")], {"LISTEN": listen}
    return command


def raw(transport, is_threaded):
    def command(server):
        listen = ["--unix", "socket"] if transport == "unix" else ["--port", str(server.port)]
        thread = ["--thread"] if is_threaded else []
        return [server.bench.program("tests/bench/bench_raw"), *listen, *thread,
                "--file", "blocks"], {}
    return command


