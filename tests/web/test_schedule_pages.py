"""Schedules: made after a preview, changed, paused with a reason, fired by hand; every tick and its fate."""

from __future__ import annotations

import re
from html import unescape

import httpx
import pytest

from tests.web.hostile import HOSTILE
from tests.web.product import Product
from tests.web.test_pages import statements


def form(made: Product, **said: str) -> dict[str, str]:
    free = made.sandbox.workflows["Free form"]
    return {"name": "by-form", "connection": "main", "workflow_id": free, "tz": "Europe/Prague", "input": "{}"} | said


def test_a_list_says_when_how_it_went_and_who_paused_why(web: httpx.Client) -> None:
    text = web.get("/schedules").text
    assert "At 09:00 every day (Europe/Prague)" in text
    assert re.search(r"09:00 Europe/Prague</span>", text)
    assert "1 missed" in text
    assert 'by <span class="name">Ada Operator</span>: &lt;img' in text
    assert 'href="/schedules/nightly"' not in web.get("/schedules?status=paused").text


def test_the_list_comes_in_pages_by_name(web: httpx.Client) -> None:
    text = web.get("/schedules?limit=2").text
    assert re.findall(r'<tr id="s-([^"]+)"', text) == ["hourly", "nightly"]
    following = re.search(r'rel="next" href="([^"]+)"', text)
    assert following is not None
    assert 'id="s-paused"' in web.get(unescape(following[1])).text


def test_a_new_schedule_offers_the_workflows_that_are_known(made: Product, web: httpx.Client) -> None:
    free = made.sandbox.workflows["Free form"]
    with statements("FROM workflows WHERE connection_id") as asked:
        text = web.get("/schedules/-new").text
    assert len(asked) == 1, "of all connections at once"
    assert 'id="workflow_id"' in text and 'list="workflows"' in text
    assert f'<option value="{free}">Free form · main</option>' in text
    other = re.search(r"<option value=\"[^\"]+\">[^<]* · (?!main)[^<]+</option>", text)
    assert other is not None, "of every connection, while none is chosen"
    assert other[0] not in web.get("/schedules/-new?connection=main").text


def hidden(text: str) -> dict[str, str]:
    """Return the fields of a form that nobody sees."""
    return dict(re.findall(r'<input type="hidden" name="((?:seen|was_)[^"]*)" value="([^"]*)">', text))


def test_two_who_change_a_schedule_at_once_do_not_overwrite_each_other(made: Product, web: httpx.Client) -> None:
    said = form(made, name="shared", cron="0 6 * * *", deadline_s="600", overlap="skip", catch_up="latest")
    assert web.post("/schedules", data=said).status_code == 303
    carried = hidden(web.get("/schedules/shared/edit").text)
    mine = {**said, "input": "", **{n: v for n, v in carried.items() if n.startswith("was_")}}
    mine |= {n.removeprefix("was_"): unescape(v) for n, v in carried.items() if n.startswith("was_")}
    mine["seen"] = carried["seen"]
    theirs = {**mine, "cron": "0 7 * * *", "reason": "an hour later"}
    assert web.post("/schedules/shared/edit", data=theirs).status_code == 303
    answer = web.post("/schedules/shared/edit", data={**mine, "deadline_s": "900"})
    assert (answer.status_code, "changed_meanwhile" in answer.text) == (409, True)
    assert "<code>0 6 * * *</code> became <code>0 7 * * *</code>" in answer.text
    assert 'name="cron" type="text" value="0 7 * * *"' in answer.text, "what this one left alone is as it is now"
    assert 'name="deadline_s" type="number" value="900"' in answer.text, "what this one wrote is kept"
    with made.client() as client:
        found = client.schedules.get("shared")
        assert (found["cron"], found["deadline_s"]) == ("0 7 * * *", 600)
    # A preview does not make what was seen newer than it was.
    assert hidden(web.post("/schedules/shared/preview", data=mine).text)["seen"] == carried["seen"]
    again = {**mine, "cron": "0 7 * * *", "deadline_s": "900", **hidden(answer.text)}
    assert web.post("/schedules/shared/edit", data=again).status_code == 303
    with made.client() as client:
        found = client.schedules.get("shared")
        assert (found["cron"], found["deadline_s"]) == ("0 7 * * *", 900)


def test_a_program_changes_a_schedule_only_as_it_read_it(made: Product, web: httpx.Client) -> None:
    web.post("/schedules", data=form(made, name="matched", cron="0 6 * * *"))
    url, token = f"{made.url}/api/v1/schedules/matched", {"Authorization": f"Bearer {made.token}"}
    with httpx.Client(headers=token, trust_env=False) as client:
        told = client.get(f"{made.url}/api/v1/openapi.json").json()["paths"]["/api/v1/schedules/{name}"]["patch"]
        assert "412" in told["responses"] and "If-Match" in str(told["parameters"])
        tag = client.get(url).headers["etag"]
        assert client.get(url, headers={"If-None-Match": tag}).status_code == 304
        changed = client.patch(url, json={"deadline_s": 60}, headers={"If-Match": tag})
        assert changed.status_code == 200
        refused = client.patch(url, json={"deadline_s": 90}, headers={"If-Match": tag})
        assert (refused.status_code, refused.json()["code"]) == (412, "changed_meanwhile")
        assert client.get(url).json()["deadline_s"] == 60
        for matched in ({"If-Match": changed.headers["etag"]}, {"If-Match": "*"}, {}):
            assert client.patch(url, json={"deadline_s": 70}, headers=matched).status_code == 200


def test_a_list_asks_once_for_all_ticks(web: httpx.Client) -> None:
    with statements("unnest(CAST(") as found:
        web.get("/schedules")
    assert len([one for one in found if "fires" in one]) == 1


