"""Result files from hosts that we do not trust: what we send them, and what we believe of what they say."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from pathlib import Path

import pytest

from orchestrator.engine.ports import FileFetcher
from orchestrator.errors import Gone, Misbehaved, NotSent, OutcomeUnknown, ProviderError, Refused, Throttled
from orchestrator.providers.files import HttpFileFetcher, Pace
from orchestrator.providers.http import Timeouts
from orchestrator.providers.transport import CheckedBackend
from tests.providers.raw_server import (
    Behaviour,
    Connection,
    RawServer,
    answer,
    certificate,
    closed_port,
    run,
    says,
)

SHORT = Timeouts(connect_s=0.3, read_s=0.1, write_s=0.1, pool_s=0.1)
QUERY = "/f.json?token=CANARY"


async def fetched(url: str, **more: object) -> bytes:
    fetcher = HttpFileFetcher(allow_private_networks=True, timeouts=SHORT, **more)  # type: ignore[arg-type]
    async with fetcher.fetch(url) as answer:
        body = b"".join([chunk async for chunk in answer.chunks])
        assert answer.length_bytes in (None, len(body))
        return body


def fetch(behave: Behaviour, **more: object) -> bytes:
    async def work() -> bytes:
        async with RawServer(behave) as server:
            return await fetched(server.url + QUERY, **more)

    return run(work())


def failure(behave: Behaviour, **more: object) -> ProviderError:
    with pytest.raises(ProviderError) as error:
        fetch(behave, **more)
    assert "CANARY" not in f"{error.value.message}{error.value.evidence}"
    assert error.value.__context__ is None, "the client's exception holds the URL"
    return error.value


def test_the_adapter_fits_the_port() -> None:
    fits: FileFetcher = HttpFileFetcher()
    assert fits


def test_a_file_arrives_byte_for_byte_and_the_host_learns_nothing_of_ours() -> None:
    body = bytes(range(256)) * 4_000

    async def work() -> list[bytes]:
        async with RawServer(says(answer(200, body, "Set-Cookie: a=b; Path=/"))) as server:
            for _ in range(2):
                assert (
                    hashlib.sha256(await fetched(server.url + QUERY + "#part")).digest()
                    == hashlib.sha256(body).digest()
                )
            assert server.connections == 2
            return server.requests

    for request in run(work()):
        head = request.lower()
        assert head.startswith(b"get /f.json?token=canary http/1.1\r\n")
        assert b"accept-encoding: identity" in head
        for ours in (b"api-key", b"authorization", b"cookie", b"referer"):
            assert ours not in head


def test_encoded_bytes_are_kept_as_they_were_served() -> None:
    assert fetch(says(answer(200, b"\x1f\x8bnot really", "Content-Encoding: gzip"))) == b"\x1f\x8bnot really"


def test_a_chunked_file_is_whole_when_its_last_chunk_came() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert fetch(says(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")) == b"abcde"
    assert type(failure(says(head + b"3\r\nabc\r\n"))) is OutcomeUnknown


def test_an_empty_file_counts_only_when_the_host_said_that_it_is_empty() -> None:
    assert fetch(says(answer(200, b""))) == b""
    assert type(failure(says(b"HTTP/1.1 200 OK\r\n\r\n"))) is OutcomeUnknown
    assert type(failure(says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))) is OutcomeUnknown


def test_a_cut_file_is_never_taken_for_a_whole_one() -> None:
    error = failure(says(answer(200, b"abc", length=4)))
    assert type(error) is OutcomeUnknown
    assert error.code == "file_cut"


@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"])
def test_a_host_that_announces_too_little_is_caught(interim: bytes) -> None:
    """A host that counts characters where bytes are meant; the file would lack its end and look whole."""
    body = "ä".encode() * 10
    assert fetch(says(interim + answer(200, body))) == body
    error = failure(says(interim + answer(200, body, length=10)))
    assert type(error) is Misbehaved
    assert error.code == "file_too_long"


def test_a_file_larger_than_we_take_is_refused_by_its_announcement_or_on_the_way() -> None:
    announced = failure(says(answer(200, b"x" * 11)), max_bytes=10)
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"6\r\nabcdef\r\n" * 2 + b"0\r\n\r\n"
    for error in (announced, failure(says(chunked), max_bytes=10)):
        assert type(error) is Misbehaved
        assert error.code == "file_too_large"


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (201, Misbehaved), (204, Misbehaved), (206, Misbehaved), (301, Misbehaved), (302, Misbehaved),
        (304, Misbehaved), (400, Refused), (401, Refused), (403, Refused), (404, Gone), (408, OutcomeUnknown),
        (410, Gone), (416, Refused), (429, Throttled), (451, Refused), (500, OutcomeUnknown), (503, OutcomeUnknown),
        (700, Misbehaved),
    ],
)  # fmt: skip
def test_a_hosts_status_means_what_its_line_says(status: int, meaning: type[ProviderError]) -> None:
    page = b"<Error><Code>ExpiredToken</Code><URL>https://h/x?sig=CANARY</URL></Error>"
    error = failure(says(answer(status, page, "Location: http://127.0.0.1:1/", "Retry-After: 9")))
    assert type(error) is meaning
    assert error.http_status == status
    assert error.retry_after_s == 9
    if status not in (204, 304):
        assert "ExpiredToken" in (error.evidence or "")


async def _reset_half_way(connection: Connection) -> None:
    await connection.request()
    await connection.say(answer(200, b"x" * 1_000, length=2_000))
    await asyncio.sleep(0.01)
    connection.reset()


async def _stop_half_way(connection: Connection) -> None:
    await connection.request()
    await connection.say(answer(200, b"x" * 1_000, length=2_000))
    await connection.hang()


async def _say_nothing(connection: Connection) -> None:
    await connection.request()
    await connection.hang()


async def _drip(connection: Connection) -> None:
    await connection.request()
    await connection.say(answer(200, b"", length=100_000))
    while True:
        await connection.say(b"x")
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("behave", [_reset_half_way, _stop_half_way, _say_nothing], ids=["reset", "stopped", "silent"])
def test_a_file_that_breaks_off_is_read_again(behave: Behaviour) -> None:
    assert type(failure(behave)) is OutcomeUnknown


@pytest.mark.parametrize("pace", [Pace(window_s=0.1), Pace(window_s=9, whole_s=0.1)], ids=["slow", "endless"])
def test_a_host_that_only_drips_is_given_up(pace: Pace) -> None:
    error = failure(_drip, pace=pace)
    assert type(error) is OutcomeUnknown
    assert error.code == "file_slow"


def test_a_slow_disk_of_ours_is_not_held_against_the_host() -> None:
    async def work() -> None:
        async with RawServer(says(answer(200, b"x" * 200_000))) as server:
            fetcher = HttpFileFetcher(allow_private_networks=True, pace=Pace(window_s=0.05, min_bytes_per_s=1e6))
            async with fetcher.fetch(server.url) as file:
                async for _ in file.chunks:
                    await asyncio.sleep(0.06)

    run(work())


def test_a_host_that_cannot_be_reached_means_not_sent() -> None:
    for url in (f"http://127.0.0.1:{closed_port()}", "http://nothing.invalid"):
        with pytest.raises(NotSent):
            run(fetched(url))


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1",
        "http://script.so",
        "https://u:p@script.so",
        "https://[::1]",
        "ftp://h",
        "x",
        "https://127.1",
    ],
)
def test_a_url_that_leads_inside_is_never_called(url: str) -> None:
    async def work() -> None:
        async with HttpFileFetcher().fetch(url):
            raise AssertionError("called")

    with pytest.raises(NotSent) as error:
        run(work())
    assert error.value.code == "address_refused"


def test_a_name_that_resolves_to_a_private_address_is_never_connected() -> None:
    """What `parse_url` cannot see: the resolver's answer is checked, and it is what gets connected."""

    async def work() -> None:
        async with RawServer(says(b"")) as server:
            backend = CheckedBackend(allow_private_networks=False)
            for name in ("localhost", "127.1", "0x7f000001", "::ffff:127.0.0.1"):
                with pytest.raises(NotSent) as error:
                    await backend.connect_tcp(name, server.port, timeout=1)
                assert error.value.code == "address_refused"
            assert server.connections == 0

    run(work())


