"""The Scripe jobs API, as its page describes it: list, get, cancel, start; one error shape with a request id."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from itertools import count, islice
from typing import Any

from sandbox.calls import BadBody, Call, Kind
from sandbox.clock import Clock
from sandbox.hints import HintError
from sandbox.http import Answer, Delivery, Request, json_answer
from sandbox.idempotency import Conflict, Memory
from sandbox.options import Key, LiveOptions
from sandbox.rates import Limit, Meter
from sandbox.scripe_jobs import TYPES, Job, Jobs, JobStatus, cursor_of
from sandbox.scripe_queries import BadQuery, job_query

MAX_BODY_BYTES = 256 * 1024
MAX_WAIT_MS = 25_000
STATUS_OF = {
    "unauthorized": 401,
    "invalid_request": 400,
    "bad_pagination": 400,
    "version_unsupported": 400,
    "not_found": 404,
    "not_cancellable": 409,
    "idempotency_key_conflict": 409,
    "payload_too_large": 413,
    "rate_limited": 429,
}
_FIELDS = frozenset({"projectId", "source", "scheduledFor", "options", "wait_for_completion_ms"})


class Refusal(Exception):
    """A no, by the API's own code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ScripeApi:
    """Answer calls whose key and rate are already checked. A key's account is its workspace."""

    def __init__(self, jobs: Jobs, live: LiveOptions, clock: Clock) -> None:
        self.jobs = jobs
        self.memory = Memory()
        self._live = live
        self._clock = clock
        self._requests = count(1)

    # -- what every API of the sandbox has ---------------------------------------------------------------------

    def key(self, request: Request) -> Key | None:
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        return self._live.scripe_keys.get(secret.strip()) if scheme.lower() == "bearer" else None

    def meter_name(self, key: Key) -> str:
        """Name what the rate is counted for: the workspace, not the key."""
        return f"scripe:{key.account}"

    def limit(self) -> Limit:
        options = self._live.current
        return Limit(options.scripe_requests_per_minute, "sliding", options.refused_count)

    def unauthorized(self) -> Answer:
        return self.error(401, "Invalid or missing API key", code="unauthorized")

    def throttled(self, wait_s: float) -> Answer:
        answer = self.error(429, "Rate limit exceeded", code="rate_limited")
        return replace(answer, headers=(*answer.headers, ("retry-after", str(self._real_s(wait_s)))))

    def dressed(self, answer: Answer, meter: Meter, now: float) -> Answer:
        """Add what every genuine answer carries: the state of the rate, and the end of an old version."""
        limit = self.limit()
        headers = list(answer.headers)
        if limit.per_minute and (answer.status == 429 or self._live.current.scripe_rate_headers == "always"):
            left, reset_s = meter.left(now, limit)
            headers += [
                ("x-ratelimit-limit", str(limit.per_minute)),
                ("x-ratelimit-remaining", str(left)),
                ("x-ratelimit-reset", str(self._real_s(reset_s))),
            ]
        if self._live.current.scripe_deprecation:
            headers.append(("scripe-deprecation", self._live.current.scripe_deprecation))
        return replace(answer, headers=tuple(headers))

    def error(self, status: int, message: str, *, code: str | None = None) -> Answer:
        """Return an error in the page's shape, with a request id of its own."""
        code = code or next((word for word, number in STATUS_OF.items() if number == status), "internal_error")
        request_id = f"req_{next(self._requests):016x}"
        return json_answer(
            status,
            {
                "error": {
                    "code": code,
                    "message": message,
                    "request_id": request_id,
                    "docs_url": f"https://apidocs.scripe.io/errors/{code}",
                }
            },
        )

    def answer(self, call: Call, key: Key, meter: Meter) -> tuple[Answer, list[str]]:
        """Answer a call; also return the ids of the jobs it created."""
        routes: dict[Kind, Callable[[Call, Key], tuple[Answer, list[str]]]] = {
            Kind.LIST: self._list,
            Kind.LOOK: self._get,
            Kind.CANCEL: self._cancel,
            Kind.LAUNCH: self._generate,
        }
        try:
            self._check_version(call.request)
            if call.kind not in routes:
                raise Refusal("not_found", "No such route")
            if call.request.method == "GET":
                return routes[call.kind](call, key)
            return self._written_once(call, key, routes[call.kind])
        except Refusal as no:
            return self.error(STATUS_OF[no.code], str(no), code=no.code), []

    # -- the calls ---------------------------------------------------------------------------------------------

    def _written_once(
        self, call: Call, key: Key, write: Callable[[Call, Key], tuple[Answer, list[str]]]
    ) -> tuple[Answer, list[str]]:
        now = self._clock.now()
        if len(call.request.body) > MAX_BODY_BYTES:
            raise Refusal("payload_too_large", f"The body is larger than {MAX_BODY_BYTES} bytes")
        try:
            known = self.memory.replay(call.request, key.account, now=now)
        except Conflict as conflict:
            raise Refusal("idempotency_key_conflict", "This Idempotency-Key was used with another body") from conflict
        if known is not None:
            return known, []
        answer, created = write(call, key)
        self.memory.keep(call.request, key.account, answer, now=now)
        return answer, created

    def _list(self, call: Call, key: Key) -> tuple[Answer, list[str]]:
        try:
            asked = job_query(call.request.query, self._live.current)
        except BadQuery as bad:
            raise Refusal(bad.code, str(bad)) from bad
        now = self._clock.now()
        matching = (
            job
            for job in self.jobs.newest_first(key.account, before=asked.before)
            if (asked.from_s is None or int(job.created_at) >= asked.from_s)
            and (asked.to_s is None or int(job.created_at) <= asked.to_s)
            and (asked.types is None or job.type in asked.types)
            and (asked.statuses is None or job.status(now).value in asked.statuses)
        )
        page = list(islice(matching, asked.limit + 1))
        has_more = len(page) > asked.limit
        page = page[: asked.limit]
        pagination = {"next_cursor": cursor_of(page[-1]) if has_more else None, "has_more": has_more}
        return self._ok({"data": [job.document(now) for job in page], "pagination": pagination}), []

    def _get(self, call: Call, key: Key) -> tuple[Answer, list[str]]:
        return self._shown(self._job(call, key)), []

    def _cancel(self, call: Call, key: Key) -> tuple[Answer, list[str]]:
        job, now = self._job(call, key), self._clock.now()
        if job.status(now) is not JobStatus.QUEUED:
            raise Refusal("not_cancellable", f"The job is {job.status(now).value}")
        job.cancelled_at = now
        return self._shown(job), []

    def _generate(self, call: Call, key: Key) -> tuple[Answer, list[str]]:
        given = self._body(call)
        wait_ms = _checked(given)
        try:
            job = self.jobs.accept(key.account, TYPES[0], given, self._live.current)
        except HintError as bad:
            raise Refusal("invalid_request", str(bad)) from bad
        now = self._clock.now()
        # It answers as soon as the job has ended, or when it was asked not to wait any longer.
        held_s = min(wait_ms / 1000, job.ends_at - now)
        answer = self._ok({"data": job.document(now + held_s)})
        if held_s > 0 and self._clock.scale:
            answer = replace(answer, delivery=Delivery(hold_s=held_s / self._clock.scale))
        return answer, [job.id]

    # -- parts -------------------------------------------------------------------------------------------------

    def _check_version(self, request: Request) -> None:
        asked = request.headers.get("scripe-api-version")
        if asked is not None and asked not in self._live.current.scripe_versions.split(","):
            raise Refusal("version_unsupported", f"Unknown API version {asked[:40]!r}")

    def _job(self, call: Call, key: Key) -> Job:
        job = self.jobs.find(key.account, call.execution_id)
        if job is None:
            raise Refusal("not_found", "Job not found")
        return job

    def _shown(self, job: Job) -> Answer:
        return self._ok({"data": job.document(self._clock.now())})

    def _body(self, call: Call) -> dict[str, Any]:
        try:
            document = call.document()
        except BadBody as bad:
            raise Refusal("invalid_request", str(bad)) from bad
        if not isinstance(document, dict):
            raise Refusal("invalid_request", "The body must be an object")
        return document

    def _real_s(self, wait_s: float) -> int:
        return math.ceil(wait_s / self._clock.scale if self._clock.scale else wait_s)

    def _ok(self, document: dict[str, Any]) -> Answer:
        if self._live.current.extra_fields:
            document = {"object": "thing", **document, "meta": {"region": "eu"}}
        return json_answer(200, document)


