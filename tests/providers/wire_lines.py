"""What can happen on the wire instead of a good answer, each done by a real socket, and what it means for each call.

`docs/outcomes.md` prints this table; `test_outcomes.py` makes every line happen to every kind of call.
"""

from __future__ import annotations

import asyncio
import datetime
import gzip
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import Gone, Misbehaved, NotSent, OutcomeUnknown, ProviderError, Refused, Throttled
from orchestrator.providers.http import Timeouts
from tests.providers.raw_server import Behaviour, Connection, RawServer, answer, certificate, closed_port, says

Meaning = type[ProviderError]

SHORT = Timeouts(connect_s=0.5, read_s=0.15, write_s=0.1, pool_s=0.05, slowest_upload_bytes_per_s=1e9)
PATIENT = Timeouts(read_s=5, write_s=5)


@dataclass(frozen=True, slots=True)
class Site:
    """Where to call, and whose certificates to trust."""

    url: str
    ssl_context: ssl.SSLContext | None = None


Place = Callable[[], AbstractAsyncContextManager[Site]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WireLine:
    """One thing that happens.

    Args:
        said: the exception that the client makes of it, empty where it is one or the other.
        body_bytes: how large the request is: some things happen only to a large one.
        file: what it means for a result file; None where it cannot happen to one.
    """

    name: str
    place: Place
    said: str
    launch: Meaning
    look: Meaning
    file: Meaning | None
    body_bytes: int = 20

    @property
    def timeouts(self) -> Timeouts:
        """Short where time is what runs out, generous elsewhere: a busy machine must not turn one line into another."""
        return SHORT if "Timeout" in self.said or "drips" in self.name else PATIENT


@asynccontextmanager
async def no_such_name() -> AsyncIterator[Site]:
    yield Site("http://nothing.invalid")


@asynccontextmanager
async def refused() -> AsyncIterator[Site]:
    yield Site(f"http://127.0.0.1:{closed_port()}")


@asynccontextmanager
async def full_backlog() -> AsyncIterator[Site]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield Site(f"http://127.0.0.1:{listener.getsockname()[1]}")
        for sock in waiting:
            sock.close()


def tls(behave: Behaviour, *, name: str = "localhost", is_trusted: bool = True, ended_days_ago: int = -1) -> Place:
    """Serve over TLS with a certificate for a name, trusted or not, valid until so many days ago."""

    @asynccontextmanager
    async def place() -> AsyncIterator[Site]:
        until = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=ended_days_ago)
        with tempfile.TemporaryDirectory() as folder:
            server, client = certificate(Path(folder), name, until=until)
        async with RawServer(behave, ssl_context=server) as running:
            yield Site(running.url.replace("127.0.0.1", "localhost"), client if is_trusted else None)

    return place


def at(behave: Behaviour, *, scheme: str = "http") -> Place:
    """Serve in plain text, whatever the URL claims."""

    @asynccontextmanager
    async def place() -> AsyncIterator[Site]:
        async with RawServer(behave) as server:
            yield Site(server.url.replace("http:", f"{scheme}:"))

    return place


@asynccontextmanager
async def not_our_protocol() -> AsyncIterator[Site]:
    yield Site("ftp://127.0.0.1")


async def _talk_plainly(connection: Connection) -> None:
    await connection.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def _reset_at_once(connection: Connection) -> None:
    connection.reset()


async def _reset_after_request(connection: Connection) -> None:
    await connection.request()
    connection.reset()


async def _reset_amid_request(connection: Connection) -> None:
    await connection.reader.read(1_000)
    connection.reset()


async def _hang_after_request(connection: Connection) -> None:
    await connection.request()
    await connection.hang()


def _says_and(then: Callable[[Connection], Awaitable[None]], data: bytes) -> Behaviour:
    """Send some bytes, give them time to arrive (a reset overtakes them), then go on otherwise."""

    async def behave(connection: Connection) -> None:
        await connection.request()
        await connection.say(data)
        await asyncio.sleep(0.05)
        await then(connection)

    return behave


