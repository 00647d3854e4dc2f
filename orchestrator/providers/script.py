"""The Script workflows API: its five calls, each exactly one request.

It has no idempotency key, no cancel and no list of executions: a lost answer to a launch can never be cleared up
by asking, which is why this adapter would rather say "unknown" once too often than "not sent" once too often.

Source: the Script API's own page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import quote, urlencode

from orchestrator.domain.answers import (
    Accepted,
    Access,
    Capabilities,
    ExecutionPage,
    LimitScope,
    ListAsk,
    Observation,
    WaveAccepted,
    WorkflowPage,
    WorkflowView,
)
from orchestrator.errors import Gone
from orchestrator.providers import script_shapes as shapes
from orchestrator.providers.adapter import Adapter
from orchestrator.providers.http import ANSWER_CAP_BYTES, WAVE_ANSWER_CAP_BYTES, Answer, Call, Timeouts
from orchestrator.providers.keys import checked_key
from orchestrator.providers.outcomes import LAUNCH, READ, Outcomes
from orchestrator.runtime import LONGEST_LAUNCH_S

MAX_PAGE = 100
#: A wave's answer may take its time: the provider writes that many executions before it answers.
WAVE_READ_BASE_S = 30.0
WAVE_READ_PER_ITEM_S = 0.02

T = TypeVar("T")


class ScriptProvider(Adapter, own_error=shapes.own_error):
    """Calls the Script API."""

    name = "script"
    capabilities = Capabilities(
        launch_key=None,
        cancel=False,
        progress=False,
        inline_results=False,
        bulk_observe=0,
        human_step=True,
        version=None,
        limit_scope=LimitScope.KEY,
        # The page says "4 MB"; this fits both readings of it.
        max_body_bytes=4_000_000,
        wave_widths=MappingProxyType({"low": 1, "medium": 5, "high": 15}),
        wave_max_items=10_000,
        url_life_s=3_600.0,
        requests_per_minute=100,
        concurrent_per_workflow=10,
        execution_timeout_s=900.0,
    )

    async def list_workflows(self, access: Access, *, cursor: str | None = None, limit: int = MAX_PAGE) -> WorkflowPage:
        query = {"limit": str(min(max(limit, 1), MAX_PAGE))} | ({} if cursor is None else {"cursor": cursor})
        answer = await self._read(access, f"/workflows?{urlencode(query, quote_via=quote)}")
        return self._parsed(access, answer, READ, shapes.workflow_page)

    async def view_workflow(self, access: Access, workflow_id: str) -> WorkflowView:
        answer = await self._read(access, f"/workflows/{_part(workflow_id)}")
        return self._parsed(access, answer, READ, shapes.workflow_view)

    def launch_body(self, item: bytes) -> bytes:
        """Return the bytes of a single launch; the item's own bytes stand in it unchanged."""
        return b'{"input":' + item + b"}"

    def wave_body(self, items: Sequence[bytes], *, level: str) -> bytes:
        """Return the bytes of a wave's launch; each item's own bytes stand in it unchanged."""
        assert level in self.capabilities.wave_widths, f"no such level: {level}"
        return b'{"items":[' + b",".join(items) + b'],"concurrency":"' + level.encode("ascii") + b'"}'

    async def launch(
        self, access: Access, workflow_id: str, body: bytes, *, send_by: float, key: str | None = None
    ) -> Accepted:
        call = _launch_call(access, f"/workflows/{_part(workflow_id)}/executions", body)
        answer = await self._http.send(call, send_by=send_by)
        return self._parsed(access, answer, LAUNCH, shapes.accepted)

    async def launch_wave(
        self, access: Access, workflow_id: str, body: bytes, *, count: int, send_by: float
    ) -> WaveAccepted:
        call = _launch_call(
            access, f"/workflows/{_part(workflow_id)}/executions/batch", body, cap_bytes=WAVE_ANSWER_CAP_BYTES
        )
        read_s = max(WAVE_READ_BASE_S, self._http.timeouts.read_s) + WAVE_READ_PER_ITEM_S * count
        answer = await self._http.send(call, send_by=send_by, read_s=read_s)
        return self._parsed(access, answer, LAUNCH, lambda body: shapes.wave_accepted(body, count=count))

    async def observe(self, access: Access, workflow_id: str, execution_id: str) -> Observation:
        answer = await self._read(access, f"/workflows/{_part(workflow_id)}/executions/{_part(execution_id)}")
        return self._parsed(access, answer, READ, lambda body: shapes.observation(body, execution_id=execution_id))

    async def list_executions(self, access: Access, ask: ListAsk) -> ExecutionPage:
        raise AssertionError("it has no list of executions, so nobody asks for one")

    async def cancel(self, access: Access, workflow_id: str, execution_id: str) -> Observation:
        raise AssertionError("it has no cancel, so nobody asks for one")

    async def _read(self, access: Access, path: str) -> Answer:
        call = Call(method="GET", url=access.base_url.rstrip("/") + path, headers=_headers(access))
        return await self._http.read(call, line=(access.base_url, access.api_key))

    def _parsed(self, access: Access, answer: Answer, outcomes: Outcomes, parse: Callable[[bytes], T]) -> T:
        return self._reader.parsed(answer, outcomes, parse, secrets=[access.api_key])


#: The largest wave, of the largest body, waited for to the last second.
LONGEST_WAVE = Timeouts().for_launch(
    body_bytes=ScriptProvider.capabilities.max_body_bytes,
    read_s=WAVE_READ_BASE_S + WAVE_READ_PER_ITEM_S * ScriptProvider.capabilities.wave_max_items,
)
assert LONGEST_WAVE.whole_s <= LONGEST_LAUNCH_S, "a worker that stops must live to see its launch answered"


def _headers(access: Access) -> dict[str, str]:
    return {"x-api-key": checked_key(access)}


def _launch_call(access: Access, path: str, body: bytes, *, cap_bytes: int = ANSWER_CAP_BYTES) -> Call:
    return Call(
        method="POST",
        url=access.base_url.rstrip("/") + path,
        headers=_headers(access) | {"Content-Type": "application/json"},
        body=body,
        cap_bytes=cap_bytes,
    )


def _part(id_: str) -> str:
    """Return an id quoted as one part of a path.

    Raises:
        Gone: no id of theirs can look like this (`..` would be another path); nothing was sent.
    """
    if not shapes.is_id(id_):
        raise Gone("there can be no such thing at the provider: the id is not one", code="bad_id")
    return quote(id_, safe="")
