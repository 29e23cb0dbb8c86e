#!/usr/bin/env python3
"""The statistics, verdicts, tables and charts of tests/bench/run, on figures made up for it."""

import importlib.machinery
import importlib.util
import os
import subprocess
import sys
import time
import unittest
from xml.etree import ElementTree

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from compare import plot, promises, report  # pylint: disable=wrong-import-position
from compare.cells import Cell, all_cells  # pylint: disable=wrong-import-position
from compare.figures import Memory, MemorySample, Run, Spread, ratios  # pylint: disable=wrong-import-position
from compare.servers import Failed  # pylint: disable=wrong-import-position
from compare.subjects import (ALWAYS, DISK, KEPT, MREGIOND, NAMES, RAW,  # pylint: disable=wrong-import-position
                              RAW_THREAD)

CELL = Cell("add", 64, 50, 16)
ALONE = Cell("add", 64, 1, 1)


def run(round_, subject, rate, cell=CELL, **more):
    return Run(round_, cell, subject, {"per_second": rate, "p50_us": 1e6 / rate, "p99_us": 2e6 / rate,
                                       "p999_us": 3e6 / rate, "generator_load": 0.5, **more})


def verdict(runs, text):
    return next(one for one in promises.judge(runs) if one.promise.text == text)


class Ratios(unittest.TestCase):
    def test_each_round_is_compared_with_itself(self):
        runs = [run(0, MREGIOND, 300), run(0, ALWAYS, 100), run(1, MREGIOND, 50), run(1, ALWAYS, 10)]
        self.assertEqual(ratios(runs, CELL, MREGIOND, (ALWAYS,)), [3, 5])

    def test_the_best_reference_of_the_round_counts(self):
        runs = [run(0, MREGIOND, 100), run(0, RAW, 100), run(0, RAW_THREAD, 200),
                run(1, MREGIOND, 100), run(1, RAW, 400), run(1, RAW_THREAD, 200)]
        self.assertEqual(ratios(runs, CELL, MREGIOND, (RAW, RAW_THREAD)), [0.5, 0.25])

    def test_of_a_time_the_best_is_the_least(self):
        runs = [run(0, MREGIOND, 100), run(0, RAW, 100), run(0, RAW_THREAD, 200)]
        self.assertEqual(ratios(runs, CELL, MREGIOND, (RAW, RAW_THREAD), "p50_us"), [2])

    def test_a_round_without_one_of_them_is_left_out(self):
        runs = [run(0, MREGIOND, 100), run(0, RAW, 100), run(0, RAW_THREAD, 200),
                run(1, MREGIOND, 100), run(1, RAW, 100)]
        self.assertEqual(ratios(runs, CELL, MREGIOND, (RAW, RAW_THREAD)), [0.5])

    def test_other_cells_do_not_count(self):
        runs = [run(0, MREGIOND, 100), run(0, ALWAYS, 100, ALONE)]
        self.assertEqual(ratios(runs, CELL, MREGIOND, (ALWAYS,)), [])

    def test_the_median_and_its_spread(self):
        self.assertEqual(Spread.of([5, 1, 3, 100]), Spread(4, 1, 100, 4))


class Promises(unittest.TestCase):
    def test_a_rate_is_met_from_the_line_on(self):
        text = "durable add / Redis always, 64 B, 50x16"
        self.assertIs(verdict([run(0, MREGIOND, 300), run(0, ALWAYS, 100)], text).is_met, True)
        self.assertIs(verdict([run(0, MREGIOND, 299), run(0, ALWAYS, 100)], text).is_met, False)

    def test_a_time_is_met_up_to_the_line(self):
        text = "durable add, time / pwrite + fdatasync of 4 KiB, 64 B, 1x1"
        for times, is_met in ((1.25, True), (1.26, False)):
            runs = [run(0, MREGIOND, 1, ALONE, p50_us=100 * times), run(0, DISK, 1, ALONE, p50_us=100)]
            self.assertIs(verdict(runs, text).is_met, is_met)

    def test_the_median_of_the_rounds_decides(self):
        runs = [run(i, MREGIOND, rate) for i, rate in enumerate((200, 310, 320))]
        runs += [run(i, ALWAYS, 100) for i in range(3)]
        found = verdict(runs, "durable add / Redis always, 64 B, 50x16")
        self.assertIs(found.is_met, True)
        self.assertEqual(found.rounds_held, 2)

    def test_what_was_not_measured_is_neither_met_nor_missed(self):
        self.assertTrue(all(one.is_met is None for one in promises.judge([run(0, MREGIOND, 1)])))

    def test_every_promise_is_measured_in_the_whole_grid(self):
        for promise in promises.all_promises():
            self.assertIn(promise.cell, all_cells())

    def test_names_are_known(self):
        for promise in promises.all_promises():
            for name in (promise.subject, *promise.references):
                self.assertIn(name, NAMES)


