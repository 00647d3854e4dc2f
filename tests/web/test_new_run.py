"""One run, written by hand: beside its schema, refused with reasons, stored once however often it is sent."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.web.conftest import visitor
from tests.web.hostile import HOSTILE
from tests.web.product import Product


@pytest.fixture
def fields(made: Product, web: httpx.Client) -> dict[str, str]:
    """The fields of a form that is open, for the workflow with a strict schema."""
    workflow = made.sandbox.workflows["Score customer"]
    text = web.get("/runs/new", params={"connection": "main", "workflow": workflow}).text
    assert "&#34;customer_id&#34;: &#34;&#34;" in text, "it begins with what must be there"
    once = re.search(r'name="once" value="([^"]+)"', text)
    assert once is not None
    return {"connection": "main", "workflow": workflow, "once": once[1]}


def test_a_run_is_stored_once_however_often_it_is_sent(
    made: Product, web: httpx.Client, fields: dict[str, str]
) -> None:
    given = fields | {"input": '{"customer_id": "by hand", "sandbox": "files=0", "amount": 1.50}'}
    first, second = (web.post("/runs/new", data=given).headers["location"] for _ in range(2))
    assert first == second
    text = web.get(first).text
    assert "Submitted: it is stored" in text
    assert "1.50" in text, "the very bytes"


def test_a_wrong_input_says_why_and_stays_in_the_form(web: httpx.Client, fields: dict[str, str]) -> None:
    for wrong, said in (('{"customer_id": 7}', "expected string"), ("{", "json."), ("", "json."), ("[1]", "object")):
        answer = web.post("/runs/new", data=fields | {"input": wrong})
        assert (answer.status_code, said in answer.text) == (422, True), wrong
    assert "<script>window" not in web.post("/runs/new", data=fields | {"input": HOSTILE}).text


def test_the_id_of_a_form_is_ours(made: Product, web: httpx.Client, fields: dict[str, str]) -> None:
    given = fields | {"input": '{"customer_id": "x"}'}
    assert web.post("/runs/new", data=given | {"once": "0" * 40}).status_code == 400
    with visitor(made, made.new_token("submit", "read")) as other:
        assert other.post("/runs/new", data=given).status_code == 400, "and of whoever opened it"
