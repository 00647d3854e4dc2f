"""The measuring tools run, repeat themselves, and measure what they say: tiny sizes, no claim about the figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import baselines, forecasts, keys, polling, product_play, reports, throughput
from benchmarks.load import Load
from benchmarks.stage import Stage
from benchmarks.world import BadWorld, built_in, parse
from orchestrator.domain.answers import RemoteStatus
from orchestrator.rehearsal.model_provider import Execution, ModelProvider
from orchestrator.rehearsal.plain_client import ExponentialBackoff
from orchestrator.rehearsal.world import World

FIGURES = {
    "requests_per_execution",
    "lag_p50_s",
    "lag_p95_s",
    "lag_max_s",
    "unseen_after_55min",
    "makespan_over_bound",
}

WORLD: dict[str, Any] = {
    "rate_per_min": 100,
    "seed": 7,
    "url_hour": "look",
    "workflows": {
        "a": {"mean_s": 10, "sigma": 0.5, "shift_after_n": 60, "shift_factor": 2},
        "b": {"mean_s": 30, "sigma": 0.3, "slow_share": 0.1, "slow_factor": 3},
    },
    "batches": [{"workflow": "a", "n": 120, "width": 5, "order": "random", "arrive_s": 30}],
    "singles": [{"workflow": "b", "per_min": 6, "n": 20, "slots": 3}],
}


def without_time(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in ("took_s", "cpu_s")}


def test_a_world_prints_one_line_with_the_figures_of_the_product_and_of_both_baselines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "small.json"
    file.write_text(json.dumps(WORLD))
    assert polling.main(["--world", str(file)]) == 0
    told = capsys.readouterr()
    (printed,) = told.out.splitlines()
    line = json.loads(printed)
    assert "1 of 1: small" in told.err, "how far it is stands on stderr"
    for part in (line, line["round_robin"], line["exponential_backoff"]):
        assert part.keys() >= FIGURES
        assert part["requests_per_execution"] >= 1.0 + 21 / 140  # a look each, and 21 launches at least
        assert 0 < part["lag_p50_s"] <= part["lag_p95_s"] <= part["lag_max_s"]
        assert part["makespan_over_bound"] >= 1.0


def test_the_same_world_gives_the_same_line_and_another_seed_another() -> None:
    first, second = (without_time(polling.measure(parse(WORLD))) for _ in range(2))
    assert first == second
    assert without_time(polling.measure(parse({**WORLD, "seed": 8}))) != first


def test_no_way_of_polling_ever_has_more_requests_arrive_in_60_s_than_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arrived: list[float] = []
    look, launch = ModelProvider.look, ModelProvider.launch

    def counted_look(self: ModelProvider, execution: Execution, *, now_s: float) -> RemoteStatus:
        arrived.append(now_s)
        return look(self, execution, now_s=now_s)

    def counted_launch(self: ModelProvider, executions: Any, *, width: int, order: str, now_s: float) -> None:
        arrived.append(now_s)
        launch(self, executions, width=width, order=order, now_s=now_s)

    monkeypatch.setattr(ModelProvider, "look", counted_look)
    monkeypatch.setattr(ModelProvider, "launch", counted_launch)
    # Without the score, which launches everything once more to find its bound.
    monkeypatch.setattr("benchmarks.score.launched_whole_s", lambda world: 1.0)
    world = parse({**WORLD, "rate_per_min": 30})
    for way in ("product", "round_robin", "exponential_backoff"):
        arrived.clear()
        _measure(way, world)
        most = max(sum(1 for other in arrived if at <= other < at + 60) for at in arrived)
        assert most <= 30, way


def _measure(way: str, world: World) -> None:
    match way:
        case "product":
            product_play.measure(world)
        case "round_robin":
            baselines.measure(world, baselines.RoundRobin())
        case _:
            baselines.measure(world, ExponentialBackoff())


def test_the_model_runs_no_more_at_once_than_width_and_slots_allow() -> None:
    world = parse({**WORLD, "singles": []})
    provider = ModelProvider(world)
    items = [Execution(workflow="a", part=0, index=n) for n in range(40)]
    provider.launch(items[:20], width=5, order="index", now_s=0.0)
    provider.launch(items[20:], width=5, order="random", now_s=1.0)
    provider.settle(10_000.0)
    spans = [(e.started_s or 0.0, e.ended_s or 0.0) for e in items]
    for request in (spans[:20], spans[20:]):
        assert max(sum(begin <= at < end for begin, end in request) for at, _ in request) == 5
    assert [e.index for e in sorted(items[:20], key=lambda e: e.started_s or 0.0)] == list(range(20))


def test_a_world_with_an_unknown_word_or_a_missing_figure_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    flaws: list[dict[str, Any]] = [
        {"workflows": {"a": {}}},
        {"batchs": []},
        {"batches": [{"workflow": "z", "n": 1}]},
    ]
    for flaw in flaws:
        with pytest.raises(BadWorld):
            parse({**WORLD, **flaw})
    assert polling.main(["--world", "no/such/file.json"]) == 2
    assert "no/such/file.json" in capsys.readouterr().err


def test_the_built_in_worlds_are_worlds() -> None:
    assert len(built_in()) >= 3


def test_a_world_is_named_by_its_file() -> None:
    assert {world.name for world in built_in()} >= {"one_big_batch", "polite", "shared_key"}


def test_every_contender_finishes_what_it_was_given() -> None:
    load = Load(n=4, connections=2, duration_s=0.05, first_look_s=0.15, workers=1, celery_concurrency=2, warm_up=1)
    with Stage(load, durable=False) as stage:
        # Waves differ from single launches in one word of the batch; starting workers once more is not worth it.
        lines = [throughput.CONTENDERS[name](stage) for name in ("product_single", "plain_celery", "bare")]
    for line in lines:
        assert line["executions"] == 4
        assert line["api_requests_per_execution"] >= 1.0 + 2 / 4
        assert line["cpu_s_per_execution"] > 0
    stored = {line["contender"]: line["wal_bytes_per_execution"] for line in lines}
    assert stored["product_single"] > stored["bare"]


def test_keys_are_counted_where_requests_arrive_and_none_is_turned_away() -> None:
    load = keys.KeysLoad(connections=2, duration_s=1.0, workers=1, each_items=40)
    with Stage(load, durable=False) as stage:
        line = keys.measured(stage, seconds=4.0, warm_up_s=4.0)
    assert (line["keys"], line["keys_at_work"], line["turned_away"]) == (2, 2, 0)
    # In so short a time the first minute's tokens leave at once: a share of the limit says nothing yet.
    assert line["budget_used"] > 0
    assert line["requests_per_s"] > 0
    assert line["cpu_ms_per_request"] > 0


def test_reports_are_measured_on_a_history_that_adds_up() -> None:
    load = Load(connections=1, duration_s=0.05, first_look_s=0.15, workers=1, warm_up=1)
    with Stage(load, durable=False) as stage:
        line = reports.measure(stage, runs=250, rounds=1, least_window_s=0.1)
    assert set(line["reports"]) == {"html", "csv", "json"}
    for made in line["reports"].values():
        assert made["adds_up"], "what is reported on is as true work leaves it"
        assert made["peak_mb"] >= made["before_mb"] > 0
    # A run is some 400 bytes of CSV.
    assert 250 * 200 < line["reports"]["csv"]["bytes"] < 250 * 800
    assert {name: len(rates) for name, rates in line["executions_per_s"].items()} == {
        "html": 1, "csv": 1, "nothing": 2, "one core busy": 2,
    }  # fmt: skip


def test_forecasts_are_measured_on_what_the_product_learned_itself() -> None:
    first, again = (without_time(forecasts.measure(6, seed=3, rehearsed=1)) for _ in range(2))
    assert first == again
    for moment in ("begin", "half", "rehearsed"):
        assert 0 <= first[moment]["within_p50"] <= first[moment]["within_p90"] <= 1
    told = forecasts.play(0, 3)
    assert told.begin.durations.count >= 10
    assert told.half.left == told.begin.left // 2
