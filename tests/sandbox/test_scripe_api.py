"""The Scripe jobs API against its page: the example answer, a job's life, keys, versions, errors, the rate."""

from typing import Any

import httpx
import pytest

from tests.sandbox.conftest import Client

#: The example answer of the page, word for word.
EXAMPLE: dict[str, Any] = {
    "data": [
        {
            "id": "job_a1b2c3d4e5f6g7h8",
            "type": "POST_GENERATION",
            "status": "QUEUED",
            "projectId": "<string>",
            "startedAt": "2023-11-07T05:31:56Z",
            "completedAt": "2023-11-07T05:31:56Z",
            "progress": {"progress": 0.5, "updatedAt": "2023-11-07T05:31:56Z", "message": "<string>"},
            "result": {},
            "errorCode": "<string>",
            "errorMessage": "<string>",
            "attemptCount": 1,
            "estimatedCompletionMs": 123,
            "createdAt": "2023-11-07T05:31:56Z",
            "updatedAt": "2023-11-07T05:31:56Z",
        }
    ],
    "pagination": {"next_cursor": "<string>", "has_more": True},
}
BODY = {"projectId": "p1", "source": {"text": "hello"}}


def start(client: Client, hints: str = "", headers: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    """Start a job; return it."""
    body = {**BODY, **fields} | ({"options": {"sandbox": hints}} if hints else {})
    answer = client.scripe.post("/posts/generations", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()["data"]
    return job


def job(client: Client, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.scripe.get(f"/jobs/{job_id}").json()["data"]
    return found


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of a refusal, which must be in the page's shape."""
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "request_id", "docs_url"}
    return answer.status_code, error["code"]


def test_a_list_has_exactly_the_fields_of_the_pages_example_in_its_types(client: Client) -> None:
    start(client)
    start(client)
    client.sandbox.advance(2)
    answer = client.scripe.get("/jobs", params={"limit": 1}).json()
    assert set(answer) == set(EXAMPLE) and set(answer["pagination"]) == set(EXAMPLE["pagination"])
    (shown,), (example,) = answer["data"], EXAMPLE["data"]
    assert list(shown) == list(example)
    for name, value in example.items():
        assert shown[name] is None or isinstance(shown[name], type(value)), name
    assert list(shown["progress"]) == list(example["progress"])
    assert len(shown["id"]) == len(example["id"]) and shown["id"].startswith("job_")


def test_a_job_is_queued_then_runs_with_progress_then_holds_its_result(client: Client) -> None:
    started = start(client, "duration_s=10")
    assert (started["status"], started["progress"], started["startedAt"]) == ("QUEUED", None, None)
    client.sandbox.advance(5.5)
    running = job(client, started["id"])
    assert running["status"] == "RUNNING" and 0.4 < running["progress"]["progress"] < 0.6
    assert running["estimatedCompletionMs"] == 5000 and running["result"] is None
    client.sandbox.advance(10)
    done = job(client, started["id"])
    assert done["status"] == "DONE" and done["result"]["posts"] and done["completedAt"]
    client.sandbox.advance(3600)
    assert job(client, started["id"])["progress"] is None  # kept for an hour


def test_a_failed_job_says_code_and_message(client: Client) -> None:
    started = start(client, "duration_s=1; outcome=error")
    client.sandbox.advance(2)
    failed = job(client, started["id"])
    assert (failed["status"], failed["errorCode"], failed["result"]) == ("FAILED", "generation_failed", None)
    assert failed["errorMessage"]


def test_only_a_queued_job_can_be_cancelled(client: Client) -> None:
    started = start(client, "duration_s=10")
    cancelled = client.scripe.post(f"/jobs/{started['id']}/cancel").json()["data"]
    assert cancelled["status"] == "CANCELLED" and cancelled["completedAt"]
    other = start(client, "duration_s=11")
    client.sandbox.advance(1)
    assert refused(client.scripe.post(f"/jobs/{other['id']}/cancel")) == (409, "not_cancellable")
    assert refused(client.scripe.post("/jobs/job_0000000000000000/cancel")) == (404, "not_found")


def test_the_same_key_and_body_is_replayed_and_starts_nothing(client: Client) -> None:
    key = {"Idempotency-Key": "k-1_A"}
    first = client.scripe.post("/posts/generations", json=BODY, headers=key)
    second = client.scripe.post("/posts/generations", json=BODY, headers=key)
    assert second.json() == first.json() and second.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    other = client.scripe.post("/posts/generations", json={**BODY, "projectId": "p2"}, headers=key)
    assert refused(other) == (409, "idempotency_key_conflict")
    assert client.sandbox.truth()["summary"]["jobs"] == 1


@pytest.mark.parametrize("key", ["", "a" * 65, "with space", "run:1", "é".encode().decode("latin-1")])
def test_a_key_of_another_shape_is_silently_ignored(client: Client, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode("latin-1"))]
    ids = {client.scripe.post("/posts/generations", json=BODY, headers=headers).json()["data"]["id"] for _ in range(2)}
    assert len(ids) == 2
    assert len(client.sandbox.truth()["summary"]["jobs_launched_twice"]) == 1


def test_a_key_is_forgotten_after_a_day(client: Client) -> None:
    key = {"Idempotency-Key": "day"}
    first = start(client, headers=key)
    client.sandbox.advance(24 * 3600 - 1)
    assert start(client, headers=key)["id"] == first["id"]
    client.sandbox.advance(1)
    assert start(client, headers=key)["id"] != first["id"]


def test_a_refusal_is_not_kept_under_the_key(client: Client) -> None:
    key = {"Idempotency-Key": "again"}
    assert client.scripe.post("/posts/generations", json={}, headers=key).status_code == 400
    assert start(client, headers=key)["id"]


def test_keys_of_two_workspaces_do_not_meet(client: Client) -> None:
    client.sandbox.options(scripe_keys={"scripe_sk_test_b": "other"})
    mine = start(client, headers={"Idempotency-Key": "same"})
    theirs = start(client, headers={"Idempotency-Key": "same", "Authorization": "Bearer scripe_sk_test_b"})
    assert mine["id"] != theirs["id"]
    assert refused(client.scripe.get(f"/jobs/{theirs['id']}")) == (404, "not_found")
    assert [one["id"] for one in client.scripe.get("/jobs").json()["data"]] == [mine["id"]]


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {**BODY, "projectId": ""},
        {**BODY, "source": "hello"},
        {**BODY, "source": {}},
        {**BODY, "more": 1},
        {**BODY, "scheduledFor": "soon"},
        {**BODY, "wait_for_completion_ms": 25_001},
        {**BODY, "wait_for_completion_ms": True},
    ],
)
def test_a_body_that_does_not_fit_is_refused(client: Client, body: Any) -> None:
    assert refused(client.scripe.post("/posts/generations", json=body)) == (400, "invalid_request")


