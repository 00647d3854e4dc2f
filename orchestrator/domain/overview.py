"""Is anything wrong? One sentence, and what of it needs somebody, the most urgent first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

#: Counts of pages end here: `10,000+`, or in a sentence `more than 10,000`.
CAP = 10_000
#: The rail's count of open questions ends here: `99+`.
MOST_ASKED = 99


class Level(StrEnum):
    """How bad it is."""

    WELL = "well"
    ASKS = "asks"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One thing that needs somebody.

    Args:
        about: what it is about, for where it leads.
        text: ends the sentence "…".
    """

    about: str
    level: Level
    text: str
    since: datetime | None = None
    until: datetime | None = None


def points(found: Mapping[str, Any]) -> list[Point]:
    """Return what needs somebody, the worst first, from what `engine.overview` reads."""
    listed = [*_machine(found["health"]), *_results(found["results"]), *_lanes(found["lanes"])]
    listed += [*_people(found["live"], found["inbox"])]
    return sorted(listed, key=lambda point: point.level is not Level.WRONG)


def level(listed: Sequence[Point]) -> Level:
    """Return the worst of them."""
    if not listed:
        return Level.WELL
    return Level.WRONG if any(point.level is Level.WRONG for point in listed) else Level.ASKS


def sentence(listed: Sequence[Point]) -> str:
    """Say in one line whether anything is wrong."""
    if not listed:
        return "All is well: nothing waits for a person, and nothing is held up."
    first, rest = listed[0], len(listed) - 1
    more = "" if not rest else f" And {rest} more thing{'s' if rest > 1 else ''} below."
    return f"{first.text[:1].upper()}{first.text[1:]}.{more}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return `1 run`, `2 runs`, `more than 10,000 runs`."""
    words = one if number == 1 else many or f"{one}s"
    return f"more than {CAP:,} {words}" if number > CAP else f"{number:,} {words}"


def _machine(health: Mapping[str, Any]) -> Iterator[Point]:
    if health.get("launches_held"):
        yield Point(about="held", level=Level.WRONG, text=f"nothing is launched: {health['launches_held']}")
    if not health["ready"]:
        yield Point(about="workers", level=Level.WRONG, text=f"work stands still: {health['because']}")


def _results(results: Mapping[str, Any]) -> Iterator[Point]:
    if results["at_risk"]:
        runs = counted(results["at_risk"], "run")
        text = f"results of {runs} are lost soon if they are not stored"
        yield Point(about="at_risk", level=Level.WRONG, text=text, until=results["first_loss_at"])


def _lanes(lanes: Sequence[Mapping[str, Any]]) -> Iterator[Point]:
    for lane in lanes:
        names = ", ".join(lane["names"])
        if lane["launches_stopped"]:
            why = "its key was refused" if lane["launches_stopped"] == "key_refused" else lane["launches_stopped"]
            yield Point(about="lane", level=Level.WRONG, text=f"connection {names} launches nothing: {why}")
        elif lane["breaker"] != "closed":
            text = f"connection {names} is in trouble and is only probed"
            yield Point(about="lane", level=Level.WRONG, text=text, until=lane["probe_at"])
        elif lane["blocked_until"]:
            text = f"connection {names} asked us to wait"
            yield Point(about="lane", level=Level.ASKS, text=text, until=lane["blocked_until"])
        elif lane["paused"]:
            yield Point(about="lane", level=Level.ASKS, text=f"connection {', '.join(lane['paused'])} is paused")


def _people(live: Mapping[str, int], inbox: Sequence[Mapping[str, Any]]) -> Iterator[Point]:
    oldest = {row["kind"]: row["oldest_at"] for row in inbox}
    if live["in_doubt"]:
        runs = counted(live["in_doubt"], "run is in doubt", "runs are in doubt")
        text = f"{runs}: nobody knows whether {'it was' if live['in_doubt'] == 1 else 'they were'} started"
        yield Point(about="in_doubt", level=Level.ASKS, text=text, since=oldest.get("doubt"))
    if live["human_in_the_loop"]:
        text = counted(live["human_in_the_loop"], "run waits for a person", "runs wait for a person")
        yield Point(about="human", level=Level.ASKS, text=text, since=oldest.get("human"))
    for row in inbox:
        if row["kind"] == "overdue":
            text = counted(row["items"], "run is overdue at the provider", "runs are overdue at the provider")
            yield Point(about="overdue", level=Level.ASKS, text=text, since=row["oldest_at"])
