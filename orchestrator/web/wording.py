"""Numbers, ages, sizes and statuses as people read them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from orchestrator.domain import overview
from orchestrator.domain.changes import InboxKind
from orchestrator.domain.fires import FireState
from orchestrator.domain.overview import CAP, MOST_ASKED
from orchestrator.domain.statuses import MEANINGS, BatchStatus, RunStatus


@dataclass(frozen=True, slots=True)
class Badge:
    """How a status is shown: an icon of the sprite, a word, a colour's name. Never by the colour alone."""

    icon: str
    word: str
    tone: str
    meaning: str = ""


S, B, K, F = RunStatus, BatchStatus, InboxKind, FireState

RUN_BADGES: Mapping[str, Badge] = {
    S.QUEUED: Badge("clock", "queued", "quiet", MEANINGS[S.QUEUED]),
    S.LAUNCHING: Badge("send", "launching", "busy", MEANINGS[S.LAUNCHING]),
    S.IN_DOUBT: Badge("question", "in doubt", "doubt", MEANINGS[S.IN_DOUBT]),
    S.PROCESSING: Badge("play", "processing", "busy", MEANINGS[S.PROCESSING]),
    S.HUMAN_IN_THE_LOOP: Badge("person", "waits for a person", "human", MEANINGS[S.HUMAN_IN_THE_LOOP]),
    S.DOWNLOADING: Badge("down", "downloading", "busy", MEANINGS[S.DOWNLOADING]),
    S.FINISHED: Badge("check", "finished", "good", MEANINGS[S.FINISHED]),
    S.ERROR: Badge("cross", "error", "bad", MEANINGS[S.ERROR]),
    S.RESULT_LOST: Badge("lost", "result lost", "bad", MEANINGS[S.RESULT_LOST]),
    S.CANCELLED: Badge("stop", "cancelled", "quiet", MEANINGS[S.CANCELLED]),
    S.ABANDONED: Badge("eyeless", "abandoned", "quiet", MEANINGS[S.ABANDONED]),
}

BATCH_BADGES: Mapping[str, Badge] = {
    B.ACCEPTED: Badge("clock", "accepted", "quiet", "nothing of it is sent yet"),
    B.RUNNING: Badge("play", "running", "busy", "it is being worked off"),
    B.PAUSING: Badge("pause", "pausing", "human", "nothing more is launched; what was launched is collected"),
    B.PAUSED: Badge("pause", "paused", "human", "nothing more is launched"),
    B.WAITING: Badge("person", "waiting", "human", "only people can move what is left"),
    B.CANCELLING: Badge("stop", "cancelling", "busy", "what was launched is still collected"),
    B.CANCELLED: Badge("stop", "cancelled", "quiet", "it was cancelled; what was done is kept"),
    B.FINISHED: Badge("check", "finished", "good", "every run of it finished"),
    B.FINISHED_WITH_ERRORS: Badge("cross", "finished with errors", "bad", "some of its runs ended otherwise"),
}

OPERATION_BADGES: Mapping[str, Badge] = {
    "running": Badge("play", "running", "busy", "workers carry it out"),
    "cancelling": Badge("stop", "cancelling", "busy", "no more of it is done"),
    "cancelled": Badge("stop", "cancelled", "quiet", "no more of it was done"),
    "finished": Badge("check", "finished", "good", "every run of it was dealt with"),
    "waiting": Badge("clock", "waiting", "quiet"),
    "done": Badge("check", "done", "good"),
    "refused": Badge("stop", "refused", "human"),
    "failed": Badge("cross", "failed", "bad"),
}

QUESTION_BADGES: Mapping[str, Badge] = {
    K.HUMAN: Badge("person", "waits", "human", "an execution waits at its provider for a person"),
    K.DOUBT: Badge("question", "in doubt", "doubt", "nobody knows whether a launch arrived"),
    K.OVERDUE: Badge("clock", "overdue", "human", "an execution runs for longer than it should"),
}

FIRE_BADGES: Mapping[str, Badge] = {
    F.DUE: Badge("send", "due", "busy", "a worker carries it out"),
    F.WAITING: Badge("file", "waits for its file", "human", "its file is not there yet"),
    F.QUEUED: Badge("clock", "waits its turn", "quiet", "what came before it still runs"),
    F.FIRED: Badge("check", "fired", "good", "it submitted what the schedule says"),
    F.SKIPPED: Badge("stop", "skipped", "quiet", "it was not to be carried out"),
    F.MISSED: Badge("cross", "missed", "bad", "it could not be carried out"),
    F.MERGED: Badge("stack", "merged", "quiet", "a later tick was carried out for it"),
}

SCHEDULE_BADGES: Mapping[str, Badge] = {
    "active": Badge("check", "active", "good", "its ticks are carried out"),
    "paused": Badge("pause", "paused", "human", "its ticks are skipped"),
    "over": Badge("stop", "over", "quiet", "it never fires again"),
}

