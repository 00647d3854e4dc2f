"""The rate limit, both windows, and the sandbox's own count of what arrived."""

from typing import Any

import pytest

from sandbox.rates import Limit, Meter
from tests.sandbox.conftest import Client


def _limit(per_minute: int = 3, rate_window: str = "sliding", refused_count: bool = False) -> Limit:
    return Limit(per_minute, rate_window, refused_count)


def _admitted(moments: list[float], **options: Any) -> list[bool]:
    meter, limit = Meter(), _limit(**options)
    return [meter.admit(moment, limit) is None for moment in moments]


def test_a_sliding_window_frees_each_place_after_exactly_sixty_seconds() -> None:
    assert _admitted([600, 601, 602, 603, 659.9, 660, 660.5, 661]) == [
        True,
        True,
        True,
        False,
        False,
        True,
        False,
        True,
    ]


def test_a_fixed_window_frees_all_places_at_the_full_minute() -> None:
    moments = [658.0, 658.1, 658.2, 658.3, 660.0, 660.1, 660.2, 660.3]
    assert _admitted(moments, rate_window="fixed") == [True, True, True, False] * 2


def test_refused_requests_use_up_the_rate_only_when_told_so() -> None:
    moments = [600.0, 601, 602, 610, 611, 612, 662.5]
    assert _admitted(moments)[-1] is True
    assert _admitted(moments, refused_count=True)[-1] is False


def test_the_wait_is_the_time_until_a_place_is_free() -> None:
    meter, limit = Meter(), _limit(2)
    assert [meter.admit(moment, limit) for moment in (600.0, 610.0, 620.0)] == [None, None, 40.0]


def test_the_hundred_and_first_request_of_a_minute_is_refused(client: Client) -> None:
    statuses = [client.http.get(f"{client.free}").status_code for _ in range(101)]
    assert statuses == [200] * 100 + [429]
    refused = client.http.get("/workflows")
    assert list(refused.json()) == ["error"] and "retry-after" not in refused.headers
    client.sandbox.advance(60)
    assert client.http.get("/workflows").status_code == 200
    counted = client.sandbox.limits()["keys"]["sk-sandbox"]
    assert counted == {
        "requests": 103,
        "max_in_60_s": 102,
        "refused_by_rate": 2,
        "refused_by_slots": 0,
        "answered_429": 2,
    }


def test_the_rate_is_counted_per_key_even_within_an_account(client: Client) -> None:
    client.sandbox.options(requests_per_minute=1, keys={"sk-second": "main"})
    assert client.http.get("/workflows").status_code == 200
    assert client.http.get("/workflows").status_code == 429
    assert client.http.get("/workflows", headers={"x-api-key": "sk-second"}).status_code == 200
    client.sandbox.options(keys={"sk-second": None})


@pytest.mark.parametrize("style", ["seconds", "date"])
def test_a_refusal_can_say_when_to_come_again(client: Client, style: str) -> None:
    client.sandbox.options(requests_per_minute=1, retry_after=style)
    client.http.get("/workflows")
    value = client.http.get("/workflows").headers["retry-after"]
    assert value == "60" if style == "seconds" else value.endswith("GMT")


def test_a_full_workflow_refuses_with_429_and_no_retry_after_when_told_so(client: Client) -> None:
    client.sandbox.options(over_concurrent="refuse", retry_after="seconds")
    for _ in range(10):
        client.launch("duration_s=10")
    refused = client.http.post(f"{client.free}/executions", json={"input": {}})
    assert refused.status_code == 429 and "retry-after" not in refused.headers
    assert client.sandbox.limits()["keys"]["sk-sandbox"]["refused_by_slots"] == 1


def test_the_most_that_ran_at_a_time_is_observed_per_workflow(client: Client) -> None:
    client.launch_batch(30, "high")
    observed = {row["workflow_id"]: row["max_concurrent"] for row in client.sandbox.limits()["workflows"]}
    assert observed[client.free.rpartition("/")[2]] == 10


def test_downloads_use_up_the_rate_only_when_told_so(client: Client) -> None:
    url = client.finished()["results"][0]["url"]
    client.sandbox.options(requests_per_minute=2)
    assert client.outside.get(url).status_code == 200
    client.sandbox.options(downloads_count=True)
    assert client.outside.get(url).status_code == 429
