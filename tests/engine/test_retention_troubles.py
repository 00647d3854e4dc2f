"""Months that cannot be retired: they stay, are told of, and stand in nobody's way."""

from __future__ import annotations

from uuid import UUID

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.alarms import shared
from orchestrator.domain.sights import Sights
from orchestrator.engine import retention, retention_plan
from orchestrator.engine.deps import Deps
from orchestrator.errors import Conflict
from orchestrator.storage import health
from orchestrator.storage.database import now
from tests.engine import test_retention as ground
from tests.engine.conftest import Office
from tests.engine.test_retention import ended_run, later, months, retire, turn_ids

pytestmark = pytest.mark.anyio

settings, who, superuser = ground.settings, ground.who, ground.superuser


def tamper(superuser: str, stream: UUID, *, was: str = "a test", becomes: str = "a jest") -> None:
    """Change the history of a run in its partition, as only the database's owner can."""
    with psycopg.connect(superuser) as connection:
        found = connection.execute("SELECT tableoid::regclass FROM events WHERE stream = %s", (stream,)).fetchone()
        assert found is not None
        connection.execute(f"ALTER TABLE {found[0]} DISABLE TRIGGER no_change".encode())
        changed = "UPDATE events SET data = replace(data, %s, %s) WHERE stream = %s AND strpos(data, %s) > 0"
        assert connection.execute(changed, (was, becomes, stream, was)).rowcount > 0
        connection.execute(f"ALTER TABLE {found[0]} ENABLE ALWAYS TRIGGER no_change".encode())


def due_in_s(superuser: str) -> float:
    """Return in how many seconds the next look for a month is due."""
    with psycopg.connect(superuser) as connection:
        row = connection.execute(
            "SELECT extract(epoch FROM due_at - orch_now()) FROM retention_rounds WHERE kind = 'history'"
        ).fetchone()
    assert row is not None
    return float(row[0])


async def alarms(deps: Deps) -> list[object]:
    """Return the months of which each alarm tells that they cannot be proven."""

    async def read(connection: AsyncConnection) -> Sights:
        return await health.sights(connection, await now(connection), dead_after_s=20)

    found = shared(await deps.db.run(read), sweep_interval_s=15)
    return [alarm.facts["months"] for alarm in found if alarm.code == "retention_unproven"]


async def test_a_month_that_cannot_be_proven_is_not_tried_again_at_once(
    deps: Deps, office: Office, superuser: str
) -> None:
    run = await ended_run(office)
    await later(deps, superuser)
    tamper(superuser, run)
    before = await months(deps)
    with pytest.raises(Conflict) as told:
        await retention.retire_next(deps, at_once=True)
    assert told.value.code == "retention_unproven"
    assert await months(deps) == before
    # The round goes on after it, and the next one begins when it is time for another look.
    assert await retention.retire_next(deps, at_once=True) is None
    assert due_in_s(superuser) == retention.LOOK_S
    assert await retention.retire_next(deps) is None


async def test_a_month_that_cannot_be_proven_stays_with_an_alarm_and_later_ones_go(
    deps: Deps, office: Office, superuser: str
) -> None:
    run = await ended_run(office)
    turn_ids(deps, days=31)
    await later(deps, superuser, days=31)
    second = await ended_run(office, "a-2")
    await later(deps, superuser)
    tamper(superuser, run)
    first, *_ = [name for name, month in (await months(deps)).items() if month.first.int <= run.int < month.until.int]
    with pytest.raises(Conflict):
        await retention.retire_next(deps, at_once=True)
    gone = await retire(deps)
    assert gone.holds(second)
    assert first in await months(deps)
    assert await alarms(deps) == [[first]]
    # An operator's command says so, and goes through all of it.
    done = await retention_plan.carry_out(deps)
    assert (done["months"], [first in why for why in done["unproven"]]) == ([], [True])
    planned = (await retention_plan.plan(deps))["months"]
    assert [month["partition"] for month in planned if month["is_unproven"]] == [first]
    # Once it is as it was signed, it goes, and the alarm ends.
    tamper(superuser, run, was="a jest", becomes="a test")
    assert [month["partition"] for month in (await retention_plan.carry_out(deps))["months"]] == [first]
    assert await alarms(deps) == []
