"""The headline of a report: what finished, what did not, what is under way, and what needs a person."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.domain.report.figures import Figures
from orchestrator.domain.report.totals import ControlTotal
from orchestrator.domain.statuses import LIVE, RunStatus

#: Endings in which somebody did not get what was asked for.
FAILURES = (RunStatus.ERROR, RunStatus.RESULT_LOST, RunStatus.ABANDONED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The report in a few lines. `needs` is empty when no person is needed."""

    headline: str
    state: str
    needs: tuple[str, ...]
    is_good: bool


def verdict(figures: Figures, totals: tuple[ControlTotal, ...]) -> Verdict:
    """Return the headline of a report."""
    failed = sum(figures.by_status.get(status, 0) for status in FAILURES)
    cancelled = figures.by_status.get(RunStatus.CANCELLED, 0)
    under_way = sum(figures.by_status.get(status, 0) for status in LIVE)
    if not figures.runs:
        headline = "No run was accepted"
    else:
        headline = f"{figures.finished:,} of {counted(figures.runs, 'run')} finished"
    told = [f"{failed:,} failed", f"{cancelled:,} cancelled", f"{under_way:,} under way"]
    refused = figures.intake.refused
    state = ", ".join(told) + (f"; {counted(refused, 'row')} refused at submission" if refused else "")
    observed = figures.intake.observed
    state += f"; {observed:,} of them observed, started by other programs" if observed else ""
    state += f"; the content of {counted(figures.erased, 'run')} was erased since" if figures.erased else ""
    needs = tuple(_needs(figures, totals))
    return Verdict(headline=headline, state=state, needs=needs, is_good=not needs and not failed)


def _needs(figures: Figures, totals: tuple[ControlTotal, ...]) -> list[str]:
    needs = [f"{total.name} {total.verdict}" for total in totals if not total.adds_up]
    if n := figures.by_status.get(RunStatus.IN_DOUBT, 0):
        needs.append(f"{counted(n, 'launch')} in doubt: nobody knows whether it arrived")
    if n := figures.by_status.get(RunStatus.HUMAN_IN_THE_LOOP, 0):
        needs.append(f"{counted(n, 'run')} waiting for a person at the provider")
    if n := figures.questions.get("overdue", 0):
        needs.append(f"{counted(n, 'run')} overdue for more than a day")
    if n := figures.by_status.get(RunStatus.RESULT_LOST, 0):
        needs.append(f"{counted(n, 'run')} whose results are lost: fetch again, or launch again")
    sums = (*figures.input_sums, *figures.result_sums)
    if n := sum(sum(s.lacking.values()) - s.erased for s in sums):
        needs.append(f"{counted(n, 'row')} without a number in the fields that are summed")
    if n := max((s.erased for s in sums), default=0):
        needs.append(f"the sums lack {counted(n, 'row')} whose content was erased")
    return needs


def counted(count: int, noun: str) -> str:
    """Return `1 run`, `2 runs`, `2 launches`."""
    plural = noun + ("es" if noun.endswith("ch") else "s")
    return f"{count:,} {noun if count == 1 else plural}"
