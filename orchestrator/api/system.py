"""Routes for machines that watch the server: no token, nothing of any workspace."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from orchestrator.api.answers import shown
from orchestrator.engine import health, metrics

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

router = APIRouter(include_in_schema=False)


@router.get("/healthz")
async def healthz() -> Response:
    """Tell that this process answers."""
    return shown({"ok": True})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Tell whether the work gets done: database, migrations, workers making progress."""
    view = await health.readiness(request.app.state.deps)
    return shown(view, status=200 if view["ready"] else 503)


@router.get("/metrics")
async def prometheus(request: Request) -> Response:
    """Return Prometheus' text."""
    reading = await request.app.state.readings.take()
    return Response(metrics.text(reading).encode(), media_type=METRICS_TYPE)
