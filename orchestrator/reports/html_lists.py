"""The lists of a batch's or a period's page: its parts, the doubts, what people did, the ticks of schedules."""

from __future__ import annotations

from orchestrator.domain.report.figures import (
    MAX_ACT_GROUPS,
    TICK_STATES,
    DoubtGroup,
    Figures,
    FireFigure,
    Part,
    ReportKind,
)
from orchestrator.reports.html_parts import Column, run_name, section, table
from orchestrator.reports.markup import Child, Markup, foreign, joined, tag
from orchestrator.reports.words import clock

#: A reason is shown whole: it is what an auditor reads the page for, and may have so many characters.
REASON_CHARS = 2_000
#: An id that is longer is broken into lines.
_ID_CHARS = 40
#: Doubts on a period's page; a batch's are all there, up to those that were read.
MAX_DOUBTS_OF_PERIOD = 200
#: Ticks on the page: a schedule of each minute has 1,440 a day.
MAX_TICKS_SHOWN = 200


def parts(figures: Figures) -> Markup:
    """Return a period's batches and single runs, with the sum of what is shown."""
    columns = (
        Column(title="Batch"), Column(title="Workflow", look="hash"),
        *(Column(title=title, look="num") for title in ("Runs", "Finished", "Failed", "Cancelled", "Under way")),
    )  # fmt: skip
    title = "Batches and single runs"
    if not figures.parts:
        return section(title, tag("p", "None.", class_="soft"))
    rows: list[tuple[Child, ...]] = [
        (_part_name(part), _workflow(part.workflow), *_counts(part)) for part in figures.parts
    ]
    every = [part.runs for part in figures.parts]
    told = [sum(column) for column in zip(*(_numbers(part) for part in figures.parts), strict=True)]
    rows.append(("together", "", *(f"{n:,}" for n in told)))
    note = None
    if sum(every) < figures.runs:
        note = (
            f"the first {len(every):,}, with {sum(every):,} of {figures.runs:,} runs; all of them are in this report's"
            " CSV, list “runs”"
        )
    return section(title, table(columns, rows, looks={len(rows) - 1: "sum"}), note=note)


def _part_name(part: Part) -> Child:
    if part.batch is None:
        return "single runs"
    id_ = tag("span", part.batch, class_="id")
    return joined([foreign(part.name), " ", id_]) if part.name else id_


def _workflow(remote_id: str) -> Markup:
    """Return a workflow's id, on one line where it is no longer than most."""
    return tag("span", foreign(remote_id), class_="id" if len(remote_id) <= _ID_CHARS else None)


def _numbers(part: Part) -> tuple[int, ...]:
    return (part.runs, part.finished, part.failed, part.cancelled, part.open)


def _counts(part: Part) -> tuple[str, ...]:
    return tuple(f"{n:,}" for n in _numbers(part))


def doubts(figures: Figures) -> Markup:
    """Return the doubts, a wave's on one line; those that are still open come first."""
    if not figures.doubt_groups:
        return section("Doubts", tag("p", "None.", class_="soft"))
    zone = figures.head.zone
    most = MAX_DOUBTS_OF_PERIOD if figures.head.kind is ReportKind.PERIOD else None
    shown = figures.doubt_groups[:most]
    titles = ("Runs", "Why, and when it was raised", "How it was settled, and by whom", "Reason")
    rows = [
        (
            _doubted(group),
            joined([foreign(group.why or ""), tag("div", clock(group.raised_at, zone), class_="soft")]),
            _settled(group, zone),
            foreign(group.reason or "", most=REASON_CHARS),
        )
        for group in shown
    ]
    told = sum(group.count for group in shown)
    note = f"{figures.doubts.raised:,}; each one is in this report's CSV, list “doubts”"
    if told < figures.doubts.raised:
        note = f"the first {told:,} of {note}"
    return section("Doubts", table([Column(title=title) for title in titles], rows), note=note)


