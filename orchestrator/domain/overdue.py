"""Runs that the provider has had for longer than its own page allows: looked at more rarely, then put to a person."""

from __future__ import annotations

from orchestrator.domain.chain import NewEvent
from orchestrator.domain.changes import InboxKind, OverdueStage

#: Beyond the provider's own 15 minutes, with margin: looks become slower, and after a day a person is told.
OVERDUE_AFTER_S = 20 * 60.0
OVERDUE_TELL_AFTER_S = 24 * 3600.0
OVERDUE_LOOKS_S = 120.0
OVERDUE_TITLE = "The provider has had this execution for more than a day"


def overdue(stage: int, *, age_s: float) -> tuple[int, list[NewEvent]]:
    """Return how overdue a run is now, and what to write down if that is news.

    Args:
        stage: how overdue it was at the last look, one of `OverdueStage`.
        age_s: seconds that the provider has been working on it.
    """
    if age_s > OVERDUE_TELL_AFTER_S and stage < OverdueStage.TOLD_A_PERSON:
        return OverdueStage.TOLD_A_PERSON, [NewEvent(type="overdue", data={"hours": int(age_s // 3600)})]
    if age_s > OVERDUE_AFTER_S and stage < OverdueStage.SLOWER:
        return OverdueStage.SLOWER, [NewEvent(type="overdue", data={"minutes": int(age_s // 60)})]
    return stage, []


def question(before: int, after: int) -> InboxKind | None:
    """Return the question to open when a run becomes so overdue that a person should know."""
    return InboxKind.OVERDUE if after > max(before, OverdueStage.SLOWER) else None
