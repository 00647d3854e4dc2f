"""Filters of pages and of the API: the same is refused, in the same words, and told beside its field."""

from __future__ import annotations

import re
from html import unescape

import httpx
import pytest

from tests.web.conftest import visitor
from tests.web.product import Product


def said(answer: httpx.Response) -> str:
    """Return a page's text without its tags."""
    return " ".join(unescape(re.sub(r"<[^>]+>", "", answer.text)).split())


@pytest.mark.parametrize(
    ("page", "api", "query"),
    [
        ("/runs", "/api/v1/runs", "dateFrom=yesterday"),
        ("/runs", "/api/v1/runs", "dateTo=2026-02-30"),
        ("/runs", "/api/v1/runs", "status=done"),
        ("/runs", "/api/v1/runs", "cursor=abc"),
        ("/runs", "/api/v1/runs", "limit=0"),
        ("/runs", "/api/v1/runs", "label=x"),
        ("/runs", "/api/v1/runs", "colour=red"),
        ("/batches", "/api/v1/batches", "dateFrom=0001-01-01"),
        ("/batches", "/api/v1/batches", "status=done"),
        ("/batches", "/api/v1/batches", "cursor=abc"),
        ("/operations/{operation}", "/api/v1/operations/{operation}/items", "state=odd"),
        ("/schedules/nightly", "/api/v1/schedules/nightly/fires", "state=odd"),
        ("/schedules/nightly", "/api/v1/schedules/nightly/fires", "state=fired,"),
        ("/schedules/nightly", "/api/v1/schedules/nightly/fires", "cursor=abc"),
        ("/webhooks/ops", "/api/v1/webhooks/ops/deliveries", "state=odd"),
    ],
)
def test_pages_and_the_api_refuse_a_filter_in_the_same_words(
    made: Product, web: httpx.Client, page: str, api: str, query: str
) -> None:
    shown = web.get(f"{page.format(**made.ids)}?{query}")
    token = {"Authorization": f"Bearer {made.token}"}
    asked = httpx.get(f"{made.url}{api.format(**made.ids)}?{query}", headers=token, trust_env=False)
    assert shown.status_code == asked.status_code
    refused = asked.json()
    # Beside a field of the form stands only what is wrong with it.
    is_beside = 'aria-invalid="true"' in shown.text
    words = refused["detail"].partition(": ")[2] if is_beside else refused["detail"]
    assert words.lower() in said(shown).lower()
    assert is_beside or refused["code"] in shown.text


def test_a_wrong_date_is_told_beside_its_field_and_the_others_stay(web: httpx.Client) -> None:
    answer = web.get("/batches?dateFrom=soon&workflow=abc")
    assert answer.status_code == 422
    field = re.search(r"<div>(?:(?!</div>).)*name=\"dateFrom\".*?</div>", answer.text, re.DOTALL)
    assert field is not None
    assert 'aria-invalid="true"' in field[0]
    assert "Is YYYY-MM-DD, or ISO 8601 with a zone" in field[0]
    assert 'value="abc"' in answer.text
    assert answer.text.count('aria-invalid="true"') == 1


def test_what_the_bar_cannot_read_stays_in_the_bar(web: httpx.Client) -> None:
    answer = web.get("/runs", params={"q": "colour:red status:error"})
    assert answer.status_code == 422
    assert 'value="colour:red status:error"' in answer.text
    assert "there is no filter colour" in answer.text
    answer = web.get("/runs?status=error&dateFrom=soon")
    assert (answer.status_code, "/runs/count" in answer.text) == (422, False)
    assert 'href="/runs?status=error"' in answer.text, "the wrong one can be taken away"


def test_a_schedules_wrong_field_is_told_beside_it(made: Product, web: httpx.Client) -> None:
    data = {"name": "odd", "connection": "main", "workflow_id": "x", "cron": "61 * * * *", "tz": "UTC", "input": "{}"}
    text = web.post("/schedules/-preview", data=data).text
    field = re.search(r'<input id="cron".*?</p>', text, re.DOTALL)
    assert field is not None
    assert 'id="cron-wrong"' in field[0]


def test_a_refusal_repeats_no_secret_even_where_it_cuts_what_it_repeats(made: Product, web: httpx.Client) -> None:
    url = "https://ann:" + "pass" * 50 + "@h.example/x"
    for name in (url, "https://h.example/x?X-Amz-Signature=" + "pass" * 50):
        answer = web.get("/runs", params={name: "1"})
        asked = httpx.get(
            made.url + "/api/v1/runs",
            params={name: "1"},
            headers={"Authorization": f"Bearer {made.token}"},
            trust_env=False,
        )
        assert answer.status_code == asked.status_code == 422
        assert "passpass" not in said(answer)
        assert "passpass" not in asked.text
    form = {"name": url[:60], "connection": "main", "workflow_id": "x", "cron": "61 * * * *", "tz": url, "input": "{}"}
    assert "passpass" not in re.sub(r'value="[^"]*"', "", web.post("/schedules/-preview", data=form).text)


def test_a_missing_scope_says_which_and_who_can_give_it(made: Product) -> None:
    token = made.new_token("read")
    with visitor(made, token) as reader:
        answer = reader.post(f"/runs/{made.ids['failed']}/retry", data={"reason": "x"})
    asked = httpx.post(
        f"{made.url}/api/v1/runs/{made.ids['failed']}:retry",
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
        json={},
    )
    assert answer.status_code == asked.status_code == 403
    for text in (said(answer), asked.json()["detail"] + asked.json()["hint"].replace("`", "")):
        assert "may read; this needs operate" in text
        assert "whoever holds a token with admin can make one" in text
        assert "orchestrator token create NAME --scope operate" in text
