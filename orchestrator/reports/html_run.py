"""The page of one run: what was checked of it, then its life in order, to be filed with a complaint or an audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.domain.chain import Event
from orchestrator.domain.report.definitions import DOSSIER
from orchestrator.domain.report.dossier import Dossier, checks, facts
from orchestrator.domain.statuses import MEANINGS, RunStatus
from orchestrator.reports import html_parts
from orchestrator.reports.html_parts import Column, file_name, section, table
from orchestrator.reports.markup import Child, Markup, foreign, joined, tag
from orchestrator.reports.words import cell, clock, size

#: list -> (column of the row, title, look).
_LISTS: Mapping[str, Sequence[tuple[str, str, str | None]]] = {
    "attempts": (
        ("attempt", "Attempt", "tight"), ("state", "State", "short"), ("execution_id", "Execution", None),
        ("began_at", "Began", "time"), ("accepted_at", "Accepted", "time"), ("ended_at", "Ended", "time"),
        ("looks", "Looks", "num"),
    ),
    "launches": (
        ("committed_at", "Committed", "time"), ("size", "Runs in it", "num"), ("outcome", "Outcome", "short"),
        ("http_status", "HTTP", "num"), ("detail", "Detail", None), ("body_sha256", "SHA-256 of the body", "hash"),
    ),
    "results": (
        ("attempt", "Attempt", "tight"), ("filename", "File, and its SHA-256", None), ("size_bytes", "Size", "num"),
        ("offered_at", "First seen", "time"), ("stored_at", "Stored", "time"), ("failure", "Failure", None),
    ),
    "questions": (
        ("kind", "Kind", "short"), ("title", "Question", None), ("opened_at", "Asked", "time"),
        ("closed_at", "Settled", "time"), ("closed_because", "How", None),
    ),
}  # fmt: skip

#: Facts of the run's own row, in this order.
_FACTS: Mapping[str, str] = {
    "run": "Run",
    "batch": "Batch",
    "batch_name": "Name of the batch",
    "index": "Place among its file’s accepted rows, from 0",
    "external_id": "External id",
    "workflow_name": "Workflow",
    "workflow": "The provider's id of it",
    "connection": "Connection",
    "provider_status": "The provider's word",
    "results_state": "Results",
    "execution_id": "Execution",
    "origin": "Origin",
    "created_by": "Submitted by",
    "created_at": "Accepted",
    "launched_at": "Launched",
    "ended_at": "Ended",
    "erased_at": "Erased",
    "input_bytes": "Input, bytes",
    "input_sha256": "Input, SHA-256",
    "error_code": "Error",
    "error_message": "What was said",
}


def page(found: Dossier) -> bytes:
    """Return the whole page."""
    zone = found.head.zone
    body: list[Child] = [
        _headline(found),
        section("Checks", _checks(found), note="made when this page was made"),
        section("The run", _run(found)),
        section("Attempts", _list("attempts", found.attempts, zone)),
        section("Launch requests", _list("launches", found.launches, zone)),
        section("Results", _list("results", found.results, zone)),
        section("Questions to people", _list("questions", found.questions, zone)),
        section("People and policies", _history(found.people, zone, with_hash=False)),
        section(
            "History",
            _history(found.history, zone, with_hash=True),
            note="each hash is SHA-256 of the one before and the event’s canonical bytes"
            + (f"; only the first {len(found.history):,} events" if found.truncated else ""),
        ),
        section("What the words mean", html_parts.definitions(DOSSIER)),
    ]
    return html_parts.page(found.head, body, about=str(found.run["run"]))


def _headline(found: Dossier) -> Markup:
    status = RunStatus(found.run["status"])
    broken = [check for check in checks(found) if not check.holds]
    good = status is RunStatus.FINISHED and not broken
    proof = "Its history verifies." if not broken else "; ".join(f"{c.name}: {c.says}" for c in broken)
    return tag(
        "div",
        tag("div", tag("div", str(status), class_="big"), tag("div", MEANINGS[status], class_="soft")),
        tag("div", tag("h3", "Proof"), tag("p", foreign(proof), class_="no" if broken else "soft")),
        class_="headline good" if good else "headline",
    )


def _checks(found: Dossier) -> Markup:
    made = checks(found)
    return table(
        (Column(title="Checked"), Column(title="Holds", look="short"), Column(title="What it says")),
        [
            (check.name, tag("span", "✓ yes" if check.holds else "✗ no", class_="yes" if check.holds else "no"),
             foreign(check.says))
            for check in made
        ],
        looks={place: "wrong" for place, check in enumerate(made) if not check.holds},
    )  # fmt: skip


def _run(found: Dossier) -> Markup:
    zone = found.head.zone
    rows = [
        (title, _value(name, found.run[name], zone))
        for name, title in _FACTS.items()
        if found.run.get(name) is not None
    ]
    return table((Column(title=""), Column(title="")), rows)


def _list(name: str, rows: Sequence[Mapping[str, Any]], zone: str) -> Markup:
    if not rows:
        return tag("p", "None.", class_="soft")
    # A column without anything in it only takes room from the others.
    shown = [told for told in _LISTS[name] if any(row[told[0]] is not None for row in rows)]
    return table(
        [Column(title=title, look=look) for _, title, look in shown],
        [
            [
                file_name(row[column], row["sha256"]) if column == "filename" else _value(column, row[column], zone)
                for column, _, _ in shown
            ]
            for row in rows
        ],
    )


def _history(events: Sequence[Event], zone: str, *, with_hash: bool) -> Markup:
    columns = [Column(title="#", look="num"), Column(title="At", look="time"), Column(title="Event", look="short"),
               Column(title="Who", look="name"), Column(title="Facts")]  # fmt: skip
    rows = []
    for event in events:
        told: list[Child] = [event.seq, clock(event.at, zone), event.type, foreign(event.actor), _facts(event)]
        if with_hash:
            told.append(event.hash.hex())
        rows.append(told)
    return table([*columns, Column(title="Hash", look="hash")] if with_hash else columns, rows)


def _facts(event: Event) -> Markup:
    parts: list[Child] = []
    for name, value in facts(event).items():
        parts += ["; "] if parts else []
        parts += [tag("span", f"{name} ", class_="soft"), foreign(value)]
    return joined(parts)


def _value(name: str, value: Any, zone: str) -> Child:
    if value is None:
        return ""
    if name.endswith("_at"):
        return clock(value, zone)
    if name == "size_bytes":
        return size(value)
    return foreign(cell(value))
