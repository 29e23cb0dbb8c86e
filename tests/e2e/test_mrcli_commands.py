"""mrcli: every command in its three forms, and every exit status."""
import base64
import json
import os
import re
import subprocess
import unittest

from cli import CliCase, FakeServer
from server import MRCLI

PAGE = 65536


class Commands(CliCase):
    def json(self, *args, **options):
        return json.loads(self.out("-o", "json", *args, **options))

    def fill(self, *sizes):
        """Adds blobs of 1, 2, 3 ... and returns their references."""
        return self.out("add", *(self.write(f"blob{i}", bytes([i]) * size)
                                 for i, size in enumerate(sizes, 1))).split()

    def test_blobs(self):
        self.assertEqual(self.fill(10, 20), ["0+10", "10+20"])
        self.assertEqual(self.out("load", "5+10"), "\1" * 5 + "\2" * 5)
        self.assertEqual(self.out("store", "8", self.write("new", b"abcd")), "")
        self.assertEqual(self.out("load-blob", "7+6", "-"), "\1abcd\2")
        self.assertEqual(self.out("replace", "0+10", self.write("larger", b"x" * 30)), "30+30\n")
        self.assertEqual(self.out("remove", "30+30"), "x" * 30)
        self.assertEqual(self.out("-o", "raw", "free-list"), "0+10\n30+30\n")
        self.assertEqual(self.out("add-blob", "-", stdin=b"0123456789"), "0+10\n")
        self.assertEqual(self.out("store-blob", "0", "-", stdin=b"zz"), "")
        self.assertEqual(self.out("replace-blob", "0+10", "-", stdin=b"new"), "0+3\n")
        self.assertEqual(self.out("remove-blob", "0+3", "-"), "new")

    def test_blobs_as_json(self):
        name = self.write("x", b"\0\xff")
        for address in (0, 2):
            self.assertEqual(self.json("add", name), {"reference": f"{address}+2",
                                                      "address": address, "size": 2})
        self.assertEqual(self.json("load", "0+2"), {"base64": "AP8="})
        self.assertEqual(self.json("load", "0+0"), {"base64": ""})
        self.assertIsNone(self.json("load", "0+2", "copy"))
        self.assertEqual(self.read("copy"), b"\0\xff")
        self.assertIsNone(self.json("store", "0", name))
        self.assertEqual(self.json("replace", "2+2", self.write("y", b"abc"))["size"], 3)
        self.assertEqual(self.json("remove", "0+2"), {"base64": "AP8="})

    def test_blocks(self):
        self.assertEqual(self.out("allocate", "1KiB"), "0+1024\n")
        self.assertEqual(self.out("allocate", "0"), "1024+0\n")
        self.assertEqual(self.out("resize", "0+1024", "2KiB"), "0+2048\n")
        self.assertEqual(self.json("resize", "0+2KiB", "100")["reference"], "0+100")
        self.assertEqual(self.out("deallocate", "10+10"), "")
        self.assertEqual(self.out("-o", "raw", "get-free-memory"), "10+10\n100+1948\n")
        self.assertEqual(self.json("free-list", "--from", "15"), [[15, 5], [100, 1948]])
        self.assertEqual(self.json("free-list", "--limit=1"), [[10, 10]])
        self.assertEqual(self.json("free-list", "--limit=0"), [])
        self.assertEqual(self.json("allocated-blocks-in-range", "5", "50"), [[5, 5], [20, 30]])
        self.assertEqual(self.json("allocated-blocks-in-range", "5", "50", "--limit", "1"),
                         [[5, 5]])
        self.assertEqual(self.json("deallocated-blocks-in-range", "0", "1KiB"),
                         [[10, 10], [100, 924]])
        self.assertEqual([self.out("is-freed", block) for block in ("10+10", "0+5")],
                         ["true\n", "false\n"])
        self.assertEqual([self.json("is-allocated", block) for block in ("0+10", "5+10")],
                         [True, False])
        self.assertEqual(self.out("deallocate-range", "0", "50"), "40\n")
        self.assertEqual(self.out("clear-and-retain-header", "60"), "")
        self.assertEqual(self.json("free-list"), [[0, 50], [60, 1988]])
        self.assertIsNone(self.json("clear"))
        self.assertEqual(self.json("free-list"), [[0, 2048]])

    def test_a_table_of_blocks(self):
        self.fill(10, 20, 30)
        self.out("deallocate", "10+20")
        self.assertEqual(self.out("free-list"),
                         "   ADDRESS        SIZE         END\n"
                         "        10          20          30\n")

    def test_a_long_list(self):
        """More than the client fetches and prints at a time."""
        count = 7000
        self.out("allocate", str(2 * count))
        script = "".join(f"deallocate {2 * i}+1\n" for i in range(count))
        self.out(stdin=script.encode())
        self.assertEqual(self.json("free-list"), [[2 * i, 1] for i in range(count)])
        self.assertEqual(self.json("free-list", "--limit", "6001"),
                         [[2 * i, 1] for i in range(6001)])
        self.assertEqual(self.out("-o", "raw", "allocated-blocks-in-range", "0",
                                  str(2 * count)).split(),
                         [f"{2 * i + 1}+1" for i in range(count)])

    def test_questions(self):
        self.fill(100, 50)
        self.out("deallocate", "0+100")
        info = self.json("info")
        self.assertEqual(info, {**info, "name": "main", "size": 150, "allocated": 50,
                                "deallocated": 100, "durability": "sync"})
        self.assertEqual(self.json("region-info"), info)
        memory = self.json("memory-info")
        self.assertEqual(memory, {key: info[key] for key in memory})
        for key in ("size", "capacity", "pages", "allocated", "deallocated", "id"):
            for form in ("table", "json", "raw"):
                self.assertEqual(self.out("-o", form, key), f"{info[key]}\n")
        lines = self.out("info").splitlines()
        self.assertIn(f"capacity           {info['capacity']} (64.0 KiB)", lines)
        raw = dict(line.split("\t") for line in self.out("-o", "raw", "info").splitlines())
        self.assertEqual(raw["uuid"], info["uuid"])
        before = info["pages"]
        self.assertEqual(self.out("grow", "2"), f"{before}\n")
        self.assertEqual(self.out("pages"), f"{before + 2}\n")
        self.assertEqual(self.out("checkpoint"), "")
        self.assertIsNone(self.json("checkpoint"))

    def test_regions(self):
        number = self.out("create", "second", "--durability", "interval", "--flush-interval=50ms",
                          "--fit", "lowest", "--max-size", "1MiB", "--journal-size", "32MiB")
        self.assertRegex(number, r"\A\d+\n\Z")
        info = self.json("-r", "second", "info")
        self.assertEqual(info, {**info, "id": int(number), "durability": "interval",
                                "flush_interval": 50, "fit": "lowest", "max_size": 1 << 20,
                                "journal_size": 32 << 20})
        self.assertEqual(self.json("-r", "#" + number.strip(), "info")["name"], "second")
        for form in ("table", "raw"):
            self.assertEqual(self.out("-o", form, "list"), "main\nsecond\n")
        self.assertEqual(self.json("list-regions"), ["main", "second"])
        self.assertEqual(self.out("drop-region", "#" + number.strip()), "")
        self.assertIsInstance(self.json("create-region", "--", "third"), int)
        self.assertIsNone(self.json("drop", "third"))
        self.assertEqual(self.out("list"), "main\n")

    def test_rename_and_set(self):
        number = self.out("create", "second").strip()
        self.assertEqual(self.out("rename", "second", "third"), "")
        self.assertEqual(self.out("-r", "third", "id"), number + "\n")
        self.assertIsNone(self.json("rename-region", "#" + number, "fourth"))
        self.assertEqual(self.out("list"), "fourth\nmain\n")
        self.assertEqual(self.out("set", "fourth", "--max-size", "1MiB", "--fit=lowest"), "")
        self.assertIsNone(self.json("set-region", "--scrub-interval=2h", "#" + number))
        info = self.json("-r", "fourth", "info")
        self.assertEqual(info, {**info, "max_size": 1 << 20, "fit": "lowest", "scrub_interval": 7200000,
                                "durability": "sync"})
        self.fails(1, r"exists: ", "rename", "fourth", "main")
        self.fails(3, r"no_such_region: ", "rename", "nobody", "x")
        self.fails(1, r"invalid_argument: .*no option", "set", "fourth")
        self.fails(3, r"no_such_region: ", "set", "nobody", "--fit=lowest")
        self.out("-r", "fourth", "allocate", "64KiB")
        self.fails(1, r"invalid_argument: .*max_size 1024 ", "set", "fourth", "--max-size=1KiB")
        for args in (["rename", "x"], ["rename", "x", "y", "z"], ["set"], ["set", "--max-size=x", "y"]):
            self.fails(64, "", *args)

    def test_server(self):
        self.assertEqual(self.out("ping"), "pong\n")
        self.assertEqual(self.json("ping"), "pong")
        self.assertEqual(self.json("server-info")["name"], "mregiond")
        self.assertRegex(self.out("server-info"), r"(?m)^max_message +67108864 \(64\.0 MiB\)$")
        host, port = self.mregiond.tcp
        self.assertEqual(self.out("-s", f"tcp:{host}:{port}", "ping"), "pong\n")

    def test_call(self):
        blob = bytes(range(256))
        params = json.dumps(["main", {"base64": base64.b64encode(blob).decode()}])
        self.assertEqual(self.out("call", "addBlob", params), "0\n")
        self.assertEqual(self.run_mrcli("load", "0+256").stdout, blob)
        for form in ("table", "json", "raw"):
            self.assertEqual(
                json.loads(self.out("-o", form, "call", "loadBlob", '["main", 0, 256]')),
                {"base64": base64.b64encode(blob).decode()})
        self.assertEqual(self.out("call", "storeBlob", '["main", 0, "text"]'), "null\n")
        self.assertEqual(self.out("call", "getFreeMemory", '["main", {"limit": 1}]'), "[]\n")
        for params in ((), ("[]",), ("null",)):
            self.assertEqual(self.out("call", "ping", *params), '"pong"\n')
        self.fails(3, r"out_of_bounds: .*18446744073709551615", "call", "loadBlob",
                   '["main", 18446744073709551615, 1]')
        self.fails(1, r"invalid_argument: .*float", "call", "allocate", '["main", 1.0]')
        self.fails(1, r"no_such_method: ", "call", "no_such_thing")
        for params in ("", "{", "[1", '"main"', "{}", "5", "[18446744073709551616]",
                       '[{"base64": "?"}]', '{"base64": "kQ=="}'):
            self.fails(64, r"call: ", "call", "ping", params)

    def test_help(self):
        listed = self.out("--help")
        for command in ("add", "load", "store", "remove", "replace", "call", "list", "quit"):
            self.assertRegex(listed, rf"(?m)^  {command}\b")
        self.assertIn("--max-size SIZE", self.out("help", "create"))
        self.assertEqual(self.out("create", "--help"), self.out("help", "create-region"))
        self.assertRegex(self.out("--version"), r"\Amrcli \d+\.\d+\.\d+\n\Z")
        self.assertEqual(self.out("help", env={"MREGION_SERVER": "unix:/nobody"}), self.out("help"))


