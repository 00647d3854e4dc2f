"""What the doors say of each status, against the contract's own words, written down here by hand."""

from __future__ import annotations

import pytest

from orchestrator.domain import doors
from orchestrator.domain.doors import JobStatus
from orchestrator.domain.statuses import RunStatus

#: status: at the Script door, at the Scripe door.
CONTRACT = {
    "queued": ("initial", "QUEUED"),
    "launching": ("initial", "QUEUED"),
    "in_doubt": ("initial", "RUNNING"),
    "processing": ("processing", "RUNNING"),
    "human_in_the_loop": ("human_in_the_loop", "RUNNING"),
    "downloading": ("processing", "RUNNING"),
    "finished": ("finished", "DONE"),
    "error": ("error", "FAILED"),
    "result_lost": ("error", "FAILED"),
    "cancelled": ("error", "CANCELLED"),
    "abandoned": ("error", "FAILED"),
}


@pytest.mark.parametrize("status", RunStatus)
def test_each_status_has_the_contracts_word_at_both_doors(status: RunStatus) -> None:
    assert (doors.script_status(status), doors.job_status(status)) == CONTRACT[status]


def test_asking_for_each_word_in_turn_asks_for_every_status_once() -> None:
    found = [status for word in JobStatus for status in doors.statuses_of([word])]
    assert sorted(found) == sorted(RunStatus)
    assert doors.statuses_of([]) == ()
    assert doors.statuses_of([JobStatus.DONE, JobStatus.CANCELLED]) == (RunStatus.FINISHED, RunStatus.CANCELLED)


@pytest.mark.parametrize(
    ("provider", "workflow", "type"),
    [("script", "550e8400", "SCRIPT_EXECUTION"), ("scripe", "POST_GENERATION", "POST_GENERATION")],
)
def test_a_type_that_is_shown_is_found_when_it_is_asked_for(provider: str, workflow: str, type: str) -> None:
    assert doors.job_type(provider, workflow) == type
    ((of, one),) = doors.kinds_of([type])
    assert of == provider
    assert one in (None, workflow)
