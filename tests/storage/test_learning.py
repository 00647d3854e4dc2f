"""What a worker learns of a workflow never waits for a submission to it."""

from __future__ import annotations

import asyncio
import contextvars
from uuid import UUID

import pytest
from sqlalchemy import text

from orchestrator.storage import learning
from orchestrator.storage.learning import Took
from tests.engine.conftest import Office, office, provider, providers, sandbox

__all__ = ["office", "provider", "providers", "sandbox"]

pytestmark = pytest.mark.anyio


async def test_a_workflow_learns_while_a_submission_to_it_is_written(office: Office) -> None:
    """A submission's runs name the workflow, which locks its row a little until all of them are written.

    A worker that waited for that while it holds the lane would stop everybody; and the submission wants the lane next.
    """
    await office.submit([{"n": 1}])
    copied = text("""INSERT INTO runs (id, workspace_id, connection_id, workflow_id, status, input_sha256, input_bytes,
        created_by) SELECT gen_random_uuid(), workspace_id, connection_id, workflow_id, status, input_sha256, 1, 'x'
        FROM runs RETURNING workflow_id""")

    async def learn(workflow_id: UUID) -> None:
        async with office.deps.db.transaction() as worker:
            await worker.execute(text("SET LOCAL lock_timeout = '2s'"))
            await learning.teach_durations(worker, [Took(workflow_id=workflow_id, after_s=2.0, by_s=3.0)])

    async with office.deps.db.transaction() as submission:
        workflow_id = (await submission.execute(copied)).scalar_one()
        await asyncio.get_running_loop().create_task(learn(workflow_id), context=contextvars.Context())
    async with office.deps.db.transaction() as reader:
        count = text("SELECT durations_count FROM workflows WHERE id = :id")
        assert (await reader.execute(count, {"id": workflow_id})).scalar_one() == 1
