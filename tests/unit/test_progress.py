"""What is kept of a job's progress, however odd or hostile what it says of it is."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.cli.live import in_one_line
from orchestrator.domain.progress import Standing, standing
from orchestrator.providers import scripe_shapes

NOW = datetime(2026, 8, 1, tzinfo=UTC)


def said(progress: Any, left_ms: Any = None) -> Standing:
    """Return what is kept of a job that says this."""
    job = {"id": "job_1", "status": "RUNNING", "progress": progress, "estimatedCompletionMs": left_ms}
    return standing(scripe_shapes.seen(job).progress, now=NOW)


def test_null_is_no_progress_and_zero_is_some() -> None:
    assert said(None) == standing(None, now=NOW) == Standing()
    assert said({"progress": 0, "message": None}) == Standing(fraction=0.0)
    assert said({"progress": None, "message": "soon"}) == Standing(message="soon")


@pytest.mark.parametrize("share", [True, -0.1, 1.1, float("nan"), float("inf"), "0.5", [], 10**400])
def test_a_share_that_is_none_is_left_out(share: object) -> None:
    assert said({"progress": share, "message": "m"}) == Standing(message="m")


@pytest.mark.parametrize("left", [-1, 1.5, True, "7", 2**53, 2**53 - 1, 10**400])
def test_an_estimate_that_is_none_or_beyond_a_year_is_left_out(left: object) -> None:
    assert said(None, left) == Standing()


def test_an_estimate_is_time_left_from_the_look() -> None:
    assert said(None, 1_500) == Standing(completes_at=NOW + timedelta(seconds=1.5))


def test_steps_below_a_hundredth_are_the_same_and_nothing_is_rounded_up() -> None:
    assert [said({"progress": share}).fraction for share in (0.29, 0.999, 0.501, 0.5099, 1)] == [
        0.29, 0.99, 0.5, 0.5, 1.0]  # fmt: skip


def test_a_message_is_one_short_plain_line_without_secrets() -> None:
    hostile = "\x1b[2J\x00a\r\nb\u202e Authorization: Bearer scripe_sk_live_abcdef " + "x " * 5_000
    message = said({"progress": 0.5, "message": hostile}).message
    assert message is not None and len(message) <= 200
    assert all(unicodedata.category(char)[0] != "C" for char in message)
    assert "abcdef" not in message
    assert said({"progress": 0.5, "message": {"text": "no"}}).message is None
    assert said({"progress": None, "message": "\x00\n"}) == Standing()


def test_a_person_sees_it_in_one_line() -> None:
    run = {"id": "r", "status": "processing", "provider_status": "RUNNING"}
    told = {"fraction": 0.42, "message": "writing", "estimated_completion_at": None}
    assert in_one_line(run | {"progress": told}) == "r  processing (provider: RUNNING)  42%, writing"
    assert in_one_line(run | {"progress": told | {"fraction": None}}).endswith("writing")
    assert in_one_line(run | {"progress": told | {"fraction": 0.0}}).endswith("0%, writing")
    assert in_one_line(run | {"progress": None}) == "r  processing (provider: RUNNING)"
