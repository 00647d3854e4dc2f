"""The history: every move is legal, the rows say what their events say, and no link of the chain is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from orchestrator.domain import chain
from orchestrator.domain.chain import Event
from orchestrator.domain.statuses import ENDINGS, may_become
from orchestrator.domain.statuses import RunStatus as S
from tests.simulation.invariants.view import Row, View, facts


@dataclass(slots=True)
class Told:
    """A run as its history tells it so far."""

    status: S | None = None
    attempt: int = 1
    execution_id: str | None = None


Path = tuple[S, ...]

#: These tell of something and move nothing.
NEUTRAL = frozenset(
    {
        "cancel_requested",
        "not_cancellable",
        "cancel_failed",
        "result_stored",
        "results_refreshed",
        "status_went_back",
        "overdue",
        "unknown_status",
    }
    | {"second_execution"}
)
#: event -> the statuses that the run passes, wherever it stood.
MOVES: Mapping[str, Path] = {
    "accepted": (S.QUEUED,),
    "launching": (S.LAUNCHING,),
    "launched": (S.PROCESSING,),
    "adopted": (S.PROCESSING,),
    "not_sent": (S.QUEUED,),
    "cancelled": (S.CANCELLED,),
    "refused": (S.ERROR,),
    "in_doubt": (S.IN_DOUBT,),
    "failed_by_policy": (S.ERROR,),
    "relaunched": (S.QUEUED,),
    "never_sent": (S.QUEUED,),
    "abandoned": (S.ABANDONED,),
    "waits_for_human": (S.HUMAN_IN_THE_LOOP,),
    "human_done": (S.PROCESSING,),
    "finished_at_provider": (S.DOWNLOADING,),
    "no_results": (S.DOWNLOADING,),
    "finished": (S.FINISHED,),
    "result_lost": (S.RESULT_LOST,),
    "failed_at_provider": (S.ERROR,),
    "cancelled_at_provider": (S.PROCESSING, S.CANCELLED),
}


def _doubt_resolved(run: Told, said: dict[str, Any]) -> Path:
    return () if said.get("how") == "abandon" else (S.QUEUED,)  # seen by a person, and left as it is


def _late_answer(run: Told, said: dict[str, Any]) -> Path:
    if said.get("attempt") != run.attempt:
        return ()
    match run.status:
        case S.IN_DOUBT:
            return (S.PROCESSING,)
        case S.QUEUED:
            return (S.LAUNCHING, S.PROCESSING)
        case _:
            return ()


def _provider_lost(run: Told, said: dict[str, Any]) -> Path:
    return (S.RESULT_LOST,) if run.status is S.DOWNLOADING else (S.ERROR,)


def _reopened(run: Told, said: dict[str, Any]) -> Path:
    again = {"result_lost": S.DOWNLOADING, "abandoned": S.PROCESSING}.get(str(said.get("was")))
    return (again,) if again is not None and said.get("attempt") == run.attempt else (S.QUEUED,)


#: event -> where it leads from where the run stood.
TURNS: Mapping[str, Callable[[Told, dict[str, Any]], Path]] = {
    "doubt_resolved": _doubt_resolved,
    "late_answer": _late_answer,
    "provider_lost": _provider_lost,
    "reopened": _reopened,
}


def legal_moves(view: View) -> Iterator[str]:
    """Every move that a run's history tells is in the published table."""
    for run in view.runs:
        _, wrong = _fold(view.events.get(run.id, ()))
        yield from (f"run {run.id}: {what}" for what in wrong)


def projection_equals_history(view: View) -> Iterator[str]:
    """A run's row says what its events say: status, attempt, execution, and the head of its chain."""
    for run in view.runs:
        events = view.events.get(run.id, [])
        told, _ = _fold(events)
        head = (events[-1].seq, bytes(events[-1].hash)) if events else (0, chain.GENESIS)
        pairs = {
            "status": (run.status, told.status),
            "attempt": (run.attempt, told.attempt),
            "execution": (run.execution_id, told.execution_id),
            "head": ((run.event_seq, bytes(run.event_hash)), head),
            "ended": (run.ended_at is not None, told.status in ENDINGS),
        }
        for name, (row, history) in pairs.items():
            if row != history:
                yield f"run {run.id}: {name} is {row!r} in its row and {history!r} in its history"


def chain_holds(view: View) -> Iterator[str]:
    """Every stream verifies: no gap, each hash follows from the one before."""
    for stream, events in view.events.items():
        broken = chain.first_break(Event(**{**event._asdict(), "hash": bytes(event.hash)}) for event in events)
        if broken is not None:
            yield f"stream {stream}: {broken}"


def heads_are_held(view: View) -> Iterator[str]:
    """The heads of batches and workspaces are the last events of their streams."""
    owners = view.rows("SELECT id, event_seq, event_hash FROM batches UNION ALL "
                       "SELECT id, event_seq, event_hash FROM workspaces")  # fmt: skip
    for owner in owners:
        events = view.events.get(owner.id, [])
        last = (events[-1].seq, bytes(events[-1].hash)) if events else (0, chain.GENESIS)
        if (owner.event_seq, bytes(owner.event_hash)) != last:
            yield f"stream {owner.id}: its head is {owner.event_seq}, its last event {last[0]}"


def history_of(view: View, run_id: UUID) -> str:
    """Return a run's history in one line, for the report of a breach."""
    return " → ".join(event.type for event in view.events.get(run_id, ()))


def _fold(events: Any) -> tuple[Told, list[str]]:
    told = Told()
    wrong: list[str] = []
    for event in events:
        said = facts(event)
        for status in _path(told, event, said, wrong):
            if told.status is None:
                wrong += [] if status is S.QUEUED else [f"begins as {status}"]
            elif told.status != status and not may_become(told.status, status):
                wrong.append(f"event {event.seq} ({event.type}): {told.status} may not become {status}")
            told.status = status
        _learn(told, event, said)
    return told, wrong


def _path(told: Told, event: Row, said: dict[str, Any], wrong: list[str]) -> Path:
    if event.type in TURNS:
        return TURNS[event.type](told, said)
    if event.type == "cancelled_at_provider" and told.status is S.PROCESSING:
        return (S.CANCELLED,)
    if event.type not in MOVES and event.type not in NEUTRAL:
        wrong.append(f"event {event.seq}: {event.type} is no word of a run's history")
    return MOVES.get(event.type, ())


def _learn(told: Told, event: Row, said: dict[str, Any]) -> None:
    attempt = told.attempt
    match event.type:
        case "relaunched":
            told.attempt += 1
        case "reopened" | "doubt_resolved":
            told.attempt = int(said.get("attempt", told.attempt))
        case "launched" | "adopted":
            told.execution_id = said.get("execution_id")
        case "late_answer" if said.get("attempt") == told.attempt and told.execution_id is None:
            told.execution_id = said.get("execution_id")
    if told.attempt > attempt:
        told.execution_id = None
