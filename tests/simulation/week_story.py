"""The story of a simulated week: its schedules, and everything that happens to them, in wall times of Berlin.

There are two of them, one for each change of the clock. The world of `week` lives them; what must come of them is
worked out in `week_expected`, which shares nothing with the product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

BERLIN = "Europe/Berlin"

#: Rows of a night's file, and how many of them one launch starts.
ROWS = 24
WAVE_SIZE = 12

#: Places in a night's file of the rows that a person is asked about, and that the provider fails once.
HUMAN_ROW = 3
FAILING_ROW = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Rota:
    """A schedule. `input` is what each tick submits; None: the night's file, as a batch.

    Args:
        runs_s: how long the provider works on one of its runs.
    """

    name: str
    cron: str
    zone: str
    overlap: str
    catch_up: str
    max_catch_up: int = 10
    deadline: timedelta = timedelta(hours=2)
    runs_s: int = 30
    input: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A launch whose answer is lost, and how a person settles it.

    Args:
        tick: the nominal time of the tick whose first launch it is.
        fault: what the provider does to the launch: `reset_after` has begun it, `reset_before` has not.
        kind: `launch` of a single run, or `batch`: a wave's.
        runs: how many runs the launch holds.
        how: `adopt`, `not_started` or `relaunch`.
    """

    rota: str
    tick: datetime
    fault: str
    kind: str
    runs: int
    settled_at: datetime
    how: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A pause of a schedule by a person, with a note."""

    rota: str
    since: datetime
    until: datetime
    by: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """A row that the provider fails in one night, and the person who has it launched again."""

    night: date
    at: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One week.

    Args:
        since, until: the period that the report is about.
        off, on: from when to when everything of ours is off.
        late: the night whose file comes late, and when it comes.
        never: the night whose file never comes.
        approved: the night of which one row waits for a person, who approves it ten minutes later.
        asked: the night of which one row still waits for a person when the week ends.
    """

    name: str
    seed: int
    since: datetime
    until: datetime
    off: datetime
    on: datetime
    rotas: tuple[Rota, ...]
    late: tuple[date, datetime]
    doubts: tuple[Doubt, ...]
    pause: Pause
    retry: Retry
    asked: date
    never: date | None = None
    approved: date | None = None

    def nights(self) -> list[date]:
        """Return the days of the week on the wall of Berlin."""
        first, end = (at.astimezone(ZoneInfo(BERLIN)).date() for at in (self.since, self.until))
        return [first + timedelta(days=n) for n in range((end - first).days)]

    def rows_of(self, night: date) -> list[dict[str, str]]:
        """Return the rows of a night's file: each is its own, and says how it goes at the provider."""
        return [{"note": f"{night}-{n}", "sandbox": self._hint(night, n)} for n in range(ROWS)]

    def _hint(self, night: date, n: int) -> str:
        hint = f"duration_s=20; files={1 + n % 2}; size_bytes={200 + n}"
        if n == HUMAN_ROW and night == self.approved:
            return f"outcome=human_in_the_loop; approve_after_s=600; {hint}"
        if n == HUMAN_ROW and night == self.asked:
            return f"outcome=human_in_the_loop; {hint}"
        # How a row without an outcome goes is the provider's habit, which the story turns for one night.
        return hint if n == FAILING_ROW else f"outcome=finished; {hint}"


