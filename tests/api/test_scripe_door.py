"""The Scripe door: its page's curl line and table of parameters, one job, cancel; and the errors of its API."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.datastructures import QueryParams

from orchestrator.api.doors import job_queries
from orchestrator.bootstrap import build
from orchestrator.client import Client
from orchestrator.domain.doors import JOB_STATUSES
from orchestrator.domain.statuses import RunStatus
from orchestrator.engine import tokens
from orchestrator.errors import BadInput
from orchestrator.runtime import uuid7
from tests.api.conftest import Served, finish
from tests.api.pages_replayed import assert_same_shape, curls, replay

BASE = "https://api.scripe.io/v1"

#: Null where nothing is known of it, as the page of the API allows.
NULLABLE = frozenset(
    {"projectId", "startedAt", "completedAt", "progress", "result", "errorCode", "errorMessage"}
    | {"estimatedCompletionMs", "next_cursor"}
)

PLACES = text("""
    WITH l AS (INSERT INTO lanes (id, limit_key, requests_per_minute) VALUES (gen_random_uuid(), 'jobs', 100)
        RETURNING id),
    n AS (INSERT INTO connections (id, workspace_id, lane_id, name, provider, base_url, api_key, key_hint,
            max_concurrent)
        SELECT gen_random_uuid(), :workspace, l.id, provider, provider, 'http://x', '', '', 10
        FROM l, unnest(ARRAY['script', 'scripe']) provider RETURNING id, lane_id, provider)
    INSERT INTO workflows (id, workspace_id, connection_id, lane_id, remote_id, name)
    SELECT gen_random_uuid(), :workspace, n.id, n.lane_id, remote, remote
    FROM n JOIN (VALUES ('script', 'w'), ('scripe', 'POST_GENERATION'), ('scripe', 'KB_INGEST_TEXT'))
        AS k(provider, remote) ON k.provider = n.provider
    RETURNING id, connection_id, remote_id, (SELECT provider FROM n WHERE n.id = connection_id) AS provider""")

RUN = text("""
    INSERT INTO runs (id, workspace_id, connection_id, workflow_id, status, input_sha256, input_bytes, created_by,
        created_at, attempt)
    VALUES (:id, :workspace, :connection, :workflow, :status, '', 0, 'test', :created_at, 1)""")

#: The jobs of the workspace below stand at these distances, from a moment in the middle of a day.
NOON = datetime(2026, 5, 20, 12, tzinfo=UTC)


@pytest.fixture
def door(served: Served) -> Iterator[httpx.Client]:
    """What a client of the Scripe API holds, with another base URL."""
    with _door(served, served.token) as made:
        yield made


def _door(served: Served, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=f"{served.url}/scripe/v1", headers=headers, trust_env=False, verify=False, timeout=30)


Job = dict[str, Any]


@pytest.fixture(scope="module")
def jobs(served: Served) -> tuple[str, list[Job]]:
    """A workspace with a run of each status and each of three types; gives a token for it, and what is in it."""
    random_ = random.Random(3)

    async def write() -> tuple[str, list[Job]]:
        async with build(served.settings, program="test") as deps:
            workspace = await tokens.ensure_workspace(deps, "jobs")
            secret, _ = await tokens.create_token(deps, workspace, "jobs", actor="test")

            async def insert(connection: AsyncConnection) -> list[Job]:
                places = (await connection.execute(PLACES, {"workspace": workspace})).all()
                found: list[Job] = []
                for status in RunStatus:
                    for place in places:
                        at = NOON - timedelta(hours=len(found), microseconds=random_.randrange(1000))
                        id = uuid7(int(at.timestamp() * 1000), random_.getrandbits(74))
                        values = {"workspace": workspace, "connection": place.connection_id, "workflow": place.id}
                        values |= {"id": id, "status": status, "created_at": at}
                        await connection.execute(RUN, values)
                        type = "SCRIPT_EXECUTION" if place.provider == "script" else place.remote_id
                        found.append({"id": str(id), "status": JOB_STATUSES[status], "type": type, "at": at})
                return found

            return secret, await deps.db.run(insert)

    return asyncio.run(write())


def shown_at(job: Job) -> datetime:
    """Return when a job was created, as it is shown: in whole milliseconds."""
    at: datetime = job["at"]
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


Fits = Callable[[Job], bool]

LIST: list[tuple[Mapping[str, str], Fits]] = [
    ({}, lambda job: True),
    ({"status": "QUEUED"}, lambda job: job["status"] == "QUEUED"),
    ({"status": "QUEUED,RUNNING,DONE"}, lambda job: job["status"] in ("QUEUED", "RUNNING", "DONE")),
    ({"status": "FAILED, CANCELLED"}, lambda job: job["status"] in ("FAILED", "CANCELLED")),
    ({"type": "POST_GENERATION,KB_INGEST_TEXT"}, lambda job: job["type"] != "SCRIPT_EXECUTION"),
    ({"type": "SCRIPT_EXECUTION"}, lambda job: job["type"] == "SCRIPT_EXECUTION"),
    ({"type": "SCRIPT_EXECUTION,KB_INGEST_TEXT"}, lambda job: job["type"] != "POST_GENERATION"),
    ({"type": "SOURCE_INGEST_FILE"}, lambda job: False),
    ({"dateFrom": "2026-05-20"}, lambda job: job["at"] >= datetime(2026, 5, 20, tzinfo=UTC)),
    ({"dateTo": "2026-05-19"}, lambda job: job["at"] < datetime(2026, 5, 20, tzinfo=UTC)),
    ({"dateFrom": "2026-05-19", "dateTo": "2026-05-19"}, lambda job: job["at"].day == 19),
    ({"dateFrom": "2026-05-20T05:30:00+02:00"}, lambda job: job["at"] >= datetime(2026, 5, 20, 3, 30, tzinfo=UTC)),
    ({"dateFrom": "2026-05-20T03:30:00"}, lambda job: job["at"] >= datetime(2026, 5, 20, 3, 30, tzinfo=UTC)),
    ({"dateTo": "2026-05-20T03:30:00Z"}, lambda job: job["at"] <= datetime(2026, 5, 20, 3, 30, tzinfo=UTC)),
    (
        {"type": "POST_GENERATION", "status": "RUNNING", "dateFrom": "2026-05-20", "cloud": "ignored"},
        lambda job: job["type"] == "POST_GENERATION" and job["status"] == "RUNNING" and job["at"].day == 20,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("query", "fits"), LIST, ids=[str(query) for query, _ in LIST])
def test_the_list_is_what_its_parameters_say_newest_first_and_pages_give_each_once(
    served: Served, jobs: tuple[str, list[Job]], query: Mapping[str, str], fits: Fits
) -> None:
    token, all_jobs = jobs
    expected = [(job["id"], job["type"], job["status"]) for job in all_jobs if fits(job)]
    with _door(served, token) as door:
        for limit in (200, 4):
            found, cursor, pages = [], None, 0
            while True:
                given = {**query, "limit": str(limit)} | ({} if cursor is None else {"cursor": cursor})
                page = door.get("/jobs", params=given).json()
                found += [(job["id"], job["type"], job["status"]) for job in page["data"]]
                cursor, pages = page["pagination"]["next_cursor"], pages + 1
                assert page["pagination"]["has_more"] is (cursor is not None)
                assert len(page["data"]) <= limit
                if cursor is None:
                    break
            assert found == expected
            assert pages == max(1, -(-len(expected) // limit))


def test_a_bound_that_is_the_time_of_a_job_as_it_is_shown_lets_it_in(
    served: Served, jobs: tuple[str, list[Job]]
) -> None:
    token, all_jobs = jobs
    with _door(served, token) as door:
        for job in all_jobs[:5]:
            shown = door.get(f"/jobs/{job['id']}").json()["data"]["createdAt"]
            assert datetime.fromisoformat(shown) == shown_at(job)
            page = door.get("/jobs", params={"dateFrom": shown, "dateTo": shown}).json()["data"]
            assert [one["id"] for one in page] == [job["id"]]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "bad_pagination"),
        ("limit=201", "bad_pagination"),
        ("limit=-1", "bad_pagination"),
        ("limit=ten", "bad_pagination"),
        ("limit=", "bad_pagination"),
        ("limit=５", "bad_pagination"),
        ("cursor=", "bad_pagination"),
        ("cursor=nonsense", "bad_pagination"),
        ("status=queued", "invalid_request"),
        ("status=QUEUED,LOST", "invalid_request"),
        ("status=QUEUED,", "invalid_request"),
        ("type=POST", "invalid_request"),
        ("type=", "invalid_request"),
        ("dateFrom=yesterday", "invalid_request"),
        ("dateFrom=2026-02-30", "invalid_request"),
        ("dateTo=20.5.2026", "invalid_request"),
        ("dateTo=9999-12-31T00:00:00Z", "invalid_request"),
        ("dateTo=2026-05-20T25:00:00Z", "invalid_request"),
        ("status=DONE&status=QUEUED", "invalid_request"),
    ],
)
def test_a_parameter_outside_its_bounds_is_told_in_the_apis_shape(door: httpx.Client, query: str, code: str) -> None:
    answer = door.get(f"/jobs?{query}")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, code)
    assert [*error] == ["code", "message", "request_id", "docs_url"]
    assert error["request_id"] == answer.headers["request-id"]


@pytest.mark.parametrize(("given", "limit"), [({}, 50), ({"limit": "1"}, 1), ({"limit": "200"}, 200)])
def test_the_page_size_has_the_tables_default_and_bounds(given: dict[str, str], limit: int) -> None:
    assert job_queries.read(QueryParams(given)).limit == limit


def test_a_zone_whose_plus_was_not_encoded_is_read_as_it_was_meant() -> None:
    found = job_queries.read(QueryParams("dateFrom=2026-05-20T05:30:00+02:00"))
    assert found.since == datetime(2026, 5, 20, 3, 30, tzinfo=UTC)
    with pytest.raises(BadInput):
        job_queries.read(QueryParams("dateFrom=2026-05-20 nonsense"))


def test_a_cursor_is_good_for_its_filters_and_its_workspace_only(
    served: Served, door: httpx.Client, jobs: tuple[str, list[Job]]
) -> None:
    with _door(served, jobs[0]) as theirs:
        cursor = theirs.get("/jobs", params={"limit": 1}).json()["pagination"]["next_cursor"]
        assert theirs.get("/jobs", params={"limit": 2, "cursor": cursor}).status_code == 200
        other = theirs.get("/jobs", params={"cursor": cursor, "status": "DONE"})
    for answer in (other, door.get("/jobs", params={"cursor": cursor})):
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_pagination")


def test_the_pages_curl_line_gets_the_pages_answer(
    served: Served, client: Client, door: httpx.Client, main: str, free: str
) -> None:
    run = client.runs.submit(main, free, {"sandbox": "files=2; size_bytes=300"})
    finish(served, client, run["id"])
    (curl,) = curls("scripe.txt")
    assert (curl.method, curl.url) == ("GET", f"{BASE}/jobs")
    answer = replay(curl, {BASE: f"{served.url}/scripe/v1", "<token>": served.token})
    assert answer.status_code == 200
    listed = answer.json()
    for job in listed["data"]:
        assert job["result"] is None or [*job["result"]] == ["files"]
        job["result"] = None  # the page leaves open what is in it
    assert_same_shape(curl.answer, listed, nullable=NULLABLE)

    job = door.get(f"/jobs/{run['id']}").json()["data"]
    assert (job["type"], job["status"], job["attemptCount"]) == ("SCRIPT_EXECUTION", "DONE", 1)
    assert job["startedAt"] <= job["completedAt"] == job["updatedAt"]
    assert (job["errorCode"], job["errorMessage"]) == (None, None)
    for file in job["result"]["files"]:
        assert len(httpx.get(file["url"], trust_env=False).content) == file["sizeBytes"] == 300


def test_a_failed_job_has_our_code(served: Served, client: Client, door: httpx.Client, main: str, free: str) -> None:
    run = client.runs.submit(main, free, {"sandbox": "outcome=error"})
    ended = finish(served, client, run["id"])
    job = door.get(f"/jobs/{run['id']}").json()["data"]
    assert (job["status"], job["errorCode"], job["result"]) == ("FAILED", ended["error"]["code"], None)
    assert job["errorMessage"]


def test_a_queued_job_is_cancelled_once_and_one_that_is_not_queued_is_not(
    served: Served, client: Client, door: httpx.Client, main: str, free: str
) -> None:
    queued = client.runs.submit(main, free, {})["id"]
    answer = door.post(f"/jobs/{queued}/cancel")
    assert answer.status_code == 200
    assert (answer.json()["data"]["id"], answer.json()["data"]["status"]) == (queued, "CANCELLED")
    finished = client.runs.submit(main, free, {})["id"]
    finish(served, client, finished)
    for late in (queued, finished):
        refused = door.post(f"/jobs/{late}/cancel")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not_cancellable")


def test_what_may_be_on_the_wire_is_marked_and_not_promised(served: Served, jobs: tuple[str, list[Job]]) -> None:
    token, all_jobs = jobs
    by_status = {status: all_jobs[3 * n] for n, status in enumerate(RunStatus)}
    with _door(served, token) as door:
        for status in (RunStatus.LAUNCHING, RunStatus.IN_DOUBT, RunStatus.PROCESSING, RunStatus.ERROR):
            refused = door.post(f"/jobs/{by_status[status]['id']}/cancel")
            assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not_cancellable"), status
        assert door.get(f"/jobs/{by_status[RunStatus.LAUNCHING]['id']}").json()["data"]["status"] == "QUEUED"
    with Client(served.url, token) as client:
        events = [event["type"] for event in client.runs.events(by_status[RunStatus.LAUNCHING]["id"])]
    assert events == ["cancel_requested"]


def test_a_cancel_that_is_sent_again_under_its_key_is_told_what_it_came_to(
    client: Client, door: httpx.Client, main: str, free: str, unique: str
) -> None:
    one, other = (client.runs.submit(main, free, {})["id"] for _ in range(2))
    headers = {"Idempotency-Key": unique}
    first = door.post(f"/jobs/{one}/cancel", headers=headers)
    again = door.post(f"/jobs/{one}/cancel", headers=headers)
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    elsewhere = door.post(f"/jobs/{other}/cancel", headers=headers)
    assert (elsewhere.status_code, elsewhere.json()["error"]["code"]) == (409, "idempotency_key_conflict")
    # A key of another shape is ignored without a word.
    ignored = [door.post(f"/jobs/{other}/cancel", headers={"Idempotency-Key": "a.b"}).status_code for _ in range(2)]
    assert ignored == [200, 409]


def test_a_version_is_one_that_is_served(door: httpx.Client) -> None:
    assert door.get("/jobs", headers={"Scripe-Api-Version": "2026-08-01"}).status_code == 200
    answer = door.get("/jobs", headers={"Scripe-Api-Version": "2024-01-01"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "version_unsupported")


def test_who_may_not_or_asks_for_what_is_not_there_is_told_in_the_apis_shape(
    served: Served, client: Client, door: httpx.Client, jobs: tuple[str, list[Job]], main: str, free: str
) -> None:
    def told(answer: httpx.Response) -> tuple[int, str]:
        return answer.status_code, answer.json()["error"]["code"]

    foreign = jobs[1][0]["id"]
    assert told(httpx.get(f"{served.url}/scripe/v1/jobs", trust_env=False)) == (401, "unauthorized")
    for path in (f"/jobs/{foreign}", "/jobs/job_a1b2c3d4e5f6g7h8", "/elsewhere"):
        assert told(door.get(path)) == (404, "not_found")
    assert told(door.post(f"/jobs/{foreign}/cancel")) == (404, "not_found")
    assert told(door.put("/jobs")) == (405, "method_not_allowed")
    mine = client.runs.submit(main, free, {})["id"]
    assert told(door.post(f"/jobs/{mine}/cancel", content=b" " * 262_145)) == (413, "payload_too_large")
    with _door(served, client.tokens.create("reads", scopes=["read"])["secret"]) as reading:
        assert reading.get(f"/jobs/{mine}").status_code == 200
        assert told(reading.post(f"/jobs/{mine}/cancel")) == (403, "forbidden")
