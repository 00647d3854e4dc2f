"""Jobs of the Scripe API: what was accepted, and where each stands, computed from the clock when it is read."""

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from statistics import NormalDist
from typing import Any

from sandbox.clock import Clock, iso
from sandbox.hints import Hints, hints_of
from sandbox.options import Options

#: The job types of the page; only the first has a call that starts one.
TYPES = (
    "POST_GENERATION",
    "KB_INGEST_TEXT",
    "KB_INGEST_FILE",
    "KB_INGEST_URL",
    "KB_INGEST_YOUTUBE",
    "SOURCE_INGEST_FILE",
)
#: A job's progress is kept so long after its end.
PROGRESS_TTL_S = 3_600.0
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_NORMAL = NormalDist()


class JobStatus(StrEnum):
    """The page's words."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """One job; the times are the sandbox clock's, in seconds. What will become of it is fixed when it is accepted."""

    number: int
    id: str
    workspace: str
    type: str
    project_id: str
    given: Mapping[str, Any]
    input_sha256: str
    hints: Hints
    created_at: float
    starts_at: float
    ends_at: float
    fails: bool
    cancelled_at: float | None = None
    is_lost: bool = False

    def status(self, now: float) -> JobStatus:
        if self.cancelled_at is not None:
            return JobStatus.CANCELLED
        if now < self.starts_at:
            return JobStatus.QUEUED
        if now < self.ends_at:
            return JobStatus.RUNNING
        return JobStatus.FAILED if self.fails else JobStatus.DONE

    def document(self, now: float) -> dict[str, Any]:
        """Return the job as the page's example shows it; what is not known yet is null."""
        status = self.status(now)
        began = status in (JobStatus.RUNNING, JobStatus.DONE, JobStatus.FAILED)
        ended_at = {JobStatus.DONE: self.ends_at, JobStatus.FAILED: self.ends_at}.get(status, self.cancelled_at)
        return {
            "id": self.id,
            "type": self.type,
            "status": status.value,
            "projectId": self.project_id,
            "startedAt": iso(self.starts_at) if began else None,
            "completedAt": iso(ended_at) if ended_at is not None else None,
            "progress": self._progress(now),
            "result": self.result() if status is JobStatus.DONE else None,
            "errorCode": "generation_failed" if status is JobStatus.FAILED else None,
            "errorMessage": "the model gave no post" if status is JobStatus.FAILED else None,
            "attemptCount": 1 if began else 0,
            "estimatedCompletionMs": None if ended_at is not None else max(0, int((self.ends_at - now) * 1000)),
            "createdAt": iso(self.created_at),
            "updatedAt": iso(ended_at if ended_at is not None else now if began else self.created_at),
        }

    def result(self) -> dict[str, Any]:
        """Return what a job that is done holds: the same for the same input."""
        return {"posts": [{"id": f"post_{self.input_sha256[:16]}", "text": f"A post about {self.input_sha256[:8]}"}]}

    def _progress(self, now: float) -> dict[str, Any] | None:
        """Return its progress: null before the start, and again an hour after the end."""
        status = self.status(now)
        if status is JobStatus.RUNNING:
            share = (now - self.starts_at) / (self.ends_at - self.starts_at)
            return {"progress": round(share, 3), "updatedAt": iso(now), "message": "writing"}
        if status is JobStatus.DONE and now < self.ends_at + PROGRESS_TTL_S:
            return {"progress": 1.0, "updatedAt": iso(self.ends_at), "message": "done"}
        return None


@dataclass
class Jobs:
    """All jobs of all workspaces, in the order in which they were accepted."""

    clock: Clock
    seed: int
    by_id: dict[str, Job] = field(default_factory=dict)
    accepted: int = 0

    def __post_init__(self) -> None:
        self._ids = Random(self.seed)

    def accept(self, workspace: str, type_: str, given: Mapping[str, Any], options: Options) -> Job:
        """Accept a job.

        Raises:
            HintError: its hints, in `options.sandbox`, make no sense.
        """
        asked = given.get("options")
        hints = hints_of(asked if isinstance(asked, dict) else {})
        canonical = json.dumps(given, sort_keys=True, separators=(",", ":")).encode("ascii")
        digest = hashlib.sha256(b"%d|%s|" % (self.seed, type_.encode()) + canonical).digest()
        now = self.clock.now()
        self.accepted += 1
        starts_at = now + options.scripe_queued_s
        job = Job(
            number=self.accepted,
            id="job_" + "".join(self._ids.choices(_ALPHABET, k=16)),
            workspace=workspace,
            type=type_,
            project_id=str(given.get("projectId", "project")),
            given=given,
            input_sha256=hashlib.sha256(canonical).hexdigest(),
            hints=hints,
            created_at=now,
            starts_at=starts_at,
            ends_at=starts_at + (_duration_s(options, digest) if hints.duration_s is None else hints.duration_s),
            fails=hints.outcome == "error" if hints.outcome else _unit(digest, 8) < options.error_share,
        )
        self.by_id[job.id] = job
        return job

    def find(self, workspace: str, job_id: str) -> Job | None:
        """Find a job as one workspace sees it; a lost one is not there."""
        job = self.by_id.get(job_id)
        return job if job is not None and job.workspace == workspace and not job.is_lost else None

    def newest_first(self, workspace: str, *, before: int | None) -> Iterator[Job]:
        """Yield a workspace's jobs, the newest first, those accepted before a number if it is given."""
        for job in reversed(self.by_id.values()):
            if job.workspace == workspace and not job.is_lost and (before is None or job.number < before):
                yield job

    def clear(self) -> None:
        self.by_id.clear()

    def truth(self) -> list[dict[str, Any]]:
        """Return everything there is to know about every job."""
        now = self.clock.now()
        return [
            {
                **job.document(now),
                "workspace": job.workspace,
                "input": dict(job.given),
                "input_sha256": job.input_sha256,
                "is_lost": job.is_lost,
            }
            for job in self.by_id.values()
        ]

    def launched_twice(self) -> list[str]:
        """Return the SHA-256 of the inputs that more than one job was made of."""
        times: dict[tuple[str, str, str], int] = {}
        for job in self.by_id.values():
            key = (job.workspace, job.type, job.input_sha256)
            times[key] = times.get(key, 0) + 1
        return [digest for (_, _, digest), n in times.items() if n > 1]


def cursor_of(job: Job) -> str:
    """Return the opaque cursor of the page after this job."""
    return base64.urlsafe_b64encode(f"after:{job.number}".encode()).decode().rstrip("=")


def number_of(cursor: str) -> int:
    """Return the number of the job that a cursor stands at.

    Raises:
        ValueError: it is none of ours.
    """
    try:
        word, _, number = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as bad:
        raise ValueError("not a cursor") from bad
    if word != "after" or not number.isdigit():
        raise ValueError("not a cursor")
    return int(number)


def _unit(digest: bytes, at: int) -> float:
    return (int.from_bytes(digest[at : at + 8], "big") + 0.5) / 2.0**64


def _duration_s(options: Options, digest: bytes) -> float:
    mean_s, sigma = options.duration_s, options.duration_sigma
    if mean_s <= 0 or sigma <= 0:
        return max(mean_s, 0.0)
    return math.exp(math.log(mean_s) - sigma * sigma / 2 + sigma * _NORMAL.inv_cdf(min(_unit(digest, 0), 1 - 1e-12)))
