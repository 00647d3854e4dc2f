"""The words around schedules: what may be said of one, what is stored of it, and how one is shown."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from orchestrator.domain import templates
from orchestrator.domain.calendar.preview import in_words
from orchestrator.domain.fires import CatchUp, FireState, Overlap
from orchestrator.engine import submission_rules
from orchestrator.engine.shown import shown
from orchestrator.engine.ticks import rhythm_of
from orchestrator.errors import BadInput, Conflict
from orchestrator.storage.schedules import ScheduleRow

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

#: A fire waits so long for its file and its turn, unless its owner says otherwise; and at most so long.
DEADLINE_S = 3_600
LONGEST_DEADLINE_S = 30 * 24 * 3_600

MAX_CATCH_UP = 10
MOST_CATCH_UP = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """How a schedule's file becomes a batch: as of `BatchSpec`."""

    concurrency: str = "medium"
    external_id_column: str | None = None
    wave_size: int | None = None
    max_failures: str | None = None
    skip_invalid: bool = False

    def __post_init__(self) -> None:
        """Refuse what a submission would refuse, before it is night."""
        submission_rules.max_failures(self.max_failures)

    def stored(self) -> dict[str, Any]:
        """Return what differs from the defaults."""
        return {name: value for name, value in asdict(self).items() if value != getattr(BatchOptions(), name)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a schedule does when it fires, as its owner says it.

    Args:
        input: the text of a JSON object: each fire submits one run. Or
        template: the file that each fire submits as a batch.
    """

    input: bytes | None = None
    template: str | None = None
    options: BatchOptions = BatchOptions()
    allows_same_content: bool = False
    overlap: str = Overlap.SKIP
    catch_up: str = CatchUp.LATEST
    max_catch_up: int = MAX_CATCH_UP
    deadline_s: int = DEADLINE_S

    def __post_init__(self) -> None:
        """Raise `BadInput` for what makes no sense."""
        if (self.input is None) == (self.template is None):
            raise BadInput(
                "a schedule has either a fixed input (one run each time) or a file (a batch each time)",
                code="schedule.input",
            )
        if self.template is not None:
            templates.check(self.template)
        _one_of("overlap", self.overlap, Overlap)
        _one_of("catch_up", self.catch_up, CatchUp)
        _within("max_catch_up", self.max_catch_up, 1, MOST_CATCH_UP)
        _within("deadline", self.deadline_s, 0, LONGEST_DEADLINE_S)

    def stored(self) -> dict[str, Any]:
        """Return the columns."""
        return {
            "input": self.input,
            "template": self.template,
            "options": self.options.stored(),
            "allows_same_content": self.allows_same_content,
            "overlap": self.overlap,
            "catch_up": self.catch_up,
            "max_catch_up": self.max_catch_up,
            "deadline_s": self.deadline_s,
        }

    def changed(self, changes: Mapping[str, Any]) -> Plan:
        """Return the plan with what is given. A new input takes the place of a file, and the other way round."""
        given = {name: value for name, value in changes.items() if value is not None}
        if "input" in given:
            given["template"] = None
        elif "template" in given:
            given["input"] = None
        return replace(self, **given)


def plan_of(row: ScheduleRow) -> Plan:
    """Return what a stored schedule does."""
    return Plan(
        input=row.input,
        template=row.template,
        options=BatchOptions(**row.options),
        allows_same_content=row.allows_same_content,
        overlap=row.overlap,
        catch_up=row.catch_up,
        max_catch_up=row.max_catch_up,
        deadline_s=row.deadline_s,
    )


def check_name(name: str) -> str:
    """Return a name that can stand in a URL and a shell."""
    if not _NAME.fullmatch(name):
        raise BadInput("a schedule's name is letters, digits, dot, dash, underscore, at most 63", code="field.value")
    return name


def view(row: ScheduleRow, latest: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a schedule as the API shows it, with what its latest tick came to."""
    return shown(
        {
            "name": row.name,
            "status": "paused" if row.paused_at is not None else "active" if row.next_at is not None else "over",
            "when": in_words(rhythm_of(row)),
            "cron": row.cron,
            "every_s": row.every_s,
            "tz": row.zone,
            "next_at": row.next_at,
            "workflow_id": row.workflow,
            "workflow_name": row.workflow_name,
            "connection": row.connection,
            "input": None if row.input is None else json.loads(row.input),
            "file": row.template,
            "options": row.options,
            "overlap": row.overlap,
            "catch_up": row.catch_up,
            "max_catch_up": row.max_catch_up,
            "deadline_s": row.deadline_s,
            "allow_same_content": row.allows_same_content,
            "paused_at": row.paused_at,
            "paused_by": row.paused_by,
            "paused_note": row.paused_note,
            "last_fire": None if latest is None else fire_view(latest),
            "created_by": row.created_by,
            "created_at": row.created_at,
        }
    )


#: What of a schedule people change by its form, or by PATCH.
_CHANGEABLE = (
    *("cron", "every_s", "tz", "input", "file", "options", "overlap", "catch_up", "max_catch_up", "deadline_s"),
    "allow_same_content",
)


def revision(view: Mapping[str, Any]) -> str:
    """Return what names a schedule as it is set now: another once somebody changes it, the same if it is so again."""
    told = json.dumps([view[name] for name in _CHANGEABLE], sort_keys=True)
    return hashlib.blake2b(told.encode(), digest_size=9).hexdigest()


def check_seen(row: ScheduleRow, seen: Collection[str] | None) -> None:
    """Refuse a change of what is not any more as whoever changes it has seen it.

    Raises:
        Conflict: its revision is none of these (`changed_meanwhile`).
    """
    if seen is not None and revision(view(row, None)) not in seen:
        raise Conflict(
            "the schedule was changed meanwhile, so nothing was done",
            code="changed_meanwhile",
            hint="Look at it as it is now, and say again what is to be changed.",
        )


def fire_view(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a fire as the API shows it: `late_s` is how long after its nominal time a tick fired by itself."""
    late_s = None
    if row["state"] == FireState.FIRED and row.get("decided_at") is not None and row.get("asked_by") is None:
        late_s = round((row["decided_at"] - row["nominal_at"]).total_seconds(), 3)
    return shown({name: value for name, value in row.items() if name != "schedule_id"} | {"late_s": late_s})


def stamp(at: datetime) -> str:
    """Return a time for an event's data."""
    return at.isoformat(timespec="seconds")


def _one_of(what: str, given: str, words: type[Overlap] | type[CatchUp]) -> None:
    if given not in set(words):
        raise BadInput(f"{what} is one of {', '.join(words)}, not {given!r}", code="field.value")


def _within(what: str, given: int, least: int, most: int) -> None:
    if not least <= given <= most:
        raise BadInput(f"{what} lies between {least:,} and {most:,}", code="field.range")
