"""The Script adapter against the sandbox, a second and independent reading of the same page."""

from __future__ import annotations

import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest

from orchestrator.artifacts.local import LocalStore
from orchestrator.domain.answers import Accepted, Access, RemoteStatus
from orchestrator.errors import Gone, KeyRefused, Misbehaved, NotSent, OutcomeUnknown, ProviderError, Refused, Throttled
from orchestrator.providers.files import HttpFileFetcher
from orchestrator.providers.http import Timeouts
from orchestrator.providers.script import ScriptProvider
from orchestrator.runtime import since_boot_s
from sandbox.control import Sandbox
from tests.providers.raw_server import run

T = TypeVar("T")
ITEM = b'{"note": "n", "sandbox": "duration_s=1; files=2"}'
TIMEOUTS = Timeouts(connect_s=1, read_s=0.3, write_s=1, pool_s=1)


@pytest.fixture(scope="module")
def process() -> Iterator[Sandbox]:
    with Sandbox(time_scale=0, options={"duration_s": 1, "requests_per_minute": 0}) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(process: Sandbox) -> Sandbox:
    process.reset()
    process.clear_faults()
    return process


def use(sandbox: Sandbox, work: Callable[[ScriptProvider, Access, str], Awaitable[T]], *, key: str | None = None) -> T:
    async def using() -> T:
        provider = ScriptProvider(timeouts=TIMEOUTS, allow_private_networks=True)
        access = Access(connection_id="c", base_url=sandbox.api_url, api_key=key or sandbox.key)
        try:
            return await work(provider, access, sandbox.workflows["Free form"])
        finally:
            await provider.aclose()

    return run(using())


async def launch(provider: ScriptProvider, access: Access, workflow: str) -> Accepted:
    return await provider.launch(access, workflow, provider.launch_body(ITEM), send_by=since_boot_s() + 60)


def test_workflows_are_listed_over_all_pages_and_viewed_with_their_schema(sandbox: Sandbox) -> None:
    async def work(provider: ScriptProvider, access: Access, workflow: str) -> None:
        page = await provider.list_workflows(access, limit=1)
        found = list(page.workflows)
        while page.cursor is not None:
            page = await provider.list_workflows(access, limit=1, cursor=page.cursor)
            found += page.workflows
        assert {entry.name: entry.remote_id for entry in found} == sandbox.workflows
        assert all(entry.updated_at for entry in found)
        assert (await provider.view_workflow(access, workflow)).input_schema is None
        scored = await provider.view_workflow(access, sandbox.workflows["Score customer"])
        assert scored.input_schema is not None

    use(sandbox, work)


def test_a_single_launch_is_seen_through_to_its_stored_files(sandbox: Sandbox, tmp_path: Any) -> None:
    async def work(provider: ScriptProvider, access: Access, workflow: str) -> None:
        execution_id = (await launch(provider, access, workflow)).execution_id
        seen = await provider.observe(access, workflow, execution_id)
        assert seen.status in (RemoteStatus.WAITING, RemoteStatus.RUNNING)
        assert seen.files is None
        sandbox.advance(5)
        seen = await provider.observe(access, workflow, execution_id)
        assert seen.status is RemoteStatus.FINISHED
        assert seen.files is not None and len(seen.files) == 2
        store, fetcher = LocalStore(tmp_path), HttpFileFetcher(allow_private_networks=True, timeouts=TIMEOUTS)
        for n, file in enumerate(seen.files):
            key = f"{workflow}/{workflow}/1/{n}"
            async with fetcher.fetch(file.url) as answer:
                stored = await store.put(key, answer.chunks, max_bytes=1_000_000)
            assert stored.size_bytes == answer.length_bytes
        assert not any(
            "x-api-key" in str(entry.get("headers", "")) for entry in sandbox.log() if entry["kind"] == "file"
        )

    use(sandbox, work)
    assert sandbox.truth()["summary"]["executions"] == 1


def test_a_wave_gets_an_id_for_each_item_and_a_partial_answer_doubts_only_the_rest(sandbox: Sandbox) -> None:
    async def work(provider: ScriptProvider, access: Access, workflow: str) -> dict[int, str]:
        body = provider.wave_body([ITEM] * 6, level="medium")
        accepted = await provider.launch_wave(access, workflow, body, count=6, send_by=since_boot_s() + 60)
        return dict(accepted.execution_ids)

    assert sorted(use(sandbox, work)) == [0, 1, 2, 3, 4, 5]
    sandbox.faults([{"fault": "partial_batch", "kind": "batch", "keep": 4, "times": 1}])
    assert sorted(use(sandbox, work)) == [0, 1, 2, 3]
    assert sandbox.truth()["summary"]["executions"] == 12


def test_the_providers_noes_are_told_apart(sandbox: Sandbox) -> None:
    missing = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(KeyRefused):
        use(sandbox, launch, key="sk-wrong")
    with pytest.raises(Gone):
        use(sandbox, lambda p, a, w: p.observe(a, w, missing))
    with pytest.raises(Gone):
        use(sandbox, lambda p, a, w: launch(p, a, missing))
    with pytest.raises(Refused) as refused:
        use(sandbox, lambda p, a, w: launch(p, a, sandbox.workflows["Score customer"]))
    assert type(refused.value) is Refused
    assert sandbox.truth()["summary"]["executions"] == 0


@pytest.mark.parametrize(
    ("fault", "meaning"),
    [
        ("429", Throttled), ("500", OutcomeUnknown), ("500_after", OutcomeUnknown), ("502_html", OutcomeUnknown),
        ("503", OutcomeUnknown), ("400", Refused), ("404", Gone), ("404_html", Misbehaved), ("401", KeyRefused),
        ("403_html", Misbehaved), ("not_json_html_200", OutcomeUnknown), ("redirect", OutcomeUnknown),
        ("hang_after", OutcomeUnknown), ("reset_before", OutcomeUnknown), ("reset_after", OutcomeUnknown),
        ("disconnect_before", OutcomeUnknown), ("disconnect_after", OutcomeUnknown), ("cut_body", OutcomeUnknown),
        ("bad_json", OutcomeUnknown), ("wrong_shape", OutcomeUnknown), ("duplicate_keys", OutcomeUnknown),
        ("huge_body", OutcomeUnknown),
    ],
)  # fmt: skip
def test_a_launch_that_was_accepted_is_never_called_unsent_or_refused(
    sandbox: Sandbox, fault: str, meaning: type[ProviderError]
) -> None:
    sandbox.faults([{"fault": fault, "kind": "launch", "times": 1}])
    with pytest.raises(ProviderError) as error:
        use(sandbox, launch)
    assert type(error.value) is meaning
    launched = sandbox.truth()["summary"]["executions"]
    assert launched == 0 or meaning is OutcomeUnknown
    assert len([entry for entry in sandbox.log() if entry["kind"] == "launch"]) == 1, "sent once"


def test_a_closed_door_means_that_nothing_was_sent(sandbox: Sandbox) -> None:
    sandbox.close_listener(1.5)
    wait_until(lambda: not is_open(sandbox))
    with pytest.raises(NotSent):
        use(sandbox, launch)
    wait_until(lambda: is_open(sandbox))
    use(sandbox, launch)
    assert sandbox.truth()["summary"]["executions"] == 1


def is_open(sandbox: Sandbox) -> bool:
    url = urlsplit(sandbox.api_url)
    with socket.socket() as sock:
        return sock.connect_ex((url.hostname or "", url.port or 0)) == 0


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)
