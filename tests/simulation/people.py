"""The people of a simulated world: a client that submits and keeps a journal, and an operator who acts."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orchestrator.domain.statuses import RunStatus as S
from orchestrator.engine import connections, doubts, operate, reading, submit
from orchestrator.engine.submit import BatchSpec, RunSpec
from orchestrator.errors import OrchestratorError
from tests.simulation.plan import BatchPlan
from tests.simulation.postgres import Killed

if TYPE_CHECKING:
    from tests.simulation.world import World

#: The client tries again for so long before it gives up on a submission, seconds.
PATIENCE_S = 3_600.0


@dataclass
class Journal:
    """What the client was told: ids that were acknowledged, with the tags of their inputs."""

    runs: dict[UUID, str] = field(default_factory=dict)
    batches: dict[UUID, list[str]] = field(default_factory=dict)


@dataclass
class Client:
    """Submits through the API's verbs, with external ids, and repeats what got no answer."""

    world: World
    workflow_id: str
    journal: Journal = field(default_factory=Journal)
    left: int = 0

    async def submit_batch(self, number: int, plan: BatchPlan) -> None:
        """Submit one batch, whatever it takes."""
        await self.world.at(plan.at_s)
        tags = [f"b{number}-{n}" for n in range(plan.items)]
        data = b"\n".join(json.dumps({"note": tag}).encode() for tag in tags)
        spec = BatchSpec(
            connection="main",
            workflow_id=self.workflow_id,
            format="jsonl",
            concurrency=plan.level,
            wave_size=plan.wave_size,
            external_id=f"batch-{number}",
        )
        stored = await self._until_answered(
            lambda: submit.submit_batch(self.world.api.deps, self.world.who, spec, data)
        )
        if stored is not None:
            self.journal.batches[stored.id] = tags
        self.left -= 1

    async def submit_run(self, number: int, at_s: float) -> None:
        """Submit one run."""
        await self.world.at(at_s)
        tag = f"s{number}"
        spec = RunSpec(
            connection="main", workflow_id=self.workflow_id, input=json.dumps({"note": tag}).encode(), external_id=tag
        )
        stored = await self._until_answered(lambda: submit.submit_run(self.world.api.deps, self.world.who, spec))
        if stored is not None:
            self.journal.runs[stored.id] = tag
        self.left -= 1

    async def _until_answered(self, send: Any) -> Any:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + PATIENCE_S
        while loop.time() < ends_at:
            try:
                return await self.world.through_api(send)
            except (OrchestratorError, Killed):
                await asyncio.sleep(2.0)
            except Exception as error:
                self.world.bug("api", error)
                await asyncio.sleep(2.0)
        return None


@dataclass
class Operator:
    """Does to runs and batches what people do, and settles doubts by what the provider's console shows."""

    world: World
    rng: Random
    acts: int = 0

    async def act_for_ever(self, every_s: float) -> None:
        """Act now and then."""
        while True:
            await asyncio.sleep(every_s * self.rng.uniform(0.5, 1.5))
            await self.act()

    async def act(self) -> None:
        """Do one thing; what is refused or finds the database away is left."""
        deed = self.rng.choice((self.cancel, self.pause_or_resume, self.retry, self.settle_doubt, self.test_connection))
        try:
            await self.world.through_api(deed)
            self.acts += 1
        except (OrchestratorError, Killed):
            return
        except Exception as error:
            self.world.bug("api", error)

    async def look_after(self) -> None:
        """Do what only a person can, so that the work goes on; what is refused or finds the database away is left."""
        for deed in (self.resume_all, self.test_connection, self.settle_doubts):
            with suppress(OrchestratorError, Killed):
                await self.world.through_api(deed)

    async def cancel(self) -> None:
        """Cancel some run."""
        run = await self._some_run(S.QUEUED, S.LAUNCHING)
        if run is not None and self.rng.random() < 0.5:
            await operate.cancel_run(self.world.api.deps, self.world.who, run, reason="changed my mind")

    async def pause_or_resume(self) -> None:
        """Pause a batch, or resume it."""
        batches = sorted(self.world.client.journal.batches)
        if not batches:
            return
        batch = self.rng.choice(batches)
        shown = await reading.get_batch(self.world.api.deps, self.world.who, batch)
        resumes = shown["status"] in {"paused", "pausing"}
        deed = operate.resume_batch if resumes else operate.pause_batch
        await deed(self.world.api.deps, self.world.who, batch, reason="a drill")

    async def retry(self) -> None:
        """Retry what ended in error."""
        run = await self._some_run(S.ERROR, S.CANCELLED)
        if run is not None:
            await operate.retry_run(self.world.api.deps, self.world.who, run, relaunch=False, reason="again")

    async def settle_doubt(self) -> None:
        """Settle the oldest doubt by the truth."""
        await self.settle_doubts(most=1)

    async def settle_doubts(self, *, most: int = 20) -> None:
        """Settle the oldest doubts by the truth; unsettled they hold their slots, and little else happens."""
        for doubt in (await doubts.list_doubts(self.world.api.deps, self.world.who))[:most]:
            await self._settle(doubt)

    async def _settle(self, doubt: dict[str, Any]) -> None:
        deps, who = self.world.api.deps, self.world.who
        known = self.world.executions_by_run()
        doubted = {UUID(str(run["id"])): run.get("index") for run in doubt["runs"]}
        there = {run: known[run] for run in doubted if run in known}
        chosen: dict[str, Any] = {"how": "not_started", "reason": "the console shows none"}
        if there and doubt["kind"] == "wave":
            ids = {int(doubted[run] or 0): execution for run, execution in there.items()}
            chosen = {"how": "adopt", "execution_ids": ids, "reason": "seen in the console"}
        elif there:
            (execution,) = there.values()
            chosen = {"how": "adopt", "execution_id": execution, "reason": "seen in the console"}
        await doubts.resolve_doubt(deps, who, UUID(str(doubt["id"])), **chosen)

    async def test_connection(self) -> None:
        """Test the connection, which lets a stopped lane launch again."""
        shown = await connections.show_connection(self.world.api.deps, self.world.who, "main")
        if shown["status"] != "ok":
            await connections.test_connection(self.world.api.deps, self.world.who, "main")

    async def resume_all(self) -> None:
        """Leave nothing paused."""
        for batch in sorted(self.world.client.journal.batches):
            shown = await reading.get_batch(self.world.api.deps, self.world.who, batch)
            if shown["status"] in {"paused", "pausing"}:
                await operate.resume_batch(self.world.api.deps, self.world.who, batch, reason="the drill is over")

    async def _some_run(self, *statuses: S) -> UUID | None:
        found, _ = await reading.list_runs(self.world.api.deps, self.world.who, statuses=list(statuses), limit=20)
        return UUID(str(self.rng.choice(found)["id"])) if found else None
