"""The pages, added to the API's application."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI
from starlette.responses import Response

from orchestrator.errors import OrchestratorError
from orchestrator.settings import Settings
from orchestrator.web import (
    assets,
    audit,
    batch,
    batch_acts,
    batches,
    bulk,
    codes,
    connection_acts,
    connections,
    draft,
    faults,
    inbox,
    navigation,
    new_batch,
    new_run,
    operations,
    overview,
    reports,
    run,
    run_acts,
    runs,
    schedule,
    schedule_forms,
    schedules,
    sign_in,
    system,
    tokens,
    webhooks,
)

#: Every page. A new one is added here, and shows in the rail by its path.
ROUTERS: tuple[APIRouter, ...] = tuple(
    m.router
    for m in (
        *(assets, sign_in, overview, bulk, runs, run, run_acts, operations),
        *(batches, batch, batch_acts, new_batch, draft, new_run),
        *(connections, connection_acts, reports, audit, system, tokens, webhooks, codes),
        *(inbox, schedules, schedule_forms, schedule),
    )
)


class WebPages:
    """What `create_app` is handed to serve pages too."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def install(self, app: FastAPI) -> None:
        """Add the routes, and answer errors as pages."""
        app.state.settings = self._settings
        app.state.rooms = navigation.built(ROUTERS)
        for router in ROUTERS:
            app.include_router(router)
        faults.install(app)

    def bug(self, request_id: str) -> Response:
        """Return the page of a bug of ours."""
        return faults.bug_page(request_id)

    def refused(self, error: OrchestratorError, request_id: str) -> Response:
        """Return the page of a request that was not let in."""
        return faults.refused_page(error, request_id)
