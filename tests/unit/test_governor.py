"""The request budget of a lane: never over the limit where it is counted, nearly all of it used, nobody starved."""

from __future__ import annotations

import heapq
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.governor import MIN_SHARES, Budget, CallKind, launches_at_once
from tests.unit.facts import NOW, back_at, few, s, spent

LAUNCH, LOOK, OTHER = CallKind.LAUNCH, CallKind.LOOK, CallKind.OTHER


@dataclass
class Lane:
    """A lane in virtual time: grants leave, arrive somewhere on their way, are answered, and are recorded later."""

    limit: int
    seed: int
    longest_s: float
    record_lag_s: float = 0.0
    arrivals: list[float] = field(default_factory=list)
    served: Counter[CallKind] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        self.budget = Budget(limit=self.limit, in_flight={})
        self.pending: list[tuple[float, int, CallKind, float, int]] = []

    def run(self, until_s: float, ask: Callable[[Lane, float], Sequence[tuple[CallKind, int]]], step_s: float) -> None:
        """Ask for tokens every `step_s`, and record what was answered, until the time is over."""
        at_s = 0.0
        while at_s < until_s:
            self._record(at_s)
            wishes = ask(self, at_s)
            for kind, wanted in wishes:
                self._send(kind, wanted, at_s, waiting=[other for other, _ in wishes if other != kind])
            at_s += step_s * (0.5 + self.draw.random())

    def _send(self, kind: CallKind, wanted: int, at_s: float, waiting: list[CallKind]) -> None:
        now = NOW + s(at_s)
        granted = self.budget.grant(kind, wanted, now=now, waiting=waiting)
        assert 0 <= granted <= min(wanted, self.budget.free(now))
        if not granted:
            return
        flying = dict(self.budget.in_flight)
        flying[kind] = flying.get(kind, 0) + granted
        self.budget = replace(self.budget, in_flight=flying)
        self.served[kind] += granted
        for _ in range(granted):
            latency_s = self.draw.uniform(0, self.longest_s)
            # It arrives anywhere between the send and the answer: that is the provider's clock, not ours.
            self.arrivals.append(at_s + self.draw.random() * latency_s)
            answered_s = at_s + latency_s
            recorded_s = answered_s + self.draw.random() * self.record_lag_s
            heapq.heappush(self.pending, (recorded_s, len(self.arrivals), kind, answered_s, 1))

    def _record(self, at_s: float) -> None:
        while self.pending and self.pending[0][0] <= at_s:
            _, _, kind, answered_s, count = heapq.heappop(self.pending)
            now = NOW + s(at_s)
            flying = {**self.budget.in_flight, kind: self.budget.in_flight[kind] - count}
            self.budget = replace(self.budget, in_flight=flying).spend(kind, [at_s - answered_s] * count, now=now)

    def busiest_minute(self) -> int:
        """Return the most arrivals in any 60 s, both ends taken in but for a hair."""
        arrivals = sorted(self.arrivals)
        return max((bisect_right(arrivals, at + 60.0 - 1e-5) - n for n, at in enumerate(arrivals)), default=0)


def greedy(lane: Lane, _at_s: float) -> Sequence[tuple[CallKind, int]]:
    """Ask for more than there is, of everything, in any order."""
    kinds = [LAUNCH, LOOK, OTHER]
    lane.draw.shuffle(kinds)
    return [(kind, lane.draw.randint(0, 30)) for kind in kinds]


@few
@given(
    seed=st.integers(0, 10**6),
    limit=st.integers(1, 60),
    longest_s=st.sampled_from([0.0, 0.3, 4.0, 30.0]),
    record_lag_s=st.sampled_from([0.0, 2.0, 90.0]),
)
def test_no_sixty_seconds_at_the_provider_ever_hold_more_than_the_limit(
    seed: int, limit: int, longest_s: float, record_lag_s: float
) -> None:
    lane = Lane(limit=limit, seed=seed, longest_s=longest_s, record_lag_s=record_lag_s)
    lane.run(200, greedy, step_s=3)
    assert lane.arrivals
    assert lane.busiest_minute() <= limit


def test_a_hundred_a_minute_with_latencies_up_to_thirty_seconds_never_become_a_hundred_and_one() -> None:
    lane = Lane(limit=100, seed=3, longest_s=30.0, record_lag_s=0.5)
    lane.run(600, greedy, step_s=1)
    assert lane.busiest_minute() <= 100


def test_endless_demand_at_small_latency_uses_nearly_all_of_the_budget() -> None:
    lane = Lane(limit=100, seed=2, longest_s=0.3)
    lane.run(660, greedy, step_s=0.25)
    steady = [at for at in lane.arrivals if 60 <= at < 660]
    assert len(steady) >= 0.95 * 100 * 10


