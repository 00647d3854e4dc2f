"""The Scripe jobs API: its calls, each at most one request.

It takes an idempotency key with every launch, so a lost answer is never a doubt: the same bytes under the same key
come to the same job for a day. Its results stand in the job itself. What it calls job types are our workflows; only
one of them has a call that starts it, and the schema of its input is ours, after the page.

Source: the Scripe API's own page and reference pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from urllib.parse import quote, urlencode

from orchestrator.domain.answers import (
    Accepted,
    Access,
    Capabilities,
    ExecutionPage,
    LaunchKeys,
    LimitScope,
    ListAsk,
    Observation,
    Standing,
    WaveAccepted,
    WorkflowPage,
    WorkflowSummary,
    WorkflowView,
)
from orchestrator.errors import BadInput, Gone
from orchestrator.providers import scripe_shapes as shapes
from orchestrator.providers.adapter import Adapter
from orchestrator.providers.http import ANSWER_CAP_BYTES, Answer, Call
from orchestrator.providers.keys import checked_key
from orchestrator.providers.outcomes import SCRIPE_CANCEL, SCRIPE_LAUNCH, SCRIPE_READ, Outcomes

VERSION = "2026-08-01"

#: A page holds the results of its jobs: 200 of them, of some 80 kB each.
PAGE_CAP_BYTES = 16 * 1024 * 1024

#: What the words of the page's statuses are asked by. One that the page does not have stands in neither list.
STATUSES: Mapping[Standing, tuple[str, ...]] = MappingProxyType(
    {Standing.LIVE: ("QUEUED", "RUNNING"), Standing.ENDED: ("DONE", "FAILED", "CANCELLED")}
)

POST_GENERATION: Mapping[str, object] = MappingProxyType(
    {
        "type": "object",
        "properties": {
            "projectId": {"type": "string", "minLength": 1},
            "source": {
                "type": "object",
                "properties": {"text": {"type": "string", "minLength": 1}},
                "required": ["text"],
            },
            "scheduledFor": {"type": "string", "description": "ISO 8601"},
            "options": {"type": "object"},
        },
        "required": ["projectId", "source"],
        # `wait_for_completion_ms` above all: a launch that waits is a launch that may be lost for longer.
        "additionalProperties": False,
    }
)

#: job type -> the path that starts one, and what its input must look like; None where no call starts it.
TYPES: Mapping[str, tuple[str, Mapping[str, object]] | None] = MappingProxyType(
    {
        "POST_GENERATION": ("/posts/generations", POST_GENERATION),
        "KB_INGEST_TEXT": None,
        "KB_INGEST_FILE": None,
        "KB_INGEST_URL": None,
        "KB_INGEST_YOUTUBE": None,
        "SOURCE_INGEST_FILE": None,
    }
)


class ScripeProvider(Adapter, own_error=shapes.own_error):
    """Calls the Scripe API."""

    name = "scripe"
    capabilities = Capabilities(
        launch_key=LaunchKeys(life_s=24 * 3_600.0, resent_for_s=23 * 3_600.0),
        cancel=True,
        progress=True,
        inline_results=True,
        bulk_observe=shapes.MAX_PAGE_ITEMS,
        human_step=False,
        version=VERSION,
        limit_scope=LimitScope.WORKSPACE,
        # The page says "256 KB"; this fits both readings of it.
        max_body_bytes=256_000,
        wave_widths=MappingProxyType({}),
        wave_max_items=0,
        url_life_s=None,
        requests_per_minute=120,
        # The page has no limit; so many can be looked at one by one within two minutes.
        concurrent_per_workflow=200,
        execution_timeout_s=900.0,
    )

    async def list_workflows(self, access: Access, *, cursor: str | None = None, limit: int = 100) -> WorkflowPage:
        """Return the job types that can be started, once the API has shown that it takes the key and the version."""
        answer = await self._read(access, "/jobs?limit=1")
        self._reader.parsed(answer, SCRIPE_READ, shapes.job_page, secrets=[access.api_key])
        live = [WorkflowSummary(remote_id=type_, name=_name(type_)) for type_, route in TYPES.items() if route]
        return WorkflowPage(workflows=tuple(live))

    async def view_workflow(self, access: Access, workflow_id: str) -> WorkflowView:
        """Return a job type with our schema of its input; asks nobody.

        Raises:
            Gone: the API has no such type.
            BadInput: it has, but no call that starts one.
        """
        _, schema = _route(workflow_id)
        return WorkflowView(remote_id=workflow_id, name=_name(workflow_id), input_schema=dict(schema))

    def launch_body(self, item: bytes) -> bytes:
        """Return the bytes of a launch: the item's own."""
        return item

    def wave_body(self, items: Sequence[bytes], *, level: str) -> bytes:
        raise AssertionError("it has no levels, so no wave is ever planned")

    async def launch(
        self, access: Access, workflow_id: str, body: bytes, *, send_by: float, key: str | None = None
    ) -> Accepted:
        assert key is not None, "without a key a lost answer could never be cleared up"
        path, _ = _route(workflow_id)
        headers = _headers(access) | {"Content-Type": "application/json", "Idempotency-Key": key}
        call = Call(method="POST", url=access.base_url.rstrip("/") + path, headers=headers, body=body)
        answer = await self._http.send(call, send_by=send_by)
        self._hear(access, answer)
        return self._reader.parsed(answer, SCRIPE_LAUNCH, shapes.accepted, secrets=[access.api_key])

    async def launch_wave(
        self, access: Access, workflow_id: str, body: bytes, *, count: int, send_by: float
    ) -> WaveAccepted:
        raise AssertionError("it has no levels, so no wave is ever planned")

    async def observe(self, access: Access, workflow_id: str, execution_id: str) -> Observation:
        answer = await self._read(access, _job_path(execution_id))
        return self._seen(access, answer, SCRIPE_READ, execution_id)

    async def list_executions(self, access: Access, ask: ListAsk) -> ExecutionPage:
        answer = await self._read(access, "/jobs?" + _query(ask), cap_bytes=PAGE_CAP_BYTES)
        return self._reader.parsed(answer, SCRIPE_READ, shapes.job_page, secrets=[access.api_key])

    async def cancel(self, access: Access, workflow_id: str, execution_id: str) -> Observation:
        # It changes something, but no more the second time: a kept connection may carry it.
        answer = await self._read(access, _job_path(execution_id) + "/cancel", method="POST")
        return self._seen(access, answer, SCRIPE_CANCEL, execution_id)

    def _seen(self, access: Access, answer: Answer, outcomes: Outcomes, execution_id: str) -> Observation:
        def parse(body: bytes) -> Observation:
            return shapes.observation(body, execution_id=execution_id)

        return self._reader.parsed(answer, outcomes, parse, secrets=[access.api_key])

    async def _read(
        self, access: Access, path: str, *, method: str = "GET", cap_bytes: int = ANSWER_CAP_BYTES
    ) -> Answer:
        url = access.base_url.rstrip("/") + path
        call = Call(method=method, url=url, headers=_headers(access), cap_bytes=cap_bytes)
        answer = await self._http.read(call, line=(access.base_url, access.api_key))
        self._hear(access, answer)
        return answer

    def _hear(self, access: Access, answer: Answer) -> None:
        is_own = 200 <= answer.status <= 299
        self._hearing.listen(access, answer.headers, version=_version(access), is_own=is_own)


