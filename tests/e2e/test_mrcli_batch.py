"""mrcli batch: changes from a file, all of them or none."""
import json
import os
import unittest

from cli import CliCase


class Batch(CliCase):
    def batch(self, *lines, form="table", **options):
        self.write("batch", "".join(line + "\n" for line in lines).encode())
        return self.out("-o", form, "batch", "batch", **options)

    def refused(self, status, sentence, *lines, form="table"):
        """It fails, and nothing has changed."""
        before = self.state()
        self.write("batch", "".join(line + "\n" for line in lines).encode())
        result = self.run_mrcli("-o", form, "batch", "batch")
        self.assertEqual((result.returncode, result.stdout), (status, b""))
        self.assertIn(sentence, result.stderr.decode())
        self.assertTrue(result.stderr.decode().startswith("mrcli: "), result.stderr)
        self.assertEqual(self.state(), before)

    def state(self):
        return (self.out("allocated-blocks-in-range", "0", self.out("size").strip()),
                self.out("memory-info"))

    def test_every_change(self):
        self.write("a", b"hello")
        self.write("b", b"xy")
        self.write("large", b"z" * 100)
        self.out("add", "large")
        self.assertEqual(self.batch("# comment", "", "add a b", "store 100 b", "remove 0+100",
                                    "allocate 10", "resize 0+10 5", "replace 105+2 a",
                                    "deallocate 0+5", "deallocate-range 0 103", "grow 2"),
                         "100+5\n105+2\n" + "z" * 100 + "0+10\n0+5\n105+5\n3\n1\n")
        self.assertEqual(self.out("load", "103+2"), "lo")
        self.assertEqual(self.out("allocated"), "7\n")
        self.assertEqual(self.batch("clear-and-retain-header 104"), "")
        self.assertEqual(self.out("allocated"), "1\n")
        self.assertEqual(self.batch("allocate 3", "clear"), "104+3\n")
        self.assertEqual(self.out("allocated"), "0\n")
        self.assertEqual(self.batch(), "")

    def test_long_names_and_words(self):
        self.write("with blank", b"12")
        self.assertEqual(self.batch("  add-blob 'with blank'  # and why", "store-blob 0 -- \"with blank\"",
                                    "replace-blob 0+1 'with blank'", "remove-blob 1+1"),
                         "0+2\n2+2\n2")

    def test_json_and_raw(self):
        self.write("a", b"hello")
        lines = ("add a", "remove 0+5", "deallocate-range 0 5", "allocate 1", "clear")
        values = [json.loads(line) for line in self.batch(*lines, form="json").splitlines()]
        self.assertEqual(values, [{"reference": "0+5", "address": 0, "size": 5},
                                  {"base64": "aGVsbG8="}, 0,
                                  {"reference": "0+1", "address": 0, "size": 1}, None])
        self.assertEqual(self.batch(*lines, form="raw"), "0+5\nhello0\n0+1\n")

    def test_from_standard_input(self):
        self.write("a", b"hello")
        self.assertEqual(self.out("batch", "-", stdin=b"add a\nallocate 2"), "0+5\n5+2\n")
        result = self.run_mrcli("batch", "-", stdin=b"add -\n")
        self.assertEqual(result.returncode, 64)
        self.assertIn(b"holds the commands", result.stderr)
        self.write("batch", b"add -\nallocate 2\n")
        self.assertEqual(self.out("batch", "batch", stdin=b"blob"), "7+4\n11+2\n")
        self.write("batch", b"add -\nadd -\n")
        self.assertEqual(self.run_mrcli("batch", "batch", stdin=b"blob").returncode, 64)

    def test_in_a_script(self):
        self.write("batch", b"allocate 2\nallocate 3\n")
        self.assertEqual(self.out(stdin=b"batch batch\nallocate 4\n"), "0+2\n2+3\n5+4\n")
        self.write("batch", b"allocate 2\n\nallocate x\n")
        result = self.run_mrcli(stdin=b"ping\nbatch batch\n")
        self.assertEqual(result.returncode, 64)
        self.assertIn(b"(line 3 of batch)", result.stderr)
        result = self.run_mrcli(stdin=b"ping\nbatch -\nallocate 1\n")
        self.assertEqual(result.returncode, 64)
        result = self.run_mrcli("--keep-going", stdin=b"batch batch\nnonsense\n")
        self.assertIn(b"nonsense", result.stderr)
        self.assertIn(b"(line 2)", result.stderr)

    def test_into_files(self):
        self.write("a", b"\0hello\xff")
        self.assertEqual(self.batch("add a", "remove 0+7 out", "allocate 1"), "0+7\n0+1\n")
        self.assertEqual(self.read("out"), b"\0hello\xff")
        self.assertEqual(self.batch("remove 0+1 -", form="json").strip()[:10], '{"base64":')

    def test_what_cannot_be_written_is_stored_again(self):
        self.write("a", b"hello")
        self.write("batch", b"add a\nallocate 4\nremove 0+5 nowhere/out\n")
        result = self.run_mrcli("batch", "batch")
        self.assertEqual((result.returncode, result.stdout), (74, b"0+5\n5+4\n"))
        self.assertIn(b"stored again, as 0+5 (line 3 of batch)", result.stderr)
        self.assertEqual(self.out("load", "0+5"), "hello")
        self.assertEqual(self.out("allocated"), "9\n")

    @unittest.skipUnless(os.path.exists("/dev/full"), "there is no /dev/full")
    def test_references_are_not_lost(self):
        self.write("a", b"hello")
        self.write("batch", b"add a\nallocate 4\nclear\nresize 0+0 7\nremove 0+2\nreplace 2+1 a\n")
        with open("/dev/full", "wb") as full:
            result = self.run_mrcli("batch", "batch", stdout=full)
        self.assertEqual(result.returncode, 74)
        for line, reference in ((1, "0+5"), (2, "5+4"), (4, "0+7"), (6, "9+5")):
            self.assertIn(f"the batch is done, with {reference} (line {line} of batch)",
                          result.stderr.decode())
        self.assertIn("stored again, as 7+2", result.stderr.decode())

    def test_all_or_nothing(self):
        self.write("a", b"hello")
        self.out("add", "a")
        self.refused(3, "(line 4 of batch)", "add a", "clear", "# nothing is there now",
                     "deallocate 0+5", "add a")
        self.refused(3, "not_allocated: change 1 (storeBlob)", "deallocate 0+1", "store 0 a")

    def test_mistakes(self):
        self.write("a", b"hello")
        for line, status, sentence in (
                ("nonsense", 64, "no such command: nonsense"),
                ("load 0+5", 64, "load-blob is no change"),
                ("size", 64, "size is no change"),
                ("create other", 64, "create-region is no change"),
                ("checkpoint", 64, "checkpoint is no change"),
                ("batch a", 64, "batch is no change"),
                ("use main", 64, "use is no change"),
                ("add", 64, "something is missing"),
                ("allocate 1 2", 64, "too many arguments"),
                ("allocate --help", 64, "usage: allocate SIZE"),
                ("allocate 5%", 64, "is no size or address"),
                ("deallocate 5", 64, "is no reference"),
                ("grow 1KiB", 64, "is no number"),
                ("remove 5", 64, "is no reference"),
                ("replace 5 a", 64, "is no reference"),
                ("store x a", 64, "is no address"),
                ("add nowhere", 74, "nowhere: cannot open"),
                ("store 0 .", 74, "cannot read: Is a directory"),
                ("add 'a", 64, "a quote is not closed"),
                ("add a\\", 64, "nothing follows the backslash"),
                ("add a\0", 64, "a NUL byte")):
            with self.subTest(line):
                self.refused(status, sentence, "allocate 10", line)
                self.refused(status, "(line 2 of batch)", "allocate 10", line)
        result = self.run_mrcli("batch", "nowhere")
        self.assertEqual(result.returncode, 74)
        self.assertEqual(self.run_mrcli("batch").returncode, 64)

    def test_too_large(self):
        self.write("a", b"x" * (40 << 20))
        self.write("b", b"y")
        self.refused(64, "does not fit one message", "add a", "add a")
        self.out("add", "a")
        self.refused(1, "too_large: change 1 (removeBlob)", "add b", f"remove 0+{2 << 20}")


if __name__ == "__main__":
    unittest.main()