async def _never_read(connection: Connection) -> None:
    connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await connection.hang()


async def _close_at_once(connection: Connection) -> None:
    connection.writer.close()


async def _close_after_request(connection: Connection) -> None:
    await connection.request()


async def _break_tls(connection: Connection) -> None:
    """Write beneath TLS what is no TLS record: as a box on the way does that loses its state."""
    await connection.request()
    beneath: socket.socket = connection.writer.get_extra_info("socket")
    socket.socket.send(socket.fromfd(beneath.fileno(), beneath.family, beneath.type), b"not a TLS record at all")
    await connection.hang()


def _keep_dripping(first: bytes, drop: bytes) -> Behaviour:
    async def behave(connection: Connection) -> None:
        await connection.request()
        await connection.say(first)
        while True:
            await connection.say(drop)
            await asyncio.sleep(0.05)

    return behave


OK = b'{"execution_id":"e-1","id":"e","status":"initial"}'
BOMB = gzip.compress(OK[:-1] + b',"x":"' + b"0" * 8_000_000 + b'"}')
CUT = answer(200, OK[:10], length=500)
NOT_OPENED = {"launch": NotSent, "look": NotSent, "file": NotSent}
NOT_KNOWN = {"launch": OutcomeUnknown, "look": OutcomeUnknown, "file": OutcomeUnknown}
NO = b'{"error":"no, because of a reason"}'
CUT_NO = {status: answer(status, NO[:10], length=500) for status in (400, 401, 404, 408, 429, 503)}
FOREIGN_NO = {"launch": Misbehaved, "look": Misbehaved}
TURNED_AWAY = {"launch": Throttled, "look": Throttled, "file": Throttled}
WRONG_SHAPE = {"launch": OutcomeUnknown, "look": Misbehaved, "file": None}


def _line(name: str, place: Place, said: str, means: dict[str, Meaning | None], body_bytes: int = 20) -> WireLine:
    launch, look = means["launch"], means["look"]
    assert launch is not None, "each line is about launches"
    assert look is not None, "and about looks"
    return WireLine(
        name=name, place=place, said=said, launch=launch, look=look, file=means["file"], body_bytes=body_bytes
    )


LARGE = 16_000_000

