"""What people do to one batch from its page. Each act is a POST, and the verb decides whether it may be."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.engine import operate
from orchestrator.web import forms
from orchestrator.web.batch import PATH, RETRIED
from orchestrator.web.visits import Operating
from orchestrator.web.wording import number

router = APIRouter(include_in_schema=False)


@router.post(PATH + "/pause")
async def pause(batch_id: UUID, visit: Operating) -> Response:
    """Launch nothing more of it."""
    form = await forms.read(visit.request)
    await operate.pause_batch(visit.deps, visit.who, batch_id, reason=form.reason())
    return _done(visit, batch_id, "Paused: nothing more is launched. What was launched is collected.")


@router.post(PATH + "/resume")
async def resume(batch_id: UUID, visit: Operating) -> Response:
    """Go on."""
    form = await forms.read(visit.request)
    await operate.resume_batch(visit.deps, visit.who, batch_id, reason=form.reason())
    return _done(visit, batch_id, "It goes on.")


@router.post(PATH + "/cancel")
async def cancel(batch_id: UUID, visit: Operating) -> Response:
    """Cancel what of it was not sent."""
    form = await forms.read(visit.request)
    batch = await operate.cancel_batch(visit.deps, visit.who, batch_id, reason=form.needed_reason())
    cancelled = batch["counts"]["cancelled"]
    text = (
        f"Cancelled: {number(cancelled)} of its runs were not sent, and never will be. What was launched is collected."
    )
    return _done(visit, batch_id, text)


@router.post(PATH + "/retry")
async def retry(batch_id: UUID, visit: Operating) -> Response:
    """Queue again what failed or was cancelled."""
    form = await forms.read(visit.request)
    batch = await operate.retry_failed(visit.deps, visit.who, batch_id, reason=form.reason())
    left = sum(batch["counts"][status] for status in RETRIED)
    text = "What failed or was cancelled is queued again, with the same inputs."
    return _done(visit, batch_id, text if not left else f"{text} {number(left)} could not be.")


def _done(visit: Operating, batch_id: UUID, text: str) -> Response:
    return forms.done(visit.request, f"/batches/{batch_id}", text)
