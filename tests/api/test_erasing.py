"""Erasing over HTTP and by the client: who may, what is told, and that no stored answer keeps what was erased."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from orchestrator.api.schemas import ANSWERS, BODIES
from orchestrator.bootstrap import build
from orchestrator.client import Client, Conflict, Forbidden, NotFound
from tests.api.conftest import Served, finish
from tests.engine.traces import traces

WHY = "request 17"


def fits(name: str, view: Any) -> None:
    """Assert that a view is what the description says."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": BODIES | ANSWERS}}
    Draft202012Validator(schema).validate(view)


def places(served: Served, marker: str) -> set[str]:
    """Return the tables and files in which a text is found."""

    async def look() -> list[str]:
        async with build(served.settings, program="test") as deps:
            return await traces(deps, marker)

    return {found.split(":")[0] for found in asyncio.run(look())}


def submitted(http: httpx.Client, main: str, free: str, marker: str, key: str) -> httpx.Response:
    """Submit a run that holds the marker wherever one can, under a key."""
    body = {
        "connection": main,
        "workflow_id": free,
        "external_id": f"{marker}-1",
        "labels": {"who": marker},
        "input": {"name": marker, "sandbox": f"filename={marker}.json"},
    }
    return http.post("/api/v1/runs", json=body, headers={"Idempotency-Key": key})


def test_a_run_is_erased_and_nothing_that_the_api_keeps_or_shows_holds_it(
    served: Served, client: Client, http: httpx.Client, main: str, free: str, unique: str, folder: Path
) -> None:
    marker = f"erase-me-{unique}"
    run_id = submitted(http, main, free, marker, unique).json()["id"]
    finish(served, client, run_id)
    client.runs.get(run_id)
    assert places(served, marker) >= {"runs", "inputs", "labels", "artifacts", "idempotency_keys"}
    done = client.runs.erase(run_id, reason=WHY)
    fits("Erasure", done)
    assert (done["kind"], done["runs"], done["files"], done["files_left"]) == ("run", 1, 1, 0)
    assert places(served, marker) == set()
    run = client.runs.get(run_id)
    fits("Run", run)
    assert (run["status"], run["labels"], run["erased_at"]) == ("finished", {}, done["erased_at"])
    (result,) = client.runs.results(run_id)
    assert (result["filename"], result["erased"]) == ("erased", True)
    with pytest.raises(Conflict) as refused:
        client.runs.download(run_id, 0, folder / "f")
    assert refused.value.code == "erased"
    assert list(folder.iterdir()) == []
    with pytest.raises(Conflict) as refused:
        client.runs.retry(run_id, relaunch=True, reason="again")
    assert refused.value.code == "erased"
    (event,) = [event for event in client.runs.events(run_id) if event["type"] == "redacted"]
    assert (event["actor"], event["data"]["reason"], event["data"]["files"]) == ("token:test", WHY, [result["sha256"]])


def test_a_repeated_request_is_told_the_erased_run_and_launches_nothing(
    served: Served, client: Client, http: httpx.Client, main: str, free: str, unique: str
) -> None:
    marker = f"erase-me-{unique}"
    first = submitted(http, main, free, marker, unique)
    run_id = first.json()["id"]
    finish(served, client, run_id)
    client.runs.erase(run_id, reason=WHY)
    again = submitted(http, main, free, marker, unique)
    assert (again.status_code, again.headers["Idempotent-Replayed"], again.json()["id"]) == (201, "true", run_id)
    assert again.json()["erased_at"]
    fits("Run", again.json())
    other = submitted(http, main, free, marker, f"{unique}-other")
    assert (other.status_code, other.json()["id"]) == (200, run_id), "its external id is known still"
    assert places(served, marker) == set()


