"""What becomes of each tick of a schedule: fired, put off, skipped, missed, or merged into a later one.

Two decisions, both pure. `plan` says what becomes of ticks whose time has come: most are due, those that nobody was
there for are caught up with or not. `consider` says whether a fire that is due may go now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

#: A tick that is met later than this was missed while nobody was there; what then is the schedule's catch-up.
LATE_AFTER_S = 60.0

#: A fire that waits, for its file or for its turn, is looked at so often.
LOOK_AGAIN_S = 10.0

#: After trouble of ours or the provider's the pause doubles up to this.
LONGEST_PAUSE_S = 60.0


class FireState(StrEnum):
    """Where a fire stands."""

    DUE = "due"
    WAITING = "waiting"
    QUEUED = "queued"
    FIRED = "fired"
    SKIPPED = "skipped"
    MISSED = "missed"
    MERGED = "merged"


class Overlap(StrEnum):
    """What a fire does while what the previous one submitted still runs."""

    SKIP = "skip"
    QUEUE = "queue"
    ALLOW = "allow"


class CatchUp(StrEnum):
    """What becomes of ticks that nobody was there for."""

    NONE = "none"
    LATEST = "latest"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What becomes of a tick when its row is written."""

    nominal_at: datetime
    state: FireState
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a schedule's owner chose.

    Args:
        max_catch_up: with `all`, so many of the latest missed ticks are fired; older ones stay missed.
        paused_at: from then on ticks are skipped.
    """

    overlap: Overlap
    catch_up: CatchUp
    max_catch_up: int
    paused_at: datetime | None = None
    paused_note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What came due beside the ticks at hand: a year's absence is planned a part at a time.

    Args:
        newest: the latest tick whose time has come and that is not paused away; None when there is none.
        caught_up_from: with `all`, the oldest late tick that is fired.
    """

    newest: datetime | None
    caught_up_from: datetime | None


def plan(ticks: Sequence[datetime], policy: Policy, backlog: Backlog, *, now: datetime) -> list[Planned]:
    """Return what becomes of ticks whose time has come, in their order."""
    return [_planned(tick, policy, backlog, now=now) for tick in ticks]


def _planned(tick: datetime, policy: Policy, backlog: Backlog, *, now: datetime) -> Planned:
    if policy.paused_at is not None and tick >= policy.paused_at:
        return Planned(nominal_at=tick, state=FireState.SKIPPED, why=paused_because(policy.paused_note))
    if now - tick <= timedelta(seconds=LATE_AFTER_S):
        return Planned(nominal_at=tick, state=FireState.DUE)
    nobody = f"nobody was there to fire it ({_ago(now - tick)} late)"
    match policy.catch_up:
        case CatchUp.LATEST if tick == backlog.newest:
            return Planned(nominal_at=tick, state=FireState.DUE)
        case CatchUp.LATEST if backlog.newest is not None:
            return Planned(
                nominal_at=tick,
                state=FireState.MERGED,
                why=f"{nobody}; merged into the tick of {stamp(backlog.newest)}",
            )
        case CatchUp.ALL if backlog.caught_up_from is not None and tick >= backlog.caught_up_from:
            return Planned(nominal_at=tick, state=FireState.DUE)
        case CatchUp.ALL:
            why = f"{nobody}; only the latest {policy.max_catch_up} are caught up with"
            return Planned(nominal_at=tick, state=FireState.MISSED, why=why)
    return Planned(nominal_at=tick, state=FireState.MISSED, why=f"{nobody}; catch-up is none")


@dataclass(frozen=True, slots=True, kw_only=True)
class FireFacts:
    """A fire that is due, as it stands.

    Args:
        running: what another fire submitted and what has not ended yet, in words; None when nothing runs.
        is_behind: an earlier fire of the schedule is about to be decided.
        is_behind_file: an earlier fire of the schedule waits for its file.
    """

    id: UUID
    nominal_at: datetime
    deadline_at: datetime
    tries: int
    running: str | None
    is_behind: bool
    is_behind_file: bool = False
    asked_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a fire comes to: its new state, why, and (if it stays open) when it is looked at again."""

    state: FireState
    why: str | None
    again_at: datetime | None = None


def consider(fire: FireFacts, policy: Policy, *, now: datetime) -> Verdict | None:
    """Return what keeps a fire from going now; None when nothing does."""
    if policy.paused_at is not None and fire.asked_by is None:
        return Verdict(state=FireState.SKIPPED, why=paused_because(policy.paused_note))
    # Overlap is about what runs. A file that is late for one tick holds up the next only where each has its turn.
    waits_its_turn = fire.is_behind or (policy.overlap is Overlap.QUEUE and fire.is_behind_file)
    if policy.overlap is Overlap.ALLOW or (fire.running is None and not waits_its_turn):
        return None
    what = fire.running or (
        "an earlier tick has not been decided yet" if fire.is_behind else "an earlier tick waits for its file"
    )
    if policy.overlap is Overlap.SKIP and fire.running is not None:
        return Verdict(state=FireState.SKIPPED, why=f"{what} (overlap: skip)")
    return wait(fire, FireState.QUEUED, what, now=now)


def wait(fire: FireFacts, state: FireState, what: str, *, now: datetime) -> Verdict:
    """Return that a fire waits for something, or was missed because it waited for too long."""
    if now >= fire.deadline_at:
        return Verdict(state=FireState.MISSED, why=f"{what}, until the deadline of {stamp(fire.deadline_at)}")
    pause = timedelta(seconds=LOOK_AGAIN_S)
    return Verdict(state=state, why=what, again_at=min(now + pause, fire.deadline_at))


def trouble(fire: FireFacts, what: str, *, now: datetime) -> Verdict:
    """Return that a fire could not be carried out just now, for no fault of its own."""
    if now >= fire.deadline_at:
        return Verdict(state=FireState.MISSED, why=f"{what}, until the deadline of {stamp(fire.deadline_at)}")
    pause = timedelta(seconds=min(2.0 ** min(fire.tries, 6), LONGEST_PAUSE_S))
    return Verdict(state=FireState.DUE, why=what, again_at=min(now + pause, fire.deadline_at))


def missed(why: str) -> Verdict:
    """Return that a fire cannot be carried out at all: its file is bad, or the same as before."""
    return Verdict(state=FireState.MISSED, why=why)


def paused_because(note: str | None) -> str:
    """Return a pause in words."""
    return f"the schedule was paused: {note}" if note else "the schedule was paused"


def stamp(at: datetime) -> str:
    """Return a time as it stands in reasons: UTC, to the second."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _ago(late: timedelta) -> str:
    minutes = int(late.total_seconds() // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
