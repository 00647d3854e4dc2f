"""One connection that speaks HTTP/1.1: a request, its answer, and whether another may follow.

What came is read by `answer_reader.py`, what goes out is bytes: a head and a body, never chunked.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto

import httpcore
import httpx

from orchestrator.providers.answer_reader import AnswerReader

_READ_BYTES = 64 * 1024

Ended = Callable[[], Awaitable[None]]

#: What may stand in a request's line and in its headers: nothing that ends them.
_TARGET = re.compile(rb"[\x21-\x7e]+")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[^\x00\r\n]*")

_MEANINGS: dict[type[Exception], type[httpx.TransportError]] = {
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ReadError: httpx.ReadError,
    httpcore.WriteError: httpx.WriteError,
}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection leads."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: httpx.URL) -> Origin:
        """Return where a URL's requests go.

        Raises:
            httpx.UnsupportedProtocol: it is neither http nor https.
        """
        if url.scheme not in ("http", "https"):
            raise httpx.UnsupportedProtocol("the URL is neither http nor https")
        host = url.raw_host.decode("ascii")
        return cls(url.scheme, host, url.port or (443 if url.scheme == "https" else 80))


class Witness:
    """Is told of a request's steps just before each; what is raised here ends the call before the step."""

    async def before_writing(self) -> None:
        """The connection stands, and the first byte is about to be written."""

    async def before_reading(self) -> None:
        """All is written, and the answer is about to be waited for."""


_NOBODY = Witness()


async def _nothing() -> None:
    """Nobody waits for the connection."""


class _State(Enum):
    NEW = auto()
    BUSY = auto()
    IDLE = auto()
    CLOSED = auto()


class HttpConnection:
    """A connection to an origin; it opens itself with its first request. One request at a time.

    Args:
        keepalive_s: idle for longer, it takes no request any more.
    """

    def __init__(
        self,
        origin: Origin,
        *,
        ssl_context: ssl.SSLContext,
        network: httpcore.AsyncNetworkBackend,
        keepalive_s: float,
    ) -> None:
        self.origin = origin
        self._ssl_context = ssl_context
        self._network = network
        self._keepalive_s = keepalive_s
        self._stream: httpcore.AsyncNetworkStream | None = None
        self._state = _State.NEW
        self._idle_since = 0.0

    @property
    def is_kept(self) -> bool:
        """Its last answer was read to its end, and nothing stands against another request."""
        return self._state is _State.IDLE

    def can_take(self, origin: Origin) -> bool:
        """Tell whether a kept connection may take a request: not one that the host has closed or speaks on unasked."""
        if not self.is_kept or origin != self.origin or self._stream is None:
            return False
        idle_s = asyncio.get_running_loop().time() - self._idle_since
        return idle_s <= self._keepalive_s and not self._stream.get_extra_info("is_readable")

    async def exchange(self, request: httpx.Request, *, ended: Ended = _nothing) -> httpx.Response:
        """Send a request; return its answer's head, whose body is still to be read.

        Args:
            request: its `extensions` hold `timeout`, as httpx has it, and may hold a `witness`.
            ended: called when the answer was read, or is read no further.

        Raises:
            httpx.TransportError, ssl.SSLError: by the moment at which it failed, as httpx's own transport.
        """
        head, timeouts = _head_of(request), request.extensions["timeout"]
        witness: Witness = request.extensions.get("witness", _NOBODY)
        stream = self._stream
        self._state = _State.BUSY
        try:
            with _said():
                if stream is None:
                    stream = self._stream = await self._connect(timeouts["connect"])
                await witness.before_writing()
                await _send(stream, head, request, timeouts["write"])
                await witness.before_reading()
                answer = AnswerReader()
                while not answer.is_headed:
                    answer.feed(await stream.read(_READ_BYTES, timeouts["read"]))
        except BaseException:
            await self.aclose()
            raise
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(self, stream, answer, timeouts["read"], ended),
            extensions={"network_stream": stream},
        )

    async def aclose(self) -> None:
        """Close; a request that is under way fails."""
        self._state = _State.CLOSED
        if self._stream is not None:
            await self._stream.aclose()

    async def free(self, answer: AnswerReader) -> None:
        """Note that an answer is read no further: the connection is kept, or closed."""
        if self._state is not _State.BUSY:
            return
        if answer.leaves_connection:
            self._state = _State.IDLE
            self._idle_since = asyncio.get_running_loop().time()
        else:
            await self.aclose()

    async def _connect(self, timeout_s: float) -> httpcore.AsyncNetworkStream:
        stream = await self._network.connect_tcp(self.origin.host, self.origin.port, timeout=timeout_s)
        if self.origin.scheme == "https":
            stream = await stream.start_tls(self._ssl_context, server_hostname=self.origin.host, timeout=timeout_s)
        return stream


class _Body(httpx.AsyncByteStream):
    """An answer's body, read from its connection as it comes. The connection is free when it is closed, or breaks."""

    def __init__(
        self,
        connection: HttpConnection,
        stream: httpcore.AsyncNetworkStream,
        answer: AnswerReader,
        read_s: float,
        ended: Ended,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._answer = answer
        self._read_s = read_s
        self._ended = ended
        self._is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        answer = self._answer
        try:
            while True:
                parts, answer.parts = answer.parts, []
                for part in parts:
                    yield part
                if answer.is_whole:
                    return
                with _said():
                    answer.feed(await self._stream.read(_READ_BYTES, self._read_s))
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        try:
            await self._connection.free(self._answer)
        finally:
            await self._ended()


@contextmanager
def _said() -> Iterator[None]:
    """Raise what the network says in httpx's words."""
    try:
        yield
    except tuple(_MEANINGS) as error:
        raise _MEANINGS[type(error)](str(error)) from None


async def _send(stream: httpcore.AsyncNetworkStream, head: bytes, request: httpx.Request, write_s: float) -> None:
    """Write a request. One that breaks is read on: an answer may stand there that says why."""
    try:
        await stream.write(head, write_s)
        if request.content:
            await stream.write(request.content, write_s)
    except httpcore.WriteError:
        pass


def _head_of(request: httpx.Request) -> bytes:
    """Return the request's line and headers.

    Raises:
        httpx.LocalProtocolError: one of them holds what would end it.
    """
    target = request.url.raw_path
    if not _TARGET.fullmatch(target):
        raise httpx.LocalProtocolError("the URL holds what no request line may hold")
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), target)]
    for name, value in request.headers.raw:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise httpx.LocalProtocolError("a header holds what no header may hold")
        lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join(lines) + b"\r\n\r\n"