@pytest.mark.parametrize(("limit", "seed"), [(2, 1), (3, 2), (7, 3), (100, 4)])
def test_launches_and_looks_keep_their_shares_while_both_ask_without_end(seed: int, limit: int) -> None:
    lane = Lane(limit=limit, seed=seed, longest_s=1.0)
    lane.run(400, lambda _lane, _at: [(LOOK, 10), (LAUNCH, 10)], step_s=1.0)
    minutes = 400 / 60
    for kind in (LAUNCH, LOOK):
        share = max(1, int(MIN_SHARES[kind] * limit))
        assert lane.served[kind] >= 0.8 * share * (minutes - 1), kind


@pytest.mark.parametrize("limit", [2, 3, 6, 20, 100])
@pytest.mark.parametrize("kind", [LAUNCH, LOOK])
def test_a_kind_that_had_nothing_yet_gets_a_token_however_greedy_the_other_was_before(
    limit: int, kind: CallKind
) -> None:
    other = LOOK if kind is LAUNCH else LAUNCH
    taken = Budget(limit=limit, in_flight={}).grant(other, 10_000, now=NOW, waiting=[kind])
    left = Budget(limit=limit, in_flight={other: taken})
    assert left.grant(kind, 1, now=NOW, waiting=[other]) == 1


def test_a_token_that_comes_back_goes_to_the_kind_that_is_below_its_share() -> None:
    out = (spent(NOW + s(30), LOOK, 89), spent(NOW + s(30), LAUNCH, 10))
    budget = Budget(limit=100, spent=out, in_flight={})
    assert budget.free(NOW) == 1
    assert budget.grant(LOOK, 10, now=NOW, waiting=[LAUNCH]) == 0
    assert budget.grant(LAUNCH, 10, now=NOW, waiting=[LOOK]) == 1
    assert budget.grant(LOOK, 10, now=NOW) == 1, "nobody waits: nothing is kept back"


budgets = st.builds(
    Budget,
    limit=st.integers(1, 200),
    spent=st.lists(
        st.builds(
            spent,
            st.floats(-60, 60).map(lambda at: NOW + s(at)),
            st.sampled_from(CallKind),
            st.integers(1, 50),
        ),
        max_size=6,
        unique_by=lambda known: (known.back_ms, known.kind),
    ).map(tuple),
    in_flight=st.dictionaries(st.sampled_from(CallKind), st.integers(0, 80)),
)
kinds = st.sampled_from(CallKind)


@few
@given(budgets, kinds, st.integers(-5, 300), st.lists(kinds, max_size=3, unique=True))
def test_a_grant_is_never_above_what_is_free_or_wanted(
    budget: Budget, kind: CallKind, wanted: int, waiting: list[CallKind]
) -> None:
    granted = budget.grant(kind, wanted, now=NOW, waiting=waiting)
    assert 0 <= granted <= max(0, min(wanted, budget.free(NOW)))
    assert 0 <= budget.free(NOW) <= budget.limit
    assert granted <= budget.grant(kind, wanted, now=NOW), "others that wait take, they never give"


@few
@given(kinds, st.lists(st.floats(0, 120), max_size=20))
def test_a_token_comes_back_a_minute_after_its_answer_and_at_most_a_slot_later(
    kind: CallKind, ago_s: list[float]
) -> None:
    out = Budget(limit=100, in_flight={}).spend(kind, ago_s, now=NOW).spent
    back = [back_at(known) for known in out for _ in range(known.tokens)]
    for at, ago in zip(sorted(back), sorted(ago_s, reverse=True), strict=True):
        assert s(60 - ago) < at - NOW + s(1e-5), "never early"
        assert at - NOW <= s(60 - ago + 0.25) + s(1e-5), "late by a slot at most"


@few
@given(budgets)
def test_the_next_free_moment_is_now_exactly_when_something_is_free(budget: Budget) -> None:
    at = budget.next_free_at(NOW)
    assert (at == NOW) is (budget.free(NOW) > 0)
    assert NOW <= at <= NOW + s(60)


def test_what_was_never_sent_costs_nothing() -> None:
    budget = Budget(limit=10, in_flight={})
    assert budget.spend(LAUNCH, [], now=NOW).free(NOW) == 10


def test_a_limit_that_was_lowered_leaves_nothing_free_until_the_old_tokens_are_back() -> None:
    out = (spent(NOW + s(10), LOOK, 100),)
    budget = Budget(limit=20, spent=out, in_flight={})
    assert budget.free(NOW) == 0
    assert budget.free(NOW + s(10)) == 20


def test_the_row_of_a_busy_lane_stays_small() -> None:
    draw = random.Random(5)
    budget = Budget(limit=5000, in_flight={})
    for n in range(80):
        ago_s = [draw.random() * 5 for _ in range(50)]
        budget = budget.spend(draw.choice([LAUNCH, LOOK]), ago_s, now=NOW + s(n))
    assert len(budget.spent) <= 2 * (65 / 0.25)


def test_at_the_documented_limit_an_outage_costs_two_doubts() -> None:
    assert [launches_at_once(n) for n in (1, 60, 100, 299)] == [2, 2, 2, 2]
