"""The page of a batch or a period: first what matters, on one sheet; then how it came about; then the lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from orchestrator.domain.report import buckets
from orchestrator.domain.report.amounts import AmountSum
from orchestrator.domain.report.buckets import span
from orchestrator.domain.report.definitions import ACTS, COLUMNS, EFFORT, ERASED, FIRSTS, TERMS, TICKS, TIMINGS
from orchestrator.domain.report.figures import Figures, Listing, ReportHead, ReportKind, Timing
from orchestrator.domain.report.totals import FIRST_WORDS, ControlTotal, first_outcomes, number
from orchestrator.domain.report.verdict import Verdict, verdict
from orchestrator.domain.statuses import MEANINGS, RunStatus
from orchestrator.reports import html_lists, html_parts, svg
from orchestrator.reports.html_parts import Column, pairs, section, table
from orchestrator.reports.markup import Child, Markup, foreign, joined, tag
from orchestrator.reports.words import size

TYPE = "text/html; charset=utf-8"


def page(figures: Figures, totals: tuple[ControlTotal, ...], lists: Mapping[str, Listing]) -> bytes:
    """Return the whole page.

    Args:
        lists: `failures` and `results`, each with its first rows.
    """
    zone = figures.head.zone
    body: list[Child] = [
        _headline(verdict(figures, totals)),
        section(
            "Control totals",
            html_parts.totals(totals),
            note="each equation from sources that are kept apart",
            class_="whole",
        ),
        _charts(figures),
        *_how(figures),
        html_parts.listing("failures", "Failures", lists["failures"], zone),
        html_lists.doubts(figures),
        html_lists.acts(figures),
        html_lists.ticks(figures),
        html_parts.listing("results", "Results", lists["results"], zone),
        section("What the numbers mean", _definitions(figures, totals)),
    ]
    return html_parts.page(figures.head, body, about=_about(figures.head))


def _about(head: ReportHead) -> str:
    return html_parts.period(head) if head.kind is ReportKind.PERIOD else head.facts.get("batch", "")


def _headline(said: Verdict) -> Markup:
    needs: Child = tag("p", "Nothing.", class_="soft")
    if said.needs:
        needs = tag("ul", *(tag("li", foreign(need)) for need in said.needs))
    return tag(
        "div",
        tag("div", tag("div", said.headline, class_="big"), tag("div", said.state, class_="soft")),
        tag("div", tag("h3", "Needs a person"), needs),
        class_="headline good" if said.is_good else "headline",
    )


def _charts(figures: Figures) -> Markup:
    bars = buckets.bars(figures.slices, figures.step_s)
    step = f"{figures.steps_by}, by {_step(figures.step_s)}" if bars else ""
    reached = next((t for t in figures.timings if t.name == "to result"), None)
    middle = ""
    if reached is not None and reached.p50_s is not None and reached.p95_s is not None:
        middle = f"half within {span(reached.p50_s)}, 95 % within {span(reached.p95_s)}"
    charts = (
        ("Outcomes", step, svg.outcomes(bars, figures.step_s)),
        ("Time to result", middle, svg.durations(buckets.histogram(figures.durations))),
        ("Failures by cause", "", svg.causes(figures.causes)),
    )
    return tag(
        "div",
        *(
            tag("figure", tag("figcaption", title, " ", tag("small", note)), chart)
            for title, note, chart in charts
        ),
        class_="charts",
    )  # fmt: skip


def _step(step_s: int) -> str:
    if step_s >= buckets.DAY_S:
        days = step_s // buckets.DAY_S
        return "day" if days == 1 else f"{days} days"
    return span(step_s)


def _how(figures: Figures) -> Iterator[Child]:
    """Yield what is behind the first sheet: the times, what it took, where everything stands."""
    yield section("How long it took", _timings(figures.timings), class_="whole")
    yield tag(
        "div",
        section("Where the runs stand", pairs(_statuses(figures), title="Status", value="Runs")),
        section("How first attempts ended", pairs(_firsts(figures), title="First attempt", value="Runs")),
        section("What it took", pairs(_effort(figures), title="", value="Number")),
        section("Why runs failed", pairs(_causes(figures), title="Status and cause", value="Runs")),
        class_="two",
    )
    if figures.input_sums or figures.result_sums:
        yield section("Amounts", _sums((*figures.input_sums, *figures.result_sums)))
    if figures.head.kind is ReportKind.PERIOD:
        yield html_lists.parts(figures)


def _timings(timings: Sequence[Timing]) -> Markup:
    columns = [Column(title="From, to"), *(Column(title=t, look="num") for t in ("Measured", "p50", "p95", "max"))]
    return table(
        columns,
        [(t.name, f"{t.count:,}", *(_span(value) for value in (t.p50_s, t.p95_s, t.max_s))) for t in timings],
    )


def _span(seconds: float | None) -> str:
    return "–" if seconds is None else span(max(seconds, 0.0))


def _statuses(figures: Figures) -> list[tuple[str, Child]]:
    erased = [("of these, erased", f"{figures.erased:,}")] if figures.erased else []
    return [*((str(s), f"{figures.by_status[s]:,}") for s in RunStatus if figures.by_status.get(s)), *erased]


def _firsts(figures: Figures) -> list[tuple[str, Child]]:
    return [(FIRST_WORDS[first], f"{runs:,}") for first, runs in first_outcomes(figures).items()]


def _causes(figures: Figures) -> list[tuple[str, Child]]:
    return [
        (cause.code if cause.code == cause.status else f"{cause.status}: {cause.code}", f"{cause.runs:,}")
        for cause in figures.causes
    ]


def _effort(figures: Figures) -> list[tuple[str, Child]]:
    launches = figures.launches
    return [
        ("attempts", f"{launches.attempts:,}"),
        ("launch requests", f"{launches.intents:,}"),
        ("of these, nothing started", f"{launches.unsent:,}"),
        ("looks", f"{launches.looks:,}"),
        ("requests of the budget", f"{launches.intents + launches.looks:,}"),
        *((name, f"{count:,}") for name, count in figures.retries.items()),
        ("result bytes stored", size(figures.results.stored_bytes)),
    ]


def _sums(sums: Sequence[AmountSum]) -> Markup:
    columns = (Column(title="Field"), Column(title="Sum", look="num"), Column(title="Of finished runs", look="num"),
               Column(title="Rows", look="num"), Column(title="Rows without a number"))  # fmt: skip
    return table(
        columns,
        [
            (
                joined([f"{s.of} ", foreign(s.name)]),
                number(s.total),
                number(s.total_finished),
                f"{s.rows:,}",
                _lacking(s),
            )
            for s in sums
        ],
    )


def _lacking(found: AmountSum) -> Child:
    if not found.lacking:
        return "none"
    counted = "; ".join(f"{rows:,}: {why}" for why, rows in found.lacking.items())
    named = ", ".join(row for row, _ in found.named)
    return joined([counted, tag("div", f"first of them: {named}", class_="soft")])


def _definitions(figures: Figures, totals: Sequence[ControlTotal]) -> Markup:
    """Return what the numbers of this very page mean."""
    used = {term.label for total in totals for term in (total.left, *total.right)} & TERMS.keys()
    meanings = {label: TERMS[label] for label in TERMS if label in used}
    meanings |= {str(s): MEANINGS[s] for s in RunStatus if figures.by_status.get(s)}
    meanings |= {FIRST_WORDS[first]: FIRSTS[FIRST_WORDS[first]] for first in first_outcomes(figures)}
    meanings |= {**TIMINGS, **EFFORT, **COLUMNS}
    meanings |= {**(ERASED if figures.erased else {}), **(TICKS if figures.fires else {})}
    done = {act.type for act in figures.acts}
    meanings |= {f"act {name}": says for name, says in ACTS.items() if name in done}
    return html_parts.definitions(meanings)
