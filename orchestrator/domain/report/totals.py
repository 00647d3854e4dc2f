"""Control totals: equations that must hold, from sources that are written independently, and whether they do.

A total that is computed as "the rest" always adds up and proves nothing. So each side comes from its own place: what a
row says against what its history says, the launch ledger against the executions, a count against a sum of its parts
where a row that fits no part is in none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.domain.report.amounts import AmountSum, Number, alike, minus, plus
from orchestrator.domain.report.figures import Figures, FirstOutcome, ReportKind
from orchestrator.domain.statuses import RunStatus

#: Words that labels begin with, where there is one of them.
_SINGULAR: Mapping[str, str] = {
    **{f"{one}s": one for one in ("row", "run", "doubt", "file", "execution", "storing", "event")},
    "launches": "launch",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One number of an equation, and what it counts."""

    label: str
    value: Number

    @property
    def counted(self) -> str:
        """The label as it is said after its value: `doubts raised`, of one `doubt raised`."""
        noun, space, rest = self.label.partition(" ")
        return f"{_SINGULAR.get(noun, noun)}{space}{rest}" if self.value == 1 else self.label


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlTotal:
    """An equation: the left side must be the sum of the right side's terms."""

    name: str
    left: Term
    right: tuple[Term, ...]

    @property
    def right_sum(self) -> Number:
        """The right side."""
        total: Number = 0
        for term in self.right:
            total = plus(total, term.value)
        return total

    @property
    def difference(self) -> Number:
        """Left less right: 0 when it adds up."""
        return minus(self.left.value, self.right_sum)

    @property
    def adds_up(self) -> bool:
        """Whether both sides are the same."""
        return self.difference == 0

    @property
    def equation(self) -> str:
        """The equation in words."""
        return f"{self.left.label} = {' + '.join(term.label for term in self.right)}"

    @property
    def verdict(self) -> str:
        """What the comparison says."""
        if self.adds_up:
            return "adds up"
        side = "missing" if self.difference > 0 else "too many"
        return (
            f"does not add up: {number(self.left.value)} on the left, {number(self.right_sum)} on the right, "
            f"{number(self.difference).lstrip('-')} {side}"
        )


