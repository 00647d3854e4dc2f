"""The simulated store: whole or not at all, and its faults are what the real one's are."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest

from orchestrator.domain.answers import StoredFile
from orchestrator.engine.ports import ArtifactStore
from orchestrator.errors import NotFound, OrchestratorError, StoreFull, TooLarge, Unavailable
from orchestrator.faultpoints import Point, watched_by
from tests.simulation.postgres import Killed
from tests.simulation.store import SimStore

pytestmark = pytest.mark.anyio
KEY = "w/r/1/0"


class Once:
    """One fault, then none."""

    def __init__(self, fault: str | None = None) -> None:
        self.fault = fault

    def at(self, boundary: str, /) -> str | None:
        assert boundary == "store.put"
        fault, self.fault = self.fault, None
        return fault


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def put(store: ArtifactStore, *parts: bytes) -> StoredFile:
    return await store.put(KEY, chunks(*parts), max_bytes=100)


async def read(store: SimStore) -> bytes:
    return b"".join([block async for block in store.open(KEY)])


async def test_what_is_stored_is_read_back_to_the_byte() -> None:
    store = SimStore(Once())
    stored = await put(store, b"ab", b"c")
    assert (stored.size_bytes, stored.sha256) == (3, hashlib.sha256(b"abc").hexdigest())
    assert (await read(store), await store.size(KEY), store.parts) == (b"abc", 3, {})
    await store.delete(KEY)
    assert await store.size(KEY) is None


@pytest.mark.parametrize(("fault", "raises"), [("full", StoreFull), ("away", Unavailable)])
async def test_a_store_that_refuses_keeps_nothing_and_takes_it_later(
    fault: str, raises: type[OrchestratorError]
) -> None:
    store = SimStore(Once(fault))
    with pytest.raises(raises):
        await put(store, b"abc")
    assert (store.files, store.parts) == ({}, {})
    await put(store, b"abc")
    assert await read(store) == b"abc"


async def test_a_store_may_have_done_what_it_reports_as_failed() -> None:
    store = SimStore(Once("done_but_reported_as_failed"))
    with pytest.raises(Unavailable):
        await put(store, b"abc")
    assert await read(store) == b"abc"


async def test_a_slow_store_takes_its_time() -> None:
    store = SimStore(Once("slow"), slow_s=0.05)
    began = asyncio.get_running_loop().time()
    await put(store, b"abc")
    assert asyncio.get_running_loop().time() - began >= 0.05


async def test_a_killed_worker_leaves_a_part_that_nobody_can_read() -> None:
    store = SimStore(Once())

    async def kill(point: Point) -> None:
        if point is Point.ARTIFACT_WRITTEN:
            raise Killed

    with watched_by(kill), pytest.raises(Killed):
        await put(store, b"abc")
    assert list(store.parts.values()) == [3]
    with pytest.raises(NotFound):
        await read(store)


async def test_a_file_that_is_too_large_or_cut_is_not_kept() -> None:
    store = SimStore(Once())
    with pytest.raises(TooLarge):
        await put(store, b"a" * 60, b"a" * 60)
    assert (store.files, store.parts) == ({}, {})


async def test_another_content_under_a_key_is_noticed() -> None:
    store = SimStore(Once())
    await put(store, b"abc")
    await put(store, b"abc")
    assert store.overwritten == []
    await put(store, b"abd")
    assert store.overwritten == [KEY]
