"""The examples of libmregion do what their first lines say."""
import os
import random
import sqlite3
import subprocess
import threading
import unittest
import urllib.error
import urllib.request

from mpack import Client
from server import DEADLINE, Server

EXAMPLES = {os.path.basename(path): path for path in os.environ["EXAMPLES"].split(":")}


def run(name, *args, stdin=""):
    done = subprocess.run([EXAMPLES["example_" + name], *args], input=stdin,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE,
                          check=False, text=True)
    return done.returncode, done.stdout, done.stderr


class Examples(unittest.TestCase):
    def test_reuse(self):
        with Server() as server:
            status, out, error = run("reuse", "unix:" + server.unix, "main")
        self.assertEqual((status, error), (0, ""))
        self.assertEqual(out, "added at 0\n1 2 3 4 \n1 holes: 0+4\nadded at 0\n0 holes:\n")

    def test_stack(self):
        with Server() as server:
            address = "tcp:localhost:%d" % server.tcp[1]  # a name, and so looked up
            status, out, error = run("stack", address, "main", "one", "two", "three")
        self.assertEqual((status, error), (0, ""))
        self.assertEqual(out, "push one at 0\npush two at 19\npush three at 38\n"
                              "pop three\npop two\npop one\n0 bytes in use\n")

    def test_error(self):
        with Server() as server:
            status, out, error = run("reuse", "unix:" + server.unix, "nowhere")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("reuse: no_such_region: ", error)