class Tables(unittest.TestCase):
    def test_numbers(self):
        for value, words in ((0, "0"), (1.234, "1.23"), (999.4, "999"), (999.6, "1k"),
                             (12345, "12.3k"), (999_600, "1M"), (2.5e9, "2.5G"), (None, "-")):
            self.assertEqual(report.number(value), words)

    def test_a_full_generator_is_marked(self):
        rows = report.figures([run(0, MREGIOND, 10), run(0, RAW, 10, generator_load=0.99)])
        self.assertEqual([row[0].strip() for row in rows[1:]], [str(CELL), MREGIOND, RAW + "*"])

    def test_verdicts_are_printed(self):
        lines = report.table(report.promises([run(0, MREGIOND, 299), run(0, ALWAYS, 100)]))
        line = next(line for line in lines if "Redis always, 64 B, 50x16" in line)
        self.assertRegex(line, r">= 3 +2\.99 +0/1 +NOT MET$")

    def test_memory_has_its_line(self):
        rows = report.memory({MREGIOND: self.grown(8 << 20), ALWAYS: self.grown(9 << 20)})
        self.assertEqual(rows[1][-1], "met")
        self.assertEqual(rows[2][-1], "")
        for count, words in ((1_000_000, "NOT MET"), (999_999, "open: too few blobs")):
            self.assertEqual(report.memory({MREGIOND: self.grown(9 << 20, count)})[1][-1], words)

    @staticmethod
    def grown(size, blobs=10):
        return Memory(blobs, size, 0, 0, 0)

    def test_the_larger_of_growth_and_slope_counts(self):
        samples = [MemorySample(blobs, busy, rest) for blobs, busy, rest in
                   ((0, 30 << 20, 5 << 20), (500_000, 40 << 20, 15 << 20), (1_000_000, 43 << 20, 17 << 20))]
        found = Memory.of(samples)
        self.assertEqual(found, Memory(1_000_000, 12 << 20, 4 << 20, 6 << 20, 17 << 20))
        self.assertEqual(found.counts, 12 << 20)
        self.assertEqual(Memory(10, 1, 2, 9, 9).counts, 2)

    def test_memory_is_a_promise_like_others(self):
        rows = report.promises([], {MREGIOND: self.grown(9 << 20, 1_000_000)})
        self.assertEqual(rows[-1], ("memory for a million blobs of 4 KiB, MiB", "<= 8", "9.0", "1/1",
                                    "NOT MET"))
        self.assertEqual(report.promises([])[-1][-1], "not measured")

    def test_what_is_not_met_is_named(self):
        rows = report.promises([run(0, MREGIOND, 299), run(0, ALWAYS, 100)],
                               {MREGIOND: self.grown(1, 1_000_000)})
        lines = list(report.summary(rows))
        self.assertEqual(lines[0], f"1 of {len(rows) - 1} promises are met")
        self.assertEqual(lines[1], "NOT MET: durable add / Redis always, 64 B, 50x16")
        self.assertEqual(lines[2], f"not measured: {len(rows) - 3}")

    def test_median_least_and_most_of_each_promise(self):
        runs = [run(i, MREGIOND, rate) for i, rate in enumerate((250, 310, 320))]
        runs += [run(i, ALWAYS, 100) for i in range(3)]
        line = next(line for line in report.table(report.promises(runs))
                    if "Redis always, 64 B, 50x16" in line)
        self.assertRegex(line, r">= 3 +3\.10 \[2\.50 3\.20\] +2/3 +met$")


