"""A batch told to a person in one plain line. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.domain.statuses import ENDINGS, BatchStatus, RunStatus
from orchestrator.domain.statuses import RunStatus as S

#: Ended otherwise than was asked for.
BADLY = (S.ERROR, S.RESULT_LOST, S.ABANDONED)


def ended(batch: Mapping[str, Any]) -> int:
    """Return how many of its runs have ended."""
    return sum(count for status, count in batch["counts"].items() if status in ENDINGS)


def under_way(counts: Mapping[RunStatus, int]) -> str:
    """Say where the runs of a batch are of which none is queued any more."""
    parts = [
        (S.LAUNCHING, "being launched"),
        (S.PROCESSING, "at the provider"),
        (S.HUMAN_IN_THE_LOOP, "for a person to approve"),
        (S.DOWNLOADING, "having results stored"),
        (S.IN_DOUBT, "in doubt"),
    ]
    told = [(counts[status], words) for status, words in parts if counts.get(status)]
    return ", ".join(f"{_runs(n) if place == 0 else f'{n:,}'} {words}" for place, (n, words) in enumerate(told))


def plain_line(batch: Mapping[str, Any]) -> str:
    """Say in one sentence or two how a batch stands."""
    counts, total, done = batch["counts"], batch["total"], ended(batch)
    bad = sum(counts.get(status, 0) for status in BADLY)
    failed = f", {bad:,} of them badly" if bad else ""
    so_far = f"{done:,} of {_runs(total)} {'has' if done == 1 else 'have'} ended{failed}."
    match BatchStatus(batch["status"]):
        case BatchStatus.ACCEPTED:
            return "Stored, and nothing of it is sent yet."
        case BatchStatus.RUNNING:
            return so_far
        case BatchStatus.PAUSING:
            return f"Paused: {batch['paused_because'] or 'by a person'}. What was launched is collected. {so_far}"
        case BatchStatus.PAUSED:
            return f"Paused: {batch['paused_because'] or 'by a person'}. {so_far}"
        case BatchStatus.WAITING:
            return f"Only people can move what is left. {so_far}"
        case BatchStatus.CANCELLING:
            return f"Cancelled; what was launched is still collected. {so_far}"
        case BatchStatus.CANCELLED:
            kept = counts.get(S.FINISHED, 0)
            return f"Cancelled. {_runs(kept)} had finished; the results are kept."
        case BatchStatus.FINISHED:
            return f"All {_runs(total)} finished." if total != 1 else "Its run finished."
        case BatchStatus.FINISHED_WITH_ERRORS:
            return f"{counts.get(S.FINISHED, 0):,} of {_runs(total)} finished; {_otherwise(counts)}."


def _otherwise(counts: Mapping[str, int]) -> str:
    words = {S.ERROR: "failed", S.RESULT_LOST: "lost a result", S.CANCELLED: "cancelled", S.ABANDONED: "abandoned"}
    return ", ".join(f"{counts[status]:,} {word}" for status, word in words.items() if counts.get(status))


def _runs(count: int) -> str:
    return f"{count:,} run{'' if count == 1 else 's'}"
