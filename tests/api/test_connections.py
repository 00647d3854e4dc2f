"""Connections, workflows, doubts, inbox and tokens over HTTP; and who may do what."""

from __future__ import annotations

import json

import httpx
import pytest

from orchestrator.client import Client, Conflict, Forbidden, Invalid, NotFound, Unauthorized
from sandbox.control import Sandbox
from tests.api.conftest import Served

SECRET = "sk-a-very-secret-key-1234"


def test_a_connections_key_goes_in_and_never_comes_out(
    client: Client, http: httpx.Client, sandbox: Sandbox, unique: str
) -> None:
    body = {"name": unique, "provider": "script", "base_url": sandbox.api_url, "api_key": SECRET}
    headers = {"Idempotency-Key": unique}
    answers = [http.post("/api/v1/connections", json=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    shown = [answer.text for answer in answers]
    shown += [json.dumps(client.connections.get(unique)), json.dumps(list(client.connections.list()))]
    shown += [json.dumps(client.connections.rotate(unique, SECRET + "5"))]
    assert not [text for text in shown if SECRET[:-4] in text]


def test_a_connection_lives_through_its_verbs(client: Client, sandbox: Sandbox, unique: str) -> None:
    added = client.connections.add(unique, provider="script", base_url=sandbox.api_url, api_key=sandbox.key)
    assert (added["name"], added["provider"]) == (unique, "script")
    with pytest.raises(Conflict):
        client.connections.add(unique, provider="script", base_url=sandbox.api_url, api_key=sandbox.key)
    tested = client.connections.test(unique)
    assert tested["ok"]
    assert tested["workflows"]
    assert client.connections.set(unique, max_concurrent=3)["max_concurrent"] == 3
    assert client.connections.pause(unique, reason="lunch")["status"] == "paused"
    assert client.connections.resume(unique)["status"] != "paused"
    client.connections.remove(unique)
    with pytest.raises(NotFound):
        client.connections.get(unique)
    with pytest.raises(NotFound):
        client.connections.remove(unique)


def test_a_test_with_a_wrong_key_is_an_answer_and_not_an_error(client: Client, sandbox: Sandbox, unique: str) -> None:
    client.connections.add(unique, provider="script", base_url=sandbox.api_url, api_key="sk-of-nobody")
    tested = client.connections.test(unique)
    assert not tested["ok"]
    assert (tested["error"] or {})["code"] == "key_refused"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"api_key": None}, "api_key"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"max_concurrent": "5"}, "max_concurrent"),
        ({"max_concurrent": True}, "max_concurrent"),
        ({"state": "ok"}, "state"),
        ({"name": "a\u202eb"}, "name"),
    ],
)
def test_an_odd_connection_is_refused(http: httpx.Client, change: dict[str, object], field: str) -> None:
    body = {"name": "odd", "provider": "script", "base_url": "https://example.com", "api_key": SECRET}
    answer = http.post("/api/v1/connections", json={**body, **change})
    assert (answer.status_code, [e["field"] for e in answer.json()["errors"]]) == (422, [field])
    assert SECRET not in answer.text


def test_workflows_are_listed_shown_and_set(client: Client, main: str, strict: str) -> None:
    assert strict in [workflow["id"] for workflow in client.workflows.list(main)]
    shown = client.workflows.get(main, strict)
    assert shown["input_schema"]
    changed = client.workflows.set(main, strict, on_doubt="relaunch", poll="initial=0.1,cap=0.2")
    assert (changed["on_doubt"], changed["poll"]["initial"]) == ("relaunch", 0.1)
    client.workflows.set(main, strict, on_doubt="hold")
    with pytest.raises(Invalid):
        client.workflows.set(main, strict, on_doubt="hope")
    with pytest.raises(NotFound):
        client.workflows.get("nowhere", strict)


