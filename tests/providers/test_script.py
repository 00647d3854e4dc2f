"""The five calls of the Script API: what goes over the wire, and how strictly the answers are read."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from orchestrator.domain.answers import Access, OfferedFile, RemoteStatus
from orchestrator.engine.ports import Provider
from orchestrator.errors import BadInput, Gone, Misbehaved, NotSent, OutcomeUnknown, ProviderError, Refused
from orchestrator.providers import script_shapes as shapes
from orchestrator.providers.http import Timeouts
from orchestrator.providers.keys import check_api_key
from orchestrator.providers.registry import provider as provider_by_name
from orchestrator.providers.script import ScriptProvider
from orchestrator.runtime import since_boot_s, transaction_open
from tests.providers.raw_server import (
    Connection,
    RawServer,
    answer,
    certificate,
    json_answer,
    keeps_saying,
    run,
    says,
)

T = TypeVar("T")
KEY = "canary-key-0123456789"


def access(url: str, *, key: str = KEY) -> Access:
    return Access(connection_id="c", base_url=url, api_key=key)


def later() -> float:
    return time.monotonic() + 60


def ask(data: bytes, work: Callable[[ScriptProvider, Access], Awaitable[T]]) -> tuple[T, list[bytes]]:
    """Answer one call with these bytes; return what it came to, and the requests that arrived."""

    async def asking() -> tuple[T, list[bytes]]:
        async with RawServer(keeps_saying(data)) as server:
            provider = ScriptProvider(timeouts=Timeouts(read_s=1), allow_private_networks=True)
            try:
                return await work(provider, access(server.url + "/api/v1/")), server.requests
            finally:
                await provider.aclose()

    return run(asking())


def test_the_adapter_fits_the_port() -> None:
    fits: Provider = provider_by_name("script")
    assert fits.name == "script"
    assert fits.capabilities.launch_key is None


def test_an_unknown_provider_is_named_as_such() -> None:
    with pytest.raises(BadInput, match="no such provider") as unknown:
        provider_by_name("nope")
    assert "script" in (unknown.value.hint or "")


def test_a_launch_sends_the_items_own_bytes_with_key_and_type() -> None:
    item = b'{ "a" : 1.0e2, "b":"\\u00e4"}'
    accepted, requests = ask(
        json_answer(201, {"execution_id": "7c9e-1", "status": "initial", "new_field": 1}),
        lambda p, a: p.launch(a, "550e8400-e29b", p.launch_body(item), send_by=later()),
    )
    assert accepted.execution_id == "7c9e-1"
    head, body = requests[0].split(b"\r\n\r\n", 1)
    assert body == b'{"input":' + item + b"}"
    assert head.startswith(b"POST /api/v1/workflows/550e8400-e29b/executions HTTP/1.1\r\n")
    lines = {line.split(b":")[0].lower(): line.split(b":", 1)[1].strip() for line in head.split(b"\r\n")[1:]}
    assert lines[b"x-api-key"] == KEY.encode()
    assert lines[b"content-type"] == b"application/json"
    assert lines[b"user-agent"].startswith(b"orchestrator/")
    assert lines[b"accept-encoding"] == b"identity"
    assert not {b"cookie", b"authorization", b"transfer-encoding"} & set(lines)


def test_a_waves_body_holds_each_items_own_bytes() -> None:
    body = ScriptProvider().wave_body([b'{"a": 1}', b'{"a":2 }'], level="medium")
    assert body == b'{"items":[{"a": 1},{"a":2 }],"concurrency":"medium"}'
    assert json.loads(body)["concurrency"] == "medium"


def wave(executions: object, *, count: int = 4, **more: object) -> dict[int, str]:
    found = shapes.wave_accepted(
        json.dumps({"workflow_id": "w", "total": 99, "executions": executions, **more}).encode(), count=count
    )
    return dict(found.execution_ids)


def test_only_the_contradictory_entries_of_a_waves_answer_become_doubts() -> None:
    def entry(index: object, execution_id: object) -> dict[str, object]:
        return {"index": index, "execution_id": execution_id}

    assert wave([entry(1, "b"), entry(0, "a")]) == {0: "a", 1: "b"}
    assert wave([entry(0, "a"), entry(0, "b"), entry(1, "c")]) == {1: "c"}, "one index, two ids"
    assert wave([entry(0, "a"), entry(1, "a"), entry(2, "c")]) == {2: "c"}, "one id, two indexes"
    assert wave([entry(0, "a"), entry(0, "a")]) == {0: "a"}, "said twice is no contradiction"
    assert wave([entry(-1, "a"), entry(4, "b"), entry(True, "c"), entry(1.0, "d"), entry("2", "e")]) == {}
    assert wave([entry(0, ""), entry(1, "a/b"), entry(2, None), entry(3, "x" * 201), 7, None]) == {}
    assert wave([]) == {}


def test_a_waves_answer_may_hold_ten_thousand_ids() -> None:
    ids = [{"execution_id": f"7c9e6679-7425-40de-944b-{n:012}", "index": n, "pad": "x" * 60} for n in range(10_000)]
    data = json_answer(200, {"workflow_id": "w", "total": 10_000, "executions": ids})
    assert len(data) > 1024 * 1024
    accepted, requests = ask(data, lambda p, a: p.launch_wave(a, "w", b"{}", count=10_000, send_by=later()))
    assert len(accepted.execution_ids) == 10_000
    assert requests[0].startswith(b"POST /api/v1/workflows/w/executions/batch HTTP/1.1")


def test_a_waves_answer_without_a_list_puts_all_in_doubt() -> None:
    with pytest.raises(OutcomeUnknown):
        ask(json_answer(200, {"total": 2}), lambda p, a: p.launch_wave(a, "w", b"{}", count=2, send_by=later()))


def test_an_encoded_answer_to_a_launch_is_read_all_the_same() -> None:
    body = gzip.compress(b'{"execution_id":"e1"}')
    accepted, _ = ask(
        answer(200, body, "Content-Encoding: gzip"), lambda p, a: p.launch(a, "w", b"{}", send_by=later())
    )
    assert accepted.execution_id == "e1"


def test_an_encoded_answer_cannot_grow_beyond_the_cap() -> None:
    bomb = gzip.compress(b'{"execution_id":"e1","x":"' + b"0" * 20_000_000 + b'"}')
    with pytest.raises(OutcomeUnknown, match="larger"):
        ask(answer(200, bomb, "Content-Encoding: gzip"), lambda p, a: p.launch(a, "w", b"{}", send_by=later()))


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("initial", RemoteStatus.WAITING),
        ("processing", RemoteStatus.RUNNING),
        ("human_in_the_loop", RemoteStatus.HUMAN),
        ("finished", RemoteStatus.FINISHED),
        ("error", RemoteStatus.FAILED),
        ("Finished", RemoteStatus.UNKNOWN),
        ("success", RemoteStatus.UNKNOWN),
        ("", RemoteStatus.UNKNOWN),
    ],
)
def test_a_status_word_is_read_as_the_page_lists_it_and_never_guessed(word: str, status: RemoteStatus) -> None:
    seen, requests = ask(
        json_answer(200, {"id": "e1", "workflow_id": "w", "status": word, "results": None, "more": [1]}),
        lambda p, a: p.observe(a, "w", "e1"),
    )
    assert (seen.status, seen.word, seen.files) == (status, word, None)
    assert requests[0].startswith(b"GET /api/v1/workflows/w/executions/e1 HTTP/1.1\r\n")


def test_an_unknown_word_is_kept_short_and_printable() -> None:
    seen = shapes.observation(b'{"status":"a\\u0007b\\u202e\\n' + b"x" * 100 + b'"}', execution_id="e1")
    assert seen.status is RemoteStatus.UNKNOWN
    assert seen.word == "ab" + "x" * 62


def test_results_are_none_empty_or_a_list_of_files() -> None:
    file = {"filename": "a/../b.json", "url": "https://h/x?token=1", "size": 3}

    def files(**more: object) -> tuple[OfferedFile, ...] | None:
        body = json.dumps({"id": "e1", "status": "finished", **more}).encode()
        return shapes.observation(body, execution_id="e1").files

    assert files() is None
    assert files(results=None) is None
    assert files(results=[]) == ()
    offered = files(results=[file])
    assert offered == (OfferedFile(filename="a/../b.json", url="https://h/x?token=1"),)
    assert "token" not in repr(offered)


@pytest.mark.parametrize(
    "change",
    [
        {"results": "x"},
        {"results": [None]},
        {"results": [{"filename": "a"}]},
        {"results": [{"filename": 1, "url": "https://h/"}]},
        {"results": [{"filename": "a", "url": "ftp://h/"}]},
        {"results": [{"filename": "a", "url": "https://h/ x"}]},
        {"results": [{"filename": "a", "url": "https://h/\r\nx"}]},
        {"results": [{"filename": "a" * 1_025, "url": "https://h/"}]},
        {"results": [{"filename": "a", "url": "https://h/" + "x" * 8_192}]},
        {"results": [{"filename": "a", "url": "https://h/"}] * 1_001},
        {"status": 3},
        {"status": None},
        {"id": "another"},
        {"id": None},
    ],
)
def test_a_look_of_a_wrong_shape_is_not_believed(change: dict[str, object]) -> None:
    with pytest.raises(Misbehaved):
        ask(
            json_answer(200, {"id": "e1", "status": "finished", "results": []} | change),
            lambda p, a: p.observe(a, "w", "e1"),
        )


def test_an_odd_list_of_results_does_not_hide_that_an_execution_failed() -> None:
    seen = shapes.observation(b'{"id":"e1","status":"error","results":"none","error":"it broke"}', execution_id="e1")
    assert (seen.status, seen.files, seen.error_message) == (RemoteStatus.FAILED, None, "it broke")


def test_workflows_are_listed_page_by_page_with_the_cursor_encoded() -> None:
    entry = {"id": "w1", "name": "Mail", "created_at": "2024-01-15T10:30:00Z", "updated_at": "2024-01-15T10:30:00Z"}
    page, requests = ask(
        json_answer(200, {"data": [entry, entry | {"id": "w2", "updated_at": "soon"}], "cursor": "n+1"}),
        lambda p, a: p.list_workflows(a, cursor="2024-01-15T10:30:00Z&limit=1", limit=500),
    )
    assert [w.remote_id for w in page.workflows] == ["w1", "w2"]
    assert [w.updated_at for w in page.workflows] == [datetime(2024, 1, 15, 10, 30, tzinfo=UTC), None]
    assert page.cursor == "n+1"
    assert requests[0].startswith(
        b"GET /api/v1/workflows?limit=100&cursor=2024-01-15T10%3A30%3A00Z%26limit%3D1 HTTP/1.1\r\n"
    )


def test_a_workflow_is_viewed_with_its_schema_or_without_one() -> None:
    schema = {"type": "object", "properties": {"email": {"type": "string"}}, "required": ["email"]}
    full = {"id": "w1", "name": "Mail", "description": "d", "input_schema": schema}
    view, _ = ask(json_answer(200, full), lambda p, a: p.view_workflow(a, "w1"))
    assert (view.remote_id, view.description, view.input_schema) == ("w1", "d", schema)
    view, _ = ask(json_answer(200, {"id": "w1", "name": "Mail"}), lambda p, a: p.view_workflow(a, "w1"))
    assert (view.description, view.input_schema) == (None, None)
    wrongs: list[dict[str, object]] = [{"input_schema": []}, {"id": 5}, {"name": None}, {"description": 5}]
    for wrong in wrongs:
        with pytest.raises(Misbehaved):
            ask(json_answer(200, full | wrong), lambda p, a: p.view_workflow(a, "w1"))


@pytest.mark.parametrize(
    "id_", ["", ".", "..", "a/b", "a\\b", "a b", "a?b", "a#b", "a%2e", "a\nb", "x" * 201, "\ud800"]
)
def test_an_id_that_would_change_the_path_is_never_sent(id_: str) -> None:
    async def work() -> None:
        async with RawServer(says(b"")) as server:
            provider = ScriptProvider(allow_private_networks=True)
            for call in (
                provider.view_workflow(access(server.url), id_),
                provider.observe(access(server.url), "w", id_),
                provider.launch(access(server.url), id_, b"{}", send_by=later()),
            ):
                with pytest.raises(Gone):
                    await call
            assert server.connections == 0

    run(work())


def test_an_odd_but_harmless_id_is_quoted_as_one_part_of_the_path() -> None:
    _, requests = ask(json_answer(200, {"status": "initial"}), lambda p, a: p.observe(a, "ü;a=b&c", "e:1@h+$"))
    assert requests[0].startswith(b"GET /api/v1/workflows/%C3%BC%3Ba%3Db%26c/executions/e%3A1%40h%2B%24 HTTP/1.1")


@pytest.mark.parametrize("key", ["", "a b", "a\r\nX-Evil: 1", "a\n", "clé", "a\x00", "x" * 1_025])
def test_a_key_that_would_write_headers_of_its_own_is_never_sent(key: str) -> None:
    async def work() -> None:
        async with RawServer(says(b"")) as server:
            provider = ScriptProvider(allow_private_networks=True)
            with pytest.raises(NotSent) as error:
                await provider.launch(access(server.url, key=key), "w", b"{}", send_by=later())
            assert error.value.code == "bad_key"
            assert server.connections == 0

    with pytest.raises(BadInput):
        check_api_key(key)
    run(work())


def test_the_providers_own_words_reach_the_user_without_secrets() -> None:
    said = f"field email: not a mail address (key {KEY}, see https://x/y?sig=abc)\u202e\n"
    with pytest.raises(Refused) as error:
        ask(json_answer(400, {"error": said}), lambda p, a: p.launch(a, "w", b"{}", send_by=later()))
    assert "not a mail address" in error.value.message
    for secret in (KEY, "sig=abc", "\u202e", "\n"):
        assert secret not in error.value.message
        assert secret not in (error.value.evidence or "").replace("\\n", "")


def test_each_launch_has_a_fresh_connection_and_looks_share_one() -> None:
    async def work() -> None:
        body = {"execution_id": "e1", "status": "initial", "id": "e1"}
        async with RawServer(keeps_saying(json_answer(200, body, "Set-Cookie: a=b; Path=/"))) as server:
            provider = ScriptProvider(allow_private_networks=True)
            for _ in range(3):
                await provider.launch(access(server.url), "w", b"{}", send_by=later())
            assert server.connections == 3
            for _ in range(3):
                await provider.observe(access(server.url), "w", "e1")
            assert server.connections == 4
            await provider.observe(access(server.url, key="another"), "w", "e1")
            assert server.connections == 5, "another key never shares a connection"
            assert not any(b"cookie" in request.lower() for request in server.requests)
            await provider.aclose()

    run(work())


def test_a_launch_past_its_deadline_does_not_even_connect() -> None:
    async def work() -> None:
        async with RawServer(says(b"")) as server:
            provider = ScriptProvider(allow_private_networks=True)
            with pytest.raises(NotSent, match="too late"):
                await provider.launch(access(server.url), "w", b"{}", send_by=since_boot_s() - 0.001)
            assert server.connections == 0

    run(work())


def test_a_launch_whose_deadline_passes_while_connecting_writes_nothing() -> None:
    """The clock is read twice: before connecting, and right before the first byte."""
    clock = iter([100.0, 111.0])

    async def work() -> None:
        arrived: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def listen(connection: Connection) -> None:
            arrived.set_result(await connection.reader.read())

        async with RawServer(listen) as server:
            provider = ScriptProvider(allow_private_networks=True, monotonic=lambda: next(clock))
            with pytest.raises(NotSent, match="too late"):
                await provider.launch(access(server.url), "w", b"{}", send_by=110.0)
            assert await arrived == b""
            assert server.connections == 1

    run(work())


def test_no_call_goes_out_while_a_transaction_is_open() -> None:
    async def work() -> None:
        provider = ScriptProvider(allow_private_networks=True)
        transaction_open.set(True)
        with pytest.raises(AssertionError, match="transaction"):
            await provider.observe(access("http://127.0.0.1:1"), "w", "e1")

    run(work())


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "https://127.0.0.1:9", "https://localhost:9"])
def test_a_private_base_url_is_called_only_when_the_operator_allows_it(url: str) -> None:
    async def work() -> None:
        with pytest.raises(NotSent) as error:
            await ScriptProvider().observe(access(url), "w", "e1")
        assert error.value.code == "address_refused"

    run(work())


def test_a_certificate_is_checked_against_the_hosts_name(tmp_path: Path) -> None:
    server_context, client_context = certificate(tmp_path, "localhost")

    async def work() -> None:
        body = json_answer(200, {"status": "initial"})
        async with RawServer(keeps_saying(body), ssl_context=server_context) as server:
            provider = ScriptProvider(allow_private_networks=True, ssl_context=client_context)
            seen = await provider.observe(access(f"https://localhost:{server.port}"), "w", "e1")
            assert seen.status is RemoteStatus.WAITING
            with pytest.raises(ProviderError) as error:
                await provider.observe(access(f"https://127.0.0.1:{server.port}"), "w", "e1")
            assert isinstance(error.value, NotSent)
            await provider.aclose()

    run(work())
