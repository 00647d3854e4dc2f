"""The inbox: what is known of each question; a decision rests on what was shown, and is refused when that is stale."""

from __future__ import annotations

import hashlib
import re
from html import unescape
from typing import Any

import httpx
import pytest

from orchestrator.client import Conflict
from orchestrator.domain.question_words import console_home, outside
from tests.web.conftest import visitor
from tests.web.product import Product

WHY = "seen in the console"


def seen_on(page: str) -> str:
    """Return what the page of a doubt was shown with."""
    found = re.search(r'name="seen" value="([^"]+)"', page)
    assert found is not None, page
    return unescape(found[1])


def decide(web: httpx.Client, question: str, how: str, /, **said: Any) -> httpx.Response:
    given = {"how": how, "reason": WHY, "seen": seen_on(web.get(f"/inbox/{question}").text)} | said
    return web.post(f"/inbox/{question}/decide", data=given)


def last_event(made: Product, run: str) -> dict[str, Any]:
    with made.client() as client:
        return dict(list(client.runs.events(run))[-1])


def test_a_doubt_says_what_is_known_and_what_each_decision_does(made: Product, web: httpx.Client) -> None:
    text = web.get(f"/inbox/{made.ids['question doubt']}").text
    for words in ("The provider answered 500.", "written down before it was sent", "Its worker", "The policy says"):
        assert words in text
    for effect in ("watched from now on", "its work is done twice", "the work may be done twice", "may still act"):
        assert effect in text
    assert text.count("required></textarea>") == 4, "each asks why"


def test_the_oldest_stands_first_and_pages_follow_each_other(made: Product, web: httpx.Client) -> None:
    seen: list[str] = []
    path: str | None = "/inbox?limit=2"
    while path is not None:
        text = web.get(path).text
        seen += re.findall(r'<tr id="q-([^"]+)"', text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        path = unescape(following[1]) + "&limit=2" if following else None
    with made.client() as client:
        assert seen == [item["id"] for item in client.inbox.list()]
    assert seen == sorted(seen)
    assert 'id="q-' not in web.get("/inbox?kind=overdue").text
    assert web.get("/inbox?kind=nonsense").status_code == 422


def test_a_person_who_is_waited_for_gets_a_link_out_and_a_look_at_once(made: Product, web: httpx.Client) -> None:
    question = made.ids["question human"]
    text = web.get(f"/inbox/{question}").text
    assert re.search(r'href="http://[^"]+" rel="noreferrer noopener" target="_blank">Open at the provider', text)
    answer = web.post(f"/inbox/{question}/check", data={"x": "y"})
    assert answer.headers["location"] == f"/inbox/{question}"
    assert "It is looked at as soon as the rate allows." in web.get(f"/inbox/{question}").text
    answer = web.post(f"/inbox/{made.ids['question wave']}/check", data={"x": "y"})
    assert (answer.status_code, "not_watched" in answer.text) == (409, True)


def test_a_decision_keeps_the_reason_and_what_was_shown(made: Product, web: httpx.Client) -> None:
    run, question = made.ids["doubt decided"], made.ids["question doubt decided"]
    assert decide(web, question, "not_started").headers["location"] == "/inbox"
    assert "1 run decided: not started, queued again." in web.get("/inbox").text
    with made.client() as client:
        events = list(client.runs.events(run))
    at = next(n for n, event in enumerate(events) if event["type"] == "doubt_resolved")
    told = events[at]
    assert (told["actor"], told["data"]["reason"], told["data"]["seen_runs"]) == ("token:Ada Operator", WHY, 1)
    ended_with = f"{run}:{events[at - 1]['hash']}"
    assert told["data"]["seen"] == hashlib.sha256(ended_with.encode()).hexdigest(), "anybody can work it out"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told["data"]["seen_at"])
    settled = web.get(f"/inbox/{question}").text
    assert "<b>Settled</b>" in settled
    assert 'name="seen"' not in settled


def test_a_decision_about_what_has_changed_is_refused_and_says_what(made: Product, web: httpx.Client) -> None:
    run, question = made.ids["doubt moved"], made.ids["question doubt moved"]
    shown = seen_on(web.get(f"/inbox/{question}").text)
    with made.client() as client:
        listed = next(doubt for doubt in client.doubts.list() if doubt["id"] == run)
        client.doubts.resolve(run, "abandon", reason="somebody was faster", seen=listed["seen"])
        with pytest.raises(Conflict, match="abandoned") as refused:
            client.doubts.resolve(run, "not_started", reason=WHY, seen=listed["seen"])
        assert refused.value.code == "changed_meanwhile"
    answer = web.post(f"/inbox/{question}/decide", data={"how": "relaunch", "reason": WHY, "seen": shown})
    assert answer.status_code == 409
    assert "changed_meanwhile" in answer.text
    assert "abandoned (token:Ada Operator," in answer.text
    assert last_event(made, run)["type"] == "abandoned"