class Restarted(unittest.TestCase):
    """Those that keep something: the server is killed between two runs, each on a region of its own."""

    def setUp(self):
        self.server = Server(regions=["main"])
        self.addCleanup(self.server.remove)
        self.server.start()

    def restart(self):
        self.server.kill()
        self.server.start()

    def run_it(self, name, *args, stdin="", status=0):
        found, out, error = run(name, "unix:" + self.server.unix, "main", *args, stdin=stdin)
        self.assertEqual(found, status, error)
        return out if status == 0 else error

    def allocated(self):
        client = Client(self.server.unix)
        try:
            return client.call("allocated", "main")
        finally:
            client.close()

    # ---- Many files ----

    def test_import(self):
        files = [self.file("file %d" % i, os.urandom(1 + i * 997)) for i in range(60)]
        lines = self.run_it("import", *files).splitlines()
        self.restart()
        client = Client(self.server.unix)
        self.addCleanup(client.close)
        self.assertEqual(sorted(line.split(" ", 1)[1] for line in lines), sorted(files))
        for line in lines:
            reference, path = line.split(" ", 1)
            with open(path, "rb") as file:
                self.assertEqual(client.call("loadBlob", "main", *map(int, reference.split("+"))),
                                 file.read())
        error = self.run_it("import", files[0], "/nowhere", status=1)
        self.assertIn("import: /nowhere: local_io: ", error)

    # ---- A pipe ----

    def test_pipe(self):
        for size in (0, 1, 9 * (1 << 20) + 7):
            wanted = os.urandom(size)
            done = subprocess.run([EXAMPLES["example_pipe"], "unix:" + self.server.unix, "main"],
                                  input=wanted, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  timeout=DEADLINE, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue(done.stdout == wanted, size)
            self.assertRegex(done.stderr.decode(), r"\A[0-9]+\+%d\n\Z" % size)
        self.assertEqual(self.allocated(), 1 + 9 * (1 << 20) + 7)
        self.assertIn("pipe: no_such_region: ",
                      run("pipe", "unix:" + self.server.unix, "nowhere", stdin="x")[2])

    # ---- HTTP ----

    def gateway(self):
        command = [EXAMPLES["example_gateway"], "unix:" + self.server.unix, "main", "0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stdout.close)
        return process.stdout.readline().strip()

    def test_gateway(self):
        url = self.gateway()
        client = Client(self.server.unix)
        blobs = [os.urandom(1 + i * 50021) for i in range(20)]
        places = [client.call("addBlob", "main", blob) for blob in blobs]
        client.close()
        for _ in range(2):
            # All at once, each over a connection of its own.
            answers = [None] * len(blobs)

            def get(i, url=url, answers=answers):
                with urllib.request.urlopen("%s/%d+%d" % (url, places[i], len(blobs[i])),
                                            timeout=DEADLINE) as answer:
                    answers[i] = answer.read()

            threads = [threading.Thread(target=get, args=(i,)) for i in range(len(blobs))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual([answer == blob for answer, blob in zip(answers, blobs)],
                             [True] * len(blobs))
            self.restart()
        for path, status in (("/1+", 400), ("/%d+1" % (1 << 40), 404), ("/0+%d" % (1 << 40), 413)):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(url + path, timeout=DEADLINE)
            self.assertEqual(caught.exception.code, status)
            caught.exception.close()

    # ---- The log ----

    def test_log(self):
        lines = [("line %d " % i) * (i % 40 + 1) for i in range(1500)]
        out = self.run_it("log", "append", stdin="".join(line + "\n" for line in lines[:1000]))
        at, wanted = 0, []
        for line in lines[:1000]:
            wanted.append("durable at %d" % at)
            at += 4 + len(line)
        self.assertEqual(out.splitlines(), wanted)
        self.restart()
        self.assertEqual(self.run_it("log", "read").splitlines(), lines[:1000])
        out = self.run_it("log", "append", stdin="\n".join(lines[1000:]))
        self.assertEqual(out.splitlines()[0], "durable at %d" % at)
        self.restart()
        self.assertEqual(self.run_it("log", "read").splitlines(), lines)

    def test_log_of_nothing(self):
        self.assertEqual(self.run_it("log", "append"), "")
        self.assertEqual(self.run_it("log", "read"), "")
        self.assertIn("usage: log", self.run_it("log", "burn", status=1))

    # ---- The tree ----

    def test_tree(self):
        chance = random.Random(1)
        model = {}
        for i in range(120):
            key = "key%d" % chance.randrange(50)
            if key in model and chance.randrange(3) == 0:
                self.run_it("tree", "remove", key)
                del model[key]
            else:
                model[key] = "value %d" % i
                self.run_it("tree", "put", key, model[key])
            if i % 40 == 39:
                self.restart()
                self.check_tree(model)
        for key in list(model):
            self.run_it("tree", "remove", key)
        self.check_tree({})
        self.assertEqual(self.allocated(), 16)  # the root

    def check_tree(self, model):
        out = self.run_it("tree", "list")
        self.assertEqual(out.splitlines(), ["%s=%s" % pair for pair in sorted(model.items())])
        for key, value in list(model.items())[:3]:
            self.assertEqual(self.run_it("tree", "get", key), value + "\n")
        self.assertIn("there is no nothing", self.run_it("tree", "get", "nothing", status=1))
        # Nothing is in use but the root and the nodes.
        nodes = sum(40 + len(key) + len(value) for key, value in model.items())
        self.assertEqual(self.allocated(), 16 + nodes)
        self.assertEqual(self.run_it("tree", "sweep"), "0 bytes freed\n")

    def test_tree_swept(self):
        """Nodes that nobody points to, as a crash leaves them, before, between and behind others."""
        client = Client(self.server.unix)
        self.addCleanup(client.close)
        for i in range(5):
            self.run_it("tree", "put", "key%d" % i, "value")
            client.call("addBlob", "main", b"x" * (100 + i))
        self.assertEqual(self.run_it("tree", "sweep"), "510 bytes freed\n")
        self.check_tree({"key%d" % i: "value" for i in range(5)})

    # ---- The photos ----

    def photos(self, *args, **options):
        if "example_photos" not in EXAMPLES:
            self.skipTest("SQLite's headers are not here (package libsqlite3-dev)")
        return self.run_it("photos", self.server.path("photos.db"), *args, **options)

    def file(self, name, content):
        path = self.server.path(name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def content(self, name):
        path = self.server.path("copy")
        self.photos("get", name, path)
        with open(path, "rb") as file:
            return file.read()

    def test_photos(self):
        small, large = b"small" * 100, os.urandom(3 << 20)
        self.assertEqual(self.photos("list"), "")
        self.photos("add", "cat", self.file("small", small))
        self.photos("add", "dog", self.file("large", large))
        self.assertIn("UNIQUE", self.photos("add", "dog", self.server.path("small"), status=1))
        self.restart()
        self.assertEqual(self.photos("list"), "cat 0+500\ndog 500+%d\n" % len(large))
        self.assertEqual(self.content("cat"), small)
        self.assertEqual(self.content("dog"), large)
        self.photos("remove", "cat")
        self.restart()
        self.assertEqual(self.photos("list"), "dog 500+%d\n" % len(large))
        self.assertIn("no such photo", self.photos("get", "cat", "/dev/null", status=1))
        self.assertEqual(self.allocated(), len(large))

    def test_photos_left_in_the_middle(self):
        """The program has died behind the region's change, and before the database heard of it."""
        path = self.file("small", b"small")
        self.photos("list")
        database = sqlite3.connect(self.server.path("photos.db"))
        self.addCleanup(database.close)
        client = Client(self.server.unix)
        self.addCleanup(client.close)

        def begin(name, number, state, address=None):
            with database:
                database.execute("INSERT INTO photos VALUES (?, ?, ?, ?, ?, ?)",
                                 (name, state, bytes([number]) * 16, path, address, 5))

        begin("never sent", 1, "adding")
        begin("sent", 2, "adding")
        self.assertEqual(client.call("addBlob", "main", b"small", {"token": b"\2" * 16}), 0)
        self.assertEqual(client.call("addBlob", "main", b"xxxxx"), 5)
        self.assertEqual(client.call("addBlob", "main", b"yyyyy"), 10)
        begin("not freed", 3, "removing", 5)
        begin("freed", 4, "removing", 10)
        client.call("deallocate", "main", 10, 5, {"token": b"\4" * 16})
        self.restart()
        out = self.photos("list")
        self.assertEqual(sorted(line.split("+")[0] for line in out.splitlines())[1], "sent 0")
        self.assertEqual(len(out.splitlines()), 2)
        self.assertEqual(self.allocated(), 10)
        for name in "sent", "never sent":
            self.assertEqual(self.content(name), b"small")


if __name__ == "__main__":
    unittest.main()
