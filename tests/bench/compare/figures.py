"""Statistics of the runs. A run is one measurement: round, cell, subject, result."""

import statistics
from dataclasses import dataclass

LOWER_IS_BETTER = ("p50_us", "p99_us", "p999_us", "server_cpu_us", "device_bytes", "process_bytes")


@dataclass(frozen=True)
class Run:
    round: int
    cell: object
    subject: str
    result: dict  # as the programs print it


@dataclass(frozen=True)
class Spread:
    median: float
    least: float
    most: float
    count: int

    @staticmethod
    def of(values):
        values = list(values)
        return Spread(statistics.median(values), min(values), max(values), len(values))


def values(runs, cell, subject, metric):
    return [run.result[metric] for run in runs
            if run.cell == cell and run.subject == subject and metric in run.result]


def spread(runs, cell, subject, metric):
    """None when there is no figure."""
    found = values(runs, cell, subject, metric)
    return Spread.of(found) if found else None


def by_round(runs, cell, metric):
    rounds = {}
    for run in runs:
        if run.cell == cell and metric in run.result:
            rounds.setdefault(run.round, {})[run.subject] = run.result[metric]
    return rounds


def ratios(runs, cell, subject, references, metric="per_second"):
    """One for each round in which the subject and all references that were ever measured in this
    cell were: the machine's mood is in both sides of it. Against the best of the references."""
    rounds = by_round(runs, cell, metric)
    known = {name for figures in rounds.values() for name in figures}
    wanted = [name for name in references if name in known]
    best = min if metric in LOWER_IS_BETTER else max
    found = []
    for _, figures in sorted(rounds.items()):
        if wanted and subject in figures and all(name in figures for name in wanted):
            reference = best(figures[name] for name in wanted)
            if reference > 0:
                found.append(figures[subject] / reference)
    return found


# ---- Memory ----


@dataclass(frozen=True)
class MemorySample:
    """Of a server with so many blobs: right after the last of them, and at rest. Bytes."""
    blobs: int
    busy: int
    rest: int


@dataclass(frozen=True)
class Memory:
    """Bytes for a million blobs: from the warm start to the end; from the middle to the end, where
    what grows with blobs still does and buffers do not; the same right after the last request. And
    what there is at the end, at rest."""
    blobs: int
    whole: float
    slope: float
    busy_slope: float
    end: int

    @property
    def counts(self):
        return max(self.whole, self.slope)

    @staticmethod
    def of(samples):
        start, middle, end = samples

        def per_million(grown, blobs):
            return grown * 1_000_000 / blobs

        half = end.blobs - middle.blobs
        return Memory(end.blobs - start.blobs,
                      per_million(end.rest - start.rest, end.blobs - start.blobs),
                      per_million(end.rest - middle.rest, half),
                      per_million(end.busy - middle.busy, half), end.rest)
