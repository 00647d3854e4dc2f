"""Resets of launches come by number: every campaign meets them, and never two of them in a row."""

from __future__ import annotations

import itertools

import pytest

from orchestrator.domain.planner import FIRST_WAVE
from sandbox.calls import Kind
from sandbox.rules import Rules, Subject
from tests.chaos.campaign import LONG_ITEMS, fired, resets, unstruck
from tests.chaos.submitter import LARGEST_BATCH

SLICE_ITEMS = 60


def struck(items: int, kind: Kind, requests: int) -> list[str | None]:
    """Return what the provider does to so many launches of a kind, one after the other."""
    rules = Rules(seed=1)
    rules.add(resets(items))
    subject = Subject(kind=kind, key="sk-main", workflow_id="w", execution_id="", hints=())
    return [rule.fault if (rule := rules.pick(subject)) else None for _ in range(requests)]


def test_every_nth_launch_is_reset_before_and_after_in_turn() -> None:
    before, after = "reset_before", "reset_after"
    assert struck(SLICE_ITEMS, Kind.BATCH, 8) == [None, before, None, after] * 2
    assert struck(SLICE_ITEMS, Kind.LAUNCH, 12) == [*[None] * 5, before, *[None] * 5, after]


@pytest.mark.parametrize("items", [SLICE_ITEMS, LONG_ITEMS, 2_000, 20_000])
@pytest.mark.parametrize("kind", [Kind.LAUNCH, Kind.BATCH])
def test_never_two_launches_in_a_row_are_reset_however_long_it_lasts(items: int, kind: Kind) -> None:
    came = struck(items, kind, min(items, 800))
    assert not [pair for pair in itertools.pairwise(came) if all(pair)]
    first, second = [n for n, fault in enumerate(came) if fault][:2]
    assert {came[first], came[second]} == {"reset_before", "reset_after"}
    assert came[-second:].count(None) < second, "and they do not stop before the work does"


@pytest.mark.parametrize("singly", range(SLICE_ITEMS + 1))
def test_the_suites_slice_meets_a_reset_however_its_items_are_launched(singly: int) -> None:
    """So many go one by one; the rest in the fewest waves: the first of a new workflow is small, the others whole."""
    rest = SLICE_ITEMS - singly
    waves = min(rest, 1) + -(-max(rest - FIRST_WAVE, 0) // LARGEST_BATCH)
    assert any(struck(SLICE_ITEMS, Kind.LAUNCH, singly) + struck(SLICE_ITEMS, Kind.BATCH, waves))


def test_a_long_campaign_that_missed_a_reset_says_so() -> None:
    names = fired(resets(LONG_ITEMS))
    assert sorted(names) == sorted(
        f"{fault} of {kind}" for fault in ("reset_after", "reset_before") for kind in ("batch", "launch")
    )
    seen = dict.fromkeys(names, 1)
    assert unstruck(seen, items=LONG_ITEMS) == []
    assert unstruck({**seen, "reset_after of batch": 0}, items=LONG_ITEMS) == ["never struck: reset_after of batch"]
