"""The catalogue of bad input, 45 to 70: access, repeats, pages and decisions. 1 to 44 are in `test_bad_input.py`.

Where we promise otherwise than the catalogue, the case says what and why. Nothing to try yet: 65, for a PATCH merges
what it is given and takes no `If-Match`, and 66, for there is no four-eyes rule.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import text

from orchestrator.api.guesses import BURST
from orchestrator.bootstrap import build
from orchestrator.client import Client
from orchestrator.settings import Settings
from tests.api.conftest import Served, running
from tests.api.test_bad_input import BATCHES, CONNECTION, CONNECTIONS, JSON, NIL, RUNS, codes, run_body

# -- 45 to 54: access ---------------------------------------------------------------------------------------------


@pytest.fixture
def bare(served: Served) -> Iterator[httpx.Client]:
    """HTTP to a server of its own: wrong tokens are counted by address, and the others here have the same."""
    with running(served.settings) as url, httpx.Client(base_url=url, trust_env=False, timeout=30) as made:
        yield made


def _flipped(token: str) -> str:
    return token[:-1] + ("0" if token[-1] != "0" else "1")


def test_45_to_51_without_a_good_token_nothing_is_told(served: Served, client: Client, bare: httpx.Client) -> None:
    revoked, expired = client.tokens.create("gone"), client.tokens.create("old", expires_at="2020-01-01T00:00:00Z")
    client.tokens.revoke(revoked["id"])
    reader = client.tokens.create("reader", scopes=["read"])
    shown = {
        "45 none": bare.get(RUNS),
        "46 a letter wrong": bare.get(RUNS, headers=_bearer(_flipped(served.token))),
        "48 revoked": bare.get(RUNS, headers=_bearer(revoked["secret"])),
        "48 expired": bare.get(RUNS, headers=_bearer(expired["secret"])),
        "50 a megabyte": bare.get(RUNS, headers=_bearer("x" * 10_000)),
    }
    for case, answer in shown.items():
        assert codes(answer) == (401, "unauthorized"), case
        assert answer.headers["www-authenticate"].startswith("Bearer"), case
    in_url = bare.get(RUNS, params={"api_key": served.token})
    assert codes(in_url) == (401, "token.in_url")
    twice = httpx.Headers([("Authorization", f"Bearer {served.token}")] * 2)
    assert codes(bare.get(RUNS, headers=twice)) == (400, "header.repeated")
    assert codes(bare.post(RUNS, json={}, headers=_bearer(reader["secret"]))) == (403, "scope.missing")


def _exposures(served: Served, token_id: str, *, a_day_later: bool = False) -> int:
    """Return how often the history says that a token stood in a URL."""
    told = text("SELECT count(*) FROM events WHERE type = 'token_exposed' AND data LIKE '%' || :token || '%'")
    age = text("UPDATE tokens SET exposed_at = exposed_at - interval '25 hours' WHERE id = CAST(:token AS uuid)")

    async def ask() -> int:
        async with build(served.settings, program="test") as deps, deps.db.transaction() as connection:
            if a_day_later:
                await connection.execute(age, {"token": token_id})
            return int((await connection.execute(told, {"token": token_id})).scalar_one())

    return asyncio.run(ask())


def test_49_a_token_in_a_url_is_told_of_once_a_day(served: Served, client: Client, bare: httpx.Client) -> None:
    made = client.tokens.create("shown")
    # Whatever stands in the header, at every door.
    for path, headers in ((RUNS, _bearer(served.token)), (RUNS, {}), ("/scripe/v1/jobs", _bearer(made["secret"]))):
        answer = bare.get(path, params={"api_key": made["secret"]}, headers=headers)
        assert answer.status_code == 401 and "does not belong into a URL" in answer.text, path
    for headers in ({}, {"x-api-key": made["secret"]}, {"x-api-key": "nonsense"}):
        answer = bare.get("/script/api/v1/workflows", params={"k": made["secret"]}, headers=headers)
        assert answer.status_code == 401 and "does not belong into a URL" in answer.text
    assert _exposures(served, made["id"]) == 1
    assert _exposures(served, made["id"], a_day_later=True) == 1
    for _ in range(2):
        bare.get(RUNS, params={"api_key": made["secret"]})
    assert _exposures(served, made["id"]) == 2


def test_49_a_token_in_a_url_is_refused_while_the_database_is_away(served: Served) -> None:
    gone = {**served.settings.model_dump(), "database_url": "postgresql+psycopg://x:y@127.0.0.1:9/none"}
    with running(Settings.model_validate(gone)) as url, httpx.Client(base_url=url, trust_env=False) as http:
        assert codes(http.get(RUNS, params={"api_key": served.token})) == (401, "token.in_url")


def test_47_an_unknown_token_is_answered_like_a_mistyped_one(
    served: Served, client: Client, bare: httpx.Client
) -> None:
    made = client.tokens.create("gone")
    client.tokens.revoke(made["id"])
    unknown, mistyped = (
        bare.get(RUNS, headers=_bearer(token)).json() for token in (made["secret"], _flipped(made["secret"]))
    )
    # The one who mistyped is told so, and learns nothing of tokens that exist.
    assert unknown["code"] == mistyped["code"]


def test_52_to_54_another_workspace_is_not_there(
    http: httpx.Client, stranger: Client, main: str, free: str, unique: str
) -> None:
    body = {"connection": main, "workflow_id": free, "input": {}}
    run = http.post(RUNS, json=body, headers={"Idempotency-Key": unique}).json()
    strangers = stranger._wire._http
    assert codes(strangers.get(f"{RUNS}/{run['id']}")) == codes(strangers.get(f"{RUNS}/{NIL}"))
    assert strangers.post(RUNS, json=body, headers={"Idempotency-Key": unique}).status_code == 404
    assert strangers.post(CONNECTIONS, json={"name": main, **CONNECTION}).status_code == 201
    stranger.connections.remove(main)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# -- 55 to 70: repeats, pages, decisions --------------------------------------------------------------------------


def test_55_to_58_a_key_is_for_one_request(http: httpx.Client, main: str, free: str, unique: str) -> None:
    key = {**JSON, "Idempotency-Key": unique}
    first = http.post(RUNS, content=run_body(main, free, '{"a":1,"b":2}'), headers=key)
    other_order = f'{{ "input": {{"b":2, "a":1}},\n "workflow_id":"{free}", "connection":"{main}" }}'.encode()
    for same in (run_body(main, free, '{"a":1,"b":2}'), other_order):
        again = http.post(RUNS, content=same, headers=key)
        assert (again.status_code, again.json()) == (first.status_code, first.json())
        assert again.headers["idempotent-replayed"] == "true"
    for other in ('{"a":1.0,"b":2}', '{"a":"1","b":2}', '{"a":1}'):
        assert codes(http.post(RUNS, content=run_body(main, free, other), headers=key)) == (422, "idempotency.mismatch")
    elsewhere = http.post(f"{CONNECTIONS}/{main}:resume", json={}, headers={"Idempotency-Key": unique})
    assert codes(elsewhere) == (422, "idempotency.mismatch")


@pytest.mark.parametrize("key", ["k" * 256, "", "schlüssel", '"'], ids=["59 long", "59 empty", "59 umlaut", "59 quote"])
def test_an_odd_key_is_refused(http: httpx.Client, main: str, key: str) -> None:
    headers = httpx.Headers([(b"Idempotency-Key", key.encode())])
    answer = http.post(f"{CONNECTIONS}/{main}:resume", json={}, headers=headers)
    assert (answer.status_code == 400 and answer.json()["code"] == "idempotency.key") or key == '"'


def test_61_a_refused_request_does_not_use_up_its_key(http: httpx.Client, main: str, free: str, unique: str) -> None:
    key = {**JSON, "Idempotency-Key": unique}
    assert http.post(RUNS, content=run_body(main, free, "[]"), headers=key).status_code == 422
    assert http.post(RUNS, content=run_body(main, free), headers=key).status_code == 201


def test_62_two_keys_are_refused(http: httpx.Client, main: str) -> None:
    headers = httpx.Headers([("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
    assert codes(http.post(f"{CONNECTIONS}/{main}:resume", json={}, headers=headers)) == (400, "header.repeated")


def test_63_and_64_a_cursor_shows_its_own_page_or_none(
    http: httpx.Client, client: Client, stranger: Client, main: str, free: str
) -> None:
    # A cursor is a place in a list, not a snapshot: an old one still shows just what follows that place.
    for _ in range(2):
        client.runs.submit(main, free, {})
    cursor = http.get(RUNS, params={"limit": 1}).json()["pagination"]["next_cursor"]
    wrong = [
        http.get(RUNS, params={"cursor": cursor[:-1] + ("A" if cursor[-1] != "A" else "B")}),
        http.get(RUNS, params={"cursor": cursor, "status": "queued"}),
        http.get(BATCHES, params={"cursor": cursor}),
        stranger._wire._http.get(RUNS, params={"cursor": cursor}),
    ]
    assert [codes(answer) for answer in wrong] == [(400, "cursor.invalid")] * 4


def test_67_to_69_what_is_over_cannot_be_decided_again(
    http: httpx.Client, client: Client, main: str, free: str
) -> None:
    run = client.runs.submit(main, free, {})
    cancel = f"{RUNS}/{run['id']}:cancel"
    first, second = http.post(cancel, json={}), http.post(cancel, json={})
    assert first.status_code == 200
    assert second.status_code in (200, 409)
    assert http.get(f"{RUNS}/{run['id']}").json()["status"] == "cancelled"
    resolve = {"how": "not_started", "reason": "I looked"}
    assert http.post(f"/api/v1/doubts/{run['id']}:resolve", json=resolve).status_code in (404, 409)


def test_70_wrong_tokens_are_limited_by_address_and_lock_out_no_good_one(client: Client, bare: httpx.Client) -> None:
    answers = [bare.get(RUNS, headers=_bearer(f"orch_live_{n:040}")) for n in range(BURST + 2)]
    assert answers[0].status_code == 401
    assert codes(answers[-1]) == (429, "token.guessed")
    assert int(answers[-1].headers["retry-after"]) >= 1
    never_shown_before = client.tokens.create("new")["secret"]
    assert bare.get(RUNS, headers=_bearer(never_shown_before)).status_code == 200