def test_a_batch_is_erased_with_the_rows_that_were_refused(
    served: Served, client: Client, http: httpx.Client, main: str, strict: str, unique: str
) -> None:
    marker = f"erase-me-{unique}"
    rows = [{"email": f"{marker}@example.com", "sandbox": f"filename={marker}.json"}, {"name": marker}]
    answer = http.post(
        "/api/v1/batches",
        content="\n".join(map(json.dumps, rows)),
        headers={"Content-Type": "application/x-ndjson", "Idempotency-Key": unique},
        params={"connection": main, "workflow_id": strict, "name": marker, "skip_invalid": "true"},
    )
    assert answer.status_code == 201, answer.text
    batch_id = answer.json()["id"]
    assert answer.json()["refused_file"]
    with pytest.raises(Conflict) as refused:
        client.batches.erase(batch_id, reason=WHY)
    assert (refused.value.code, "1 of" in refused.value.message) == ("batch_open", True)
    for run in client.batches.runs(batch_id):
        finish(served, client, run["id"])
        client.runs.get(run["id"])
    done = client.batches.erase(batch_id, reason=WHY)
    fits("Erasure", done)
    assert (done["kind"], done["runs"], done["files"]) == ("batch", 1, 1)
    assert places(served, marker) == set()
    batch = client.batches.get(batch_id)
    fits("Batch", batch)
    assert (batch["name"], batch["erased_at"]) == (None, done["erased_at"])
    told = http.post(
        "/api/v1/batches",
        content="\n".join(map(json.dumps, rows)),
        headers={"Content-Type": "application/x-ndjson", "Idempotency-Key": unique},
        params={"connection": main, "workflow_id": strict, "name": marker, "skip_invalid": "true"},
    )
    assert told.headers["Idempotent-Replayed"] == "true"
    assert (told.json()["id"], told.json()["refused_file"], told.json()["refused"]) == (batch_id, None, 1)
    fits("SubmittedBatch", told.json())


def test_erasing_needs_a_reason_and_takes_nothing_else(
    http: httpx.Client, client: Client, main: str, free: str
) -> None:
    run_id = client.runs.submit(main, free, {})["id"]
    client.runs.cancel(run_id)
    for body, field in (({}, "reason"), ({"reason": " "}, "reason"), ({"reason": "x", "force": True}, "force")):
        answer = http.post(f"/api/v1/runs/{run_id}:erase", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert client.runs.get(run_id)["erased_at"] is None


def test_a_dry_run_counts_and_leaves_everything(client: Client, main: str, free: str, unique: str) -> None:
    run_id = client.runs.submit(main, free, {"n": 1}, labels={"of": unique})["id"]
    client.runs.cancel(run_id)
    seen = client.runs.erase(run_id, reason=WHY, dry_run=True)
    fits("Erasure", seen)
    assert (seen["dry_run"], seen["erased_at"], seen["labels"], seen["files_left"]) == (True, None, 1, None)
    assert client.runs.get(run_id)["labels"] == {"of": unique}
    assert client.runs.erase(run_id, reason=WHY)["erased_before"] is False
    assert client.runs.erase(run_id, reason=WHY)["erased_before"] is True


def test_only_who_operates_the_workspace_may_erase(
    served: Served, client: Client, stranger: Client, main: str, free: str
) -> None:
    run_id = client.runs.submit(main, free, {})["id"]
    client.runs.cancel(run_id)
    with pytest.raises(NotFound):
        stranger.runs.erase(run_id, reason=WHY)
    for scope in ("read", "submit"):
        secret = client.tokens.create(f"only-{scope}", scopes=[scope])["secret"]
        with Client(served.url, secret) as little, pytest.raises(Forbidden):
            little.runs.erase(run_id, reason=WHY)
    assert client.runs.get(run_id)["erased_at"] is None


def test_the_record_of_an_erasing_outlives_the_next(http: httpx.Client, client: Client, main: str, free: str) -> None:
    run_id = client.runs.submit(main, free, {})["id"]
    client.runs.cancel(run_id)
    asked: dict[str, Any] = {"json": {"reason": WHY}, "headers": {"Idempotency-Key": f"erase-{run_id}"}}
    first = http.post(f"/api/v1/runs/{run_id}:erase", **asked)
    client.runs.erase(run_id, reason="another")
    again = http.post(f"/api/v1/runs/{run_id}:erase", **asked)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first.json(), "true")
