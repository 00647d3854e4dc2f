"""A wave's window in the database: what comes in and when, what is looked at beyond it, and what only waits."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.domain.windows import WindowMove
from orchestrator.storage import waves
from tests.engine.conftest import Hands, Office
from tests.engine.test_nothing_is_stranded import count_is, query

pytestmark = pytest.mark.anyio


async def moved(office: Office, hands: Hands, frontier: int, move: WindowMove) -> dict[int, Any]:
    """Move the window of a wave of 20 that has just been launched; return its timers by position."""
    submitted = await office.submit([{"n": n, "sandbox": "duration_s=60"} for n in range(20)])
    await hands.work(until=count_is(office, submitted.id, "processing", 20))
    (wave,) = await query(office, "SELECT id FROM waves")

    async def write(connection: Any) -> None:
        await waves.move_windows(connection, {wave.id: (frontier, move)})

    await office.deps.db.run(write)
    rows = await query(
        office,
        """SELECT position, extract(epoch FROM now() - entered_at)::float8 AS began_ago_s,
            extract(epoch FROM due_at - now())::float8 AS due_in_s FROM timers WHERE wave_id IS NOT NULL""",
    )
    return {row.position: row for row in rows}


async def test_what_the_window_reaches_began_and_is_due_as_the_planner_says(office: Office, hands: Hands) -> None:
    timers = await moved(office, hands, 7, WindowMove(first=5, began_ago_s=(90.0, 70.0), due_in_s=(40.0, 50.0)))
    assert [round(timers[n].began_ago_s, -1) for n in (5, 6)] == [90, 70]
    assert [round(timers[n].due_in_s, -1) for n in (5, 6)] == [40, 50]
    assert timers[7].due_in_s is None, "the window does not reach it"


async def test_a_sample_and_a_sweep_are_due_at_once_and_stay_outside_the_window(office: Office, hands: Hands) -> None:
    timers = await moved(office, hands, 5, WindowMove(first=5, swept_to=8, sample=15))
    outside = {n for n, timer in timers.items() if timer.began_ago_s is None and timer.due_in_s is not None}
    assert outside == {5, 6, 7, 15}
    assert all(timers[n].due_in_s <= 0 for n in outside)


async def test_what_waits_for_its_turn_inside_the_window_begins_no_sooner_than_now(
    office: Office, hands: Hands
) -> None:
    timers = await moved(office, hands, 6, WindowMove(first=5, began_ago_s=(500.0,), due_in_s=(0.0,), waiting=(1,)))
    assert timers[5].began_ago_s > 400
    assert timers[1].began_ago_s < 5
