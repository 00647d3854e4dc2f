"""What the planner achieves, in virtual time: requests and delays of small worlds, each a row of docs/performance.md.

Virtual time is the same on every machine, so these are asserted; the bounds leave room for what small worlds cost more.
"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import observing, product_play
from benchmarks.world import parse

PACE = {"mean_s": 20, "sigma": 0.8}


def measured(pace: dict[str, Any] | None = None, *, batch: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Run the product through a world of one workflow; return its figures."""
    batches = [{"workflow": "w", "n": 1200, "width": 15, **batch}] if batch is not None else []
    return product_play.measure(parse({"workflows": {"w": pace or PACE}, "batches": batches, **more}))


def test_a_wide_batch_is_seen_within_seconds_and_its_waves_cost_hardly_any_time() -> None:
    seen = measured(batch={})
    assert seen["lag_p50_s"] < 7
    assert seen["lag_p95_s"] < 15
    assert seen["lag_max_s"] < 60
    assert seen["makespan_over_bound"] < 1.04
    assert seen["requests_per_execution"] < 2.4


@pytest.mark.parametrize("mean_s", [2, 5])
def test_where_looks_are_short_hardly_one_is_wasted_and_all_of_the_budget_is_used(mean_s: int) -> None:
    seen = measured({"mean_s": mean_s, "sigma": 0.5}, batch={"n": 2000})
    assert seen["requests_per_execution"] < 1.04
    assert seen["budget_used"] > 0.9
    assert seen["unseen_after_55min"] == 0


def test_a_random_order_is_found_out_and_watched_in_small_waves() -> None:
    seen = measured(batch={"order": "random"})
    assert seen["unseen_after_55min"] == 0
    assert seen["lag_p95_s"] < 180


def test_a_polite_workflow_costs_three_requests_an_execution() -> None:
    pace = {"mean_s": 60, "sigma": 0.8}
    prompt, polite = (measured({**pace, "polite": p}, batch={"n": 300, "width": 5}) for p in (0, 1))
    assert polite["requests_per_execution"] < 3.5
    assert polite["lag_p95_s"] < 24
    assert prompt["lag_p95_s"] < 5.5


def test_single_launches_keep_their_slots_full() -> None:
    seen = measured(singles=[{"workflow": "w", "per_min": 60, "n": 600, "slots": 10}])
    assert seen["makespan_over_bound"] < 1.3


def test_batches_of_a_workflow_and_single_runs_are_served_alike() -> None:
    batches = [{"workflow": "ab"[n % 2], "n": 100, "width": 5} for n in range(6)]
    singles = [{"workflow": "a", "per_min": 2, "n": 20}]
    world = parse({"workflows": {"a": PACE, "b": PACE}, "batches": batches, "singles": singles})
    seen = product_play.measure(world)
    assert seen["singles_lag_p95_s"] < 30
    assert seen["unseen_after_55min"] == 0


def test_a_worker_that_is_killed_and_a_provider_that_is_out_leave_nothing_unseen() -> None:
    seen = measured(batch={"n": 600}, kills={"every_s": 200}, outages=[{"from_s": 300, "lasts_s": 240}])
    assert seen["unseen_after_55min"] == 0
    assert seen["lag_max_s"] < 240 + 180
    assert seen["calm_lag_p95_s"] < 40


def test_a_thousand_live_jobs_are_observed_by_list_for_a_twentieth_of_a_request_each() -> None:
    place = observing.Place(live=1000, mean_s=60, sigma=0.5, others=0.1, seed=2)
    seen = observing.by_list(place, rate=120, finished=2500, warm_s=300)
    assert seen["requests_per_finished"] <= 0.05
    assert seen["lag_p95_s"] <= 60
    assert seen["requests_per_min"] <= 120 * 0.3


def test_a_few_live_jobs_are_seen_within_seconds() -> None:
    place = observing.Place(live=20, mean_s=60, sigma=0.5, others=0.0, seed=2)
    seen = observing.by_list(place, rate=120, finished=100, warm_s=300)
    assert seen["lag_p95_s"] < 10
