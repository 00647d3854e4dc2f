"""Progress for people, on stderr: redrawn on a terminal, a line for each change without one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.cli import output
from orchestrator.cli.times import in_words

if TYPE_CHECKING:
    from rich.console import RenderableType

#: The order in which a run meets them; unknown words of a newer server come last.
STATUSES = (
    "queued",
    "launching",
    "in_doubt",
    "processing",
    "human_in_the_loop",
    "downloading",
    "finished",
    "error",
    "result_lost",
    "cancelled",
    "abandoned",
)
COLOURS = {
    "done": "green",
    "failed": "red",
    "refused": "yellow",
    "finished": "green",
    "error": "red",
    "result_lost": "red",
    "in_doubt": "yellow",
    "human_in_the_loop": "yellow",
    "processing": "cyan",
    "downloading": "cyan",
}
BAR_WIDTH = 40
#: What is over: the endings of runs, and what becomes of the items of a bulk operation.
OVER = (*STATUSES[6:], "done", "refused", "failed")


class Screen(Protocol):
    """Shows how something stands now."""

    def show(self, thing: Mapping[str, Any]) -> None: ...


@contextmanager
def screen() -> Iterator[Screen]:
    """Give what shows progress, until the end of the block."""
    if output.is_for_programs():
        yield _Stream()
    elif output.stderr_is_terminal():
        with _Drawn.opened() as drawn:
            yield drawn
    else:
        yield _Lines()


def in_one_line(thing: Mapping[str, Any]) -> str:
    """Return how a run or a batch stands, in one line."""
    if "counts" in thing:
        return _batch_line(thing)
    at_provider = f" (provider: {thing['provider_status']})" if thing.get("provider_status") else ""
    return f"{thing['id']}  {thing['status']}{at_provider}{_progress(thing)}{_why(thing)}"


def ordered(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return counts by status, in the order of a run's life, without zeros."""
    known = [(status, counts[status]) for status in STATUSES if counts.get(status)]
    return known + [(status, count) for status, count in counts.items() if count and status not in STATUSES]


class _Stream:
    """For programs: one object a line for each change, in JSON lines only."""

    def __init__(self) -> None:
        self._last: dict[str, Mapping[str, Any]] = {}

    def show(self, thing: Mapping[str, Any]) -> None:
        if self._last.get(str(thing["id"])) != thing:
            self._last[str(thing["id"])] = thing
            output.line(thing)


class _Lines:
    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def show(self, thing: Mapping[str, Any]) -> None:
        # The forecast changes with every look; it alone is no news.
        news = f"{thing['status']}{thing.get('counts')}{thing.get('provider_status')}{_step(thing)}{_why(thing)}"
        if self._last.get(str(thing["id"])) != news:
            self._last[str(thing["id"])] = news
            output.tell(output.cell(in_one_line(thing)))


class _Drawn:
    def __init__(self, live: Any) -> None:
        self._live = live
        self._things: dict[str, Mapping[str, Any]] = {}

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[_Drawn]:
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(stderr=True), refresh_per_second=8) as live:
            yield cls(live)

    def show(self, thing: Mapping[str, Any]) -> None:
        from rich.console import Group

        self._things[str(thing["id"])] = thing
        self._live.update(Group(*(drawn(one) for one in self._things.values())))


def drawn(thing: Mapping[str, Any]) -> RenderableType:
    """Return a run or a batch as something that Rich draws."""
    from rich.text import Text

    if "counts" not in thing:
        return Text(output.cell(in_one_line(thing)), style=COLOURS.get(str(thing["status"]), ""))
    text = Text()
    total = max(int(thing.get("total") or 0), 1)
    for status, count in ordered(thing["counts"]):
        width = max(round(BAR_WIDTH * count / total), 1)
        text.append("━" * width, style=COLOURS.get(status, "bright_black"))
    text.append("\n")
    for status, count in ordered(thing["counts"]):
        text.append(f"{count} {status}   ", style=COLOURS.get(status, ""))
    text.append(f"\n{forecast(thing)}{output.cell(_why(thing))}", style="bright_black")
    return text


def _batch_line(batch: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{count} {status}" for status, count in ordered(batch["counts"]))
    return f"{batch['id']}  {forecast(batch)}: {counts}{_why(batch)}"


def forecast(batch: Mapping[str, Any]) -> str:
    """Return how far a batch is, how fast it goes, and how long that may still take."""
    done = sum(count for status, count in batch["counts"].items() if status in OVER)
    words = [f"{batch['status']}  {done}/{batch.get('total')}"]
    if batch.get("rate_per_minute"):
        words.append(f"{batch['rate_per_minute']:.0f} a minute")
    if batch.get("forecast"):
        words.append(foretold(batch["forecast"]))
    elif batch.get("eta_s"):
        words.append(f"about {in_words(batch['eta_s'])} left")
    return ", ".join(words)


def foretold(forecast: Mapping[str, Any]) -> str:
    """Return when it will be done, in the clock of this machine, and what holds it up."""
    middle, late = (datetime.fromisoformat(forecast[f"finish_{p}_at"]).astimezone() for p in ("p50", "p90"))
    days_off = (late.date() - datetime.now(UTC).astimezone().date()).days
    day = f" in {days_off} days" if days_off > 1 else " tomorrow" if days_off == 1 else ""
    guess = ", a guess" if forecast.get("mean_is_a_guess") else ""
    return f"done about {middle:%H:%M:%S}, by {late:%H:%M:%S}{day} in 9 of 10 (bound by {forecast['bound_by']}{guess})"


def _progress(run: Mapping[str, Any]) -> str:
    """Return how far the provider says it is, and when it may be done, in the clock of this machine."""
    told = run.get("progress") or {}
    fraction, ends_at = told.get("fraction"), told.get("estimated_completion_at")
    words = [
        None if fraction is None else f"{fraction:.0%}",
        told.get("message"),
        None if ends_at is None else f"done about {datetime.fromisoformat(ends_at).astimezone():%H:%M:%S}",
    ]
    known = ", ".join(str(word) for word in words if word)
    return f"  {known}" if known else ""


def _step(run: Mapping[str, Any]) -> str:
    """Return what of its progress is worth a line of its own: another message, another tenth."""
    told = run.get("progress") or {}
    return f"{told.get('message')}{int((told.get('fraction') or 0) * 10)}" if told else ""


def _why(thing: Mapping[str, Any]) -> str:
    because = thing.get("waiting_because")
    return f"  ({because['message']})" if because else ""
