"""One process that serves the API: uvicorn, with bounds, and with our own log."""

from __future__ import annotations

import gc
import socket

import uvicorn

from orchestrator import telemetry
from orchestrator.api.app import Pages, create_app
from orchestrator.engine.news import News
from orchestrator.errors import Misconfigured, Unavailable
from orchestrator.settings import Settings

#: Requests under way at the end get this long.
SHUTDOWN_S = 15
KEEP_ALIVE_S = 30
#: All headers of a request together.
MAX_HEADER_BYTES = 16 * 1024
BACKLOG = 512


def bind(settings: Settings) -> socket.socket:
    """Take the address that the settings name; port 0 takes a free one.

    Raises:
        Misconfigured: it is taken, or not ours.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise Misconfigured(
            f"cannot listen on {settings.host}, port {settings.port}: {error.strerror or error}",
            code="address_taken",
            hint="another server may run already; ORCH_PORT names another port, 0 takes a free one",
        ) from error
    # Inherited by every connection. asyncio sets it only on sockets that name their protocol, which these do not;
    # without it each small answer waits 40 ms for the client's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def serve(settings: Settings, *, listener: socket.socket | None = None, pages: Pages | None = None) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are finished first.

    Args:
        listener: an address taken before (`bind`), for a caller that must know the port.
        pages: what is served beside the API.

    Raises:
        Misconfigured: the address is taken.
        Unavailable: the application did not start; the log says why.
    """
    telemetry.configure(log_format=settings.log_format, level=settings.log_level, program="api")
    with listener or bind(settings) as taken:
        server = make_server(settings, pages=pages)
        # What the program is made of lives as long as it does: no collection need look at it again. Ten thousand rows
        # that come at once set off several.
        gc.collect()
        gc.freeze()
        server.run(sockets=[taken])
    if not server.started:
        raise Unavailable("the API did not start", code="not_started", hint="the log above says why")


class Server(uvicorn.Server):
    """Lets the readers go that wait for news, before it waits for the requests under way."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is under way."""
        news: News | None = getattr(self.config.app.state, "news", None)  # type: ignore[union-attr]
        if news is not None:
            await news.aclose()
        await super().shutdown(sockets)


def make_server(settings: Settings, *, pages: Pages | None = None) -> uvicorn.Server:
    """Return the server, not yet running; it takes its listener from whoever runs it."""
    config = uvicorn.Config(
        create_app(settings, pages=pages),
        log_config=None,
        access_log=False,  # the edge writes one line for each request
        lifespan="on",
        ws="none",
        http="h11",
        server_header=False,
        # Nobody between us and the client is trusted to name it.
        proxy_headers=False,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        # No `limit_concurrency`: it counts idle connections too, and answers in plain text. The edge counts requests.
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
        backlog=BACKLOG,
    )
    return Server(config)
