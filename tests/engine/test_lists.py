"""Observing by list: one request shows many, what no list shows is looked at by itself, and a bad list harms nobody."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextvars import Context
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from orchestrator.domain.answers import Access, ExecutionPage, ListAsk, Observation, Standing
from orchestrator.engine import connections, poll, pump, reading, submit, sweep
from orchestrator.engine.submit import BatchSpec
from orchestrator.errors import Gone, KeyRefused, Misbehaved, OutcomeUnknown, ProviderError, Throttled
from orchestrator.faultpoints import Point, watched_by
from tests.contract.made_up import ROUTE, ParcelProvider
from tests.engine.conftest import Hands, Office, away_after
from tests.engine.test_nothing_is_stranded import change, query

pytestmark = pytest.mark.anyio

WAKE = """
    UPDATE lanes SET poll_due_at = now(), blocked_until = NULL
    WHERE id = (SELECT lane_id FROM connections WHERE name = 'post')"""
WAITS = """
    SELECT bool_and(t.due_at = l.due_at) AS is_held FROM timers t, lists l WHERE t.kind = 'poll'"""
BLOCKED = "SELECT blocked_until > now() + interval '30 seconds' AS waits FROM lanes WHERE blocked_until IS NOT NULL"


class Depot(ParcelProvider):
    """Parcels, two on a page; counts what it is asked, and may fail, hide some, or never end."""

    def __init__(self) -> None:
        super().__init__()
        self.has_arrived = False
        self.asked: Counter[str] = Counter()
        self.asks: list[ListAsk] = []
        self.fails: dict[int, ProviderError] = {}
        self.hidden: set[str] = set()
        self.lost: set[str] = set()
        self.is_endless = False

    async def observe(self, access: Access, workflow_id: str, execution_id: str) -> Observation:
        is_look = access.connection_id != "inside"
        if is_look:
            self.asked["look"] += 1
        if is_look and execution_id in self.lost:
            raise Gone("no such parcel", http_status=404)
        return await super().observe(access, workflow_id, execution_id)

    async def list_executions(self, access: Access, ask: ListAsk) -> ExecutionPage:
        self.asked["list"] += 1
        self.asks.append(ask)
        if (error := self.fails.pop(self.asked["list"], None)) is not None:
            raise error
        page = await super().list_executions(replace(access, connection_id="inside"), ask)
        shown = tuple(one for one in page.executions if one.execution_id not in self.hidden)
        return ExecutionPage(executions=shown, cursor=f"{len(self.asks)}" if self.is_endless else page.cursor)


@dataclass
class Yard:
    """A user of the depot: what he posted, and what has become of it."""

    office: Office
    hands: Hands
    depot: Depot
    batch_id: UUID

    async def look(self) -> None:
        """Let the next list be due, and one turn look."""
        await change(self.office, "DELETE FROM lists")
        await change(self.office, "UPDATE timers SET due_at = now() WHERE kind = 'poll' AND worker_id IS NULL")
        await self.turn()

    async def turn(self) -> None:
        await change(self.office, WAKE)
        await poll.poll_due(self.office.deps, worker=self.hands.id)

    async def counts(self) -> dict[str, int]:
        counts = (await reading.get_batch(self.office.deps, self.office.who, self.batch_id))["counts"]
        return {status: n for status, n in counts.items() if n}

    async def finish(self) -> None:
        async def is_over() -> bool:
            await change(self.office, WAKE)
            await change(self.office, "DELETE FROM lists WHERE due_at > now()")
            await change(self.office, "UPDATE timers SET due_at = now() WHERE kind = 'poll' AND worker_id IS NULL")
            return await self.counts() == {"finished": 7}

        await self.hands.work(until=is_over)


@pytest.fixture
async def yard(office: Office, hands: Hands) -> Yard:
    """Seven parcels that are on their way."""
    depot = Depot()
    deps = replace(office.deps, provider=lambda name: {"parcels": depot}[name])
    office, hands = replace(office, deps=deps), replace(hands, deps=deps)
    await connections.add_connection(
        deps, office.who, name="post", provider="parcels", base_url="https://parcels.example", api_key="key"
    )
    spec = BatchSpec(connection="post", workflow_id=ROUTE, format="jsonl")
    rows = b"\n".join(json.dumps({"to": n}).encode() for n in range(7))
    batch = await submit.submit_batch(deps, office.who, spec, rows)
    assert batch.id is not None
    await pump.pump(deps, "launch", worker=hands.id, should_stop=lambda: False)
    return Yard(office=office, hands=hands, depot=depot, batch_id=batch.id)


async def leases(office: Office) -> int:
    (row,) = await query(office, "SELECT count(*) AS n FROM timers WHERE worker_id IS NOT NULL")
    return int(row.n)


async def test_many_are_observed_page_by_page_and_none_by_itself(yard: Yard) -> None:
    await yard.look()
    assert yard.depot.asked == {"list": 4} and await yard.counts() == {"processing": 7}
    assert {ask.standing for ask in yard.depot.asks} == {Standing.LIVE}
    assert await leases(yard.office) == 0
    yard.depot.has_arrived = True
    await yard.finish()
    assert yard.depot.asked["look"] <= 2, "the last ones of a list are not looked for through ever more pages"
    files = await query(yard.office, "SELECT filename FROM artifacts WHERE stored_at IS NOT NULL")
    assert [row.filename for row in files] == ["receipt.json"] * 7


async def test_between_two_lists_nothing_is_asked_though_it_is_due(yard: Yard) -> None:
    await yard.look()
    await change(yard.office, "UPDATE timers SET due_at = now() WHERE kind = 'poll'")
    await yard.turn()
    assert yard.depot.asked == {"list": 4}
    (row,) = await query(yard.office, WAITS)
    assert row.is_held, "they are due with the next list"


async def test_what_is_live_by_our_books_and_in_no_list_is_looked_at_by_itself(yard: Yard) -> None:
    yard.depot.hidden = {"parcel-2"}
    await yard.look()
    assert yard.depot.asked["look"] == 1 and await yard.counts() == {"processing": 7}
    yard.depot.lost = {"parcel-2"}
    await yard.look()
    await change(yard.office, "UPDATE timers SET gone_since = gone_since - interval '11 minutes'")
    await yard.look()
    await yard.turn()
    assert await yard.counts() == {"processing": 6, "error": 1}
    (run,) = await query(yard.office, "SELECT error_code FROM runs WHERE status = 'error'")
    assert run.error_code == "provider_lost"


async def test_a_429_in_mid_paging_keeps_what_was_seen_and_pauses_the_lane(yard: Yard) -> None:
    yard.depot.has_arrived = True
    yard.depot.fails = {7: Throttled("slow down", http_status=429, retry_after_s=40.0)}
    await yard.look()
    assert await yard.counts() == {"downloading": 4, "processing": 3} and yard.depot.asked == {"list": 7}
    (lane,) = await query(yard.office, BLOCKED)
    assert lane.waits and await leases(yard.office) == 0
    await yard.finish()


@pytest.mark.parametrize("error", [OutcomeUnknown("no answer"), Misbehaved("not a list")], ids=["silent", "odd"])
async def test_where_no_list_is_to_be_had_all_are_looked_at_one_by_one(yard: Yard, error: ProviderError) -> None:
    yard.depot.has_arrived = True
    yard.depot.fails = {1: error}
    await yard.look()
    await yard.turn()
    assert await yard.counts() == {"downloading": 7} and yard.depot.asked == {"list": 1, "look": 7}


async def test_a_refused_key_stops_the_lane_and_asks_nothing_more(yard: Yard) -> None:
    yard.depot.fails = {1: KeyRefused("who are you?", http_status=401)}
    await yard.look()
    assert yard.depot.asked == {"list": 1}
    (lane,) = await query(yard.office, "SELECT launches_stopped FROM lanes WHERE launches_stopped IS NOT NULL")
    assert lane.launches_stopped


async def test_a_list_without_an_end_costs_no_more_than_its_grant(yard: Yard) -> None:
    yard.depot.hidden = {"parcel-1"}
    yard.depot.is_endless = True
    await yard.look()
    granted = yard.depot.asked["list"]
    assert granted < 25, "then it is left, and what it did not show is looked at by itself"
    await yard.turn()
    assert yard.depot.asked["list"] == granted and yard.depot.asked["look"] >= 1
    (row,) = await query(yard.office, "SELECT count(*)::int AS n FROM grants")
    assert row.n == 0, "what was not used is given back"


async def test_where_others_hold_all_that_a_list_would_show_no_token_is_taken(yard: Yard) -> None:
    await change(yard.office, "UPDATE timers SET due_at = now() WHERE kind = 'poll'")

    async def turn() -> None:
        await yard.turn()

    async with yard.office.deps.db.transaction() as connection:
        await connection.execute(text("SELECT FROM timers FOR UPDATE"))
        await asyncio.create_task(turn(), context=Context())  # not in the midst of our own transaction
    assert yard.depot.asked == {} and await query(yard.office, "SELECT FROM grants") == []
    await yard.turn()
    assert yard.depot.asked == {"list": 4}, "and at once when they are free"


async def test_a_list_whose_claims_are_void_puts_off_no_other(yard: Yard) -> None:
    async def strike(point: Point) -> None:
        # As the sweep does with what a dead worker held.
        if point is Point.POLL_ANSWERED:
            await change(
                yard.office,
                "UPDATE timers SET fence = nextval('fences'), worker_id = NULL, due_at = now() WHERE kind = 'poll'",
            )
            await change(yard.office, "UPDATE lists SET due_at = now()")

    with watched_by(strike):
        await yard.look()
    yard.depot.has_arrived = True
    await yard.turn()
    assert await yard.counts() == {"downloading": 7}, "walked again at once"


async def test_what_a_list_showed_is_recorded_when_the_database_is_back(yard: Yard) -> None:
    yard.depot.has_arrived = True
    with away_after(yard.office.deps, Point.POLL_ANSWERED):
        await yard.look()
    assert await yard.counts() == {"downloading": 7}


async def test_a_list_that_is_recorded_late_is_followed_by_the_next_in_its_time(yard: Yard) -> None:
    passed_s = 0.0
    sources = yard.office.deps.sources
    late = replace(sources, monotonic=lambda: sources.monotonic() + passed_s)
    yard.office = replace(yard.office, deps=replace(yard.office.deps, sources=late))

    async def strike(point: Point) -> None:
        nonlocal passed_s
        passed_s = 600.0 if point is Point.POLL_ANSWERED else passed_s

    with watched_by(strike):
        await yard.look()
    (row,) = await query(yard.office, "SELECT max(due_at) < now() + interval '60 s' AS is_soon FROM lists")
    assert row.is_soon, "ten minutes without the database are none of its distance"
    (row,) = await query(
        yard.office, "SELECT max(due_at) < now() + interval '60 s' AS is_soon FROM timers WHERE kind = 'poll'"
    )
    assert row.is_soon, "and what was seen alive then is due since"


class Killed(BaseException):
    """A worker is no more."""


async def test_a_worker_killed_between_two_pages_leaves_nothing_behind(yard: Yard) -> None:
    async def strike(point: Point) -> None:
        if point is Point.POLL_LISTED:
            raise Killed

    with watched_by(strike), pytest.raises(Killed):
        await yard.look()
    assert await leases(yard.office) == 7
    await change(yard.office, "UPDATE workers SET state = 'dead', ended_at = now()")
    await sweep.sweep(yard.office.deps)
    assert await leases(yard.office) == 0
    (row,) = await query(yard.office, "SELECT count(*)::int AS n FROM grants")
    assert row.n == 0
    yard.depot.has_arrived = True
    await change(yard.office, "UPDATE workers SET state = 'running', buried_at = NULL, ended_at = NULL")
    await yard.finish()


async def test_a_late_list_cannot_write_over_the_new_holder(yard: Yard) -> None:
    yard.depot.has_arrived = True

    async def strike(point: Point) -> None:
        if point is Point.POLL_ANSWERED:
            await change(yard.office, "UPDATE timers SET fence = nextval('fences') WHERE kind = 'poll'")

    with watched_by(strike):
        await yard.look()
    assert await yard.counts() == {"processing": 7}


async def test_one_that_is_due_alone_is_looked_at_alone(yard: Yard) -> None:
    await change(yard.office, "UPDATE timers SET due_at = now() + interval '1 hour' WHERE kind = 'poll'")
    await change(
        yard.office,
        "UPDATE timers SET due_at = now() WHERE subject_id = (SELECT id FROM runs WHERE execution_id = 'parcel-3')",
    )
    await yard.turn()
    assert yard.depot.asked == {"look": 1}


async def test_what_others_run_at_the_same_place_is_left_alone(office: Office, hands: Hands) -> None:
    await office.connect_scripe()
    for n in range(3):
        office.sandbox.add_job("POST_GENERATION", input={"n": n})
    spec = BatchSpec(connection="scripe", workflow_id="POST_GENERATION", format="jsonl")
    rows: list[dict[str, Any]] = [
        {"projectId": "p", "source": {"text": f"t{n}"}, "options": {"sandbox": "duration_s=1"}} for n in range(6)
    ]
    batch = await submit.submit_batch(office.deps, office.who, spec, "\n".join(map(json.dumps, rows)).encode())
    await pump.pump(office.deps, "launch", worker=hands.id, should_stop=lambda: False)
    await change(office, "UPDATE timers SET due_at = now() WHERE kind = 'poll'")
    await change(office, "UPDATE lanes SET poll_due_at = now() WHERE poll_due_at IS NOT NULL")
    assert await poll.poll_due(office.deps, worker=hands.id) == 6
    kinds = Counter(entry["kind"] for entry in office.sandbox.log())
    assert kinds["list"] in (1, 2) and kinds["look"] == 0, "the live ones, and those that have ended if any has"

    async def is_over() -> bool:
        return (await office.batch(batch.id))["finished_at"] is not None

    await hands.work(until=is_over)
    assert (await office.batch(batch.id))["counts"]["finished"] == 6
    assert len(await query(office, "SELECT FROM runs")) == 6