def number(value: Number) -> str:
    """Return a number as it is printed: thousands by commas, decimals as exact as they are."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,f}"


def control_totals(figures: Figures) -> tuple[ControlTotal, ...]:
    """Return every equation of a report, in the order in which the data went."""
    return (
        _intake(figures),
        *_observed(figures),
        _statuses(figures),
        _first_pass(figures),
        _launches(figures),
        _doubts(figures),
        _files(figures),
        _stored(figures),
        *_amounts(figures),
    )


def add_up(totals: tuple[ControlTotal, ...]) -> bool:
    """Tell whether every equation holds."""
    return all(total.adds_up for total in totals)


def _term(label: str, value: Number) -> Term:
    return Term(label=label, value=value)


def _intake(figures: Figures) -> ControlTotal:
    intake = figures.intake
    if figures.head.kind is ReportKind.BATCH:
        left = _term("rows in the file", intake.file_rows)
    else:
        left = _term("rows in files and single runs", intake.file_rows + intake.singles)
    right = (_term("accepted", figures.runs - intake.observed), _term("refused at submission", intake.refused))
    return ControlTotal(name="Rows", left=left, right=right)


def _observed(figures: Figures) -> list[ControlTotal]:
    """Compare what others started, and was only tracked here, with what the history tells of it; where there is any."""
    intake = figures.intake
    if not intake.observed and not intake.observed_told:
        return []
    told = _term("observed, as the history tells", intake.observed_told)
    return [ControlTotal(name="Observed runs", left=_term("observed runs", intake.observed), right=(told,))]


def _all_runs(figures: Figures) -> str:
    """Name all runs of a report: those that were submitted, and those that others started."""
    return "accepted and observed" if figures.intake.observed or figures.intake.observed_told else "accepted"


def _statuses(figures: Figures) -> ControlTotal:
    counted = tuple(_term(str(s), figures.by_status[s]) for s in RunStatus if figures.by_status.get(s))
    told = figures.intake.accepted_told + figures.intake.observed_told
    left = _term(f"{_all_runs(figures)}, as the history tells", told)
    return ControlTotal(name="Runs by status", left=left, right=counted or (_term("none", 0),))


#: How a first attempt ended, in the words of the report.
FIRST_WORDS: Mapping[FirstOutcome, str] = {
    FirstOutcome.FINISHED: "finished at once",
    FirstOutcome.ERROR: "error at first",
    FirstOutcome.RESULT_LOST: "result lost at first",
    FirstOutcome.CANCELLED: "cancelled at first",
    FirstOutcome.ABANDONED: "abandoned at first",
    FirstOutcome.DOUBTED: "doubted, launched again",
    FirstOutcome.OPEN: "first attempt open",
}
assert set(FIRST_WORDS) == set(FirstOutcome), "every outcome has its words"


def first_outcomes(figures: Figures) -> dict[FirstOutcome, int]:
    """Return how the first attempts ended -> runs. Those of which the history does not say it are in none."""
    found = dict.fromkeys(FirstOutcome, 0)
    for entry in figures.passes:
        if entry.first is not None:
            found[entry.first] += entry.runs
    return {first: runs for first, runs in found.items() if runs}


def _first_pass(figures: Figures) -> ControlTotal:
    terms = tuple(_term(FIRST_WORDS[first], runs) for first, runs in first_outcomes(figures).items())
    return ControlTotal(
        name="First attempts", left=_term(_all_runs(figures), figures.runs), right=terms or (_term("none", 0),)
    )


def _launches(figures: Figures) -> ControlTotal:
    launches = figures.launches
    terms = [
        _term("executions linked", launches.linked),
        _term("in doubt", launches.in_doubt),
        _term("doubts given up", launches.given_up),
        _term("refused", launches.refused),
        _term("never sent", launches.unsent_items),
        _term("never sent, launched again", launches.launched_again),
    ]
    if launches.on_the_wire:
        terms.append(_term("on the wire", launches.on_the_wire))
    return ControlTotal(name="Launches", left=_term("launches", launches.items), right=tuple(terms))


def _doubts(figures: Figures) -> ControlTotal:
    doubts = figures.doubts
    terms = (*(_term(how, n) for how, n in doubts.resolved.items()), _term("in doubt now", doubts.standing))
    return ControlTotal(name="Doubts", left=_term("doubts raised", doubts.raised), right=terms)


def _files(figures: Figures) -> ControlTotal:
    results = figures.results
    terms = (
        _term("stored", results.stored),
        _term("lost", results.lost),
        _term("given up with their run", results.given_up),
        _term("still to come", results.to_come),
    )
    return ControlTotal(name="Result files", left=_term("files offered", results.offered), right=terms)


def _stored(figures: Figures) -> ControlTotal:
    left = _term("files stored", figures.results.stored)
    told = _term("storings, as the history tells", figures.results.stored_told)
    return ControlTotal(name="Stored files", left=left, right=(told,))


def _amounts(figures: Figures) -> list[ControlTotal]:
    """Compare what went in with what came out, field by field in the order in which they were named."""
    if len(figures.input_sums) != len(figures.result_sums):
        return []
    return [_amount(given, made) for given, made in zip(figures.input_sums, figures.result_sums, strict=True)]


def _amount(given: AmountSum, made: AmountSum) -> ControlTotal:
    every, out, rest = alike([given.total, made.total, minus(given.total, given.total_finished)])
    # Both sides lack them alike, so the equation holds; it must not be taken for the whole.
    erased = max(given.erased, made.erased)
    without = f", without {erased:,} erased {'row' if erased == 1 else 'rows'}" if erased else ""
    return ControlTotal(
        name=f"Amounts: {given.name} in, {made.name} out{without}",
        left=_term("amount in, all rows", every),
        right=(_term("amount out", out), _term("amount in of runs not finished", rest)),
    )
