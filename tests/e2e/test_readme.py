"""The README's examples do what the README says: each on a server without anything in it."""
import os
import re
import subprocess
import unittest

from case import Case
from server import DEADLINE, MRCLI

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
SOCKET = "/run/mregiond/mregiond.sock"


def blocks(language):
    """The code blocks of one language, in order."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", file.read())


class Readme(Case):
    def run_command(self, server, *command, **env):
        done = subprocess.run(command, cwd=server.folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=DEADLINE, check=False, env={**os.environ, **env})
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def write(self, server, name, text):
        """The example, with the server's socket in place of the packaged one."""
        self.assertIn(SOCKET, text)
        with open(server.path(name), "w", encoding="utf-8") as file:
            file.write(text.replace(SOCKET, server.path("s")))

    def test_python(self):
        [example] = blocks("python")
        server = self.server().start()
        self.write(server, "minute.py", example)
        said = self.run_command(server, "/usr/bin/python3", "minute.py")
        self.assertEqual(said.split("\n")[:-1], re.findall(r"(?m)^print\(.*\)  ?# (.*)$",
                                                          re.sub(" +#", "  #", example)))
        server.stop()

    def test_c(self):
        [example] = blocks("c")
        [wanted] = blocks("text")
        server = self.server().start()
        self.write(server, "minute.c", example)
        library = os.environ["LIBMREGION"]
        flags = ["-fsanitize=address,undefined"] if os.environ.get("MREGION_ASAN") else []
        self.run_command(server, os.environ.get("CC", "cc"), "-std=c11", "-Wall", "-Wextra",
                         "-Werror", *flags, "-I" + os.path.join(ROOT, "client"), "minute.c",
                         library, "-o", "minute")
        self.assertEqual(self.run_command(server, "./minute",
                                          LD_LIBRARY_PATH=os.path.dirname(library)), wanted)
        server.stop()

    def test_mrcli(self):
        [example] = blocks("console")
        server = self.server().start()
        path = os.path.dirname(MRCLI) + ":" + os.environ["PATH"]
        said = ""
        for command in re.findall(r"(?m)^\$ (.*)$", example):
            said += f"$ {command}\n" + self.run_command(
                server, "bash", "-c", command, PATH=path, MREGION_SERVER="unix:" + server.path("s"))
        self.assertEqual(said, example)
        server.stop()


class Run(unittest.TestCase):
    def test_wrong_usage(self):
        """Nothing is installed, built or started for it, and it is no failed comparison."""
        for args, reason in ((["--nonsense"], "no such option: --nonsense"),
                             (["--data-dir"], "--data-dir needs a folder"),
                             (["one", "two"], "one folder only: two")):
            done = subprocess.run([os.path.join(ROOT, "daemon", "run"), *args], text=True,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=DEADLINE, check=False)
            self.assertEqual((done.returncode, done.stdout, done.stderr),
                             (64, "", f"daemon/run: {reason} (daemon/run --help)\n"))


if __name__ == "__main__":
    unittest.main()