@pytest.mark.parametrize("said", [
    {"seen": ""}, {"seen": "x"}, {"reason": " "}, {"how": "guess"}, {"how": "adopt"},
    {"how": "adopt", "execution_id": "a/b"},
])  # fmt: skip
def test_what_makes_no_sense_decides_nothing(made: Product, web: httpx.Client, said: dict[str, str]) -> None:
    question = made.ids["question doubt"]
    assert decide(web, question, "abandon", **said).status_code == 422
    assert 'name="seen"' in web.get(f"/inbox/{question}").text, "it is still open"


def test_what_was_shown_of_one_doubt_says_nothing_of_another(made: Product, web: httpx.Client) -> None:
    other = seen_on(web.get(f"/inbox/{made.ids['question wave']}").text)
    assert decide(web, made.ids["question doubt"], "abandon", seen=other).status_code == 422


def test_a_wave_is_adopted_by_index_and_what_is_left_empty_stays(made: Product, web: httpx.Client) -> None:
    question = made.ids["question wave"]
    text = web.get(f"/inbox/{question}").text
    assert "index,execution_id\n0,\n1,\n2,\n3,\n4,\n" in text
    pasted = "index,execution_id\r\n0,\r\n1,made-by-hand-1\r\n2,\r\n3,\r\n4,\r\n"
    answer = decide(web, question, "adopt", executions=pasted, unverified="yes")
    assert answer.headers["location"] == f"/inbox/{question}"
    text = web.get(f"/inbox/{question}").text
    assert "1 run decided: adopted. 4 of the wave are in doubt still." in text
    assert "index,execution_id\n0,\n2,\n3,\n4,\n" in text
    stale = decide(web, question, "adopt", executions="index,execution_id\n9,x\n", unverified="yes")
    assert (stale.status_code, "no run of this index is in doubt here" in stale.text) == (422, True)


def test_many_are_decided_alike_and_what_has_changed_is_left(made: Product, web: httpx.Client) -> None:
    ids = [made.ids[f"question {name}"] for name in ("human", "doubt too", "wave")]
    preview = web.post("/inbox/preview", data={"how": "abandon", "id": ids})
    assert "1 of those ticked cannot be decided so" in preview.text
    assert "Nothing is decided yet." in preview.text
    fields = dict(re.findall(r'name="(seen-[^"]+)" value="([^"]+)"', preview.text))
    assert len(fields) == 2
    given = {"how": "abandon", "reason": WHY, "id": ids[1:]} | fields
    stale = given | {f"seen-{ids[2]}": fields[f"seen-{ids[1]}"]}
    answer = web.post("/inbox/decide", data=stale)
    told = web.get(answer.headers["location"]).text
    assert "1 run decided: abandoned. 1 question not:" in told
    assert last_event(made, made.ids["doubt too"])["data"]["seen_runs"] == 1
    assert web.post("/inbox/preview", data={"how": "adopt", "id": ids}).status_code == 422
    assert web.post("/inbox/preview", data={"how": "abandon"}).status_code == 422


def test_who_may_not_decide_sees_everything_and_no_button(made: Product) -> None:
    with visitor(made, made.new_token("read")) as reader:
        for path in ("/inbox", f"/inbox/{made.ids['question doubt']}", f"/inbox/{made.ids['question human']}"):
            text = reader.get(path).text
            assert "<textarea" not in text
            assert "/preview" not in text
            assert "Check now" not in text
        assert "needs the scope approve" in reader.get(f"/inbox/{made.ids['question doubt']}").text


def test_a_strangers_question_is_not_there(made: Product) -> None:
    with visitor(made, made.stranger) as stranger:
        answer = stranger.get(f"/inbox/{made.ids['question doubt']}")
        assert (answer.status_code, "inbox_not_found" in answer.text) == (404, True)
        assert "Nothing waits for a person." in stranger.get("/inbox").text
        assert "No schedule yet." in stranger.get("/schedules").text
        assert stranger.get("/schedules/nightly").status_code == 404


@pytest.mark.parametrize(("template", "leads_to"), [
    ("https://c.example/w/{workflow_id}/e/{execution_id}", "https://c.example/w/flow"),
    ("https://c.example/e/{execution_id}", "https://c.example/"), ("http://c.example:8080/x", "http://c.example:8080/"),
    ("javascript:alert(1)//{workflow_id}", None), ("file:///etc/{workflow_id}", None), ("", None), (None, None),
])  # fmt: skip
def test_a_doubt_leads_to_the_workflow_or_the_console_and_nowhere_else(
    template: str | None, leads_to: str | None
) -> None:
    assert console_home(template, "flow") == leads_to


@pytest.mark.parametrize("url", ["javascript:alert(1)", "//c.example", "data:text/html,x", None])
def test_only_web_addresses_lead_out(url: str | None) -> None:
    assert outside(url) is None