def load_run():
    """tests/bench/run as a module."""
    loader = importlib.machinery.SourceFileLoader(
        "bench_run", os.path.join(os.path.dirname(os.path.abspath(__file__)), "run"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_run", loader))
    loader.exec_module(module)
    return module


class Made:
    """A subject that fails in its first runs, as told."""
    def __init__(self, name, *errors):
        self.name, self.errors, self.tried, self.stopped = name, list(errors), 0, 0

    @staticmethod
    def covers(_cell):
        return True

    def run(self, _cell, _seconds):
        self.tried += 1
        if self.errors:
            raise self.errors.pop(0)
        return {"per_second": 1}

    def stop(self):
        self.stopped += 1


class Plan(unittest.TestCase):
    def test_what_is_promised_comes_first_in_the_whole_grid(self):
        every, once = load_run().plan_full({MREGIOND: None, RAW: None})
        cells = [cell for cell, _ in every]
        promised = promises.needed()
        self.assertEqual(set(cells[:len(promised)]), set(promised))
        self.assertEqual((sorted(map(str, cells)), once), (sorted(map(str, all_cells())), []))
        self.assertTrue(all(names == [MREGIOND, RAW] for _, names in every))


class Failures(unittest.TestCase):
    def measured(self, subjects, cells):
        bench = load_run()
        measuring = bench.Measuring({one.name: one for one in subjects}, 0.1, time.monotonic() + 60)
        measuring.run_all([(cell, [one.name for one in subjects]) for cell in cells], [], 1)
        self.assertEqual(measuring.rounds, 1)
        return measuring

    def test_who_fails_is_tried_again_and_the_others_are_measured(self):
        for error in (Failed("it died"), OSError("not there"), ValueError("no JSON"),
                      subprocess.TimeoutExpired("it", 60)):
            bad, good = Made(ALWAYS, error), Made(MREGIOND)
            found = self.measured([bad, good], all_cells()[:4])
            self.assertEqual([one.subject for one in found.runs].count(MREGIOND), 4)
            self.assertEqual([one.subject for one in found.runs].count(ALWAYS), 3)
            self.assertEqual((len(found.failures), bad.stopped), (1, 1))
            self.assertIn(str(all_cells()[0]), found.failures[0][1])

    def test_who_fails_three_times_is_left_out(self):
        bad, good = Made(ALWAYS, *[Failed("it died")] * 9), Made(MREGIOND)
        found = self.measured([bad, good], all_cells()[:9])
        self.assertEqual((bad.tried, good.tried, len(found.failures)), (3, 9, 3))


class Charts(unittest.TestCase):
    @staticmethod
    def heights(svg):
        names = {"{http://www.w3.org/2000/svg}rect"}
        return {rect[0].text.split(":")[0]: float(rect.get("height"))
                for rect in ElementTree.fromstring(svg).iter() if rect.tag in names and len(rect)}

    def test_bars_are_as_high_as_their_logarithm(self):
        runs = [run(0, MREGIOND, 10_000), run(0, ALWAYS, 1_000), run(0, KEPT, 100)]
        heights = self.heights(plot.operation_chart(runs, "add", "per_second", "<rates & more>"))
        self.assertEqual(set(heights), {MREGIOND, ALWAYS, KEPT})
        step = heights[MREGIOND] - heights[ALWAYS]
        self.assertGreater(step, 0)
        self.assertAlmostEqual(heights[ALWAYS] - heights[KEPT], step, delta=0.2)

    def test_ratios_have_no_bar_of_their_own(self):
        runs = [run(0, MREGIOND, 10), run(0, ALWAYS, 5)]
        self.assertEqual(set(self.heights(plot.operation_chart(runs, "add", "ratio", "r"))), {ALWAYS})

    def test_memory(self):
        figures = {MREGIOND: Memory(10, 0.2 * 2**20, 0, 0, 0), ALWAYS: Memory(10, 2**32, 0, 0, 0),
                   KEPT: Memory(10, -5, -5, 0, 0)}
        heights = self.heights(plot.memory_chart(figures))
        self.assertEqual(set(heights), {MREGIOND, ALWAYS})
        self.assertGreater(heights[ALWAYS], heights[MREGIOND])
        self.assertIsNone(plot.memory_chart({}))

    def test_nothing_to_show_is_no_chart(self):
        self.assertIsNone(plot.operation_chart([run(0, MREGIOND, 10)], "load", "per_second", "r"))
        self.assertIsNone(plot.promises_chart([run(0, MREGIOND, 10)]))

    def test_promises_lie_right_of_the_line_when_they_hold(self):
        runs = [run(0, MREGIOND, 100, ALONE), run(0, DISK, 100, ALONE), run(0, ALWAYS, 100, ALONE)]
        root = ElementTree.fromstring(plot.promises_chart(runs))

        def of_tag(tag):
            return [one for one in root if one.tag.endswith(tag)]

        line = float(of_tag("line")[0].get("x1"))
        rate, time = (float(circle.get("cx")) for circle in of_tag("circle"))
        self.assertLess(rate, line)  # 1 times Redis, 1.3 promised
        self.assertGreater(time, line)  # 1 times the bare write, 1.25 allowed


if __name__ == "__main__":
    unittest.main()
