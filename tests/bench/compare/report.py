"""The tables."""

from .figures import Spread, ratios, spread
from .promises import MEMORY_LINE_MIB, is_memory_met, judge
from .subjects import MREGIOND, NAMES

BUSY = 0.95  # of its core, from there on the load generator may be the limit


def number(value):
    """Three digits that matter, with k, M or G."""
    if value is None:
        return "-"
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1)):
        if value >= factor * 0.9995 or factor == 1:
            return f"{value / factor:.{'3g' if value < factor * 999.5 else '0f'}}{unit}"


def with_spread(found, text=number):
    if found is None:
        return "-"
    if found.count == 1:
        return text(found.median)
    return f"{text(found.median)} [{text(found.least)} {text(found.most)}]"


def ratio_text(value):
    return f"{value:.2f}"


def table(rows):
    """The first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                       for i, (cell, width) in enumerate(zip(row, widths)))).rstrip()
            for row in rows]


MET, NOT_MET, NOT_MEASURED, OPEN = "met", "NOT MET", "not measured", "open: too few blobs"


def promises(runs, memory_figures=None):
    rows = [("promise", "line", "median [least most]", "rounds", "")]
    for verdict in judge(runs):
        rows.append((verdict.promise.text, verdict.promise.line_text,
                     with_spread(verdict.spread, ratio_text),
                     f"{verdict.rounds_held}/{verdict.spread.count}" if verdict.spread else "-",
                     {True: MET, False: NOT_MET, None: NOT_MEASURED}[verdict.is_met]))
    ours = (memory_figures or {}).get(MREGIOND)
    rows.append(("memory for a million blobs of 4 KiB, MiB", f"<= {MEMORY_LINE_MIB}",
                 mib_text(ours.counts) if ours else "-", "1/1" if ours else "-",
                 memory_verdict(ours)))
    return rows


def summary(rows):
    """How many of the promises hold, and the names of those that do not."""
    named = [(row[0], row[-1]) for row in rows[1:]]
    yield f"{sum(word == MET for _, word in named)} of {len(named)} promises are met"
    for word in (NOT_MET, OPEN):
        for name in (name for name, found in named if found == word):
            yield f"{word}: {name}"
    missing = sum(word == NOT_MEASURED for _, word in named)
    if missing:
        yield f"{NOT_MEASURED}: {missing}"


def memory_verdict(one):
    """Buffers that grew a little meanwhile weigh too much where blobs are few."""
    if one is None:
        return NOT_MEASURED
    if is_memory_met(one):
        return MET
    return NOT_MET if one.blobs >= 1_000_000 else OPEN


def mib_text(size):
    return f"{size / (1 << 20):.1f}"


MEMORY_LEGEND = """\
MiB of the process for a million blobs of 4 KiB: growth at rest, from a warm server and in the second half
of the blobs; in the second half without a rest; and all that the process has in the end, at rest.
mregiond has no page cache here (page_cache: 0): with one it has up to so much more, whatever is stored.
The larger of the first two is what the promise is about."""


def memory(figures):
    """figures: by subject, a Memory."""
    rows = [("memory for a million blobs of 4 KiB", "MiB", "second half", "busy", "of blobs",
             "in the end", "line", "")]
    for subject, one in figures.items():
        line = ("", "")
        if subject == MREGIOND:
            line = (f"<= {MEMORY_LINE_MIB}", memory_verdict(one))
        rows.append((subject, mib_text(one.whole), mib_text(one.slope), mib_text(one.busy_slope),
                     str(one.blobs), mib_text(one.end), *line))
    return rows


def subjects_of(runs, cell):
    names = []
    for run in runs:
        if run.cell == cell and run.subject not in names:
            names.append(run.subject)
    return sorted(names, key=NAMES.index)


def cells_of(runs):
    cells = []
    for run in runs:
        if run.cell not in cells:
            cells.append(run.cell)
    return sorted(cells, key=lambda cell: (cell.operation, cell.transport != "unix", cell.size,
                                           cell.connections, cell.pipeline))


def is_generator_bound(runs, cell, subject):
    load = spread(runs, cell, subject, "generator_load")
    return load is not None and load.median >= BUSY


HEAD = ("", "per second", "mregiond / it", "p50", "p99", "p99.9 us", "CPU us", "disk B",
        "process B")


def figures(runs):
    """Every cell, every subject. An asterisk: the load generator's core was full."""
    rows = [HEAD]
    for cell in cells_of(runs):
        rows.append((str(cell),) + ("",) * (len(HEAD) - 1))
        for subject in subjects_of(runs, cell):
            def median(metric, cell=cell, subject=subject):
                found = spread(runs, cell, subject, metric)
                return number(found.median) if found else "-"
            found = ratios(runs, cell, MREGIOND, (subject,))
            compared = Spread.of(found) if found and subject != MREGIOND else None
            star = "*" if is_generator_bound(runs, cell, subject) else ""
            rows.append((f"  {subject}{star}",
                         with_spread(spread(runs, cell, subject, "per_second")),
                         with_spread(compared, ratio_text) if compared else "",
                         median("p50_us"), median("p99_us"), median("p999_us"),
                         median("server_cpu_us"), median("device_bytes"),
                         median("process_bytes")))
    return rows


LEGEND = """\
raw server: echoes, and commits what came in a turn, on its loop or on a thread; disk alone: no server,
as many bytes to a sync as there can be in flight. Blobs from 64 KiB on are added to a new region, whose
file grows, or (kept space) where freed ones were; smaller ones always there. Redis answers before it
syncs but with always; memcached keeps nothing. Loads are of 64 MiB in all, again and again, so that
everybody has them in memory; the raw server has one blob, and sends it.
Medians over the rounds, [least most]. A ratio is that of one round; the runs of a round are beside
each other. CPU: of the server, for each operation. disk: bytes that the disk wrote until all was
on it, everybody's; process: those that the kernel accounts to the server. *: the load generator's
core was full, so that it may be what was measured."""


def whole(runs, memory_figures):
    yield ""
    yield from table(figures(runs))
    yield ""
    yield LEGEND
    if memory_figures:
        yield ""
        yield from table(memory(memory_figures))
        yield ""
        yield MEMORY_LEGEND
    rows = promises(runs, memory_figures)
    yield ""
    yield from table(rows)
    yield ""
    yield from summary(rows)
