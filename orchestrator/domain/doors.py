"""What the drop-in doors say of a run: each provider's own words for our statuses, and its names for kinds of work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from orchestrator.domain.statuses import RunStatus

S = RunStatus


class ScriptStatus(StrEnum):
    """Where an execution stands, in the words of the Script API."""

    INITIAL = "initial"
    PROCESSING = "processing"
    HUMAN_IN_THE_LOOP = "human_in_the_loop"
    FINISHED = "finished"
    ERROR = "error"


#: A doubt is `initial`: nothing proves yet that it was started. It moves on when the doubt is settled.
SCRIPT_STATUSES: Mapping[RunStatus, ScriptStatus] = {
    S.QUEUED: ScriptStatus.INITIAL,
    S.LAUNCHING: ScriptStatus.INITIAL,
    S.IN_DOUBT: ScriptStatus.INITIAL,
    S.PROCESSING: ScriptStatus.PROCESSING,
    S.DOWNLOADING: ScriptStatus.PROCESSING,
    S.HUMAN_IN_THE_LOOP: ScriptStatus.HUMAN_IN_THE_LOOP,
    S.FINISHED: ScriptStatus.FINISHED,
    S.ERROR: ScriptStatus.ERROR,
    S.RESULT_LOST: ScriptStatus.ERROR,
    S.CANCELLED: ScriptStatus.ERROR,
    S.ABANDONED: ScriptStatus.ERROR,
}
assert set(SCRIPT_STATUSES) == set(RunStatus), "every status has a word at the Script door"


class JobStatus(StrEnum):
    """Where a job stands, in the words of the Scripe API."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


JOB_STATUSES: Mapping[RunStatus, JobStatus] = {
    S.QUEUED: JobStatus.QUEUED,
    S.LAUNCHING: JobStatus.QUEUED,
    S.IN_DOUBT: JobStatus.RUNNING,
    S.PROCESSING: JobStatus.RUNNING,
    S.HUMAN_IN_THE_LOOP: JobStatus.RUNNING,
    S.DOWNLOADING: JobStatus.RUNNING,
    S.FINISHED: JobStatus.DONE,
    S.ERROR: JobStatus.FAILED,
    S.RESULT_LOST: JobStatus.FAILED,
    S.ABANDONED: JobStatus.FAILED,
    S.CANCELLED: JobStatus.CANCELLED,
}
assert set(JOB_STATUSES) == set(RunStatus), "every status has a word at the Scripe door"

#: The type of a job that is a Script run, whatever its workflow.
SCRIPT_EXECUTION = "SCRIPT_EXECUTION"

#: What `type` may ask for: ours, and those of the Scripe API's page.
JOB_TYPES = (
    SCRIPT_EXECUTION,
    "POST_GENERATION",
    "KB_INGEST_TEXT",
    "KB_INGEST_FILE",
    "KB_INGEST_URL",
    "KB_INGEST_YOUTUBE",
    "SOURCE_INGEST_FILE",
)

_SCRIPT, _SCRIPE = "script", "scripe"


def script_status(status: RunStatus) -> ScriptStatus:
    """Return a run's status as the Script API would say it."""
    return SCRIPT_STATUSES[status]


def job_status(status: RunStatus) -> JobStatus:
    """Return a run's status as the Scripe API would say it."""
    return JOB_STATUSES[status]


def statuses_of(asked: Iterable[JobStatus]) -> tuple[RunStatus, ...]:
    """Return every status of ours that shows as one of these."""
    wanted = set(asked)
    return tuple(status for status in RunStatus if JOB_STATUSES[status] in wanted)


def job_type(provider: str, workflow_id: str) -> str:
    """Return the type of a run's job: a Scripe workflow is a type of job, a Script workflow is none."""
    return SCRIPT_EXECUTION if provider == _SCRIPT else workflow_id


def kinds_of(types: Iterable[str]) -> tuple[tuple[str, str | None], ...]:
    """Return whose runs have these types: a provider each, with one of its workflows, or None for all of them."""
    return tuple((_SCRIPT, None) if type == SCRIPT_EXECUTION else (_SCRIPE, type) for type in types)
