"""The data directory: who may have it, and --check."""
import os
import re
import shutil
import subprocess
import unittest

from case import Case, run
from server import DEADLINE, MREGIOND

PAGE = 4096


class DataDirectory(Case):
    def test_second_daemon_is_refused(self):
        first = self.server().start()
        second = self.server(data_dir=first.data_dir)
        status, log = second.run()
        self.assert_refused(status, log, re.escape(first.data_dir))
        self.assert_serves(first)
        first.stop()
        second.start()
        self.assert_serves(second)
        second.stop()

    def test_check_waits_for_nobody(self):
        server = self.server().start()
        done = run("--data-dir", server.data_dir, "--check")
        self.assert_refused(done.returncode, done.stdout + done.stderr,
                            re.escape(server.data_dir))
        self.assert_serves(server)
        server.stop()

    def test_a_report_that_is_not_whole_is_no_success(self):
        server = self.server().start()
        server.stop()
        for args in (["--check"], ["--check-config"], ["--print-config"]):
            with open("/dev/full", "w", encoding="ascii") as full:
                done = subprocess.run([MREGIOND, "--data-dir", server.data_dir, *args],
                                      stdout=full, stderr=subprocess.PIPE, text=True,
                                      timeout=DEADLINE, check=False)
            self.assertEqual(done.returncode, 74, args)
            self.assertRegex(done.stderr, "^mregiond: cannot write to standard output: [^\n]*\n$")

    def test_not_a_folder(self):
        server = self.server()
        with open(server.data_dir, "w", encoding="ascii") as file:
            file.write("precious")
        status, log = server.run()
        self.assert_refused(status, log, re.escape(server.data_dir), "Not a directory")

    def test_not_writable(self):
        wrapper = []
        if os.getuid() == 0:  # root may write anywhere
            if not shutil.which("setpriv"):
                self.skipTest("runs as root, and setpriv is not here")
            wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        server = self.server(wrapper=wrapper, listen=["tcp:127.0.0.1:0"])
        os.chmod(server.folder, 0o755)
        for mode in (0o000, 0o555):
            os.makedirs(server.data_dir, exist_ok=True)
            os.chmod(server.data_dir, mode)
            status, log = server.run()
            self.assert_refused(status, log, re.escape(server.data_dir), "Permission denied")


