"""New batch, the second step: a file that waits, its columns beside the schema, its faults, the plan; and its start.

Between the steps the file is kept by us and not sent again by the browser: a browser sends a chosen file once, so
without scripts every change of a column would ask for it anew; and what is started is then the very bytes that were
looked at. It is kept in the database, in pieces, because the next step may reach another API process.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.queries import Query
from orchestrator.engine import drafts, reading, workflows
from orchestrator.engine import submit as submitting
from orchestrator.engine.drafts import DraftRow
from orchestrator.engine.spool import Spool
from orchestrator.engine.submit import BatchSpec, SubmittedBatch
from orchestrator.errors import BadInput, Conflict, NotFound
from orchestrator.web import batch_options, commands, forms, preview_rows, uploads
from orchestrator.web.new_batch import PATH as NEW
from orchestrator.web.rendering import HEADERS, page
from orchestrator.web.visits import Submitting
from orchestrator.web.wording import counted, number

PATH = NEW + "/{draft_id:uuid}"
PROBLEMS_A_PAGE = 100
BEFORE = "This external id and file came before: this is it."

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def look(draft_id: UUID, visit: Submitting) -> Response:
    """Show what would become of the file as it was chosen. Nothing is stored."""
    query = Query(visit.request.query_params, ("problems",))
    try:
        draft = await drafts.find(visit.deps, visit.who, draft_id)
    except NotFound as gone:
        return await _started_before(visit, draft_id, gone)
    spec = batch_options.spec(draft.options, skip_invalid=True, dry_run=True)
    done, error = await _looked(visit, draft, spec)
    seen: dict[str, Any] = error.facts["preview"] if error is not None else (done.preview if done else None) or {}
    at = query.whole("problems", least=1, most=99) or 1
    problems = seen.get("problems", ())
    return await page(
        visit,
        "batch_draft.html",
        title=draft.filename or "Pasted rows",
        room="batches",
        draft=draft,
        flow=await workflows.show_workflow(
            visit.deps, visit.who, draft.options["connection"], draft.options["workflow_id"]
        ),
        options=draft.options,
        seen=seen,
        done=done,
        error=error,
        problems=problems[(at - 1) * PROBLEMS_A_PAGE : at * PROBLEMS_A_PAGE],
        problems_from=(at - 1) * PROBLEMS_A_PAGE,
        problems_at=at,
        problems_pages=-(-len(problems) // PROBLEMS_A_PAGE),
        fields=preview_rows.fields(seen),
        sample=preview_rows.sample(seen),
        earlier=await _named(visit, done.earlier) if done is not None and done.earlier is not None else None,
        commands=commands.submit_batch(batch_options.command(draft.options, draft.filename)),
    )


@router.post(PATH + "/options")
async def choose(draft_id: UUID, visit: Submitting) -> Response:
    """Keep what was chosen, and look again."""
    form = await forms.read(visit.request, max_fields=batch_options.MAX_FIELDS)
    try:
        draft = await drafts.find(visit.deps, visit.who, draft_id)
        await drafts.change(visit.deps, visit.who, draft_id, batch_options.chosen(form, draft.options))
    except NotFound as gone:
        return await _started_before(visit, draft_id, gone)
    return Response(status_code=303, headers={"Location": f"{NEW}/{draft_id}", **HEADERS})


@router.post(PATH + "/start")
async def start(draft_id: UUID, visit: Submitting) -> Response:
    """Make the batch: of the draft's own id, so that pressed twice, or sent again, it is one batch."""
    form = await forms.read(visit.request, max_fields=batch_options.MAX_FIELDS)
    try:
        done = await _started(visit, draft_id, form)
    except NotFound as gone:
        return await _started_before(visit, draft_id, gone)
    except (BadInput, Conflict) as error:
        return forms.done(visit.request, f"{NEW}/{draft_id}", f"Not started: {error.message}.", tone="bad")
    if not done.created:
        assert done.id is not None, "what came before has an id"
        await drafts.become(visit.deps, visit.who, draft_id, done.id)
        return forms.done(visit.request, f"/batches/{done.id}", BEFORE)
    left_out = _left_out(done.refused)
    text = f"Started: {counted(done.total, 'run')}.{left_out}"
    return forms.done(visit.request, f"/batches/{done.id}", text)