class ExitStatus(CliCase):
    def test_1_refused(self):
        self.out("create", "twice")
        self.fails(1, r"exists: ", "create", "twice")
        self.fails(1, r"invalid_argument: ", "create", "a/b")
        self.fails(1, r"invalid_argument: ", "create", "x", "--fit", "wide")
        self.fails(1, r"invalid_argument: ", "create", "x", "--journal-size", "1KiB")

    def test_3_no_such_region_or_block(self):
        self.out("allocate", "100")
        self.out("deallocate", "50+10")
        self.fails(3, r"no_such_region: ", "-r", "nobody", "size")
        self.fails(3, r"no_such_region: ", "-r", "#99", "size")
        self.fails(3, r"no_such_region: ", "drop", "nobody")
        self.fails(3, r"out_of_bounds: ", "load", "0+101")
        self.fails(3, r"out_of_bounds: ", "load", "18446744073709551615+18446744073709551615")
        self.fails(3, r"not_allocated: ", "deallocate", "50+10")
        self.fails(3, r"not_allocated: ", "load", "40+20", "copy")
        self.fails(3, r"partly_free: ", "is-freed", "40+20")
        self.fails(3, r"out_of_bounds: ", "allocated-blocks-in-range", "0", "200")
        self.assertEqual(os.listdir(self.folder), [])

    def test_5_no_space(self):
        self.out("create", "small", "--max-size", "64KiB")
        self.fails(5, r"no_space: ", "-r", "small", "allocate", "65KiB")
        self.fails(5, r"no_space: ", "-r", "small", "add", self.write("big", bytes(PAGE + 1)))
        self.fails(5, r"no_space: ", "-r", "small", "add", "-", stdin=bytes(PAGE + 1))
        self.assertEqual(self.out("-r", "small", "size"), "0\n")

    def test_64_usage(self):
        for args in (["nonsense"], ["load"], ["load", "1", "2", "3"], ["load", "12"],
                     ["load", "1+x"], ["allocate", "-1"], ["allocate", "1.5MiB"], ["allocate"],
                     ["resize", "0+1"], ["grow", "1KiB"], ["store", "0+4", "f"], ["ping", "x"],
                     ["add", "-x"], ["add", "--x", "f"], ["add", "-", "-"], ["free-list", "x"],
                     ["create", "n", "--max-size"], ["create", "n", "--max-size", "big"],
                     ["create", "n", "--flush-interval", "5"], ["free-list", "--limit", "-1"],
                     ["help", "nonsense"], ["quit"], ["use", "main"],
                     ["-o", "xml", "ping"], ["--timeout", "5", "ping"], ["--timeout", "0s", "ping"],
                     ["-s", "nonsense", "ping"], ["-s", "unix:" + "x" * 200, "ping"],
                     ["-r", "#x", "load", "0+0"]):
            self.fails(64, r"", *args)
        for args in (["-x"], ["--nonsense", "ping"], ["-s"]):
            done = self.run_mrcli(*args)
            self.assertEqual(done.returncode, 64)
            self.assertIn(b"mrcli --help", done.stderr)

    def test_64_which_region(self):
        self.assertEqual(self.out("size", env={"MREGION_REGION": ""}), "0\n")
        self.out("create", "second")
        self.fails(64, r"which region .*: main, second\n", "size", env={"MREGION_REGION": ""})
        self.out("drop", "second")
        with FakeServer(lambda method, params: (None, [])) as fake:
            self.fails(64, r"there is no region", "-s", fake.address, "size",
                       env={"MREGION_REGION": ""})

    def test_69_cannot_connect(self):
        self.fails(69, r"cannot connect to unix:/nobody", "-s", "unix:/nobody", "ping")
        self.fails(69, r"cannot connect to tcp:127.0.0.1:1: ", "ping",
                   env={"MREGION_SERVER": "tcp:127.0.0.1:1"})
        self.fails(69, r"cannot connect", "-s", "unix:/nobody", "add", self.write("x", b"x"))

    def test_69_lost(self):
        def die(method, params):
            raise OSError
        with FakeServer(die) as fake:
            self.fails(69, r"", "-s", fake.address, "--timeout", "5s", "create", "x")
        with FakeServer(lambda method, params: (None, {"no": "number"})) as fake:
            self.fails(69, r".*answer", "-s", fake.address, "allocate", "1")

    def test_74_local(self):
        self.out("allocate", "100")
        self.fails(74, r"nobody: cannot open: No such file", "add", "nobody")
        self.fails(74, r"\.: cannot read: Is a directory", "add", ".")
        self.fails(74, r"no/body: cannot write: No such file", "load", "0+10", "no/body")
        self.fails(74, r"\.: cannot write: Is a directory", "load", "0+10", ".")
        self.fails(74, r": cannot write: No such file", "load", "0+10", "")
        self.assertEqual(os.listdir(self.folder), [])
        with open("/dev/full", "wb") as full:
            for args in (["load", "0+10"], ["ping"], ["-o", "json", "load", "0+10"],
                         ["remove", "0+10"], ["list"], ["--help"], ["free-list"], ["add", "-"],
                         ["backup", "--all", "unheard"]):
                self.fails(74, r"standard output: cannot write: No space left", *args, stdout=full,
                           stdin=b"blob")
        self.fails(74, r"/dev/full: cannot write: No space left", "load", "0+10", "/dev/full")
        # Nothing was freed of which the bytes were lost, nothing kept of which the reference was.
        self.assertEqual(self.out("-o", "json", "allocated-blocks-in-range", "0", "100"),
                         "[[0,100]]\n")
        self.assertEqual(self.out("allocated"), "100\n")

    def test_74_closed(self):
        for redirect, command, subject in ((">&-", "ping", "standard output"),
                                           ("<&-", "add -", "standard input"),
                                           ("<&-", "", "standard input")):
            done = subprocess.run(["sh", "-c", f'"$0" {command} {redirect}', MRCLI],
                                  env=self.environment, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
            self.assertEqual(done.returncode, 74, (redirect, command))
            self.assertRegex(done.stderr.decode(), rf"\Amrcli: {subject}: ")

    def test_74_broken_pipe(self):
        self.out("allocate", "8MiB")
        for command in ("load 0+8MiB", "remove 0+8MiB"):
            done = subprocess.run(["bash", "-c", f'"$0" {command} | true; echo "${{PIPESTATUS[0]}}"',
                                   MRCLI], env=self.environment, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, check=False)
            self.assertEqual(done.stdout, b"74\n")
            self.assertEqual(done.stderr, b"mrcli: standard output: cannot write: Broken pipe\n")
        self.assertEqual(self.out("is-allocated", "0+8MiB"), "true\n")

    def test_75_no_answer(self):
        with FakeServer(lambda method, params: None) as fake:
            self.fails(75, r"", "-s", fake.address, "--timeout", "100ms", "ping")
            self.fails(75, r"", "-s", fake.address, "--timeout", "100ms", "load", "0+10", "copy")
        self.assertEqual(os.listdir(self.folder), [])

    def test_what_the_server_says(self):
        for text, status in (("corrupt: bytes 0 to 9 are damaged", 6), ("busy: later", 75),
                             ("shutting_down: bye", 75), ("denied: not you", 77),
                             ("unauthenticated: who?", 77), ("io_error: the disk", 1),
                             ("read_only: since then", 1), ("too_large: by far", 1),
                             ("internal: a fault", 1), ("no_space: full", 5)):
            with FakeServer(lambda method, params, text=text: (text, None)) as fake:
                for args in (["ping"], ["load", "0+10", "copy"], ["call", "whatever"],
                             ["add", self.write("x", b"x")]):
                    self.fails(status, re.escape(text) + r"\n", "-s", fake.address, *args)
            os.remove(self.path("x"))
            self.assertEqual(os.listdir(self.folder), [])
        with FakeServer(lambda method, params: ("new_code: of a later \x1b[2J server", None)) as fake:
            self.fails(1, r"new_code: of a later \?\[2J server\n", "-s", fake.address, "ping")

    def test_78_environment(self):
        self.fails(78, r"MREGION_SERVER: .*nonsense", "ping", env={"MREGION_SERVER": "nonsense"})
        self.assertEqual(self.out("-s", "unix:" + self.mregiond.unix, "ping",
                                  env={"MREGION_SERVER": "nonsense"}), "pong\n")


if __name__ == "__main__":
    unittest.main()
