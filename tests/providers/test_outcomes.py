"""Each line of the outcome tables, against real sockets that really do it."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from orchestrator.domain.answers import Access
from orchestrator.errors import (
    Gone,
    KeyRefused,
    Misbehaved,
    NotSent,
    OutcomeUnknown,
    ProviderError,
    Refused,
    Throttled,
)
from orchestrator.providers.http import Timeouts
from orchestrator.providers.outcomes import LAUNCH, READ
from orchestrator.providers.script import ScriptProvider
from tests.providers.raw_server import (
    Connection,
    RawServer,
    answer,
    certificate,
    closed_port,
    json_answer,
    run,
    says,
)

KEY = "canary-key-0123456789"
SHORT = Timeouts(connect_s=0.1, read_s=0.1, write_s=0.1, pool_s=0.05, slowest_upload_bytes_per_s=1e9)
BODY = b'{"input":{"a":1}}'


async def launch(provider: ScriptProvider, url: str, body: bytes = BODY) -> object:
    access = Access(connection_id="c", base_url=url, api_key=KEY)
    return await provider.launch(access, "w", body, send_by=time.monotonic() + 60)


async def look(provider: ScriptProvider, url: str) -> object:
    return await provider.observe(Access(connection_id="c", base_url=url, api_key=KEY), "w", "e")


async def outcome(url: str, *, read: bool = False, body: bytes = BODY) -> ProviderError:
    provider = ScriptProvider(timeouts=SHORT, allow_private_networks=True)
    try:
        await (look(provider, url) if read else launch(provider, url, body))
    except ProviderError as error:
        assert KEY not in f"{error.message}{error.evidence}"
        assert error.__context__ is None, "the client's exception holds the request, and so the key"
        return error
    finally:
        await provider.aclose()
    raise AssertionError("it came to an answer")


Place = AbstractAsyncContextManager[str]


@asynccontextmanager
async def no_such_name() -> AsyncIterator[str]:
    yield "http://nothing.invalid"


@asynccontextmanager
async def refused() -> AsyncIterator[str]:
    yield f"http://127.0.0.1:{closed_port()}"


@asynccontextmanager
async def full_backlog() -> AsyncIterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        for sock in waiting:
            sock.close()


@asynccontextmanager
async def untrusted_certificate() -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        context, _ = certificate(Path(folder), "127.0.0.1")
    async with RawServer(says(b""), ssl_context=context) as server:
        yield server.url
        assert not server.requests


@asynccontextmanager
async def no_tls_at_all() -> AsyncIterator[str]:
    async def behave(connection: Connection) -> None:
        await connection.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with RawServer(behave) as server:
        yield server.url.replace("http:", "https:")


@asynccontextmanager
async def silent_tls() -> AsyncIterator[str]:
    async with RawServer(Connection.hang) as server:
        yield server.url.replace("http:", "https:")


@asynccontextmanager
async def not_our_protocol() -> AsyncIterator[str]:
    yield "ftp://127.0.0.1"


async def _reset_after_request(connection: Connection) -> None:
    await connection.request()
    connection.reset()


async def _reset_amid_request(connection: Connection) -> None:
    await connection.reader.read(1_000)
    connection.reset()


async def _hang_after_request(connection: Connection) -> None:
    await connection.request()
    await connection.hang()


async def _never_read(connection: Connection) -> None:
    connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await connection.hang()


async def _close_after_request(connection: Connection) -> None:
    await connection.request()


async def _drip(connection: Connection) -> None:
    await connection.request()
    await connection.say(answer(200, b"", length=100_000))
    while True:
        await connection.say(b" ")
        await asyncio.sleep(0.05)


def at(behave: Callable[[Connection], object]) -> Callable[[], Place]:
    @asynccontextmanager
    async def place() -> AsyncIterator[str]:
        async with RawServer(behave) as server:  # type: ignore[arg-type]
            yield server.url

    return place


CUT = at(says(answer(200, b'{"exec', length=500)))
BROKEN_CHUNK = at(says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}"))

#: what happens, what the client calls it, what it means for a launch, and for a look
FAILURES = [
    pytest.param(no_such_name, "ConnectError", NotSent, NotSent, id="no such name"),
    pytest.param(refused, "ConnectError", NotSent, NotSent, id="refused"),
    pytest.param(full_backlog, "ConnectTimeout", NotSent, NotSent, id="no connection in time"),
    pytest.param(untrusted_certificate, "ConnectError", NotSent, NotSent, id="untrusted certificate"),
    pytest.param(no_tls_at_all, "ConnectError", NotSent, NotSent, id="no TLS at all"),
    pytest.param(silent_tls, "ConnectTimeout", NotSent, NotSent, id="TLS hangs"),
    pytest.param(not_our_protocol, "UnsupportedProtocol", NotSent, NotSent, id="not our protocol"),
    pytest.param(at(_hang_after_request), "ReadTimeout", OutcomeUnknown, OutcomeUnknown, id="no answer"),
    pytest.param(at(_reset_after_request), "ReadError", OutcomeUnknown, OutcomeUnknown, id="reset"),
    pytest.param(at(_close_after_request), "RemoteProtocolError", OutcomeUnknown, OutcomeUnknown, id="closed"),
    pytest.param(
        at(says(b"\x00\xff nonsense\r\n\r\n")), "RemoteProtocolError", OutcomeUnknown, OutcomeUnknown, id="not HTTP"
    ),
    pytest.param(CUT, "RemoteProtocolError", OutcomeUnknown, OutcomeUnknown, id="cut"),
    pytest.param(BROKEN_CHUNK, "RemoteProtocolError", OutcomeUnknown, OutcomeUnknown, id="broken chunk"),
    pytest.param(at(_drip), "TimeoutError", OutcomeUnknown, OutcomeUnknown, id="a byte now and then"),
]


@pytest.mark.parametrize(("place", "said", "on_launch", "on_read"), FAILURES)
@pytest.mark.parametrize("read", [False, True], ids=["launch", "read"])
def test_a_failure_means_what_its_line_says(
    place: Callable[[], Place],
    said: str,
    on_launch: type[ProviderError],
    on_read: type[ProviderError],
    read: bool,
) -> None:
    async def work() -> ProviderError:
        async with place() as url:
            return await outcome(url, read=read)

    error = run(work())
    assert type(error) is (on_read if read else on_launch)
    assert said in error.message


@pytest.mark.parametrize(
    ("behave", "said"), [(_never_read, "WriteTimeout"), (_reset_amid_request, "")], ids=["never read", "reset"]
)
def test_a_request_that_left_in_part_is_in_doubt(behave: Callable[[Connection], object], said: str) -> None:
    """The client hides a WriteError and reads on, so a reset shows as a broken read: in doubt all the same."""

    async def work() -> ProviderError:
        async with at(behave)() as url:
            return await outcome(url, body=b'{"input":"' + b"x" * 16_000_000 + b'"}')

    error = run(work())
    assert type(error) is OutcomeUnknown
    assert said in error.message


def test_no_free_connection_means_that_nothing_was_sent() -> None:
    async def work() -> None:
        async with RawServer(_hang_after_request) as server:
            provider = ScriptProvider(timeouts=Timeouts(read_s=0.3, pool_s=0.05), allow_private_networks=True)
            looks = [asyncio.create_task(look(provider, server.url)) for _ in range(11)]
            errors = await asyncio.gather(*looks, return_exceptions=True)
            assert sorted(type(error).__name__ for error in errors) == ["NotSent"] + ["OutcomeUnknown"] * 10
            assert server.connections == 10
            await provider.aclose()

    run(work())


def test_a_large_launch_gets_more_time_to_be_written() -> None:
    stretched = Timeouts().for_launch(body_bytes=4_000_000, read_s=230)
    assert (stretched.write_s, stretched.read_s, stretched.connect_s) == (50, 230, 5)
    assert stretched.whole_s == 290


def test_what_was_written_is_never_called_unsent() -> None:
    """Some transports call a reset after the request a ConnectTimeout; the wire knows better."""
    for failure in (httpx.ConnectError("x"), httpx.ConnectTimeout("x"), httpx.PoolTimeout("x")):
        assert LAUNCH.of_failure(failure, was_written=False) is NotSent
        assert LAUNCH.of_failure(failure, was_written=True) is OutcomeUnknown
    assert LAUNCH.of_failure(TimeoutError(), was_written=False) is NotSent
    assert LAUNCH.of_failure(TimeoutError(), was_written=True) is OutcomeUnknown
    assert LAUNCH.of_failure(httpx.WriteError("x"), was_written=True) is OutcomeUnknown
    assert LAUNCH.of_failure(httpx.ProxyError("new"), was_written=True) is OutcomeUnknown


OWN = {"error": "no, because of a reason"}
PAGE = b"<html>no</html>"

#: status, then what it means: launch in own shape, launch in a foreign one, look in own shape, look in a foreign one
STATUSES = [
    (301, OutcomeUnknown, OutcomeUnknown, Misbehaved, Misbehaved),
    (302, OutcomeUnknown, OutcomeUnknown, Misbehaved, Misbehaved),
    (304, OutcomeUnknown, OutcomeUnknown, Misbehaved, Misbehaved),
    (307, OutcomeUnknown, OutcomeUnknown, Misbehaved, Misbehaved),
    (400, Refused, Misbehaved, Refused, Misbehaved),
    (401, KeyRefused, Misbehaved, KeyRefused, Misbehaved),
    (402, Misbehaved, Misbehaved, Misbehaved, Misbehaved),
    (403, KeyRefused, Misbehaved, KeyRefused, Misbehaved),
    (404, Gone, Misbehaved, Gone, Misbehaved),
    (405, Misbehaved, Misbehaved, Misbehaved, Misbehaved),
    (407, Misbehaved, Misbehaved, Misbehaved, Misbehaved),
    (408, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown),
    (409, Misbehaved, Misbehaved, Misbehaved, Misbehaved),
    (413, Refused, Misbehaved, Refused, Misbehaved),
    (422, Refused, Misbehaved, Refused, Misbehaved),
    (429, Throttled, Throttled, Throttled, Throttled),
    (500, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown),
    (502, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown),
    (503, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown),
    (504, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown),
    (599, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown, OutcomeUnknown),
    (777, OutcomeUnknown, OutcomeUnknown, Misbehaved, Misbehaved),
]


@pytest.mark.parametrize("line", STATUSES, ids=lambda line: str(line[0]))
def test_a_status_means_what_its_line_says(line: tuple[int, *tuple[type[ProviderError], ...]]) -> None:
    status, *expected = line
    location = "Location: http://127.0.0.1:1/"

    async def work() -> list[ProviderError]:
        found = []
        for read in (False, True):
            for said in (json_answer(status, OWN, location), answer(status, PAGE, location)):
                async with RawServer(says(said)) as server:
                    found.append(await outcome(server.url, read=read))
                    assert len(server.requests) == 1, "each call is one request"
        return found

    errors = run(work())
    assert [type(error) for error in errors] == expected
    assert [error.http_status for error in errors] == [status] * 4
    if status != 304:
        assert errors[1].evidence == PAGE.decode()


def test_every_line_of_the_status_tables_is_tried() -> None:
    for outcomes in (LAUNCH, READ):
        for status in range(100, 1_000):
            outcomes.of_status(status, is_own_shape=False)
        for rule in outcomes.statuses:
            assert any(rule.first <= line[0] <= rule.last for line in STATUSES)


@pytest.mark.parametrize(
    "body",
    [b"", b"ok", b"[]", b"null", b'{"a":1,"a":2}', b'{"x":NaN}', b"[" * 10_000, b"\xff\xfe", b'{"execution_id":""}'],
)
def test_a_2xx_of_a_wrong_shape_puts_a_launch_in_doubt_and_a_look_off(body: bytes) -> None:
    async def work() -> None:
        async with RawServer(says(answer(200, body))) as server:
            assert type(await outcome(server.url)) is OutcomeUnknown
            assert type(await outcome(server.url, read=True)) is Misbehaved

    run(work())


def test_an_answer_larger_than_the_cap_is_cut_and_not_believed() -> None:
    body = b'{"execution_id":"e","status":"initial","x":"' + b"y" * 1_100_000 + b'"}'

    async def work() -> None:
        async with RawServer(says(answer(200, body))) as server:
            error = await outcome(server.url)
            assert type(error) is OutcomeUnknown
            assert len((error.evidence or "").encode()) <= 2_000
            assert type(await outcome(server.url, read=True)) is Misbehaved

    run(work())


def test_a_503_carries_how_long_to_wait() -> None:
    async def work() -> None:
        async with RawServer(says(answer(503, b"away", "Retry-After: 17"))) as server:
            assert (await outcome(server.url)).retry_after_s == 17
            assert (await outcome(server.url, read=True)).retry_after_s == 17

    run(work())


def test_a_429_carries_how_long_to_wait_by_the_answers_own_clock() -> None:
    headers = ("Date: Wed, 21 Oct 2015 07:28:00 GMT", "Retry-After: Wed, 21 Oct 2015 07:28:40 GMT")

    async def work() -> None:
        async with RawServer(says(json_answer(429, {"error": "slow down"}, *headers))) as server:
            error = await outcome(server.url)
            assert isinstance(error, Throttled)
            assert error.retry_after_s == 40

    run(work())
