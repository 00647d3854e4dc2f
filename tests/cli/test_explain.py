"""`orchestrator explain`: a code in words, for people and programs, with no server and no data folder."""

from __future__ import annotations

import pytest

from orchestrator.domain.error_codes.catalogue import near
from tests.cli.conftest import Cli


def test_a_code_is_explained_with_its_cure_and_whether_a_repeat_is_safe(bare: Cli) -> None:
    said = bare("explain", "idempotency.interrupted")
    assert said.code == 0 and not said.err
    assert "Means:  An earlier request with this key was cut off" in said.out
    assert "Do:     Look at the list." in said.out
    assert "Repeat: look first: it may have been done" in said.out


def test_a_word_that_is_an_error_and_a_reason_to_wait_is_explained_as_both(bare: Cli) -> None:
    assert [one["kind"] for one in bare("explain", "provider", "-o", "json").json] == ["error", "waiting"]
    said = bare("explain", "provider")
    assert "provider (Calls to a provider)" in said.out and "provider (Why a run waits)" in said.out


def test_a_program_gets_the_whole_entry(bare: Cli) -> None:
    (entry,) = bare("explain", "launch_unknown", "-o", "json").json
    assert entry.keys() == {"code", "kind", "subject", "meaning", "cure", "repeat", "repeat_means"}
    assert (entry["code"], entry["kind"], entry["repeat"]) == ("launch_unknown", "run", "may act twice")


def test_without_a_code_all_are_listed(bare: Cli) -> None:
    listed = bare("explain", "-o", "json").json
    assert {"run_not_found", "csv.ragged", "database_full", "held", "result_lost"} <= {one["code"] for one in listed}
    table = bare("explain").out.splitlines()
    assert len(table) == len(listed) + 1 and table[0].split("\t") == ["code", "kind", "repeat", "meaning", "cure"]


def test_an_unknown_code_is_answered_with_what_may_have_been_meant(bare: Cli) -> None:
    said = bare("explain", "run_notfound")
    assert said.code == 4 and not said.out
    assert "there is no code 'run_notfound'" in said.err and "run_not_found" in said.err
    nothing = bare("explain", "qqqqqqq", "-o", "json")
    assert nothing.problem["code"] == "code_unknown" and "lists all codes" in nothing.problem["hint"]


@pytest.mark.parametrize(
    ("asked", "meant"), [("ragged", "csv.ragged"), ("Run-Not-Found", "run_not_found"), ("tokn.in_url", "token.in_url")]
)
def test_a_code_is_found_by_a_part_of_it_and_by_near_spelling(asked: str, meant: str) -> None:
    assert meant in near(asked)
