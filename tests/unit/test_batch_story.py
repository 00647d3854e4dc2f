"""A batch in one line: every status has its sentence, and the figures in it are those of the counts."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.domain import batch_story
from orchestrator.domain.statuses import BatchStatus as B

SO_FAR = "3 of 1,000 runs have ended, 1 of them badly."
LINES = {
    B.ACCEPTED: "Stored, and nothing of it is sent yet.",
    B.RUNNING: SO_FAR,
    B.PAUSING: f"Paused: too many failed. What was launched is collected. {SO_FAR}",
    B.PAUSED: f"Paused: too many failed. {SO_FAR}",
    B.WAITING: f"Only people can move what is left. {SO_FAR}",
    B.CANCELLING: f"Cancelled; what was launched is still collected. {SO_FAR}",
    B.CANCELLED: "Cancelled. 1 run had finished; the results are kept.",
    B.FINISHED: "All 1,000 runs finished.",
    B.FINISHED_WITH_ERRORS: "1 of 1,000 runs finished; 1 failed, 1 cancelled.",
}


@pytest.mark.parametrize("status", B)
def test_a_batch_is_told_in_one_line(status: B) -> None:
    counts = {"finished": 1, "error": 1, "cancelled": 1, "queued": 997}
    batch: dict[str, Any] = {"status": status, "counts": counts, "total": 1_000, "paused_because": "too many failed"}
    assert batch_story.plain_line(batch) == LINES[status]
