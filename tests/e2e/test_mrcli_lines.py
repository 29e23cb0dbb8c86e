"""mrcli: commands from standard input, and the shell on a terminal."""
import os
import re
import stat
import threading
import unittest

from cli import CliCase, FakeServer


class Scripts(CliCase):
    def test_lines(self):
        self.write("my file", b"abc")
        script = b"""# a comment, then an empty line

add 'my file'   # another
  add "my file"\tmy\\ file
info
load 0+3
"""
        out = self.out(stdin=script)
        self.assertTrue(out.startswith("0+3\n3+3\n6+3\nid "), out)
        self.assertTrue(out.endswith("\nabc"), out)
        self.assertEqual(self.out(stdin=b"ping"), "pong\n")
        self.assertEqual(self.out(stdin=b"ping\r\nping\r\n"), "pong\npong\n")
        self.assertEqual(self.out(stdin=b""), "")
        self.assertEqual(self.out("-o", "json", stdin=b"allocate 4\nclear\n"),
                         '{"reference":"9+4","address":9,"size":4}\nnull\n')
        self.assertEqual(self.out(stdin=b"call isFreed '[\"main\", 0, 4]'"), "true\n")

    def test_binary_output_is_between_the_lines(self):
        blob = bytes(range(256))
        reference = self.out("add", self.write("x", blob)).strip()
        done = self.run_mrcli(stdin=f"ping\nload {reference}\nping\n".encode())
        self.assertEqual((done.returncode, done.stdout), (0, b"pong\n" + blob + b"pong\n"))

    def test_the_first_failure_ends_it(self):
        self.assertEqual(self.fails(3, r"out_of_bounds: .* \(line 2\)\n",
                                    stdin=b"ping\nload 9+9\nping\n"), "pong\n")
        self.assertEqual(self.fails(64, r"no such command: pong .*\(line 1\)\n",
                                    stdin=b"pong\nping\n"), "")

    def test_keep_going(self):
        done = self.run_mrcli("--keep-going", stdin=b"ping\nload 9+9\nnonsense\nping\nadd no\nping")
        self.assertEqual((done.returncode, done.stdout), (3, b"pong\npong\npong\n"))
        lines = done.stderr.decode().splitlines()
        self.assertEqual([line.rsplit("(", 1)[1] for line in lines],
                         ["line 2)", "line 3)", "line 5)"])

    def test_what_is_no_command(self):
        self.fails(64, r"a quote is not closed: add 'x \(line 1\)", stdin=b"add 'x\n")
        self.fails(64, r"nothing follows the backslash: .*\(line 2\)", stdin=b"ping\nadd x\\")
        self.fails(64, r"a NUL byte is in the line.*\(line 1\)", stdin=b"ping\0\n")
        self.fails(64, r"no such command:  ", stdin=b"''\n")
        self.fails(64, r"no such command: -r ", stdin=b"-r main ping\n")

    def test_standard_input_holds_the_commands(self):
        for command in (b"add -", b"store 0 -", b"replace 0+0 -"):
            self.fails(64, r"- is standard input, which holds the commands .*\(line 1\)",
                       stdin=command + b"\nping\n")
        self.out("add", self.write("x", b"blob"))
        self.assertEqual(self.out(stdin=b"load 0+4 -\nping\n"), "blobpong\n")

    def test_use_and_quit(self):
        self.out("create", "other", "--max-size", "64KiB")
        self.assertEqual(self.out(stdin=b"allocate 4\nuse other\nsize\nuse main\nsize\n"),
                         "0+4\n0\n4\n")
        self.assertEqual(self.out(stdin=b"ping\nquit\nnonsense\n"), "pong\n")
        self.assertEqual(self.out(stdin=b"exit\nnonsense\n"), "")

    def test_one_connection(self):
        with FakeServer(lambda method, params: (None, "pong")) as fake:
            self.assertEqual(self.out("-s", fake.address, stdin=b"ping\n" * 50), "pong\n" * 50)
            self.assertEqual(len(fake.connections), 1)

    def test_help_needs_no_server(self):
        self.assertIn("usage: load REF [FILE]", self.out("-s", "unix:/nobody", stdin=b"help load\n"))


