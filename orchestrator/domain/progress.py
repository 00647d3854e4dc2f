"""How far an execution is, as it is kept and shown: what its provider says, in steps that are worth writing down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.domain.answers import Progress

#: Smaller steps are not shown.
STEPS = 100

#: An estimate that moves by less is the same one: it is told as time left, so each look tells another.
ESTIMATE_STEP_S = 5.0

#: An estimate beyond says nothing.
LONGEST_LEFT = timedelta(days=365)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far an execution was at the last look; each part is None where the provider does not say.

    Args:
        fraction: 0 to 1, in whole hundredths; never more than was said.
        message: the provider's words, from outside: one line, cut.
    """

    fraction: float | None = None
    message: str | None = None
    completes_at: datetime | None = None


def standing(told: Progress | None, *, now: datetime) -> Standing:
    """Return what is to be kept of what one look was told. No progress at all is nothing, not zero."""
    if told is None:
        return Standing()
    left = None if told.left_ms is None or told.left_ms > LONGEST_LEFT.total_seconds() * 1000 else told.left_ms
    return Standing(
        fraction=None if told.share is None else int(told.share * STEPS + 1e-9) / STEPS,
        message=told.message,
        completes_at=None if left is None else now + timedelta(milliseconds=left),
    )
