"""A walk through a provider's lists: what it asks for, what it believes, and when it has had enough."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.domain import listing
from orchestrator.domain.answers import ExecutionPage, Listed, Observation, RemoteStatus, Standing
from orchestrator.domain.listing import SKEW, Sought, Walk

T0 = datetime(2026, 9, 1, tzinfo=UTC)
RUNNING, DONE, FAILED = RemoteStatus.RUNNING, RemoteStatus.FINISHED, RemoteStatus.FAILED


def sought(*ids: str) -> list[Sought]:
    return [
        Sought(
            execution_id=id,
            workflow_id="POSTS",
            sent_at=T0 + timedelta(minutes=n),
            known_at=T0 + timedelta(minutes=n, seconds=1),
        )
        for n, id in enumerate(ids)
    ]


def page(*shown: tuple[str, RemoteStatus], cursor: str | None = None) -> ExecutionPage:
    return ExecutionPage(
        executions=tuple(
            Listed(execution_id=id, workflow_id="POSTS", created_at=T0, seen=Observation(status=status, word=status))
            for id, status in shown
        ),
        cursor=cursor,
    )


def walked(walk: Walk, pages: Sequence[ExecutionPage]) -> Walk:
    for one in pages:
        assert walk.ask is not None, "it had enough"
        walk.take(one)
    return walk


def statuses(walk: Walk) -> dict[str, RemoteStatus]:
    return {id: seen.status for id, seen in walk.seen.items()}


def test_where_all_are_alive_the_ended_ones_are_not_asked_for() -> None:
    walk = walked(Walk(sought("a", "b"), most_requests=9), [page(("a", RUNNING), ("other", RUNNING), ("b", RUNNING))])
    assert walk.ask is None and not walk.unseen and walk.requests == 1


def test_the_ended_are_asked_for_from_the_oldest_that_is_missing() -> None:
    walk = Walk(sought("a", "b", "c", "d", "e"), most_requests=9)
    first = walk.ask
    assert first is not None and (first.standing, first.since) == (Standing.LIVE, T0 - SKEW)
    walk.take(page(("a", RUNNING), ("b", RUNNING)))
    ask = walk.ask
    assert ask is not None and ask.standing is Standing.ENDED and ask.workflow_ids == ("POSTS",)
    assert ask.since == T0 + timedelta(minutes=2) - SKEW
    assert ask.until == T0 + timedelta(minutes=4, seconds=1) + SKEW
    walked(walk, [page(("e", DONE), ("x", DONE), cursor="more"), page(("d", DONE), ("c", FAILED), cursor="and more")])
    assert walk.ask is None, "all were found: the rest of the list is others'"
    assert statuses(walk) == {"a": RUNNING, "b": RUNNING, "c": FAILED, "d": DONE, "e": DONE}


def test_one_that_ends_between_the_two_lists_has_ended_whatever_the_order_of_the_pages() -> None:
    pages = [page(("a", RUNNING)), page(("a", DONE), ("a", RUNNING), ("a", FAILED), cursor="c"), page(("b", DONE))]
    assert statuses(walked(Walk(sought("a", "b", "c", "d"), most_requests=9), pages))["a"] is DONE


def test_what_whole_lists_do_not_show_is_an_anomaly() -> None:
    walk = walked(Walk(sought("a", "b", "c"), most_requests=9), [page(("a", RUNNING)), page(("x", DONE))])
    assert walk.ask is None and walk.alone == {"b", "c"}


def test_a_few_that_are_left_are_not_looked_for_through_ever_more_pages() -> None:
    pages = [page(("a", RUNNING)), page(("x", DONE), cursor="1"), page(("y", DONE), cursor="2")]
    walk = walked(Walk(sought("a", "b", "c"), most_requests=9), pages)
    assert walk.ask is None and walk.alone == {"b", "c"}, "two pages in vain, two single looks"


def test_a_list_without_an_end_stops_at_the_requests_that_were_granted_and_accuses_nobody() -> None:
    walk = Walk(sought("a", "b"), most_requests=5)
    for n in range(5):
        assert walk.ask is not None
        walk.take(page((f"x{n}", RUNNING), cursor=str(n)))
    assert walk.ask is None and walk.unseen == {"a", "b"} and not walk.alone


def test_a_list_that_leads_back_into_itself_is_left() -> None:
    pages = [page(("a", RUNNING), cursor="1"), page(cursor="2"), page(cursor="1")]
    walk = walked(Walk(sought("a", "b"), most_requests=50), pages)
    assert walk.ask is None and walk.unseen == {"b"} and not walk.alone


def test_the_same_cursor_may_lead_on_in_both_lists() -> None:
    pages = [page(("a", RUNNING), cursor="1"), page(), page(cursor="1"), page(("b", DONE), ("c", DONE), ("d", DONE))]
    assert not walked(Walk(sought("a", "b", "c", "d"), most_requests=9), pages).unseen


@pytest.mark.parametrize(("due", "live", "is_worth_it"), [(1, 1, False), (2, 5, False), (3, 5, True), (7, 1000, True)])
def test_a_list_is_made_where_it_costs_less_than_single_looks(due: int, live: int, is_worth_it: bool) -> None:
    assert listing.pays(due, live, page_items=200) is is_worth_it


def test_lists_of_a_few_are_frequent_and_those_of_many_take_a_quarter_of_the_budget() -> None:
    few = listing.next_list_s(2, 5, page_items=200, limit=120, mean_s=60)
    many = listing.next_list_s(14, 1000, page_items=200, limit=120, mean_s=60)
    slow = listing.next_list_s(14, 1000, page_items=200, limit=6000, mean_s=3600)
    assert (few, many, slow) == (4.0, 28.0, listing.LONGEST_S)


@pytest.mark.parametrize("limit", [1, 5, 120, 10_000])
def test_a_list_never_takes_more_than_half_of_a_window_but_for_the_two_requests_that_it_needs(limit: int) -> None:
    for live in (1, 200, 201, 5_000):
        most = listing.most_requests(live, page_items=200, limit=limit)
        assert 2 <= most <= max(2, limit / 2, 0) and most <= listing.MOST_REQUESTS
