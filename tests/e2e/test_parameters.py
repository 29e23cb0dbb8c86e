"""Requests whose parameters are wrong, made from methods.def: every method, every parameter, every
wrong type, number and value. Each is refused by name and changes nothing."""
import os
import unittest

import msgpack

from bad import Bad
from methods import METHODS
from mpack import Float32, RpcError, pack, pack_header

GOOD = {"R": "main", "U": 4, "S": 4, "N": "some-name", "B": b"blob", "C": [["allocate", 4]]}
CHANGES = [method for method in METHODS if "token" in method.options and method.letters[0] == "R"
           and method.name != "batch"]


class Parameters(Bad):
    """Made from the table."""

    WRONG = {  # what is no parameter of the kind
        "U": [-1, -2**63, 0.0, 1.0, 1e300, float("nan"), float("inf"), -0.0, Float32(2.0), None, True, False, "4",
              b"4", [], [4], {}, {"a": 1}, msgpack.ExtType(1, b"4"), msgpack.Timestamp(4)],
        "R": [-1, 1.0, Float32(0.0), None, True, [], ["main"], {}, msgpack.ExtType(1, b"main")],
        "N": [0, 5, -1, 1.0, None, True, [], ["name"], {}, msgpack.ExtType(1, b"name")],
        "B": [0, 5, -1, 1.0, Float32(0.0), None, True, [], [1, 2], {}, msgpack.ExtType(1, b"blob"),
              msgpack.ExtType(1, b"x" * 100000)],
        "C": [0, 5, -1, 1.0, None, True, "clear", b"clear", {}, {"clear": []},
              msgpack.ExtType(1, b"clear")],
    }
    WRONG["S"] = [wrong for wrong in WRONG["U"] if wrong is not None]

    def good(self, method):
        return [GOOD[letter] for letter in method.letters]

    def test_wrong_types(self):
        for method in METHODS:
            for index, letter in enumerate(method.letters):
                for wrong in self.WRONG[letter]:
                    params = self.good(method)
                    params[index] = wrong
                    sentence = self.refused("invalid_argument", method.name, *params)
                    self.assertIn(f"{method.name}: {method.names[index]} ", sentence)

    def test_floats_say_float_and_negatives_say_negative(self):
        for wrong, word in ((1.0, "float"), (Float32(1.0), "float"), (-1, "negative")):
            self.assertIn(word, self.refused("invalid_argument", "loadBlob", "main", wrong, 1))
            self.assertIn(word, self.refused("invalid_argument", "allocate", "main", wrong))

    def test_wrong_counts(self):
        for method in METHODS:
            good = self.good(method)
            for count in range(len(good)):
                self.refused("invalid_argument", method.name, *good[:count])
            for more in ([{}, {}], [{}, 1], [1, {}], [None, None], [1] * 100):
                sentence = self.refused("invalid_argument", method.name, *good, *more)
                self.assertTrue(sentence.startswith(method.name), sentence)
            if good:
                self.refused_packed(method.name, b"\xc0")

    def test_wrong_options(self):
        for method in METHODS:
            good = self.good(method)
            for wrong in (None, 0, 1, 1.0, True, "limit", b"limit", [], [{}],
                          msgpack.ExtType(1, b"x")):
                self.refused("invalid_argument", method.name, *good, wrong)
            for key in ("", "unknown", "Limit", "limit ", "limit\0", b"\xff\xfe", "x" * 10000):
                sentence = self.refused("invalid_argument", method.name, *good, {key: 1})
                self.assertTrue(sentence.startswith(method.name), sentence)
                for option in method.options:
                    self.assertIn(option, sentence)
            for key in (1, -1, 1.5, None, True):
                self.refused("invalid_argument", method.name, *good, {key: 1})
            packed = pack_header(0x90, 0xdc, len(good) + 1) + b"".join(map(pack, good))
            for option in method.options:
                as_bin = pack(option.encode())
                for again in (pack(option), as_bin):
                    pairs = b"\x82" + pack(option) + b"\x01" + again + b"\x01"
                    self.assertIn(option, self.refused_packed(method.name, packed + pairs))

    def test_wrong_values_of_options(self):
        wrong = {
            "from": self.WRONG["U"], "limit": self.WRONG["U"],
            "after": [0, 1, 1.5, None, True, [], "x" * 65, "a\0b"],
            "max_size": [-1, 1.5, None, True, [], "many", 2**64 - 1],
            "journal_size": [-1, 1.5, None, True, [], "many", 0, 1, 2**64 - 1],
            "flush_interval": [-1, 1.5, None, True, [], "often", 0, 2**64 - 1],
            "durability": [0, 1, -1, 1.5, None, True, [], "", "SYNC", "sync ", "sync\0",
                           "x" * 9999],
            "fit": [0, 1, 1.5, None, True, [], "", "best", "tight\0"],
            "token": [0, 1, -1, 1.5, None, True, [], [1] * 16, {}, "", b"", "x" * 15, b"x" * 17,
                      b"x" * 100000, msgpack.ExtType(1, b"x" * 16)],
            "checksum": [0, 1, 1.5, None, True, [], "", "yes", "on\0"],
            "token_window": [0, -1, 1.5, None, True, [], "many", "7", 2**24 + 1],
            "discard": [-1, 1.5, None, True, [], "many", 2**64 - 1],
            "scrub_interval": [-1, 1.5, None, True, [], "often", 2**64 - 1],
            "scrub_rate": [-1, 1.5, None, True, [], "many", 2**64 - 1],
            "page_cache": [-1, 1.5, None, True, [], "many", 2**64 - 1],
        }
        for method in METHODS:
            for option in method.options:
                # Behind which region, or behind which connection.
                is_id = (method.name, option) == ("connections", "after")
                for value in self.WRONG["U"] if is_id else wrong[option]:
                    sentence = self.refused("invalid_argument", method.name, *self.good(method),
                                            {option: value})
                    self.assertIn(option, sentence)

    def refused_change(self, code, change):
        """Refused in the middle of a batch, by its index, and with the others undone."""
        changes = [["addBlob", b"before"], ["deallocate", 0, 1], change, ["clear"]]
        return self.refused(code, "batch", "main", changes)

    def test_wrong_types_of_changes(self):
        for method in CHANGES:
            for with_region in (True, False):
                first = 0 if with_region else 1
                for index in range(first, len(method.letters)):
                    for wrong in self.WRONG[method.letters[index]]:
                        if isinstance(wrong, dict) and index == len(method.letters) - 1:
                            continue  # taken for options
                        params = self.good(method)
                        params[index] = wrong
                        sentence = self.refused_change("invalid_argument",
                                                       [method.name, *params[first:]])
                        self.assertTrue(sentence.startswith(f"change 2 ({method.name}): "),
                                        sentence)
                        # without its region a change of one parameter may look like one with
                        # nothing but a region
                        if with_region:
                            self.assertIn(f"): {method.names[index]} ", sentence)

    def test_wrong_counts_and_options_of_changes(self):
        for method in CHANGES:
            good = self.good(method)
            for params in (good[:-2], [*good, {}, {}], [*good, 1, 2], [*good, None],
                           [*good, {"token": b"x" * 16}], [*good[1:], {"token": b"x" * 16}],
                           [*good, {"unknown": 1}], [*good, {1: 1}]):
                if len(params) + 1 == len(good):
                    continue
                sentence = self.refused_change("invalid_argument", [method.name, *params])
                self.assertTrue(sentence.startswith(f"change 2 ({method.name}): "), sentence)

    def test_what_is_no_change(self):
        for wrong in (None, 5, -1, 1.5, True, "clear", b"clear", {}, {"clear": []},
                      msgpack.ExtType(1, b"x"), [], [5], [None], [["clear"]], [{}]):
            sentence = self.refused_change("invalid_argument", wrong)
            self.assertTrue(sentence.startswith("change 2: "), sentence)
        for method in METHODS:
            if method in CHANGES:
                continue
            for params in (self.good(method), self.good(method)[1:], []):
                sentence = self.refused_change("invalid_argument", [method.name, *params])
                self.assertTrue(sentence.startswith(f"change 2 ({method.name}): "), sentence)
        for name in ("", "Clear", "clear ", "x" * 10000, b"\xff"):
            self.assertTrue(self.refused_change("no_such_method", [name]).startswith("change 2 ("))
        for region in ("bystander", 2, 99, "nobody", "", "main\0", "mai", "x" * 1000):
            self.assertIn("main", self.refused_change("invalid_argument", ["clear", region]))

    def test_changes_past_all_bounds(self):
        for address, size in ((2**64 - 1, 1), (1, 2**64 - 1), (2**63, 2**63), (2**64 - 1, 2**64 - 1)):
            for method in CHANGES:
                if method.names[1:3] == ["address", "size"]:
                    self.refused_change("out_of_bounds", [method.name, address, size,
                                                          *self.good(method)[3:]])
        for size in (2**62, 2**64 - 1):
            self.refused_change("no_space", ["allocate", size])

    def test_names(self):
        bad = ["", ".", "..", "../main", "/", "/etc/passwd", "a/b", "a\\b/..", "main/", "./main",
               "a\0b", "main\0", "\0", ".hidden", "-rf", "_x", "a b", " main", "main ", "a\nb",
               "caf\u00e9", "\u202e", "x" * 65, "x" * 100000, b"\xff\xfe", b"\x80", "a:b", "a*",
               "~"]
        for name in bad:
            self.refused("invalid_argument", "createRegion", name)
            with self.assertRaises(RpcError) as caught:
                self.client.call("size", name)
            self.assertIn(caught.exception.code, ("no_such_region", "invalid_argument"))
            with self.assertRaises(RpcError) as caught:
                self.client.call("dropRegion", name)
            self.assertIn(caught.exception.code, ("no_such_region", "invalid_argument"))
        folder = os.listdir(os.path.join(self.daemon.data_dir, "regions"))
        self.assertEqual(sorted(folder), ["bystander", "main"])

    def test_blocks_past_all_bounds(self):
        far = [(2**64 - 1, 1), (2**64 - 1, 2**64 - 1), (1, 2**64 - 1), (2**63, 2**63), (101, 0),
               (2**62, 2**62), (100, 1), (0, 101), (0, 2**64 - 1), (2**64 - 4, 8), (2**32, 4),
               (2**64 - 1, 0)]
        for method in METHODS:
            if method.names[1:3] == ["address", "size"]:
                for address, size in far:
                    self.refused("out_of_bounds", method.name, "main", address, size,
                                 *self.good(method)[3:])
            elif method.names[1:3] == ["start", "end"]:
                for start, end in ((0, 101), (100, 99), (101, 101), (0, 2**64 - 1),
                                   (2**64 - 1, 0), (2**64 - 1, 2**64 - 1), (2**63, 2**63 + 1)):
                    self.refused("out_of_bounds", method.name, "main", start, end)
        for address in (97, 100, 101, 2**32, 2**63, 2**64 - 4, 2**64 - 1):
            self.refused("out_of_bounds", "storeBlob", "main", address, b"blob")
        for header in (101, 2**63, 2**64 - 1):
            self.refused("out_of_bounds", "clearAndRetainHeader", "main", header)
        for size in (2**62, 2**63, 2**64 - 1):
            self.refused("no_space", "allocate", "main", size)
            self.refused("no_space", "resize", "main", 0, 4, size)
        for pages in (2**46, 2**47, 2**48, 2**63, 2**64 - 1):
            self.refused("no_space", "grow", "main", pages)

    def test_double_frees_and_frees_across_a_hole(self):
        for address, size in ((40, 20), (45, 1), (39, 2), (59, 2), (0, 100), (30, 40), (40, 60)):
            self.refused("not_allocated", "deallocate", "main", address, size)
            self.refused("not_allocated", "removeBlob", "main", address, size)
            self.refused("not_allocated", "resize", "main", address, size, 1)
            self.refused("not_allocated", "replaceBlob", "main", address, size, b"x")
            self.refused("not_allocated", "loadBlob", "main", address, size)
            self.refused("not_allocated", "storeBlob", "main", address, bytes(size))

    def test_notifications_that_fail_are_silent(self):
        for method in METHODS:
            for index, letter in enumerate(method.letters):
                for wrong in self.WRONG[letter][:4]:
                    params = self.good(method)
                    params[index] = wrong
                    self.client.notify(method.name, *params)
        self.assertEqual(self.client.call("ping"), "pong")
        self.assertEqual(self.client.answers, {})


if __name__ == "__main__":
    unittest.main()
