"""Result files, read from hosts that a provider names and that we do not trust.

Nothing of ours goes along: no key, no cookie, no referrer. The bytes are taken as they are served, encoded or not,
because a hash is only worth something over what really came.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import httpcore
import httpx

from orchestrator.domain.answers import FileAnswer
from orchestrator.errors import BadInput, Misbehaved, NotSent, OutcomeUnknown, ProviderError
from orchestrator.providers.addresses import parse_url
from orchestrator.providers.evidence import evidence
from orchestrator.providers.http import USER_AGENT, Timeouts, failed, read_up_to
from orchestrator.providers.inline import inline_body
from orchestrator.providers.outcomes import FILE
from orchestrator.providers.retry_after import retry_after_s
from orchestrator.providers.tally import TalliedStream
from orchestrator.providers.transport import CheckedTransport, shared_ssl_context
from orchestrator.runtime import transaction_open

MAX_FILE_BYTES = 1024**3
_ERROR_BODY_BYTES = 16_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How slow a host may be before we give up on it. Only waiting for the host counts, not our own disk."""

    min_bytes_per_s: float = 1_000.0
    window_s: float = 30.0
    whole_s: float = 3_600.0


class HttpFileFetcher:
    """Fetches files over https from public addresses; with `allow_private_networks` over http and from any."""

    def __init__(
        self,
        *,
        allow_private_networks: bool = False,
        max_bytes: int = MAX_FILE_BYTES,
        timeouts: Timeouts | None = None,
        pace: Pace | None = None,
        ssl_context: ssl.SSLContext | None = None,
        utc_now: Callable[[], datetime] = lambda: datetime.now(UTC),
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._network = network
        self._allow_private_networks = allow_private_networks
        self._max_bytes = max_bytes
        self._timeouts = timeouts or Timeouts()
        self._pace = pace or Pace()
        self._ssl_context = ssl_context
        self._utc_now = utc_now

    @asynccontextmanager
    async def fetch(self, url: str) -> AsyncIterator[FileAnswer]:
        """Open the file; read `chunks` to the end to know that it is whole, as far as the answer frames it.

        Raises:
            NotSent: could not reach the host, or the address is one we never call.
            Refused, Gone: the URL is expired, refused or unknown: ask the provider for a fresh one.
            Throttled: too many at once.
            Misbehaved: redirected, longer than it said, or larger than we take.
            OutcomeUnknown: cut, reset, or silent half way: read again.
        """
        assert not transaction_open.get(), "no call goes out while a database transaction is open"
        inline = inline_body(url)
        if inline is not None:
            yield FileAnswer(length_bytes=len(inline), chunks=_once(inline))
            return
        request = self._request(url)
        # A connection of its own for each file: on a kept one, surplus bytes of one answer would open the next.
        transport = CheckedTransport(
            ssl_context=self._ssl_context or shared_ssl_context(),
            allow_private_networks=self._allow_private_networks,
            max_keepalive=0,
            wrap=TalliedStream,
            network=self._network,
        )
        try:
            response = await self._open(transport, request)
            try:
                length_bytes = await self._accept(response)
                async with aclosing(self._chunks(response, length_bytes)) as chunks:
                    is_framed = length_bytes is not None or "transfer-encoding" in response.headers
                    yield FileAnswer(length_bytes=length_bytes, chunks=chunks, is_framed=is_framed)
            finally:
                await response.aclose()
        finally:
            await transport.aclose()

    async def aclose(self) -> None:
        """Nothing is kept between two files."""

    def _request(self, url: str) -> httpx.Request:
        try:
            parsed = parse_url(url, allow_private_networks=self._allow_private_networks)
        except BadInput as flaw:
            raise NotSent(f"the file's URL is one we never call: {flaw.message}", code="address_refused") from None
        headers = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}
        # What follows a `#` is for the reader of a page, never for its host.
        return httpx.Request(
            "GET",
            parsed.copy_with(fragment=None),
            headers=headers,
            extensions={"timeout": self._timeouts.as_extension()},
        )

    async def _open(self, transport: CheckedTransport, request: httpx.Request) -> httpx.Response:
        failure: Exception
        try:
            async with asyncio.timeout(self._timeouts.whole_s):
                return await transport.handle_async_request(request)
        except (httpx.RequestError, OSError) as error:
            failure = error
        # Outside the handler, for the client's own exception holds the URL.
        raise _failed(failure)

    async def _accept(self, response: httpx.Response) -> int | None:
        """Return the length that the host announced, or raise what its answer means instead of a file."""
        if response.status_code != 200:
            raise await self._no(response)
        length_bytes = _announced_length(response.headers)
        if length_bytes is not None and length_bytes > self._max_bytes:
            raise Misbehaved(
                f"the file is larger than {self._max_bytes:,} bytes", code="file_too_large", http_status=200
            )
        return length_bytes

    async def _no(self, response: httpx.Response) -> ProviderError:
        body, is_cut = b"", False
        try:
            async with asyncio.timeout(self._timeouts.read_s):
                body, is_cut = await read_up_to(response, _ERROR_BODY_BYTES)
        except (httpx.RequestError, OSError):
            pass  # the status already says it; its body is only evidence
        headers = response.headers
        meaning = FILE.of_status(response.status_code, is_own_shape=False)
        return meaning(
            f"the file's host answered {response.status_code}",
            http_status=response.status_code,
            evidence=evidence(body, is_cut=is_cut),
            retry_after_s=retry_after_s(headers.get("retry-after"), date=headers.get("date"), now=self._utc_now()),
        )

    async def _chunks(self, response: httpx.Response, length_bytes: int | None) -> AsyncGenerator[bytes]:
        received = 0
        async with aclosing(_paced(response, self._pace)) as parts:
            async for part in parts:
                received += len(part)
                if received > self._max_bytes:
                    raise Misbehaved(f"the file is larger than {self._max_bytes:,} bytes", code="file_too_large")
                yield part
        if length_bytes is None and not received:
            raise OutcomeUnknown("the host sent an empty file without saying that it is empty", code="file_cut")
        if length_bytes is not None:
            _check_length(response, received, length_bytes)


