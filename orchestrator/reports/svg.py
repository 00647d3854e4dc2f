"""The three charts, as SVG in the page: outcomes over time, time to result, failures by cause.

Drawn to be printed in grey too: what failed is by far the darkest, what is under way has a broken frame.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.domain.report.buckets import DAY_S, Bar, span
from orchestrator.domain.report.figures import Cause
from orchestrator.domain.report.verdict import FAILURES, counted
from orchestrator.domain.statuses import LIVE, RunStatus
from orchestrator.reports.markup import Markup, joined, tag

WIDTH, HEIGHT = 340, 190
LEFT, RIGHT, TOP, BOTTOM = 34, 6, 10, 44
PLOT_WIDTH, PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

#: What is drawn in one colour, from the bottom of a bar up: name, class, statuses.
KINDS: Sequence[tuple[str, str, frozenset[RunStatus]]] = (
    ("finished", "ok", frozenset({RunStatus.FINISHED})),
    ("failed", "bad", frozenset(FAILURES)),
    ("cancelled", "off", frozenset({RunStatus.CANCELLED})),
    ("under way", "open", LIVE),
)
assert frozenset().union(*(statuses for _, _, statuses in KINDS)) == frozenset(RunStatus), "every status has a colour"

MAX_CAUSES = 6


def outcomes(bars: Sequence[Bar], step_s: int) -> Markup:
    """Draw the runs of each step of time, stacked by what became of them."""
    if not bars:
        return _nothing("Nothing has ended yet")
    most = max(sum(bar.counts.values()) for bar in bars)
    slot = min(PLOT_WIDTH / len(bars), 56.0)
    drawn: list[Markup] = []
    for n, bar in enumerate(bars):
        base = 0
        for name, class_, statuses in KINDS:
            count = sum(bar.counts.get(status, 0) for status in statuses)
            if count:
                title = f"{_at(bar, step_s)}: {count:,} {name}"
                drawn.append(_column(n * slot, slot, base, count, most, class_=class_, title=title))
                base += count
    labels = _labels([(n * slot + slot / 2, _at(bar, step_s)) for n, bar in enumerate(bars)])
    present = [kind for kind in KINDS if any(bar.counts.get(s) for bar in bars for s in kind[2])]
    return _chart("Outcomes over time", _axis(most), drawn, labels, _legend([(n, c) for n, c, _ in present]))


def durations(buckets: Sequence[tuple[float | None, int]]) -> Markup:
    """Draw how many finished runs took how long."""
    if not buckets:
        return _nothing("Nothing has finished yet")
    most = max(runs for _, runs in buckets)
    slot = min(PLOT_WIDTH / len(buckets), 56.0)
    drawn, names = [], []
    for n, (bound, runs) in enumerate(buckets):
        name = "longer" if bound is None else span(bound)
        names.append((n * slot + slot / 2, name))
        if runs:
            told = f"{name if bound is None else f'less than {name}'}: {counted(runs, 'run')}"
            drawn.append(_column(n * slot, slot, 0, runs, most, class_="ok", title=told))
    legend = _legend([("finished runs, each bar in less than its time", "ok")])
    return _chart("Time to result", _axis(most), drawn, _labels(names), legend)


def causes(found: Sequence[Cause]) -> Markup:
    """Draw the most frequent reasons of failure, the rest together."""
    by_code: dict[str, int] = {}
    for cause in found:
        by_code[cause.code] = by_code.get(cause.code, 0) + cause.runs
    ranked = sorted(by_code.items(), key=lambda entry: (-entry[1], entry[0]))
    if not ranked:
        return _nothing("Nothing failed")
    shown, rest = ranked[:MAX_CAUSES], ranked[MAX_CAUSES:]
    if rest:
        shown.append((f"{len(rest)} more", sum(runs for _, runs in rest)))
    most = max(runs for _, runs in shown)
    row, wide = 22.0, WIDTH - 130 - 46
    drawn = []
    for n, (code, runs) in enumerate(shown):
        y = TOP + n * row
        length = max(2.0, wide * runs / most)
        drawn += [
            _text(124, y + 11, code if len(code) <= 20 else code[:19] + "…", anchor="end"),
            _rect(130, y + 2, length, 12, class_="bad", title=f"{code}: {counted(runs, 'run')}"),
            _text(130 + length + 4, y + 11, f"{runs:,}"),
        ]
    # As high as its bars: on a phone, where charts stand below each other, a single bar would have a gap below it.
    return _chart("Failures by cause", drawn, height=TOP + row * len(shown))


def _at(bar: Bar, step_s: int) -> str:
    if step_s > DAY_S:
        return bar.at.strftime("%Y-%m-%d")
    return bar.at.strftime("%m-%d" if step_s == DAY_S else "%m-%d %H:%M" if step_s > 900 else "%H:%M")


def _chart(title: str, *parts: Sequence[Markup] | Markup, height: float = HEIGHT) -> Markup:
    drawn = [part if isinstance(part, Markup) else joined(part) for part in parts]
    return tag("svg", tag("title", title), *drawn, viewBox=f"0 0 {WIDTH} {_n(height)}", role="img")


def _nothing(says: str) -> Markup:
    return _chart(says, _text(WIDTH / 2, HEIGHT / 8, says, anchor="middle"), height=HEIGHT / 4)


def _column(x: float, slot: float, base: int, count: int, most: int, *, class_: str, title: str) -> Markup:
    gap = 1.5 if slot > 6 else 0.5
    height = PLOT_HEIGHT * count / most
    # A single failure among a million is still seen.
    drawn = max(height, 1.5)
    y = TOP + PLOT_HEIGHT - PLOT_HEIGHT * base / most - drawn
    return _rect(LEFT + x + gap / 2, max(y, 0.0), slot - gap, drawn, class_=class_, title=title)


def _axis(most: int) -> list[Markup]:
    found = []
    for value in sorted({0, most // 2, most}):
        y = TOP + PLOT_HEIGHT * (1 - value / most)
        found.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=_n(y), y2=_n(y), class_="grid"))
        found.append(_text(LEFT - 4, y + 3, short(value), anchor="end"))
    return found


def short(value: int) -> str:
    """Return a count that fits beside an axis: `950`, `12.5k`, `180k`, `1.2M`."""
    for unit, letter, from_ in ((1_000_000, "M", 1_000_000), (1_000, "k", 10_000)):
        if value >= from_:
            scaled = value / unit
            return (f"{scaled:.0f}" if scaled >= 100 else f"{scaled:.1f}".removesuffix(".0")) + letter
    return f"{value:,}"


def _labels(places: Sequence[tuple[float, str]]) -> list[Markup]:
    """Label the places of the axis, as many as have room, from the first on."""
    found, free_from = [], 0.0
    for x, words in places:
        half = 2.6 * len(words) + 2
        if x - half >= free_from - LEFT / 2:
            found.append(_text(LEFT + x, TOP + PLOT_HEIGHT + 13, words, anchor="middle"))
            free_from = x + half + LEFT / 2 + 4
    return found


def _legend(entries: Sequence[tuple[str, str]]) -> list[Markup]:
    found, x = [], float(LEFT)
    for name, class_ in entries:
        found.append(_rect(x, HEIGHT - 17, 9, 9, class_=class_))
        found.append(_text(x + 13, HEIGHT - 9, name))
        x += 26 + 5.6 * len(name)
    return found


def _rect(x: float, y: float, width: float, height: float, *, class_: str, title: str | None = None) -> Markup:
    told = [tag("title", title)] if title else []
    return tag("rect", *told, x=_n(x), y=_n(y), width=_n(width), height=_n(height), class_=class_)


def _text(x: float, y: float, words: str, *, anchor: str = "start") -> Markup:
    return tag("text", words, x=_n(x), y=_n(y), text_anchor=anchor)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
