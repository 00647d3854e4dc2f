"""One request to a remote API: bounded in time and size, never retried, and what came of it.

Looks share a few kept connections per base URL and key; a launch gets a connection of its own, because on a kept
one a reset may mean either "closed before you wrote" or "closed after I read", and nobody can tell which.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import httpcore
import httpx

from orchestrator import __version__
from orchestrator.errors import NotSent, ProviderError
from orchestrator.faultpoints import Point, reach
from orchestrator.providers.http11 import Witness
from orchestrator.providers.outcomes import LAUNCH, READ, Outcomes
from orchestrator.providers.transport import CheckedTransport, shared_ssl_context
from orchestrator.runtime import since_boot_s, transaction_open

USER_AGENT = f"orchestrator/{__version__}"
ANSWER_CAP_BYTES = 1024 * 1024
WAVE_ANSWER_CAP_BYTES = 4 * 1024 * 1024

_IDLE_S = 60.0
_LOOK_CONNECTIONS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long each part of a call may take, in seconds.

    Args:
        slowest_upload_bytes_per_s: a large body gets that much more time, for a wave that is given up half
            written puts all of its items in doubt.
    """

    connect_s: float = 5.0
    read_s: float = 30.0
    write_s: float = 10.0
    pool_s: float = 5.0
    slowest_upload_bytes_per_s: float = 100_000.0

    def for_launch(self, *, body_bytes: int, read_s: float) -> Timeouts:
        """Return these limits, stretched for a body of that size and an answer that takes that long."""
        return replace(self, read_s=read_s, write_s=self.write_s + body_bytes / self.slowest_upload_bytes_per_s)

    def as_extension(self) -> dict[str, float]:
        return {"connect": self.connect_s, "read": self.read_s, "write": self.write_s, "pool": self.pool_s}

    @property
    def whole_s(self) -> float:
        """The limit of the whole call. Without it an answer of one byte every 29 s would never end."""
        return self.connect_s + self.read_s + self.write_s + self.pool_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. Neither its headers nor its body show in a repr."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    cap_bytes: int = ANSWER_CAP_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. `was_cut` when the body is not whole: larger than we read, or broken off after a no."""

    status: int
    headers: httpx.Headers
    body: bytes
    was_cut: bool = False


@dataclass(slots=True)
class _Line:
    """The kept connections to one base URL with one key. `users` keeps it from being closed under a call.

    Whoever finds no free connection waits at the gate, in turn: the client's own queue is searched from its start with
    every request that comes or goes, which costs most of the time where many wait.
    """

    transport: CheckedTransport
    gate: asyncio.Semaphore
    users: int = 0
    used_at: float = 0.0


