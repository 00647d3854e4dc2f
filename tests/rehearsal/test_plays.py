"""Plays stand for all that may come: they meet outages, slots and others as the batch would, and repeat themselves."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import mean

import pytest

from orchestrator.domain.backoff import PollPolicy
from orchestrator.domain.durations import Durations
from orchestrator.domain.forecast import Bound, Rival
from orchestrator.rehearsal.model_provider import Execution
from orchestrator.rehearsal.plays import OURS, Stage, play, play_backoff, world_of
from orchestrator.rehearsal.rehearse import MOST_PLAYS, plays_for, rehearse
from orchestrator.rehearsal.virtual_launches import VirtualLaunches
from orchestrator.rehearsal.world import Outage

KNOWN = Durations(count=60, log_mean=math.log(10) - 0.125, log_var=0.25)

STAGE = Stage(
    runs=60, width=5, slot_limit=10, wave_size=None, requests_per_minute=100, durations=KNOWN, policy=PollPolicy()
)
SINGLES = replace(STAGE, width=4, slot_limit=4, wave_size=1)


def most_at_once(executions: tuple[Execution, ...]) -> int:
    """Return how many were at the provider together, at most."""
    spans = [(e.started_s or 0.0, e.ended_s or 0.0) for e in executions]
    return max(sum(begin <= at < end for begin, end in spans) for at, _ in spans)


def test_the_same_rehearsal_says_the_same_and_all_plays_see_everything() -> None:
    first, second = (rehearse(STAGE, plays=3) for _ in range(2))
    assert first.finishes_s == second.finishes_s
    assert len(first.delays_s) == 3 * STAGE.runs
    assert min(first.delays_s) >= 0
    assert first.finish_s(0.5) < first.finish_s(0.9)
    assert first.chance_by(first.finish_s(0.9)) == pytest.approx(0.9, abs=0.01)
    assert first.chance_by(0.0) == 0.01


def test_a_play_has_the_work_of_its_share() -> None:
    little, middle, much = (mean(world_of(STAGE, share=share).drawn[OURS]) for share in (0.1, 0.5, 0.9))
    assert little < middle < much
    assert middle == pytest.approx(10, rel=0.02)
    unknown = replace(STAGE, durations=Durations())
    few, many = (mean(world_of(unknown, share=share).drawn[OURS]) for share in (0.1, 0.9))
    assert many / few > 2 * much / little


def test_single_launches_keep_to_their_slots_and_waves_to_their_width() -> None:
    singles = play(world_of(SINGLES, share=0.5))
    assert most_at_once(singles.executions) == 4
    assert singles.launches == STAGE.runs
    waves = play(world_of(STAGE, share=0.5))
    assert most_at_once(waves.executions) <= STAGE.slot_limit
    assert waves.launches < 5


@pytest.mark.parametrize("stage", [STAGE, SINGLES])
def test_an_outage_delays_what_is_seen_and_nothing_is_launched_in_it(stage: Stage) -> None:
    calm = play(world_of(stage, share=0.5))
    out = play(world_of(replace(stage, outages=(Outage(from_s=20, lasts_s=600),)), share=0.5))
    assert out.finish_s > 600 > calm.finish_s
    assert max(out.delays_s) > 300
    assert not [e for e in out.executions if e.seen_s is not None and 20.2 < e.seen_s < 620]
    if stage.wave_size == 1:
        assert not [e for e in out.executions if 20.2 < (e.started_s or 0.0) < 620]


def test_others_on_the_key_make_it_later() -> None:
    alone = play(world_of(SINGLES, share=0.5))
    rivals = (Rival(runs=100, mean_s=10.0, shares_slots=True), Rival(runs=50, mean_s=5.0, shares_slots=False))
    beside = play(world_of(replace(SINGLES, rivals=rivals), share=0.5))
    assert beside.finish_s > alone.finish_s * 1.2
    assert len(beside.executions) == SINGLES.runs


def test_plain_backoff_meets_the_same_outage_and_loses_what_it_sees_late() -> None:
    long = replace(STAGE, runs=1500, width=15, durations=Durations(count=60, log_mean=math.log(2), log_var=0.1))
    plain = play_backoff(world_of(long, share=0.5))
    own = play(world_of(long, share=0.5))
    assert own.at_risk == own.dead == 0
    assert max(plain.delays_s) > 1.5 * max(own.delays_s)
    outage = replace(STAGE, outages=(Outage(from_s=5, lasts_s=4000),))
    assert play_backoff(world_of(outage, share=0.5)).at_risk > 0


def test_what_binds_is_seen_in_a_play() -> None:
    slots = rehearse(replace(STAGE, durations=replace(KNOWN, log_mean=math.log(60))), plays=1)
    assert slots.bound_by is Bound.SLOTS
    assert slots.shares.slots > 0.8
    rate = rehearse(replace(STAGE, runs=400, width=15, durations=replace(KNOWN, log_mean=math.log(1.5))), plays=1)
    assert rate.bound_by is Bound.RATE
    for shares in (slots.shares, rate.shares):
        assert shares.slots + shares.rate + shares.outage + shares.rest == pytest.approx(1.0)


def test_large_batches_are_played_fewer_times_and_one_play_has_the_spread_of_its_forecast() -> None:
    assert plays_for(replace(STAGE, runs=20)) == MOST_PLAYS
    assert plays_for(replace(STAGE, runs=10_000)) == 1
    one = rehearse(replace(STAGE, runs=100), plays=1)
    assert one.finish_s(0.9) / one.finish_s(0.5) == pytest.approx(one.told.p90_s / one.told.p50_s)


def test_what_is_known_at_the_beginning_is_what_the_product_begins_with() -> None:
    engine = VirtualLaunches(world_of(STAGE, share=0.5))
    assert engine.lane.workflows[OURS].durations == KNOWN
