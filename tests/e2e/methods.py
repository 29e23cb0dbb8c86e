"""The method table and the error codes, read from the sources that the server is made of."""
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Method:
    def __init__(self, name, letters, names, options, result, access):
        self.name = name
        self.letters = letters
        self.names = [part for part in names.split(", ") if part]
        self.options = [part for part in options.split(",") if part]
        self.result = result
        self.access = access


def read_methods():
    with open(os.path.join(ROOT, "proto", "methods.def"), encoding="ascii") as file:
        text = file.read().partition("*/")[2]
    text = re.sub(r'"\s*\n\s*"', "", text)  # one string, written in several lines
    string = r'"((?:[^"\\]|\\.)*)"'
    row = r"METHOD\(\s*(\w+),\s*" + r",\s*".join([string] * 5) + r",\s*(\w+)\)"
    rows = [Method(*match.groups()[1:]) for match in re.finditer(row, text)]
    assert len(rows) == text.count("METHOD("), "a row of methods.def was not understood"
    return rows


def read_codes():
    with open(os.path.join(ROOT, "core", "err.def"), encoding="ascii") as file:
        return re.findall(r'^ERR\(\w+, "(\w+)"', file.read(), re.M)


METHODS = read_methods()
CODES = read_codes()
