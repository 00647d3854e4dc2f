"""The arithmetic of reports: equations, exact amounts, steps of time."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from orchestrator.domain.report.amounts import MAX_NAMED, AmountSum, Lack, amount_of, minus, plus
from orchestrator.domain.report.buckets import BOUNDS_S, MAX_STEPS, bars, histogram, span, step_for
from orchestrator.domain.report.figures import (
    DoubtFigures,
    Figures,
    FirstOutcome,
    IntakeFigures,
    LaunchFigures,
    Pass,
    ReportKind,
    ResultFigures,
    Slice,
)
from orchestrator.domain.report.totals import ControlTotal, Term, add_up, control_totals
from orchestrator.domain.report.verdict import verdict
from orchestrator.domain.statuses import RunStatus
from tests.reports.test_pages import figures, head


def good() -> Figures:
    """Figures of which everything adds up."""
    return figures(
        head=head(kind=ReportKind.BATCH),
        intake=IntakeFigures(batches=1, file_rows=4, refused=1, accepted_told=3),
        launches=LaunchFigures(intents=2, items=4, linked=2, in_doubt=1, launched_again=1),
        results=ResultFigures(offered=3, stored=2, to_come=1, stored_told=2),
        input_sums=[AmountSum(of="input", name="amount", total=Decimal("3.30"), total_finished=Decimal("1.10"))],
        result_sums=[AmountSum(of="result", name="sum", total=Decimal("1.10"), total_finished=Decimal("1.10"))],
    )


def test_good_figures_add_up() -> None:
    totals = control_totals(good())
    assert [t.verdict for t in totals] == ["adds up"] * 8
    assert add_up(totals)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("Rows", {"intake": IntakeFigures(file_rows=5, refused=1, accepted_told=3)}),
        ("Rows", {"runs": 4}),
        ("Runs by status", {"by_status": {RunStatus.FINISHED: 2}}),
        ("First attempts", {"passes": [Pass(first=FirstOutcome.FINISHED, final=RunStatus.FINISHED, runs=2)]}),
        ("First attempts", {"passes": [Pass(first=None, final=RunStatus.FINISHED, runs=3)]}),
        ("Launches", {"launches": LaunchFigures(items=4, linked=3)}),
        ("Doubts", {"doubts": DoubtFigures(raised=1, standing=1, resolved={"adopted": 1})}),
        ("Result files", {"results": ResultFigures(offered=3, stored=2, stored_told=2)}),
        ("Stored files", {"results": ResultFigures(offered=2, stored=2, stored_told=1)}),
        ("Amounts: amount in, sum out", {"result_sums": [AmountSum(of="result", name="sum", total=Decimal("1.09"))]}),
    ],
)
def test_one_changed_figure_makes_its_total_say_that_it_does_not_add_up(name: str, changed: dict[str, object]) -> None:
    found = replace(good(), **changed)  # type: ignore[arg-type]
    totals = control_totals(found)
    wrong = {t.name: t for t in totals if not t.adds_up}
    assert name in wrong
    assert wrong[name].verdict.startswith("does not add up: ")
    assert any(need.startswith(name) for need in verdict(found, totals).needs)


def test_the_verdict_says_both_sides_and_what_is_missing() -> None:
    total = ControlTotal(name="x", left=Term(label="a", value=10), right=(Term(label="b", value=9),))
    assert total.verdict == "does not add up: 10 on the left, 9 on the right, 1 missing"
    assert total.equation == "a = b"
    more = replace(total, right=(Term(label="b", value=1012),))
    assert more.verdict == "does not add up: 10 on the left, 1,012 on the right, 1,002 too many"


@pytest.mark.parametrize(
    ("document", "name", "amount"),
    [
        (b'{"amount": 0.1}', "amount", Decimal("0.1")),
        (b'{"amount": 12345678901234567890.12345678901234567890}', "amount",
         Decimal("12345678901234567890.12345678901234567890")),
        (b'{"amount": "12.50"}', "amount", Decimal("12.50")),
        (b'{"amount": -3}', "amount", Decimal(-3)),
        (b'{"total": {"amount": 7}}', "/total/amount", Decimal(7)),
        (b'{"total": {"amount": 7}}', "amount", Lack.MISSING),
        (b"{}", "amount", Lack.MISSING),
        (b'{"amount": null}', "amount", Lack.NO_NUMBER),
        (b'{"amount": true}', "amount", Lack.NO_NUMBER),
        (b'{"amount": "12,50"}', "amount", Lack.NO_NUMBER),
        (b'{"amount": "1e5"}', "amount", Lack.NO_NUMBER),
        (b'{"amount": 1e999999999}', "amount", Lack.NO_NUMBER),
        (b'{"amount": ' + b"9" * 5000 + b"}", "amount", Lack.NO_NUMBER),
        (b'{"amount": NaN}', "amount", Lack.UNREADABLE),
        (b"[1]", "amount", Lack.UNREADABLE),
        (b"\xff", "amount", Lack.UNREADABLE),
        (b"[" * 100_000, "amount", Lack.UNREADABLE),
    ],
)  # fmt: skip
def test_an_amount_is_read_exactly_or_said_to_lack(document: bytes, name: str, amount: Decimal | Lack) -> None:
    assert amount_of(document, name) == amount


def test_a_sum_is_exact_and_names_the_rows_that_lack() -> None:
    total = AmountSum(of="input", name="amount")
    for n in range(1000):
        total = total.plus(f"#{n}", Decimal("0.1"), finished=n % 2 == 0)
    for n in range(30):
        total = total.plus(f"#{n}", Lack.MISSING, finished=True)
    assert (total.total, total.total_finished, total.rows) == (Decimal("100.0"), Decimal("50.0"), 1000)
    assert (dict(total.lacking), len(total.named)) == ({str(Lack.MISSING): 30}, MAX_NAMED)


def test_numbers_of_very_different_size_are_added_without_a_loss() -> None:
    huge, tiny = Decimal(10) ** 60, Decimal(1).scaleb(-60)
    assert minus(plus(huge, tiny), huge) == tiny


def test_a_span_is_cut_into_steps_that_fit_a_chart() -> None:
    for days in (0.01, 0.5, 1, 7, 30, 90, 365, 1500):
        assert days * 86_400 / step_for(days * 86_400) < MAX_STEPS
    assert step_for(3 * 86_400, least_s=86_400) == 86_400


def test_days_without_runs_stand_in_the_chart_too() -> None:
    first = datetime(2026, 3, 1)
    slices = [
        Slice(at=first, status=RunStatus.FINISHED, runs=2),
        Slice(at=first + timedelta(days=3), status=RunStatus.ERROR, runs=1),
    ]
    found = bars(slices, 86_400)
    assert [sum(bar.counts.values()) for bar in found] == [2, 0, 0, 1]


def test_a_histogram_goes_from_the_first_to_the_last_bucket_that_holds_a_run() -> None:
    assert histogram({5.0: 1, 30.0: 2, None: 1})[0] == (5.0, 1)
    assert histogram({5.0: 1, None: 3})[-1] == (None, 3)
    assert len(histogram({BOUNDS_S[1]: 1, BOUNDS_S[3]: 1})) == 3
    assert histogram({}) == []


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0, "0 ms"), (0.85, "850 ms"), (4.25, "4.2 s"), (20.0, "20 s"), (200.0, "3 min 20 s"), (3600.0, "1 h"),
     (90_000.0, "1 d 1 h")],
)  # fmt: skip
def test_a_length_of_time_is_told_in_two_units_at_most(seconds: float, told: str) -> None:
    assert span(seconds) == told