LINES = (
    _line("the name does not resolve", no_such_name, "ConnectError", {**NOT_OPENED}),
    _line("the connection is refused", refused, "ConnectError", {**NOT_OPENED}),
    _line("no connection in time (nobody accepts)", full_backlog, "ConnectTimeout", {**NOT_OPENED}),
    _line("an untrusted certificate", tls(says(b""), is_trusted=False), "ConnectError", {**NOT_OPENED}),
    _line("an expired certificate", tls(says(b""), ended_days_ago=1), "ConnectError", {**NOT_OPENED}),
    _line("a certificate for another name", tls(says(b""), name="other"), "ConnectError", {**NOT_OPENED}),
    _line("plain text where TLS was to be", at(_talk_plainly, scheme="https"), "ConnectError", {**NOT_OPENED}),
    _line("closed amid the TLS handshake", at(_close_at_once, scheme="https"), "ConnectError", {**NOT_OPENED}),
    _line("reset amid the TLS handshake", at(_reset_at_once, scheme="https"), "ConnectError", {**NOT_OPENED}),
    _line("the TLS handshake hangs", at(Connection.hang, scheme="https"), "ConnectTimeout", {**NOT_OPENED}),
    # A file's URL is checked before, by `addresses.py`.
    _line("a URL that is not http", not_our_protocol, "UnsupportedProtocol", {**NOT_OPENED, "file": None}),
    _line("reset before a byte was read", at(_reset_at_once), "", {**NOT_KNOWN}),
    _line("closed before a byte was read", at(_close_at_once), "", {**NOT_KNOWN}),
    _line("reset amid the request", at(_reset_amid_request), "", {**NOT_KNOWN, "file": None}, LARGE),
    _line("the request is never read", at(_never_read), "WriteTimeout", {**NOT_KNOWN, "file": None}, LARGE),
    _line("no answer in time", at(_hang_after_request), "ReadTimeout", {**NOT_KNOWN}),
    _line("reset after the request was read", at(_reset_after_request), "ReadError", {**NOT_KNOWN}),
    _line("closed without an answer", at(_close_after_request), "RemoteProtocolError", {**NOT_KNOWN}),
    _line("TLS breaks after the request", tls(_break_tls), "SSLError", {**NOT_KNOWN}),
    _line("the answer's head is cut", at(says(b"HTTP/1.1 200 OK\r\nConte")), "RemoteProtocolError", {**NOT_KNOWN}),
    _line("the answer's body is cut", at(says(CUT)), "RemoteProtocolError", {**NOT_KNOWN}),
    _line(
        "a chunk of the body is broken",
        at(says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}")),
        "RemoteProtocolError",
        {**NOT_KNOWN},
    ),
    _line("something that is not HTTP", at(says(b"\x00\xff nonsense\r\n\r\n")), "RemoteProtocolError", {**NOT_KNOWN}),
    _line("the status 000", at(says(b"HTTP/1.1 000 X\r\n\r\n")), "RemoteProtocolError", {**NOT_KNOWN}),
    _line(
        "two lengths that differ", at(says(answer(200, OK, "Content-Length: 1"))), "RemoteProtocolError", {**NOT_KNOWN}
    ),
    _line(
        "a head of 200 kB", at(says(answer(200, OK, f"X-Noise: {'x' * 200_000}"))), "RemoteProtocolError", {**NOT_KNOWN}
    ),
    _line(
        "100 Continue for ever",
        at(_keep_dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n")),
        "TimeoutError",
        {**NOT_KNOWN},
    ),
    _line("a head that drips", at(_keep_dripping(b"HTTP/1.1 200 OK\r\nX: ", b"x")), "TimeoutError", {**NOT_KNOWN}),
    _line("a body that drips", at(_keep_dripping(answer(200, b"", length=100_000), b" ")), "", {**NOT_KNOWN}),
    _line(
        "101, another protocol",
        at(says(b"HTTP/1.1 101 X\r\nUpgrade: x\r\n\r\n")),
        "RemoteProtocolError",
        {**NOT_KNOWN},
    ),
    _line("a gzip bomb", at(says(answer(200, BOMB, "Content-Encoding: gzip"))), "", {**WRONG_SHAPE}),
    _line("a 400 whose body is cut", at(says(CUT_NO[400])), "", {**FOREIGN_NO, "file": Refused}),
    _line("a 401 whose body is cut", at(says(CUT_NO[401])), "", {**FOREIGN_NO, "file": Refused}),
    _line("a 404, then a reset", at(_says_and(_reset_at_once, CUT_NO[404])), "", {**FOREIGN_NO, "file": Gone}),
    _line("a 408 whose body is cut", at(says(CUT_NO[408])), "", {**NOT_KNOWN}),
    _line("a 429 whose body is cut", at(says(CUT_NO[429])), "", {**TURNED_AWAY}),
    _line("a 429, then a reset", at(_says_and(_reset_at_once, CUT_NO[429])), "", {**TURNED_AWAY}),
    _line(
        "a 429 whose body drips",
        at(_keep_dripping(answer(429, b"", length=100_000), b" ")),
        "",
        {**TURNED_AWAY},
    ),
    _line("a 503 whose body is cut", at(says(CUT_NO[503])), "", {**NOT_KNOWN}),
    _line("an answer larger than the cap", at(says(answer(200, OK + b" " * 1_100_000))), "", {**WRONG_SHAPE}),
)
