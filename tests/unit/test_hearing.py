"""What the headers of answers tell: read where they can be, ignored where they cannot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from orchestrator.domain.answers import Access
from orchestrator.domain.heard import Ending, EndingNews, Heard, RateSaid, lowest
from orchestrator.providers import hearing
from orchestrator.providers.hearing import Hearing, ending_said, rate_said

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ACCESS = Access(connection_id="c", base_url="https://x", api_key="k", api_version="2026-08-01")


def rate(limit: str | None, remaining: str | None, reset: str | None = None) -> RateSaid | None:
    given = {"X-RateLimit-Limit": limit, "x-ratelimit-remaining": remaining, "X-RATELIMIT-RESET": reset}
    return rate_said(httpx.Headers({name: value for name, value in given.items() if value is not None}), utc_now=NOW)


@pytest.mark.parametrize(
    ("limit", "remaining", "reset", "said"),
    [
        ("120", "119", "60", RateSaid(limit=120, remaining=119, reset_s=60.0)),
        (" 120 ", " 0 ", " 1.5 ", RateSaid(limit=120, remaining=0, reset_s=1.5)),
        ("120, 120;w=60", "7;w=60", None, RateSaid(limit=120, remaining=7)),
        (None, "3", "soon", RateSaid(remaining=3)),
        ("120", None, "-1", RateSaid(limit=120)),
        ("120", "many", "1e3", RateSaid(limit=120)),
        ("120", "5", str(int(NOW.timestamp()) + 30), RateSaid(limit=120, remaining=5, reset_s=30.0)),
        ("120", "5", str(int(NOW.timestamp()) - 30), RateSaid(limit=120, remaining=5)),
        ("120", "5", "9" * 400, RateSaid(limit=120, remaining=5)),
    ],
)
def test_what_can_be_read_is_read(limit: str | None, remaining: str | None, reset: str | None, said: RateSaid) -> None:
    assert rate(limit, remaining, reset) == said


@pytest.mark.parametrize(
    ("limit", "remaining"),
    [
        (None, None),
        ("0", "0"),
        ("0", None),
        ("-5", "-5"),
        ("1.5", "nan"),
        ("99999999", "x"),
        ("1" * 400, "1" * 400),
        ("10", "11"),
    ],
)
def test_what_cannot_be_says_nothing(limit: str | None, remaining: str | None) -> None:
    assert rate(limit, remaining, "60") is None


def test_the_least_of_several_holds() -> None:
    said = [RateSaid(limit=120, remaining=5, reset_s=3), None, RateSaid(limit=100, reset_s=9), RateSaid(remaining=7)]
    assert lowest(said) == RateSaid(limit=100, remaining=5, reset_s=9)
    assert lowest([None]) is None


@pytest.mark.parametrize(
    ("header", "ending"),
    [
        (
            "2026-08-01; sunset=2027-02-01; replacement=2027-01-15",
            Ending(version="2026-08-01", sunset_at=datetime(2027, 2, 1, tzinfo=UTC), replacement="2027-01-15"),
        ),
        (
            'x ;Replacement="v2";SUNSET="Mon, 01 Feb 2027 00:00:00 GMT";sunset=2030-01-01',
            Ending(version="x", sunset_at=datetime(2027, 2, 1, tzinfo=UTC), replacement="v2"),
        ),
        ("2026-08-01; sunset=2027-02-01T10:00:00+02:00",
         Ending(version="2026-08-01", sunset_at=datetime(2027, 2, 1, 8, tzinfo=UTC))),
        ("", Ending()),
        ("true", Ending(version="true")),
        ("; sunset=9999-99-99; replacement=<script>", Ending()),
        ("a b; sunset=0001-01-01; replacement=" + "9" * 1_000, Ending()),
    ],
)  # fmt: skip
def test_an_announced_end_is_read_as_far_as_it_says(header: str, ending: Ending) -> None:
    assert ending_said(header) == ending


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ear(clock: Clock) -> Hearing:
    return Hearing(monotonic=clock, utc_now=lambda: NOW)


def listen(ear: Hearing, headers: dict[str, str], *, version: str = "2026-08-01", is_own: bool = True) -> None:
    ear.listen(ACCESS, httpx.Headers(headers), version=version, is_own=is_own)


def test_answers_that_come_together_leave_the_least_and_old_ones_nothing(ear: Hearing, clock: Clock) -> None:
    for remaining in ("7", "5", "6"):
        listen(ear, {"x-ratelimit-remaining": remaining})
    assert ear.heard("c").rate == RateSaid(remaining=5)
    assert ear.heard("c").rate is None and ear.heard("other") == Heard()
    listen(ear, {"x-ratelimit-remaining": "1"})
    clock.now_s += hearing.TOGETHER_S + 1
    listen(ear, {"x-ratelimit-remaining": "9"})
    assert ear.heard("c").rate == RateSaid(remaining=9)
    listen(ear, {"x-ratelimit-remaining": "1"})
    clock.now_s += hearing.STALE_S + 1
    assert ear.heard("c").rate is None


def test_an_end_is_news_once_and_again_when_it_is_told_otherwise(ear: Hearing) -> None:
    told = {"Scripe-Deprecation": "2026-08-01"}
    news = EndingNews(asked="2026-08-01", ending=Ending(version="2026-08-01"))
    listen(ear, told)
    listen(ear, told)
    assert ear.heard("c").news == news and ear.heard("c").news is None
    listen(ear, {}, is_own=False)
    assert ear.heard("c").news is None, "a proxy's page knows of no versions"
    listen(ear, {})
    assert ear.heard("c").news == EndingNews(asked="2026-08-01", ending=None)
    listen(ear, told, version="2027-01-15")
    assert ear.heard("c").news == EndingNews(asked="2027-01-15", ending=Ending(version="2026-08-01"))


def test_what_is_remembered_is_bounded(ear: Hearing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "MOST", 2)
    for id in "abc":
        access = Access(connection_id=id, base_url="https://x", api_key="k")
        ear.listen(access, httpx.Headers({"x-ratelimit-remaining": "1"}), version="v", is_own=True)
    assert [ear.heard(id).rate is not None for id in "abc"] == [False, True, True]


def test_a_moment_before_the_epoch_is_none() -> None:
    assert ending_said("v; sunset=1960-01-01").sunset_at is None
    assert rate("5", "1", str(int((NOW - timedelta(days=9)).timestamp()))) == RateSaid(limit=5, remaining=1)
