"""What work touches does not grow with the installation: counts in two small worlds, each a row of docs/performance.md.

Buffers and plans are the same on every machine. A world ten times as large has an index a level higher here and there,
and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

import pytest

from benchmarks.load import Load
from benchmarks.scale import __main__ as scale
from benchmarks.scale import claims, history, reads, retired, sites
from benchmarks.scale.explained import watched
from benchmarks.scale.sites import Site
from benchmarks.stage import Stage
from orchestrator.engine import reading, sweep
from orchestrator.engine.deps import Deps

SMALL, LARGE = 2_000, 20_000


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """One Postgres for both worlds."""
    with Stage(Load(connections=1), durable=False) as running:
        yield running


@pytest.fixture(scope="module")
def live(stage: Stage) -> tuple[Site, Site, dict[str, int], dict[str, int]]:
    """Both worlds, and what claims touched in them before their history came."""
    small, large = sites.make(stage, "small", SMALL), sites.make(stage, "large", LARGE)
    counted = [site.work(claims.count, claims.WORKER) for site in (small, large)]
    return small, large, counted[0], counted[1]


@pytest.fixture(scope="module")
def settled(live: tuple[Site, Site, dict[str, int], dict[str, int]]) -> tuple[Site, Site]:
    """Both worlds with as many ended runs beside those that live."""
    for site in live[:2]:
        history.settle(site)
    return live[:2]


def test_what_claims_work_is_measured_before_all_lanes_are_made_to_wait() -> None:
    in_turn = list(scale.ROWS)
    claiming, waiting = ("claim", "history", "retention"), ("idle", "memory")
    assert max(map(in_turn.index, claiming)) < min(map(in_turn.index, waiting))


def test_a_claim_touches_hardly_more_among_ten_times_as_many_live_runs(
    live: tuple[Site, Site, dict[str, int], dict[str, int]],
) -> None:
    _, _, few, many = live
    ratios = claims.ratios(few, many)
    assert set(ratios) == {"look", "launch", "download"}
    assert max(ratios.values()) <= claims.BUFFERS_GOAL, (few, many)


def test_claims_do_not_notice_what_has_ended(
    live: tuple[Site, Site, dict[str, int], dict[str, int]], settled: tuple[Site, Site]
) -> None:
    after = settled[1].work(claims.count, claims.WORKER)
    assert max(claims.ratios(live[3], after).values()) <= history.BUFFERS_GOAL, (live[3], after)


def test_no_page_no_run_and_no_count_reads_a_table_from_end_to_end(settled: tuple[Site, Site]) -> None:
    found = settled[1].work(reads.touch, settled[1])
    scanned = {name: sorted(of.scanned & reads.GROWING) for name, of in found.items() if of.scanned & reads.GROWING}
    assert not scanned


def test_what_is_read_touches_hardly_more_in_a_world_ten_times_as_large(settled: tuple[Site, Site]) -> None:
    few, many = (site.work(reads.touch, site) for site in settled)
    grown = {name: ratio for name, ratio in reads.grown(few, many).items() if ratio > reads.BUFFERS_GOAL}
    assert not grown


def test_a_page_of_many_lanes_takes_no_more_statements_than_a_page_of_one(settled: tuple[Site, Site]) -> None:
    site = settled[1]

    async def statements(deps: Deps, limit: int) -> int:
        with watched() as found:
            views, _ = await reading.list_runs(deps, site.who, statuses=["processing"], limit=limit)
        assert len(views) == limit
        return len(found.seen)

    assert site.work(statements, 100) == site.work(statements, 1)


def test_a_sweep_with_nothing_to_do_asks_little_and_reads_no_table_of_runs(settled: tuple[Site, Site]) -> None:
    async def swept(deps: Deps) -> tuple[int, frozenset[str]]:
        with watched() as found:
            await sweep.sweep(deps, self_id=UUID(int=1), looks_far=False)
        return len(found.seen), found.scanned

    statements, scanned = settled[1].work(swept)
    assert statements <= 9
    assert not scanned & reads.GROWING - {"batches"}


def test_nobody_waits_for_a_month_that_is_taken_out_and_no_claim_notices(settled: tuple[Site, Site]) -> None:
    row = retired.measure(settled[0])
    assert row["events_retired"] > 0
    assert datetime.fromisoformat(row["last_event_at"]), "what is asked under the locks is what the product asks"
    assert (row["while_somebody_reads"], row["locks_waited_for"]) == ("busy", 0)
    assert max(ratio for each in row["buffers_ratio"].values() for ratio in each.values()) <= retired.BUFFERS_GOAL, row
