"""Connections, reports, the audit and the system as pages: keys that never come out, totals, proof, secrets once."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import migrations
from orchestrator.domain.error_codes import catalogue
from orchestrator.web import schema_table
from tests.web.conftest import visitor
from tests.web.hostile import HOSTILE
from tests.web.product import Product

KEY = "sk-live-a-key-that-nobody-may-see-4711"


@pytest.fixture(scope="module")
def spare(made: Product) -> Iterator[str]:
    """A connection of its own, added by the page's form, to be changed and removed."""
    with visitor(made, made.token) as web:
        form = {"name": "spare", "provider": "script", "base_url": made.sandbox.api_url, "api_key": KEY}
        answer = web.post("/connections", data=form | {"requests_per_minute": "", "max_concurrent": "3"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/connections/spare"), answer.text
        yield "/connections/spare"


def said(web: httpx.Client, answer: httpx.Response) -> str:
    """Follow an act's redirect, and return the page."""
    assert answer.status_code == 303, answer.text
    return web.get(answer.headers["location"]).text


def test_a_key_goes_in_and_never_comes_out(spare: str, web: httpx.Client) -> None:
    other = KEY.replace("4711", "9999")
    text = said(web, web.post(f"{spare}/rotate", data={"api_key": other, "reason": "it leaked"}))
    assert "The new key is in" in text
    assert "…9999" in text
    for path in (spare, "/connections", "/audit?about=connection", "/system", "/system/settings"):
        page = web.get(path).text
        assert "nobody-may-see" not in page, path
    assert "it leaked" in web.get("/audit?words=spare").text


def test_a_connection_that_is_refused_is_asked_for_again_with_all_but_its_key(web: httpx.Client) -> None:
    form = {"name": "odd one", "provider": "scripe", "base_url": "https://u:p@provider.example/v1", "api_key": KEY}
    answer = web.post("/connections", data=form)
    assert (answer.status_code, KEY in answer.text) == (422, False)
    for kept in ('value="odd one"', "<option selected>scripe", "provider.example/v1", "What to do:"):
        assert kept in answer.text


def test_a_test_says_what_came_of_it_and_launches_nothing(made: Product, spare: str, web: httpx.Client) -> None:
    def launches() -> int:
        count: int = made.sandbox.truth()["summary"]["launches"]
        return count

    def both_tested() -> bool:
        """Test a connection that is refused and one that works; tell whether nothing was launched meanwhile."""
        before = launches()
        text = said(web, web.post(f"{spare}/test", data={"reason": ""}))
        assert "It does not work: " in text, "its key is not one of the provider's"
        assert "key_refused" in text
        text = said(web, web.post("/connections/main/test", data={"reason": ""}))
        assert "It works: the provider answered with" in text
        return launches() == before

    # The world's own runs go on beside. Did a test launch anything, no try would find the count as it was.
    assert any(both_tested() for _ in range(5))


def test_a_paused_connection_says_by_whom_and_why_is_in_the_audit(spare: str, web: httpx.Client) -> None:
    assert web.post(f"{spare}/pause", data={"reason": " "}).status_code == 422, "it needs a reason"
    text = said(web, web.post(f"{spare}/pause", data={"reason": HOSTILE}))
    assert "Paused by token:Ada Operator: nothing is launched" in text
    assert HOSTILE not in web.get("/audit").text
    assert "&lt;img src=x" in web.get("/audit").text
    assert "Resumed: launches go on" in said(web, web.post(f"{spare}/resume", data={"reason": ""}))


def test_limits_are_changed_and_the_audit_tells_what_was_before(spare: str, web: httpx.Client) -> None:
    assert web.post(f"{spare}/set", data={"max_concurrent": "0"}).status_code == 422
    said(web, web.post(f"{spare}/set", data={"max_concurrent": "7", "base_url": "", "reason": "more slots"}))
    assert re.search(r"<b>max concurrent</b> 3 → 7", web.get("/audit?about=connection").text)


def test_an_answer_429_is_counted_and_shown(made: Product, web: httpx.Client) -> None:
    form = {"name": "throttled", "provider": "script", "base_url": made.sandbox.api_url, "api_key": made.sandbox.key}
    assert web.post("/connections", data=form | {"limit_group": "throttled"}).status_code == 303
    rules = made.sandbox.faults([{"fault": "429", "kind": "list", "times": 1}])
    try:
        text = said(web, web.post("/connections/throttled/test", data={"reason": ""}))
    finally:
        made.sandbox.call("DELETE", f"/faults/{rules[0]['id']}")
    assert "throttled" in text
    assert "1 turned away (429)" in text


def test_a_connection_is_removed_by_its_name_only(spare: str, web: httpx.Client) -> None:
    assert web.post(f"{spare}/remove", data={"typed": "spar", "reason": "x"}).status_code == 422
    assert "spare is removed" in said(web, web.post(f"{spare}/remove", data={"typed": "spare", "reason": "done"}))
    assert web.get(spare).status_code == 404


def test_a_workflows_policies_are_set_in_the_words_of_the_command(made: Product, web: httpx.Client) -> None:
    there = f"/connections/main/workflows/{made.sandbox.workflows['Send welcome email']}"
    assert "<code>email</code>" in web.get(there).text
    text = said(web, web.post(f"{there}/set", data={"on_doubt": "fail", "initial": "0.1", "cap": "", "reason": "r"}))
    assert "fail: the run ends as an error" in text
    assert web.post(f"{there}/set", data={"factor": "many"}).status_code == 422
    assert "hold → fail" in web.get("/audit?about=workflow").text


def test_a_schema_of_any_shape_is_a_table() -> None:
    deep = {"properties": {"a": {"type": "object", "properties": {"b": {"type": ["string", "null"], "maxLength": 3}}}}}
    assert [(f.name, f.depth, f.type, f.limits) for f in schema_table.rows(deep)] == [
        ("a", 0, "object", ""),
        ("b", 1, "string or null", "characters, at most 3"),
    ]
    odd: Any
    for odd in (None, [], "x", {"properties": 3}, {"properties": {"a": 7}}, {"items": {"items": {}}}):
        assert len(schema_table.rows(odd)) <= 1


def test_a_report_adds_up_and_its_file_is_known_again(made: Product, web: httpx.Client) -> None:
    query = f"kind=batch&batch={made.ids['batch']}"
    totals = web.get(f"/reports/totals?{query}")
    assert totals.text.count("adds up") > 5
    assert "does not add up" not in totals.text
    file = web.get(f"/reports/file?{query}&format=csv&list=totals")
    assert file.headers["content-disposition"].startswith("attachment")
    sha256 = hashlib.sha256(file.content).hexdigest()
    assert "Yes: it was given to Ada Operator" in web.get(f"/reports?sha256={sha256}").text
    assert "No report of this SHA-256" in web.get(f"/reports?sha256={'0' * 64}").text
    assert web.get("/reports?sha256=zz").status_code == 422


@pytest.mark.parametrize("query", [
    "kind=period&from=2026-11-01", "kind=period&from=2026-11-02&to=2026-11-01", "kind=batch", "kind=run&run=x",
    "kind=month", "kind=period&from=2026-11-01&to=2026-11-02&tz=Nowhere",
])  # fmt: skip
def test_a_report_that_cannot_be_says_what_is_missing(web: httpx.Client, query: str) -> None:
    assert web.get(f"/reports/one?{query}").status_code == 422


def test_the_audit_is_read_page_by_page_without_gap_or_repeat(web: httpx.Client) -> None:
    seen: list[int] = []
    path: str | None = "/audit?limit=3"
    while path is not None:
        text = web.get(path).text
        seen += [int(seq) for seq in re.findall(r'<tr id="e-(\d+)"', text)]
        following = re.search(r'rel="next" href="([^"]+)"', text)
        path = html.unescape(following[1]) + "&limit=3" if following else None
    assert seen == list(range(len(seen), 0, -1))
    assert "chain whole" in web.get("/audit").text
    assert web.get("/audit?about=nonsense").status_code == 422


def test_a_stranger_sees_nothing_of_what_others_did(made: Product) -> None:
    with visitor(made, made.stranger) as stranger:
        for path in ("/audit", "/connections", "/webhooks", "/system", "/tokens", "/reports"):
            text = stranger.get(path).text
            assert "troubled" not in text, path
            assert "Ada Operator" not in text, path
        assert stranger.get("/connections/main").status_code == 404
        assert stranger.get("/webhooks/ops").status_code == 404


def test_settings_say_where_they_are_from_and_no_secret(made: Product, web: httpx.Client) -> None:
    text = web.get("/system/settings").text
    assert "(set, not shown)" in text
    assert "ORCH_DATABASE_URL" in text
    database_url = made.settings.database_url
    assert database_url is not None
    assert database_url.get_secret_value() not in text
    with visitor(made, made.new_token("read")) as reader:
        assert reader.get("/system").status_code == 200
        assert "/system/settings" not in reader.get("/system").text


def test_a_tokens_secret_is_shown_once_and_dies_with_it(made: Product, web: httpx.Client) -> None:
    text = web.post("/tokens", data={"name": "once", "scope": "read", "days": "30"}).text
    found = re.search(r"orch_live_\w+", text)
    assert found is not None
    assert found[0] not in web.get("/tokens").text
    row = re.search(r'<tr id="t-([^"]+)"><th scope="row"><span class="name">once<', web.get("/tokens").text)
    assert row is not None
    with visitor(made, found[0]) as holder:
        assert holder.get("/runs").status_code == 200
        said(web, web.post("/tokens/revoke", data={"token": row[1], "reason": "seen"}))
        assert holder.get("/runs").status_code == 303


def test_a_webhook_is_told_again_and_disabled_by_hand(web: httpx.Client) -> None:
    added = web.post("/webhooks", data={"name": "mine", "url": "https://hooks.example/x", "events": "batch.*"})
    assert "whsec_" in added.text
    assert "whsec_" not in web.get("/webhooks/mine").text
    delivery = re.search(r'name="delivery" value="([^"]+)"', web.get("/webhooks/ops").text)
    assert delivery is not None
    assert "due again now" in said(web, web.post("/webhooks/ops/resend", data={"delivery": delivery[1]}))
    assert web.post("/webhooks/ops/resend", data={"delivery": "x"}).status_code == 422
    assert "Disabled since" in said(web, web.post("/webhooks/mine/set", data={"enabled": "no", "reason": "moving"}))
    assert "mine is removed" in said(web, web.post("/webhooks/mine/remove", data={"reason": ""}))


def test_every_error_leads_to_what_its_code_means(web: httpx.Client) -> None:
    assert 'href="/codes/run_not_found"' in web.get("/runs/0198f000-0000-7000-8000-000000000000").text
    codes = sorted({entry.code for subject in catalogue.SUBJECTS for entry in subject.entries})
    for code in (*codes[::25], "no_workers"):
        text = web.get(f"/codes/{code}").text
        assert f"orchestrator explain {code}" in text
        assert "What to do:" in text
    assert "did you mean" in web.get("/codes/run_not_fund").text


def test_the_system_says_who_works_and_what_is_due(web: httpx.Client) -> None:
    text = web.get("/system").text
    newest = max(file.name[:4] for file in (Path(migrations.__file__).parent / "versions").glob("[0-9]*.py"))
    for words in ("running", "looks at executions", "Postgres", "pgmq in the same Postgres", newest):
        assert words in text