def test_one_private_address_among_public_ones_refuses_the_whole_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, ("8.8.8.8", port)), (*kind, ("10.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(NotSent) as error:
        run(CheckedBackend(allow_private_networks=False).connect_tcp("mixed.example", 443, timeout=1))
    assert error.value.code == "address_refused"


def test_a_name_is_resolved_once_and_its_next_address_is_tried_when_the_first_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second look-up could be told another address than the one that was checked."""
    asked: list[str] = []

    def resolve(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, (address, port)) for address in ("127.0.0.2", "127.0.0.1")]

    async def work() -> bytes:
        async with RawServer(says(answer(200, b"x"))) as server:
            monkeypatch.setattr(socket, "getaddrinfo", resolve)
            return await fetched(f"http://files.example:{server.port}/f")

    assert run(work()) == b"x"
    assert asked == ["files.example"]


def test_a_host_is_called_by_its_name_though_connected_by_its_address(tmp_path: Path) -> None:
    context, trusting = certificate(tmp_path, "localhost")
    asked: list[str | None] = []

    def note(sock: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        asked.append(name)

    context.sni_callback = note

    async def work() -> list[bytes]:
        async with RawServer(says(answer(200, b"x")), ssl_context=context) as server:
            url = f"https://localhost:{server.port}/f"
            assert await fetched(url, ssl_context=trusting) == b"x"
            with pytest.raises(NotSent):
                await fetched(url.replace("localhost", "127.0.0.1"), ssl_context=trusting)
            return server.requests

    (request,) = run(work())
    assert asked[0] == "localhost"
    assert b"Host: localhost:" in request


def test_a_reader_that_stops_early_leaves_no_connection_behind() -> None:
    closed: list[bool] = []

    async def behave(connection: Connection) -> None:
        await connection.request()
        await connection.say(answer(200, b"x" * 10, length=1_000_000))
        assert await connection.reader.read() == b""
        closed.append(True)

    async def work() -> None:
        async with RawServer(behave) as server:
            fetcher = HttpFileFetcher(allow_private_networks=True)
            async with fetcher.fetch(server.url) as file:
                assert await anext(file.chunks) == b"x" * 10
            while not closed:
                await asyncio.sleep(0)

    run(work())