def _settled(group: DoubtGroup, zone: str) -> Child:
    if group.settled is None:
        return tag("span", "still open", class_="no")
    by = joined([foreign(group.actor or ""), ", ", tag("span", clock(group.settled_at, zone), class_="time")])
    return joined([foreign(group.settled), tag("div", by, class_="soft")])


def _doubted(group: DoubtGroup) -> Markup:
    if group.count == 1:
        return run_name(group.first_index, group.run)
    places = "" if group.first_index is None else f", #{group.first_index} to #{group.last_index}"
    return joined([tag("b", f"{group.count:,}"), f" runs{places}"])


def acts(figures: Figures) -> Markup:
    """Return what people and policies did, alike acts on one line."""
    zone = figures.head.zone
    submitted = "; ".join(f"{runs:,} by {actor}" for actor, runs in figures.submitters.items()) or "none"
    columns = (Column(title="Act", look="short"), Column(title="Who", look="name"), Column(title="Reason"),
               Column(title="Times", look="num"), Column(title="First", look="time"),
               Column(title="Last", look="time"))  # fmt: skip
    rows = [
        (act.type, foreign(act.actor), foreign(act.reason or "–", most=REASON_CHARS), f"{act.count:,}",
         clock(act.first_at, zone), clock(act.last_at, zone) if act.count > 1 else "")
        for act in figures.acts
    ]  # fmt: skip
    cut = f"the first {MAX_ACT_GROUPS} lines; " if len(figures.acts) >= MAX_ACT_GROUPS else ""
    return section(
        "What people and policies did",
        tag("p", "Runs submitted: ", foreign(submitted)),
        table(columns, rows) if rows else tag("p", "No other act.", class_="soft"),
        note=f"{cut}acts that are alike together; each one is in this report's CSV, list “acts”",
    )


def ticks(figures: Figures) -> Markup | None:
    """Return what became of the ticks: of each schedule in numbers; then all of few, or of many those not fired."""
    if not figures.fires:
        return None
    shown, note = _shown(figures)
    columns = (Column(title="Schedule"), Column(title="Nominal time", look="time"),
               Column(title="Became", look="short"), Column(title="Why"), Column(title="Batch or run"))  # fmt: skip
    zone = figures.head.zone
    rows = [
        (foreign(f.schedule), clock(f.nominal_at, zone), f.became, foreign(f.why or ""),
         tag("span", f.batch or "", class_="id"))
        for f in shown
    ]  # fmt: skip
    return section(
        "Schedule ticks",
        _tick_counts(figures),
        table(columns, rows) if rows else None,
        note=f"{note}each one is in this report's CSV, list “ticks”",
    )


def _shown(figures: Figures) -> tuple[list[FireFigure], str]:
    every = sum(sum(states.values()) for states in figures.ticks.values())
    if max(every, len(figures.fires)) <= MAX_TICKS_SHOWN:
        return list(figures.fires), ""
    others = [fire for fire in figures.fires if fire.became != "fired"]
    # Where they are very many, those that fired are the ones that were left out when they were read.
    told = sum(n for states in figures.ticks.values() for state, n in states.items() if state != "fired")
    shown = others[:MAX_TICKS_SHOWN]
    first = f"the first {len(shown):,} of " if len(shown) < told else ""
    return shown, f"{every:,} in all; below {first}the {told:,} that did not fire; "


def _tick_counts(figures: Figures) -> Markup | None:
    if not figures.ticks:
        return None
    states = [state for state in TICK_STATES if any(of.get(state) for of in figures.ticks.values())]
    columns = (Column(title="Schedule"), *(Column(title=state, look="num") for state in ("ticks", *states)))
    return table(
        columns,
        [
            (foreign(schedule), f"{sum(of.values()):,}", *(f"{of.get(state, 0):,}" for state in states))
            for schedule, of in figures.ticks.items()
        ],
    )
