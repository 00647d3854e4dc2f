"""Bulk operations: frozen when they are made, done by the verb of the single act, at most once, whoever is killed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from orchestrator.domain.bulk import BulkVerb, Intention
from orchestrator.domain.operator_decisions import Resolution
from orchestrator.engine import doubts, operation_steps, operations, reading, submit, sweep
from orchestrator.engine.deps import Deps
from orchestrator.engine.operations import OperationSpec
from orchestrator.engine.submit import RunSpec
from orchestrator.engine.who import Who
from orchestrator.errors import BadInput, Conflict
from orchestrator.storage import operations as rows
from tests.engine.conftest import Hands, Office
from tests.engine.test_doubts_resolved import doubted, doubted_wave, inbox
from tests.engine.test_launching import becomes

pytestmark = pytest.mark.anyio

CANCEL = Intention(verb=BulkVerb.CANCEL)
RETRY = Intention(verb=BulkVerb.RETRY)


def spec(intention: Intention, *, reason: str | None = None, **filters: Any) -> OperationSpec:
    """What an operation is asked to do."""
    return OperationSpec(intention=intention, filters=filters, kept={}, reason=reason)


async def execute(deps: Deps, statement: str, **values: Any) -> None:
    """Change what stands in the tables."""
    async with deps.db.transaction() as connection:
        await connection.execute(text(statement), values)


@pytest.fixture
async def submitted(deps: Deps, who: Who, office: Office) -> list[UUID]:
    """Five queued runs, oldest first."""
    made = []
    for n in range(5):
        free = office.sandbox.workflows["Free form"]
        order = RunSpec(connection="main", workflow_id=free, input=b'{"n": %d}' % n, labels={"k": "v"})
        made.append((await submit.submit_run(deps, who, order)).id)
    return made


async def statuses(deps: Deps, who: Who, runs: list[UUID]) -> list[str]:
    """How runs stand."""
    return [(await reading.get_run(deps, who, run))["status"] for run in runs]


async def test_an_operation_does_to_each_run_that_stood_then_what_the_single_act_does(
    deps: Deps, who: Who, submitted: list[UUID], office: Office
) -> None:
    made = await operations.create_operation(deps, who, spec(CANCEL, statuses=["queued"], reason="too many"))
    assert (made["total"], made["matched"], made["status"], made["counts"]["waiting"]) == (5, 5, "running", 5)
    order = RunSpec(connection="main", workflow_id=office.sandbox.workflows["Free form"], input=b"{}")
    later = (await submit.submit_run(deps, who, order)).id
    await sweep.sweep(deps)
    assert await statuses(deps, who, [*submitted, later]) == ["cancelled"] * 5 + ["queued"]
    events, _ = await reading.run_events(deps, who, submitted[0])
    told = events[-1]
    assert (told["type"], told["actor"]) == ("cancelled", who.actor)
    assert told["data"] == {"attempt": 1, "operation": made["id"], "reason": "too many"}
    ended = await operations.get_operation(deps, who, UUID(made["id"]))
    assert (ended["status"], ended["counts"]["done"]) == ("finished", 5)
    items, following = await operations.operation_items(deps, who, UUID(made["id"]), limit=3)
    assert [item["run_id"] for item in items] == [str(run) for run in submitted[:3]]
    rest, _ = await operations.operation_items(deps, who, UUID(made["id"]), after=following)
    assert [item["run_id"] for item in rest] == [str(run) for run in submitted[3:]]


async def test_what_is_not_eligible_is_counted_with_its_reason_and_left_alone(
    deps: Deps, who: Who, submitted: list[UUID]
) -> None:
    await execute(deps, "UPDATE runs SET status = 'in_doubt' WHERE id = :id", id=submitted[0])
    seen = await operations.preview_operation(deps, who, spec(CANCEL, labels={"k": "v"}))
    assert (seen["id"], seen["matched"], seen["total"]) == (None, 5, 4)
    assert [(why["code"], why["runs"]) for why in seen["ineligible"]] == [("too_late", 1)]
    assert [run["id"] for run in seen["samples"]] == [str(run) for run in submitted[1:]]
    listed, _ = await operations.list_operations(deps, who)
    assert listed == []
    with pytest.raises(Conflict) as none:
        await operations.create_operation(deps, who, spec(RETRY, labels={"k": "v"}))
    assert none.value.code == "nothing_eligible"
    with pytest.raises(BadInput) as empty:
        await operations.create_operation(deps, who, spec(CANCEL))
    assert empty.value.code == "filter.empty"


async def test_what_changes_between_is_refused_by_itself_and_the_others_go_on(
    deps: Deps, who: Who, submitted: list[UUID]
) -> None:
    made = await operations.create_operation(deps, who, spec(CANCEL, statuses=["queued"]))
    await execute(deps, "UPDATE runs SET status = 'processing' WHERE id = :id", id=submitted[2])
    await operation_steps.work_operations(deps)
    refused, _ = await operations.operation_items(deps, who, UUID(made["id"]), states=["refused"])
    assert [(item["run_id"], item["code"]) for item in refused] == [(str(submitted[2]), "too_late")]
    assert (await operations.get_operation(deps, who, UUID(made["id"])))["counts"]["done"] == 4


async def test_after_a_killed_worker_another_goes_on_and_does_nothing_twice(
    deps: Deps, who: Who, submitted: list[UUID]
) -> None:
    for run in submitted:
        await execute(deps, "UPDATE runs SET status = 'error', ended_at = orch_now() WHERE id = :id", id=run)
        await execute(deps, "DELETE FROM timers WHERE subject_id = :id", id=run)
    made = await operations.create_operation(deps, who, spec(RETRY, statuses=["error"]))
    async with deps.db.transaction() as connection:
        claimed = await rows.claim(connection, lease_s=0)
    assert claimed is not None
    await operation_steps._one(deps, claimed, submitted[0])
    # The worker is dead. The run that it retried has failed once more, and somebody tries the same item again.
    await execute(deps, "UPDATE runs SET status = 'error', ended_at = orch_now() WHERE id = :id", id=submitted[0])
    await operation_steps._one(deps, claimed, submitted[0])
    await operation_steps.work_operations(deps)
    assert await statuses(deps, who, submitted) == ["error", *["queued"] * 4]
    for run in submitted:
        events, _ = await reading.run_events(deps, who, run)
        assert [event["type"] for event in events].count("reopened") == 1
    assert (await operations.get_operation(deps, who, UUID(made["id"])))["counts"]["done"] == 5


async def test_while_one_worker_goes_on_with_an_operation_no_other_does(
    deps: Deps, who: Who, submitted: list[UUID]
) -> None:
    await operations.create_operation(deps, who, spec(CANCEL, statuses=["queued"]))
    async with deps.db.transaction() as connection:
        assert await rows.claim(connection, lease_s=60) is not None
        assert await rows.claim(connection, lease_s=60) is None
    assert await operation_steps.work_operations(deps) == 0


async def test_a_cancelled_operation_does_no_more_and_says_what_it_left(
    deps: Deps, who: Who, submitted: list[UUID]
) -> None:
    made = UUID((await operations.create_operation(deps, who, spec(CANCEL, statuses=["queued"])))["id"])
    async with deps.db.transaction() as connection:
        claimed = await rows.claim(connection, lease_s=60)
    assert claimed is not None
    await operation_steps._one(deps, claimed, submitted[0])
    assert (await operations.cancel_operation(deps, who, made))["status"] == "cancelling"
    # A worker in the middle of it finds every further item closed to it.
    await operation_steps._one(deps, claimed, submitted[1])
    await operation_steps.work_operations(deps)
    ended = await operations.get_operation(deps, who, made)
    assert (ended["status"], ended["counts"]["done"], ended["counts"]["cancelled"]) == ("cancelled", 1, 4)
    assert await statuses(deps, who, submitted) == ["cancelled", *["queued"] * 4]
    with pytest.raises(Conflict):
        await operations.cancel_operation(deps, who, made)


async def test_doubts_are_resolved_by_a_filter_one_by_one_of_a_wave_too(office: Office, hands: Hands) -> None:
    batch, _, _ = await doubted_wave(office, hands, 3)
    await doubted(office, hands)
    how = Intention(verb=BulkVerb.RESOLVE, how=Resolution.NOT_STARTED)
    first, following = await doubts.page_doubts(office.deps, office.who, limit=1)
    last, over = await doubts.page_doubts(office.deps, office.who, after=following, limit=1)
    assert [(doubt["kind"], bool(doubt["seen"])) for doubt in (*first, *last)] == [("wave", True), ("run", True)]
    assert over is None, "page by page, and none without its `seen`"
    made = await operations.create_operation(
        office.deps, office.who, spec(how, statuses=["in_doubt"], reason="the provider says none of them came")
    )
    assert made["total"] == 4
    await operation_steps.work_operations(office.deps)
    ended = await operations.get_operation(office.deps, office.who, UUID(made["id"]))
    assert ended["counts"]["done"] == 4, ended
    assert (await office.batch(batch))["counts"]["queued"] == 3
    assert await inbox(office) == []
    assert await doubts.list_doubts(office.deps, office.who) == []


async def test_a_doubt_that_is_decided_with_many_keeps_how_it_stood_and_is_left_if_that_has_changed(
    office: Office, hands: Hands
) -> None:
    same, other = await doubted(office, hands), await doubted(office, hands)
    how = Intention(verb=BulkVerb.RESOLVE, how=Resolution.ABANDON)
    asked = spec(how, statuses=["in_doubt"], reason="an outage")
    made = await operations.create_operation(office.deps, office.who, asked)
    # Somebody else decides about one of them, and it comes into doubt again.
    await doubts.resolve_doubt(office.deps, office.who, other, how="relaunch", reason="it is safe")
    office.sandbox.faults([{"fault": "reset_after", "kind": "launch", "times": 1}])
    await execute(office.deps, "UPDATE operations SET due_at = now() + interval '1 hour'")
    await execute(office.deps, "UPDATE lanes SET breaker = 'closed', breaker_probe_at = NULL, launch_due_at = now()")
    await execute(office.deps, "UPDATE timers SET due_at = now() WHERE kind = 'launch'")
    await hands.work(until=becomes(office, other, "in_doubt"))
    await execute(office.deps, "UPDATE operations SET due_at = now()")
    await operation_steps.work_operations(office.deps)
    assert await statuses(office.deps, office.who, [same, other]) == ["abandoned", "in_doubt"]
    events, _ = await reading.run_events(office.deps, office.who, same)
    told = events[-1]["data"]
    assert (told["seen_runs"], len(told["seen"]), told["seen_at"]) == (1, 64, made["created_at"][:19] + "Z")
    items, _ = await operations.operation_items(office.deps, office.who, UUID(made["id"]), states=["refused"])
    assert [(item["run_id"], item["code"]) for item in items] == [(str(other), "changed_meanwhile")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"verb": BulkVerb.RESOLVE},
        {"verb": BulkVerb.RESOLVE, "how": Resolution.ADOPT},
        {"verb": BulkVerb.CANCEL, "relaunch": True},
        {"verb": BulkVerb.RETRY, "how": Resolution.ABANDON},
    ],
)
def test_an_intention_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        Intention(**wrong)
