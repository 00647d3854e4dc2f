"""One simulated world: real verbs, real SQL, the provider in memory, and everything that goes wrong, from one seed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import TypeVar
from uuid import UUID

import psycopg
from pydantic import SecretStr

from orchestrator.engine import connections, tokens, workflows
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import SCOPES, Who
from orchestrator.faultpoints import Point
from orchestrator.providers.addresses import check_base_url
from orchestrator.providers.files import HttpFileFetcher
from orchestrator.providers.keys import check_api_key
from orchestrator.providers.script import ScriptProvider
from orchestrator.runtime import Sources
from orchestrator.settings import Settings
from orchestrator.storage.database import Database
from orchestrator.storage.sealing import Sealer
from tests.simulation import rest
from tests.simulation.faults import Faults
from tests.simulation.locks import Server
from tests.simulation.loop import VirtualLoop
from tests.simulation.monkey import Monkey
from tests.simulation.network import Fabric
from tests.simulation.people import Client, Operator
from tests.simulation.plan import Plan
from tests.simulation.postgres import Client as DatabaseClient
from tests.simulation.provider import SimProvider
from tests.simulation.provider_faults import ProviderFaults
from tests.simulation.store import SimStore
from tests.simulation.worker import SimWorker, current

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderFire:
    """What had happened when the faults stopped: the rest was easy."""

    requests: int = 0
    ended: int = 0
    faults: int = 0


#: The virtual wall clock when the loop's time is 0, unless a world has its own.
EPOCH = datetime(2030, 1, 1, tzinfo=UTC)

#: Once the last is submitted and the last outage has begun, faults go on striking for so long at most: what has not
#: ended by then may be what only healing ends.
LONGEST_UNDER_FIRE_S = 3_600.0

#: Under fire somebody looks after what only people can move, so often, seconds: else the first key that is refused
#: would end the work long before the faults.
ON_CALL_EVERY_S = 120.0

#: After the faults have stopped everything must have come to rest within so long.
QUIET_WITHIN_S = 6 * 3600.0

WORKFLOW = "Free form"


@dataclass
class World:
    """One world while it turns. Make it inside its loop."""

    plan: Plan
    dsn: str
    loop: VirtualLoop
    faults: Faults
    provider: SimProvider
    fabric: Fabric
    store: SimStore
    server: Server
    who: Who = field(init=False)
    api: SimWorker = field(init=False)
    client: Client = field(init=False)
    workers: list[SimWorker] = field(default_factory=list)
    bugs: list[str] = field(default_factory=list)
    began_s: float = 0.0
    #: The wall clock when the loop's time is 0.
    epoch: datetime = EPOCH
    #: The fault points that were passed, struck or not.
    passed: Counter[Point] = field(default_factory=Counter)
    after_step: Callable[[], None] = lambda: None
    #: Set when the faults stop.
    under_fire: UnderFire = UnderFire()
    #: Enough is known: it need not come to its end.
    is_condemned: bool = False
    _made: int = 0

    def __post_init__(self) -> None:
        self.rng = Random(f"world:{self.plan.seed}")
        self.monkey = Monkey(self, Random(f"monkey:{self.plan.seed}"))
        self.misbehaviour = ProviderFaults(
            self.provider,
            Random(f"misbehaviour:{self.plan.seed}"),
            rate=self.plan.provider_rate,
            spell_every_s=self.plan.spells_every_s,
            is_linked=lambda execution_id: rest.is_linked(self.server.monitor, execution_id),
        )
        self.operator = Operator(self, Random(f"operator:{self.plan.seed}"))
        self.began_s = self.loop.time()

    # -- time ------------------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """Return the virtual wall clock."""
        return self.epoch + timedelta(seconds=self.loop.time())

    async def at(self, seconds: float) -> None:
        """Wait until so long after the world's beginning."""
        await asyncio.sleep(max(0.0, self.began_s + seconds - self.loop.time()))

    # -- processes -------------------------------------------------------------------------------------------------

    def process(self, kind: str) -> SimWorker:
        """Make a process of the product: its own driver, network, sources; the world's provider and store."""
        self._made += 1
        name = f"{kind}-{self._made}"
        rng = Random(f"{name}:{self.plan.seed}")
        client = DatabaseClient(
            server=self.server,
            faults=self.faults,
            rng=rng,
            now=lambda: self.now().isoformat(),
            interleave=self.plan.interleave,
            is_away=lambda: self.monkey.database_is_away,
        )
        return SimWorker(name=name, deps=self._deps(name, client, rng), client=client, rng=rng, witness=self)

    def _deps(self, name: str, client: DatabaseClient, rng: Random) -> Deps:
        network = self.fabric.network(name)
        db = Database(self.dsn.replace("postgresql+psycopg:", "postgresql+simulated:"), pool_size=8, program=name)
        db._engine.sync_engine.dialect.client = client  # type: ignore[attr-defined]
        provider = ScriptProvider(
            allow_private_networks=True, monotonic=self.loop.time, utc_now=self.now, network=network
        )
        return Deps(
            db=db,
            provider=lambda _: provider,
            files=HttpFileFetcher(allow_private_networks=True, utc_now=self.now, network=network),
            store=self.store,
            sealer=Sealer(b"\x07" * 32),
            sources=Sources(
                bits=rng.getrandbits,
                unit=rng.random,
                monotonic=self.loop.time,
                unix_ms=lambda: int(self.now().timestamp() * 1000),
            ),
            settings=Settings(
                database_url=SecretStr(self.dsn),
                data_dir=Path(tempfile.gettempdir()),
                allow_private_networks=True,
                # Coarser than the default: idle hearts and sweepers would be most of a simulation's work.
                heartbeat_s=10.0,
                sweep_interval_s=60.0,
            ),
            check_base_url=partial(check_base_url, allow_private_networks=True),
            check_api_key=check_api_key,
        )

    def start_worker(self) -> SimWorker:
        """Start one more worker."""
        worker = self.process("worker")
        self.workers.append(worker)
        worker.start()
        return worker

    @property
    def living(self) -> list[SimWorker]:
        """The workers that run."""
        return [w for w in self.workers if w.is_alive]

    async def through_api(self, send: Callable[[], Awaitable[T]]) -> T:
        """Do something in the API's process; it may die with it, and is then started anew."""
        if not self.api.is_alive:
            self.api = self.process("api")
        token = current.set(self.api)
        try:
            return await send()
        finally:
            current.reset(token)
            self.stepped()

    # -- what happens ----------------------------------------------------------------------------------------------

    def bug(self, where: str, error: BaseException) -> None:
        """Note an error that no fault explains."""
        line = error.__traceback__
        while line is not None and line.tb_next is not None:
            line = line.tb_next
        place = f"{Path(line.tb_frame.f_code.co_filename).name}:{line.tb_lineno}" if line is not None else "?"
        self.bugs.append(f"{where}: {type(error).__name__} at {place}: {str(error)[:400]}")

    def stepped(self) -> None:
        """Hear that a unit of work is done."""
        self.after_step()

    async def reached(self, point: Point) -> None:
        """Act at a fault point: the process may be frozen or dead, or is struck now."""
        worker = current.get()
        if worker is None:
            return
        self.passed[point] += 1
        await worker.gate()
        await self.monkey.at_point(worker, point)

    def executions_by_run(self) -> dict[UUID, str]:
        """Return which execution of the provider belongs to which run, by the tags in their inputs (newest wins)."""
        with psycopg.connect(self.server.dsn) as connection:
            rows = connection.execute("SELECT convert_from(body, 'UTF8')::json ->> 'note', run_id FROM inputs")
            runs: dict[str, UUID] = dict(rows.fetchall())
        found: dict[UUID, str] = {}
        for execution in self.provider.service.world.executions.values():
            tag = json.loads(execution.canonical).get("note")
            if tag in runs:
                found[runs[tag]] = execution.id
        return found

    # -- a world's life --------------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Set the world up, before anything goes wrong."""
        self.faults.is_on = False
        self.api = self.process("api")
        workspace = await tokens.ensure_workspace(self.api.deps)
        self.who = Who(workspace_id=workspace, actor="token:simulation", scopes=frozenset(SCOPES))
        workflow_id = self.provider.workflows[WORKFLOW]
        await connections.add_connection(
            self.api.deps,
            self.who,
            name="main",
            provider="script",
            base_url=self.provider.api_url,
            api_key=self.provider.key,
            requests_per_minute=self.plan.requests_per_minute,
            max_concurrent=self.plan.max_concurrent,
        )
        await workflows.show_workflow(self.api.deps, self.who, "main", workflow_id)
        await workflows.set_workflow(self.api.deps, self.who, "main", workflow_id, on_doubt=self.plan.on_doubt)
        self.client = Client(self, workflow_id)

    async def live(self) -> None:
        """Let everything happen, then heal, then wait until it is quiet."""
        await self.prepare()
        self.began_s = self.loop.time()
        self.faults.is_on = True
        self.misbehaviour.begin()
        for _ in range(self.plan.workers):
            self.start_worker()
        doings = [*self._submissions(), *self.monkey.doings()]
        acting = asyncio.ensure_future(self.operator.act_for_ever(self.plan.acts_every_s))
        try:
            await asyncio.gather(*doings)
            await self._endure()
        finally:
            acting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await acting
        await self.heal()

    async def _endure(self) -> None:
        """Let the work go on under fire until most of it has ended, or time is up."""
        enough = self.plan.lifecycles * self.plan.share_under_fire
        began_s = looked_after_s = self.loop.time()
        while self.loop.time() < began_s + LONGEST_UNDER_FIRE_S and not self.is_condemned:
            ended = rest.count_at_rest(self.server.monitor)
            if ended >= enough:
                return
            if ended >= self.plan.lifecycles / 2:
                await self._dismiss_idle_hands()
            await asyncio.sleep(20.0)
            self.monkey.keep_some_alive()
            if self.loop.time() >= looked_after_s + ON_CALL_EVERY_S:
                looked_after_s = self.loop.time()
                await self.operator.look_after()

    def _submissions(self) -> list[Awaitable[None]]:
        doings: list[Awaitable[None]] = [
            self.client.submit_batch(number, plan) for number, plan in enumerate(self.plan.batches)
        ]
        doings += [self.client.submit_run(number, at_s) for number, at_s in enumerate(self.plan.singles_at_s)]
        self.client.left = len(doings)
        return doings

    async def heal(self) -> None:
        """Stop every fault, and give the work time to come to rest."""
        self.faults.is_on = False
        self.misbehaviour.heal()
        self.monkey.heal()
        self.under_fire = UnderFire(
            requests=len(self.fabric.exchanges),
            ended=rest.count_at_rest(self.server.monitor),
            faults=self.hits().total(),
        )
        for worker in self.living:
            worker.freeze(0.0)
        await asyncio.sleep(1.0)
        while len(self.living) < 2:
            self.start_worker()
        for _ in range(3):
            await self.through_api(self.operator.resume_all)
            await self.through_api(self.operator.test_connection)
            await self._settle_down(limit_s=QUIET_WITHIN_S / 3)
        # Buried are the dead only after they have been silent; give the sweep time to do it.
        await asyncio.sleep(120.0)
        for worker in self.living:
            await worker.stop()

    def end(self) -> None:
        """Kill what still runs."""
        for process in [*self.workers, self.api]:
            process.kill()
        self.server.close()

    async def _settle_down(self, *, limit_s: float) -> None:
        """Wait until only people can move what is left, or time is up."""
        ends_at = self.loop.time() + limit_s
        while self.loop.time() < ends_at and not self.is_quiet() and not self.is_condemned:
            await asyncio.sleep(30.0)
            self.monkey.keep_some_alive()
            await self._dismiss_idle_hands()

    async def _dismiss_idle_hands(self) -> None:
        """Keep two workers for the long tail of a world, in which little is due."""
        for worker in self.living[2:]:
            if not worker.is_draining and not worker.is_frozen:
                await worker.stop()

    def hits(self) -> Counter[tuple[str, str]]:
        """Return how often each fault has struck, whoever acted it out."""
        found = self.faults.hits + Counter(self.misbehaviour.hits())
        return Counter({(str(boundary), name): count for (boundary, name), count in found.items() if count})

    def is_quiet(self) -> bool:
        """Tell whether every run has ended or waits for a person, and every batch without doubts has ended."""
        return rest.is_quiet(self.server.monitor)

    def unrest(self) -> str:
        """Say what has not come to rest."""
        return f"{rest.unrest(self.server.monitor)}, now {self.now()}"