class ApiClient:
    """Sends calls.

    Args:
        allow_private_networks: also call http URLs and addresses that are not on the public internet.
        monotonic: the clock that `send_by` is read on.
        network: makes the connections; None: the system's own sockets.
    """

    def __init__(
        self,
        *,
        timeouts: Timeouts | None = None,
        allow_private_networks: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        max_look_connections: int = _LOOK_CONNECTIONS,
        monotonic: Callable[[], float] = since_boot_s,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self.timeouts = timeouts or Timeouts()
        self._network = network
        self._allow_private_networks = allow_private_networks
        self._ssl_context = ssl_context
        self._max_look_connections = max_look_connections
        self._monotonic = monotonic
        self._lines: OrderedDict[tuple[str, str], _Line] = OrderedDict()

    async def read(self, call: Call, *, line: tuple[str, str]) -> Answer:
        """Send a call that changes nothing.

        Args:
            line: whose kept connections to use: base URL and key.

        Raises:
            ProviderError: no whole answer came; see `outcomes.READ`.
        """
        async with self._kept(line) as kept, self._through(kept.gate):
            return await self._exchange(kept.transport, call, READ, self.timeouts, _Witness(None, self._monotonic))

    async def send(self, call: Call, *, send_by: float, read_s: float | None = None) -> Answer:
        """Send a call that starts something: once, on a fresh connection, not after `send_by`.

        Raises:
            NotSent: nothing was written, for sure.
            OutcomeUnknown: it may have been done.
        """
        witness = _Witness(send_by, self._monotonic)
        witness.check()
        timeouts = self.timeouts.for_launch(
            body_bytes=len(call.body or b""), read_s=self.timeouts.read_s if read_s is None else read_s
        )
        transport = self._transport(max_keepalive=0)
        try:
            return await self._exchange(transport, call, LAUNCH, timeouts, witness)
        finally:
            await transport.aclose()

    async def aclose(self) -> None:
        """Close what is kept. Calls under way fail."""
        while self._lines:
            _, line = self._lines.popitem()
            await line.transport.aclose()

    async def _exchange(
        self, transport: CheckedTransport, call: Call, outcomes: Outcomes, timeouts: Timeouts, witness: _Witness
    ) -> Answer:
        assert not transaction_open.get(), "no call goes out while a database transaction is open"
        request = self._request(call, timeouts, witness)
        failure: Exception
        response: httpx.Response | None = None
        try:
            async with asyncio.timeout(timeouts.whole_s):
                response = await transport.handle_async_request(request)
                try:
                    return await _answer(response, cap_bytes=call.cap_bytes)
                finally:
                    await response.aclose()
        except (httpx.RequestError, OSError) as error:
            failure = error  # an OSError: our own limit on the whole call, or TLS that broke after its handshake
        if response is not None and not 200 <= response.status_code <= 299:
            # The status has said it, and the table knows what it means without a body: a no that is cut is still a no.
            return Answer(status=response.status_code, headers=response.headers, body=b"", was_cut=True)
        # Raised outside the handler: the client's own exception holds the request, and the request holds the key.
        raise failed(failure, outcomes, was_written=witness.was_written)

    def _request(self, call: Call, timeouts: Timeouts, witness: _Witness) -> httpx.Request:
        if not self._allow_private_networks and not call.url.startswith("https://"):
            raise NotSent("only https is called", code="address_refused")
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"}
        extensions = {"timeout": timeouts.as_extension(), "witness": witness}
        try:
            return httpx.Request(
                call.method, call.url, headers=headers | dict(call.headers), content=call.body, extensions=extensions
            )
        except (httpx.InvalidURL, ValueError):
            raise NotSent("the connection's URL cannot be called", code="bad_url") from None

    @asynccontextmanager
    async def _kept(self, key: tuple[str, str]) -> AsyncIterator[_Line]:
        line = self._lines.get(key)
        if line is None:
            most = self._max_look_connections
            transport = self._transport(max_keepalive=most)
            line = self._lines[key] = _Line(transport, asyncio.Semaphore(most))
        self._lines.move_to_end(key)
        line.users += 1
        try:
            await self._close_idle()
            yield line
        finally:
            line.users -= 1
            line.used_at = self._monotonic()

    @asynccontextmanager
    async def _through(self, gate: asyncio.Semaphore) -> AsyncIterator[None]:
        """Wait for a free connection, but not for long."""
        try:
            async with asyncio.timeout(self.timeouts.pool_s):
                await gate.acquire()
        except TimeoutError:
            raise failed(httpx.PoolTimeout(""), READ, was_written=False) from None
        try:
            yield
        finally:
            gate.release()

    async def _close_idle(self) -> None:
        """Close at most two lines that nobody used for a minute: the oldest stand first."""
        for key in list(self._lines)[:2]:
            line = self._lines[key]
            if line.users == 0 and self._monotonic() - line.used_at > _IDLE_S:
                del self._lines[key]
                await line.transport.aclose()

    def _transport(self, *, max_keepalive: int) -> CheckedTransport:
        return CheckedTransport(
            ssl_context=self._ssl_context or shared_ssl_context(),
            allow_private_networks=self._allow_private_networks,
            max_keepalive=max_keepalive,
            network=self._network,
        )


class _Witness(Witness):
    """Sees when a request's first byte is about to be written, and forbids it when it is too late."""

    def __init__(self, send_by: float | None, monotonic: Callable[[], float]) -> None:
        self._send_by = send_by
        self._monotonic = monotonic
        self.was_written = False

    async def before_writing(self) -> None:
        if self._send_by is not None:
            await reach(Point.LAUNCH_CONNECTED)
        self.check()
        self.was_written = True

    async def before_reading(self) -> None:
        if self._send_by is not None:
            await reach(Point.LAUNCH_SENT)

    def check(self) -> None:
        if self._send_by is not None and self._monotonic() > self._send_by:
            raise NotSent("too late to send: the launch's deadline passed before a byte was written", code="too_late")


def failed(failure: Exception, outcomes: Outcomes, *, was_written: bool) -> ProviderError:
    """Return the error that a client's exception means."""
    meaning = outcomes.of_failure(failure, was_written=was_written)
    return meaning(f"{outcomes.said(failure)} ({type(failure).__name__})")


async def _answer(response: httpx.Response, *, cap_bytes: int) -> Answer:
    body, was_cut = await read_up_to(response, cap_bytes)
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("gzip", "deflate") and not was_cut:
        # We asked for identity, but a lost answer to a launch is dear: so it is read all the same, still capped.
        body, was_cut = _inflate(body, cap_bytes)
    return Answer(status=response.status_code, headers=response.headers, body=body, was_cut=was_cut)


async def read_up_to(response: httpx.Response, cap_bytes: int) -> tuple[bytes, bool]:
    """Return the body's first bytes, and whether there was more."""
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_raw():
        parts.append(part)
        size += len(part)
        if size > cap_bytes:
            return b"".join(parts)[:cap_bytes], True
    return b"".join(parts), False


def _inflate(body: bytes, cap_bytes: int) -> tuple[bytes, bool]:
    inflater = zlib.decompressobj(wbits=47)  # 47: gzip or zlib, whichever it turns out to be
    try:
        plain = inflater.decompress(body, cap_bytes)
    except zlib.error:
        return body, False  # not what it says; its shape will be found wrong
    return plain, bool(inflater.unconsumed_tail)