assert set(RUN_BADGES) == set(RunStatus), "every status of a run needs a badge"
assert set(BATCH_BADGES) == set(BatchStatus), "every status of a batch needs a badge"
assert set(FIRE_BADGES) == set(FireState), "every state of a tick needs a badge"
assert set(QUESTION_BADGES) == set(InboxKind), "every kind of question needs a badge"

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def number(value: float | None) -> str:
    """Return a number with thousands apart."""
    return "–" if value is None else f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def counted(value: int, noun: str) -> str:
    """Return how many of something: `1 run`, `3 runs`."""
    return f"{number(value)} {noun}{'' if value == 1 else 's'}"


def is_under_way(thing: Mapping[str, Any]) -> bool:
    """Tell whether a run or a batch is worked on now, and does not wait for its launch or for a person."""
    if "counts" in thing:
        return thing["status"] == B.RUNNING and not thing["counts"].get(S.QUEUED)
    return thing["status"] in (S.LAUNCHING, S.PROCESSING, S.DOWNLOADING)


def capped(value: int | None) -> str:
    """Return a count that ends at `CAP`."""
    return "–" if value is None else f"{CAP:,}+" if value > CAP else f"{value:,}"


def up_to(value: int, one: str, many: str | None = None) -> str:
    """Return a count that ends at `CAP`, for a sentence: `1 run`, `more than 10,000 runs`."""
    return overview.counted(value, one, many)


def asked(count: int) -> str:
    """Return how many questions are open, as short as a badge: `6`, `99+`."""
    return f"{MOST_ASKED}+" if count > MOST_ASKED else str(count)


def questions(count: int) -> str:
    """Return how many questions are open, to be heard: `6 open questions`, `more than 99 open questions`."""
    return f"more than {MOST_ASKED} open questions" if count > MOST_ASKED else counted(count, "open question")


def size(value: int | None) -> str:
    """Return bytes in the unit that fits."""
    if value is None:
        return "–"
    amount = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{amount:,.0f} {unit}" if unit == "B" else f"{amount:,.1f} {unit}"
        amount /= 1024
    raise AssertionError("the last unit takes everything")


def duration(seconds: float | None) -> str:
    """Return a length of time by its two largest units."""
    if seconds is None:
        return "–"
    if seconds < 60:
        if isinstance(seconds, float) and 0 < seconds < 10:
            return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
        return f"{max(seconds, 0):.0f} s"
    left, parts = int(seconds), list[str]()
    for length, unit in _UNITS:
        if left >= length:
            parts.append(f"{left // length} {unit}")
            left %= length
        elif parts:
            break
    if left and len(parts) == 1 and parts[0].endswith("min"):
        parts.append(f"{left} s")
    return " ".join(parts[:2])


def moment(value: str | datetime) -> datetime:
    """Return the time that a view names."""
    at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return at.astimezone(UTC)


def clock(value: str | datetime, now: datetime) -> str:
    """Return a time with its zone, and with its date where that is not today's."""
    at = moment(value)
    if at.date() == now.date():
        return f"{at:%H:%M:%S} UTC"
    return f"{at.day} {at:%b %H:%M} UTC" if at.year == now.year else f"{at.day} {at:%b %Y %H:%M} UTC"


def zoned(value: str | datetime, zone: str) -> str:
    """Return a time on the clock of a zone: `Tue 1 Dec 2026 09:00 Europe/Prague`."""
    at = moment(value).astimezone(ZoneInfo(zone))
    seconds = f":{at:%S}" if at.second else ""
    return f"{at:%a} {at.day} {at:%b %Y %H:%M}{seconds} {zone}"


def span(seconds: int) -> str:
    """Return an interval as it is written: `90m`, `6h`, `1d`."""
    length, unit = next((n, u) for n, u in ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")) if seconds % n == 0)
    return f"{seconds // length}{unit}"


def ago(value: str | datetime, now: datetime) -> str:
    """Return how far a time is: `3 min ago`, `in 12 s`."""
    seconds = (now - moment(value)).total_seconds()
    if abs(seconds) < 1:
        return "now"
    words = duration(round(abs(seconds)))
    return f"{words} ago" if seconds > 0 else f"in {words}"


def between(began: str | datetime | None, ended: str | datetime | None) -> float | None:
    """Return the seconds between two times."""
    if began is None or ended is None:
        return None
    return (moment(ended) - moment(began)).total_seconds()


def short_id(value: str) -> str:
    """Return the end of an id: its beginning is when it was made, and is the same for all of a minute."""
    return value[-8:]


def person(actor: str) -> str:
    """Return who did something: a token by the name of who holds it, anything else as it is."""
    return actor.removeprefix("token:")


def spoken(text: str) -> Markup:
    """Return our own prose with what stands in backticks as code; everything is escaped first."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped above


def link(path: str, **query: Any) -> str:
    """Return a path with a query; what is None or empty is left out."""
    given = [(name, value) for name, value in query.items() if value not in (None, "", ())]
    return f"{path}?{urlencode(given, doseq=True)}" if given else path
