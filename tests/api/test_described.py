"""What is served is what is described: a slice of the requests that `python -m tests.api.described` makes."""

from __future__ import annotations

import argparse

import httpx
import pytest

from orchestrator.client import Client
from tests.api import described
from tests.api.conftest import Served, running


@pytest.mark.timeout(300)
def test_every_answer_is_as_described_and_none_is_a_bug(capsys: pytest.CaptureFixture[str]) -> None:
    code = described.main(["--quiet", "--phases", "examples,coverage", "--examples", "1"])
    assert code == 0, capsys.readouterr().out


@pytest.mark.timeout(120)
def test_a_token_that_dies_while_it_asks_is_told_though_each_answer_was_as_described(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def revoke(url: str, token: str, given: argparse.Namespace) -> int:
        with Client(url, token) as client:
            (own,) = client.tokens.list()
            client.tokens.revoke(own["id"])
        return 0

    monkeypatch.setattr(described, "_ask", revoke)
    assert described.main(["--quiet"]) == 1
    assert "HOLLOW: the token that asks works no more" in capsys.readouterr().out


def test_only_answers_to_the_token_that_asks_are_counted(served: Served) -> None:
    door = described.Door()
    with running(served.settings, seen_by=door) as url:
        door.token = served.token
        for token in (served.token, served.token, "orch_live_wrong", None):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            httpx.get(f"{url}/api/v1/connections", headers=headers, trust_env=False)
        httpx.get(f"{url}/api/v1/runs/nothing", headers={"Authorization": f"Bearer {served.token}"}, trust_env=False)
    assert door.answers == {200: 2, 404: 1}


@pytest.mark.parametrize(
    ("answers", "at_the_end", "says"),
    [
        ({200: 97, 401: 2, 429: 1}, None, None),
        ({200: 96, 401: 2, 429: 2}, None, "4 of 100 requests"),
        ({404: 50, 422: 50}, None, "nothing that was asked"),
        ({}, None, "nothing that was asked"),
        ({200: 100}, "token.revoked", "works no more: token.revoked"),
    ],
)
def test_what_was_mostly_turned_away_says_nothing(
    answers: dict[int, int], at_the_end: str | None, says: str | None
) -> None:
    told = described.hollow(answers, at_the_end=at_the_end)
    assert told is None if says is None else says in str(told)
