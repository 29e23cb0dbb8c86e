"""Bar charts as SVG: for one operation and one figure, a panel for each size, in it a group for
each load, in it a bar for each subject, with a whisker for the spread."""

import math
import os
from html import escape

from .cells import size_text
from .figures import Spread, ratios, spread
from .promises import judge
from .report import cells_of, number, subjects_of
from .subjects import MREGIOND, NAMES

COLORS = dict(zip(NAMES, (
    "#1b6ca8", "#6fa8dc", "#a9cbea", "#d1495b", "#e58a95", "#f3c3c9", "#66a182", "#7d5ba6",
    "#8b5a2b", "#444444", "#888888", "#edae49", "#f5d491")))
BAR, GAP, HEIGHT, LEFT, TOP = 11, 14, 170, 64, 34

METRICS = (("per_second", "operations per second"), ("ratio", "mregiond over others"),
           ("p50_us", "latency, µs: p50, whisker to p99.9"),
           ("server_cpu_us", "server CPU per operation, µs"),
           ("device_bytes", "bytes that the disk wrote per operation"))


class Axis:
    """Logarithmic, of whole decades around the values."""

    def __init__(self, values):
        self.low = math.floor(math.log10(min(values)) - 1e-9)
        self.high = max(math.ceil(math.log10(max(values)) + 1e-9), self.low + 1)

    def y(self, value):
        part = (math.log10(max(value, 10.0 ** self.low)) - self.low) / (self.high - self.low)
        return TOP + HEIGHT * (1 - part)

    def draw(self, width):
        for power in range(self.low, self.high + 1):
            y = self.y(10.0 ** power)
            yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{width}" y2="{y:.1f}" stroke="#ddd"/>'
            yield text(LEFT - 6, y + 4, number(10.0 ** power), "end")


def text(x, y, words, anchor="start", extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(words)}</text>'


def bar(x, axis, found, color, title):
    y = axis.y(found.median)
    middle = x + BAR / 2
    yield (f'<rect x="{x:.1f}" y="{y:.1f}" width="{BAR - 1}" height="{TOP + HEIGHT - y:.1f}" '
           f'fill="{color}"><title>{escape(title)}</title></rect>')
    yield (f'<line x1="{middle:.1f}" y1="{axis.y(found.least):.1f}" x2="{middle:.1f}" '
           f'y2="{axis.y(found.most):.1f}" stroke="#222"/>')


def panel(title, groups):
    """groups: (name, [(subject, Spread)]). Returns the elements, the width and the height."""
    positive = [value for _, bars in groups for _, found in bars
                for value in (found.median, found.least, found.most) if value > 0]
    if not positive:
        return [], 0, 0
    axis = Axis(positive)
    width = LEFT + sum(len(bars) * BAR + GAP for _, bars in groups) + GAP
    parts = [text(LEFT, TOP - 14, title, extra=' font-weight="bold"'), *axis.draw(width)]
    x = LEFT + GAP
    for name, bars in groups:
        parts.append(text(x + len(bars) * BAR / 2, TOP + HEIGHT + 15, name, "middle"))
        for subject, found in bars:
            words = f"{subject}: {number(found.median)} [{number(found.least)} {number(found.most)}]"
            parts += bar(x, axis, found, COLORS[subject], words)
            x += BAR
        x += GAP
    return parts, width, TOP + HEIGHT + 30


def legend(names, y):
    for i, name in enumerate(names):
        x = LEFT + i % 4 * 170
        top = y + i // 4 * 18
        yield f'<rect x="{x}" y="{top}" width="11" height="11" fill="{COLORS[name]}"/>'
        yield text(x + 16, top + 10, name)


def picture(width, height, parts):
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>", ""])


