"""Faults that strike a real process at a named point: `FAULT=launch.sent:2:kill` kills it at the second launch sent."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.faultpoints import Point, watched_by

VARIABLE = "FAULT"

#: Makes a worker say that it lives on another machine: nobody sees its process go, only its silence is heard.
ELSEWHERE = "ELSEWHERE"


class Action(StrEnum):
    """What happens to the process at the point."""

    KILL = "kill"
    STOP = "stop"
    RAISE = "raise"


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One fault: at the nth time that the process reaches the point."""

    point: Point
    nth: int
    action: Action

    def __str__(self) -> str:
        return f"{self.point}:{self.nth}:{self.action}"


class Struck(RuntimeError):
    """The fault that is raised."""


def parse(text: str) -> list[Strike]:
    """Read `point:nth:action`, several separated by commas."""
    strikes = []
    for part in filter(None, text.split(",")):
        point, nth, action = part.split(":")
        strikes.append(Strike(point=Point(point), nth=int(nth), action=Action(action)))
    return strikes


class Watcher:
    """Counts what the process reaches, and strikes when a fault's turn has come."""

    def __init__(self, strikes: list[Strike]) -> None:
        self._by_turn = {(strike.point, strike.nth): strike.action for strike in strikes}
        self._reached: Counter[Point] = Counter()

    async def __call__(self, point: Point) -> None:
        self._reached[point] += 1
        match self._by_turn.get((point, self._reached[point])):
            case Action.KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            case Action.STOP:
                os.kill(os.getpid(), signal.SIGSTOP)
                # The signal may stop another thread first; this one must not go on until it is continued.
                time.sleep(STOPS_WITHIN_S)
            case Action.RAISE:
                raise Struck(point)
            case None:
                pass


#: By then a signal has stopped every thread of a process.
STOPS_WITHIN_S = 0.2


def run_struck(arguments: list[str]) -> int:
    """Run the program `orchestrator`, struck by the faults that the environment names; return its exit code."""
    from orchestrator.cli.main import main

    if elsewhere := os.environ.get(ELSEWHERE):
        from workers import process

        process.place = lambda: elsewhere
    with ExitStack() as stack:
        if strikes := parse(os.environ.get(VARIABLE, "")):
            stack.enter_context(watched_by(Watcher(strikes)))
        return main(arguments)
