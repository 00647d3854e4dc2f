"""The words for where a run or a batch stands, and the moves between them. `docs/states.md` is printed from here."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class RunStatus(StrEnum):
    """Where a run stands. One vocabulary for the database, the API, the CLI and the docs."""

    QUEUED = "queued"
    LAUNCHING = "launching"
    IN_DOUBT = "in_doubt"
    PROCESSING = "processing"
    HUMAN_IN_THE_LOOP = "human_in_the_loop"
    DOWNLOADING = "downloading"
    FINISHED = "finished"
    ERROR = "error"
    RESULT_LOST = "result_lost"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"


S = RunStatus

#: What each status means, in the words that users read.
MEANINGS: Mapping[RunStatus, str] = {
    S.QUEUED: "stored, not sent",
    S.LAUNCHING: "an intent is committed; the request may be on the wire",
    S.IN_DOUBT: "sent, outcome unknown",
    S.PROCESSING: "the provider has it",
    S.HUMAN_IN_THE_LOOP: "the provider waits for a person, in its own place",
    S.DOWNLOADING: "the provider finished; results are being stored",
    S.FINISHED: "ended well, every result stored and verified",
    S.ERROR: "the provider said error, or refused the launch, or lost it",
    S.RESULT_LOST: "the provider finished, a result could not be had; what was had is kept",
    S.CANCELLED: "never launched, or the provider confirmed",
    S.ABANDONED: "we stopped watching; it may still act",
}

#: status -> the statuses it may become. A pair that is not here is a bug, not an error.
MOVES: Mapping[RunStatus, frozenset[RunStatus]] = {
    S.QUEUED: frozenset({S.LAUNCHING, S.CANCELLED}),
    S.LAUNCHING: frozenset({S.PROCESSING, S.QUEUED, S.ERROR, S.IN_DOUBT}),
    S.IN_DOUBT: frozenset({S.PROCESSING, S.QUEUED, S.ERROR, S.ABANDONED}),
    S.PROCESSING: frozenset({S.HUMAN_IN_THE_LOOP, S.DOWNLOADING, S.ERROR, S.CANCELLED, S.ABANDONED}),
    S.HUMAN_IN_THE_LOOP: frozenset({S.PROCESSING, S.DOWNLOADING, S.ERROR, S.ABANDONED}),
    S.DOWNLOADING: frozenset({S.FINISHED, S.RESULT_LOST, S.ABANDONED}),
    S.FINISHED: frozenset(),
    S.ERROR: frozenset({S.QUEUED}),
    S.RESULT_LOST: frozenset({S.DOWNLOADING, S.QUEUED}),
    S.CANCELLED: frozenset({S.QUEUED}),
    S.ABANDONED: frozenset({S.PROCESSING, S.QUEUED}),
}

#: A run in one of these has ended; a move out of them is a reopening, by a named person.
ENDINGS = frozenset({S.FINISHED, S.ERROR, S.RESULT_LOST, S.CANCELLED, S.ABANDONED})

#: Only a person can move these.
PARKED = frozenset({S.IN_DOUBT, S.HUMAN_IN_THE_LOOP})

LIVE = frozenset(RunStatus) - ENDINGS

assert set(MOVES) == set(RunStatus), "every status needs a row in MOVES"
assert set(MEANINGS) == set(RunStatus), "every status needs a meaning"
assert not MOVES[S.FINISHED], "finished is the one ending that nothing leaves"


def may_become(old: RunStatus, new: RunStatus) -> bool:
    """Tell whether a run may move so. Staying is not a move."""
    return new in MOVES[old]


class ResultsState(StrEnum):
    """Where a run's result files stand, beside its status."""

    NONE = "none"
    OFFERED = "offered"
    STORED = "stored"
    EMPTY = "empty"
    LOST = "lost"


class BatchStatus(StrEnum):
    """Where a batch stands, derived from its own marks and its runs' statuses."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    WAITING = "waiting"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    FINISHED = "finished"
    FINISHED_WITH_ERRORS = "finished_with_errors"


BATCH_ENDINGS = frozenset({BatchStatus.CANCELLED, BatchStatus.FINISHED, BatchStatus.FINISHED_WITH_ERRORS})


def batch_status(counts: Mapping[RunStatus, int], *, paused: bool, cancelled: bool) -> BatchStatus:
    """Derive a batch's status.

    Args:
        counts: runs by status; absent means none.
        paused: launching is paused, by a person or by `--max-failures`.
        cancelled: a person cancelled the batch.
    """
    live = {s: n for s, n in counts.items() if n and s in LIVE}
    if not live:
        return _ended(counts, cancelled=cancelled)
    if cancelled:
        return BatchStatus.CANCELLING
    if paused:
        moving = live.keys() - PARKED - {S.QUEUED}
        return BatchStatus.PAUSING if moving else BatchStatus.PAUSED
    if live.keys() <= PARKED:
        return BatchStatus.WAITING
    if counts.get(S.QUEUED, 0) == sum(counts.values()):
        return BatchStatus.ACCEPTED
    return BatchStatus.RUNNING


def _ended(counts: Mapping[RunStatus, int], *, cancelled: bool) -> BatchStatus:
    if cancelled and counts.get(S.CANCELLED, 0):
        return BatchStatus.CANCELLED
    ended_otherwise = sum(counts.values()) - counts.get(S.FINISHED, 0)
    return BatchStatus.FINISHED_WITH_ERRORS if ended_otherwise else BatchStatus.FINISHED


#: `--max-failures` is not judged before this many runs have ended: two failures in three say little.
MIN_ENDINGS_FOR_FAILURE_RULE = 20


def too_many_failures(
    counts: Mapping[RunStatus, int],
    *,
    max_count: int | None,
    max_percent: float | None,
    excused_failures: int = 0,
    excused_endings: int = 0,
) -> bool:
    """Tell whether the batch's own failure rule asks to pause it.

    Args:
        excused_failures, excused_endings: what a person has forgiven by resuming; the rule judges what came after.
    """
    all_failed = sum(counts.get(s, 0) for s in (S.ERROR, S.RESULT_LOST))
    failed = max(0, all_failed - excused_failures)
    ended = max(0, all_failed + counts.get(S.FINISHED, 0) - excused_endings)
    if ended < MIN_ENDINGS_FOR_FAILURE_RULE:
        return False
    if max_count is not None and failed > max_count:
        return True
    return max_percent is not None and failed * 100 > max_percent * ended
