"""A batch that goes on by itself says when it will be done, as its submission did; one that does not says why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.client import Client
from sandbox.control import Sandbox
from tests.api.conftest import Served, finish


def submitted(client: Client, connection: str, workflow: str, runs: int, **more: object) -> dict[str, object]:
    """Submit a batch of so many rows."""
    rows = b"\n".join(b'{"n": %d}' % n for n in range(runs))
    found = client.batches.submit(rows, "jsonl", connection=connection, workflow_id=workflow, **more)  # type: ignore[arg-type]
    return dict(found)


@pytest.fixture
def own(client: Client, sandbox: Sandbox, unique: str) -> str:
    """A connection that nobody else uses, at the documented limit."""
    client.connections.add(unique, provider="script", base_url=sandbox.api_url, api_key=sandbox.key, limit_group=unique)
    return unique


def test_a_live_batch_and_its_submission_foretell_the_same(client: Client, own: str, free: str) -> None:
    before = datetime.now(UTC)
    dry = submitted(client, own, free, 40, dry_run=True)["plan"]
    batch = submitted(client, own, free, 40)
    told = client.batches.get(str(batch["id"]))["forecast"]
    assert isinstance(dry, dict)
    assert told is not None
    middle, late = (datetime.fromisoformat(told[f"finish_{p}_at"]) for p in ("p50", "p90"))  # type: ignore[literal-required]
    assert before < middle < late
    # No more lies between the two than the time that passed.
    passed = datetime.now(UTC) - before
    assert timedelta(0) <= middle - before - timedelta(seconds=dry["finish_p50_s"]) <= passed + timedelta(seconds=1)
    assert (told["bound_by"], told["requests_left"]) == (dry["bound_by"], dry["requests_expected"])
    assert (told["mean_s"], told["mean_is_a_guess"]) == (dry["mean_s"], True)
    assert dry["meets"]["learned"]["count"] == 0


def test_a_paused_batch_and_a_stopped_connection_foretell_nothing_and_say_why(
    client: Client, own: str, free: str
) -> None:
    batch_id = str(submitted(client, own, free, 3)["id"])
    paused = client.batches.pause(batch_id, reason="lunch")
    assert paused["forecast"] is None
    assert paused["waiting_because"]
    assert client.batches.resume(batch_id)["forecast"] is not None
    client.connections.pause(own)
    stopped = client.batches.get(batch_id)
    assert stopped["forecast"] is None
    assert stopped["waiting_because"]


def test_other_batches_on_the_key_make_it_later_and_a_paused_one_does_not(client: Client, own: str, free: str) -> None:
    first = str(submitted(client, own, free, 60, wave_size=1)["id"])
    alone = submitted(client, own, free, 60, wave_size=1, dry_run=True)["plan"]
    client.batches.pause(first)
    without = submitted(client, own, free, 60, wave_size=1, dry_run=True)["plan"]
    assert isinstance(alone, dict)
    assert isinstance(without, dict)
    assert alone["finish_p50_s"] > without["finish_p50_s"] * 1.5
    assert [other["runs"] for other in alone["meets"]["others"]] == [60]
    assert without["meets"]["others"] == []


def test_an_ended_batch_and_a_list_have_no_forecast(served: Served, client: Client, main: str, free: str) -> None:
    batch_id = str(submitted(client, main, free, 1)["id"])
    (run,) = client.batches.runs(batch_id)
    finish(served, client, run["id"])
    assert client.batches.get(batch_id)["forecast"] is None
    assert all(batch["forecast"] is None for batch in client.batches.list(limit=5))
