"""The probes for tracers are in the program, with as many arguments as the manual says, and the script
that comes with it names only these."""
import os
import re
import shutil
import subprocess
import sys
import unittest

from server import MREGIOND

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def notes():
    done = subprocess.run(["readelf", "--notes", "--wide", MREGIOND], text=True, check=True,
                          capture_output=True)
    return {(name, len(arguments.split())) for name, arguments in
            re.findall(r"Provider: mregiond\n\s+Name: (\S+)\n.*\n\s+Arguments: (.*)", done.stdout)}


def documented():
    with open(os.path.join(ROOT, "daemon", "mregiond.8"), encoding="utf-8") as file:
        text = file.read().partition(".SH TRACING")[2].partition(".SH SIGNALS")[0]
    text = text.replace('"', "")
    return {(name, len(arguments.split(","))) for name, arguments in
            re.findall(r"(\w+)\s+\(([^)]*)\)", "\n".join(
                line for line in text.splitlines() if line.startswith(".BR") and "(8)" not in line))}


class Probes(unittest.TestCase):
    def test_they_are_there(self):
        self.assertEqual(notes(), documented())
        self.assertEqual(len(documented()), 7)

    def test_the_script_names_them(self):
        with open(os.path.join(ROOT, "daemon", "latency.bt"), encoding="utf-8") as file:
            named = set(re.findall(r":mregiond:(\w+)\n", file.read()))
        self.assertTrue(named)
        self.assertLessEqual(named, {name for name, _ in notes()})


if __name__ == "__main__":
    if shutil.which("readelf") is None:
        print("skipped: readelf is not installed (Debian: binutils)")
        sys.exit(77)
    if not notes():
        print("skipped: built without sys/sdt.h (Debian: systemtap-sdt-dev), or with MREGION_PROBES off")
        sys.exit(77)
    unittest.main()
