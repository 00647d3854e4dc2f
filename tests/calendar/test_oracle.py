"""Our ticks are those of a second reading that shares no code with us. The whole of it: `tests/calendar/full.py`."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from tests.calendar import oracle
from tests.calendar.grid import EXPRESSIONS, ZONES, difference

#: The day's turn: half the zones, each with another expression; within 80 days each pair has had its day.
HALF, SHIFT = divmod(datetime.now(UTC).toordinal() % (2 * len(EXPRESSIONS)), len(EXPRESSIONS))
PAIRS = [(ZONES[index], EXPRESSIONS[(index + SHIFT) % len(EXPRESSIONS)]) for index in range(HALF, len(ZONES), 2)]


@pytest.mark.parametrize(("zone", "expression"), PAIRS)
def test_two_years_of_ticks_are_those_of_the_oracle(zone: str, expression: str) -> None:
    assert difference(expression, zone, first=date(2024, 1, 1)) is None


@pytest.mark.parametrize("expression", ["30 0 * * *", "0 * * * *", "*/15 23,0,2 * * *", "0 12 30 * *"])
@pytest.mark.parametrize(
    ("zone", "year"),
    [("America/Sao_Paulo", 2018), ("Pacific/Apia", 2011), ("Africa/Cairo", 2014), ("America/Caracas", 2016)],
)
def test_the_years_of_odd_changes_are_those_of_the_oracle(zone: str, year: int, expression: str) -> None:
    assert difference(expression, zone, first=date(year, 1, 1)) is None


def test_the_oracle_itself_knows_a_gap_an_overlap_and_a_run_through() -> None:
    def around(expression: str, day: date) -> list[str]:
        minutes = oracle.fires(expression, "Europe/Berlin", day, day)
        return [datetime.fromtimestamp(60 * minute, tz=UTC).strftime("%H:%M") for minute in minutes]

    assert around("0,30 2 * * *", date(2025, 3, 30)) == ["01:00"]
    assert around("0,30 2 * * *", date(2025, 10, 26)) == ["00:00", "00:30"]
    assert len(around("*/15 * * * *", date(2025, 3, 30))) == 23 * 4
    assert len(around("*/15 * * * *", date(2025, 10, 26))) == 25 * 4
