"""Cancel what a provider has, where the provider can: claim the run, ask, record, like a look that asks for more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import cancelling
from orchestrator.domain.answers import Observation
from orchestrator.domain.cancelling import CancelFacts
from orchestrator.domain.governor import CallKind
from orchestrator.domain.operator_decisions import Act
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.engine import budgeted, heard, lists, look_results, reading, settle
from orchestrator.engine.budgeted import NOBODY, PATIENCE_S
from orchestrator.engine.deps import Deps
from orchestrator.engine.heard import Ears
from orchestrator.engine.who import Who
from orchestrator.errors import NotCancellable, NotSent, ProviderError, Unavailable
from orchestrator.faultpoints import Point, reach
from orchestrator.storage import batches, changes, lanes, look_turns, looks, operations, waves
from orchestrator.storage.changes import Applied
from orchestrator.storage.look_claims import LookBatch, LookClaim, LookRecord, LookResult
from orchestrator.storage.runs import RunRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came of it: what the provider shows of the execution, if anything, and its no, if it said one.

    Args:
        at: when the cancel's answer came (monotonic).
    """

    seen: Observation | None
    no: ProviderError | None
    at: float


async def at_provider(deps: Deps, who: Who, row: RunRow, act: Act) -> dict[str, Any] | None:
    """Ask the provider to cancel a run that it has; return the run, or None where it is not the provider's.

    Raises:
        Conflict: the provider does not cancel it; it is still watched.
        Unavailable: no token came free in time, or the answer was lost; asking again is harmless.
    """
    if not deps.provider(row.provider).capabilities.cancel or row.status not in cancelling.AT_PROVIDER:
        return None
    batch = await _claim(deps, row, act, patience_s=0.0 if who.operation is not None else PATIENCE_S)
    if batch is None:
        return None
    claimed_at = deps.sources.monotonic()
    (claim,) = batch.claims
    came = await _ask(deps, claim, batch.lane_id)  # no transaction is open here
    await _record(deps, who, batch, came, claimed_at=claimed_at)
    view = await reading.get_run(deps, who, row.id)
    if came.no is not None and view["status"] != S.CANCELLED:
        raise cancelling.refusal(came.no, status=S(view["status"]), provider_status=view["provider_status"])
    return view


async def _claim(deps: Deps, row: RunRow, act: Act, *, patience_s: float) -> LookBatch | None:
    """Take the run and a token, and write down that the provider will be asked."""
    # As long as waiting for the second look's token and both calls may take; then the run is looked at as ever.
    lease_s = PATIENCE_S + 2 * deps.settings.http_timeout_s + deps.settings.lease_s

    async def claim(connection: AsyncConnection) -> LookBatch | float | None:
        """Return the claim, or in how many seconds a token may be free."""
        lane = await lanes.lock(connection, row.lane_id)
        if lane.is_blocked and lane.blocked_until is not None:
            return (lane.blocked_until - lane.now).total_seconds()
        if not lane.budget.grant(CallKind.LOOK, 1, now=lane.now):
            return max(0.2, (lane.budget.next_free_at(lane.now) - lane.now).total_seconds())
        if row.batch_id is not None:
            await batches.lock(connection, row.batch_id)
        await waves.lock(connection, [row.execution_wave_id] if row.execution_wave_id is not None else [])
        taken = await look_turns.claim_one(
            connection, lane, row.id, worker=NOBODY, lease_s=lease_s, sources=deps.sources
        )
        if taken is not None:
            intent = [cancelling.asked(_facts(claim), act) for claim in taken.claims]
            await changes.apply(
                connection, intent, now=lane.now, sources=deps.sources, sealer=deps.sealer, lane=lane.id
            )
            await reach(Point.ACT_WRITTEN)
        return taken

    give_up_at = deps.sources.monotonic() + patience_s
    while isinstance(came := await deps.db.run(claim), float):
        if deps.sources.monotonic() + came > give_up_at:
            raise Unavailable(budgeted.USED_UP, code="budget_used", retry_after_s=came)
        await asyncio.sleep(came)
    await reach(Point.ACT_COMMITTED)
    return came


async def _ask(deps: Deps, claim: LookClaim, lane_id: UUID) -> Came:
    """Ask for the cancel; where it comes too late, look at what has become of the execution."""
    provider = deps.provider(claim.provider)
    access = lists.access_of(deps, claim)
    where = (access, claim.remote_workflow_id, claim.execution_id)
    seen, no = await _caught(lambda: provider.cancel(*where))
    at = deps.sources.monotonic()
    if isinstance(no, NotCancellable):
        try:
            seen, _ = await _caught(
                lambda: budgeted.call(deps, lane_id, lambda: provider.observe(*where), ears=_ears(claim))
            )
        except Unavailable:
            seen = None  # the next look of a worker will say it
    return Came(seen=seen, no=no, at=at)


async def _caught(call: Callable[[], Awaitable[Observation]]) -> tuple[Observation | None, ProviderError | None]:
    try:
        return await call(), None
    except ProviderError as error:
        return None, error


async def _record(deps: Deps, who: Who, batch: LookBatch, came: Came, *, claimed_at: float) -> None:
    """Write down what came of it, if the run is still held; who moved it meanwhile has decided."""
    (claim,) = batch.claims
    said = heard.take(deps, _ears(claim))

    async def record(connection: AsyncConnection) -> Applied:
        now = batch.now + timedelta(seconds=deps.sources.monotonic() - claimed_at)
        ago_s = [] if isinstance(came.no, NotSent) else [deps.sources.monotonic() - came.at]
        news = look_results.news_of([came.no] if came.no is not None else [], now=now, rate=said.rate)
        result = _result(deps, claim, came, now=now)
        seen = LookRecord(
            lane_id=batch.lane_id, grant_id=batch.grant_id, results=[result], answered_ago_s=ago_s, news=news
        )
        lane = await lanes.lock(connection, batch.lane_id)
        applied = await looks.record(connection, [seen], {lane.id: lane}, sources=deps.sources, sealer=deps.sealer)
        is_done = came.no is None or result.change.to is S.CANCELLED
        if who.operation is not None and is_done:
            await operations.take(connection, who.operation, claim.run_id)
        return applied

    applied = await deps.db.run(record, tries=20)
    await settle.settle_batches(deps, applied.batches_with_endings)
    await heard.tell(deps, said)


def _ears(claim: LookClaim) -> Ears:
    return heard.ears(claim.provider, claim.connection_id)


def _result(deps: Deps, claim: LookClaim, came: Came, *, now: datetime) -> LookResult:
    facts = _facts(claim)
    if came.seen is None:
        assert came.no is not None, "a call comes to an answer or to an error"
        return LookResult(claim=claim, change=cancelling.look_again(facts, came.no, now=now))
    result = look_results.result_of(deps, claim, came.seen, now=now)
    if not isinstance(came.no, NotCancellable):
        return result
    return replace(result, change=cancelling.after_second_look(result.change, facts, came.no))


def _facts(claim: LookClaim) -> CancelFacts:
    return CancelFacts(
        run_id=claim.run_id,
        status=claim.status,
        attempt=claim.attempt,
        tries=claim.tries,
        stage=claim.stage,
        gone_since=claim.gone_since,
    )
