"""mrcli: blobs of every size from and to files and pipes, byte for byte, and what a file is after a
failure."""
import json
import os
import random
import re
import resource
import signal
import stat
import subprocess
import threading
import unittest

from cli import CliCase, FakeServer, default_signals
from server import DEADLINE, MRCLI, Server

MIB = 1 << 20
ASAN = bool(os.environ.get("MREGION_ASAN"))
# Far below what is moved. Sanitizers keep freed memory for a while.
CLIENT_MAX = 32 * MIB
SERVER_MAX = (512 if ASAN else 32) * MIB


def noise(size):
    return random.Random(size).randbytes(size)


class Bytes(CliCase):
    """Small messages, so that a few MiB are many."""

    @classmethod
    def setUpClass(cls):
        cls.mregiond = Server(listen=None, config=CONFIG)
        cls.addClassCleanup(cls.mregiond.remove)
        cls.mregiond.write_config(CONFIG.format(cls.mregiond.path("s")))
        cls.mregiond.start()

    def pipe(self, command):
        done = subprocess.run(["bash", "-o", "pipefail", "-c", command, MRCLI],
                              env=self.environment, cwd=self.folder, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=DEADLINE, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""), command)
        return done.stdout.decode()

    def test_sizes(self):
        for size in (0, 1, 2, 4095, 4096, 65535, 65536, MIB - 100, MIB, 5 * MIB, 9 * MIB + 1):
            content = noise(size)
            name = self.write("in", content)
            reference = self.out("add", name).strip()
            self.assertTrue(reference.endswith(f"+{size}"), reference)
            self.assertEqual(self.out("load", reference, "out"), "")
            self.assertTrue(self.read("out") == content, size)
            self.assertTrue(self.run_mrcli("load", reference).stdout == content, size)
            self.pipe(f'"$0" load {reference} | cat | "$0" add - >again')
            again = self.read("again").decode().strip()
            self.assertEqual(self.out("load", again, "out"), "")
            self.assertTrue(self.read("out") == content, size)
            self.assertEqual(self.out("store", again.split("+")[0],
                                      self.write("other", noise(size)[::-1])), "")
            self.assertTrue(self.run_mrcli("load", again).stdout == content[::-1], size)
            replaced = self.out("replace", reference, self.write("larger", content + b"!")).strip()
            self.assertEqual(self.out("remove", replaced, "removed"), "")
            self.assertTrue(self.read("removed") == content + b"!", size)
            self.assertTrue(self.run_mrcli("remove", again).stdout == content[::-1], size)
            self.assertEqual(self.out("allocated"), "0\n", size)

    def test_a_block_that_is_not_wholly_in_use(self):
        """Nothing of it is written, and nothing is stored over its beginning."""
        content = noise(6 * MIB)
        self.assertEqual(self.out("add", self.write("in", content)), f"0+{6 * MIB}\n")
        self.out("deallocate", f"{5 * MIB}+1")
        for size, error in ((6 * MIB, r"not_allocated: some bytes of the block \[0, \+6291456\)"),
                            (6 * MIB + 1, r"out_of_bounds: block \[0, \+6291457\)"),
                            (2**64 - 1, r"out_of_bounds: block \[0, \+18446744073709551615\)")):
            for command in ("load", "remove"):
                self.fails(3, error, command, f"0+{size}")
            if size < 2**63:
                self.fails(3, error, "store", "0", self.write("other", bytes(size)))
        self.assertTrue(self.run_mrcli("load", f"0+{5 * MIB}").stdout == content[:5 * MIB])

    def test_stdin_from_its_offset(self):
        self.write("in", b"0123456789")
        reference = self.pipe('{ dd bs=1 count=4 status=none >/dev/null; "$0" add -; } <in')
        self.assertEqual(self.out("load", reference.strip()), "456789")

    def test_files_without_a_size(self):
        with open("/proc/version", "rb") as file:
            content = file.read()
        reference = self.out("add", "/proc/version").strip()
        self.assertEqual(self.run_mrcli("load", reference).stdout, content)

    def test_odd_names(self):
        names = ["with space", "-dash", "ü", "a+b", "line\nfeed", "'\"\\"]
        for i, name in enumerate(names):
            self.write(name, noise(i + 5))
        references = self.out("add", "--", *names).split()
        for i, (name, reference) in enumerate(zip(names, references)):
            self.assertEqual(self.out("load", "--", reference, "copy of " + name), "")
            self.assertEqual(self.read("copy of " + name), noise(i + 5))
        self.write("-", b"a file of this name")
        self.assertEqual(self.out("load", self.out("add", "./-").strip()), "a file of this name")

    def test_round_trip_of_a_folder(self):
        """As one would: a script in, references out, a script in again."""
        folder = os.path.dirname(os.path.abspath(__file__))
        names = sorted(name for name in os.listdir(folder)
                       if os.path.isfile(os.path.join(folder, name)))
        script = "".join(f"add '{os.path.join(folder, name)}'\n" for name in names)
        references = self.out(stdin=script.encode()).split()
        self.assertEqual(len(references), len(names))
        script = "".join(f"load {reference} 'copy-{name}'\n"
                         for reference, name in zip(references, names))
        self.assertEqual(self.out(stdin=script.encode()), "")
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                self.assertEqual(self.read("copy-" + name), file.read())

    def test_a_signal_gives_back_what_was_taken(self):
        """A pipe that goes on for ever; the signal comes while the pieces are on their way."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            process = subprocess.Popen([MRCLI, "add", "-"], env=self.environment, cwd=self.folder,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, preexec_fn=default_signals)
            try:
                while self.uploads() == 0:
                    process.stdin.write(bytes(MIB))
                process.send_signal(number)
                with self.assertRaises(BrokenPipeError):
                    while True:
                        process.stdin.write(bytes(MIB))
                self.assertEqual(process.wait(DEADLINE), -number)
            finally:
                process.kill()
                process.wait()
                process.stdout.close()
                process.stderr.close()
                try:
                    process.stdin.close()
                except BrokenPipeError:
                    pass
            while self.uploads() > 0:
                pass  # the server has not come to it yet
            self.assertEqual(self.out("allocated"), "0\n")

    def test_a_killed_mrcli_leaves_nothing(self):
        """In the middle of a pipe, and of a file."""
        path = os.path.join(self.folder, "large")
        with open(path, "wb") as file:
            file.truncate(1 << 30)
        for source in ("-", path):
            process = subprocess.Popen([MRCLI, "add", source], env=self.environment,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            while self.uploads() == 0:
                if source == "-":
                    process.stdin.write(bytes(MIB))
            process.kill()
            process.wait()
            process.stdout.close()
            try:
                process.stdin.close()
            except BrokenPipeError:
                pass
            while self.uploads() > 0:
                pass
            self.assertEqual(self.out("allocated"), "0\n")

    def uploads(self):
        return json.loads(self.out("call", "serverInfo", "[]"))["uploads"]


class Memory(CliCase):
    """With messages as large as they are unless configured."""

    def test_memory_does_not_grow_with_the_blob(self):
        """Neither in mrcli nor in the server, from files, pipes and to them."""
        size = 192 * MIB
        path = os.path.join(self.folder, "large")
        with open(path, "wb") as file:
            for i in range(size // MIB):
                file.write(i.to_bytes(4, "little") * (MIB // 4))
        server = self.server_memory()
        references = []
        for source in (path, "-"):
            with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as cat:
                out = self.run_bounded([MRCLI, "add", source], cat.stdout)
            references.append(out.decode().strip())
        for reference in references:
            self.run_bounded([MRCLI, "load", reference, path + ".back"], subprocess.DEVNULL)
            subprocess.run(["cmp", path, path + ".back"], check=True)
        self.assertLess(self.server_memory() - server, SERVER_MAX)

    def server_memory(self):
        """The most that was ever resident, in bytes."""
        with open(f"/proc/{self.mregiond.process.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmHWM:\s+(\d+) kB", file.read())[1]) * 1024

    def run_bounded(self, command, stdin):
        """Runs it to its end in so much memory and no more; what it prints."""
        def bound():
            if not ASAN:  # which reserves terabytes
                resource.setrlimit(resource.RLIMIT_DATA, (CLIENT_MAX, CLIENT_MAX))

        return subprocess.run(command, env=self.environment, stdin=stdin, stdout=subprocess.PIPE,
                              preexec_fn=bound, timeout=DEADLINE, check=True).stdout


CONFIG = """
listen: [{{unix: "{0}"}}, {{tcp: "127.0.0.1:0"}}]
max_message: 1MiB
regions: [{{name: main}}]
"""


class Targets(CliCase):
    def setUp(self):
        super().setUp()
        self.reference = self.out("add", "-", stdin=b"the blob").strip()

    def mode(self, name):
        return stat.S_IMODE(os.stat(self.path(name)).st_mode)

    def test_modes(self):
        for mask in (0o022, 0o077, 0o000):
            self.out("load", self.reference, f"new{mask}", umask=mask)
            self.assertEqual(self.mode(f"new{mask}"), 0o666 & ~mask)
        for mode in (0o600, 0o755, 0o444 | 0o200):
            os.chmod(self.write("old", b"before"), mode)
            self.out("load", self.reference, "old")
            self.assertEqual((self.mode("old"), self.read("old")), (mode, b"the blob"))

    def test_a_file_of_somebody_else(self):
        if os.getuid() != 0:
            self.skipTest("only root may give files away")
        os.chown(self.write("old", b"before"), 1234, 2345)
        os.chmod(self.path("old"), 0o4750)
        self.out("load", self.reference, "old")
        status = os.stat(self.path("old"))
        self.assertEqual((status.st_uid, status.st_gid, self.mode("old")), (1234, 2345, 0o4750))

    def test_links(self):
        self.write("file", b"before")
        os.symlink("file", self.path("link"))
        os.symlink("link", self.path("link2"))
        self.out("load", self.reference, "link2")
        self.assertEqual(self.read("file"), b"the blob")
        self.assertTrue(os.path.islink(self.path("link")) and os.path.islink(self.path("link2")))
        os.symlink("nothing", self.path("dangling"))
        self.fails(74, "dangling: cannot write: ", "load", self.reference, "dangling")

    def test_what_is_no_file_stays(self):
        self.out("load", self.reference, "/dev/null")
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/null").st_mode))
        self.assertEqual(self.out("load", self.reference, "/dev/stdout"), "the blob")
        os.mkfifo(self.path("pipe"))
        got = []
        reader = threading.Thread(target=lambda: got.append(self.read("pipe")))
        reader.start()
        self.out("load", self.reference, "pipe")
        reader.join(DEADLINE)
        self.assertEqual(got, [b"the blob"])
        self.assertTrue(stat.S_ISFIFO(os.stat(self.path("pipe")).st_mode))

    def test_a_failure_leaves_the_old_file(self):
        self.write("old", b"before")
        self.fails(3, "out_of_bounds: ", "load", "0+9", "old")
        self.fails(3, "out_of_bounds: ", "remove", "0+9", "old")
        with FakeServer(lambda method, params: None) as fake:
            self.fails(75, "", "-s", fake.address, "--timeout", "100ms", "load", "0+9", "old")
        self.assertEqual((os.listdir(self.folder), self.read("old")), (["old"], b"before"))

    def test_a_full_disk(self):
        """A limit on the size of files stands for it."""
        reference = self.out("add", "-", stdin=bytes(3 * MIB)).strip()
        self.write("old", b"before")
        for command in ("load", "remove"):
            done = subprocess.run(["bash", "-c", 'ulimit -f 1024; trap "" XFSZ; "$@"', "-", MRCLI,
                                   command, reference, "old"], env=self.environment,
                                  cwd=self.folder, stderr=subprocess.PIPE, check=False)
            self.assertEqual((done.returncode, done.stderr),
                             (74, b"mrcli: old: cannot write: File too large\n"))
            self.assertEqual((os.listdir(self.folder), self.read("old")), (["old"], b"before"))
        self.assertEqual(self.out("is-allocated", reference), "true\n")

    def test_a_file_that_may_not_be_written(self):
        if os.getuid() == 0:
            self.skipTest("root may write everything")
        os.chmod(self.write("old", b"before"), 0o444)
        self.fails(74, "old: cannot write: Permission denied", "load", self.reference, "old")
        self.assertEqual((os.listdir(self.folder), self.read("old")), (["old"], b"before"))

    def test_a_signal_leaves_no_partial_file(self):
        self.write("old", b"before")
        loading = threading.Event()

        def answer(method, params):
            loading.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loading.clear()
            with FakeServer(answer) as fake:
                process = subprocess.Popen([MRCLI, "-s", fake.address, "load", "0+8", "old"],
                                           env=self.environment, cwd=self.folder,
                                           stderr=subprocess.PIPE, preexec_fn=default_signals)
                self.assertTrue(loading.wait(DEADLINE))
                self.assertEqual(len(os.listdir(self.folder)), 2)
                process.send_signal(number)
                self.assertEqual(process.wait(DEADLINE), -number)
                process.stderr.close()
            self.assertEqual((os.listdir(self.folder), self.read("old")), (["old"], b"before"))

    def test_a_file_that_changes_while_it_is_read(self):
        """Read by way of a server that waits with its answer until the file has changed."""
        path = self.write("in", b"before")
        calls = []

        def answer(method, params):
            calls.append(method)
            if method in ("addBlob", "storeBlob", "replaceBlob"):
                with open(path, "ab") as file:
                    file.write(b"!")
            return None, 0

        with FakeServer(answer) as fake:
            self.fails(74, "in: changed while it was read; nothing was added", "-s", fake.address,
                       "add", "in")
            self.assertEqual(calls, ["addBlob", "deallocate"])
            self.fails(74, "in: changed while it was read; what was read, 7 bytes, is stored",
                       "-s", fake.address, "store", "0", "in")
            done = self.run_mrcli("-s", fake.address, "replace", "0+1", "in")
            self.assertEqual((done.returncode, done.stdout), (74, b"0+8\n"))
            self.assertIn(b"in: changed while it was read", done.stderr)


if __name__ == "__main__":
    unittest.main()
