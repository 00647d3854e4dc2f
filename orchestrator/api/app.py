"""The application: every router, one edge around them, and the life of what the verbs are handed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from fastapi import FastAPI
from starlette.responses import Response

from orchestrator import __version__, bootstrap
from orchestrator.api import (
    audit,
    batch_results,
    batches,
    connections,
    doubts,
    inbox,
    installation,
    openapi,
    operations,
    problems,
    reports,
    runs,
    schedules,
    system,
    tokens,
    webhooks,
    workflows,
)
from orchestrator.api.answers import shown
from orchestrator.api.doors import mounts, results, scripe, script
from orchestrator.api.guesses import Guesses
from orchestrator.api.hosts import Hosts
from orchestrator.api.limits import LargeBodies
from orchestrator.api.request_ids import OURS, Edge, Words
from orchestrator.engine import result_links
from orchestrator.engine.deps import Deps
from orchestrator.engine.lookout import Lookout
from orchestrator.engine.news import News
from orchestrator.engine.own_place import Disks
from orchestrator.engine.readings import Readings
from orchestrator.errors import OrchestratorError
from orchestrator.settings import Settings

API = "/api/v1"
POOL_SIZE = 10

DepsFactory = Callable[[], AbstractAsyncContextManager[Deps]]

#: The providers' own APIs, spoken by us.
DOORS = (script.DOOR, scripe.DOOR)

ROUTERS = tuple(
    m.router
    for m in (
        reports,
        runs,
        batch_results,
        batches,
        operations,
        schedules,
        connections,
        workflows,
        doubts,
        inbox,
        tokens,
        webhooks,
        audit,
        installation,
    )
)


#: What a program reads, below which a bug is answered as one, and everything else by the pages, where there are any.
MACHINE_PATHS = (
    "/api/",
    "/healthz",
    "/readyz",
    "/metrics",
    result_links.PATH + "/",
    *(door.path + "/" for door in DOORS),
)


class Pages(Protocol):
    """What is served beside the API for people's eyes."""

    def install(self, app: FastAPI) -> None:
        """Add the routes, and answer errors outside `MACHINE_PATHS` as pages."""

    def bug(self, request_id: str) -> Response:
        """Return the page of a bug of ours."""

    def refused(self, error: OrchestratorError, request_id: str) -> Response:
        """Return the page of a request that was not let in."""


def create_app(settings: Settings, *, deps_factory: DepsFactory | None = None, pages: Pages | None = None) -> FastAPI:
    """Return the application. It connects to nothing before its lifespan begins.

    Args:
        deps_factory: builds what the verbs are handed, inside the event loop; `bootstrap.build` when not given.
        pages: what is served beside the API; nothing when not given.
    """
    build = deps_factory or (lambda: bootstrap.build(settings, program="api", pool_size=POOL_SIZE))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with build() as deps:
            app.state.deps = deps
            app.state.large_bodies = LargeBodies()
            app.state.guesses = Guesses()
            app.state.readings = Readings(deps)
            app.state.news = News(deps)
            app.state.disks = Disks(settings)
            lookout = asyncio.create_task(Lookout(deps).keep())
            try:
                yield
            finally:
                lookout.cancel()
                await app.state.news.aclose()
                await app.state.readings.aclose()

    app = FastAPI(
        title="Orchestrator",
        version=__version__,
        lifespan=lifespan,
        # Interactive pages load scripts from elsewhere; the description is for tools and stands at one place.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for router in ROUTERS:
        app.include_router(router, prefix=API)
    app.include_router(system.router)
    app.include_router(results.router)
    for door in DOORS:
        mounts.mount(app, door)

    @app.get(f"{API}/openapi.json", include_in_schema=False)
    async def description() -> Response:
        return shown(openapi.describe(app, ROUTERS, API))

    problems.install(app)
    problems.note_routes(app, ROUTERS, API)
    words = {door.path + "/": Words(refused=door.refused, bug=door.bug) for door in DOORS}
    if pages is not None:
        pages.install(app)
        words |= {path: OURS for path in MACHINE_PATHS if path not in words}
        words["/"] = Words(refused=pages.refused, bug=pages.bug, are_pages=True)
    app.add_middleware(Edge, hosts=Hosts.of(settings), words=words)
    return app