def _headers(access: Access) -> dict[str, str]:
    return {"Authorization": f"Bearer {checked_key(access)}", "Scripe-Api-Version": _version(access)}


def _version(access: Access) -> str:
    return access.api_version or VERSION


def _job_path(execution_id: str) -> str:
    if not shapes.is_id(execution_id):
        raise Gone("there can be no such job at the provider: the id is not one", code="bad_id")
    return f"/jobs/{quote(execution_id, safe='')}"


def _query(ask: ListAsk) -> str:
    """Return a page's query. Times are whole seconds, rounded outwards: the API's own have no more."""
    asked: dict[str, str] = {"limit": str(shapes.MAX_PAGE_ITEMS)}
    if ask.standing is not None:
        asked["status"] = ",".join(STATUSES[ask.standing])
    if ask.workflow_ids:
        asked["type"] = ",".join(ask.workflow_ids)
    if ask.since is not None:
        asked["dateFrom"] = _moment(ask.since)
    if ask.until is not None:
        asked["dateTo"] = _moment(ask.until + timedelta(seconds=1))
    if ask.cursor is not None:
        asked["cursor"] = ask.cursor
    return urlencode(asked)


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _route(workflow_id: str) -> tuple[str, Mapping[str, object]]:
    if workflow_id not in TYPES:
        raise Gone("the provider has no such job type", code="gone")
    route = TYPES[workflow_id]
    if route is None:
        live = ", ".join(type_ for type_, found in TYPES.items() if found)
        raise BadInput(
            f"the provider's API has no call that starts a job of type {workflow_id}",
            code="workflow.not_launchable",
            hint=f"Can be started: {live}.",
        )
    return route


def _name(type_: str) -> str:
    return type_.replace("_", " ").capitalize()
