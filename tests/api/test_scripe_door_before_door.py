"""Our own Scripe provider, pointed at the Scripe door of a running API: it looks and cancels, and starts nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.bootstrap import build
from orchestrator.client import Client
from orchestrator.domain.answers import Access, RemoteStatus
from orchestrator.engine import connections, doubts, operate, pump, reading, submit
from orchestrator.engine.deps import Deps
from orchestrator.engine.submit import RunSpec
from orchestrator.engine.who import Who
from orchestrator.errors import Gone, KeyRefused, NotCancellable, Refused
from orchestrator.providers.inline import inline_body
from orchestrator.providers.scripe import ScripeProvider
from orchestrator.runtime import since_boot_s
from sandbox.control import Sandbox
from tests.api.conftest import Served, finish

pytestmark = pytest.mark.anyio

POSTS = "POST_GENERATION"
POST = json.dumps({"projectId": "p", "source": {"text": "t"}}).encode()


@pytest.fixture
async def provider() -> AsyncIterator[ScripeProvider]:
    """Our adapter, as the engine has it."""
    made = ScripeProvider(allow_private_networks=True)
    yield made
    await made.aclose()


def base_url(served: Served) -> str:
    """Return what a connection to the inner one has as its base URL."""
    return f"{served.url}/scripe/v1"


@pytest.fixture
def access(served: Served) -> Access:
    """The way to the door."""
    return Access(connection_id="c", base_url=base_url(served), api_key=served.token)


async def test_the_adapter_lists_looks_and_cancels_at_the_door(
    served: Served, client: Client, provider: ScripeProvider, access: Access, main: str, free: str
) -> None:
    assert [w.remote_id for w in (await provider.list_workflows(access)).workflows] == [POSTS]
    with pytest.raises(KeyRefused):
        await provider.list_workflows(Access(connection_id="c", base_url=base_url(served), api_key="orch_wrong"))
    with pytest.raises(KeyRefused) as version:
        await provider.list_workflows(
            Access(connection_id="c", base_url=base_url(served), api_key=served.token, api_version="2020-01-01")
        )
    assert version.value.code == "version_unsupported"

    queued = client.runs.submit(main, free, {"n": 1})["id"]
    seen = await provider.observe(access, POSTS, queued)
    assert (seen.status, seen.word, seen.progress) == (RemoteStatus.WAITING, "QUEUED", None)
    cancelled = await provider.cancel(access, POSTS, queued)
    assert cancelled.status is RemoteStatus.CANCELLED and client.runs.get(queued)["status"] == "cancelled"
    with pytest.raises(NotCancellable):
        await provider.cancel(access, POSTS, queued)
    with pytest.raises(Gone):
        await provider.observe(access, POSTS, str(UUID(int=7)))

    done = client.runs.submit(main, free, {"sandbox": "files=1; size_bytes=300"})["id"]
    await asyncio.to_thread(finish, served, client, done)
    seen = await provider.observe(access, POSTS, done)
    assert seen.status is RemoteStatus.FINISHED and seen.files is not None
    (file,) = json.loads(inline_body(seen.files[0].url) or b"")["files"]
    assert len(httpx.get(file["url"], trust_env=False).content) == file["sizeBytes"] == 300

    failed = client.runs.submit(main, free, {"sandbox": "outcome=error"})["id"]
    await asyncio.to_thread(finish, served, client, failed)
    seen = await provider.observe(access, POSTS, failed)
    assert seen.status is RemoteStatus.FAILED and "provider_error" in (seen.error_message or "")


async def test_a_launch_is_refused_for_good_and_says_why(provider: ScripeProvider, access: Access) -> None:
    with pytest.raises(Refused, match="this door starts no jobs") as refused:
        await provider.launch(access, POSTS, POST, send_by=since_boot_s() + 60, key="k-1")
    assert refused.value.http_status == 404


SHOWN = text("""
    UPDATE executions SET progress_fraction = :fraction, progress_message = :message,
        estimated_completion_at = orch_now() + interval '90 s'
    WHERE run_id = :run""")


async def test_the_doors_job_says_how_far_its_own_provider_is(
    served: Served, client: Client, provider: ScripeProvider, access: Access, main: str, free: str
) -> None:
    run = client.runs.submit(main, free, {"sandbox": "duration_s=600"})["id"]

    async def tell(connection: AsyncConnection) -> None:
        await connection.execute(SHOWN, {"run": UUID(run), "fraction": 0.42, "message": "writing"})

    async with build(served.settings, program="test-worker") as inner:
        await pump.pump(inner, "launch", worker=inner.sources.new_id(), should_stop=lambda: False)
        await inner.db.run(tell)
    seen = (await provider.observe(access, POSTS, run)).progress
    assert seen is not None and (seen.share, seen.message) == (0.42, "writing")
    assert seen.left_ms is not None and 30_000 < seen.left_ms <= 90_500


async def test_an_orchestrator_watches_and_cancels_what_runs_in_another(
    served: Served, client: Client, main: str, free: str, sandbox: Sandbox, deps: Deps, who: Who
) -> None:
    await connections.add_connection(
        deps, who, name="inner", provider="scripe", base_url=sandbox.scripe_url, api_key=sandbox.scripe_key
    )
    worker = deps.sources.new_id()

    async def doubted() -> UUID:
        """Launch at the provider itself, in a way that only a person can settle."""
        body = {"error": {"code": "idempotency_key_conflict", "message": "m", "request_id": "r", "docs_url": "d"}}
        sandbox.faults([{"fault": "400", "kind": "launch", "nth": 1, "workflow_id": POSTS, "body": body}])
        run = await submit.submit_run(deps, who, RunSpec(connection="inner", workflow_id=POSTS, input=POST))
        await pump.pump(deps, "launch", worker=worker, should_stop=lambda: False)
        sandbox.clear_faults()
        assert (await reading.get_run(deps, who, run.id))["status"] == "in_doubt"
        await connections.test_connection(deps, who, "inner")
        return run.id

    finished, cancelled = await doubted(), await doubted()
    await connections.set_connection(deps, who, "inner", base_url=base_url(served))
    await connections.rotate_key(deps, who, "inner", served.token)
    tested = await connections.test_connection(deps, who, "inner")
    assert tested["ok"] and [w["id"] for w in tested["workflows"]] == [POSTS]

    refused = await submit.submit_run(deps, who, RunSpec(connection="inner", workflow_id=POSTS, input=POST))
    await pump.pump(deps, "launch", worker=worker, should_stop=lambda: False)
    error = (await reading.get_run(deps, who, refused.id))["error"]
    assert error["code"] == "launch_refused" and "this door starts no jobs" in error["message"]

    within = client.runs.submit(main, free, {"sandbox": "files=1; size_bytes=77"})["id"]
    waits = client.runs.submit(main, free, {"n": 2})["id"]
    for run_id, execution_id in ((finished, within), (cancelled, waits)):
        await doubts.resolve_doubt(deps, who, run_id, how="adopt", execution_id=execution_id, reason="seen there")
    assert (await operate.cancel_run(deps, who, cancelled))["status"] == "cancelled"
    assert client.runs.get(waits)["status"] == "cancelled"

    await asyncio.to_thread(finish, served, client, within)
    async with asyncio.timeout(20):
        while (await reading.get_run(deps, who, finished))["finished_at"] is None:
            for kind in ("poll", "download"):
                await pump.pump(deps, kind, worker=worker, should_stop=lambda: False)
            await asyncio.sleep(0.02)
    shown: dict[str, Any] = await reading.get_run(deps, who, finished)
    assert (shown["status"], shown["execution_id"], shown["provider_status"]) == ("finished", within, "DONE")
    (file,) = shown["results"]
    opened = await reading.open_result(deps, who, finished, file["n"])
    (link,) = json.loads(b"".join([part async for part in opened.chunks]))["files"]
    assert link["sha256"] == client.runs.get(within)["results"][0]["sha256"]