def test_a_body_over_256_kb_is_too_large(client: Client) -> None:
    body = {**BODY, "source": {"text": "x" * 262_144}}
    assert refused(client.scripe.post("/posts/generations", json=body)) == (413, "payload_too_large")


def test_a_launch_that_waits_answers_with_the_end(client: Client) -> None:
    started = start(client, "duration_s=2", wait_for_completion_ms=25_000)
    assert started["status"] == "DONE"


def test_only_known_versions_are_served_and_an_ending_one_is_announced(client: Client) -> None:
    known = client.scripe.get("/jobs", headers={"Scripe-Api-Version": "2026-08-01"})
    assert known.status_code == 200 and "scripe-deprecation" not in known.headers
    assert refused(client.scripe.get("/jobs", headers={"Scripe-Api-Version": "1999-01-01"})) == (
        400,
        "version_unsupported",
    )
    client.sandbox.options(scripe_deprecation="2026-08-01; sunset=2027-02-01; replacement=2026-12-01")
    assert client.scripe.get("/jobs").headers["scripe-deprecation"].startswith("2026-08-01; sunset=")


def test_a_stranger_is_refused_with_a_request_id_of_its_own(client: Client) -> None:
    answers = [client.outside.get(f"{client.sandbox.scripe_url}/jobs", headers=h) for h in ({}, {"x-api-key": "x"})]
    assert [refused(answer) for answer in answers] == [(401, "unauthorized")] * 2
    assert answers[0].json()["error"]["request_id"] != answers[1].json()["error"]["request_id"]
    assert refused(client.scripe.get("/nothing")) == (404, "not_found")


def test_the_rate_is_counted_for_a_workspace_over_all_of_its_keys(client: Client) -> None:
    client.sandbox.options(scripe_keys={"scripe_sk_test_second": "main"})
    second = {"Authorization": "Bearer scripe_sk_test_second"}
    first = client.scripe.get("/jobs")
    assert (first.headers["x-ratelimit-limit"], first.headers["x-ratelimit-remaining"]) == ("120", "119")
    for n in range(119):
        assert client.scripe.get("/jobs", headers=second if n % 2 else {}).status_code == 200
    client.sandbox.advance(20)
    over = client.scripe.get("/jobs", headers=second)
    assert refused(over) == (429, "rate_limited")
    assert (over.headers["retry-after"], over.headers["x-ratelimit-remaining"]) == ("40", "0")
    assert client.http.get("/workflows").status_code == 200  # the other API has a rate of its own
    client.sandbox.advance(40)
    assert client.scripe.get("/jobs").status_code == 200


def test_faults_strike_in_the_apis_own_shape(client: Client) -> None:
    client.sandbox.faults([{"fault": "500", "kind": "launch", "nth": 1}])
    assert refused(client.scripe.post("/posts/generations", json=BODY)) == (500, "internal_error")
    client.sandbox.faults([{"fault": "reset_after", "kind": "launch", "nth": 1}])
    with pytest.raises(httpx.TransportError):
        client.scripe.post("/posts/generations", json=BODY)
    assert client.sandbox.truth()["summary"]["jobs"] == 1
    started = start(client)
    client.sandbox.faults([{"fault": "unknown_status", "kind": "look", "nth": 1}])
    assert job(client, started["id"])["status"] == "archived"
    client.sandbox.faults([{"fault": "lost_execution", "kind": "look", "nth": 1}])
    client.scripe.get(f"/jobs/{started['id']}")
    assert refused(client.scripe.get(f"/jobs/{started['id']}")) == (404, "not_found")


def test_a_hinted_fault_strikes_its_own_launch_once(client: Client) -> None:
    key = {"Idempotency-Key": "hinted"}
    with pytest.raises(httpx.TransportError):
        start(client, "fault=reset_after", headers=key)
    start(client, "fault=reset_after", headers=key)
    assert client.sandbox.truth()["summary"]["jobs"] == 1
