"""What the Scripe API's answers must look like, read strictly; fields that we do not know are ignored.

Source: the Scripe API's own page (`GET /jobs`), and its reference pages for single jobs, cancelling and errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TypeGuard

from orchestrator.domain.answers import Accepted, ExecutionPage, Listed, Observation, Progress, RemoteStatus
from orchestrator.domain.intake import strict_json
from orchestrator.errors import BadInput
from orchestrator.providers.evidence import one_line, plain_word
from orchestrator.providers.inline import inline_file
from orchestrator.providers.reading import OwnError, WrongShape

RESULT_FILE = "result.json"
MAX_PAGE_ITEMS = 200
MAX_WORD_CHARS = 64
_MAX_ID_CHARS = 200
_MAX_CURSOR_CHARS = 2_000
_MAX_DEPTH = 64

STATUS_WORDS: Mapping[str, RemoteStatus] = MappingProxyType(
    {
        "QUEUED": RemoteStatus.WAITING,
        "RUNNING": RemoteStatus.RUNNING,
        "DONE": RemoteStatus.FINISHED,
        "FAILED": RemoteStatus.FAILED,
        "CANCELLED": RemoteStatus.CANCELLED,
    }
)


def is_id(value: object) -> bool:
    """Return whether a value can stand in a URL's path as one part and in our tables as it is."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= _MAX_ID_CHARS
        and value.isascii()
        and value.replace("_", "").replace("-", "").isalnum()
    )


def document(body: bytes) -> dict[str, object]:
    """Return the JSON object that a body spells."""
    try:
        value = strict_json.parse(body, max_depth=_MAX_DEPTH)
    except BadInput as flaw:
        raise WrongShape(f"not strict JSON ({flaw.code})") from None
    if not isinstance(value, dict):
        raise WrongShape("not a JSON object")
    return value


def own_error(body: bytes) -> OwnError | None:
    """Return the provider's words when the body is in its own error shape: an `error` with a code and a message."""
    try:
        error = document(body).get("error")
    except WrongShape:
        return None
    if not isinstance(error, dict):
        return None
    code, message = error.get("code"), error.get("message")
    if not isinstance(code, str) or not isinstance(message, str):
        return None
    request = error.get("request_id")
    said = f"{code}: {message}" + (f" (request {request})" if isinstance(request, str) else "")
    return OwnError(said=said, code=code)


def accepted(body: bytes) -> Accepted:
    """Return the job that a launch started."""
    job = _job(document(body).get("data"))
    return Accepted(execution_id=str(job["id"]), word=_word(job))


def observation(body: bytes, *, execution_id: str) -> Observation:
    """Return what a look at one job saw."""
    job = _job(document(body).get("data"))
    # An answer about another job (a desynchronised proxy) must never end this one.
    if job["id"] != execution_id:
        raise WrongShape("`id` is not the job that was asked for")
    return seen(job)


def seen(job: Mapping[str, object]) -> Observation:
    """Return what a job's document says."""
    status = STATUS_WORDS.get(str(job["status"]), RemoteStatus.UNKNOWN)
    result = job.get("result")
    is_done = status is RemoteStatus.FINISHED and result is not None
    return Observation(
        status=status,
        word=_word(job),
        files=(inline_file(RESULT_FILE, result),) if is_done else None,
        error_message=_why(job) if status is RemoteStatus.FAILED else None,
        progress=_progress(job),
    )


def job_page(body: bytes) -> ExecutionPage:
    """Return the jobs of a page. One that cannot be read is left out, so that it spoils nothing for the others."""
    page = document(body)
    jobs, pagination = page.get("data"), page.get("pagination")
    if not isinstance(jobs, list) or len(jobs) > MAX_PAGE_ITEMS:
        raise WrongShape(f"`data` is not a list of at most {MAX_PAGE_ITEMS}")
    if not isinstance(pagination, dict) or not isinstance(pagination.get("has_more"), bool):
        raise WrongShape("`pagination` does not say whether there is more")
    cursor = pagination.get("next_cursor") if pagination["has_more"] else None
    if pagination["has_more"] and not _is_cursor(cursor):
        raise WrongShape("there is more, and `next_cursor` does not say where")
    listed = tuple(one for job in jobs if (one := _listed(job)) is not None)
    return ExecutionPage(executions=listed, cursor=cursor)


def _is_cursor(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_CURSOR_CHARS and value.isprintable()


def _listed(value: object) -> Listed | None:
    try:
        job = _job(value)
    except WrongShape:
        return None
    type_ = job.get("type")
    return Listed(
        execution_id=str(job["id"]),
        workflow_id=type_ if isinstance(type_, str) and is_id(type_) else "",
        created_at=_time(job.get("createdAt")),
        seen=seen(job),
    )


def _time(value: object) -> datetime | None:
    """Return a moment of the page's form; None for one that is missing, odd, or in no time zone."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) and len(value) <= 40 else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None and 1970 <= at.year <= 9000 else None


def _job(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise WrongShape("`data` is not a job")
    if not is_id(value.get("id")):
        raise WrongShape("`id` is missing, or no id that can stand in a URL")
    if not isinstance(value.get("status"), str):
        raise WrongShape("`status` is not a text")
    return value


def _word(job: Mapping[str, object]) -> str:
    return plain_word(str(job["status"]), max_chars=MAX_WORD_CHARS)


def _why(job: Mapping[str, object]) -> str | None:
    """Return why a job failed, by its code and its message."""
    parts = [part for part in (job.get("errorCode"), job.get("errorMessage")) if isinstance(part, str) and part]
    return one_line(": ".join(parts), max_chars=1_000) or None


def _is_number(value: object) -> TypeGuard[int | float]:
    """Tell a JSON number; `true` is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _progress(job: Mapping[str, object]) -> Progress | None:
    """Return how far a job is, as far as it says: it is only shown, so an odd part is left out and spoils nothing."""
    told, left_ms = job.get("progress"), job.get("estimatedCompletionMs")
    share = told.get("progress") if isinstance(told, dict) else None
    message = told.get("message") if isinstance(told, dict) else None
    progress = Progress(
        share=float(share) if _is_number(share) and 0 <= share <= 1 else None,
        message=one_line(message, max_chars=200) or None if isinstance(message, str) else None,
        left_ms=left_ms if type(left_ms) is int and 0 <= left_ms < 2**53 else None,
    )
    return progress if progress != Progress() else None
