"""What is written down of launches outside the database, a JSON line each, and what becomes of them after a restore.

A launch makes two lines: one before its request is sent, one when its answer came. They hold ids and a hash; no inputs,
no keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from orchestrator.domain.launch_decisions import LaunchingRun
from orchestrator.domain.statuses import RunStatus as S


class Came(StrEnum):
    """What came of a launch. `NOTHING`: the provider started nothing. `UNKNOWN`: nobody can say, or no line says."""

    ACCEPTED = "accepted"
    NOTHING = "nothing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchNote:
    """A launch that is about to be sent."""

    at: datetime
    intent_id: UUID
    fence: int
    connection_id: UUID
    remote_workflow_id: str
    is_wave: bool
    body_sha256: str
    body_bytes: int
    runs: tuple[LaunchingRun, ...]

    def line(self) -> bytes:
        """Return it as one JSON line."""
        return _line(
            {
                "t": "launch",
                "at": self.at.isoformat(),
                "intent": str(self.intent_id),
                "fence": self.fence,
                "connection": str(self.connection_id),
                "workflow": self.remote_workflow_id,
                "wave": self.is_wave,
                "sha256": self.body_sha256,
                "bytes": self.body_bytes,
                "runs": [[str(run.run_id), run.attempt, run.position] for run in self.runs],
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerNote:
    """What came of a launch. `execution_ids` are by the run's position in the request."""

    at: datetime
    intent_id: UUID
    came: Came
    execution_ids: Mapping[int, str]

    def line(self) -> bytes:
        """Return it as one JSON line."""
        ids = {str(position): id for position, id in self.execution_ids.items()}
        told = {"t": "answer", "at": self.at.isoformat(), "intent": str(self.intent_id), "came": str(self.came)}
        return _line({**told, "ids": ids})


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedLaunch:
    """A launch, and what its lines say came of it."""

    note: LaunchNote
    came: Came = Came.UNKNOWN
    execution_ids: Mapping[int, str]


def parse(line: bytes) -> LaunchNote | AnswerNote | None:
    """Read a line; None for one that is no whole note: the last one of a process that was killed while it wrote."""
    try:
        told = json.loads(line)
        at, intent = datetime.fromisoformat(told["at"]), UUID(told["intent"])
        if told["t"] == "answer":
            ids = {int(position): str(id) for position, id in told["ids"].items()}
            return AnswerNote(at=at, intent_id=intent, came=Came(told["came"]), execution_ids=ids)
        return LaunchNote(
            at=at,
            intent_id=intent,
            fence=int(told["fence"]),
            connection_id=UUID(told["connection"]),
            remote_workflow_id=str(told["workflow"]),
            is_wave=bool(told["wave"]),
            body_sha256=str(told["sha256"]),
            body_bytes=int(told["bytes"]),
            runs=tuple(LaunchingRun(run_id=UUID(r), attempt=int(a), position=int(p)) for r, a, p in told["runs"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def joined(notes: Iterable[LaunchNote | AnswerNote], answers: dict[UUID, AnswerNote]) -> list[NotedLaunch]:
    """Join launches and answers.

    Args:
        answers: those whose launch was not met yet, from files read before; what is left over is put there.
    """
    launches: list[LaunchNote] = []
    for note in notes:
        if isinstance(note, LaunchNote):
            launches.append(note)
        else:
            answers[note.intent_id] = note
    found = []
    for launch in launches:
        answer = answers.pop(launch.intent_id, None)
        if answer is None:
            found.append(NotedLaunch(note=launch, execution_ids={}))
        else:
            found.append(NotedLaunch(note=launch, came=answer.came, execution_ids=answer.execution_ids))
    return found


class Fate(StrEnum):
    """What a release does with a launch that the database does not know."""

    ADOPT = "adopt"
    DOUBT = "doubt"
    SETTLE_DOUBT = "settle_doubt"
    LIST = "list"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHere:
    """A run as the database has it, and what it knows of one attempt's execution."""

    status: S
    attempt: int
    execution_state: str | None = None
    execution_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownLaunch:
    """One run's launch that is written down outside and that the database does not know."""

    launch: NotedLaunch
    run: LaunchingRun
    here: RunHere | None
    execution_id: str | None
    fate: Fate


def unknown_of(
    launch: NotedLaunch, *, is_known: bool, here: Mapping[tuple[UUID, int], RunHere | None]
) -> list[UnknownLaunch]:
    """Return those of a launch that the database does not know.

    Args:
        is_known: the database has the intent.
        here: by run and attempt.
    """
    if launch.came is Came.NOTHING:
        return []
    found = []
    for run in launch.note.runs:
        execution_id = launch.execution_ids.get(run.position)
        fate = _fate(here[run.run_id, run.attempt], run, execution_id, is_known=is_known)
        if fate is not None:
            at = here[run.run_id, run.attempt]
            found.append(UnknownLaunch(launch=launch, run=run, here=at, execution_id=execution_id, fate=fate))
    return found


def _fate(here: RunHere | None, run: LaunchingRun, execution_id: str | None, *, is_known: bool) -> Fate | None:
    if here is not None and execution_id is not None and here.execution_id == execution_id:
        return None
    if is_known and execution_id is None:
        return None  # the database doubts it by itself
    if here is None:
        return Fate.LIST
    if is_known and here.status is S.IN_DOUBT and here.attempt == run.attempt:
        return Fate.SETTLE_DOUBT
    # Not sent again, whatever it was that put it back: what is written down outside says that it was sent.
    if here.status is S.QUEUED and here.attempt <= run.attempt:
        return Fate.DOUBT if execution_id is None else Fate.ADOPT
    return Fate.LIST


def latest_only(found: Sequence[UnknownLaunch]) -> list[UnknownLaunch]:
    """Let only the last launch of each run be taken up; earlier attempts are listed, their endings lie behind."""
    latest: dict[UUID, tuple[int, datetime]] = {}
    for one in found:
        place = (one.run.attempt, one.launch.note.at)
        latest[one.run.run_id] = max(place, latest.get(one.run.run_id, place))
    return [
        one
        if one.fate is Fate.LIST or latest[one.run.run_id] == (one.run.attempt, one.launch.note.at)
        else replace(one, fate=Fate.LIST)
        for one in found
    ]


def _line(told: Mapping[str, object]) -> bytes:
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"
