"""Webhooks: what is told of a change, when a try is made again, and when a webhook is given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain import webhooks
from orchestrator.domain.chain import NewEvent
from orchestrator.domain.changes import Change, InboxKind, RunError
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.domain.webhooks import GIVEN_UP_AFTER, LONGEST_REST_S, RETRIES_S, DeliveryState, Health, WebhookAnswer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = WebhookAnswer(status=204, error=None)
BAD = WebhookAnswer(status=500, error="it answered 500")


def told(**fields: object) -> dict[str, dict[str, object]]:
    change = Change(run_id=UUID(int=1), **fields)  # type: ignore[arg-type]
    return dict(webhooks.of_change(change, attempt=2))


def test_an_ending_is_told_with_its_code_and_without_its_words() -> None:
    found = told(was=S.PROCESSING, to=S.ERROR, error=RunError(code="provider_error", message="for John"))
    assert found == {"run.error": {"status": "error", "attempt": 2, "error_code": "provider_error"}}


def test_questions_and_standstills_are_told_and_ordinary_moves_are_not() -> None:
    assert list(told(was=S.LAUNCHING, to=S.IN_DOUBT, opens=InboxKind.DOUBT)) == ["doubt.opened"]
    assert list(told(was=S.PROCESSING, to=S.HUMAN_IN_THE_LOOP, opens=InboxKind.HUMAN)) == ["human.needed"]
    late = told(was=S.PROCESSING, to=S.PROCESSING, events=(NewEvent(type="overdue", data={"minutes": 21}),))
    assert late["run.no_progress"]["minutes"] == 21
    assert told(was=S.LAUNCHING, to=S.PROCESSING) == told(was=S.LAUNCHING, to=S.IN_DOUBT) == {}
    assert told(was=S.FINISHED, to=S.FINISHED) == {}, "what has ended already is not told again"


@pytest.mark.parametrize("name", webhooks.EVENTS)
def test_every_type_can_be_asked_for_alone_and_by_its_family(name: str) -> None:
    assert {name, name.split(".")[0] + ".*"} <= set(webhooks.PATTERNS)


@given(st.floats(0, 1, exclude_max=True))
def test_a_delivery_is_tried_ten_times_over_three_days_and_given_up(unit: float) -> None:
    at = NOW
    for tries, wait_s in enumerate(RETRIES_S, start=1):
        verdict = webhooks.after(BAD, tries=tries, now=at, unit=unit)
        assert verdict.due_at is not None
        assert wait_s <= (verdict.due_at - at).total_seconds() <= wait_s * 1.1
        at = verdict.due_at
    assert timedelta(days=3) < at - NOW < timedelta(days=4)
    assert webhooks.after(BAD, tries=10, now=at, unit=unit).state is DeliveryState.FAILED
    assert webhooks.after(GOOD, tries=10, now=at, unit=unit).state is DeliveryState.DELIVERED


def test_a_wish_to_wait_is_granted_and_never_shortens_the_schedule() -> None:
    asks = WebhookAnswer(status=429, error="it answered 429", retry_after_s=600)
    for tries, wait_s in ((1, 600), (3, 1800)):
        assert webhooks.after(asks, tries=tries, now=NOW, unit=0).due_at == NOW + timedelta(seconds=wait_s)


def test_a_webhook_rests_ever_longer_while_nothing_comes_through() -> None:
    health, rests = Health(), []
    for _ in range(12):
        health = webhooks.health_after(health, [BAD, BAD], now=NOW)
        assert health.rests_until is not None
        rests.append((health.rests_until - NOW).total_seconds())
    assert rests == sorted(rests) and (rests[0], rests[-1]) == (1, LONGEST_REST_S)
    assert webhooks.health_after(health, [BAD, GOOD], now=NOW) == Health(), "one that came through ends it"


def test_a_webhook_is_given_up_after_five_days_or_at_its_own_wish() -> None:
    since = NOW - GIVEN_UP_AFTER
    failing = Health(failing_since=since + timedelta(seconds=1))
    assert webhooks.health_after(failing, [BAD], now=NOW).disabled_because is None
    assert webhooks.health_after(Health(failing_since=since), [BAD], now=NOW).disabled_because is not None
    gone = WebhookAnswer(status=410, error="gone")
    assert webhooks.health_after(Health(), [GOOD, gone], now=NOW).disabled_because is not None
    assert webhooks.after(gone, tries=1, now=NOW, unit=0).state is DeliveryState.FAILED
