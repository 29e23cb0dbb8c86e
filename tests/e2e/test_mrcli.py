"""mrcli against the real server: exit codes, bytes that are exactly the blob's, commands from
standard input, and what is left when a disk is full or nobody reads."""
import base64
import json
import os
import re
import signal
import socket
import subprocess
import unittest

from server import DEADLINE, MRCLI, Server, mrcli

SIZES = [0, 1, 4096, 100_003, 3_000_000]
EVERY_BYTE = bytes(range(256)) * 3 + b"\r\n\n"


class Mrcli(unittest.TestCase):
    def setUp(self):
        self.server = Server().start()
        self.addCleanup(self.server.remove)

    def run_cli(self, *args, stdin=None, status=0):
        done = mrcli(self.server, *args, stdin=stdin, check=False)
        self.assertEqual(done.returncode, status, (args, done.stdout, done.stderr))
        if status == 0:
            self.assertEqual(done.stderr, b"")
        else:
            self.assertTrue(done.stderr.startswith(b"mrcli: "), done.stderr)
        return done

    def out(self, *args, **options):
        return self.run_cli(*args, **options).stdout

    def refused(self, status, code, *args):
        error = self.run_cli(*args, status=status).stderr.decode()
        self.assertRegex(error, r"\Amrcli: %s: .+\n\Z" % re.escape(code))

    def file(self, name, content):
        path = self.server.path(name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def content(self, name):
        with open(self.server.path(name), "rb") as file:
            return file.read()


class Bytes(Mrcli):
    def test_files(self):
        for size in SIZES:
            blob = os.urandom(size)
            source = self.file("source", blob)
            reference = self.out("add", source)
            self.assertRegex(reference, rb"\A\d+\+%d\n\Z" % size)
            reference = reference.decode().strip()
            self.out("load", reference, self.server.path("copy"))
            self.assertEqual(self.content("copy"), blob)
            self.assertEqual(self.out("load", reference), blob)
            self.assertEqual(self.out("-o", "raw", "load", reference, "-"), blob)
            self.out("remove", reference, self.server.path("removed"))
            self.assertEqual(self.content("removed"), blob)

    def test_every_byte_through_pipes(self):
        reference = self.out("add", "-", stdin=EVERY_BYTE).decode().strip()
        self.assertEqual(self.out("load", reference), EVERY_BYTE)
        self.out("store", reference.split("+")[0], "-", stdin=EVERY_BYTE[::-1])
        self.assertEqual(self.out("load", reference), EVERY_BYTE[::-1])
        reference = self.out("replace", reference, "-", stdin=b"short").decode().strip()
        self.assertEqual(self.out("load", reference), b"short")
        self.assertEqual(self.out("remove", reference), b"short")

    def test_several_files_one_reference_each(self):
        paths = [self.file("f%d" % i, b"x" * i) for i in range(5)]
        lines = self.out("add", *paths).decode().splitlines()
        self.assertEqual([int(line.split("+")[1]) for line in lines], list(range(5)))

    def test_an_existing_file_is_replaced_whole(self):
        target = self.file("target", b"old and longer than the new one")
        reference = self.out("add", "-", stdin=b"new").decode().strip()
        self.out("load", reference, target)
        self.assertEqual(self.content("target"), b"new")

    def test_larger_than_a_message(self):
        self.server.stop()
        self.server.remove()
        self.server = Server(config="data_dir: /nowhere\nlisten:\n  - tcp: 127.0.0.1:0\n"
                                    "max_message: 64KiB\n").start()
        self.addCleanup(self.server.remove)
        blob = os.urandom(1_000_003)
        reference = self.out("add", "-", stdin=blob).decode().strip()
        self.assertEqual(self.out("load", reference), blob)
        # What was allocated ahead for the pipe is free again.
        self.assertEqual(self.out("allocated"), b"%d\n" % len(blob))


class ExitCodes(Mrcli):
    def test_no_such_region_or_block(self):
        self.out("add", "-", stdin=b"12345678")
        self.out("deallocate", "2+2")
        self.refused(3, "no_such_region", "-r", "nowhere", "size")
        self.refused(3, "no_such_region", "drop", "nowhere")
        self.refused(3, "out_of_bounds", "load", "4+100")
        self.refused(3, "not_allocated", "load", "0+4")
        self.refused(3, "not_allocated", "deallocate", "2+2")
        self.refused(3, "partly_free", "is-freed", "1+2")

    def test_refused(self):
        self.refused(1, "exists", "create", "main")
        self.refused(1, "invalid_argument", "create", "a/b")
        self.refused(1, "no_such_method", "call", "noSuchMethod", "[]")
        self.refused(1, "invalid_argument", "call", "size", "[1.5]")

    def test_no_space(self):
        self.out("call", "createRegion", '["small", {"max_size": 65536}]')
        self.refused(5, "no_space", "-r", "small", "allocate", "65537")
        self.assertEqual(self.out("-r", "small", "allocate", "64KiB"), b"0+65536\n")

    def test_usage(self):
        for args in (["bogus"], ["load"], ["load", "1"], ["load", "a+b"], ["load", "-1+2"],
                     ["load", "1+2+3"], ["load", "1+18446744073709551616"], ["allocate", "1kib"],
                     ["allocate", "1.5MiB"], ["allocate", ""], ["size", "extra"],
                     ["-o", "xml", "size"], ["--bogus"], ["-s", "bogus", "ping"],
                     ["call", "size", "{"], ["call", "size", "{}"]):
            self.run_cli(*args, status=64)

    def test_which_region(self):
        self.assertEqual(self.out("size"), b"0\n")
        self.out("create", "other")
        error = self.run_cli("size", status=64).stderr
        self.assertIn(b"main", error)
        self.assertIn(b"other", error)
        self.assertEqual(self.out("-r", "other", "size"), b"0\n")

    def test_cannot_connect(self):
        self.run_cli("-s", "unix:" + self.server.path("nobody"), "ping", status=69)

    def test_no_answer_in_time(self):
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(self.server.path("silent"))
            silent.listen(1)
            self.run_cli("-s", "unix:" + self.server.path("silent"), "--timeout", "100ms", "ping",
                         status=75)

    def test_bad_configuration(self):
        done = subprocess.run([MRCLI, "ping"], env={**os.environ, "MREGION_SERVER": "bogus"},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=DEADLINE, check=False)
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertIn(b"MREGION_SERVER", done.stderr)

    def test_local_files(self):
        reference = self.out("add", "-", stdin=b"blob").decode().strip()
        self.run_cli("add", self.server.path("missing"), status=74)
        self.run_cli("add", self.server.folder, status=74)
        self.run_cli("load", reference, self.server.path("missing/copy"), status=74)
        self.run_cli("load", reference, "/dev/full", status=74)
        # What could not be written is not lost.
        self.run_cli("remove", reference, "/dev/full", status=74)
        self.assertEqual(self.out("load", reference), b"blob")


class Output(Mrcli):
    def shell(self, script):
        env = {**os.environ, "MREGION_SERVER": "unix:" + self.server.unix, "MRCLI": MRCLI}
        return subprocess.run(["bash", "-c", script], env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE,
                              check=False)

    def test_output_that_cannot_be_written(self):
        self.out("add", "-", stdin=bytes(1_000_000))
        for script in ('"$MRCLI" load 0+1000000 >/dev/full', '"$MRCLI" load 0+1000000 >&-',
                       '"$MRCLI" size >/dev/full', '"$MRCLI" size >&-', '"$MRCLI" --help >/dev/full',
                       '"$MRCLI" load 0+1000000 | true; exit "${PIPESTATUS[0]}"'):
            done = self.shell(script)
            self.assertEqual(done.returncode, 74, (script, done.stderr))

    def test_no_partial_file(self):
        self.out("add", "-", stdin=b"blob")
        before = sorted(os.listdir(self.server.folder))
        target = self.server.path("target")
        self.refused(3, "out_of_bounds", "load", "0+1000", target)
        self.assertEqual(sorted(os.listdir(self.server.folder)), before)
        self.file("target", b"old")
        self.refused(3, "out_of_bounds", "load", "0+1000", target)
        self.assertEqual(self.content("target"), b"old")

    def test_a_signal_leaves_no_file(self):
        # A server that says nothing more once the load has begun.
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(self.server.path("silent"))
            silent.listen(1)
            before = sorted(os.listdir(self.server.folder))
            process = subprocess.Popen([MRCLI, "-s", "unix:" + self.server.path("silent"), "-r", "m",
                                        "load", "0+10", self.server.path("target")],
                                       stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            connection, _ = silent.accept()
            with connection:
                connection.recv(1)
                process.send_signal(signal.SIGTERM)
                process.wait(DEADLINE)
        self.assertNotEqual(process.returncode, 0)
        self.assertEqual(sorted(os.listdir(self.server.folder)), before)

    def test_forms(self):
        self.out("add", "-", stdin=b"1234567890")
        self.assertEqual(self.out("-o", "raw", "free-list"), b"")
        self.assertEqual(json.loads(self.out("-o", "json", "free-list")), [])
        self.out("deallocate", "2+3")
        self.assertEqual(json.loads(self.out("-o", "json", "free-list")), [[2, 3]])
        self.assertEqual(len(self.out("-o", "raw", "free-list").splitlines()), 1)
        info = json.loads(self.out("-o", "json", "info"))
        self.assertEqual((info["name"], info["size"], info["deallocated"]), ("main", 10, 3))
        self.assertEqual(json.loads(self.out("-o", "json", "list")), ["main"])
        self.assertEqual(self.out("ping"), b"pong\n")
        for command in ("size", "ping", "info", "memory-info", "server-info", "checkpoint",
                        "is-freed 2+3", "is-allocated 0+1", "allocated-blocks-in-range 0 10"):
            json.loads(self.out("-o", "json", *command.split()))

    def test_numbers_and_blobs_in_json(self):
        result = self.out("call", "addBlob", '["main", {"base64": "/wD+"}]')
        self.assertEqual(json.loads(result), 0)
        result = json.loads(self.out("call", "loadBlob", '["main", 0, 3]'))
        self.assertEqual(base64.b64decode(result["base64"]), b"\xff\x00\xfe")
        self.out("call", "addBlob", json.dumps(["main", "grün\n"]))
        self.assertEqual(self.out("load", "3+6"), "grün\n".encode())
        # No number loses a digit on its way.
        error = self.run_cli("call", "loadBlob", '["main", 18446744073709551615, 1]',
                             status=3).stderr
        self.assertIn(b"18446744073709551615", error)

    def test_help_and_version(self):
        self.assertRegex(self.out("--version"), rb"\Amrcli \d+\.\d+\.\d+\n\Z")
        text = self.out("--help").decode()
        for name in ("add load store remove replace allocate deallocate resize free-list info "
                     "create drop list clear grow checkpoint ping server-info call").split():
            self.assertRegex(text, r"(?m)^\s+%s\b" % name)
            self.assertIn(name, self.out(name, "--help").decode())


class Scripts(Mrcli):
    def test_commands_from_standard_input(self):
        self.file("a file", b"12345")
        script = "# a comment\n\nadd '%s'\nsize\n" % self.server.path("a file")
        self.assertEqual(self.out(stdin=script.encode()), b"0+5\n5\n")
        self.assertEqual(self.out(stdin=b""), b"")

    def test_it_stops_at_the_first_failure(self):
        script = b"ping\nload 5+5\nsize\nbogus\n"
        self.assertEqual(self.out(stdin=script, status=3), b"pong\n")
        self.assertEqual(self.out("--keep-going", stdin=script, status=3), b"pong\n0\n")

    def test_quoting(self):
        self.file('with "quotes" and \\', b"1")
        path = self.server.path('with "quotes" and \\').replace("\\", "\\\\").replace('"', '\\"')
        self.assertEqual(self.out(stdin=('add "%s"\n' % path).encode()), b"0+1\n")
        self.run_cli(stdin=b"add 'open\n", status=64)


if __name__ == "__main__":
    unittest.main()
