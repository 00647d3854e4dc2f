"""What may leave, and when: which months of the history may be retired, and what the history tells of it afterwards."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from orchestrator.domain.chain import Event, NewEvent
from orchestrator.domain.checkpoints import Unreadable, read_hex, read_number, read_uuid

#: The event of the workspace's history that tells of a retired month.
RETIRED = "history_retired"

#: A UUIDv7 begins with 48 bits of milliseconds.
_TIME_SHIFT = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """A partition of the history: the streams in [first, until), which began in one month."""

    name: str
    first: UUID
    until: UUID

    @property
    def begins_at(self) -> datetime:
        """Return from when on its streams began."""
        return born_at(self.first)

    @property
    def ends_at(self) -> datetime:
        """Return before when they began."""
        return born_at(self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Living:
    """What of a month may still move, in counts.

    Args:
        kept: runs and batches whose content is still to be erased first.
    """

    runs: int
    batches: int
    kept: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a month holds, in counts.

    Args:
        begun_at: when the last of its streams began.
        own: streams of workspaces themselves, which never end.
        strange: streams that belong to nobody, do not begin at 1, or do not end where their row says.
        unanchored: streams whose last event no checkpoint holds.
    """

    streams: int
    events: int
    first_at: datetime | None
    begun_at: datetime | None
    last_at: datetime | None
    workspaces: Sequence[UUID]
    own: int
    strange: int
    unanchored: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired:
    """A month that was retired, as the workspace's history tells it.

    Args:
        checkpoint: the last one that holds the ends of all its streams.
        export: the name of the folder in which it was exported; `manifest_sha256` is that of its manifest.
    """

    partition: str
    first_stream: UUID
    until_stream: UUID
    streams: int
    events: int
    checkpoint: int
    export: str
    manifest_sha256: str

    def holds(self, stream: UUID) -> bool:
        """Tell whether a stream was in it."""
        return self.first_stream.int <= stream.int < self.until_stream.int

    def told(self, actor: str, *, keep_days: int) -> NewEvent:
        """Return what the workspace's history tells of it."""
        facts = {name: str(value) if isinstance(value, UUID) else value for name, value in asdict(self).items()}
        return NewEvent(type=RETIRED, actor=actor, data={**facts, "keep_days": keep_days})


def born_at(id: UUID) -> datetime:
    """Return the time inside a UUIDv7."""
    return datetime.fromtimestamp((id.int >> _TIME_SHIFT) / 1000, tz=UTC)


def first_id(at: datetime) -> UUID:
    """Return the first UUID that could be made at a time: all that were made before are less."""
    return UUID(int=int(at.timestamp() * 1000) << _TIME_SHIFT)


def read_retired(event: Event) -> Retired | None:
    """Return the retired month of which an event tells; None where it tells of none, or not in the one form."""
    if event.type != RETIRED:
        return None
    try:
        data = json.loads(event.data)
        return Retired(
            partition=str(data["partition"]),
            first_stream=read_uuid(data["first_stream"], "first_stream"),
            until_stream=read_uuid(data["until_stream"], "until_stream"),
            streams=read_number(data["streams"], "streams"),
            events=read_number(data["events"], "events"),
            checkpoint=read_number(data["checkpoint"], "checkpoint"),
            export=str(data["export"]),
            manifest_sha256=read_hex(data["manifest_sha256"], "manifest_sha256").hex(),
        )
    except (ValueError, KeyError, TypeError, RecursionError, Unreadable):
        return None


def too_young(month: Month, *, now: datetime, keep_days: int) -> str | None:
    """Return why a month may not go by its time alone, None when it may."""
    goes_at = month.ends_at + timedelta(days=keep_days)
    return None if goes_at <= now else f"its last streams began less than {keep_days} days ago: from {goes_at:%Y-%m-%d}"


_FIRST = "content that is to be erased first (keep_content_days)"


def alive(living: Living) -> list[str]:
    """Return what of a month still lives, in words; nothing when nothing does."""
    found = [
        (living.runs, "run has not ended", "runs have not ended"),
        (living.batches, "batch has not ended", "batches have not ended"),
        (living.kept, f"run or batch has {_FIRST}", f"runs or batches have {_FIRST}"),
    ]
    return [f"{count:,} {one if count == 1 else many}" for count, one, many in found if count]


def held_by(content: Content, *, now: datetime, keep_days: int) -> list[str]:
    """Return why a month that is old enough and ended must stay all the same; nothing when it may go."""
    if content.last_at is None:
        return ["it is empty"]
    reasons = []
    if content.last_at + timedelta(days=keep_days) > now:
        reasons.append(f"its last event is of {content.last_at:%Y-%m-%d}, less than {keep_days} days ago")
    if content.own:
        reasons.append("it holds the history of a workspace itself, which never ends")
    elif len(content.workspaces) > 1:
        reasons.append(f"it holds streams of {len(content.workspaces)} workspaces, and an export is of one")
    if content.strange:
        reasons.append(f"{content.strange:,} streams are not whole: orchestrator audit verify")
    if content.unanchored:
        reasons.append(f"{content.unanchored:,} streams end after the last checkpoint")
    return reasons
