"""`GET /jobs` against the page's table of parameters: bounds, defaults, both forms of dates, comma lists."""

from typing import Any

import pytest

from tests.sandbox.conftest import Client
from tests.sandbox.test_scripe_api import refused


def ids(client: Client, **query: Any) -> list[str]:
    answer = client.scripe.get("/jobs", params=query)
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["data"]]


def moment(client: Client, job_id: str) -> str:
    return str(client.scripe.get(f"/jobs/{job_id}").json()["data"]["createdAt"])


def test_the_newest_jobs_come_first_fifty_of_them_unless_asked_otherwise(client: Client) -> None:
    made = [client.sandbox.add_job("KB_INGEST_TEXT", input={"n": n}) for n in range(201)][::-1]
    assert ids(client) == made[:50]
    assert ids(client, limit=1) == made[:1]
    assert ids(client, limit=200) == made[:200]
    page = client.scripe.get("/jobs", params={"limit": 200}).json()["pagination"]
    last = client.scripe.get("/jobs", params={"limit": 200, "cursor": page["next_cursor"]}).json()
    assert page["has_more"] and [one["id"] for one in last["data"]] == made[200:]
    assert last["pagination"] == {"next_cursor": None, "has_more": False}


def test_a_cursor_stays_where_it_is_while_jobs_are_added(client: Client) -> None:
    made = [client.sandbox.add_job("KB_INGEST_TEXT", input={"n": n}) for n in range(4)][::-1]
    cursor = client.scripe.get("/jobs", params={"limit": 2}).json()["pagination"]["next_cursor"]
    client.sandbox.add_job("KB_INGEST_TEXT", input={"n": "late"})
    assert ids(client, limit=2, cursor=cursor) == made[2:]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=", "limit=-1", "limit=ten", "limit=1.5", "cursor=nonsense", "cursor="]
)
def test_pages_out_of_bounds_are_refused(client: Client, query: str) -> None:
    assert refused(client.scripe.get(f"/jobs?{query}")) == (400, "bad_pagination")


def test_both_bounds_of_time_are_inclusive(client: Client) -> None:
    first = client.sandbox.add_job("KB_INGEST_TEXT", input={"n": 1})
    client.sandbox.advance(10)
    second = client.sandbox.add_job("KB_INGEST_TEXT", input={"n": 2})
    at_first, at_second = moment(client, first), moment(client, second)
    assert ids(client, dateFrom=at_first) == [second, first]
    assert ids(client, dateFrom=at_second) == [second]
    assert ids(client, dateTo=at_first) == [first]
    assert ids(client, dateFrom=at_first, dateTo=at_second) == [second, first]
    assert ids(client, dateFrom=at_second.replace("Z", "+00:00"), dateTo=at_second) == [second]
    client.sandbox.advance(86_400)
    assert ids(client, dateFrom=at_first[:10], dateTo=at_second[:10]) == [second, first]


def test_a_plain_day_as_upper_bound_has_two_readings(client: Client) -> None:
    client.sandbox.advance(86_400 - client.sandbox.now_s() % 86_400 + 3_600)  # one o'clock of some day
    made = client.sandbox.add_job("KB_INGEST_TEXT", input={})
    day = moment(client, made)[:10]
    assert ids(client, dateFrom=day, dateTo=day) == [made]
    client.sandbox.options(scripe_date_to="midnight")
    assert ids(client, dateFrom=day, dateTo=day) == []
    assert ids(client, dateFrom=day) == [made]


@pytest.mark.parametrize("query", ["dateFrom=yesterday", "dateTo=2026-13-01", "dateFrom=2026-02-30", "dateTo="])
def test_other_dates_are_refused(client: Client, query: str) -> None:
    assert refused(client.scripe.get(f"/jobs?{query}")) == (400, "invalid_request")


def test_types_and_statuses_are_comma_separated_lists(client: Client) -> None:
    old = client.sandbox.add_job("POST_GENERATION", input={"options": {"sandbox": "duration_s=1"}})
    client.sandbox.advance(2)
    text = client.sandbox.add_job("KB_INGEST_TEXT", input={})
    post = client.sandbox.add_job("POST_GENERATION", input={"n": 2})
    assert ids(client, type="POST_GENERATION") == [post, old]
    assert ids(client, type="POST_GENERATION,KB_INGEST_TEXT") == [post, text, old]
    assert ids(client, status="QUEUED,RUNNING") == [post, text]
    assert ids(client, status="QUEUED,RUNNING,DONE", type="POST_GENERATION") == [post, old]
    assert ids(client, status="DONE") == [old]
    assert ids(client, status="FAILED,CANCELLED") == []
    assert ids(client, status="") == [post, text, old]


def test_unknown_words_in_a_filter_are_refused_or_match_nothing(client: Client) -> None:
    made = client.sandbox.add_job("POST_GENERATION", input={})
    assert refused(client.scripe.get("/jobs", params={"status": "QUEUED,SLEEPING"})) == (400, "invalid_request")
    assert refused(client.scripe.get("/jobs", params={"type": "post_generation"})) == (400, "invalid_request")
    client.sandbox.options(scripe_unknown_filter="empty")
    assert ids(client, status="QUEUED,SLEEPING") == [made]
    assert ids(client, type="post_generation") == []


def test_a_job_of_another_type_is_listed_and_read_like_any_other(client: Client) -> None:
    made = client.sandbox.add_job("KB_INGEST_URL", input={"projectId": "p9", "options": {"sandbox": "duration_s=1"}})
    client.sandbox.advance(2)
    (seen,) = client.scripe.get("/jobs", params={"type": "KB_INGEST_URL"}).json()["data"]
    assert (seen["id"], seen["projectId"], seen["status"]) == (made, "p9", "DONE")
