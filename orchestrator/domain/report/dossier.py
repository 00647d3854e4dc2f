"""Everything about one run: its history, attempts, launches, results and people; and what of it can be checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.domain import chain
from orchestrator.domain.chain import Event, Head
from orchestrator.domain.erasure import REDACTED
from orchestrator.domain.report.figures import ReportHead
from orchestrator.domain.statuses import RunStatus
from orchestrator.domain.watching import Origin

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was checked, and what came of it."""

    name: str
    holds: bool
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """One run, whole, as of one moment.

    Args:
        input: the bytes that came, None once they were erased.
        truncated: the history is longer than a dossier shows; the checks are about what is shown.
    """

    head: ReportHead
    run: Row
    history: Sequence[Event]
    stream_head: Head
    attempts: Sequence[Row]
    launches: Sequence[Row]
    results: Sequence[Row]
    questions: Sequence[Row]
    input: bytes | None
    truncated: bool = False

    @property
    def people(self) -> list[Event]:
        """What people and policies did to the run, its submission included."""
        return [event for event in self.history if event.actor != "orchestrator"]


def checks(dossier: Dossier) -> tuple[Check, ...]:
    """Return what could be checked of a run."""
    return (_chain(dossier), _head(dossier), _input(dossier), _results(dossier))


def _chain(dossier: Dossier) -> Check:
    broken = chain.first_break(dossier.history)
    count = len(dossier.history)
    says = broken or f"each of {count:,} events matches its hash, which covers all before it"
    return Check(name="history", holds=broken is None, says=says)


def _head(dossier: Dossier) -> Check:
    """Compare the end of the history with what the run's own row says: a cut tail leaves a chain that verifies."""
    last, head = (dossier.history[-1] if dossier.history else None), dossier.stream_head
    if dossier.truncated:
        says = f"not checked: only the first {len(dossier.history):,} of {head.seq:,} events are here"
        return Check(name="end of the history", holds=True, says=says)
    if last is None or (last.seq, last.hash) != (head.seq, head.hash):
        told = 0 if last is None else last.seq
        says = f"the run's row says {head.seq} events, the history ends with {told}, or with another hash"
        return Check(name="end of the history", holds=False, says=says)
    return Check(name="end of the history", holds=True, says="it ends where the run's own row says that it does")


def _input(dossier: Dossier) -> Check:
    if dossier.input is None:
        return _observed(dossier) if dossier.run.get("origin") == Origin.OBSERVED else _erased(dossier)
    found, told = hashlib.sha256(dossier.input).hexdigest(), dossier.run["input_sha256"]
    if found != told:
        return Check(name="input", holds=False, says=f"its SHA-256 is {found}, the run's row says {told}")
    return Check(name="input", holds=True, says=f"{len(dossier.input):,} bytes with the SHA-256 that was accepted")


def _observed(dossier: Dossier) -> Check:
    """Say whether a run without an input was seen at the provider, by its row and by the history."""
    holds = any(event.type == Origin.OBSERVED for event in dossier.history) or dossier.truncated
    says = "another program started it: its input was never here"
    return Check(name="input", holds=holds, says=says if holds else f"{says}, says the row; the history does not")


def _erased(dossier: Dossier) -> Check:
    """Say whether an input that is gone was erased, by the run's row and by the history."""
    told = [event for event in dossier.history if event.type == REDACTED]
    if dossier.run.get("erased_at") is None or not (told or dossier.truncated):
        return Check(name="input", holds=False, says="it is gone, and it is written nowhere that it was erased")
    by = f" by {told[-1].actor}" if told else ""
    return Check(name="input", holds=True, says=f"not checked: it was erased{by}")


def _results(dossier: Dossier) -> Check:
    """Compare the stored results with what the history tells of their storing."""
    stored = sorted(row["sha256"] for row in dossier.results if row["sha256"])
    told = sorted(
        found
        for event in dossier.history
        if event.type == "result_stored" and isinstance(found := facts(event).get("sha256"), str)
    )
    if stored != told and not dossier.truncated:
        return Check(name="results", holds=False, says="the stored files are not those that the history tells of")
    open_ = dossier.run["status"] == RunStatus.FINISHED and any(not row["sha256"] for row in dossier.results)
    if open_:
        return Check(name="results", holds=False, says="the run is finished, and a file of it is not stored")
    return Check(name="results", holds=True, says=f"{len(stored):,} stored, with the SHA-256 that the history tells")


def facts(event: Event) -> Mapping[str, Any]:
    """Return an event's data; what is no JSON object (somebody changed it) stands under one name."""
    try:
        found = json.loads(event.data)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"data": event.data}
