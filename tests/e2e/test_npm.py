"""A MessagePack-RPC client that is not ours, one of npm's, over both kinds of socket. What it is made of
is fetched once, into the build folder."""
import os
import re
import shutil
import subprocess
import sys
import unittest

from server import DEADLINE, Server

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "npm")
FOLDER = os.path.abspath("npm-client")  # CTest runs this in the build folder
# What a machine without the network says.
NO_NETWORK = r"E?(NOTFOUND|AI_AGAIN|CONNREFUSED|CONNRESET|TIMEDOUT|NETUNREACH|HOSTUNREACH)\b|network|5\d\d "


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


def same(name):
    """Whether the file is in the build folder as it is here."""
    try:
        with open(os.path.join(HERE, name), "rb") as mine, open(os.path.join(FOLDER, name), "rb") as its:
            return mine.read() == its.read()
    except FileNotFoundError:
        return False


def fetch():
    """Installs exactly what package-lock.json names, and runs no script of it."""
    if same("package-lock.json") and os.path.isdir(os.path.join(FOLDER, "node_modules", "msgpack5rpc")):
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.makedirs(FOLDER)
    for name in "package.json", "package-lock.json":
        shutil.copy(os.path.join(HERE, name), FOLDER)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1",
               "--fetch-timeout=20000"]
    try:
        done = subprocess.run(command, cwd=FOLDER, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=DEADLINE, check=False)
    except subprocess.TimeoutExpired:
        shutil.rmtree(FOLDER)
        skip("npm does not get what it wants in time")
    if done.returncode != 0:
        shutil.rmtree(FOLDER)
        if re.search(NO_NETWORK, done.stdout):
            skip("npm does not reach its registry: " + done.stdout)
        raise SystemExit("npm ci: " + done.stdout)


class Npm(unittest.TestCase):
    def run_client(self, address):
        shutil.copy(os.path.join(HERE, "client.js"), FOLDER)
        done = subprocess.run(["node", "client.js", address], cwd=FOLDER, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=DEADLINE, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("all as expected", done.stdout)

    def test_unix(self):
        with Server() as server:
            self.run_client(server.unix)

    def test_tcp(self):
        with Server() as server:
            self.run_client("%s:%d" % server.tcp)

    def test_the_client_can_fail(self):
        with Server() as server:
            server.stop()
            with self.assertRaises(AssertionError):
                self.run_client(server.path("s"))


if __name__ == "__main__":
    if not shutil.which("node") or not shutil.which("npm"):
        skip("node or npm is not here (packages nodejs, npm)")
    fetch()
    unittest.main()
