"""Content goes by its age; that it was there stays known."""

from __future__ import annotations

import pytest

from orchestrator.engine import content_retention, reading, retention_plan, submit
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import Who
from orchestrator.settings import Settings
from tests.engine import retiring as ground
from tests.engine.conftest import Office
from tests.engine.retiring import ended_batch, ended_run, later, spec_of

pytestmark = pytest.mark.anyio

settings, who, superuser = ground.settings, ground.who, ground.superuser


async def erased_by_age(deps: Deps) -> list[int]:
    steps = [await content_retention.step(deps, kind, at_once=True) for kind in ("batches", "runs")]
    return [step.erased for step in steps if step is not None]


async def test_content_goes_by_its_age_and_the_external_id_stays_taken(
    deps: Deps, office: Office, who: Who, superuser: str
) -> None:
    run, batch = await ended_run(office), await ended_batch(office)
    living = (await office.submit([{"a": 3}])).id
    keeping = Settings(**{**deps.settings.model_dump(), "keep_content_days": 30})
    object.__setattr__(deps, "settings", keeping)
    assert await erased_by_age(deps) == [0, 0]
    await later(deps, superuser, days=60)
    due = (await retention_plan.plan(deps))["content"]
    assert due == {"batches": 1, "runs": 1}
    assert await erased_by_age(deps) == [1, 1]
    assert await erased_by_age(deps) == [0, 0]
    assert (await reading.get_run(deps, who, run))["erased_at"] is not None
    assert (await office.batch(batch))["erased_at"] is not None
    assert (await office.batch(living))["erased_at"] is None
    told, _ = await reading.run_events(deps, who, run)
    assert "retention: it ended more than 30 days ago" in str(told[-1])
    assert (await submit.submit_run(deps, who, spec_of(office, "a-1"))).id == run
