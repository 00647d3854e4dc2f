"""The audit over HTTP: every event exactly once while others come, by any filter, of one's own workspace; proof."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from orchestrator.bootstrap import build
from orchestrator.client import Client, Invalid, NotFound
from orchestrator.domain.chain import NewEvent
from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.engine import audit_look, checkpoints
from orchestrator.storage import audit_look as stored
from orchestrator.storage import events
from tests.api.conftest import Served, _first_token


@contextmanager
def office(served: Served, name: str) -> Iterator[tuple[Client, UUID]]:
    """A client of a workspace that nobody else writes to, and its id."""
    workspace, token = asyncio.run(_first_token(served.settings, name))
    with Client(served.url, token) as made:
        yield made, workspace


@pytest.fixture
def own(served: Served, unique: str) -> Iterator[tuple[Client, UUID]]:
    with office(served, f"audit-{unique}") as made:
        yield made


@contextmanager
def tampering(postgres: EmbeddedPostgres) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """The database's owner, who may change what nobody may change."""
    with psycopg.connect(postgres.superuser_libpq("api"), autocommit=True) as connection:
        partitions = [row[0] for row in connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass")]  # fmt: skip
        for table in partitions:
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
        try:
            yield connection
        finally:
            for table in partitions:
                connection.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER no_change".encode())
                connection.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER no_truncate".encode())


def appended(served: Served, workspace: UUID, told: list[tuple[NewEvent, datetime]]) -> None:
    """Write events that happen when they are said to."""

    async def write(connection: Any) -> None:
        for event, at in told:
            await events.append_to_workspace(connection, workspace, [event], at=at)

    async def act() -> None:
        async with build(served.settings, program="test") as deps:
            await deps.db.run(write)

    asyncio.run(act())


def walked(http: httpx.Client, **query: str) -> Iterator[list[dict[str, Any]]]:
    """Give a list's pages; what the test does between them happens between the requests."""
    cursor: str | None = ""
    while cursor is not None:
        answer = http.get("/api/v1/audit", params=query | ({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        told = answer.json()
        yield told["data"]
        cursor = told["pagination"]["next_cursor"]
        assert told["pagination"]["has_more"] is (cursor is not None)


def test_every_event_is_shown_exactly_once_while_others_are_written(http: httpx.Client, client: Client) -> None:
    for _ in range(12):
        client.tokens.create("walked")
    seen: list[int] = []
    for page in walked(http, limit="5"):
        assert len(page) <= 5
        seen += [event["seq"] for event in page]
        client.tokens.create("written meanwhile")
    assert seen == list(range(seen[0], 0, -1))
    assert len(seen) >= 12


def test_an_event_says_who_did_what_to_what_and_why_with_before_and_after(
    client: Client, unique: str, main: str
) -> None:
    client.connections.add(unique, provider="script", base_url="https://a.example/v1", api_key="k", max_concurrent=3)
    client.connections.set(unique, max_concurrent=7, reason="more slots")
    event = next(client.audit.list(words=unique, limit=1))
    assert (event["type"], event["actor"], event["reason"]) == ("connection_set", "token:test", "more slots")
    assert event["target"] == {"kind": "connection", "id": unique}
    assert {"name": "max_concurrent", "was": 3, "now": 7} in event["changed"]
    assert len(event["hash"]) == 64
    assert "facts" not in event, "it would say the same twice"
    client.connections.remove(unique)


def test_what_is_asked_for_comes_and_nothing_else(own: tuple[Client, UUID]) -> None:
    client, _ = own
    for name in ("ann", "ben"):
        client.tokens.create(name)
        client.webhooks.add(name, "https://hooks.example/x")
    every = list(client.audit.list())
    assert [event["type"] for event in every[:4]] == ["webhook_added", "token_created"] * 2

    def asked(**filters: Any) -> list[int]:
        return [event["seq"] for event in client.audit.list(**filters)]

    def those(*types: str) -> list[int]:
        return [event["seq"] for event in every if event["type"] in types]

    assert asked(about="webhook") == those("webhook_added")
    assert asked(types=["token_created"]) == those("token_created")
    assert asked(types=["token_created", "webhook_added"]) == those("token_created", "webhook_added")
    assert asked(about="token", types=["token_created"]) == those("token_created")
    assert asked(types=["run_walked"]) == []
    assert asked(actor="token:test") == [event["seq"] for event in every if event["actor"] == "token:test"]
    assert asked(actor="token:nobody") == []
    assert asked(words="BEN") == [event["seq"] for event in every if "ben" in str(event["data"])]
    assert asked(words="BEN", about="webhook") == [every[0]["seq"]]


def test_a_filter_that_few_events_pass_is_walked_stretch_by_stretch(
    own: tuple[Client, UUID], served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, workspace = own
    now = datetime.now(UTC)
    kinds = ["rare" if n in (3, 4, 17, 39) else "frequent" for n in range(40)]
    appended(served, workspace, [(NewEvent(type=kind, data={"n": n}), now) for n, kind in enumerate(kinds)])
    for module in (audit_look, stored):
        monkeypatch.setattr(module, "STRETCH", 6)
    _, token = asyncio.run(_first_token(served.settings, _name_of(served, workspace)))
    with httpx.Client(base_url=served.url, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as http:
        pages = list(walked(http, type="rare"))
    assert [event["data"]["n"] for page in pages for event in page] == [39, 17, 4, 3]
    assert [] in pages, "a page may be empty, and still have a next one"
    assert len(pages) > 5


def _name_of(served: Served, workspace: UUID) -> str:
    with psycopg.connect(served.settings.require_database_url().replace("+psycopg", "")) as connection:
        row = connection.execute("SELECT name FROM workspaces WHERE id = %s", (workspace,)).fetchone()
    assert row is not None
    return str(row[0])


def test_a_period_holds_what_was_done_in_it_and_both_its_ends(
    own: tuple[Client, UUID], served: Served, postgres: EmbeddedPostgres
) -> None:
    client, workspace = own
    random.seed(20261130)
    begin = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    times = sorted(begin + timedelta(minutes=random.choice((0, 1, 7, 60, 1440)) * n) for n in range(60))
    appended(served, workspace, [(NewEvent(type="tick", data={"n": n}), at) for n, at in enumerate(times)])

    def check(known: dict[int, datetime]) -> None:
        for _ in range(25):
            first, last = sorted(random.choice((*times, begin, begin + timedelta(days=30))) for _ in range(2))
            found = client.audit.list(types=["tick"], since=first.isoformat(), until=last.isoformat())
            wanted = [n for n, at in known.items() if first <= at <= last]
            assert [event["data"]["n"] for event in found] == wanted[::-1], (first, last)

    everything = dict(enumerate(times))
    check(everything)
    assert list(client.audit.list(until="2001-01-01")) == []
    assert list(client.audit.list(since="8999-01-01")) == []
    gone = random.sample(range(60), 9)
    with tampering(postgres) as owner:
        owner.execute(
            "DELETE FROM events WHERE stream = %s AND data = ANY(%s)", (workspace, [f'{{"n":{n}}}' for n in gone])
        )
    check({n: at for n, at in everything.items() if n not in gone})


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("about=nonsense", "field.value"),
        ("about=token&type=webhook_added", "field.value"),
        ("type=a,,b", "field.value"),
        ("actor=", "field.value"),
        ("limit=0", "field.range"),
        ("dateFrom=yesterday", "field.value"),
        ("q=x", "query.unknown"),
    ],
)
def test_what_cannot_be_asked_is_refused(http: httpx.Client, query: str, code: str) -> None:
    answer = http.get(f"/api/v1/audit?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text


def test_a_cursor_is_good_for_its_own_list_its_filters_and_its_workspace_only(
    http: httpx.Client, client: Client, served: Served, own: tuple[Client, UUID]
) -> None:
    client.tokens.create("one more")
    cursor = http.get("/api/v1/audit?about=token&limit=1").json()["pagination"]["next_cursor"]
    assert http.get("/api/v1/audit", params={"about": "token", "cursor": cursor}).status_code == 200
    _, foreign = asyncio.run(_first_token(served.settings, _name_of(served, own[1])))
    bad: list[tuple[str, dict[str, str], str]] = [
        ("/audit", {"cursor": cursor}, served.token),
        ("/audit", {"about": "webhook", "cursor": cursor}, served.token),
        ("/audit", {"about": "token", "actor": "token:test", "cursor": cursor}, served.token),
        ("/audit/checkpoints", {"cursor": cursor}, served.token),
        ("/audit", {"about": "token", "cursor": cursor}, foreign),
        ("/audit", {"about": "token", "cursor": cursor[:-1] + ("A" if cursor[-1] != "A" else "B")}, served.token),
        ("/audit", {"about": "token", "cursor": "nonsense"}, served.token),
    ]
    for path, query, token in bad:
        answer = http.get(f"/api/v1{path}", params=query, headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["code"]) == (400, "cursor.invalid"), (path, query)


def test_what_is_as_it_was_is_not_sent_again(http: httpx.Client, client: Client) -> None:
    for path in ("/audit", "/audit/chain", "/audit/checkpoints"):
        answer = http.get(f"/api/v1{path}")
        again = http.get(f"/api/v1{path}", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b""), path
    known = http.get("/api/v1/audit").headers["etag"]
    client.tokens.create("news")
    assert http.get("/api/v1/audit", headers={"If-None-Match": known}).status_code == 200


def test_a_stranger_sees_nothing_of_what_others_did(client: Client, stranger: Client, unique: str) -> None:
    client.webhooks.add(f"secret-{unique}", "https://hooks.example/x")
    assert list(client.audit.list(words=f"secret-{unique}"))
    told = list(stranger.audit.list())
    assert f"secret-{unique}" not in str(told)
    assert "token_created" in {event["type"] for event in told}, "their own"
    assert stranger.audit.chain()["to_seq"] == told[0]["seq"]


def test_a_report_is_known_again_by_its_hash_to_those_who_made_it(
    client: Client, stranger: Client, main: str, free: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = client.runs.submit(main, free, {})
    made = client.reports.run(run["id"], tmp_path / "run.html")
    sha256 = hashlib.sha256((tmp_path / "run.html").read_bytes()).hexdigest()
    found = client.audit.report(sha256)
    assert (found["sha256"], found["actor"], found["data"]["sha256"]) == (sha256, "token:test", made["sha256"])
    assert found["target"] == {"kind": "run", "id": run["id"]}
    assert client.audit.report(sha256.upper())["seq"] == found["seq"]
    for asking, wanted in ((stranger, sha256), (client, "0" * 64)):
        with pytest.raises(NotFound) as refused:
            asking.audit.report(wanted)
        assert refused.value.code == "report_not_found"
        assert "in this workspace" in refused.value.message
    with pytest.raises(Invalid):
        client.audit.report("zz")
    for _ in range(5):
        client.tokens.create("later")
    for module in (audit_look, stored):
        monkeypatch.setattr(module, "STRETCH", 1)
    with pytest.raises(NotFound, match="latest 4 events"):
        client.audit.report(sha256)


def test_checkpoints_are_listed_signed_and_outside(own: tuple[Client, UUID], served: Served) -> None:
    client, _ = own
    assert client.audit.checkpoints() == []

    async def sign() -> None:
        async with build(served.settings, program="test") as deps:
            await checkpoints.keep(deps, at_once=True)

    for name in ("a", "b", "c"):
        client.tokens.create(name)
        asyncio.run(sign())
    told = client.audit.checkpoints()
    assert [each["number"] for each in told] == [3, 2, 1]
    assert [each["events"] for each in told] == [4, 3, 2]
    assert all(each["is_signed"] and each["is_outside"] for each in told)
    assert [each["number"] for each in client.audit.checkpoints(limit=2)] == [3, 2]
    anchors = client.audit.chain()["anchors"]
    assert (anchors["can_be_read"], anchors["last"], anchors["trouble"]) == (True, 3, None)
    seen: list[int] = []
    query: dict[str, str | None] = {"limit": "1"}
    while not seen or query["cursor"] is not None:
        page = client._wire.get("/audit/checkpoints", query)
        seen += [each["number"] for each in page["data"]]
        query["cursor"] = page["pagination"]["next_cursor"]
    assert seen == [3, 2, 1]


def test_a_history_that_was_changed_is_told_and_shown(
    own: tuple[Client, UUID], served: Served, postgres: EmbeddedPostgres
) -> None:
    client, workspace = own
    for name in ("a", "b", "c"):
        client.tokens.create(name)
    chain = client.audit.chain()
    assert (chain["broken"], chain["is_whole"], chain["from_seq"], chain["to_seq"]) == (None, True, 1, 4)
    change = "UPDATE events SET {} = %s WHERE stream = %s AND seq = 2"
    with tampering(postgres) as owner:
        owner.execute(change.format("actor").encode(), ("token:innocent", workspace))
        broken = client.audit.chain()["broken"]
        assert broken is not None and "event 2" in broken
        for text in ("no JSON", "[1]", '{"n":NaN}'):
            owner.execute(change.format("data").encode(), (text, workspace))
            assert [event["seq"] for event in client.audit.list()] == [4, 3, 2, 1], "the rest is shown all the same"
        owner.execute("DELETE FROM events WHERE stream = %s AND seq = 4", (workspace,))
        owner.execute("DELETE FROM events WHERE stream = %s AND seq = 2", (workspace,))
        assert client.audit.chain()["broken"] is not None
