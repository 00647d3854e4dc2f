"""When to speak of an alarm: once as it begins, again while it lasts or grows, once when it is over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from orchestrator.domain.alarm_words import Code
from orchestrator.domain.alarms import Alarm

#: An alarm that lasts is told again so often; one that grows, sooner.
AGAIN_S = 600.0
GROWN_S = 60.0

#: One that was not seen for so long is over; shorter, and a flapping provider would fill the log.
OVER_AFTER_S = 30.0


class Moment(StrEnum):
    """Why it is told now."""

    BEGINS = "begins"
    LASTS = "lasts"
    OVER = "over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Something to tell."""

    moment: Moment
    alarm: Alarm
    lasted_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    alarm: Alarm
    since_s: float
    seen_s: float
    told_s: float | None = None
    told_extent: float = 0.0


@dataclass(frozen=True, slots=True)
class Told:
    """What was told so far. Times are monotonic seconds."""

    entries: Mapping[tuple[Code, str], _Entry] = field(default_factory=dict)


def tell(told: Told, alarms: Iterable[Alarm], *, now_s: float) -> tuple[Told, list[Line]]:
    """Return what to tell of the alarms that are seen now, and the memory of it."""
    entries = dict(told.entries)
    lines: list[Line] = []
    for alarm in alarms:
        key = (alarm.code, alarm.subject)
        entry = entries.get(key) or _Entry(alarm=alarm, since_s=now_s, seen_s=now_s)
        # One that became less and grows again is told as grown.
        told_extent = min(entry.told_extent, alarm.extent)
        entry = replace(entry, alarm=alarm, seen_s=now_s, told_extent=told_extent)
        moment = _moment(entry, now_s)
        if moment is not None:
            lines.append(Line(moment=moment, alarm=alarm, lasted_s=now_s - entry.since_s))
            entry = replace(entry, told_s=now_s, told_extent=alarm.extent)
        entries[key] = entry
    for key, entry in list(entries.items()):
        if now_s - entry.seen_s >= OVER_AFTER_S:
            del entries[key]
            if entry.told_s is not None:
                lasted_s = entry.seen_s - entry.since_s
                lines.append(Line(moment=Moment.OVER, alarm=entry.alarm, lasted_s=lasted_s))
    return Told(entries), lines


def _moment(entry: _Entry, now_s: float) -> Moment | None:
    """Say whether an alarm that is seen now is told now, and as what."""
    if entry.told_s is None:
        return Moment.BEGINS if now_s - entry.since_s >= entry.alarm.patience_s else None
    silent_s = now_s - entry.told_s
    has_grown = entry.alarm.extent > entry.told_extent
    return Moment.LASTS if silent_s >= AGAIN_S or (has_grown and silent_s >= GROWN_S) else None
