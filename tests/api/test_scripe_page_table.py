"""The page's table of the list's parameters, read from the page itself: the door and the sandbox keep to it alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.datastructures import QueryParams

from orchestrator.api.doors import job_queries, scripe
from orchestrator.errors import BadInput
from sandbox.options import parse_options
from sandbox.scripe_queries import BadQuery, job_query
from tests.api.pages_replayed import PAGES

PAGE = (PAGES / "scripe.txt").read_text(encoding="utf-8")
TABLE = PAGE.split("Query Parameters\n", 1)[1].split("\nResponse\n", 1)[0]


def door(**query: Any) -> dict[str, Any]:
    """Return what our door understands by a query."""
    found = job_queries.read(QueryParams(urlencode(query)))
    return {"limit": found.limit, "from": found.since, "to": found.until, "types": {*found.types},
            "statuses": {*map(str, found.statuses)}}  # fmt: skip


def sandbox(**query: Any) -> dict[str, Any]:
    """Return what the sandbox understands by a query."""
    found = job_query(urlencode(query), parse_options({}))

    def moment(at_s: float | None) -> datetime | None:
        return None if at_s is None else datetime.fromtimestamp(at_s, UTC)

    return {"limit": found.limit, "from": moment(found.from_s), "to": moment(found.to_s),
            "types": {*(found.types or ())}, "statuses": {*(found.statuses or ())}}  # fmt: skip


Reads = Callable[..., dict[str, Any]]
both = pytest.mark.parametrize("reads", [door, sandbox], ids=["door", "sandbox"])


def refusal(reads: Reads, **query: Any) -> str:
    """Return the code by which a query is refused."""
    with pytest.raises((BadInput, BadQuery)) as refused:
        reads(**query)
    code: str = refused.value.code  # type: ignore[attr-defined]
    return code


def example(name: str) -> str:
    """Return the page's example of a parameter."""
    found = re.search(rf"^{name}\n.*?\nExample:\n\n\"([^\"]+)\"", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None, name
    return found.group(1)


def test_the_door_has_the_tables_parameters_and_no_others() -> None:
    assert re.findall(r"^(\w+)\n(?:string|integer)", TABLE, re.MULTILINE) == list(job_queries.NAMES)


@both
def test_the_page_size_has_the_tables_default_and_bounds(reads: Reads) -> None:
    default = re.search(r"^limit\ninteger\ndefault:(\d+)$", TABLE, re.MULTILINE)
    bounds = re.search(r"Required range: (\d+) <= x <= (\d+)", TABLE)
    assert default is not None and bounds is not None
    least, most = map(int, bounds.groups())
    assert reads()["limit"] == int(default.group(1)) == 50
    assert (reads(limit=least)["limit"], reads(limit=most)["limit"]) == (least, most) == (1, 200)
    for bad in (least - 1, most + 1, -1, "", "ten", "1.5", "1e2", " 5", "5 ", "+5", "٥"):
        assert refusal(reads, limit=bad) == "bad_pagination", bad


@both
def test_the_tables_examples_of_comma_lists_are_read(reads: Reads) -> None:
    types, statuses = example("type"), example("status")
    assert reads(type=types)["types"] == {"POST_GENERATION", "KB_INGEST_TEXT"} == {*types.split(",")}
    assert reads(status=statuses)["statuses"] == {"QUEUED", "RUNNING", "DONE"} == {*statuses.split(",")}
    assert reads(status="FAILED, CANCELLED,FAILED")["statuses"] == {"FAILED", "CANCELLED"}
    both_ = reads(type="POST_GENERATION", status="DONE")
    assert (both_["types"], both_["statuses"]) == ({"POST_GENERATION"}, {"DONE"})
    assert reads()["types"] == reads()["statuses"] == set()


@both
@pytest.mark.parametrize("name", ["type", "status"])
@pytest.mark.parametrize("bad", ["SLEEPING", "queued", "post_generation", "DONE;FAILED", "*"])
def test_words_that_the_table_does_not_have_are_refused(reads: Reads, name: str, bad: str) -> None:
    known = "POST_GENERATION" if name == "type" else "DONE"
    assert refusal(reads, **{name: bad}) == refusal(reads, **{name: f"{known},{bad}"}) == "invalid_request"


@both
def test_both_forms_of_dates_are_read_and_a_bound_lets_in_what_it_names(reads: Reads) -> None:
    assert TABLE.count("ISO 8601 or YYYY-MM-DD") == 2 and TABLE.count("(inclusive)") == 2
    day = datetime(2026, 8, 1, tzinfo=UTC)
    assert reads(dateFrom="2026-08-01")["from"] == day
    # The last second of the day is within; the next day is not.
    last = reads(dateTo="2026-08-01")["to"]
    assert day + timedelta(seconds=86_399) <= last < day + timedelta(days=1)
    for name, bound in (("dateFrom", "from"), ("dateTo", "to")):
        for written in ("2026-08-01T10:30:00Z", "2026-08-01T10:30:00", "2026-08-01T12:30:00+02:00"):
            moment = datetime(2026, 8, 1, 10, 30, tzinfo=UTC)
            assert moment <= reads(**{name: written})[bound] < moment + timedelta(milliseconds=1), written
        exact = reads(**{name: "2026-08-01T10:30:00.250Z"})[bound]
        assert abs((exact - datetime(2026, 8, 1, 10, 30, 0, 250_000, tzinfo=UTC)).total_seconds()) < 0.001


@both
@pytest.mark.parametrize("name", ["dateFrom", "dateTo"])
@pytest.mark.parametrize(
    "bad", ["", "yesterday", "1.8.2026", "2026-02-30", "2026-13-01", "2026-08-01T25:00:00Z", "2026-8-1", "0"]
)
def test_other_dates_are_refused(reads: Reads, name: str, bad: str) -> None:
    assert refusal(reads, **{name: bad}) == "invalid_request"


@both
def test_a_cursor_that_no_page_gave_is_refused(reads: Reads) -> None:
    if reads is sandbox:  # the door's cursors are sealed: `test_scripe_door.py`
        assert {refusal(reads, cursor=bad) for bad in ("", "nonsense", "a" * 500)} == {"bad_pagination"}


@both
def test_parameters_that_the_table_does_not_have_are_ignored(reads: Reads) -> None:
    assert reads(cloud="eu", offset=5) == reads()


def test_the_version_of_the_pages_example_is_the_one_that_is_served() -> None:
    assert {example("Scripe-Api-Version")} == scripe.VERSIONS
    assert parse_options({}).scripe_versions == example("Scripe-Api-Version")