def test_one_schedule_says_its_policies_what_comes_and_every_fate(made: Product, web: httpx.Client) -> None:
    text = web.get("/schedules/nightly").text
    for words in ("a tick is skipped.", "those before it are merged into it.", "for 1 h, then it is missed."):
        assert words in text
    assert text.count("Dec 2026 09:00") + text.count("09:00</th>") >= 10
    for fate in ("fired", "missed", "skipped", "merged"):
        assert f"</svg>{fate}</span>" in text
    assert "schedule run now" in text
    assert made.ids["by schedule"] in text


def test_ticks_come_in_pages_without_gap_or_repeat(web: httpx.Client) -> None:
    seen: list[str] = []
    path: str | None = "/schedules/nightly?limit=2"
    while path is not None:
        text = web.get(path).text
        seen += re.findall(r'<tr id="k-([^"]+)"', text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        path = unescape(following[1]) + "&limit=2" if following else None
    assert len(seen) == len(set(seen)) >= 4
    assert web.get("/schedules/nightly?state=missed").text.count('<tr id="k-') == 1


def test_a_run_leads_to_the_schedule_that_it_came_from(made: Product, web: httpx.Client) -> None:
    assert 'href="/schedules/nightly">nightly</a>, tick of' in web.get(f"/runs/{made.ids['by schedule']}").text
    assert "tick of" not in web.get(f"/runs/{made.ids['finished']}").text


def test_a_preview_marks_the_clock_change_and_stores_nothing(made: Product, web: httpx.Client) -> None:
    text = web.post("/schedules/-preview", data=form(made, cron="30 2 25-31 3 *")).text
    assert "02:30 does not exist that day" in text
    assert text.count("clock change</span>") == text.count("does not exist")
    assert "Make the schedule" in text
    assert web.get("/schedules/by-form").status_code == 404
    files = web.post("/schedules/-preview", data=form(made, every="1d", input="", file="in-{year}.csv")).text
    assert files.count("<code>in-20") == 10


@pytest.mark.parametrize(("said", "words"), [
    ({"cron": "61 * * * *"}, "cron"), ({"every": "3 moons"}, "no interval"), ({"every": "6h", "tz": "Mars"}, "zone"),
    ({"every": "6h", "input": ""}, "either a fixed input"), ({"every": "6h", "max_catch_up": "x"}, "whole number"),
    ({"every": "6h", "name": "-no"}, "A schedule&#39;s name"), ({}, "cron expression or an interval"),
])  # fmt: skip
def test_what_cannot_be_is_shown_again_with_what_to_do(
    made: Product, web: httpx.Client, said: dict[str, str], words: str
) -> None:
    for path in ("/schedules/-preview", "/schedules"):
        answer = web.post(path, data=form(made, **said))
        assert answer.status_code == 422
        assert words in answer.text
        assert f'value="{said.get("tz", "Europe/Prague")}"' in answer.text, "nothing has to be written twice"


def test_a_schedule_is_made_changed_paused_resumed_fired_and_deleted(made: Product, web: httpx.Client) -> None:
    there = "/schedules/by-form"
    body = form(made, every="6h", overlap="queue", catch_up="none", input='{"api_key": "sk-1", "n": 1}')
    assert web.post("/schedules", data=body).headers["location"] == there
    assert web.post("/schedules", data=body).status_code == 409
    assert "sk-1" not in web.get(there).text + web.get(there + "/edit").text
    edited = body | {"catch_up": "all", "max_catch_up": "7", "input": "", "cron": "", "reason": HOSTILE}
    assert "It would fire so" in web.post(there + "/preview", data=edited).text
    assert web.post(there + "/edit", data=edited).headers["location"] == there
    with made.client() as client:
        found = client.schedules.get("by-form")
    assert (found["catch_up"], found["max_catch_up"], found["overlap"]) == ("all", 7, "queue")
    assert found["input"] == {"api_key": "sk-1", "n": 1}, "what is not said stays"
    text = web.get(there).text
    assert "<b>changed</b> catch_up, max_catch_up" in text
    assert "&lt;script&gt;" in text
    web.post(there + "/edit", data=edited)
    assert "Nothing was changed." in web.get(there).text
    assert web.post(there + "/pause", data={"reason": " "}).status_code == 422
    for act, words in {"pause": "Paused: its ticks", "resume": "It fires again.", "run-now": "It fires now."}.items():
        assert web.post(f"{there}/{act}", data={"reason": "because"}).headers["location"] == there
        assert words in web.get(there).text
    assert web.post(there + "/delete", data={"reason": "done with it"}).headers["location"] == "/schedules"
    assert web.get(there).status_code == 404


def test_a_missed_tick_is_carried_out_after_all(made: Product, web: httpx.Client) -> None:
    text = web.get("/schedules/nightly?state=missed").text
    asked = re.search(r'href="(/schedules/nightly\?take=[^"]+)"', text)
    assert asked is not None
    question = web.get(unescape(asked[1])).text
    nominal = re.search(r'name="nominal_at" value="([^"]+)"', question)
    assert nominal is not None
    answer = web.post("/schedules/nightly/run-now", data={"nominal_at": nominal[1], "reason": "its input is there"})
    assert answer.headers["location"] == "/schedules/nightly"
    assert "UTC is taken up." in web.get("/schedules/nightly").text
    with made.client() as client:
        fate = next(f for f in client.schedules.fires("nightly") if f["nominal_at"][:19] == nominal[1][:19])
    assert (fate["asked_by"], fate["reason"]) == ("token:Ada Operator", "its input is there")
