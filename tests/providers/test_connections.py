"""Which connections are used again, and which are not."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from orchestrator.providers.connections import Connections
from orchestrator.providers.http11 import HttpConnection
from orchestrator.providers.sockets import Sockets
from orchestrator.providers.transport import shared_ssl_context
from tests.providers.raw_server import Connection, RawServer, answer

pytestmark = pytest.mark.anyio


def connections(*, most_kept: int) -> Connections:
    return Connections(
        lambda origin: HttpConnection(origin, ssl_context=shared_ssl_context(), network=Sockets(), keepalive_s=15.0),
        most_kept=most_kept,
    )


def asking(port: int) -> httpx.Request:
    limits = {"connect": 5.0, "read": 5.0, "write": 5.0}
    return httpx.Request("GET", f"http://127.0.0.1:{port}/", extensions={"timeout": limits})


async def get(client: Connections, port: int) -> bytes:
    response = await client.exchange(asking(port))
    body = b"".join([part async for part in response.aiter_raw()])
    await response.aclose()
    return body


async def greets(connection: Connection) -> None:
    while True:
        await connection.request()
        await connection.say(answer(200, b"hello"))


async def greets_once(connection: Connection) -> None:
    await connection.request()
    await connection.say(answer(200, b"hello"))
    connection.writer.close()


async def test_one_request_after_the_other_uses_one_connection() -> None:
    async with RawServer(greets) as server:
        client = connections(most_kept=2)
        assert [await get(client, server.port) for _ in range(3)] == [b"hello"] * 3
        assert server.connections == 1
        await client.aclose()


async def test_where_none_is_kept_each_request_has_a_connection_of_its_own() -> None:
    async with RawServer(greets) as server:
        client = connections(most_kept=0)
        assert [await get(client, server.port) for _ in range(3)] == [b"hello"] * 3
        assert server.connections == 3


async def test_a_connection_that_the_server_has_closed_takes_no_request() -> None:
    async with RawServer(greets_once) as server:
        client = connections(most_kept=2)
        assert [await get(client, server.port) for _ in range(3)] == [b"hello"] * 3
        assert server.connections == 3
        await client.aclose()


async def test_a_connection_whose_answer_was_not_read_to_its_end_takes_no_request() -> None:
    async def long(connection: Connection) -> None:
        await connection.request()
        await connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100)
        await connection.hang()

    async with RawServer(long) as server:
        client = connections(most_kept=2)
        for _ in range(2):
            response = await client.exchange(asking(server.port))
            await response.aclose()
        assert server.connections == 2
        await client.aclose()


async def test_a_connection_that_broke_is_not_kept() -> None:
    async def breaks(connection: Connection) -> None:
        await connection.request()
        connection.reset()

    async with RawServer(breaks) as server:
        client = connections(most_kept=2)
        for _ in range(2):
            with pytest.raises(httpx.ReadError):
                await get(client, server.port)
        assert server.connections == 2


async def test_closing_closes_what_is_kept_and_what_is_in_use() -> None:
    ended: list[bool] = []

    async def listens(connection: Connection) -> None:
        await connection.request()
        await connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
        ended.append(await connection.reader.read() == b"")

    async with RawServer(listens) as server:
        client = connections(most_kept=2)
        await client.exchange(asking(server.port))
        await client.aclose()
        while not ended:
            await asyncio.sleep(0.01)
    assert ended == [True]
