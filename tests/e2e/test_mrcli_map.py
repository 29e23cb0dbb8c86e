"""mrcli map: the region as a picture, on terminals of any kind and in files."""
import json
import os
import re
import resource
import signal
import unittest
import xml.etree.ElementTree
import zlib

from cli import CliCase
from server import MRCLI

KIB = 1 << 10


class Map(CliCase):
    def setUp(self):
        super().setUp()
        self.out("allocate", "64KiB")
        self.out("deallocate", "1024+2048")
        self.out("deallocate", "60KiB+1000")

    def test_forms(self):
        text = self.out("map", "--columns", "64", "--rows", "1")
        self.assertIn("\n  0 bytes █··" + "█" * 57 + "▁" + "███\n", text)
        self.assertIn("in use, 1.0 KiB a cell\n", text)
        self.assertIn("largest hole 2.0 KiB\n  at 1024+2048\n", text)
        self.assertIn("external fragmentation 0.328\n", text)
        self.assertRegex(text, r"\n +512 bytes +1 +1000 bytes +█+\n +2\.0 KiB +1 +2\.0 KiB +█+\n")
        found = json.loads(self.out("-o", "json", "map", "--columns", "4", "--rows", "1"))
        self.assertEqual(found.pop("fragmentation"), 0.328084)
        self.assertEqual(found, {
            "region": "main", "size": 65536, "allocated": 62488, "free": 3048, "holes": 2,
            "largest": {"reference": "1024+2048", "address": 1024, "size": 2048},
            "cell": 16 * KIB, "used": [14 * KIB, 16 * KIB, 16 * KIB, 16 * KIB - 1000],
            "holes_by_size": [{"from": 512, "holes": 1, "free": 1000},
                              {"from": 2048, "holes": 1, "free": 2048}]})
        self.assertEqual(self.out("-o", "raw", "map", "--columns", "2", "--rows", "1"),
                         "0+32768\t30720\n32768+32768\t31768\n")
        self.out("clear")
        self.assertEqual(json.loads(self.out("-o", "json", "map"))["fragmentation"], 0)
        self.out("create", "empty")
        self.assertIn("empty: 0 bytes, 0.0% in use\n", self.out("-r", "empty", "map"))

    def test_more_holes_than_a_page_of_them(self):
        self.out("clear")
        batch = ["allocate 64KiB"] + [f"deallocate {i * 16}+8" for i in range(3500)]
        for at in range(0, len(batch), 1000):
            self.out("batch", self.write("b", "\n".join(batch[at:at + 1000]).encode()))
        found = json.loads(self.out("-o", "json", "map"))
        self.assertEqual((found["holes"], found["free"]), (3500, 28000))
        self.assertEqual(sum(found["used"]), found["allocated"])

    def test_no_color_no_utf8(self):
        text = self.out("map", "--columns", "64", "--rows", "1", env={"LC_ALL": "C"})
        self.assertIn("\n  0 bytes #.." + "#" * 57 + "1" + "###\n", text)
        self.assertTrue(text.isascii())
        _, shown = self.on_terminal("map")
        self.assertIn("\x1b[92m█", shown)
        for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}):
            status, shown = self.on_terminal("map", env=env)
            self.assertEqual(status, 0)
            self.assertNotIn("\x1b", shown)

    def test_a_narrow_terminal(self):
        """Nothing is wider than it, whatever is shown."""
        for args in (("map",), ("map", "-n", "1")):
            status, shown = self.on_terminal(*args, size=(20, 40))
            self.assertEqual(status, 0)
            plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
            lines = plain.replace("\r", "").split("\n")
            self.assertEqual([line for line in lines if len(line) > 40], [], shown)
            self.assertGreater(len(lines), 6)

    def test_live(self):
        lines = self.out("-o", "json", "map", "-i", "0.01", "-n", "3").splitlines()
        self.assertEqual([json.loads(line)["holes"] for line in lines], [2, 2, 2])
        self.assertEqual(self.out("map", "-w", "-i0.01", "-n2").count("external"), 2)
        status, shown = self.on_terminal("map", "-w", "-i", "10ms", typed=[b"q"],
                                         prompt=b"external")
        self.assertEqual(status, 0)
        self.assertTrue(shown.startswith("\x1b[?1049h"), shown)
        self.assertTrue(shown.endswith("\x1b[?1049l\x1b[?25h"), shown)
        status, shown = self.on_terminal("map", "-w", typed=[b"\x03"], prompt=b"external")
        self.assertEqual(status, -signal.SIGINT)
        self.assertTrue(shown.endswith("\x1b[?1049l\x1b[?25h"), shown)

    def test_live_without_a_keyboard(self):
        """Nothing is read from a standard input that is no terminal, and the screen comes back."""
        script = 'printf "map -w -i 10ms -n 3\\nping\\nquit\\n" | "$0"'
        status, shown = self.on_terminal(command=("sh", "-c", script, MRCLI))
        self.assertEqual((status, shown.count("external")), (0, 3), shown)
        self.assertTrue(shown.endswith("\x1b[?1049l\x1b[?25hpong\r\n"), shown)
        status, shown = self.on_terminal(
            command=("sh", "-c", '"$0" map -w -i 10ms -n 3 </dev/null', MRCLI))
        self.assertEqual((status, shown.count("external")), (0, 3), shown)

    def test_images(self):
        self.out("map", "--svg", "map.svg", "--png", "map.png")
        root = xml.etree.ElementTree.fromstring(self.read("map.svg"))
        self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")
        self.assertGreater(len(root.findall(".//{http://www.w3.org/2000/svg}path")), 100)
        png = self.read("map.png")
        self.assertEqual(png[:8], b"\x89PNG\r\n\x1a\n")
        at, kinds, pixels = 8, [], b""
        while at < len(png):  # every chunk with its checksum
            length = int.from_bytes(png[at:at + 4], "big")
            kind, body = png[at + 4:at + 8], png[at + 8:at + 8 + length]
            self.assertEqual(zlib.crc32(kind + body).to_bytes(4, "big"),
                             png[at + 8 + length:at + 12 + length])
            kinds.append(kind)
            pixels += body if kind == b"IDAT" else b""
            at += 12 + length
        self.assertEqual((kinds[0], kinds[-1]), (b"IHDR", b"IEND"))
        self.assertGreater(len(set(zlib.decompress(pixels))), 10)
        done = self.run_mrcli("map", "--svg", "-")
        self.assertTrue(done.stdout.startswith(b"<?xml"))
        self.assertEqual(sorted(os.listdir(self.folder)), ["map.png", "map.svg"])

    def test_what_cannot_be_written(self):
        def small_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        for kind in ("svg", "png"):
            self.fails(74, "out: cannot write: File too large", "map", "--" + kind, "out",
                       preexec_fn=small_files)
            self.fails(74, "no/where: cannot write", "map", "--" + kind, "no/where")
            self.assertEqual(os.listdir(self.folder), [])
        with open("/dev/full", "wb") as full:
            self.fails(74, "standard output: cannot write", "map", stdout=full)

    def test_wrong_options(self):
        status, shown = self.on_terminal("map", "--png", "-")
        self.assertEqual((status, shown), (64, "mrcli: map: standard output is a terminal: name a "
                                               "file, or a pipe\r\n"))
        for args, pattern in ((("--columns", "0"), "map: --columns: \"0\" is not a whole number"),
                              (("--rows=1001",), "map: --rows"), (("--rows", "x"), "map: --rows"),
                              (("-i", "0"), "map: --interval: \"0\" is not a time"),
                              (("-n", "0"), "map: --count"), (("-n",), "map: --count needs a value"),
                              (("--watch=1",), "map: --watch takes no value"),
                              (("-x",), "map: no such option: -x"), (("-wx",), "map: .*watch"),
                              (("-w", "--svg", "x"), "map: a file is written once")):
            self.fails(64, pattern, "map", *args)
        self.fails(3, "no_such_region", "-r", "nobody", "map")
        self.fails(3, "no_such_region", "-r", "nobody", "map", "--svg", "out")


if __name__ == "__main__":
    unittest.main()