def document(title, panels, names):
    """panels: (title, groups). None when there is nothing to show."""
    names = [name for name in NAMES if name in names]
    parts, y, width = [], 40, 760
    for name, groups in panels:
        drawn, panel_width, panel_height = panel(name, groups)
        if drawn:
            parts += [f'<g transform="translate(0 {y})">', *drawn, "</g>"]
            y += panel_height
            width = max(width, panel_width + 10)
    if not parts:
        return None
    parts += legend(names, y + 6)
    height = y + 30 + 18 * ((len(names) + 3) // 4)
    return picture(width, height, [text(LEFT, 24, title, extra=' font-size="15"'), *parts])


def figure(runs, cell, subject, metric):
    if metric == "ratio":
        found = ratios(runs, cell, MREGIOND, (subject,)) if subject != MREGIOND else []
        return Spread.of(found) if found else None
    found = spread(runs, cell, subject, metric)
    if found is not None and metric == "p50_us":
        worst = spread(runs, cell, subject, "p999_us")
        return Spread(found.median, found.median, worst.median, found.count)
    return found


def operation_chart(runs, operation, metric, title):
    panels, names = {}, []
    for cell in cells_of(runs):
        if cell.operation != operation:
            continue
        bars = [(subject, figure(runs, cell, subject, metric))
                for subject in subjects_of(runs, cell)]
        bars = [(subject, found) for subject, found in bars if found is not None]
        names += [subject for subject, _ in bars if subject not in names]
        if bars:
            name = size_text(cell.size) + ("" if cell.transport == "unix" else ", TCP")
            panels.setdefault(name, []).append((cell.load, bars))
    return document(f"{operation}: {title}", panels.items(), names)


def over_line(verdict):
    """Least, median and most in parts of the line, so that above 1 it holds."""
    line, found = verdict.promise.line, verdict.spread
    if verdict.promise.is_time:
        return line / found.most, line / found.median, line / found.least
    return found.least / line, found.median / line, found.most / line


def promises_chart(runs):
    rows = [verdict for verdict in judge(runs) if verdict.spread is not None]
    if not rows:
        return None
    low = math.log(min(0.5, *(over_line(verdict)[0] for verdict in rows)))
    high = math.log(max(2, *(over_line(verdict)[2] for verdict in rows)))
    left, width, step = 420, 480, 20

    def x(value):
        return left + width * (math.log(value) - low) / (high - low)

    height = 60 + step * len(rows)
    parts = [text(left, 24, "promises: right of the line they hold", extra=' font-size="15"'),
             f'<line x1="{x(1):.1f}" y1="34" x2="{x(1):.1f}" y2="{height - 14}" stroke="#222"/>']
    for i, verdict in enumerate(rows):
        y = 50 + step * i
        least, median, most = over_line(verdict)
        color = "#66a182" if verdict.is_met else "#d1495b"
        parts += [text(left - 10, y + 4, verdict.promise.text, "end"),
                  f'<line x1="{x(least):.1f}" y1="{y}" x2="{x(most):.1f}" y2="{y}" '
                  f'stroke="{color}" stroke-width="3"/>',
                  f'<circle cx="{x(median):.1f}" cy="{y}" r="5" fill="{color}"/>',
                  text(left + width + 14, y + 4,
                       f"{verdict.spread.median:.2f} ({verdict.promise.line_text})")]
    return picture(left + width + 130, height, parts)


def memory_chart(memory):
    found = {subject: one.counts / 2 ** 20 for subject, one in memory.items()}
    bars = [(subject, Spread(mib, mib, mib, 1)) for subject, mib in found.items() if mib > 0]
    return document("memory for a million blobs of 4 KiB, MiB", [("", [("", bars)])],
                    [subject for subject, _ in bars])


def write_all(folder, runs, memory):
    """Returns the names of the files."""
    os.makedirs(folder, exist_ok=True)
    charts = {"promises": promises_chart(runs), "memory": memory_chart(memory)}
    for operation in ("add", "load", "remove"):
        for metric, title in METRICS:
            charts[f"{operation}-{metric.replace('_', '-')}"] = \
                operation_chart(runs, operation, metric, title)
    names = []
    for name, svg in charts.items():
        path = os.path.join(folder, name + ".svg")
        if svg is None:
            if os.path.exists(path):
                os.unlink(path)  # of a run before
            continue
        with open(path, "w", encoding="utf-8") as file:
            file.write(svg)
        names.append(path)
    return names