async def _once(body: bytes) -> AsyncGenerator[bytes]:
    yield body


async def _paced(response: httpx.Response, pace: Pace) -> AsyncGenerator[bytes]:
    """Yield the body's parts, and give up on a host that only drips."""
    clock = asyncio.get_running_loop().time
    waited_s = window_s = 0.0
    window_bytes = 0
    parts = response.aiter_raw()
    while True:
        began = clock()
        failure: Exception | None = None
        try:
            part = await anext(parts, None)
        except (httpx.RequestError, OSError) as error:
            failure = error
        if failure is not None:
            raise _failed(failure)
        if part is None:
            return
        took_s = clock() - began
        waited_s, window_s, window_bytes = waited_s + took_s, window_s + took_s, window_bytes + len(part)
        if window_s >= pace.window_s:
            if window_bytes < pace.min_bytes_per_s * window_s:
                raise OutcomeUnknown("the file came too slowly", code="file_slow")
            window_s, window_bytes = 0.0, 0
        if waited_s > pace.whole_s:
            raise OutcomeUnknown("the file as a whole took too long", code="file_slow")
        yield part


def _announced_length(headers: httpx.Headers) -> int | None:
    """Return the length that counts: a chunked body ends by its own mark, whatever else the head says."""
    announced = headers.get("content-length", "")
    if "transfer-encoding" in headers or not announced.isdecimal() or len(announced) > 19:
        return None
    return int(announced)


def _check_length(response: httpx.Response, received: int, length_bytes: int) -> None:
    if received < length_bytes:
        raise OutcomeUnknown(f"cut: {received:,} of {length_bytes:,} bytes came", code="file_cut")
    stream = response.extensions["network_stream"]
    assert isinstance(stream, TalliedStream), "every connection to a file's host is tallied"
    on_the_wire = stream.received_body_bytes()
    if on_the_wire is not None and on_the_wire > length_bytes:
        raise Misbehaved(f"more bytes came than the {length_bytes:,} that the host announced", code="file_too_long")


def _failed(failure: Exception) -> ProviderError:
    """Return what a failure means. A read may be repeated, so it does not matter what was written before it."""
    error = failed(failure, FILE, was_written=isinstance(failure, TimeoutError))
    if isinstance(failure, httpx.RemoteProtocolError):
        error.code = "file_cut"
    return error