@router.post(PATH + "/discard")
async def discard(draft_id: UUID, visit: Submitting) -> Response:
    """Forget the file."""
    await forms.read(visit.request)
    try:
        await drafts.discard(visit.deps, visit.who, draft_id)
    except NotFound as gone:
        # One that waited too long, or was discarded before, is gone as asked; one that was started is not.
        with suppress(NotFound):
            return await _started_before(visit, draft_id, gone)
    return forms.done(visit.request, "/batches", "The file is gone from here. Nothing was started.")


@router.get(PATH + "/refused")
async def save_refused(draft_id: UUID, visit: Submitting) -> Response:
    """Save the bad rows alone, with what is wrong with each, to be mended."""
    Query(visit.request.query_params, ())
    draft = await drafts.find(visit.deps, visit.who, draft_id)
    done, _ = await _looked(visit, draft, batch_options.spec(draft.options, skip_invalid=True, dry_run=True))
    if done is None or done.refused_file is None:
        raise NotFound("there are no bad rows to save beside good ones", hint="the problems stand on the file's page")
    headers = {
        "Content-Disposition": f'attachment; filename="refused.{draft.options["format"]}"',
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    return Response(done.refused_file, media_type="application/octet-stream", headers=headers)


async def _started(visit: Submitting, draft_id: UUID, form: forms.Form) -> SubmittedBatch:
    """Submit the draft as the form has it. It may go at any step, when the other of two clicks is faster."""
    draft = await drafts.find(visit.deps, visit.who, draft_id)
    options = batch_options.chosen(form, draft.options)
    await drafts.change(visit.deps, visit.who, draft_id, options)
    skip_invalid, again = form.ticked("skip_invalid"), form.ticked("again")
    spec = batch_options.spec(options, skip_invalid=skip_invalid, id=draft_id, once_per_file=not again)
    return await _submitted(visit, draft, spec)


def _left_out(count: int) -> str:
    return f" {number(count)} bad row{' was' if count == 1 else 's were'} left out." if count else ""


async def _looked(visit: Submitting, draft: DraftRow, spec: BatchSpec) -> tuple[SubmittedBatch | None, BadInput | None]:
    """Return what a dry run finds, or what it refuses the file for, with what the file looks like."""
    try:
        return await _submitted(visit, draft, spec), None
    except BadInput as error:
        if "preview" not in error.facts:
            raise
        return None, error


async def _submitted(visit: Submitting, draft: DraftRow, spec: BatchSpec) -> SubmittedBatch:
    async with uploads.turn(visit.request, draft.size_bytes):
        with Spool() as content:
            await drafts.read_into(visit.deps, draft, content)
            return await submitting.submit_batch(visit.deps, visit.who, spec, content, within=drafts.within(visit.who))


async def _started_before(visit: Submitting, draft_id: UUID, gone: NotFound) -> Response:
    """Lead to the batch that the draft has become, if it has."""
    batch_id = await drafts.became(visit.deps, visit.who, draft_id)
    try:
        batch = await reading.get_batch(visit.deps, visit.who, batch_id)
    except NotFound:
        raise gone from None
    if batch_id != draft_id:
        return forms.done(visit.request, f"/batches/{batch_id}", BEFORE)
    text = f"It was started already: {counted(batch['total'], 'run')}, once."
    return forms.done(visit.request, f"/batches/{draft_id}", text)


async def _named(visit: Submitting, batch_id: UUID) -> dict[str, Any]:
    return await reading.get_batch(visit.deps, visit.who, batch_id)
