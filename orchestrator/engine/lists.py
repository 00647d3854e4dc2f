"""Lists: observe many executions with one request for each page, and by itself only what no page shows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from orchestrator.domain import listing
from orchestrator.domain.answers import Access, ExecutionPage, ListAsk
from orchestrator.domain.changes import TimerKind
from orchestrator.domain.listing import Sought, Walk
from orchestrator.engine import poison
from orchestrator.engine.deps import Deps
from orchestrator.engine.look_results import Looked, Sight, cost_nothing
from orchestrator.errors import BadInput, KeyRefused, Misconfigured, NotSent, OutcomeUnknown, ProviderError, Throttled
from orchestrator.faultpoints import Point, reach
from orchestrator.storage.look_claims import LaneNews, Listing, ListNews, LookBatch, LookClaim, LookResult
from orchestrator.telemetry import get_logger

log = get_logger(__name__)

#: A walk begins no page after this share of its lease: what it saw must be recorded while it holds its claims.
WALK_SHARE = 0.4


class Place(Protocol):
    """Where a list is asked for."""

    @property
    def connection_id(self) -> UUID: ...
    @property
    def provider(self) -> str: ...
    @property
    def base_url(self) -> str: ...
    @property
    def api_key(self) -> bytes: ...
    @property
    def api_version(self) -> str | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """What came of the pages: when each was answered (monotonic), and what ended the walk early, if anything did."""

    answered_at: tuple[float, ...]
    failure: ProviderError | None


def access_of(deps: Deps, place: Place) -> Access:
    """Open the way to where something is asked for."""
    return deps.access(
        connection_id=place.connection_id,
        base_url=place.base_url,
        api_key=place.api_key,
        api_version=place.api_version,
    )


def page_items(deps: Deps, provider: str) -> int:
    """Return how many executions a page of a provider's list shows; 0 where it has none, or we know it no more."""
    try:
        return deps.provider(provider).capabilities.bulk_observe
    except BadInput:
        return 0


async def look(deps: Deps, batch: LookBatch, asked: Listing, singly: Callable[[LookClaim], Awaitable[Sight]]) -> Looked:
    """Look at a batch by the provider's list. No transaction is open.

    Args:
        singly: looks at one execution by itself.
    """
    walk = Walk([_sought(claim) for claim in batch.claims], most_requests=asked.requests)
    came = await _walk(deps, batch.claims[0], walk)
    at = came.answered_at[-1] if came.answered_at else deps.sources.monotonic()
    seen = [Sight(claim=c, seen=walk.seen[c.execution_id], at=at) for c in batch.claims if c.execution_id in walk.seen]
    odd = [c for c in batch.claims if c.execution_id in walk.alone] if came.failure is None else []
    alone = await asyncio.gather(*(singly(c) for c in odd[: asked.requests - walk.requests]))
    answers = [sight.seen for sight in alone]
    looked = {sight.claim.run_id for sight in (*seen, *alone)}
    unseen = {c.run_id: c.fence for c in batch.claims if c.run_id not in looked}
    next_s = listing.next_list_s(
        max(walk.requests + len(alone), 1),
        len(batch.claims),
        page_items=asked.page_items,
        limit=asked.limit,
        mean_s=sum(claim.durations.mean_s for claim in batch.claims) / len(batch.claims),
    )
    is_off = _is_off(came.failure, unseen)

    ended_at = max([at, *(sight.at for sight in alone)])

    def news(now: datetime) -> ListNews:
        # From when this one ended: while the database was away, time has passed without a list.
        due_at = now + timedelta(seconds=next_s - (deps.sources.monotonic() - ended_at))
        return ListNews(
            connection_id=asked.connection_id,
            due_at=due_at,
            off_until=now + timedelta(seconds=listing.OFF_S) if is_off else None,
            unseen=unseen,
            unseen_due_at=now if is_off else due_at,
        )

    return Looked(
        sights=(*seen, *alone),
        answered_at=(*came.answered_at, *(s.at for s in alone if not cost_nothing(s.seen))),
        answers=(*answers, came.failure) if came.failure is not None else tuple(answers),
        listed=news,
    )


async def page(deps: Deps, place: Place, ask: ListAsk) -> ExecutionPage | ProviderError:
    """Ask for a page; return it, or why there is none."""

    async def called() -> ExecutionPage:
        return await deps.provider(place.provider).list_executions(access_of(deps, place), ask)

    try:
        shown = await poison.caught(called)
    except ProviderError as error:
        return error
    except Misconfigured as error:
        return NotSent(error.message, code=error.code)
    if isinstance(shown, poison.Poisoned):
        poison.tell("list", shown)
        return OutcomeUnknown("our own code could not read the provider's list", code="unreadable")
    return shown


def held(results: Sequence[LookResult], news: LaneNews) -> list[LookResult]:
    """Return what looks mean where lists are made: nothing of it is due before the next list, and none had a price."""
    if news.listed is None:
        return list(results)
    return [_held(result, news.listed) for result in results]


def _held(result: LookResult, news: ListNews) -> LookResult:
    change, timer = result.change, result.change.timer
    # What failed, or is odd, is due by itself; and where no list is to be had, so is everything.
    if (
        timer is not None
        and timer.due_at is not None
        and timer.kind is TimerKind.POLL
        and not timer.tries
        and timer.gone_since is None
        and news.off_until is None
    ):
        change = replace(change, timer=replace(timer, due_at=max(timer.due_at, news.due_at)))
    return replace(result, change=change, worth_s=None)


def _is_off(failure: ProviderError | None, unseen: Mapping[UUID, int]) -> bool:
    """Return whether to do without lists for a while: there is none to be had, or it leaves out what is there.

    Where nothing was reached, or the lane has to wait, single looks would come to no more.
    """
    return bool(unseen) and not isinstance(failure, Throttled | KeyRefused | NotSent)


async def _walk(deps: Deps, claim: LookClaim, walk: Walk) -> Walked:
    """Ask for page after page, as long as one may lead to something."""
    answered_at: list[float] = []
    give_up_at = deps.sources.monotonic() + deps.settings.lease_s * WALK_SHARE
    while (ask := walk.ask) is not None and deps.sources.monotonic() < give_up_at:
        shown = await page(deps, claim, ask)
        if isinstance(shown, ProviderError):
            if not isinstance(shown, NotSent):
                answered_at.append(deps.sources.monotonic())
            log.warning(
                "a list of executions was not to be had",
                code=shown.code,
                connection=str(claim.connection_id),
                pages=walk.requests,
            )
            return Walked(answered_at=tuple(answered_at), failure=shown)
        answered_at.append(deps.sources.monotonic())
        walk.take(shown)
        await reach(Point.POLL_LISTED)
    return Walked(answered_at=tuple(answered_at), failure=None)


def _sought(claim: LookClaim) -> Sought:
    return Sought(
        execution_id=claim.execution_id,
        workflow_id=claim.remote_workflow_id,
        sent_at=min(claim.sent_at or claim.launched_at, claim.launched_at),
        known_at=claim.launched_at,
    )
