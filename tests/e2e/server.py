"""Starts the real mregiond for a test, on a temporary data directory and loopback sockets.

    with Server() as server:            # one Unix socket, one TCP port that the system picks
        ... server.unix, server.tcp ...
        server.kill(); server.start()   # the same data directory again

Where the programs are: MREGIOND and MRCLI in the environment (CTest sets them). No function here
asserts a time; DEADLINE only ends a test that hangs.
"""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading

DEADLINE = 120  # seconds; far above what a slow machine under ASan needs

MREGIOND = os.environ.get("MREGIOND", "mregiond")
MRCLI = os.environ.get("MRCLI", "mrcli")


class ServerError(Exception):
    """The server did not do what the test waits for; the text carries its log."""


class Server:
    """One mregiond and its temporary folder.

    data_dir: where the store is; None makes one in the temporary folder.
    listen: addresses for --listen; None gives a Unix socket in the temporary folder and TCP port 0.
    regions: names for --region.
    config: text of a configuration file; then listen and regions default to nothing.
    sandbox: False turns it off, for what is preloaded and has files of its own.
    backups: True gives it a backup_dir.
    args: further arguments; wrapper: a command to put in front (systemd-socket-activate ...).
    env: additions to the environment.
    """

    def __init__(self, *, data_dir=None, listen=None, regions=None, config=None, args=(),
                 wrapper=(), env=None, sandbox=True, backups=False):
        self.folder = tempfile.mkdtemp(prefix="mregiond-e2e.")
        self.data_dir = data_dir or os.path.join(self.folder, "data")
        if listen is None:
            listen = [] if config else ["unix:" + self.path("s"), "tcp:127.0.0.1:0"]
        if regions is None:
            regions = [] if config else ["main"]
        if not sandbox:
            config = "sandbox: off\n" + (config or "")
        if backups:
            config = f"backup_dir: {self.path('backups')}\n" + (config or "")
        self.command = [*wrapper, MREGIOND]
        if config is not None:
            self.write_config(config)
            self.command += ["--config", self.path("mregiond.yaml")]
        self.command += ["--data-dir", self.data_dir]
        for address in listen:
            self.command += ["--listen", address]
        for name in regions:
            self.command += ["--region", name]
        self.command += args
        self.env = {k: v for k, v in os.environ.items()
                    if k not in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM",
                                 "LISTEN_FDS", "LISTEN_PID")}
        self.env.update(env or {})
        self.process = None
        self.lines = []  # its log since the last start
        self.unix = None  # path
        self.tcp = None  # (host, port)
        self.tls = None  # likewise
        self._news = threading.Condition()
        self._reader = None

    def path(self, name):
        """A path in the temporary folder."""
        return os.path.join(self.folder, name)

    def write_config(self, text):
        with open(self.path("mregiond.yaml"), "w", encoding="utf-8") as file:
            file.write(text)

    # ---- Start and stop ----

    def start(self, wait=True):
        """Starts it; with wait, returns once it says that it is ready."""
        assert self.process is None
        self.lines, self.unix, self.tcp, self.tls = [], None, None, None
        self.process = subprocess.Popen(self.command, env=self.env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        cwd=self.folder, text=True, errors="replace")
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self._reader.start()
        if wait:
            self.wait_log(r"\bready\b")
        return self

    def _read(self, stream):
        for line in stream:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                match = re.search(r"listening on (tcp|tls|unix):(\S+)", line)
                if match and match[1] == "unix":
                    self.unix = self.unix or match[2]
                elif match:
                    host, port = match[2].rsplit(":", 1)
                    address = (host.strip("[]"), int(port))
                    if match[1] == "tls":
                        self.tls = self.tls or address
                    else:
                        self.tcp = self.tcp or address
                self._news.notify_all()
        with self._news:
            self.lines.append(None)  # the end
            self._news.notify_all()

    def log(self):
        with self._news:
            return "\n".join(line for line in self.lines if line is not None)

    def wait_log(self, pattern, count=1):
        """Waits until count lines match and returns the last of them."""
        def found():
            hits = [line for line in self.lines if line is not None and re.search(pattern, line)]
            return hits[count - 1] if len(hits) >= count else None

        with self._news:
            self._news.wait_for(lambda: found() or None in self.lines, DEADLINE)
            if found():
                return found()
        raise ServerError(f"no log line matches {pattern!r}:\n{self.log()}")

    def wait(self):
        """Waits for its end and returns the exit status (negative: the signal)."""
        try:
            status = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise ServerError(f"it does not end:\n{self.log()}") from None
        finally:
            self._reader.join(DEADLINE)
            self.process.stderr.close()
            self.process = None
        return status

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """SIGTERM; the exit status must be 0."""
        self.signal(signal.SIGTERM)
        status = self.wait()
        if status != 0:
            raise ServerError(f"exit status {status} after SIGTERM:\n{self.log()}")

    def kill(self):
        """SIGKILL."""
        self.signal(signal.SIGKILL)
        self.wait()

    def run(self):
        """For a start that must fail: waits for its end and returns (status, log)."""
        self.start(wait=False)
        status = self.wait()
        return status, self.log()

    # ---- With ----

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, kind, value, trace):
        try:
            if kind is None and self.process is not None:
                self.stop()
            elif kind is not None:
                print(f"---- log of mregiond\n{self.log()}\n----", flush=True)
        finally:
            self.remove()

    def remove(self):
        """Kills what still runs and removes the temporary folder."""
        if self.process is not None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def mrcli(server, *args, stdin=None, check=True):
    """Runs mrcli against the server's first socket; returns the finished process (bytes)."""
    address = "unix:" + server.unix if server.unix else "tcp:%s:%d" % server.tcp
    env = {**os.environ, "MREGION_SERVER": address}
    done = subprocess.run([MRCLI, *args], env=env, input=stdin if stdin is not None else b"",
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE,
                          check=False)
    if check and done.returncode != 0:
        raise ServerError(f"mrcli {args}: exit status {done.returncode}: {done.stderr!r}")
    return done
