"""What must come of a story, worked out from the story alone, by a second reading of cron: nothing of the product."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from tests.calendar import oracle
from tests.simulation.week_story import BERLIN, FAILING_ROW, HUMAN_ROW, Doubt, Rota, Story

#: Between a moment and what a worker does at it.
SOON = timedelta(seconds=30)

#: A worker that sleeps because nothing is due hears of a person's act so much later at most.
WOKEN = timedelta(minutes=12)

#: A tick that nobody was there for within so long is caught up with, or not.
LATE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """What must become of a tick.

    Args:
        why: words that its reason holds; a tick that fired needs none.
        since, until: when that is decided.
    """

    state: str
    since: datetime
    until: datetime
    why: str = ""


def nominal(story: Story, rota: Rota) -> list[datetime]:
    """Return the nominal times of a schedule in the week, oldest first."""
    days = (story.since - timedelta(days=2)).date(), (story.until + timedelta(days=2)).date()
    minutes = oracle.fires(rota.cron, rota.zone, *days)
    found = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute) for minute in minutes]
    return [at for at in found if story.since <= at < story.until]


def ticks(story: Story) -> dict[tuple[str, datetime], Tick]:
    """Return what must become of every tick of the week."""
    found = {}
    for rota in story.rotas:
        times = nominal(story, rota)
        lost = [at for at in times if story.off <= at < story.on - LATE]
        for at in times:
            found[rota.name, at] = _caught_up(story, rota, at, lost) if at in lost else _met(story, rota, at)
    return found


def _caught_up(story: Story, rota: Rota, at: datetime, lost: list[datetime]) -> Tick:
    """Return what becomes of a tick that nobody was there for."""
    soon = story.on + SOON
    match rota.catch_up:
        case "latest" if at != lost[-1]:
            return Tick(state="merged", why="merged into the tick of", since=story.on, until=soon)
        case "none":
            return Tick(state="missed", why="catch-up is none", since=story.on, until=soon)
        case "all" if at not in lost[-rota.max_catch_up :]:
            why = f"only the latest {rota.max_catch_up} are caught up with"
            return Tick(state="missed", why=why, since=story.on, until=soon)
    # Those that are caught up with go one after the other, behind what has run since before the outage.
    turns = lost[-rota.max_catch_up :].index(at) + 1 if rota.overlap == "queue" else 0
    return Tick(state="fired", since=story.on, until=soon + turns * timedelta(seconds=rota.runs_s + 120))


def _met(story: Story, rota: Rota, at: datetime) -> Tick:
    """Return what becomes of a tick whose time comes while workers are there."""
    soon = at + SOON
    pause = story.pause
    if rota.name == pause.rota and pause.since <= at < pause.until:
        return Tick(state="skipped", why=f"the schedule was paused: {pause.note}", since=at, until=soon)
    doubt = _in_the_way(story, rota, at)
    if doubt is not None and rota.overlap == "skip":
        return Tick(state="skipped", why="has not ended (overlap: skip)", since=at, until=soon)
    if doubt is not None:
        ended = doubt.settled_at + WOKEN + timedelta(seconds=rota.runs_s)
        return Tick(state="fired", since=doubt.settled_at, until=ended + SOON)
    if rota.input is None:
        night = at.astimezone(ZoneInfo(BERLIN)).date()
        if night == story.never:
            deadline = at + rota.deadline
            return Tick(state="missed", why=f"{night}.csv is not there", since=deadline, until=deadline + SOON)
        if night == story.late[0]:
            return Tick(state="fired", since=story.late[1], until=story.late[1] + SOON)
    return Tick(state="fired", since=at, until=soon)


def _in_the_way(story: Story, rota: Rota, at: datetime) -> Doubt | None:
    """Return the doubt about what the tick before submitted that stands at a tick's time."""
    for doubt in story.doubts:
        if doubt.rota == rota.name and doubt.tick < at < doubt.settled_at:
            return doubt
    return None


def submitted(story: Story) -> Counter[str]:
    """Return the inputs that the week's fired ticks submit, each as often as it is."""
    found: Counter[str] = Counter()
    for rota in story.rotas:
        fired = [at for (name, at), tick in ticks(story).items() if name == rota.name and tick.state == "fired"]
        for at in fired:
            rows = story.rows_of(at.astimezone(ZoneInfo(BERLIN)).date()) if rota.input is None else [rota.input]
            found.update(canonical(row) for row in rows)
    return found


def executed(story: Story) -> Counter[str]:
    """Return what the provider must have executed: everything once, and the row that it failed once more."""
    return submitted(story) + Counter([failing(story)])


def failing(story: Story) -> str:
    """Return the row that the provider fails."""
    return canonical(story.rows_of(story.retry.night)[FAILING_ROW])


def asked(story: Story) -> str:
    """Return the row that still waits for a person."""
    return canonical(story.rows_of(story.asked)[HUMAN_ROW])


def acts(story: Story) -> Counter[tuple[str, str, str | None]]:
    """Return what people do: (type of the event, actor, reason), each as often as it is told."""
    pause, retry = story.pause, story.retry
    found: Counter[tuple[str, str, str | None]] = Counter()
    found["schedule_paused", pause.by, pause.note] = 1
    found["schedule_resumed", pause.by, "asked for with `schedule resume`, no reason given"] = 1
    found["reopened", retry.by, retry.reason] = 1
    for doubt in story.doubts:
        found["adopted" if doubt.how == "adopt" else "doubt_resolved", doubt.by, doubt.reason] = doubt.runs
        if doubt.kind == "batch":
            found["doubts_resolved", doubt.by, doubt.reason] = 1  # the batch's own history has it once
    return found


def act_times(story: Story) -> set[datetime]:
    """Return when people act."""
    return {story.pause.since, story.pause.until, story.retry.at, *(doubt.settled_at for doubt in story.doubts)}


def doubted(story: Story, how: str) -> int:
    """Return how many runs' doubts are settled in one way."""
    return sum(doubt.runs for doubt in story.doubts if doubt.how == how)


def canonical(row: object) -> str:
    """Return an input as a text that is the same for the same input."""
    return json.dumps(row, sort_keys=True)
