"""What held a play up, and for how long: slots that were full, requests that were short, or a provider that was out."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.rehearsal.plays import Play, Stage

#: A play is judged in so many pieces of equal length.
PIECES = 100

#: Slots count as full when so many of them work; what still falls short of that is a begin or an end.
FULL = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeShares:
    """Shares of the time until the last sight, which add up to 1. `rest`: begins and ends, when little is left."""

    slots: float
    rate: float
    outage: float
    rest: float


def time_shares(play: Play, stage: Stage) -> TimeShares:
    """Say what of a play's time was whose.

    In each piece of time: slots, where all are taken (what was launched by itself keeps its slot until its end is
    seen); else an outage, if one is on; else requests, where more have ended unseen than are at work.
    """
    piece_s = play.finish_s / PIECES
    width = min(stage.width, stage.runs)
    working, unseen = [0.0] * PIECES, [0.0] * PIECES
    for execution in play.executions:
        began_s, ended_s, seen_s = execution.started_s or 0.0, execution.ended_s or 0.0, execution.seen_s or 0.0
        _add(working, began_s, ended_s, piece_s)
        _add(unseen, ended_s, seen_s, piece_s)
    counts = dict.fromkeys(("slots", "rate", "outage", "rest"), 0)
    for n in range(PIECES):
        at_s = (n + 0.5) * piece_s
        taken = working[n] + (unseen[n] if stage.work.single else 0.0)
        if working[n] >= FULL * width or (taken >= FULL * width and working[n] > unseen[n]):
            counts["slots"] += 1
        elif any(o.from_s <= at_s < o.from_s + o.lasts_s for o in stage.outages):
            counts["outage"] += 1
        else:
            counts["rate" if unseen[n] > working[n] else "rest"] += 1
    return TimeShares(**{name: count / PIECES for name, count in counts.items()})


def _add(pieces: list[float], from_s: float, to_s: float, piece_s: float) -> None:
    """Add a span to the pieces of time that it touches, each by the share of it that is covered."""
    first, last = int(from_s / piece_s), min(int(to_s / piece_s), PIECES - 1)
    for n in range(min(first, PIECES - 1), last + 1):
        covered_s = min(to_s, (n + 1) * piece_s) - max(from_s, n * piece_s)
        pieces[n] += max(covered_s, 0.0) / piece_s
