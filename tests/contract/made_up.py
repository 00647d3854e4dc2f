"""A third provider, made up: parcels that are posted and arrive. All that it takes to be one stands in this file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from types import MappingProxyType

from orchestrator.domain.answers import (
    Accepted,
    Access,
    Capabilities,
    ExecutionPage,
    LaunchKeys,
    LimitScope,
    ListAsk,
    Listed,
    Observation,
    RemoteStatus,
    Standing,
    WaveAccepted,
    WorkflowPage,
    WorkflowSummary,
    WorkflowView,
)
from orchestrator.domain.heard import Heard
from orchestrator.errors import Gone, KeyRefused, NotCancellable, NotSent, OutcomeUnknown, Refused
from orchestrator.providers.inline import inline_file
from orchestrator.runtime import since_boot_s

ROUTE = "by-air"


class ParcelProvider:
    """Posts parcels in memory. So many answers are lost as `loses` says, after the parcel was taken."""

    name = "parcels"
    capabilities = Capabilities(
        launch_key=LaunchKeys(life_s=7_200.0, resent_for_s=3_600.0),
        cancel=True,
        progress=False,
        inline_results=True,
        bulk_observe=2,
        human_step=False,
        version=None,
        limit_scope=LimitScope.KEY,
        max_body_bytes=10_000,
        wave_widths=MappingProxyType({}),
        wave_max_items=0,
        url_life_s=None,
        requests_per_minute=600,
        concurrent_per_workflow=50,
        execution_timeout_s=60.0,
    )

    def __init__(self) -> None:
        self.parcels: dict[str, bytes] = {}
        self.posted_at: dict[str, datetime] = {}
        self.by_key: dict[str, str] = {}
        self.recalled: set[str] = set()
        self.has_arrived = True
        self.loses = 0
        self._numbers = count(1)

    async def list_workflows(self, access: Access, *, cursor: str | None = None, limit: int = 100) -> WorkflowPage:
        self._check(access)
        return WorkflowPage(workflows=(WorkflowSummary(remote_id=ROUTE, name="By air"),))

    async def view_workflow(self, access: Access, workflow_id: str) -> WorkflowView:
        if workflow_id != ROUTE:
            raise Gone("no such route")
        return WorkflowView(remote_id=ROUTE, name="By air", input_schema={"type": "object"})

    def launch_body(self, item: bytes) -> bytes:
        return b'{"parcel":' + item + b"}"

    def wave_body(self, items: Sequence[bytes], *, level: str) -> bytes:
        raise AssertionError("it has no levels")

    async def launch(
        self, access: Access, workflow_id: str, body: bytes, *, send_by: float, key: str | None = None
    ) -> Accepted:
        if since_boot_s() > send_by:
            raise NotSent("too late", code="too_late")
        self._check(access)
        if b"forbidden" in body:
            raise Refused("not allowed on board", http_status=422)
        assert key is not None
        number = self.by_key.setdefault(key, f"parcel-{next(self._numbers)}")
        self.parcels[number] = body
        self.posted_at.setdefault(number, datetime.now(UTC))
        if self.loses:
            self.loses -= 1
            raise OutcomeUnknown("the pigeon was lost")
        return Accepted(execution_id=number, word="posted")

    async def launch_wave(
        self, access: Access, workflow_id: str, body: bytes, *, count: int, send_by: float
    ) -> WaveAccepted:
        raise AssertionError("it has no levels")

    async def observe(self, access: Access, workflow_id: str, execution_id: str) -> Observation:
        self._check(access)
        if execution_id not in self.parcels:
            raise Gone("no such parcel")
        if execution_id in self.recalled:
            return Observation(status=RemoteStatus.CANCELLED, word="recalled")
        if not self.has_arrived:
            return Observation(status=RemoteStatus.WAITING, word="posted")
        receipt = inline_file("receipt.json", {"parcel": execution_id})
        return Observation(status=RemoteStatus.FINISHED, word="arrived", files=(receipt,))

    async def list_executions(self, access: Access, ask: ListAsk) -> ExecutionPage:
        self._check(access)
        made = [(n, at) for n, at in reversed(self.posted_at.items()) if ask.since is None or at >= ask.since]
        newest = [n for n, at in made if ask.until is None or at <= ask.until][int(ask.cursor or 0) :]
        looks = [(n, await self.observe(access, ROUTE, n)) for n in newest[: self.capabilities.bulk_observe]]
        is_live = {Standing.LIVE: (True,), Standing.ENDED: (False,), None: (True, False)}[ask.standing]
        shown = [
            Listed(execution_id=n, workflow_id=ROUTE, created_at=self.posted_at[n], seen=seen)
            for n, seen in looks
            if (seen.status is RemoteStatus.WAITING) in is_live
        ]
        at = int(ask.cursor or 0) + len(looks)
        return ExecutionPage(executions=tuple(shown), cursor=str(at) if len(newest) > len(looks) else None)

    async def cancel(self, access: Access, workflow_id: str, execution_id: str) -> Observation:
        seen = await self.observe(access, workflow_id, execution_id)
        if seen.status is not RemoteStatus.WAITING:
            raise NotCancellable(f"it is {seen.word}", http_status=409)
        self.recalled.add(execution_id)
        return await self.observe(access, workflow_id, execution_id)

    def heard(self, connection_id: str) -> Heard:
        return Heard()

    async def aclose(self) -> None:
        """Nothing is kept open."""

    def _check(self, access: Access) -> None:
        if access.api_key == "wrong":
            raise KeyRefused("who are you?", http_status=401)
