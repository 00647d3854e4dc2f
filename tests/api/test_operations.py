"""Bulk operations over HTTP and from the command line: previewed, started, followed, and nobody else's to see."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from orchestrator.bootstrap import build
from orchestrator.cli.main import main as run_command
from orchestrator.client import Client, Conflict, Invalid, NotFound
from orchestrator.engine import operation_steps
from tests.api.conftest import Served


def _work(served: Served) -> None:
    async def work() -> None:
        async with build(served.settings, program="test-worker") as deps:
            await operation_steps.work_operations(deps)

    asyncio.run(work())


@pytest.fixture
def queued(client: Client, main: str, free: str, unique: str) -> list[str]:
    """Three queued runs with a label of this test's own."""
    return [client.runs.submit(main, free, {"n": n}, labels={"of": unique})["id"] for n in range(3)]


def test_an_operation_is_previewed_started_and_followed(
    served: Served, client: Client, queued: list[str], unique: str
) -> None:
    filter = {"labels": {"of": unique}, "status": ["queued"], "dateFrom": "2026-01-01"}
    seen = client.operations.start("cancel", filter, dry_run=True)
    assert (seen["id"], seen["total"], len(seen["samples"])) == (None, 3, 3)
    made = client.operations.start("cancel", filter, reason="not wanted")
    id = str(made["id"])
    assert (made["status"], made["total"], made["reason"]) == ("running", 3, "not wanted")
    assert made["filter"] == {"labels": ["of"], "status": ["queued"], "dateFrom": "2026-01-01"}
    _work(served)
    ended = client.operations.get(id)
    assert (ended["status"], ended["counts"]["done"]) == ("finished", 3)
    assert [item["run_id"] for item in client.operations.items(id, state=["done"])] == queued
    assert next(client.operations.list())["id"] == id
    with pytest.raises(Conflict) as over:
        client.operations.cancel(id)
    assert over.value.code == "operation_ended"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"verb": "cancel"}, "filter.empty"),
        ({"verb": "cancel", "filter": {}}, "filter.empty"),
        ({"verb": "cancel", "filter": {"status": []}}, "filter.empty"),
        ({"verb": "cancel", "filter": {"labels": {}}}, "filter.empty"),
        ({"verb": "erase", "filter": {"status": ["error"]}}, "field.value"),
        ({"filter": {"status": ["error"]}}, "field.missing"),
        ({"verb": "cancel", "filter": {"status": ["broken"]}}, "field.value"),
        ({"verb": "cancel", "filter": {"external_id": "x"}}, "field.unknown"),
        ({"verb": "cancel", "filter": {"batch": "x"}}, "field.type"),
        ({"verb": "cancel", "filter": {"dateTo": "soon"}}, "field.value"),
        ({"verb": "resolve", "filter": {"status": ["in_doubt"]}}, "field.value"),
        ({"verb": "resolve", "how": "adopt", "filter": {"status": ["in_doubt"]}}, "field.value"),
    ],
)
def test_an_operation_without_a_good_filter_is_refused_dry_or_not(
    http: httpx.Client, body: dict[str, Any], code: str
) -> None:
    for dry in ({}, {"dry_run": True}):
        answer = http.post("/api/v1/operations", json=body | dry)
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text


def test_an_operation_takes_nothing_of_another_workspace_and_is_not_shown_there(
    client: Client, stranger: Client, queued: list[str], unique: str
) -> None:
    with pytest.raises(Conflict) as nothing:
        stranger.operations.start("cancel", {"labels": {"of": unique}})
    assert nothing.value.code == "nothing_eligible"
    id = str(client.operations.start("cancel", {"labels": {"of": unique}})["id"])
    for asked in (stranger.operations.get, stranger.operations.cancel, lambda i: next(stranger.operations.items(i))):
        with pytest.raises(NotFound):
            asked(id)
    assert list(stranger.operations.list()) == []
    with pytest.raises(Invalid):
        client._wire.get(f"/operations/{id}/items", {"state": "over"})


def test_the_command_line_acts_on_what_its_options_name_and_only_when_it_is_agreed_to(
    served: Served,
    client: Client,
    queued: list[str],
    unique: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ORCH_URL", served.url)
    monkeypatch.setenv("ORCH_TOKEN", served.token)

    def told(*arguments: str, code: int = 0) -> Any:
        assert run_command(["-o", "json", *arguments]) == code
        said = capsys.readouterr()
        return json.loads(said.out or said.err)

    named = ("--label", f"of={unique}", "--since", "1h")
    assert told("run", "cancel", *named, "--dry-run")["total"] == 3
    assert told("run", "cancel", *named, code=2)["code"] == "not_confirmed"
    assert told("run", "cancel", "--yes", code=2)["code"] == "usage"
    assert told("run", "cancel", queued[0], *named, "--yes", code=2)["code"] == "usage"
    made = told("run", "cancel", *named, "--yes")
    assert [operation["id"] for operation in told("operation", "list", "--limit", "1")] == [made["id"]]
    assert told("operation", "cancel", made["id"])["status"] == "cancelling"
    _work(served)
    assert told("operation", "show", made["id"])["counts"]["cancelled"] == 3
    assert len(told("operation", "items", made["id"], "--state", "cancelled")) == 3
