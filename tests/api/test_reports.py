"""Reports over HTTP: written whole, checked by their hash, and each one an event."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from orchestrator.client import Client, Invalid, NotFound
from tests.api.conftest import Served, finish


def submitted(client: Client, served: Served, main: str, free: str, unique: str, count: int = 3) -> str:
    rows = "\n".join(json.dumps({"n": n, "of": unique}) for n in range(count)).encode()
    batch = client.batches.submit(rows, "jsonl", connection=main, workflow_id=free, name=f"<b>{unique}</b>")
    for run in client.runs.list(batch=str(batch["id"])):
        finish(served, client, run["id"])
    return str(batch["id"])


def test_a_batch_is_reported_as_a_page_a_table_and_json(
    client: Client, served: Served, main: str, free: str, unique: str, tmp_path: Path
) -> None:
    batch_id = submitted(client, served, main, free, unique)
    page = client.reports.batch(batch_id, tmp_path / "page.html", sum_input="n")
    assert page["adds_up"]
    text = (tmp_path / "page.html").read_text()
    assert "adds up" in text
    assert f"<b>{unique}" not in text, "a name from outside is never markup"
    client.reports.batch(batch_id, tmp_path / "rows.csv", format="csv", list="runs")
    with (tmp_path / "rows.csv").open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["finished"] * 3
    client.reports.batch(batch_id, tmp_path / "all.json", format="json")
    assert json.loads((tmp_path / "all.json").read_text())
    assert not list(tmp_path.glob(".*.part"))


def test_a_period_and_a_run_are_reported(
    client: Client, served: Served, main: str, free: str, unique: str, tmp_path: Path
) -> None:
    batch_id = submitted(client, served, main, free, unique, count=1)
    (run,) = client.runs.list(batch=batch_id)
    assert client.reports.run(run["id"], tmp_path / "run.html")["adds_up"]
    now = datetime.now(UTC)
    since, until = (now - timedelta(hours=1)).isoformat(), (now + timedelta(hours=1)).isoformat()
    made = client.reports.period(since, until, tmp_path / "period.html", tz="Europe/Zurich")
    assert made["adds_up"]
    assert made["size_bytes"] > 5_000
    client.reports.period(since, until, tmp_path / "period.csv", format="csv", workflow=free)


def test_the_days_of_a_period_begin_where_its_clock_is(client: Client, tmp_path: Path) -> None:
    """A month in Zurich begins an hour or two before it does in Greenwich, and its last day is no day short."""
    path = tmp_path / "period.json"
    client.reports.period("2026-03-01", "2026-04-01", path, format="json", tz="Europe/Zurich")
    head = json.loads(path.read_text())["head"]
    assert (head["since"], head["until"]) == ("2026-02-28T23:00:00.000Z", "2026-03-31T22:00:00.000Z")
    client.reports.period("2026-03-01", "2026-04-01", path, format="json")
    assert json.loads(path.read_text())["head"]["since"] == "2026-03-01T00:00:00.000Z"
    client.reports.period("2026-03-01T00:00:00Z", "2026-04-01", path, format="json", tz="Europe/Zurich")
    assert json.loads(path.read_text())["head"]["since"] == "2026-03-01T00:00:00.000Z"


def test_a_report_is_itself_an_event_with_its_hash(
    client: Client, served: Served, main: str, free: str, unique: str, tmp_path: Path
) -> None:
    import psycopg

    batch_id = submitted(client, served, main, free, unique, count=1)
    made = client.reports.batch(batch_id, tmp_path / "page.html")
    dsn = served.settings.require_database_url().replace("+psycopg", "")
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "SELECT actor, data FROM events WHERE stream = %s AND type = 'report_made' ORDER BY seq DESC LIMIT 1",
            (served.workspace,),
        ).fetchone()
    assert row is not None
    told = json.loads(row[1])
    assert (row[0], told["batch"], told["sha256"]) == ("token:test", batch_id, made["sha256"])


def test_what_cannot_be_reported_is_refused(client: Client, http: httpx.Client, unique: str, tmp_path: Path) -> None:
    nobody = "01a200af-1dd3-7f37-ba77-6c1fa5b16e9e"
    for ask in (client.reports.batch, client.reports.run):
        with pytest.raises(NotFound):
            ask(nobody, tmp_path / "x.html")
    for query in (
        "",
        "from=2026-01-01",
        "from=2026-01-02&to=2026-01-01",
        "from=yesterday&to=2026-01-01",
        "from=2026-01-01&to=2026-01-02&format=pdf",
        "from=2026-01-01&to=2026-01-02&tz=Nowhere/Land",
        "from=2026-01-01&to=2026-01-02&format=csv&list=secrets",
    ):
        answer = http.get(f"/api/v1/reports/period?{query}")
        assert answer.status_code == 422, (query, answer.text)
    with pytest.raises(Invalid):
        client.reports.period("2026-01-02", "2026-01-01", tmp_path / "x.html")
    assert list(tmp_path.iterdir()) == []
