"""A change: it refuses what is illegal, and knows whether it says anything about its run."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from orchestrator.domain.answers import OfferedFile
from orchestrator.domain.chain import NewEvent
from orchestrator.domain.changes import Change, ExecutionState, InboxKind, RunError, Timer, TimerKind
from orchestrator.domain.statuses import ResultsState, may_become
from orchestrator.domain.statuses import RunStatus as S
from tests.unit.facts import NOW, RUN


def test_a_change_holds_exactly_the_moves_that_are_allowed() -> None:
    for was, to in product(S, S):
        if was == to or may_become(was, to):
            Change(run_id=RUN, was=was, to=to)
        else:
            with pytest.raises(AssertionError, match="may not become"):
                Change(run_id=RUN, was=was, to=to)


def test_every_step_of_a_longer_way_must_be_allowed() -> None:
    Change(run_id=RUN, was=S.LAUNCHING, via=(S.IN_DOUBT,), to=S.QUEUED)
    with pytest.raises(AssertionError):
        Change(run_id=RUN, was=S.LAUNCHING, via=(S.DOWNLOADING,), to=S.FINISHED)


SAYS_SOMETHING: list[dict[str, Any]] = [
    {"events": (NewEvent(type="x"),)},
    {"to": S.ERROR},
    {"provider_status": "processing"},
    {"results_state": ResultsState.STORED},
    {"error": RunError(code="x", message="x")},
    {"clears_error": True},
    {"attempt": 2},
    {"execution_id": "e"},
    {"execution": ExecutionState.OPEN},
    {"was_launched": True},
    {"asks_cancel": True},
    {"offered": (OfferedFile(filename="a", url="u"),)},
    {"opens": InboxKind.HUMAN, "title": "?"},
    {"closes": "done"},
]


@pytest.mark.parametrize("said", SAYS_SOMETHING, ids=lambda said: next(iter(said)))
def test_a_change_that_says_anything_about_its_run_is_written_to_it(said: dict[str, Any]) -> None:
    # What does not touch the run is not written: a fact that is missing there would be lost without a word.
    assert Change(**{"run_id": RUN, "was": S.PROCESSING, "to": S.PROCESSING, **said}).touches_run


def test_a_look_that_changed_nothing_leaves_the_run_alone() -> None:
    timer = Timer(kind=TimerKind.POLL, due_at=NOW)
    assert not Change(run_id=RUN, was=S.PROCESSING, to=S.PROCESSING, timer=timer).touches_run


def test_the_url_of_an_offered_file_does_not_show_in_its_repr() -> None:
    assert "sig" not in repr(OfferedFile(filename="a", url="https://x/?sig=1"))