def test_there_are_no_doubts_and_no_questions_to_begin_with(client: Client, stranger: Client) -> None:
    assert list(stranger.doubts.list()) == []
    assert list(stranger.inbox.list()) == []
    nobody = "0198f000-0000-7000-8000-000000000000"
    with pytest.raises(NotFound):
        client.inbox.get(nobody)
    with pytest.raises(NotFound):
        client.doubts.resolve(nobody, "not_started", reason="I looked")
    with pytest.raises(Invalid):
        client.doubts.resolve(nobody, "guess", reason="I looked")  # type: ignore[arg-type]


def test_a_token_does_what_its_scopes_say_until_it_is_revoked(
    served: Served, client: Client, main: str, free: str
) -> None:
    made = client.tokens.create("reader", scopes=["read"])
    with Client(served.url, made["secret"]) as reader:
        assert reader.connections.get(main)["name"] == main
        for forbidden in (
            lambda: reader.runs.submit(main, free, {}),
            lambda: reader.connections.pause(main),
            lambda: reader.connections.set(main, max_concurrent=1),
            lambda: reader.tokens.create("more"),
            lambda: reader.tokens.list(),
        ):
            with pytest.raises(Forbidden) as refused:
                forbidden()
            assert refused.value.code == "scope.missing"
        client.tokens.revoke(made["id"])
        with pytest.raises(Unauthorized):
            reader.connections.get(main)
    assert made["secret"] not in json.dumps(list(client.tokens.list()))


def test_an_expired_token_is_no_token(served: Served, client: Client) -> None:
    made = client.tokens.create("old", expires_at="2020-01-01T00:00:00Z")
    with Client(served.url, made["secret"]) as late, pytest.raises(Unauthorized):
        late.connections.list()
    with pytest.raises(Invalid):
        client.tokens.create("odd", expires_at="tomorrow")


def test_a_repeated_creation_does_not_show_the_secret_again(http: httpx.Client, unique: str) -> None:
    first, second = (
        http.post("/api/v1/tokens", json={"name": unique}, headers={"Idempotency-Key": unique}).json() for _ in range(2)
    )
    assert first["secret"].startswith("orch_live_")
    assert second == {**first, "secret": None}


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Basic eDp5",
        "Bearer nonsense",
        "Bearer " + "x" * 5000,
        "Bearer orch_live_" + "a" * 40,
    ],
)
def test_without_a_good_token_nothing_is_shown(served: Served, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    with httpx.Client(base_url=served.url, trust_env=False) as http:
        for path in ("/api/v1/runs", "/api/v1/tokens", f"/api/v1/runs?api_key={served.token}"):
            answer = http.get(path, headers=headers)
            assert (answer.status_code, answer.json()["code"]) in {(401, "unauthorized"), (401, "token.in_url")}
            assert answer.headers["www-authenticate"].startswith("Bearer")


def test_two_tokens_are_refused(served: Served) -> None:
    headers = httpx.Headers([("Authorization", f"Bearer {served.token}"), ("Authorization", "Bearer x")])
    answer = httpx.get(f"{served.url}/api/v1/runs", headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (400, "header.repeated")


def test_a_connection_is_watched_and_watched_no_more(client: Client, sandbox: Sandbox, unique: str) -> None:
    client.connections.add(unique, provider="scripe", base_url=sandbox.scripe_url, api_key=sandbox.scripe_key)
    assert client.connections.get(unique)["watch"] is None
    watched = client.connections.watch(unique, types=["POST_GENERATION"], reason="the audit covers it")["watch"]
    assert watched and watched["is_on"] and watched["types"] == ["POST_GENERATION"]
    for bad in ({"since": "yesterday"}, {"types": ["A,B"]}, {"since": "1999-01-01T00:00:00Z"}, {"type": "A"}):
        with pytest.raises(Invalid):
            client.connections._wire.post(f"/connections/{unique}:watch", bad)
    stopped = client.connections.unwatch(unique)["watch"]
    assert stopped and not stopped["is_on"]
    assert client.connections.unwatch(unique)["watch"] == stopped


def test_a_provider_without_a_list_cannot_be_watched(client: Client, main: str) -> None:
    with pytest.raises(Conflict) as refused:
        client.connections.watch(main)
    assert refused.value.code == "watch_unsupported"
