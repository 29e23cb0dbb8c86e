"""The manual pages against the tables that the programs are made of, in both directions: nothing is
missing, and nothing is there that does not exist (any more). Other tests compare the prose of the
settings, the sections of PROTOCOL.md and the functions of the library."""
import os
import re
import socket
import subprocess
import unittest

from case import Case, run
from methods import CODES, METHODS, ROOT
from mpack import Client
from server import MRCLI

# What a method needs that is not in the table of access.
AUDITED = ("ADMIN", "UPKEEP")


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def plain(page):
    """A page without what only its typesetting is about."""
    return re.sub(r'^\.[A-Z]{1,2} ', "", page.replace("\\-", "-"), flags=re.M)


def section(page, title):
    found = re.search(rf'^\.S[Hh] "?{title}"?$(.*?)(?=^\.S[Hh] |\Z)', page, re.M | re.S)
    assert found, f"no section {title}"
    return found[1]


def rows(table, macro):
    """The first strings, or the symbol, of each row of a .def file."""
    text = table.partition("*/")[2]
    return re.findall(rf'^{macro}\((?:\w+, )?"([^"]+)"', text, re.M)


class Mregiond(unittest.TestCase):
    page = read("daemon", "mregiond.8")

    def test_options(self):
        options = set(re.findall(r"--([a-z-]+)", run("--help").stdout)) - {"usage"}
        self.assertGreater(len(options), 7)
        told = set(re.findall(r"--([a-z-]+)", plain(section(self.page, "OPTIONS"))))
        self.assertEqual(told - {"usage"}, options)
        shorts = set(re.findall(r"^ +-(\w), --", run("--help").stdout, re.M))
        self.assertLessEqual({"c", "d", "l", "r", "V"}, shorts)
        for short in shorts:
            self.assertRegex(plain(section(self.page, "OPTIONS")), rf"(?m)^-{short}\b")

    def test_no_option_elsewhere(self):
        """Also where the text mentions one."""
        options = set(re.findall(r"--([a-z-]+)", run("--help").stdout))
        options |= set(rows(read("client", "cli_options.def"), "OPTION"))
        for option in re.findall(r"(?<![\w-])--([a-z][a-z-]+)", plain(self.page)):
            self.assertIn(option, options, "of mregiond.8")

    def test_exit_status(self):
        told = run("--help").stdout.partition("Exit status: ")[2]
        numbers = set(re.findall(r"\d+", told))
        page = section(self.page, "EXIT STATUS")
        self.assertEqual(set(re.findall(r"^\.(?:TP\n\.)?B (\d+)$", page, re.M)) or
                         set(re.findall(r"\b(\d+)\b", page)), numbers)

    def test_what_is_audited(self):
        """Each administrative method is named where the audit is explained."""
        audit = re.search(r"^\.SS The audit$(.*?)^\.S[SH] ", self.page, re.M | re.S)[1]
        head = audit.partition("and every reading")[0]
        administrative = {method.name for method in METHODS if method.access in AUDITED}
        self.assertGreater(len(administrative), 4)
        self.assertEqual(set(re.findall(r"^\.BR? (\w+)(?: ,)?$", head, re.M)) - {"log_level"},
                         administrative)


class Settings(unittest.TestCase):
    def test_both_ways(self):
        """Each key has one item for each place where it may stand, and there is no other one."""
        table = re.findall(r"^SETTING\((\w+), (\w+), (\w+),", read("conf", "settings.def"), re.M)
        self.assertGreater(len(table), 40)
        told = re.findall(r"^\.It Ic (\w+) :", read("conf", "mregiond.yaml.5"), re.M)
        self.assertEqual(sorted(told), sorted(name for _, name, _ in table))

    def test_what_a_region_takes(self):
        """Whatever the configuration can say of a region, createRegion and setRegion can, and mrcli."""
        table = re.findall(r"^SETTING\(REGION, (\w+),", read("conf", "settings.def"), re.M)
        options = sorted(set(table) - {"name"})
        for method in METHODS:
            if method.name in ("createRegion", "setRegion"):
                self.assertEqual(sorted(method.options), options, method.name)
        listed = read("client", "cli_method.c").partition("cli_method_create_options[] = {")[2]
        keys = re.findall(r'"(\w+)", 0\}', listed.partition("};")[0])
        self.assertEqual(sorted(keys), options)

    def test_named_elsewhere(self):
        """A setting that another page names in its own typeface exists."""
        names = set(re.findall(r"^SETTING\(\w+, (\w+),", read("conf", "settings.def"), re.M))
        page = read("daemon", "mregiond.8")
        for word in re.findall(r"^\.BR? (max_\w+|\w+_timeout|tls_\w+|log_\w+|scrub_\w+)", page, re.M):
            self.assertIn(word, names, "of mregiond.8")
        for word in re.findall(r"`(max_[a-z_]+|[a-z]+_timeout|tls_[a-z_]+|log_[a-z]+)`",
                               read("proto", "PROTOCOL.md")):
            self.assertIn(word, names | {"max_batch"}, "of PROTOCOL.md")


