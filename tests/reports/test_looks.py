"""How a page looks, as far as a program can tell: on paper without colour, on a phone, where there is very much."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.domain.report.figures import (
    ActGroup,
    Cause,
    DoubtFigures,
    DoubtGroup,
    FireFigure,
    IntakeFigures,
    Part,
    ReportKind,
)
from orchestrator.domain.report.totals import control_totals
from orchestrator.domain.statuses import RunStatus
from orchestrator.reports import html_parts, svg
from orchestrator.reports.html_parts import Column
from orchestrator.reports.style import FILLS
from orchestrator.reports.words import clock
from tests.reports.test_pages import AT, figures, harmless, head, page_of

BATCH = "01a2016e-947d-7f2b-bcd5-14b3031fb6f0"


def text_of(page: str) -> str:
    return "".join(harmless(page).text)


def light(colour: str) -> float:
    """Return how light a colour is on grey paper, 0 to 1 (relative luminance, WCAG)."""

    def linear(part: str) -> float:
        value = int(part, 16) / 255
        return float(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)

    red, green, blue = (linear(colour[n : n + 2]) for n in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_what_finished_failed_or_was_cancelled_is_told_apart_without_colour() -> None:
    failed, finished, cancelled = (light(FILLS[name]) for name in ("bad", "ok", "off"))
    contrast = [(finished + 0.05) / (failed + 0.05), (cancelled + 0.05) / (finished + 0.05)]
    assert failed < finished < cancelled
    assert min(contrast) >= 1.8, contrast
    # Against white paper, and against each other where they meet in one bar.
    assert 1.05 / (finished + 0.05) >= 3
    assert contrast[0] >= 2.9


def test_every_printed_sheet_says_what_it_belongs_to_and_whose_times_it_shows() -> None:
    batch = head(kind=ReportKind.BATCH, zone="America/Argentina/Buenos_Aires", facts={"batch": BATCH})
    page = page_of(figures(head=batch))
    assert f'"Batch report {BATCH}, made 2026-03-28 21:30:00; times are in America/Argentina/Buenos_Aires"' in page
    assert "Period report 2026-03-29 00:30 to 2026-03-29 00:30, made" in page_of(figures())


def test_a_total_that_does_not_add_up_shows_the_terms_that_are_zero() -> None:
    found = figures(by_status={}, runs=0, intake=IntakeFigures(file_rows=3))
    assert control_totals(found)[0].difference == 3
    assert "=0 accepted +0 refused at submission" in text_of(page_of(found))
    assert "refused at submission" not in page_of(figures()).split("What the numbers mean")[0]


def test_the_hour_that_comes_twice_is_told_apart() -> None:
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert clock(first, "Europe/Zurich") == "2026-10-25 02:30:00 +02:00"
    assert clock(first + timedelta(hours=1), "Europe/Zurich") == "2026-10-25 02:30:00 +01:00"
    assert clock(first + timedelta(hours=2), "Europe/Zurich", seconds=False) == "2026-10-25 03:30"


def test_a_reason_is_printed_whole() -> None:
    reason = "why " * 500
    act = ActGroup(type="reopened", actor="a", reason=reason, count=1, first_at=AT, last_at=AT)
    doubt = DoubtGroup(
        count=1, run="r", first_index=None, last_index=None, raised_at=AT, why=None, settled="adopted", actor="a",
        reason=reason, settled_at=AT,
    )  # fmt: skip
    found = figures(acts=[act], doubt_groups=[doubt], doubts=DoubtFigures(raised=1))
    assert text_of(page_of(found)).count(reason) == 2


def part(batch: str | None, runs: int, **counts: int) -> Part:
    every: dict[str, Any] = {"finished": 0, "failed": 0, "cancelled": 0, "open": 0} | counts
    return Part(batch=batch, name=None, workflow="w", runs=runs, **every)


def test_the_parts_of_a_period_are_added_up_and_say_what_is_left_out() -> None:
    parts = [part("one", 1_000, finished=900, failed=100), part(None, 2, open=2)]
    found = figures(runs=1_002, parts=parts)
    text = text_of(page_of(found))
    assert "together1,00290010002" in text
    assert "the first" not in text
    cut = text_of(page_of(replace(found, runs=5_000)))
    assert "the first 2, with 1,002 of 5,000 runs; all of them are in this report's CSV" in cut


def test_of_many_ticks_the_page_shows_how_many_and_those_that_did_not_fire() -> None:
    at = [AT + timedelta(minutes=n) for n in range(1_000)]
    fires = [
        FireFigure(schedule="nightly", nominal_at=moment, became="missed" if n % 100 == 7 else "fired", why=f"why-{n};")
        for n, moment in enumerate(at)
    ]
    ticks = {"nightly": {"fired": 990, "missed": 10}}
    page = page_of(figures(fires=fires, ticks=ticks))
    text = text_of(page)
    assert "nightly1,00099010" in text
    assert "1,000 in all; below the 10 that did not fire" in text
    assert (text.count("why-"), "why-107;" in text, "why-108;" in text) == (10, True, False)
    assert len(page) < 60_000
    few = text_of(page_of(figures(fires=fires[:10], ticks={"nightly": {"fired": 9, "missed": 1}})))
    assert few.count("why-") == 10


def test_a_page_fits_a_phone_because_each_table_scrolls_by_itself() -> None:
    page = page_of(figures(causes=[], by_status={RunStatus.ERROR: 3}))
    assert page.count('<div class="wide"><table') == page.count("<table") >= 5
    assert 'content="width=device-width, initial-scale=1"' in page


def test_on_a_phone_a_wide_table_has_each_cell_beside_its_title_and_numbers_stay_in_columns() -> None:
    words = [Column(title="Who"), Column(title="Why"), Column(title="Times", look="num"), Column(title="Last")]
    page = html_parts.table(words, [("ann", "because", 2, "")])
    assert 'class="stacked"' in page
    assert '<td data-title="Why">because</td>' in page
    numbers = [Column(title="From, to"), *(Column(title=title, look="num") for title in ("p50", "p95", "max"))]
    assert "data-title" not in html_parts.table(numbers, [("waiting", 1, 2, 3)])


def test_the_chart_of_causes_is_as_high_as_its_bars() -> None:
    one, many = (
        svg.causes([Cause(status=RunStatus.ERROR, code=f"c{n}", runs=1) for n in range(count)]) for count in (1, 6)
    )
    assert ('viewBox="0 0 340 32"' in one, 'viewBox="0 0 340 142"' in many) == (True, True)
