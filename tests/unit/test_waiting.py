"""Why a run waits: one reason for everything that lives, the one that holds it, and none that is past."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.statuses import LIVE
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.domain.waiting import Surroundings, why
from tests.unit.facts import NOW, few, s

LATER, EARLIER = NOW + s(30), NOW - s(30)
moments = st.sampled_from([None, EARLIER, LATER])
words = st.sampled_from([None, "because"])
counts = st.sampled_from([None, 0, 10])


@few
@given(
    st.builds(
        Surroundings,
        status=st.sampled_from(S),
        now=st.just(NOW),
        due_at=moments,
        in_hand=st.booleans(),
        of_batch=st.booleans(),
        looked_at=moments,
        batch_paused_because=words,
        connection_is_paused=st.booleans(),
        launches_stopped=words,
        breaker_until=moments,
        breaker_is_open=st.booleans(),
        workflow_blocked_until=moments,
        workflow_blocked_because=words,
        lane_blocked_until=moments,
        slots_used=counts,
        slot_limit=counts,
        free_at=moments,
        last_failure=words,
    )
)
def test_every_live_run_has_a_reason_in_words_and_an_ended_one_has_none(around: Surroundings) -> None:
    reason = why(around)
    assert (reason is not None) is (around.status in LIVE)
    if reason is not None:
        assert reason.code
        assert len(reason.message) > 10
        assert not reason.message[0].isupper()


#: From the outermost hindrance to the innermost: each is told only when those before it are gone.
HINDRANCES: list[tuple[dict[str, Any], str]] = [
    ({"batch_paused_because": "a person"}, "pause"),
    ({"connection_is_paused": True}, "pause"),
    ({"launches_stopped": "key_refused"}, "stopped"),
    ({"breaker_is_open": True, "breaker_until": LATER}, "provider"),
    ({"workflow_blocked_until": LATER}, "slots"),
    ({"lane_blocked_until": LATER}, "rate"),
    ({"slots_used": 10, "slot_limit": 10}, "slots"),
    ({"free_at": LATER}, "rate"),
    ({"of_batch": True}, "wave"),
    ({}, "lease"),
]


@pytest.mark.parametrize("n", range(len(HINDRANCES)), ids=lambda n: f"{n}-{HINDRANCES[n][1]}")
def test_a_queued_run_names_the_outermost_thing_that_holds_it(n: int) -> None:
    around: dict[str, Any] = {}
    for hindrance, _ in HINDRANCES[n:]:
        around |= hindrance
    reason = why(Surroundings(status=S.QUEUED, now=NOW, **around))
    assert reason is not None
    assert reason.code == HINDRANCES[n][1]


def test_what_is_past_holds_nobody() -> None:
    past = Surroundings(
        status=S.QUEUED, now=NOW, workflow_blocked_until=NOW, lane_blocked_until=EARLIER, free_at=EARLIER,
        slots_used=9, slot_limit=10,
    )  # fmt: skip
    reason = why(past)
    assert reason is not None
    assert (reason.code, reason.until) == ("lease", NOW)


@pytest.mark.parametrize(
    "around",
    [
        {"status": S.IN_DOUBT, "due_at": LATER},
        {"status": S.QUEUED, "batch_paused_because": "a person", "due_at": LATER},
        {"status": S.QUEUED, "connection_is_paused": True, "due_at": LATER},
        {"status": S.QUEUED, "launches_stopped": "key_refused", "due_at": LATER},
    ],
    ids=["doubt", "paused batch", "paused connection", "stopped"],
)
def test_what_only_a_person_can_move_has_no_time(around: dict[str, Any]) -> None:
    reason = why(Surroundings(now=NOW, **around))
    assert reason is not None
    assert reason.until is None


@pytest.mark.parametrize(
    ("around", "code", "until"),
    [
        ({"due_at": LATER}, "provider", LATER),
        ({"due_at": LATER, "in_hand": True}, "lease", LATER),
        ({"due_at": LATER, "lane_blocked_until": NOW + s(99)}, "rate", NOW + s(99)),
        ({"due_at": EARLIER, "free_at": LATER}, "rate", LATER),
        ({"due_at": LATER, "free_at": NOW + s(5)}, "provider", LATER),
        ({}, "provider", None),
    ],
)
def test_a_run_at_the_provider_says_when_it_is_looked_at_next(around: dict[str, Any], code: str, until: object) -> None:
    reason = why(Surroundings(status=S.PROCESSING, now=NOW, **around))
    assert reason is not None
    assert (reason.code, reason.until) == (code, until)


def test_a_result_that_is_fetched_again_says_what_went_wrong() -> None:
    reason = why(Surroundings(status=S.DOWNLOADING, now=NOW, due_at=LATER, last_failure="the host answered 503"))
    assert reason is not None
    assert "the host answered 503" in reason.message


@pytest.mark.parametrize(
    ("around", "code", "message"),
    [
        ({}, "results", "its results are fetched next; the URL dies in 32 min"),
        ({"in_hand": True}, "lease", "its results are being fetched now; the URL dies in 32 min"),
        (
            {"last_failure": "not_sent: connection refused", "tries": 4},
            "results",
            "the file's host cannot be reached (connection refused), tried 4 times, next try at 12:00:30Z;"
            " the URL dies in 32 min",
        ),
        (
            {"last_failure": "store_full: no space is left", "files_total": 5, "files_stored": 3},
            "store",
            "the artifact store is full or read-only: no space is left; tried again and again, resumes by itself;"
            " 3 of 5 files stored; the first URL dies in 32 min",
        ),
        (
            {"last_failure": "gone: 403", "asks_fresh_urls": True, "tries": 1, "results_expire_at": EARLIER},
            "results",
            "the provider is asked for fresh URLs: 403, tried 1 time, next try at 12:00:30Z; the URL has died",
        ),
        ({"files_total": 2, "files_stored": 1, "results_expire_at": NOW + s(59)}, "results",
         "its results are fetched next; 1 of 2 files stored; the URL dies in 59 s"),
    ],
    ids=["next", "in hand", "host away", "store full", "fresh URLs", "seconds"],
)  # fmt: skip
def test_a_result_that_waits_says_why_and_how_long_it_can_be_had(
    around: dict[str, Any], code: str, message: str
) -> None:
    known: dict[str, Any] = {"files_total": 1, "due_at": LATER, "results_expire_at": NOW + s(32 * 60), **around}
    reason = why(Surroundings(status=S.DOWNLOADING, now=NOW, **known))
    assert reason is not None
    assert (reason.code, reason.message, reason.until) == (code, message, LATER)
