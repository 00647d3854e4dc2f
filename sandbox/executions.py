"""Executions and launches: the records of what was accepted and what became of it."""

from dataclasses import dataclass
from enum import StrEnum

from sandbox.outcomes import Fate


class Status(StrEnum):
    """The page's words."""

    INITIAL = "initial"
    PROCESSING = "processing"
    HUMAN = "human_in_the_loop"
    FINISHED = "finished"
    ERROR = "error"


ENDINGS = frozenset({Status.FINISHED, Status.ERROR})


@dataclass(slots=True, kw_only=True, eq=False)
class Launch:
    """One accepted launch request: a single execution, or a batch of which at most `width` run at a time."""

    number: int
    key: str
    concurrency: str | None
    width: int
    running: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class Execution:
    """One execution; the times are the sandbox clock's, in seconds."""

    id: str
    account: str
    workflow_id: str
    launch: Launch
    index: int | None
    canonical: bytes
    input_sha256: str
    fate: Fate
    created_at: float
    status: Status = Status.INITIAL
    started_at: float | None = None
    ended_at: float | None = None
    human_since: float | None = None
    decision: str | None = None
    ended_because: str | None = None
    used_s: float = 0.0
    holds_slot: bool = False
    is_lost: bool = False
    #: Raised at every move, so that what was planned before a move (a timeout, an end) is void after it.
    epoch: int = 0