def _checked(given: dict[str, Any]) -> int:
    """Check a body against the page; return how many milliseconds it wants to wait.

    Raises:
        Refusal: it does not fit.
    """
    unknown = sorted(set(given) - _FIELDS)
    if unknown:
        raise Refusal("invalid_request", f"Unknown field {unknown[0][:80]!r}")
    source, wait_ms = given.get("source"), given.get("wait_for_completion_ms", 0)
    if not isinstance(given.get("projectId"), str) or not given["projectId"]:
        raise Refusal("invalid_request", "projectId is required")
    if not isinstance(source, dict) or not isinstance(source.get("text"), str) or not source["text"]:
        raise Refusal("invalid_request", "source.text is required")
    if not isinstance(given.get("options", {}), dict):
        raise Refusal("invalid_request", "options must be an object")
    if isinstance(wait_ms, bool) or not isinstance(wait_ms, int) or not 0 <= wait_ms <= MAX_WAIT_MS:
        raise Refusal("invalid_request", f"wait_for_completion_ms must be between 0 and {MAX_WAIT_MS}")
    scheduled = given.get("scheduledFor")
    try:
        if scheduled is not None:
            datetime.fromisoformat(scheduled)
    except (ValueError, TypeError) as bad:
        raise Refusal("invalid_request", "scheduledFor must be ISO 8601") from bad
    return wait_ms