class Check(Case):
    def filled(self):
        """A server with some blobs in it, stopped."""
        server = self.server()
        server.start()
        client = self.connect(server)
        for size in (1, 100, 5000, 70000, 300000):
            client.call("addBlob", "main", os.urandom(size))
        client.call("deallocate", "main", 1, 100)
        client.call("checkpoint", "main")
        client.call("addBlob", "main", os.urandom(3000))
        server.stop()
        return server

    def check(self, server):
        done = run("--data-dir", server.data_dir, "--check")
        return done.returncode, done.stdout + done.stderr

    def files(self, server):
        """Every file of the region main but the lock, with its bytes."""
        found = {}
        for folder, _, names in os.walk(server.data_dir):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    found[path] = file.read()
        return found

    def test_healthy(self):
        server = self.filled()
        before = self.files(server)
        status, report = self.check(server)
        self.assertEqual(status, 0, report)
        self.assertIn("main", report)
        self.assertEqual(self.files(server), before, "--check has changed a file")

    def test_after_a_kill(self):
        server = self.filled()
        server.start()
        self.assert_serves(server)
        server.kill()
        before = self.files(server)
        status, report = self.check(server)
        self.assertEqual(status, 0, report)
        self.assertEqual(self.files(server), before, "--check has changed a file")

    def damaged(self, server, *places):
        """Flips a bit in each (path, offset), returns --check's report, and mends the files."""
        originals = {}
        for path, offset in places:
            with open(path, "r+b") as file:
                originals[path] = file.read()
                file.seek(offset)
                file.write(bytes([originals[path][offset] ^ 0x10]))
        before = self.files(server)
        status, report = self.check(server)
        self.assertEqual(self.files(server), before, "--check has changed a file")
        for path, original in originals.items():
            with open(path, "wb") as file:
                file.write(original)
        return status, report

    def test_damaged_meta(self):
        server = self.filled()
        for path in ("store", "regions/main/meta"):
            path = os.path.join(server.data_dir, path)
            for offset in (5, os.stat(path).st_size - 1):
                status, report = self.damaged(server, (path, offset))
                self.assertEqual(status, 1, report)
                self.assertIn(server.data_dir, report)
                self.assertRegex(report, r"corrupt|format version")
        self.assertEqual(self.check(server)[0], 0)

    def test_damaged_checkpoints(self):
        """One may be torn, and the one before it serves; without any nothing is guessed."""
        server = self.filled()
        healthy = self.check(server)[1]
        region = os.path.join(server.data_dir, "regions", "main")
        checkpoints = [os.path.join(region, name) for name in sorted(os.listdir(region))
                       if name.startswith("checkpoint")]
        self.assertEqual(len(checkpoints), 2)
        for checkpoint in checkpoints:
            status, report = self.damaged(server, (checkpoint, 5))
            self.assertEqual(status, 0, report)
            size = re.search(r"size .*", healthy)[0]
            self.assertIn(size, report)
        status, report = self.damaged(server, *((checkpoint, 5) for checkpoint in checkpoints))
        self.assertEqual(status, 1, report)
        self.assertRegex(report, "main.*corrupt.*checkpoint")
        self.assertEqual(self.check(server)[0], 0)

    def test_damage_in_the_middle_of_the_journal(self):
        server = self.server().start()
        client = self.connect(server)
        blobs = [os.urandom(100) for _ in range(20)]
        for blob in blobs:
            client.call("addBlob", "main", blob)
        server.kill()
        places = [(path, text.index(blobs[3])) for path, text in self.files(server).items()
                  if "journal" in path and blobs[3] in text]
        [(journal, _)] = places
        status, report = self.damaged(server, *places)
        self.assertEqual(status, 1, report)
        self.assertRegex(report, f"corrupt.*{os.path.basename(journal)}")

        # The daemon refuses it just so, and mended it is whole.
        with open(journal, "r+b") as file:
            original = file.read()
            file.seek(places[0][1])
            file.write(b"damaged")
        before = self.files(server)
        status, log = server.run()
        self.assert_refused(status, log, os.path.basename(journal))
        self.assertEqual(self.files(server), before, "the daemon has changed a file")
        with open(journal, "wb") as file:
            file.write(original)
        server.start()
        client = self.connect(server)
        for number, blob in enumerate(blobs):
            self.assertEqual(client.call("loadBlob", "main", 100 * number, 100), blob)
        server.stop()

    def written_twice(self):
        """A stopped server with a blob of four pages at 0 that was overwritten, and nothing to replay;
        and every file as it was before that."""
        server = self.server().start()
        client = self.connect(server)
        self.assertEqual(client.call("addBlob", "main", os.urandom(4 * PAGE)), 0)
        client.call("createRegion", "other")
        client.call("checkpoint", "main")
        server.stop()
        before = self.files(server)
        server.start()
        client = self.connect(server)
        client.call("storeBlob", "main", 0, os.urandom(4 * PAGE))
        client.call("checkpoint", "main")
        server.stop()
        return server, before

    def with_lie(self, server, path, offset, lie):
        """--check's report with these bytes in that place of the file, which is mended then."""
        with open(path, "r+b") as file:
            original = file.read()
            file.seek(offset)
            file.write(lie)
        self.assertFalse(original[offset:offset + len(lie)] == lie, "no lie")
        before = self.files(server)
        status, report = self.check(server)
        self.assertEqual(self.files(server), before, "--check has changed a file")
        with open(path, "wb") as file:
            file.write(original)
        self.assertEqual(status, 1, report)
        return report

    def test_lies_about_pages(self):
        """Lost, partly lost, zeroed and misdirected writes of a page and of its sum: that page is named,
        with its bytes in use, and no other."""
        server, old = self.written_twice()
        data, sums = (os.path.join(server.data_dir, "regions/main", name) for name in ("data", "sums"))
        now = self.files(server)
        at = 2 * PAGE
        for path, offset, lie in ((data, at, old[data][at:at + PAGE]),
                                  (data, at + 512, old[data][at + 512:at + 1024]),
                                  (data, at, bytes(PAGE)),
                                  (data, at, now[data][PAGE:at]),
                                  (sums, PAGE + 8, old[sums][PAGE + 8:PAGE + 12]),
                                  (sums, PAGE + 8, bytes(4)),
                                  (sums, PAGE + 8, now[sums][PAGE + 4:PAGE + 8])):
            report = self.with_lie(server, path, offset, lie)
            self.assertEqual(re.findall(r"damaged page +(\d+)", report), [str(at)], report)
            self.assertRegex(report, r"region main: damaged\n(.*\n)*.*in use there: \[8192, 12288\)\n")
            self.assertRegex(report, "region other: ok")
        report = self.with_lie(server, sums, PAGE, old[sums][PAGE:PAGE + 16])
        self.assertEqual(re.findall(r"damaged page +(\d+)", report), [str(PAGE * n) for n in range(4)])
        self.assertEqual(self.check(server)[0], 0)

    def test_lies_about_other_files(self):
        """What says what there is, written as zeros or in the place of another: the file is named."""
        server, _ = self.written_twice()
        now = self.files(server)
        folder = os.path.join(server.data_dir, "regions")
        for path in ("main/meta", "main/sums", "other/meta"):
            path = os.path.join(folder, path)
            report = self.with_lie(server, path, 0, bytes(min(len(now[path]), PAGE)))
            self.assertRegex(report, f"region .*: corrupt: {os.path.relpath(path, server.data_dir)}")
            self.assertEqual(len(re.findall("region [a-z]+: ok", report)), 1, report)
        report = self.with_lie(server, os.path.join(folder, "main/meta"), 0,
                               now[os.path.join(folder, "other/meta")])
        self.assertRegex(report, "region main: corrupt: regions/main .*'other'")
        report = self.with_lie(server, os.path.join(folder, "main/sums"), 0,
                               now[os.path.join(folder, "other/sums")][:PAGE])
        self.assertRegex(report, "region main: corrupt: regions/main/sums")
        report = self.with_lie(server, os.path.join(server.data_dir, "store"), 0, bytes(40))
        self.assertRegex(report, "corrupt: .*store is not the file")
        self.assertEqual(self.check(server)[0], 0)

    def test_no_store(self):
        server = self.server()
        status, report = self.check(server)
        self.assertEqual(status, 1, report)
        self.assertIn(server.data_dir, report)
        self.assertFalse(os.path.exists(server.data_dir))


if __name__ == "__main__":
    unittest.main()