class Mrcli(unittest.TestCase):
    page = read("client", "mrcli.1")
    commands = read("client", "cli_commands.def")

    def names(self):
        """name -> short name, or None."""
        text = self.commands.partition("*/")[2]
        found = re.findall(r'^(?:METHOD|CHANGE|OWN)\(\w+, "([a-z-]+)", (?:"([a-z-]+)"|NULL),', text, re.M)
        self.assertEqual(len(found), len(re.findall(r"^(?:METHOD|CHANGE|OWN)\(", text, re.M)))
        return dict(found)

    def test_commands(self):
        told = [line for line in re.findall(r"^\.It Cm (.+)$", self.page, re.M)]
        words = set()
        for line in told:
            words |= set(re.match(r"([a-z-]+(?: \| [a-z-]+)?)", line)[1].split(" | "))
        names = self.names()
        expected = set(names) | {short for short in names.values() if short}
        self.assertEqual(words - {"table", "raw", "json"}, expected)

    def test_options(self):
        known = set(rows(read("client", "cli_options.def"), "OPTION"))
        self.assertGreater(len(known), 10)
        for name in os.listdir(os.path.join(ROOT, "client")):
            if re.fullmatch(r"cli_\w+\.c", name):
                known |= set(re.findall(r'\{"([a-z-]+)",\s*(?:"[^"]*"|NULL),\s*(?:\'\w\'|0),',
                                        read("client", name)))
        told = set(re.findall(r"Fl Fl ([a-z][a-z-]*)", self.page))
        self.assertEqual(told, known)

    def test_exit_status(self):
        header = read("client", "cli.h")
        codes = re.findall(r"^    CLI_\w+ = (\d+),", header, re.M)
        self.assertGreater(len(codes), 8)
        told = re.findall(r"^\.It (\d+)$", section(self.page, "EXIT STATUS"), re.M)
        self.assertEqual(told, codes)

    def test_exit_status_of_codes(self):
        """What a code of the protocol ends with is a status that the manual has."""
        told = set(re.findall(r"^\.It (\d+)$", section(self.page, "EXIT STATUS"), re.M))
        ends = re.findall(r'^ERR\(\w+, "\w+", (\d+)\)', read("core", "err.def"), re.M)
        self.assertEqual(len(ends), len(CODES))
        self.assertLessEqual(set(ends), told)

    def test_environment(self):
        used = set()
        for name in os.listdir(os.path.join(ROOT, "client")):
            if re.fullmatch(r"cli\w*\.c|mrcli\.c", name):
                used |= set(re.findall(r'"(MREGION_[A-Z_]+)"', read("client", name)))
        self.assertGreater(len(used), 5)
        told = set(re.findall(r"^\.(?:It )?Ev (MREGION_\w+)", self.page, re.M))
        self.assertEqual(told, used)


class Library(unittest.TestCase):
    def test_codes(self):
        """Those of the server are the protocol's; those of this side have an item each."""
        header = read("client", "mregion.h")
        codes = dict(re.findall(r"^    MREGION_ERR_(\w+) = (\d+)", header, re.M))
        server = {name.lower() for name, number in codes.items() if int(number) < 99}
        self.assertEqual(server, set(CODES))
        own = {name for name, number in codes.items() if int(number) >= 100}
        told = set(re.findall(r"^\.It Dv MREGION_ERR_(\w+)$", read("client", "libmregion.3"), re.M))
        self.assertEqual(told, own)

    def test_what_is_done_once(self):
        """The methods that take no token are named where the library says what happens once."""
        without = [method.name for method in METHODS
                   if method.access in AUDITED and "token" not in method.options]
        text = read("proto", "PROTOCOL.md").partition("## Tokens")[2].partition("\n## ")[0]
        for name in without:
            if name != "scrub":
                self.assertIn(f"`{name}`", text)


def example_bytes(text):
    """Those of an example's line: hexadecimal, and text between quotes."""
    return b"".join(word[1:-1].encode() if word.startswith("'") else bytes.fromhex(word)
                    for word in re.findall(r"'[^']*'|[0-9a-f]+", text))


class Protocol(Case):
    text = read("proto", "PROTOCOL.md")

    def test_links(self):
        """Every link within the page leads to a heading."""
        headings = re.findall(r"^#+ (.+)$", self.text, re.M)
        anchors = {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-")
                   for heading in headings}
        links = re.findall(r"\]\(#([^)]*)\)", self.text)
        self.assertGreater(len(links), 20)
        for link in links:
            self.assertIn(link, anchors)

    def test_examples(self):
        """One after the other, to the byte, as alice, who is in and has the password of the page."""
        hashed = subprocess.run([MRCLI, "passwd"], input="secret\n", stdout=subprocess.PIPE,
                                text=True, check=True).stdout.strip()
        server = self.server(listen=["tcp:127.0.0.1:0", "unix:s"], regions=["main"], config=(
            f"users:\n  - name: alice\n    uid: {os.getuid()}\n    password_hash: {hashed}\n"
            "    grants:\n      - {regions: main, access: write}\n")).start()
        client = Client(server.path("s"))
        self.addCleanup(client.close)
        lines = re.findall(r"^    ([CS]): (.+)$", self.text.partition("\n## Examples\n")[2], re.M)
        self.assertGreater(len(lines), 20)
        for direction, line in lines:
            if direction == "C":
                client.socket.sendall(example_bytes(line))
            else:
                expected = example_bytes(line)
                self.assertEqual(client.socket.recv(len(expected), socket.MSG_WAITALL), expected,
                                 line)
    def test_access(self):
        """Each method stands in the table of what a grant allows, under its own access."""
        granted = dict(re.findall(r"^\| `(read|write|admin)` \| (.*) \|$", self.text, re.M))
        self.assertEqual(len(granted), 3)
        for method in METHODS:
            if method.access in AUDITED:
                self.assertIn(f"`{method.name}`", granted["admin"])
        for name in re.findall(r"`([a-z]+[A-Z]\w+)`", "".join(granted.values())):
            self.assertIn(name, {method.name for method in METHODS})

    def test_index(self):
        """And in the list at the head of the methods, once."""
        index = re.findall(r"^\| \[[^]]+\]\(#[^)]*\): (.*) \|", self.text, re.M)
        listed = re.findall(r"`(\w+)`", " ".join(line.split("|")[0] for line in index))
        self.assertEqual(sorted(listed), sorted(method.name for method in METHODS))


if __name__ == "__main__":
    unittest.main()
