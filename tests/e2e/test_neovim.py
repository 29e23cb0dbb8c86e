"""A MessagePack-RPC client that is not ours, Neovim's, over both kinds of socket."""
import os
import shutil
import subprocess
import sys
import unittest

from server import DEADLINE, Server

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "neovim.lua")


class Neovim(unittest.TestCase):
    def run_script(self, server, kind, address):
        env = {**os.environ, "KIND": kind, "ADDRESS": address, "HOME": server.folder,
               "XDG_STATE_HOME": server.folder, "XDG_DATA_HOME": server.folder}
        done = subprocess.run(["nvim", "--headless", "-u", "NONE", "-i", "NONE", "-n",
                               "-c", "luafile " + SCRIPT.replace(" ", "\\ ")],
                              env=env, cwd=server.folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=DEADLINE, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("all as expected", done.stdout)

    def test_unix(self):
        with Server() as server:
            self.run_script(server, "pipe", server.unix)

    def test_tcp(self):
        with Server() as server:
            self.run_script(server, "tcp", "%s:%d" % server.tcp)

    def test_the_script_can_fail(self):
        with Server() as server:
            server.stop()
            with self.assertRaises(AssertionError):
                self.run_script(server, "pipe", server.path("s"))


if __name__ == "__main__":
    if not shutil.which("nvim"):
        print("skipped: nvim is not here (package neovim)")
        sys.exit(77)
    unittest.main()
