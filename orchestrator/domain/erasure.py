"""Erasing: a person asks that their data go. Content goes, facts stay: ids, times, statuses, sizes, hashes, history.

What is erased cannot be had again, so only what has ended is erased, and the history tells who did it and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from orchestrator.domain.chain import NewEvent
from orchestrator.domain.operator_decisions import Act, RunFacts
from orchestrator.domain.statuses import ENDINGS, LIVE
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.errors import Conflict

#: Stands where a text was.
ERASED = "erased"

#: The type of the event that tells of it.
REDACTED = "redacted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What one run holds that an erasing takes away, as it stands in its rows.

    Args:
        external_id: the user's own id, which may be a name or an address.
        has_error_text: there are words of how it ended, perhaps the provider's. The error's code is ours, and stays.
        filenames: files that the provider ever named.
        files: the SHA-256 of those that are stored, of every attempt; `file_bytes` is their size together.
    """

    run_id: UUID
    status: S
    erased_at: datetime | None
    external_id: str | None
    has_error_text: bool
    input_sha256: str
    input_bytes: int
    labels: int
    filenames: int
    files: tuple[str, ...]
    file_bytes: int

    @property
    def is_open(self) -> bool:
        """Whether the run has not ended."""
        return self.status in LIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What an erasing takes away, counted over its runs."""

    runs: int
    input_bytes: int
    labels: int
    external_ids: int
    error_texts: int
    filenames: int
    files: int
    file_bytes: int


def tally(runs: Sequence[Holdings]) -> Tally:
    """Count what some runs hold."""
    return Tally(
        runs=len(runs),
        input_bytes=sum(run.input_bytes for run in runs),
        labels=sum(run.labels for run in runs),
        external_ids=sum(run.external_id is not None for run in runs),
        error_texts=sum(run.has_error_text for run in runs),
        filenames=sum(run.filenames for run in runs),
        files=sum(len(run.files) for run in runs),
        file_bytes=sum(run.file_bytes for run in runs),
    )


def redacted(run: Holdings, act: Act, *, batch: UUID | None = None) -> NewEvent:
    """Return what a run's history tells of its erasing: counts and hashes, never content.

    Args:
        batch: the batch that is erased as a whole, if it is.
    """
    assert run.status in ENDINGS, "only what has ended is erased"
    return act.event(
        REDACTED,
        batch=None if batch is None else str(batch),
        input_sha256=run.input_sha256,
        input_bytes=run.input_bytes,
        labels=run.labels,
        external_id=run.external_id is not None,
        error_text=run.has_error_text,
        filenames=run.filenames,
        files=list(run.files),
        file_bytes=run.file_bytes,
    )


def refuse_erased(run: RunFacts) -> RunFacts:
    """Return the run, if it still has what an act on it needs.

    Raises:
        Conflict: its content was erased, so nothing can be launched or fetched for it any more.
    """
    if run.is_erased:
        raise Conflict(
            "the run was erased: its input and results are gone, so it cannot be taken up again",
            code="erased",
            hint="submit the input anew, if it may be used again",
        )
    return run


def refuse_open_run(run: Holdings) -> None:
    """Raise `Conflict` for a run that has not ended, with what to do first."""
    if not run.is_open:
        return
    id_ = run.run_id
    match run.status:
        case S.QUEUED | S.LAUNCHING:
            hint = f"orchestrator run cancel {id_}, or wait for its end: orchestrator run wait {id_}"
        case S.IN_DOUBT:
            hint = f"settle its doubt first: orchestrator doubt resolve {id_} --help"
        case _:
            hint = (
                f"wait for its end: orchestrator run wait {id_}; or stop watching it: "
                f"orchestrator run abandon {id_} --reason …"
            )
    raise Conflict(f"the run is {run.status}; only what has ended can be erased", code="run_open", hint=hint)


def refuse_open_batch(batch_id: UUID, runs: Sequence[Holdings]) -> None:
    """Raise `Conflict` for a batch of which some runs have not ended; it says how many."""
    open_ = sum(run.is_open for run in runs)
    if not open_:
        return
    have = "has" if open_ == 1 else "have"
    raise Conflict(
        f"{open_:,} of {len(runs):,} in this batch {have} not ended; only what has ended can be erased",
        code="batch_open",
        hint=f"orchestrator batch cancel {batch_id} stops what was not launched, orchestrator batch wait {batch_id} "
        "waits for the rest",
    )
