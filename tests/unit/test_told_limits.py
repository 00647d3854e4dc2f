"""A budget after the provider told how its own count stands: never more than it would take, never more than ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.governor import Budget, CallKind, Elsewhere
from orchestrator.domain.heard import RateSaid
from tests.unit.facts import NOW, back_at, few, s, spent

LAUNCH, LOOK, OTHER = CallKind.LAUNCH, CallKind.LOOK, CallKind.OTHER

tokens = st.builds(
    lambda back_s, kind, count: spent(NOW + s(back_s), kind, count),
    st.floats(-5, 60), st.sampled_from([*CallKind]), st.integers(1, 30),
)  # fmt: skip
elsewhere = st.builds(
    lambda count, one_s, until_s: Elsewhere(count=count, one_back_at=NOW + s(one_s), until=NOW + s(until_s)),
    st.integers(1, 200), st.floats(-60, 60), st.floats(-60, 60),
)  # fmt: skip
budgets = st.builds(
    lambda limit, spent, flying, told, others: Budget(
        limit=limit, spent=tuple(spent), in_flight=flying, told_limit=told, elsewhere=others
    ),
    st.integers(1, 300), st.lists(tokens, max_size=5),
    st.dictionaries(st.sampled_from([*CallKind]), st.integers(0, 20), max_size=3),
    st.none() | st.integers(1, 300), st.none() | elsewhere,
)  # fmt: skip
said = st.builds(
    lambda limit, remaining, reset_s: RateSaid(limit=limit, remaining=remaining, reset_s=reset_s),
    st.none() | st.integers(1, 10**6), st.none() | st.integers(0, 10**6), st.none() | st.floats(0, 86_400),
)  # fmt: skip


def bare(budget: Budget) -> Budget:
    """Return a budget by our own count alone."""
    return replace(budget, told_limit=None, elsewhere=None)


@few
@given(budgets, said, st.floats(0, 59.9))
def test_never_more_leaves_than_remains_nor_than_by_our_own_count(
    budget: Budget, told: RateSaid, later_s: float
) -> None:
    heard = budget.heard(told, now=NOW)
    for kind in CallKind:
        assert heard.grant(kind, 1_000, now=NOW) <= heard.free(NOW) <= bare(budget).free(NOW)
    assert heard.paced(1_000, now=NOW) <= heard.free(NOW)
    if told.remaining is not None:
        assert heard.free(NOW) <= max(0, told.remaining - sum(budget.in_flight.values()))
        # Later no more may leave than tokens of ours came back meanwhile, and the one that asks how it stands by then.
        at = NOW + s(later_s)
        came_back = sum(t.tokens for t in budget.spent if NOW < back_at(t) <= at)
        assert heard.free(at) <= max(0, told.remaining - sum(budget.in_flight.values())) + came_back + 1


@few
@given(budgets, said)
def test_a_lower_limit_is_kept_and_a_higher_one_is_not_taken(budget: Budget, told: RateSaid) -> None:
    heard = budget.heard(told, now=NOW)
    if told.limit is not None:
        assert heard.most == min(budget.limit, told.limit)
        assert heard.told_limit == (told.limit if told.limit < budget.limit else None)
    else:
        assert heard.told_limit == budget.told_limit


@few
@given(budgets, said)
def test_what_others_spent_is_over_after_a_window_and_is_carried_until_then(budget: Budget, told: RateSaid) -> None:
    heard = replace(budget, spent=(), in_flight={}).heard(told, now=NOW)
    assert heard.spend(LOOK, [1.0], now=NOW).elsewhere == heard.elsewhere
    if told.remaining is not None:
        assert heard.free(NOW + s(60)) == heard.most
    assert heard.next_free_at(NOW) <= NOW + timedelta(seconds=60)


def test_the_last_word_counts() -> None:
    budget = Budget(limit=100, in_flight={}).heard(RateSaid(limit=60, remaining=0, reset_s=20), now=NOW)
    assert (budget.most, budget.free(NOW), budget.next_free_at(NOW)) == (60, 0, NOW + s(20))
    assert budget.free(NOW + s(20)) == 1, "one may ask how it stands by then"
    again = budget.heard(RateSaid(limit=120, remaining=90), now=NOW + s(20))
    assert (again.most, again.free(NOW + s(20)), again.told_limit) == (100, 90, None)


def test_what_is_just_recorded_may_still_stand_as_in_flight() -> None:
    recording = Budget(limit=100, in_flight={LOOK: 50}).spend(LOOK, [0.0] * 50, now=NOW)
    heard = recording.heard(RateSaid(limit=100, remaining=10), now=NOW)
    assert replace(heard, in_flight={}).free(NOW) == 10


def test_where_nobody_else_uses_the_key_nothing_is_held_back() -> None:
    ours = Budget(limit=100, in_flight={LAUNCH: 2}).spend(LOOK, [0.0] * 30, now=NOW)
    # The provider forgot five of ours already, and has not seen the two that are on the wire.
    assert ours.heard(RateSaid(limit=100, remaining=75), now=NOW).elsewhere is None
    assert ours.heard(RateSaid(limit=100, remaining=60), now=NOW).free(NOW) == 58
