"""The simulated network and provider: what real sockets do, in virtual time, and the same again for the same seed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from orchestrator.domain.answers import Access, RemoteStatus
from orchestrator.errors import NotSent, OutcomeUnknown, ProviderError, Throttled
from orchestrator.providers.files import HttpFileFetcher
from orchestrator.providers.http import Timeouts
from orchestrator.providers.script import ScriptProvider
from sandbox.options import Options
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Fabric, Latency, SimNetwork
from tests.simulation.provider import SimProvider
from tests.simulation.provider_faults import RULES, SPELLS, TWISTS, ProviderFaults, boundaries

START_S = 1_800_000_000.0
ITEM = b'{"note": "one", "sandbox": "duration_s=5; files=2; size_bytes=300"}'


@dataclass
class Scripted:
    """Faults that a test wants, in the order in which the boundary is visited."""

    wanted: dict[str, list[str | None]] = field(default_factory=dict)

    def at(self, boundary: str, /) -> str | None:
        left = self.wanted.get(boundary)
        return left.pop(0) if left else None


@dataclass
class World:
    """A provider, and one client of it."""

    fabric: Fabric
    provider: SimProvider
    network: SimNetwork
    script: ScriptProvider
    files: HttpFileFetcher
    access: Access

    @property
    def workflow(self) -> str:
        return self.provider.workflows["Free form"]

    async def launch(self, item: bytes = ITEM) -> str:
        body = self.script.launch_body(item)
        send_by = asyncio.get_running_loop().time() + 15
        return (await self.script.launch(self.access, self.workflow, body, send_by=send_by)).execution_id

    async def fetch(self, url: str) -> bytes:
        async with self.files.fetch(url) as answer:
            return b"".join([chunk async for chunk in answer.chunks])

    @property
    def executions(self) -> int:
        return len(self.provider.service.world.executions)


def play(
    work: Callable[[World], Awaitable[Any]],
    *,
    seed: int = 1,
    faults: dict[str, list[str | None]] | None = None,
    latency: Latency | None = None,
    **options: Any,
) -> Any:
    """Run a client against a provider in a loop of its own; return what it returns."""
    loop = VirtualLoop()

    async def playing() -> Any:
        fabric = Fabric(rng=Random(seed), faults=Scripted(faults or {}), latency=latency)
        provider = SimProvider(fabric, options=Options(**({"duration_s": 5.0} | options)), seed=seed, start_s=START_S)
        network = fabric.network("worker-1")

        def utc_now() -> datetime:
            return datetime.fromtimestamp(provider.clock.now(), UTC)

        world = World(
            fabric=fabric,
            provider=provider,
            network=network,
            script=ScriptProvider(
                allow_private_networks=True,
                timeouts=Timeouts(read_s=30),
                monotonic=loop.time,
                utc_now=utc_now,
                network=network,
            ),
            files=HttpFileFetcher(allow_private_networks=True, utc_now=utc_now, network=network),
            access=Access(connection_id="c", base_url=provider.api_url, api_key=provider.key),
        )
        try:
            return await work(world)
        finally:
            await world.script.aclose()

    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(playing())
    finally:
        loop.close()


def test_a_run_goes_through_the_real_adapter_in_virtual_time() -> None:
    async def work(world: World) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        execution_id = await world.launch()
        await asyncio.sleep(3_000)
        seen = await world.script.observe(world.access, world.workflow, execution_id)
        assert seen.status is RemoteStatus.FINISHED and seen.files is not None
        truth = world.provider.service.files.truth(world.provider.service.world.executions[execution_id])
        bodies = [await world.fetch(file.url) for file in seen.files]
        assert [hashlib.sha256(body).hexdigest() for body in bodies] == [file["sha256"] for file in truth]
        assert 3_000 < loop.time() - began < 3_020
        assert [one.method for one in world.fabric.exchanges] == ["POST", "GET", "GET", "GET"]
        assert world.fabric.exchanges[0].body_sha256 == hashlib.sha256(world.script.launch_body(ITEM)).digest()

    play(work)


def test_the_same_seed_is_the_same_traffic_to_the_last_digit() -> None:
    async def work(world: World) -> list[tuple[float, str, int | None]]:
        faults = ProviderFaults(world.provider, Random(7), rate=0.3, spell_every_s=60)
        faults.begin()
        for n in range(40):
            try:
                execution_id = await world.launch(b'{"note": "%d"}' % n)
                await asyncio.sleep(9)
                await world.script.observe(world.access, world.workflow, execution_id)
            except ProviderError:
                await asyncio.sleep(3)
        return [(e.at, e.path, e.status) for e in world.provider.service.log.since(0, limit=1_000)]

    first, again, other = play(work, seed=3), play(work, seed=3), play(work, seed=4)
    assert first == again
    assert len(first) > 40 and first != other


@pytest.mark.parametrize(
    ("faults", "raises", "executions"),
    [
        ({"net.connect": ["refused"]}, NotSent, 0),
        ({"net.connect": ["blackhole"]}, NotSent, 0),
        ({"net.request": ["reset_before"]}, OutcomeUnknown, 0),
        ({"net.request": ["cut"]}, OutcomeUnknown, 0),
        ({"net.request": ["done_but_reset"]}, OutcomeUnknown, 1),
        ({"net.answer": ["lost"]}, OutcomeUnknown, 1),
        ({"net.answer": ["cut"]}, OutcomeUnknown, 1),
        ({"net.answer": ["late"]}, OutcomeUnknown, 1),
    ],
)
def test_a_fault_of_the_network_is_what_real_sockets_make_of_it(
    faults: dict[str, list[str | None]], raises: type[ProviderError], executions: int
) -> None:
    async def work(world: World) -> None:
        began = asyncio.get_running_loop().time()
        with pytest.raises(raises):
            await world.launch()
        assert asyncio.get_running_loop().time() - began < 60
        assert world.executions == executions
        await asyncio.sleep(100)  # what is still under way harms nobody
        await world.launch()
        assert world.executions == executions + 1

    play(work, faults=faults)


def test_a_kept_connection_that_the_provider_closed_is_not_used_again() -> None:
    async def work(world: World) -> None:
        for _ in range(3):
            await world.script.list_workflows(world.access)
        await asyncio.sleep(6)
        await world.script.list_workflows(world.access)
        assert [one.connection_id for one in world.fabric.exchanges] == [1, 1, 1, 2]

    play(work, keep_alive_s=2.0)


def test_what_a_dead_worker_wrote_still_arrives() -> None:
    async def work(world: World) -> None:
        task = asyncio.create_task(world.launch())
        while not world.fabric.exchanges:
            await asyncio.sleep(0.001)
        world.network.die()
        with pytest.raises(OutcomeUnknown):
            await task
        assert world.executions == 0
        await asyncio.sleep(5)
        assert world.executions == 1

    play(work, latency=Latency(median_s=0.5, sigma=0.0))


def test_a_shut_door_refuses_resets_what_is_open_and_opens_again_by_itself() -> None:
    async def work(world: World) -> None:
        await world.script.list_workflows(world.access)
        ProviderFaults(world.provider, Random(1), rate=0.0).spell("all_503", 5)
        with pytest.raises(ProviderError):
            await world.script.list_workflows(world.access)
        world.provider.service.listeners["api"].close_for(60)
        for _ in range(3):
            with pytest.raises((NotSent, OutcomeUnknown)):
                await world.script.list_workflows(world.access)
        with pytest.raises(NotSent):
            await world.launch()
        await asyncio.sleep(61)
        await world.launch()

    play(work)


def test_a_wait_that_the_provider_asks_for_is_written_down() -> None:
    async def work(world: World) -> None:
        world.provider.service.rules.add([{"fault": "429", "kind": "launch", "retry_after_s": 30, "times": 1}])
        with pytest.raises(Throttled) as caught:
            await world.launch()
        (wait,) = world.provider.waits
        assert (wait.seq, wait.key, round(wait.until - wait.said_at)) == (1, world.provider.key, 30)
        assert caught.value.retry_after_s == 30

    play(work)


def test_every_fault_of_the_provider_strikes_and_none_hangs_the_world() -> None:
    async def work(world: World) -> dict[str, int]:
        item = b'{"note": "h", "sandbox": "duration_s=1; size_bytes=400"}'
        ids = [await world.launch(item), await world.launch(item)]
        await asyncio.sleep(60)
        seen = await world.script.observe(world.access, world.workflow, ids[0])
        assert seen.files is not None
        (file,) = seen.files

        async def request(boundary: str) -> None:
            match boundary:
                case "provider.launch":
                    await world.script.observe(world.access, world.workflow, ids[0])
                    await world.launch(item)
                case "provider.batch":
                    body = world.script.wave_body([item] * 3, level="low")
                    by = asyncio.get_running_loop().time() + 15
                    await world.script.launch_wave(world.access, world.workflow, body, count=3, send_by=by)
                case "provider.file":
                    await world.fetch(file.url)
                case "provider.look":
                    await world.script.observe(world.access, world.workflow, ids[-1])
                case _:
                    await asyncio.sleep(5)

        hits: dict[str, int] = {}
        for boundary, names in boundaries().items():
            for name in names:
                only = frozenset({(boundary, name)})
                every_s = 1.0 if boundary == "provider.spell" else 0.0
                faults = ProviderFaults(world.provider, Random(5), rate=1.0, spell_every_s=every_s, only=only)
                faults.begin()
                for _ in range(15):
                    if not faults.hits()[boundary, name]:
                        await _attempt(request(boundary))
                faults.heal()
                if name == "lost_execution":
                    ids.pop()
                hits[f"{boundary}/{name}"] = faults.hits()[boundary, name]
        await asyncio.sleep(600)
        await world.launch()
        return hits

    hits = play(work, seed=2, requests_per_minute=0, url_lifetime_s=1_000_000.0)
    assert [where for where, times in hits.items() if not times] == []
    assert len(hits) > 80
    assert {where.rpartition("/")[2] for where in hits} >= {*TWISTS["launch"], *SPELLS, *RULES["file"]}


async def _attempt(work: Awaitable[Any]) -> None:
    try:
        await work
    except ProviderError:
        await asyncio.sleep(0.1)
