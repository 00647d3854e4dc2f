"""The parts of a report's page: tables, the headline, the frame around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from orchestrator.domain.report.figures import Listing, ReportHead, ReportKind
from orchestrator.domain.report.totals import ControlTotal, Term, number
from orchestrator.reports.markup import Child, Markup, foreign, joined, style, tag
from orchestrator.reports.style import rules
from orchestrator.reports.words import cell, clock, size

#: Nothing may be loaded, run or sent: a saved page stays what it was.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_KINDS: Mapping[ReportKind, str] = {
    ReportKind.BATCH: "Batch report",
    ReportKind.PERIOD: "Period report",
    ReportKind.RUN: "Run dossier",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table: its title, and how its cells look (`num`, `time`, `hash`, `short`, `tight`)."""

    title: str
    look: str | None = None


#: A table of so many columns stands on a phone with each cell on a line of its own, under its title.
_STACKED_COLUMNS = 4

#: A subject of more characters is set smaller: names may have 200.
_LONG_SUBJECT_CHARS = 60


def page(head: ReportHead, body: Iterable[Child], *, about: str = "") -> bytes:
    """Return a whole page, self-contained.

    Args:
        about: what every printed sheet says that it belongs to: an id, a period.
    """
    sheet = f"{_KINDS[head.kind]} {about}, made {clock(head.made_at, head.zone)}; times are in {head.zone}"
    title = f"{_KINDS[head.kind]}: {head.subject}"
    document = tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            _meta("Content-Security-Policy", _POLICY),
            tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
            tag("title", title[:200]),
            style(rules(sheet)),
        ),
        tag("body", _top(head), *body, _foot(head)),
        lang="en",
    )
    return ("<!doctype html>\n" + document + "\n").encode("utf-8", errors="replace")


def _meta(equivalent: str, content: str) -> Markup:
    return tag("meta", http_equiv=equivalent, content=content)


def _top(head: ReportHead) -> Markup:
    made = [
        tag("div", "made ", tag("b", f"{clock(head.made_at, head.zone)} {head.zone}")),
        tag("div", "by ", tag("b", foreign(head.made_by))),
    ]
    kind = tag("div", tag("b", _KINDS[head.kind]), tag("div", "Orchestrator · workspace ", foreign(head.workspace)))
    facts = [tag("span", f"{label} ", tag("b", foreign(value))) for label, value in head.facts.items()]
    if head.since is not None and head.until is not None:
        facts.insert(0, tag("span", "runs accepted from ", tag("b", period(head)), f" (end excluded, {head.zone})"))
    look = "long" if len(head.subject) > _LONG_SUBJECT_CHARS else None
    return joined([tag("header", kind, tag("div", made)), tag("h1", foreign(head.subject), class_=look),
                   tag("div", facts, class_="facts")])  # fmt: skip


def period(head: ReportHead) -> str:
    """Return from when to when a period lasts."""
    return f"{clock(head.since, head.zone, seconds=False)} to {clock(head.until, head.zone, seconds=False)}"


def _foot(head: ReportHead) -> Markup:
    says = (
        f"Every figure is as of {clock(head.made_at, head.zone)} {head.zone}, read in one snapshot of the database. "
        f"Times without a zone are in {head.zone}. This page loads nothing and runs nothing."
    )
    return tag("footer", says)


def section(title: str, *parts: Child, note: str | None = None, class_: str | None = None) -> Markup:
    """Return a part of the page under its title."""
    return tag("section", tag("h2", title, tag("small", note) if note else None), *parts, class_=class_)


def table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[Child]],
    *,
    looks: Mapping[int, str] | None = None,
    class_: str | None = None,
) -> Markup:
    """Return a table; on a narrow screen a wide one has each cell on a line of its own, beside its title.

    Args:
        looks: place of a row -> how it looks: `wrong` catches the eye, `sum` is the sum of those above.
    """
    told = looks or {}
    has_words = any(column.look != "num" for column in columns[1:])  # mere numbers have room beside each other
    is_stacked = class_ is None and len(columns) >= _STACKED_COLUMNS and has_words
    class_ = "stacked" if is_stacked else class_
    titles = [
        tag("th", column.title, class_=column.look if column.look in ("num", "tight") else None) for column in columns
    ]
    head = tag("thead", tag("tr", *titles)) if any(column.title for column in columns) else None
    body = [
        tag(
            "tr",
            *(
                tag("td", value, class_=column.look, data_title=column.title or None if is_stacked else None)
                for column, value in zip(columns, row, strict=True)
            ),
            class_=told.get(place),
        )
        for place, row in enumerate(rows)
    ]
    return tag("div", tag("table", head, tag("tbody", *body), class_=class_), class_="wide")


