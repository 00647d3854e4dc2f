"""What is said of the moment: schedules in words, what runs is not said to wait, one of a thing is one."""

from __future__ import annotations

import re

import httpx
import pytest

from orchestrator.domain import batch_story
from orchestrator.domain.report.totals import Term
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.web import wording
from tests.web.product import Product
from tests.web.test_pages import statements


def test_the_overview_says_schedules_in_words_and_on_their_own_clock(web: httpx.Client) -> None:
    text = web.get("/").text
    assert "At 09:00 every day (Europe/Prague)" in text
    assert "0 9 * * *" not in text
    assert re.search(r"09:00 Europe/Prague</span>", text)


def test_what_runs_is_not_said_to_wait(made: Product, web: httpx.Client) -> None:
    running = web.get(f"/runs/{made.ids['processing']}").text
    assert "<b>Now:</b> the provider has it" in running
    assert "Why it waits" not in running
    waiting = web.get(f"/runs/{made.ids['human']}").text
    assert "<b>Why it waits:</b> a person must approve" in waiting


def test_a_batch_that_is_launched_says_where_its_runs_are() -> None:
    said = batch_story.under_way({S.PROCESSING: 1, S.DOWNLOADING: 2, S.FINISHED: 7})
    assert said == "1 run at the provider, 2 having results stored"
    assert batch_story.under_way({S.PROCESSING: 1200}) == "1,200 runs at the provider"
    assert batch_story.under_way({S.IN_DOUBT: 5, S.FINISHED: 7}) == "5 runs in doubt", (
        "of what is not there nothing is said"
    )


def test_a_webhook_that_had_nothing_to_tell_is_not_called_ill(web: httpx.Client) -> None:
    web.post("/webhooks", data={"name": "silent", "url": "https://hooks.example/y", "events": "batch.*"})
    try:
        row = re.search(r'<tr id="w-[^"]+">(?:(?!</tr>).)*/webhooks/silent.*?</tr>', web.get("/webhooks").text)
        assert row is not None
        assert "nothing sent yet" in row[0]
        assert "never" not in row[0]
        assert "nothing sent yet" in web.get("/webhooks/silent").text
    finally:
        web.post("/webhooks/silent/remove", data={"reason": "tried"})


@pytest.mark.parametrize(
    ("label", "value", "said"),
    [
        ("doubts raised", 1, "doubt raised"),
        ("doubts raised", 2, "doubts raised"),
        ("launches", 1, "launch"),
        ("rows in the file", 0, "rows in the file"),
        ("accepted", 1, "accepted"),
    ],
)
def test_a_control_total_counts_one_as_one(label: str, value: int, said: str) -> None:
    assert Term(label=label, value=value).counted == said


def test_the_rail_counts_open_questions_by_one_statement_and_says_them(made: Product, web: httpx.Client) -> None:
    with statements("FROM inbox WHERE workspace_id") as found:
        text = web.get("/runs").text
    assert len(found) == 1
    with made.client() as client:
        open_ = len(list(client.inbox.list()))
    assert f'<span aria-hidden="true">{open_}</span><span class="unseen">, {open_} open questions</span>' in text
    assert f"<title>({open_}) Runs" in text


def test_a_count_that_ends_at_a_limit_says_more_than() -> None:
    assert (wording.asked(99), wording.asked(100)) == ("99", "99+")
    assert wording.questions(100) == "more than 99 open questions"
    assert wording.questions(1) == "1 open question"
    assert wording.up_to(10_001, "run") == "more than 10,000 runs"
    assert wording.up_to(10_000, "run") == "10,000 runs"


@pytest.mark.parametrize("path", ["/", "/batches"])
def test_the_rates_of_all_batches_take_one_statement(web: httpx.Client, path: str) -> None:
    with statements("AS over_s") as found:
        text = web.get(path).text
    assert text.count('id="b-') > 1
    assert len(found) == 1
