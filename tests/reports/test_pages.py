"""The pages and tables as they are printed: nothing breaks out of them or is loaded, every number is explained."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from orchestrator.domain.report.definitions import DEFINITIONS
from orchestrator.domain.report.figures import (
    ActGroup,
    Cause,
    DoubtFigures,
    DoubtGroup,
    Figures,
    FireFigure,
    FirstOutcome,
    IntakeFigures,
    Listing,
    Pass,
    ReportHead,
    ReportKind,
    Slice,
    Timing,
)
from orchestrator.domain.report.totals import control_totals
from orchestrator.domain.statuses import RunStatus
from orchestrator.reports import html
from orchestrator.reports.csv import lines
from orchestrator.reports.markup import foreign, joined, style, tag
from orchestrator.reports.words import cell
from tests.reports.conftest import HOSTILE_FILE, HOSTILE_NAME, HOSTILE_REASON, Story, of_batch, text_of

AT = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)


class Elements(HTMLParser):
    """What a browser would make of a page: its elements, their attributes, its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in {"meta", "br"} and not (tag == "rect" and (self.get_starttag_text() or "").endswith("/>")):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, "every element is closed where it was opened"

    def handle_data(self, data: str) -> None:
        self.text.append(data)


ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "header", "footer", "section", "div", "span", "p", "b", "bdi"),
    *("h1", "h2", "h3", "small", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd"),
    *("figure", "figcaption", "svg", "rect", "line", "text"),
}


def harmless(page: str) -> Elements:
    """Assert that a page runs, loads and hides nothing; return what is in it."""
    found = Elements(page)
    assert set(found.tags) <= ALLOWED
    assert found.open == []
    names = {name for name, _ in found.attributes}
    assert names <= {
        *("class", "charset", "content", "http-equiv", "name", "lang", "viewbox", "role", "x", "y", "x1", "x2", "y1"),
        *("y2", "width", "height", "text-anchor", "data-title"),
    }
    assert "default-src 'none'" in str(found.attributes)
    # The words may stand in a name; nothing may be fetched by a rule of style.
    rules = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in rules and "@import" not in rules
    assert not any(mark in page for mark in "\u202e\u2066\u200f\x00")
    return found


@pytest.mark.anyio
async def test_hostile_names_and_reasons_stay_text(story: Story) -> None:
    found = harmless(await text_of(await of_batch(story)))
    text = "".join(found.text)
    assert HOSTILE_NAME in text
    assert HOSTILE_REASON.replace("\u202e", "[U+202E]") in text
    assert HOSTILE_FILE.replace("\u202e", "[U+202E]") in text
    for name in ("acts", "doubts", "results", "runs", "totals"):
        table = await text_of(await of_batch(story, "csv", csv_list=name))
        cells = [cell for row in csv.reader(io.StringIO(table)) for cell in row]
        assert not [c for c in cells if c[:1] in set("=+-@\t\r")], name
    acts = await text_of(await of_batch(story, "csv", csv_list="acts"))
    assert "'=HYPERLINK" in acts


def head(**changed: object) -> ReportHead:
    told: dict[str, object] = {
        "kind": ReportKind.PERIOD, "subject": "x", "workspace": "default", "made_at": AT, "made_by": "token:a",
        "since": AT, "until": AT,
    }  # fmt: skip
    return ReportHead(**(told | changed))  # type: ignore[arg-type]


def figures(**changed: object) -> Figures:
    told: dict[str, object] = {
        "head": head(),
        "runs": 3,
        "by_status": {RunStatus.FINISHED: 2, RunStatus.IN_DOUBT: 1},
        "intake": IntakeFigures(batches=1, file_rows=3, accepted_told=3),
        "passes": [
            Pass(first=FirstOutcome.FINISHED, final=RunStatus.FINISHED, runs=2),
            Pass(first=FirstOutcome.OPEN, final=RunStatus.IN_DOUBT, runs=1),
        ],
        "doubts": DoubtFigures(raised=1, standing=1),
        "timings": [Timing(name="to result", count=2, p50_s=0.5, p95_s=61.0, max_s=90_000.0)],
        "slices": [Slice(at=datetime(2026, 3, 28), status=RunStatus.FINISHED, runs=2)],
        "step_s": 86_400,
        "durations": {5.0: 2},
    }
    return Figures(**(told | changed))  # type: ignore[arg-type]


