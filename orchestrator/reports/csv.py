"""CSV that no spreadsheet runs: a cell that would begin a formula gets an apostrophe, as in files of refused rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from orchestrator.domain.intake.csv_table import guarded
from orchestrator.domain.report.buckets import histogram
from orchestrator.domain.report.figures import Figures
from orchestrator.domain.report.totals import FIRST_WORDS, ControlTotal, first_outcomes
from orchestrator.reports.words import cell

TYPE = "text/csv; charset=utf-8"

TOTALS_HEADER = ("section", "name", "value", "unit", "says")

#: What `guarded` looks at begins with one of these.
_RISKY = frozenset("'=+-@\t\r\n")

Line = tuple[str, str, Any, str, str]


def lines(rows: Iterable[Sequence[Any]]) -> bytes:
    """Return rows as CSV in UTF-8 (RFC 4180)."""
    text = io.StringIO(newline="")
    # Python 3.11 quotes a cell for the characters of its own line end only: with "\n" a "\r" would begin a new row.
    csv.writer(text, lineterminator="\r\n").writerows([_safe(cell(value)) for value in row] for row in rows)
    return text.getvalue().encode("utf-8", errors="replace")


def _safe(text: str) -> str:
    # Most cells begin with none of these, and a million rows have twenty million cells.
    return guarded(text) if text[:1] in _RISKY else text


def totals(figures: Figures, control: Sequence[ControlTotal]) -> bytes:
    """Return every figure of a report as one table: a line for each number."""
    head = figures.head
    about: list[Line] = [
        ("report", "kind", head.kind, "", ""),
        ("report", "subject", head.subject, "", ""),
        ("report", "made_at", head.made_at, "", ""),
        ("report", "made_by", head.made_by, "", ""),
        ("report", "since", head.since, "", ""),
        ("report", "until", head.until, "", ""),
        ("report", "zone", head.zone, "", ""),
        *(("report", label, value, "", "") for label, value in head.facts.items()),
    ]
    return lines([TOTALS_HEADER, *about, *_control(control), *_counts(figures), *_times(figures), *_people(figures)])


def _control(control: Sequence[ControlTotal]) -> Iterator[Line]:
    for total in control:
        yield ("control total", total.name, total.difference, "difference", total.verdict)
        yield (f"control total: {total.name}", total.left.label, total.left.value, "left", "")
        for term in total.right:
            yield (f"control total: {total.name}", term.label, term.value, "right", "")


def _counts(figures: Figures) -> Iterator[Line]:
    for status, runs in figures.by_status.items():
        yield ("runs by status", status, runs, "runs", "")
    if figures.erased:
        yield ("runs by status", "of these, erased", figures.erased, "runs", "")
    for first, runs in first_outcomes(figures).items():
        yield ("first attempts", FIRST_WORDS[first], runs, "runs", "")
    for cause in figures.causes:
        yield ("causes", f"{cause.status}: {cause.code}", cause.runs, "runs", "")
    launches = figures.launches
    yield ("effort", "attempts", launches.attempts, "attempts", "")
    yield ("effort", "launch requests", launches.intents, "requests", "")
    yield ("effort", "of these, nothing started", launches.unsent, "requests", "")
    yield ("effort", "looks", launches.looks, "requests", "")
    yield ("effort", "requests of the budget", launches.intents + launches.looks, "requests", "")
    for name, count in figures.retries.items():
        yield ("effort", name, count, "runs", "")
    yield ("effort", "result bytes stored", figures.results.stored_bytes, "bytes", "")
    for amount in (*figures.input_sums, *figures.result_sums):
        yield ("amounts", f"{amount.of}: {amount.name}", amount.total, f"{amount.rows} rows", "")
        for why, rows in amount.lacking.items():
            yield ("amounts", f"{amount.of}: {amount.name}", rows, "rows without", why)


def _times(figures: Figures) -> Iterator[Line]:
    for timing in figures.timings:
        for measure in ("p50_s", "p95_s", "max_s"):
            yield ("timing", f"{timing.name} {measure[:-2]}", getattr(timing, measure), "s", f"{timing.count} measured")
    for bound, runs in histogram(figures.durations):
        yield ("time to result", "longer" if bound is None else f"under {bound:g} s", runs, "runs", "")
    for entry in figures.slices:
        yield ("outcomes", f"{entry.at.isoformat()} {entry.status}", entry.runs, "runs", f"step {figures.step_s} s")


def _people(figures: Figures) -> Iterator[Line]:
    for actor, runs in figures.submitters.items():
        yield ("submitted by", actor, runs, "runs", "")
    for act in figures.acts:
        yield ("acts", f"{act.type} by {act.actor}", act.count, "times", act.reason or "")
    for kind, open_ in figures.questions.items():
        yield ("open questions", kind, open_, "questions", "")
    for schedule, states in figures.ticks.items():
        for state, ticks in states.items():
            yield ("ticks of schedules", schedule, ticks, state, "")
    for fire in figures.fires:
        yield ("ticks", f"{fire.schedule} {cell(fire.nominal_at)}", fire.became, "", fire.why or "")
