"""What the pages show and do, without a browser: inert names, weights, statements, filters, bulk acts."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, event

from orchestrator.web.assets import ASSETS
from tests.web.conftest import visitor
from tests.web.hostile import HOSTILE
from tests.web.places import PAGES
from tests.web.product import Product

PATHS = (
    *(path for name, path in PAGES.items() if name != "not-found"),
    *("/sign-in", "/reports/totals?kind=batch&batch={batch}", "/reports/totals?kind=batch&batch={wave batch}"),
)
MAX_WEIGHT = 150_000


@contextmanager
def statements(marker: str) -> Iterator[list[str]]:
    """Collect the statements of the pages' own connections that mention a thing."""
    found: list[str] = []

    def before(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if marker in statement:
            found.append(statement)

    event.listen(Engine, "before_cursor_execute", before)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", before)


@pytest.mark.parametrize("path", PATHS)
def test_what_anybody_wrote_is_text_and_nothing_else(made: Product, web: httpx.Client, path: str) -> None:
    answer = web.get(path.format(**made.ids))
    assert answer.status_code == 200
    text = answer.text
    assert "<script>window.pwned" not in text
    assert "<img src=x" not in text
    assert "<img/src=x" not in text
    if path.startswith("/runs/{hostile}"):
        assert "&lt;script&gt;window.pwned" in text


@pytest.mark.parametrize("path", PATHS)
def test_a_page_with_all_it_loads_is_light(made: Product, web: httpx.Client, path: str) -> None:
    answer = web.get(path.format(**made.ids))
    assert answer.status_code == 200
    text = answer.text
    loaded = sum(len(web.get(url).content) for url in set(re.findall(r'"(/assets/[^"#]+)', text)))
    assert len(text.encode()) + loaded <= MAX_WEIGHT


def test_the_style_is_small_and_our_scripts_are_few_lines() -> None:
    by_name = {name: ASSETS.find(url.rsplit("/", 1)[1]).content for name, url in ASSETS.urls.items()}
    assert len(by_name["app.css"]) < 40_000
    assert sum(c.count(b"\n") for n, c in by_name.items() if n.endswith(".js") and "htmx" not in n) <= 300


def test_a_list_asks_as_much_for_one_run_as_for_many(web: httpx.Client) -> None:
    counted = []
    for path in ("/runs?limit=2&status=finished", "/runs?limit=40&status=finished"):
        with statements("labels") as found:
            assert web.get(path).status_code == 200
        counted.append(len(found))
    assert counted[0] == counted[1] == 1


def test_a_run_is_told_in_a_plain_line_with_its_attempts_and_a_whole_chain(made: Product, web: httpx.Client) -> None:
    text = web.get(f"/runs/{made.ids['finished']}?preview=0").text
    for words in ("Finished at its first attempt: 2 files are stored.", "chain whole", "Downloading", "(hidden)"):
        assert words in text
    assert "sk-hidden-1234" not in text
    assert "12345678901234567890" in text, "a large number is seen as it was sent"


def test_a_download_is_the_bytes_as_they_were_stored(made: Product, web: httpx.Client) -> None:
    answer = web.get(f"/runs/{made.ids['hostile']}/results/0")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    with made.client() as client:
        assert f'"{client.runs.get(made.ids["hostile"])["results"][0]["sha256"]}"' == answer.headers["etag"]


def test_words_in_the_bar_become_the_apis_own_parameters(made: Product, web: httpx.Client) -> None:
    for words, there in {
        "status:error status:cancelled label:env=prod": "/runs?status=error%2Ccancelled&label=env%3Dprod",
        "invoice-2026-0003": "/runs?external_id=invoice-2026-0003",
        'workflow:"two words"': "/runs?workflow=two+words",
        made.ids["failed"]: f"/runs/{made.ids['failed']}",
        made.ids["batch"].upper(): f"/batches/{made.ids['batch']}",
        "": "/runs",
    }.items():
        assert web.get("/runs", params={"q": words}).headers["location"] == there
    answer = web.get("/runs", params={"q": "colour:red"})
    assert (answer.status_code, "there is no filter colour" in answer.text) == (422, True)


def test_a_filter_shows_as_a_chip_that_can_be_taken_away(web: httpx.Client) -> None:
    text = web.get("/runs?status=error&label=env%3Dprod").text
    assert 'href="/runs?label=env%3Dprod" aria-label="Take away the filter status error"' in text
    assert "invoice-2026-0003" in text
    assert "invoice-2026-0001" not in text
    assert "No run matches these filters." in web.get("/runs?workflow=none").text


def test_runs_are_found_by_who_started_them(made: Product, web: httpx.Client) -> None:
    run = made.ids["failed too"]
    made.sql("UPDATE runs SET origin = 'observed' WHERE id = CAST(:id AS uuid)", id=run)
    try:
        with made.client() as client:
            assert [found["id"] for found in client.runs.list(origin="observed")] == [run]
            ours = [found["id"] for found in client.runs.list(origin="submitted")]
            assert run not in ours and made.ids["failed"] in ours
        answer = web.get("/runs", params={"q": "origin:observed"})
        assert answer.headers["location"] == "/runs?origin=observed"
        text = web.get("/runs?origin=observed").text
        assert re.findall(r'<tr id="r-([^"]+)"', text) == [run]
        assert "1 run" in web.get("/runs/count?origin=observed").text
        # An act on all that match takes these alone.
        preview = web.post("/runs/bulk", data={"scope": "matching", "act": "retry", "query": "origin=observed"}).text
        assert made.ids["failed"] not in preview
        assert web.get("/runs?origin=mine").status_code == 422
    finally:
        made.sql("UPDATE runs SET origin = 'submitted' WHERE id = CAST(:id AS uuid)", id=run)


def test_pages_of_a_list_follow_each_other_without_gap_or_repeat(web: httpx.Client) -> None:
    seen: list[str] = []
    path: str | None = "/runs?limit=20"
    while path is not None:
        text = web.get(path).text
        seen += re.findall(r'<tr id="r-([^"]+)"', text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        path = following[1].replace("&amp;", "&") + "&limit=20" if following else None
    assert len(seen) == len(set(seen)) > 40


def test_the_count_is_asked_for_apart_and_ends_somewhere(web: httpx.Client) -> None:
    assert re.fullmatch(r"\d+ runs?", web.get("/runs/count").text)
    assert web.get("/runs/count?label=a%3Db").text == "", "by a label nothing is counted"


def test_a_poll_gets_what_lives_and_then_only_news(web: httpx.Client) -> None:
    first = web.get("/operations", headers={"HX-Request": "true"})
    assert "<html" not in first.text
    again = {"HX-Request": "true", "If-None-Match": first.headers["etag"]}
    assert web.get("/operations", headers=again).status_code == 304


def test_ages_alone_are_no_news(made: Product, web: httpx.Client) -> None:
    path = f"/runs/{made.ids['finished']}"
    first = web.get(path, headers={"HX-Request": "true"})
    time.sleep(1.1)
    again = web.get(path, headers={"HX-Request": "true", "If-None-Match": first.headers["etag"]})
    assert (again.status_code, "ago" in first.text) == (304, True)


def test_a_bulk_act_is_previewed_then_started_then_followed(made: Product, web: httpx.Client) -> None:
    ticked = {"scope": "ticked", "act": "cancel", "id": [made.ids["processing"], made.ids["finished"]]}
    preview = web.post("/runs/bulk", data=ticked).text
    assert "<b>0</b> of 2 matching runs can be taken" in preview
    assert "None of them can be taken." in preview
    matching = {
        "scope": "matching",
        "act": "retry",
        "query": "status=cancelled&external_id=never-sent",
        "reason": HOSTILE,
        "seen": "1",
    }
    assert "<b>1</b> of 1 matching runs can be taken" in web.post("/runs/bulk", data=matching).text
    started = web.post("/operations", data=matching)
    assert started.status_code == 303
    page = web.get(started.headers["location"]).text
    assert "Started for 1 run." in page
    assert "&lt;script&gt;" in page
    assert "Started for" not in web.get(started.headers["location"]).text, "said once"


@pytest.mark.parametrize("data", [
    {"scope": "ticked", "act": "retry"}, {"scope": "ticked", "act": "retry", "id": "x"},
    {"scope": "matching", "act": "erase"}, {"scope": "matching", "act": "resolve:adopt"},
    {"scope": "matching", "act": "retry", "query": "colour=red"},
    {"scope": "matching", "act": "retry", "query": ""},
])  # fmt: skip
def test_a_bulk_act_that_makes_no_sense_does_nothing(web: httpx.Client, data: dict[str, str]) -> None:
    for path in ("/runs/bulk", "/operations"):
        assert web.post(path, data=data).status_code == 422


def test_an_act_that_is_refused_says_why_and_leads_back(made: Product, web: httpx.Client) -> None:
    answer = web.post(f"/runs/{made.ids['finished']}/retry", data={"reason": ""})
    assert answer.status_code == 409
    assert f'href="/runs/{made.ids["finished"]}"' in answer.text
    assert web.post(f"/runs/{made.ids['processing']}/abandon", data={"reason": " "}).status_code == 422, (
        "it needs a reason"
    )


def way_back(answer: httpx.Response) -> str:
    """Return where an error's page leads back to."""
    found = re.search(r'<p class="row"><a class="button" href="([^"]*)"', answer.text)
    assert found is not None, answer.text
    return unescape(found[1])


def test_an_error_leads_back_to_the_page_where_somebody_was(made: Product, web: httpx.Client) -> None:
    there = "/runs?status=error&label=env%3Dprod"
    assert way_back(web.get("/nowhere", headers={"Referer": made.url + there})) == there
    act = f"/runs/{made.ids['finished']}/retry"
    assert way_back(web.post(act, data={"reason": ""}, headers={"Referer": made.url + there})) == there
    assert way_back(web.get("/runs?limit=no", headers={"Referer": made.url + there})) == there
    # What only a form gets, the page that failed itself and what programs ask are no pages to go back to.
    for referer in ("/schedules/-preview", "/nowhere", "/api/v1/runs", "/sign-in?next=%2Fruns"):
        assert way_back(web.get("/nowhere", headers={"Referer": made.url + referer})) == "/", referer
    assert way_back(web.post("/schedules/-preview", data={"max_catch_up": "x" * 3_000})) == "/schedules"


@pytest.mark.parametrize(
    "referer",
    [
        "https://evil.example/runs",
        "//evil.example/runs",
        "{url}//evil.example/runs",
        "{url}/\\evil.example",
        "{url}@evil.example/runs",
        "http://[evil/runs",
        "javascript:alert(1)",
        "{url}.evil.example/runs",
    ],
)
def test_an_errors_way_back_never_leaves_this_site(made: Product, web: httpx.Client, referer: str) -> None:
    answer = web.get("/nowhere", headers={"Referer": referer.format(url=made.url)})
    assert (answer.status_code, way_back(answer)) == (404, "/")
    answer = web.post("/preferences", data={"theme": "dark", "back": referer.format(url=made.url)})
    assert answer.headers["location"] == "/"


def test_the_page_hides_what_the_token_may_not(made: Product) -> None:
    with visitor(made, made.new_token("read")) as reader:
        for path in ("/runs", f"/runs/{made.ids['failed']}"):
            text = reader.get(path).text
            assert "<textarea" not in text
            assert 'action="/runs/bulk"' not in text


def test_how_far_an_execution_is_stands_in_its_run_while_it_goes_on(made: Product, web: httpx.Client) -> None:
    there = f"/runs/{made.ids['processing']}?preview=0"
    assert "<dt>Progress</dt>" not in web.get(there).text, "nobody said anything of it"
    made.sql(
        "UPDATE executions SET progress_fraction = 0.42, progress_message = '<b>writing</b>'"
        f" WHERE run_id = '{made.ids['processing']}'"
    )
    text = web.get(there).text
    assert "42 %" in text and "&lt;b&gt;writing&lt;/b&gt;" in text
