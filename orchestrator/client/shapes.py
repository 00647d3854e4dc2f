"""What the API answers with, as typed dicts. Times are ISO 8601 text with `Z`; older servers may lack some keys."""

from __future__ import annotations

from typing import Any, TypedDict


class Problem(TypedDict, total=False):
    """One thing that is wrong with what was sent; `row` and `line` count from 1."""

    row: int | None
    line: int | None
    field: str | None
    code: str
    message: str


class RunError(TypedDict):
    """Why a run ended badly."""

    code: str
    message: str


class Waiting(TypedDict, total=False):
    """Why nothing moves just now."""

    code: str
    message: str
    until: str | None


class Result(TypedDict, total=False):
    """One stored result file. `url` is a path of the API."""

    n: int
    filename: str
    size_bytes: int
    sha256: str
    url: str
    stored_at: str | None
    erased: bool


class Progress(TypedDict):
    """How far the provider says an execution is. `fraction` is 0 to 1; each part is None where it does not say."""

    fraction: float | None
    message: str | None
    estimated_completion_at: str | None


class Run(TypedDict, total=False):
    """One piece of work: one input for one workflow. A single run has no `batch_id` and no `index`."""

    id: str
    status: str
    origin: str
    event_seq: int
    provider_status: str | None
    results_state: str
    workflow_id: str
    workflow_name: str | None
    connection: str
    provider: str
    batch_id: str | None
    index: int | None
    external_id: str | None
    labels: dict[str, str]
    created_at: str
    created_by: str
    updated_at: str
    launched_at: str | None
    finished_at: str | None
    erased_at: str | None
    attempts: int
    execution_id: str | None
    waiting_because: Waiting | None
    error: RunError | None
    console_link: str | None
    input_sha256: str | None
    input_bytes: int
    looks: int
    last_look_at: str | None
    progress: Progress | None
    results_expire_at: str | None
    results: list[Result]


class Forecast(TypedDict, total=False):
    """When a batch will be done: as likely as not, and in nine of ten cases. `bound_by` is `slots` or `rate`."""

    finish_p50_at: str
    finish_p90_at: str
    bound_by: str
    requests_left: int
    mean_s: float
    mean_is_a_guess: bool


class Failure(TypedDict):
    """One cause of a batch's failures, with the first run that it met."""

    code: str
    message: str | None
    count: int
    run_id: str


class _BatchFacts(TypedDict, total=False):
    name: str | None
    external_id: str | None
    workflow_id: str
    workflow_name: str | None
    connection: str
    total: int
    refused: int
    counts: dict[str, int]
    concurrency: str
    wave_size: int | None
    created_at: str
    created_by: str
    finished_at: str | None
    erased_at: str | None
    paused_because: str | None
    source_sha256: str
    source_format: str
    max_failures: str | None
    rate_per_minute: float | None
    eta_s: float | None
    failures: list[Failure] | None
    forecast: Forecast | None
    waiting_because: Waiting | None
    waves: list[dict[str, Any]]
    warnings: list[str]


class Batch(_BatchFacts, total=False):
    """Many runs that came together."""

    id: str
    status: str


class SubmittedBatch(_BatchFacts, total=False):
    """The answer to a submission: the batch, or on a dry run only what would become of it (`id` is None).

    `refused_file` holds the refused rows in the file's own format, base64, to be mended and submitted again.
    """

    id: str | None
    status: str | None
    created: bool
    dry_run: bool
    plan: dict[str, Any]
    preview: dict[str, Any] | None
    refused_file: str | None


class Erasure(TypedDict, total=False):
    """What an erasing took away, or on a dry run would: counts of a run's, or of all of a batch's runs together.

    `erased_before` says that nothing was left to erase. `files_left` are still in the store, for workers to remove.
    """

    kind: str
    id: str
    dry_run: bool
    erased_at: str | None
    erased_before: bool
    runs: int
    runs_erased_before: int
    input_bytes: int
    labels: int
    external_ids: int
    error_texts: int
    filenames: int
    files: int
    file_bytes: int
    files_left: int | None
    warnings: list[str]


class Event(TypedDict, total=False):
    """One entry of the append-only history."""

    seq: int
    at: str
    type: str
    actor: str
    data: dict[str, Any]
    hash: str


class Doubt(TypedDict, total=False):
    """Launches that were sent and whose outcome nobody knows: one run's, or a wave's."""

    id: str
    kind: str
    batch_id: str | None
    workflow_id: str
    connection: str
    count: int
    runs: list[dict[str, Any]]
    since: str
    reason: str | None
    holds_slots_until: str | None
    seen: str


class Resolved(TypedDict):
    """How many doubts were settled, and how many of the wave are left."""

    resolved: int
    left: int


class InboxItem(TypedDict, total=False):
    """A question for a person."""

    id: str
    kind: str
    title: str
    run_id: str | None
    batch_id: str | None
    wave_id: str | None
    link: str | None
    opened_at: str


class Token(TypedDict, total=False):
    """A token for this API; its secret is shown once, when it is made."""

    id: str
    name: str
    hint: str
    scopes: list[str]
    connection: str | None
    created_at: str
    last_used_at: str | None
    expires_at: str | None
    revoked_at: str | None


class CreatedToken(Token, total=False):
    """A new token. `secret` is what goes after `Bearer`; it cannot be had again."""

    secret: str


class Readiness(TypedDict, total=False):
    """Whether the server can do its work, part by part."""

    ready: bool
    database: str
    migrations: str | None
    workers: dict[str, Any] | None
    version: str


class Alarm(TypedDict, total=False):
    """Something that is wrong now, and what a person can do."""

    code: str
    is_grave: bool
    message: str
    cure: str
    facts: dict[str, Any]


class SystemState(TypedDict, total=False):
    """How the installation is doing. Times are seconds; `late_s` of a queue is None where nothing of it is due."""

    version: str
    server: dict[str, Any]
    revision: str | None
    alarms: list[Alarm]
    workers: list[dict[str, Any]]
    more_workers: bool
    other_versions: list[str]
    queues: list[dict[str, Any]]
    swept_ago_s: float | None
    clock_ahead_s: float
    storage: dict[str, Any]
    history: dict[str, Any]
    broker: str
