"""What the project promises, as ratios of one run on one machine, and whether it holds."""

from dataclasses import dataclass

from .cells import Cell, size_text
from .figures import Spread, ratios
from .subjects import (ALWAYS, DEALLOCATE, DISK, DISK_DIRECT, MREGIOND, NO, RAW, RAW_THREAD,
                       TARANTOOL)

PER_SECOND, P50 = "per_second", "p50_us"


@dataclass(frozen=True)
class Promise:
    """subject over the best of the references, in one cell. Of a rate it must be at least the line,
    of a time at most."""
    text: str
    cell: Cell
    subject: str
    references: tuple
    line: float
    metric: str = PER_SECOND

    @property
    def is_time(self):
        return self.metric != PER_SECOND

    def holds(self, ratio):
        return ratio <= self.line if self.is_time else ratio >= self.line

    @property
    def line_text(self):
        return f"{'<=' if self.is_time else '>='} {self.line:g}"


def _rates(text, operation, sizes, loads, references, line, subject=MREGIOND):
    for size in sizes:
        for load in loads:
            cell = Cell(operation, size, *load)
            yield Promise(f"{text}, {size_text(size)}, {cell.load}", cell, subject, references, line)


def all_promises():
    alone, many, deep = ((1, 1),), ((50, 16), (50, 64)), ((1, 1), (50, 1))
    small, large = (64, 1024, 4096), (65536, 1048576)
    yield from _rates("durable add / Redis always", "add", (64,), alone, (ALWAYS,), 1.3)
    yield Promise("durable add, time / pwrite + fdatasync of 4 KiB, 64 B, 1x1", Cell("add", 64, 1, 1),
                  MREGIOND, (DISK,), 1.25, P50)
    yield from _rates("durable add / Redis always", "add", small, many, (ALWAYS,), 3)
    yield from _rates("durable add / raw", "add", small, many, (RAW, RAW_THREAD), 0.5)
    yield from _rates("durable add / Redis always", "add", large, deep, (ALWAYS,), 3)
    yield from _rates("durable add / sequential write", "add", large, deep, (DISK, DISK_DIRECT), 0.7)
    yield from _rates("load / Redis", "load", (64,), many, (NO,), 3)
    yield from _rates("load / Tarantool", "load", (64,), many, (TARANTOOL,), 2)
    yield from _rates("load / Redis", "load", (1024, 4096), many, (NO,), 2)
    yield from _rates("load / Redis", "load", large, deep, (NO,), 1.4)
    yield from _rates("load / raw", "load", large, deep, (RAW,), 0.7)
    yield from _rates("remove / Redis DEL always", "remove", (64,), many, (ALWAYS,), 2)
    yield from _rates("deallocate / Redis DEL always", "remove", (64,), many, (ALWAYS,), 2, DEALLOCATE)


MEMORY_LINE_MIB = 8  # of the server, for a million blobs of 4 KiB, without bounded caches


def is_memory_met(figures):
    return figures.counts <= MEMORY_LINE_MIB << 20


def needed():
    """Cells that promises are about, each with the subjects that they compare."""
    cells = {}
    for promise in all_promises():
        names = cells.setdefault(promise.cell, [])
        names += [name for name in (promise.subject, *promise.references) if name not in names]
    return cells


@dataclass(frozen=True)
class Verdict:
    promise: Promise
    spread: Spread  # of the ratios; None when something was not measured
    rounds_held: int

    @property
    def is_met(self):
        return None if self.spread is None else self.promise.holds(self.spread.median)


def judge(runs):
    """Each round's ratio against the best of the references in the same round; the median counts."""
    for promise in all_promises():
        found = ratios(runs, promise.cell, promise.subject, promise.references, promise.metric)
        yield Verdict(promise, Spread.of(found) if found else None,
                      sum(promise.holds(ratio) for ratio in found))
