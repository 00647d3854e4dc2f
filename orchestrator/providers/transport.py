"""httpx connections that go to checked addresses only, and one at a time to each purpose.

The transport is called directly, without httpx's client above it: so there is nothing that follows a redirect,
keeps a cookie, reads a proxy from the environment, or logs a URL.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable
from functools import cache

import httpcore
import httpx

from orchestrator.errors import NotSent
from orchestrator.providers.addresses import is_public
from orchestrator.providers.connections import Connections
from orchestrator.providers.http11 import HttpConnection, Origin
from orchestrator.providers.sockets import Sockets

MAX_ADDRESSES = 4

Wrap = Callable[[httpcore.AsyncNetworkStream], httpcore.AsyncNetworkStream]


@cache
def shared_ssl_context() -> ssl.SSLContext:
    """Return the one context of this process: loading the authorities costs tens of milliseconds."""
    context = httpx.create_ssl_context(trust_env=False)
    context.set_alpn_protocols(["http/1.1"])
    return context


class CheckedTransport(httpx.AsyncBaseTransport):
    """A transport for httpx's requests and responses, whose connections are made by `CheckedBackend`.

    Args:
        max_keepalive: connections that are kept for the next request. Whoever calls bounds how many there are.
    """

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext,
        allow_private_networks: bool,
        max_keepalive: int,
        keepalive_s: float = 15.0,
        wrap: Wrap | None = None,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        backend = CheckedBackend(allow_private_networks=allow_private_networks, wrap=wrap, network=network)

        def connect(origin: Origin) -> HttpConnection:
            return HttpConnection(origin, ssl_context=ssl_context, network=backend, keepalive_s=keepalive_s)

        self._connections = Connections(connect, most_kept=max_keepalive)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request once, and return its answer; its body is still to be read.

        Raises:
            httpx.RequestError, OSError: see `outcomes.FAILURES`.
        """
        return await self._connections.exchange(request)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._connections.aclose()


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Resolve, check, then connect to the very address that was checked.

    A check before the call and a second look-up inside it could be told two different things (DNS rebinding).
    The name stays in the URL, so Host header, SNI and certificate are checked against it as always.
    """

    def __init__(
        self,
        *,
        allow_private_networks: bool,
        wrap: Wrap | None = None,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._allow_private_networks = allow_private_networks
        self._wrap = wrap
        self._inner = network or Sockets()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (5.0 if timeout is None else timeout)
        addresses = await self._resolve(host, port, deadline - loop.time())
        failure: Exception | None = None
        for tried, address in enumerate(addresses):
            left_s = (deadline - loop.time()) / (len(addresses) - tried)
            try:
                stream = await self._inner.connect_tcp(
                    address, port, timeout=max(left_s, 0.01), socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return self._wrap(stream) if self._wrap else stream
        assert failure is not None, "a resolver gives an address or an error"
        raise failure

    async def _resolve(self, host: str, port: int, timeout_s: float) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                found = await loop.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        except TimeoutError:
            raise httpcore.ConnectTimeout("no answer from the resolver") from None
        except (OSError, OverflowError, UnicodeError) as error:
            raise httpcore.ConnectError(f"no such name: {error}") from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))[:MAX_ADDRESSES]
        # One private address among public ones is no accident: the whole name is refused.
        if not self._allow_private_networks and not all(map(is_public, addresses)):
            raise NotSent("the host's name leads into a private network", code="address_refused")
        return addresses

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise NotSent("unix sockets are never called", code="address_refused")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)
