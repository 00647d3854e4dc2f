"""In and out: by token, by a link that works once, and what ends a session."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from orchestrator.bootstrap import build
from orchestrator.client import Client
from orchestrator.engine import sessions
from tests.web.conftest import visitor
from tests.web.product import Product, finished


def link_of(made: Product, token: str) -> str:
    async def make() -> str:
        async with build(made.settings, program="test") as deps:
            return await sessions.make_link(deps, token)

    return finished(make())


def test_a_token_gets_a_session_whose_cookie_no_script_and_no_other_site_can_use(made: Product) -> None:
    with visitor(made) as client:
        answer = client.post("/sign-in", data={"token": made.token, "next": "/runs"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/runs")
        cookie = answer.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
        assert made.token not in cookie
        assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    "there", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", ""]
)
def test_signing_in_never_leads_elsewhere(made: Product, there: str) -> None:
    with visitor(made) as client:
        answer = client.post("/sign-in", data={"token": made.token, "next": there})
        assert answer.headers["location"] == "/"


def test_a_wrong_token_stays_at_the_door_and_gets_nothing(made: Product) -> None:
    with visitor(made) as client:
        answer = client.post("/sign-in", data={"token": "orch_live_wrong"})
        assert (answer.status_code, "unauthorized" in answer.text, "orch_live_wrong" in answer.text) == (
            401,
            True,
            False,
        )
        assert "set-cookie" not in answer.headers


def test_looking_at_the_door_signs_nobody_in_and_uses_no_link_up(made: Product) -> None:
    code = link_of(made, made.token)
    with visitor(made) as client:
        for path in ("/sign-in", f"/sign-in?next=/{code}", f"/sign-in#{code}"):
            assert "set-cookie" not in client.get(path).headers
        assert client.post("/sign-in", data={"code": code}).status_code == 303
        assert client.get("/").status_code == 200


def told(made: Product, name: str) -> list[dict[str, Any]]:
    """Return what the history says of sessions of a token, the earliest first, each with its type."""

    async def read() -> list[dict[str, Any]]:
        async with build(made.settings, program="test") as deps:
            found = await deps.db.run(
                lambda connection: connection.execute(
                    text("SELECT type, data FROM events WHERE actor = :actor AND type LIKE 'session%' ORDER BY seq"),
                    {"actor": f"token:{name}"},
                )
            )
            return [{"type": row.type, **json.loads(row.data)} for row in found]

    return finished(read())


def test_who_signed_in_and_out_and_from_where_stands_in_the_audit(made: Product, web: httpx.Client) -> None:
    with made.client() as client:
        token = client.tokens.create("auditee", scopes=["read"])["secret"]
    with visitor(made, token) as client:
        assert client.get("/").status_code == 200
        client.post("/sign-out")
        client.post("/sign-out")
    with visitor(made) as client:
        forwarded = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
        assert client.post("/sign-in", data={"code": link_of(made, token)}, headers=forwarded).status_code == 303
        assert client.post("/sign-in", data={"token": token[:-4] + "zzzz"}).status_code == 401
    opened, closed, linked = told(made, "auditee")
    assert (opened["type"], opened["by"], opened["address"]) == ("session_opened", "token", "127.0.0.1")
    assert (closed["type"], closed["session"], closed["address"]) == ("session_closed", opened["session"], "127.0.0.1")
    assert (linked["type"], linked["by"], linked["address"]) == ("session_opened", "link", "127.0.0.1")
    assert linked["session"] != opened["session"]
    shown = web.get("/audit?about=session&actor=token:auditee").text
    assert shown.count("session_opened") + shown.count("session opened") >= 2, shown
    assert "127.0.0.1" in shown
    assert made.token not in shown


def test_a_link_works_once(made: Product) -> None:
    code = link_of(made, made.token)
    with visitor(made) as first, visitor(made) as second:
        assert first.post("/sign-in", data={"code": code}).status_code == 303
        answer = second.post("/sign-in", data={"code": code})
        assert (answer.status_code, "used already" in answer.text) == (401, True)


def test_a_link_that_is_over_signs_nobody_in(made: Product) -> None:
    code = link_of(made, made.token)
    made.sql("UPDATE sign_in_links SET expires_at = orch_now() - interval '1 second'")
    with visitor(made) as client:
        assert client.post("/sign-in", data={"code": code}).status_code == 401


def test_signing_out_ends_the_session_itself_and_not_only_the_cookie(made: Product) -> None:
    with visitor(made, made.token) as client:
        stolen = dict(client.cookies)
        answer = client.post("/sign-out")
        assert (answer.status_code, answer.headers["clear-site-data"]) == (303, '"cache"')
        assert httpx.get(made.url + "/", cookies=stolen, trust_env=False).status_code == 303


def test_a_session_ends_with_its_token(made: Product) -> None:
    token = made.new_token("read")
    with visitor(made, token) as client, made.client() as api:
        assert client.get("/").status_code == 200
        _revoke(api, "read")
        assert client.get("/").status_code == 303


def _revoke(api: Client, name: str) -> None:
    for token in api.tokens.list():
        if token["name"] == name and token["revoked_at"] is None:
            api.tokens.revoke(token["id"])


@pytest.mark.parametrize(
    "column", ["last_used_at = orch_now() - interval '12 hours'", "created_at = orch_now() - interval '7 days'"]
)
def test_a_session_ends_by_itself(made: Product, column: str) -> None:
    with visitor(made, made.token) as client:
        made.sql(f"UPDATE sessions SET {column}")
        assert client.get("/").status_code == 303


def test_a_poll_of_a_page_whose_session_ended_is_sent_to_the_door_as_a_whole(made: Product) -> None:
    with visitor(made) as client:
        answer = client.get("/runs?status=error", headers={"HX-Request": "true"})
        assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/sign-in?next=%2Fruns%3Fstatus%3Derror")


def test_wrong_tokens_are_limited_at_the_door_as_they_are_in_the_api(made: Product, monkeypatch: Any) -> None:
    monkeypatch.setattr("orchestrator.api.guesses.BURST", 1)
    with visitor(made) as client:
        client.post("/sign-in", data={"code": "x" * 43})
        answer = client.post("/sign-in", data={"code": "y" * 43})
        assert (answer.status_code, "token.guessed" in answer.text) == (429, True)


def test_a_token_in_the_url_is_refused_and_told_of(made: Product) -> None:
    answer = httpx.get(f"{made.url}/sign-in?token={made.new_token('read', 'submit')}", trust_env=False)
    assert (answer.status_code, "token.in_url" in answer.text) == (401, True)


def test_what_a_browser_prefers_is_written_into_the_page_by_the_server(web: httpx.Client) -> None:
    assert 'data-theme="auto" data-live="on" data-keys="on"' in web.get("/").text
    for name, value in (("theme", "dark"), ("live", "off"), ("keys", "off"), ("theme", "<script>")):
        web.post("/preferences", data={name: value, "back": "/runs"})
    assert 'data-theme="dark" data-live="off" data-keys="off"' in web.get("/").text