def page_of(found: Figures, **lists: Listing) -> str:
    every = {"failures": Listing(), "results": Listing()} | lists
    return html.page(found, control_totals(found), every).decode()


EVIL = "\"'><script>alert(1)</script>\u202e\x00&amp;"


def test_every_text_of_a_page_is_escaped_wherever_it_stands() -> None:
    found = figures(
        head=head(subject=EVIL, workspace=EVIL, made_by=EVIL, facts={EVIL: EVIL}),
        causes=[Cause(status=RunStatus.ERROR, code=EVIL, runs=1)],
        acts=[ActGroup(type=EVIL, actor=EVIL, reason=EVIL, count=2, first_at=AT, last_at=AT)],
        submitters={EVIL: 3},
        doubt_groups=[
            DoubtGroup(
                count=1,
                run=EVIL,
                first_index=1,
                last_index=1,
                raised_at=AT,
                why=EVIL,
                settled=EVIL,
                actor=EVIL,
                reason=EVIL,
                settled_at=AT,
            )
        ],
        fires=[FireFigure(schedule=EVIL, nominal_at=AT, became="missed", why=EVIL)],
    )
    rows = [{"run": EVIL, "index": 1, "filename": EVIL, "size_bytes": 1, "sha256": EVIL, "stored_at": AT}]
    failed = [{"run": EVIL, "index": None, "external_id": EVIL, "error_message": EVIL, "ended_at": None}]
    page = page_of(found, results=Listing(rows=rows, total=1), failures=Listing(rows=failed, total=1))
    text = "".join(harmless(page).text)
    assert text.count("\"'><script>alert(1)</script>[U+202E][U+0000]&amp;") >= 18


def test_a_long_list_says_how_long_it_is_and_where_the_rest_is() -> None:
    rows = [{"run": f"r{n}", "index": n, "status": "error"} for n in range(3)]
    page = page_of(figures(), failures=Listing(rows=rows, total=1_000_000))
    assert "the first 3 of 1,000,000; all of them are in this report" in page


def test_every_number_of_the_totals_and_the_timings_is_defined_on_the_page() -> None:
    found = figures()
    page = page_of(found)
    labels = {term.label for total in control_totals(found) for term in (total.left, *total.right)}
    labels |= {timing.name for timing in found.timings}
    assert labels <= DEFINITIONS.keys()
    for label in labels:
        assert f"<dt>{label}</dt>" in page, label


def test_times_are_shown_in_the_zone_that_was_asked_for() -> None:
    page = page_of(figures(head=head(zone="Europe/Berlin")))
    assert "2026-03-29 01:30:00 Europe/Berlin" in page


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "=", "-"])
def test_a_cell_that_a_spreadsheet_would_run_is_text(text: str) -> None:
    ((found,),) = csv.reader(io.StringIO(lines([[text]]).decode(), newline=""))
    assert found == "'" + text


@pytest.mark.parametrize("value", [-5, -1.5, "-5", "+49", "1e5", "plain", "a=b"])
def test_a_plain_number_or_word_is_left_alone(value: object) -> None:
    ((found,),) = csv.reader(io.StringIO(lines([[value]]).decode()))
    assert found == cell(value)


def test_markup_is_made_by_tags_alone() -> None:
    assert tag("b", "<i>", class_='"') == '<b class="&quot;">&lt;i&gt;</b>'
    assert joined(["&", tag("b", 1), None, ["<"]]) == "&amp;<b>1</b>&lt;"
    assert foreign("a" * 500, most=5) == "<bdi>aaaa…</bdi>"
    for wrong in ("script src=x", "b><i"):
        with pytest.raises(AssertionError):
            tag(wrong)
    with pytest.raises(AssertionError):
        tag("b", onclick="x")
    with pytest.raises(AssertionError):
        style("</style>")
