"""The examples of libmregion do what their first lines say."""
import os
import subprocess
import unittest

from server import DEADLINE, Server

EXAMPLES = os.environ["EXAMPLES"].split(":")  # the built programs


def run(name, *args):
    program = next(path for path in EXAMPLES if os.path.basename(path) == "example_" + name)
    done = subprocess.run([program, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=DEADLINE, check=False, text=True)
    return done.returncode, done.stdout, done.stderr


class Examples(unittest.TestCase):
    def test_reuse(self):
        with Server() as server:
            status, out, error = run("reuse", "unix:" + server.unix, "main")
        self.assertEqual((status, error), (0, ""))
        self.assertEqual(out, "added at 0\n1 2 3 4 \n1 holes: 0+4\nadded at 0\n0 holes:\n")

    def test_stack(self):
        with Server() as server:
            address = "tcp:%s:%d" % server.tcp
            status, out, error = run("stack", address, "main", "one", "two", "three")
        self.assertEqual((status, error), (0, ""))
        self.assertEqual(out, "push one at 0\npush two at 19\npush three at 38\n"
                              "pop three\npop two\npop one\n0 bytes in use\n")

    def test_error(self):
        with Server() as server:
            status, out, error = run("reuse", "unix:" + server.unix, "nowhere")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("reuse: no_such_region: ", error)


if __name__ == "__main__":
    unittest.main()