def totals(found: Sequence[ControlTotal]) -> Markup:
    """Return the control totals, each with both sides in numbers and words."""
    columns = (Column(title="Control total"), Column(title="Left side"), Column(title="Right side"),
               Column(title="Verdict"))  # fmt: skip
    rows = [
        (
            tag("b", total.name),
            _term(total.left),
            _sum(total),
            tag("span", ("✓ " if total.adds_up else "✗ ") + total.verdict, class_="yes" if total.adds_up else "no"),
        )
        for total in found
    ]
    looks = {place: "wrong" for place, total in enumerate(found) if not total.adds_up}
    return table(columns, rows, looks=looks, class_="totals")


def _term(term: Term) -> Markup:
    return joined([tag("b", number(term.value)), " ", foreign(term.counted)])


def _sum(total: ControlTotal) -> Markup:
    """Return the right side; terms that are 0 are left out where others are not and nothing is wrong."""
    shown = [term for term in total.right if term.value or not total.adds_up] or list(total.right[:1])
    parts: list[Child] = []
    for place, term in enumerate(shown):
        # A number is not parted from its sign and its words where a line ends.
        sign = tag("span", "+" if place else "=", class_="plus")
        parts += [tag("span", sign, _term(term), class_="term"), " "]
    return joined(parts[:-1])


def pairs(rows: Iterable[tuple[str, Child]], *, title: str, value: str = "") -> Markup:
    """Return a narrow table of names and numbers."""
    return table((Column(title=title), Column(title=value, look="num")), rows)


#: Lists of a report: (column of the row, title, look).
LISTS: Mapping[str, Sequence[tuple[str, str, str | None]]] = {
    "failures": (
        ("place", "Run", None), ("external_id", "External id", None), ("status", "Status", "short"),
        ("error_code", "Cause", "short"), ("error_message", "What was said", None), ("attempts", "Attempts", "num"),
        ("ended_at", "Ended", "time"),
    ),
    "results": (
        ("place", "Run", None), ("filename", "File, and its SHA-256", None), ("size_bytes", "Size", "num"),
        ("stored_at", "Stored", "time"),
    ),
}  # fmt: skip


def listing(name: str, title: str, found: Listing, zone: str) -> Markup:
    """Return one of the lists behind the figures, or that it is empty; says where the rest of a long one is."""
    if not found.total:
        return section(title, tag("p", "None.", class_="soft"))
    # A column without anything in it only takes room from the others.
    always = ("place", "filename")
    shown = [told for told in LISTS[name] if told[0] in always or any(row.get(told[0]) for row in found.rows)]
    columns = [Column(title=title, look=look) for _, title, look in shown]
    rows = [[_cell(column, row, zone) for column, _, _ in shown] for row in found.rows]
    note = f"{found.total:,}"
    if found.total > len(found.rows):
        note = f"the first {len(found.rows):,} of {found.total:,}; all of them are in this report's CSV, list “{name}”"
    return section(title, table(columns, rows), note=note)


def _cell(column: str, row: Mapping[str, Any], zone: str) -> Child:
    if column == "place":
        return run_name(row.get("index"), row["run"])
    value = row.get(column)
    match value:
        case _ if column == "filename":
            # Below the name and not beside it: a hash in a narrow column makes four lines of each row on paper.
            return file_name(value, row.get("sha256"))
        case None:
            return ""
        case datetime():
            return clock(value, zone)
        case int() if column == "size_bytes":
            return size(value)
        case _:
            return foreign(cell(value))


def file_name(name: object, sha256: object) -> Markup:
    """Return how a result file is named, with its hash below; one that is not stored has none."""
    below = None if sha256 is None else tag("div", foreign(sha256), class_="hash")
    return joined([None if name is None else foreign(name), below])


def definitions(meanings: Mapping[str, str]) -> Markup:
    """Return what words and numbers of the page mean."""
    return tag("dl", *(tag("div", tag("dt", label), " ", tag("dd", says)) for label, says in meanings.items()))


def run_name(index: int | None, run: UUID | str) -> Markup:
    """Return how a run is named: its place in its file, and its id."""
    id_ = tag("span", str(run), class_="id")
    return id_ if index is None else joined([f"#{index} ", id_])
