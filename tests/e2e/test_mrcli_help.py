"""mrcli: help with examples that run, what it takes mistyped words for, and completion in the shells of
others."""
import json
import os
import pty
import re
import select
import shutil
import subprocess
import unittest

from cli import CliCase
from server import DEADLINE, MRCLI


class Help(CliCase):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("bin"))
        os.symlink(os.path.realpath(MRCLI), self.path("bin/mrcli"))
        self.environment["PATH"] = self.path("bin") + ":" + self.environment["PATH"]

    def bash(self, script, statuses=(0,), **options):
        done = subprocess.run(["bash", "-eu", "-o", "pipefail", "-c", script], cwd=self.folder,
                              env=self.environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE,
                              check=False, **options)
        self.assertIn(done.returncode, statuses, script)
        self.assertEqual(done.stderr, b"", script)
        return done.stdout.decode()

    def commands(self):
        return re.findall(r"^  ([a-z][a-z-]+)\b.*", self.out("help"), re.M)

    def test_every_example_runs(self):
        self.write("photo.jpg", bytes(5000))
        self.write("password", b"correct horse\n")
        self.out("export", "main.export")
        self.out("create", "photos")
        commands = self.commands()
        self.assertGreater(len(commands), 40)
        if self.run_mrcli("call", "stats").returncode != 0:  # this server does not count
            commands = [name for name in commands if name not in ("stat", "top", "latency")]
        for command in commands:
            example = re.search(r"^example:\n  \$ (.+)\n", self.out("help", command), re.M)
            self.assertIsNotNone(example, command)
            self.out("clear")
            address = self.out("add", self.write("blob", bytes(2 << 20))).split("+")[0]
            self.assertEqual(address, "0")
            self.out("deallocate", "1536KiB+4KiB")
            # On a busy machine it is interrupted before it has begun.
            self.bash(example[1], (0, 130) if "-s INT" in example[1] else (0,))

    def test_help_of_commands(self):
        text = self.out("map", "--help")
        self.assertTrue(text.startswith("usage: map [OPTION]...\n"), text)
        self.assertIn("  -w, --watch\n  -i, --interval TIME\n", text)
        self.assertEqual(self.out("help", "map"), text)
        for line in self.out("--help").splitlines():
            self.assertLessEqual(len(line), 100)

    def test_a_narrow_terminal(self):
        for args in (("--help",), ("help",), ("help", "bench"), ("help", "map")):
            status, shown = self.on_terminal(*args, size=(24, 40))
            self.assertEqual(status, 0)
            lines = shown.replace("\r", "").split("\n")
            self.assertEqual([line for line in lines if len(line) > 40], [], args)
            self.assertGreater(len(lines), 5)

    def test_check_on_a_narrow_terminal(self):
        self.out("allocate", "64KiB")
        for size, pattern in (((24, 40), r"REGION +PAGES +GOOD +NOSUM +BAD\nmain +16 +"),
                              ((24, 80), r"REGION +PAGES +VERIFIED +UNVERIFIED +DAMAGED\nmain +16 +")):
            status, shown = self.on_terminal("-r", "main", "check", size=size)
            shown = re.sub(r"\x1b\[K|\r", "", shown)
            self.assertEqual(status, 0)
            self.assertRegex(shown, pattern)
            self.assertEqual([line for line in shown.split("\n") if len(line) > size[1]], [])

    def test_what_was_meant(self):
        self.fails(64, r"no such command: pnig \(did you mean ping\? mrcli help lists them\)", "pnig")
        self.fails(64, r"no such command: frobnicate \(mrcli help lists them\)", "frobnicate")
        self.fails(64, r"no such command: lst \(did you mean list\? help lists them\) \(line 1\)",
                   stdin=b"lst\n")
        self.fails(64, r"no such command: clera \(did you mean clear", "help", "clera")
        self.fails(64, r"map: no such option: --wacth \(did you mean --watch\?\)", "map", "--wacth")
        self.fails(64, r"create: no such option: --fits=x \(did you mean --fit\?\)", "create",
                   "--fits=x", "y")
        self.fails(64, r"load: no such option: --zzz \(a file of this name follows a --\)", "load",
                   "--zzz")
        done = self.run_mrcli("--sevrer", "x", "ping")
        self.assertEqual(done.returncode, 64)
        self.assertEqual(done.stderr.decode().splitlines()[1],
                         "did you mean --server? mrcli --help lists the options")

    # ---- Options of mrcli itself behind the command ----

    def test_options_behind(self):
        reference = self.out("add", self.write("x", b"blob")).strip()
        self.assertEqual(json.loads(self.out("list", "-o", "json")), ["main"])
        self.assertEqual(self.out("list", "-ojson"), self.out("-o", "json", "list"))
        self.assertEqual(json.loads(self.out("-o", "raw", "list", "--output=json")), ["main"])
        self.out("create", "--fit", "lowest", "other", "-o", "json", "--max-size=1MiB")
        self.assertEqual(self.out("size", "-r", "other"), "0\n")
        self.assertEqual(self.out("load", "-r", "main", reference), "blob")
        self.assertEqual(self.out("load", reference, "-", "-r", "main"), "blob")
        server = self.environment.pop("MREGION_SERVER")
        self.environment["MREGION_SERVER"] = "unix:/nonexistent"
        self.assertEqual(self.out("ping", "-s", server, "--timeout", "10s", "--keep-going"), "pong\n")
        self.fails(69, "cannot connect", "ping")
        self.fails(64, "ping: --output needs a value", "ping", "-o")
        self.fails(64, "ping: --insecure takes no value", "ping", "--insecure=1")
        self.fails(64, "-o: \"yaml\" is none of", "ping", "-o", "yaml")
        self.fails(64, "ping: no such option: --version", "ping", "--version")
        self.fails(64, r"ping: no such option: --sevrer \(did you mean --server\?\)", "ping", "--sevrer")
        self.fails(64, r"ping: no such option: -x \(a file of this name follows a --\)", "ping", "-x")
        self.fails(74, "-o: cannot", "add", "-s", server, "--", "-o")

    def test_options_of_one_line(self):
        """They hold for that line; what cannot change in between is refused."""
        self.out("create", "other")
        self.out("-r", "other", "allocate", "7")
        lines = self.out(stdin=b"size -r other\nsize\nlist -o json\nlist -o raw\nsize -o json -r '#"
                         + self.out("-r", "other", "id").strip().encode() + b"'\nuse other\nsize\n"
                         b"size -r main --timeout 5s\nsize\n").splitlines()
        self.assertEqual(lines, ["7", "0", '["main","other"]', "main", "other", "7", "7", "0", "7"])
        for option in (b"-s unix:/x", b"--user=x", b"--ca x", b"--keep-going", b"--insecure"):
            self.fails(64, "--.* is for all commands together: .*line 1", stdin=b"ping " + option + b"\n")
        self.fails(64, "use: no such option: -o", stdin=b"use -o json main\n")
        self.fails(64, "-o: \"x\" is none of .*line 2", stdin=b"size -o json\nsize -r other -o x\nsize\n")
        # A line that has failed leaves nothing behind, and in a batch they make no sense.
        self.assertEqual(self.run_mrcli("--keep-going", stdin=b"size -r other -o x\nsize\n").stdout,
                         b"0\n")
        self.fails(64, ".*none of a change", "batch", self.write("b", b"allocate 5 -o json\n"))

    # ---- Completion ----

    def words(self, *words):
        """Candidates alone; their sentences are for the eyes."""
        lines = self.out("completion", "words", "--", *words).splitlines()
        return [line.split("\t")[0] for line in lines]

    def test_words(self):
        self.out("create", "mail")
        for words, expected in (
                (["pin"], ["ping"]), (["load"], ["load-blob", "load"]), (["-r", "ma"], ["mail", "main"]),
                (["--region=mai"], ["--region=mail", "--region=main"]), (["-o", "j"], ["json"]),
                (["--output=r"], ["--output=raw"]), (["--pass"], ["--password-file"]),
                (["--password-file", ""], ["/FILES"]), (["-r", "main", "drop", "mai"], ["mail", "main"]),
                (["drop", "main", ""], []), (["load", ""], []), (["load", "0+4", ""], ["/FILES"]),
                (["add", "x", "y", ""], ["/FILES"]), (["store", "0", ""], ["/FILES"]),
                (["store", "0", "x", ""], []), (["map", "--s"], ["--svg", "--server", "--server-name"]), (["map", "--svg", ""], ["/FILES"]),
                (["map", "-i", ""], []), (["map", "-w", "--r"], ["--rows", "--region"]),
                (["create", "--durability", "i"], ["interval"]), (["create", "--", "--fit"], []),
                (["create", "--fit=l"], ["--fit=lowest", "--fit=largest"]),
                (["call", "loadB"], ["loadBlob"]), (["help", "pin"], ["ping"]),
                (["events", "x", "mai"], ["mail", "main"]), (["list", "--out"], ["--output"]), (["list", "--output=j"], ["--output=json"]),
                (["size", "-r", "mai"], ["mail", "main"]), (["size", "-o", "r"], ["raw"]),
                (["drop", "-s", "unix:/nobody", "mai"], []), (["map", "--reg"], ["--region"]),
                (["completion", ""], ["bash", "zsh", "fish"]), (["nonsense", ""], []), (["us"], [])):
            self.assertEqual(self.words(*words), expected, words)
        self.assertGreater(len(self.words("")), 50)
        self.assertEqual(self.words("map", "--"), ["--columns", "--rows", "--watch", "--interval",
                                                   "--count", "--svg", "--png", "--help"])
        # Nobody is asked, and nothing is said, where there is no server.
        self.assertEqual(self.words("-s", "unix:/nobody", "drop", ""), [])
        self.assertEqual(self.words("-s", "tcp:256.0.0.1:1", "-r", ""), [])
        self.fails(64, "completion: \"csh\" is none of", "completion", "csh")
        self.fails(64, "completion: words are to follow", "completion", "words")
        self.fails(64, "completion: too many arguments", "completion", "bash", "zsh")

    def test_bash(self):
        """As bash calls it, also where it has cut words at = and :."""
        self.out("create", "mail")
        self.write("a file", b"")
        script = self.write("ask", b"""
            source <(mrcli completion bash)
            [[ $(complete -p mrcli) == "complete -F _mrcli mrcli" ]]
            COMP_LINE=$1 COMP_POINT=${#1}
            _mrcli mrcli "" ""
            ((${#COMPREPLY[@]} == 0)) || printf '%s\\n' "${COMPREPLY[@]}"
        """)
        for line, expected in (("mrcli pin", "ping\n"), ("mrcli -r mai", "mail\nmain\n"),
                               ("mrcli --region=mai", "mail\nmain\n"), ("mrcli -o ", "table\njson\nraw\n"),
                               ("mrcli -s unix:/x -o j", "json\n"), ("mrcli add a", "a file\nask\n"),
                               ("mrcli create --fit l", "lowest\nlargest\n"), ("mrcli size ", "")):
            self.assertEqual(self.bash(f"bash '{script}' '{line}'"), expected, line)

    def interactive(self, command, prompt, typed, wanted):
        """Types into a shell on a terminal, once it shows its prompt, until it shows what is wanted."""
        controller, terminal = pty.openpty()
        process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal,
                                   cwd=self.folder, env=self.environment, start_new_session=True)
        os.close(terminal)
        shown = b""
        typed = list(typed)
        seen = 0
        try:
            while not re.search(wanted, shown):
                if typed and shown.find(prompt, seen) >= 0:
                    seen = len(shown)
                    os.write(controller, typed.pop(0))
                self.assertTrue(select.select([controller], [], [], DEADLINE)[0], shown)
                shown += os.read(controller, 65536)
        finally:
            process.kill()
            process.wait()
            os.close(controller)

    def test_bash_on_a_terminal(self):
        self.write("rc", b"PS1='$ '\nsource <(mrcli completion bash)\n")
        self.interactive(["bash", "--noprofile", "--rcfile", "rc", "-i"], b"$ ",
                         [b"mrcli pin\t\n"], rb"pong\r\n")

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh_on_a_terminal(self):
        """Read by its rc file, and found where it is installed."""
        self.environment["ZDOTDIR"] = self.folder
        for before, behind in (("", "source <(mrcli completion zsh)"), ("fpath=($PWD $fpath)", "")):
            self.write("_mrcli", self.out("completion", "zsh").encode())
            self.write(".zshrc", f"PS1='%% '\n{before}\nautoload -U compinit\ncompinit -D -u\n"
                                 f"{behind}\n".encode())
            self.interactive(["zsh", "-i"], b"% ", [b"mrcli pin\t\n"], rb"pong\r\n")

    @unittest.skipUnless(shutil.which("fish"), "fish is not installed")
    def test_fish(self):
        self.out("create", "mail")
        for line, expected in (("mrcli pin", ["ping"]), ("mrcli -r mai", ["mail", "main"]),
                               ("mrcli create --fit l", ["largest", "lowest"])):
            done = subprocess.run(["fish", "-c", f"mrcli completion fish | source; complete -C '{line}'"],
                                  env=self.environment, cwd=self.folder, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=DEADLINE, check=False)
            found = [word.split("\t")[0] for word in done.stdout.decode().splitlines()]
            self.assertEqual(sorted(found), expected, done.stderr)


if __name__ == "__main__":
    unittest.main()