def berlin(text: str) -> datetime:
    """Return a wall time of Berlin, `2026-10-19 00:00`, as an instant."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(BERLIN)).astimezone(UTC)


def _fixed(note: str, *, seconds: int) -> dict[str, str]:
    return {"note": note, "sandbox": f"outcome=finished; duration_s={seconds}; files=1; size_bytes=512"}


#: Names by which the acts of people are known.
ANNA = "token:anna"
BEN = "token:ben"

#: In the night to Sunday the clock goes from 3:00 back to 2:00. The nightly file waits for us, the hourly run is caught
#: up with once, the desk's are let go.
AUTUMN = Story(
    name="autumn",
    seed=71,
    since=berlin("2026-10-19 00:00"),
    until=berlin("2026-10-26 00:00"),
    off=berlin("2026-10-25 00:42"),
    on=berlin("2026-10-25 04:42"),  # five hours: the wall shows one of them twice
    rotas=(
        Rota(name="nightly", cron="30 2 * * *", zone=BERLIN, overlap="skip", catch_up="all",
             deadline=timedelta(minutes=30), runs_s=600),
        Rota(name="hourly", cron="0 * * * *", zone=BERLIN, overlap="skip", catch_up="latest",
             input=_fixed("hourly", seconds=30)),
        Rota(name="desk", cron="40 10,11,18-22 * * *", zone="America/New_York", overlap="queue", catch_up="none",
             runs_s=180, input=_fixed("desk", seconds=180)),
    ),
    late=(date(2026, 10, 20), berlin("2026-10-20 02:52")),
    doubts=(
        Doubt(rota="hourly", tick=berlin("2026-10-21 10:00"), fault="reset_after", kind="launch", runs=1,
              settled_at=berlin("2026-10-21 12:21"), how="adopt", by=ANNA, reason="the console shows it"),
        Doubt(rota="desk", tick=berlin("2026-10-23 16:40"), fault="reset_before", kind="launch", runs=1,
              settled_at=berlin("2026-10-23 17:52"), how="not_started", by=BEN, reason="the console has none"),
    ),
    pause=Pause(rota="hourly", since=berlin("2026-10-22 06:05"), until=berlin("2026-10-23 06:05"), by=BEN,
                note="the supplier moves its machines"),
    retry=Retry(night=date(2026, 10, 24), at=berlin("2026-10-24 09:15"), by=ANNA,
                reason="the supplier says it is mended"),
    asked=date(2026, 10, 25),
    never=date(2026, 10, 21),
    approved=date(2026, 10, 19),
)  # fmt: skip

#: Half a week, so that it can be lived twice. In the night to Sunday the clock goes from 2:00 on to 3:00, so the
#: nightly tick is at 3:00. The hourly runs are let go, of the desk's the latest three are caught up with; of the two
#: doubts one is a wave's, and its runs are launched as new attempts.
SPRING = Story(
    name="spring",
    seed=72,
    since=berlin("2027-03-25 00:00"),
    until=berlin("2027-03-29 00:00"),
    off=berlin("2027-03-27 23:42"),
    on=berlin("2027-03-28 05:42"),  # five hours: one is missing on the wall
    rotas=(
        Rota(name="nightly", cron="30 2 * * *", zone=BERLIN, overlap="skip", catch_up="latest",
             deadline=timedelta(minutes=30), runs_s=600),
        Rota(name="hourly", cron="0 * * * *", zone=BERLIN, overlap="skip", catch_up="none",
             input=_fixed("hourly", seconds=30)),
        Rota(name="desk", cron="40 10,11,18-22 * * *", zone="America/New_York", overlap="queue", catch_up="all",
             max_catch_up=3, runs_s=180, input=_fixed("desk", seconds=180)),
    ),
    late=(date(2027, 3, 25), berlin("2027-03-25 02:52")),
    doubts=(
        Doubt(rota="nightly", tick=berlin("2027-03-26 02:30"), fault="reset_before", kind="batch", runs=WAVE_SIZE,
              settled_at=berlin("2027-03-26 08:05"), how="relaunch", by=BEN, reason="the console has none of them"),
        Doubt(rota="hourly", tick=berlin("2027-03-26 10:00"), fault="reset_after", kind="launch", runs=1,
              settled_at=berlin("2027-03-26 12:21"), how="adopt", by=ANNA, reason="the console shows it"),
    ),
    pause=Pause(rota="hourly", since=berlin("2027-03-25 06:05"), until=berlin("2027-03-26 06:05"), by=BEN,
                note="the supplier moves its machines"),
    retry=Retry(night=date(2027, 3, 27), at=berlin("2027-03-27 09:15"), by=ANNA,
                reason="the supplier says it is mended"),
    asked=date(2027, 3, 28),
)  # fmt: skip

STORIES = {story.name: story for story in (AUTUMN, SPRING)}
