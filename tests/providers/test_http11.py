"""One connection that speaks HTTP/1.1: what it writes, how it reads what hosts say, and when it takes another call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpx
import pytest

from orchestrator.providers.answer_reader import MAX_HEAD_BYTES, AnswerReader
from orchestrator.providers.http11 import HttpConnection, Origin
from orchestrator.providers.sockets import Sockets
from orchestrator.providers.transport import shared_ssl_context
from tests.providers.raw_server import Behaviour, Connection, RawServer, answer, keeps_saying, says

pytestmark = pytest.mark.anyio

LIMITS = {"connect": 5.0, "read": 5.0, "write": 5.0}


def asking(server: RawServer, content: bytes = b"", headers: Mapping[str, str] | None = None) -> httpx.Request:
    method = "POST" if content else "GET"
    return httpx.Request(
        method, f"{server.url}/a/b?c=d", content=content, headers=headers, extensions={"timeout": LIMITS}
    )


def connection_to(server: RawServer, *, keepalive_s: float = 15.0) -> HttpConnection:
    origin = Origin.of(httpx.URL(server.url))
    return HttpConnection(origin, ssl_context=shared_ssl_context(), network=Sockets(), keepalive_s=keepalive_s)


async def said(behave: Behaviour) -> tuple[httpx.Response, bytes, HttpConnection, RawServer]:
    async with RawServer(behave) as server:
        connection = connection_to(server)
        try:
            response = await connection.exchange(asking(server))
            body = b"".join([part async for part in response.aiter_raw()])
        finally:
            kept = connection.is_kept
            await connection.aclose()
        assert not kept or response.status_code, "kept once its answer was read"
        return response, body, connection, server


async def test_a_request_is_its_line_its_headers_and_its_body() -> None:
    async with RawServer(says(answer(200, b"yes"))) as server:
        connection = connection_to(server)
        response = await connection.exchange(asking(server, b'{"a":1}', {"X-Key": "k"}))
        assert await response.aread() == b"yes"
        await connection.aclose()
    (request,) = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /a/b?c=d HTTP/1.1"
    assert {b"X-Key: k", b"Content-Length: 7", b"Host: 127.0.0.1:%d" % server.port} <= {*lines[1:]}
    assert body == b'{"a":1}'


@pytest.mark.parametrize("value", ["a\r\nX-Other: 1", "a\nb", "a\0b"])
async def test_a_header_that_would_end_its_line_is_never_sent(value: str) -> None:
    async with RawServer(says(answer(200))) as server:
        with pytest.raises(httpx.LocalProtocolError):
            await connection_to(server).exchange(asking(server, headers={"X-Key": value}))
        assert server.connections == 0


@pytest.mark.parametrize(
    ("told", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n",
            b"abcde",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
    ids=["chunks", "chunks beside a length", "no reason", "until the end", "no content"],
)
async def test_an_answer_ends_where_its_framing_says(told: bytes, body: bytes) -> None:
    assert (await said(says(told)))[1] == body


async def test_spaces_around_a_header_are_not_its_value() -> None:
    response, *_ = await said(says(answer(200, b"ab", "Retry-After:   17  ", "X-Empty:")))
    assert (response.headers["retry-after"], response.headers["x-empty"]) == ("17", "")


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nNo colon\r\n\r\n",
    ],
    ids=["nothing", "half a head", "half a body", "no last chunk", "two lengths", "no length", "no HTTP", "no header"],
)
async def test_what_is_no_whole_answer_is_an_error_of_the_host(told: bytes) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await said(says(told))


@pytest.mark.parametrize("told", [b"X: " + b"x" * 80_000 + b"\r\n", b"X: 1\r\n" * 20_000], ids=["long", "many"])
async def test_a_head_without_an_end_is_not_read_for_ever(told: bytes) -> None:
    async def floods(connection: Connection) -> None:
        await connection.request()
        await connection.say(b"HTTP/1.1 200 OK\r\n")
        for _ in range(200):
            await connection.say(told)

    with pytest.raises(httpx.RemoteProtocolError, match="too large"):
        await said(floods)


def test_interim_answers_without_an_end_are_not_read_for_ever() -> None:
    reader = AnswerReader()
    with pytest.raises(httpx.RemoteProtocolError, match="too large"):
        for _ in range(MAX_HEAD_BYTES):
            reader.feed(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")


async def test_after_its_answer_was_read_a_connection_takes_the_next_request() -> None:
    async with RawServer(keeps_saying(answer(200, b"yes"))) as server:
        connection = connection_to(server)
        for _ in range(3):
            response = await connection.exchange(asking(server))
            assert not connection.can_take(connection.origin), "its body is not read yet"
            assert await response.aread() == b"yes"
            assert connection.can_take(connection.origin)
        assert not connection.can_take(Origin("http", "127.0.0.1", 1))
        assert server.connections == 1
        await connection.aclose()
        assert not connection.can_take(connection.origin)


@pytest.mark.parametrize(
    "told",
    [
        answer(200, b"yes", "Connection: close"),
        answer(200, b"yes") + b"more",
        answer(200, b"yes") + answer(200, b"unasked"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nyes",
    ],
    ids=["closing", "with surplus bytes", "with an answer to nothing", "of HTTP 1.0"],
)
async def test_after_such_an_answer_a_connection_takes_none(told: bytes) -> None:
    async with RawServer(keeps_saying(told)) as server:
        connection = connection_to(server)
        assert await (await connection.exchange(asking(server))).aread() == b"yes"
        assert not connection.is_kept


async def test_bytes_that_come_unasked_spoil_an_idle_connection() -> None:
    speak = asyncio.Event()

    async def speaks_later(connection: Connection) -> None:
        await connection.request()
        await connection.say(answer(200, b"yes"))
        await speak.wait()
        await connection.say(answer(200, b"unasked"))
        await connection.hang()

    async with RawServer(speaks_later) as server:
        connection = connection_to(server)
        await (await connection.exchange(asking(server))).aread()
        assert connection.can_take(connection.origin)
        speak.set()
        async with asyncio.timeout(10):
            while connection.can_take(connection.origin):
                await asyncio.sleep(0.01)
        await connection.aclose()


async def test_a_connection_that_was_idle_for_too_long_takes_no_request() -> None:
    async with RawServer(keeps_saying(answer(200, b"yes"))) as server:
        connection = connection_to(server, keepalive_s=-1.0)
        await (await connection.exchange(asking(server))).aread()
        assert connection.is_kept
        assert not connection.can_take(connection.origin)
        await connection.aclose()
