"""The page of a batch or a period: first what matters, on one sheet; then how it came about; then the lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from orchestrator.domain.report import buckets
from orchestrator.domain.report.amounts import AmountSum
from orchestrator.domain.report.buckets import span
from orchestrator.domain.report.definitions import COLUMNS, EFFORT, FIRSTS, TERMS, TIMINGS
from orchestrator.domain.report.figures import DoubtGroup, Figures, Listing, ReportKind, Timing
from orchestrator.domain.report.totals import FIRST_WORDS, ControlTotal, first_outcomes, number
from orchestrator.domain.report.verdict import Verdict, verdict
from orchestrator.domain.statuses import MEANINGS, RunStatus
from orchestrator.reports import html_parts, svg
from orchestrator.reports.html_parts import Column, pairs, section, table
from orchestrator.reports.markup import Child, Markup, foreign, joined, tag
from orchestrator.reports.words import clock, size

TYPE = "text/html; charset=utf-8"


def page(figures: Figures, totals: tuple[ControlTotal, ...], lists: Mapping[str, Listing]) -> bytes:
    """Return the whole page.

    Args:
        lists: `failures` and `results`, each with its first rows.
    """
    zone = figures.head.zone
    body: list[Child] = [
        _headline(verdict(figures, totals)),
        section("Control totals", html_parts.totals(totals), note="each equation from sources that are kept apart"),
        _charts(figures),
        *_how(figures),
        html_parts.listing("failures", "Failures", lists["failures"], zone),
        _doubts(figures),
        _acts(figures),
        _ticks(figures),
        html_parts.listing("results", "Results", lists["results"], zone),
        section("What the numbers mean", _definitions(figures, totals)),
    ]
    return html_parts.page(figures.head, body)


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
    yield section("How long it took", _timings(figures.timings))
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
        yield section("Batches and single runs", _parts(figures))


def _timings(timings: Sequence[Timing]) -> Markup:
    columns = [Column(title="From, to"), *(Column(title=t, look="num") for t in ("Measured", "p50", "p95", "max"))]
    return table(
        columns,
        [(t.name, f"{t.count:,}", *(_span(value) for value in (t.p50_s, t.p95_s, t.max_s))) for t in timings],
    )


def _span(seconds: float | None) -> str:
    return "–" if seconds is None else span(max(seconds, 0.0))


def _statuses(figures: Figures) -> list[tuple[str, Child]]:
    return [(str(s), f"{figures.by_status[s]:,}") for s in RunStatus if figures.by_status.get(s)]


def _firsts(figures: Figures) -> list[tuple[str, Child]]:
    return [(FIRST_WORDS[first], f"{runs:,}") for first, runs in first_outcomes(figures).items()]


def _causes(figures: Figures) -> list[tuple[str, Child]]:
    return [(f"{cause.status}: {cause.code}", f"{cause.runs:,}") for cause in figures.causes]


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


def _parts(figures: Figures) -> Markup:
    columns = (
        *(Column(title=title) for title in ("Batch", "Workflow")),
        *(Column(title=title, look="num") for title in ("Runs", "Finished", "Failed", "Cancelled", "Under way")),
    )
    return table(
        columns,
        [
            (
                "single runs" if part.batch is None else _batch(part.name, part.batch),
                foreign(part.workflow),
                *(f"{n:,}" for n in (part.runs, part.finished, part.failed, part.cancelled, part.open)),
            )
            for part in figures.parts
        ],
    )


def _batch(name: str | None, batch: str) -> Markup:
    id_ = tag("span", batch, class_="hash")
    return joined([foreign(name), " ", id_]) if name else id_


def _doubts(figures: Figures) -> Markup:
    """Show the doubts, a wave's on one line; those that are still open come first."""
    if not figures.doubt_groups:
        return section("Doubts", tag("p", "None.", class_="soft"))
    zone = figures.head.zone
    columns = (Column(title="Runs"), Column(title="Raised", look="time"), Column(title="Why"),
               Column(title="Settled by"), Column(title="Who", look="name"), Column(title="Reason"),
               Column(title="When", look="time"))  # fmt: skip
    rows = [
        (
            _doubted(group),
            clock(group.raised_at, zone),
            foreign(group.why or ""),
            tag("span", "still open", class_="no") if group.settled is None else foreign(group.settled),
            foreign(group.actor or ""),
            foreign(group.reason or ""),
            clock(group.settled_at, zone),
        )
        for group in figures.doubt_groups
    ]
    told = sum(group.count for group in figures.doubt_groups)
    note = f"{figures.doubts.raised:,}; each one is in this report's CSV, list “doubts”"
    if told < figures.doubts.raised:
        note = f"the first {told:,} of {note}"
    return section("Doubts", table(columns, rows), note=note)


def _doubted(group: DoubtGroup) -> Markup:
    if group.count == 1:
        return html_parts.run_name(group.first_index, group.run)
    places = "" if group.first_index is None else f", #{group.first_index} to #{group.last_index}"
    return joined([tag("b", f"{group.count:,}"), f" runs{places}"])


def _acts(figures: Figures) -> Markup:
    zone = figures.head.zone
    submitted = "; ".join(f"{runs:,} by {actor}" for actor, runs in figures.submitters.items()) or "none"
    columns = (Column(title="Act", look="short"), Column(title="Who", look="name"), Column(title="Reason"),
               Column(title="Times", look="num"), Column(title="First", look="time"),
               Column(title="Last", look="time"))  # fmt: skip
    rows = [
        (act.type, foreign(act.actor), foreign(act.reason or "–"), f"{act.count:,}", clock(act.first_at, zone),
         clock(act.last_at, zone) if act.count > 1 else "")
        for act in figures.acts
    ]  # fmt: skip
    return section(
        "What people and policies did",
        tag("p", "Runs submitted: ", foreign(submitted)),
        table(columns, rows) if rows else tag("p", "No other act.", class_="soft"),
        note="acts that are alike together; each one is in this report's CSV, list “acts”",
    )


def _ticks(figures: Figures) -> Markup | None:
    if not figures.fires:
        return None
    columns = (Column(title="Schedule"), Column(title="Nominal time", look="time"), Column(title="Became"),
               Column(title="Why"), Column(title="Batch", look="hash"))  # fmt: skip
    rows = [
        (foreign(f.schedule), clock(f.nominal_at, figures.head.zone), f.became, foreign(f.why or ""), f.batch or "")
        for f in figures.fires
    ]
    return section("Schedule ticks", table(columns, rows))


def _definitions(figures: Figures, totals: Sequence[ControlTotal]) -> Markup:
    """Return what the numbers of this very page mean."""
    used = {term.label for total in totals for term in (total.left, *total.right)} & TERMS.keys()
    meanings = {label: TERMS[label] for label in TERMS if label in used}
    meanings |= {str(s): MEANINGS[s] for s in RunStatus if figures.by_status.get(s)}
    meanings |= {**FIRSTS, **TIMINGS, **EFFORT, **COLUMNS}
    return tag("dl", *(tag("div", tag("dt", label), " ", tag("dd", says)) for label, says in meanings.items()))