class Shell(CliCase):
    HISTORY = ".local/state/mrcli/history"

    def plain(self, shown):
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", shown)

    def test_commands(self):
        status, shown = self.on_terminal(typed=[b"allocate 16\n", b"load 99+9\n", b"free-list\n",
                                                b"quit\n"])
        shown = self.plain(shown)
        self.assertEqual(status, 0, shown)
        self.assertIn("mrcli main> ", shown)
        self.assertIn("\n0+16\n", shown)
        self.assertIn("\nmrcli: out_of_bounds: ", shown)
        self.assertIn("ADDRESS        SIZE         END", shown)

    def test_end_of_input(self):
        status, _ = self.on_terminal(typed=[b"\x04"])
        self.assertEqual(status, 0)

    def test_completion(self):
        self.write("file-with-a-long-name", b"abc")
        status, shown = self.on_terminal(typed=[b"pin\t\n", b"add file-w\t\n", b"de\t\t\x15quit\n"])
        shown = self.plain(shown)
        self.assertEqual(status, 0, shown)
        self.assertIn("\npong\n", shown)
        self.assertIn("\n0+3\n", shown)
        for name in ("deallocate-range", "deallocated-blocks-in-range"):
            self.assertIn(name, shown)

    def test_history(self):
        for folder, env in ((self.path(".local/state"), {}),
                            (self.path("state"), {"XDG_STATE_HOME": self.path("state")})):
            self.on_terminal(typed=[b"allocate 7\n", b"quit\n"], env=env)
            path = os.path.join(folder, "mrcli", "history")
            with open(path, encoding="utf-8") as file:
                self.assertIn("allocate", file.read())
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
            before = int(self.out("allocated"))
            # quit, then allocate 7: two lines up.
            self.on_terminal(typed=[b"\x1b[A\x1b[A\n", b"quit\n"], env=env)
            self.assertEqual(int(self.out("allocated")), before + 7)

    def test_ctrl_c(self):
        status, shown = self.on_terminal(typed=[b"nonsense\x03", b"ping\n", b"quit\n"])
        shown = self.plain(shown)
        self.assertEqual(status, 0, shown)
        self.assertIn("\npong\n", shown)
        self.assertNotIn("no such command", shown)

    def test_completion_of_regions_and_options(self):
        self.out("create", "a-long-name")
        status, shown = self.on_terminal(typed=[b"use a-l\t\n", b"size\n", b"map --ro\t1 --col\t9\n",
                                                b"create --dur\tint\t b\n", b"use ma\t\n",
                                                b"drop a-l\tx\x15map --\t\x15quit\n"])
        shown = self.plain(shown)
        self.assertEqual(status, 0, shown)
        self.assertIn("mrcli a-long-name> ", shown)
        self.assertIn("--rows 1", shown)
        self.assertIn("--columns 9", shown)
        self.assertIn("--durability interval b", shown)
        self.assertIn("--columns  --rows  --watch  --interval", shown)
        self.assertIn("a-long-name x", shown)
        self.assertEqual(self.out("list").split(), ["a-long-name", "b", "main"])
        self.assertIn("interval", self.out("-r", "b", "info"))

    def test_hints(self):
        _, shown = self.on_terminal(typed=[b"load 0+0 /dev/null\n", b"map \x15quit\n"])
        self.assertIn("REF [FILE]", shown)
        self.assertIn("[OPTION]...", shown)

    def test_ctrl_c_ends_a_request(self):
        """The server never answers: Ctrl-C once ends the wait, and the shell goes on."""
        answered = []

        def answer(method, params):
            answered.append(method)
            return {"listRegions": (None, ["main"]), "ping": (None, "pong")}.get(method)

        for command in (b"size\n", b"allocate 9\n", b"load 0+9\n", b"checkpoint\n", b"export file\n"):
            answered.clear()
            with FakeServer(answer) as fake:
                status, shown = self.on_terminal(
                    "-s", fake.address, "--timeout", "1h",
                    typed=[command, b"\x03", b"ping\n", b"quit\n"],
                    waits={1: lambda: any(name not in ("listRegions", "ping") for name in answered)})
            shown = self.plain(shown)
            self.assertEqual(status, 0, shown)
            self.assertIn("\npong\n", shown)

    def test_several_regions(self):
        self.out("create", "other")
        status, shown = self.on_terminal(typed=[b"size\n", b"use other\n", b"size\n", b"quit\n"],
                                         env={"MREGION_REGION": ""})
        shown = self.plain(shown)
        self.assertEqual(status, 0, shown)
        self.assertIn("Choose one with use NAME: main, other", shown)
        self.assertIn("mrcli> ", shown)
        self.assertIn("mrcli other> ", shown)

    def test_no_server(self):
        status, shown = self.on_terminal("-s", "unix:/nobody")
        self.assertEqual(status, 69, shown)
        self.assertIn("cannot connect", shown)


class Terminal(CliCase):
    def test_a_removed_blob_is_not_shown(self):
        for _ in range(2):
            self.out("add", self.write("x", b"the blob"))
        self.assertEqual(self.on_terminal("remove", "0+8"), (0, ""))
        self.assertEqual(self.out("allocated"), "8\n")
        self.assertEqual(self.on_terminal("remove", "8+8", "-"), (0, "the blob"))
        self.assertEqual(self.out("allocated"), "0\n")

    def test_progress(self):
        """The server takes its time for every piece; nothing is shown where it is quick."""
        wait = threading.Event()

        def answer(method, params):
            if method == "serverInfo":
                return None, {"max_message": 1 << 20}
            if method == "isAllocated":
                return None, True
            if method == "loadBlob":
                wait.wait(0.3)
                return None, bytes(params[2])
            return "internal: " + method, None

        self.write("out", b"")
        with FakeServer(answer) as fake:
            status, shown = self.on_terminal("-s", fake.address, "load", "0+5MiB", "out")
        self.assertEqual(status, 0, shown)
        self.assertRegex(shown, r"\rout +\d+% \[=+>? *\] [\d.]+ MiB of 5\.0 MiB, [\d.]+ [KM]iB/s")
        self.assertTrue(shown.endswith("\r\x1b[K"), shown)
        self.assertEqual(len(self.read("out")), 5 << 20)
        reference = self.out("add", "out").strip()
        self.assertEqual(self.on_terminal("load", reference, "/dev/null")[0], 0)


if __name__ == "__main__":
    unittest.main()
