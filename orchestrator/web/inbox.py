"""The inbox: what waits for a person, what is known of it, and how it is decided, one by one or many alike."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api import cursors
from orchestrator.api.queries import Query
from orchestrator.domain import adopt_file
from orchestrator.domain.bulk import BULK_RESOLUTIONS
from orchestrator.domain.changes import InboxKind
from orchestrator.domain.operator_decisions import Resolution
from orchestrator.engine import doubt_sight, doubts, inbox_look, operate
from orchestrator.errors import BadInput, Conflict, NotFound, Problem
from orchestrator.web import commands, forms, run_filters
from orchestrator.web.rendering import page
from orchestrator.web.visits import Approving, Operating, Reading
from orchestrator.web.wording import counted

PATH = "/inbox"
ONE = PATH + "/{item_id:uuid}"
#: Each is decided in a transaction of its own while the page is waited for; more of them are an act on many runs.
MAX_TICKED = 50
MAX_CSV_CHARS = 900_000

_QUICK: tuple[tuple[str, InboxKind | None], ...] = (
    ("All", None),
    ("Wait at the provider", InboxKind.HUMAN),
    ("In doubt", InboxKind.DOUBT),
    ("Overdue", InboxKind.OVERDUE),
)

#: How a decision is said once it was made.
_MADE = {
    Resolution.ADOPT: "adopted",
    Resolution.NOT_STARTED: "not started, queued again",
    Resolution.RELAUNCH: "launched again",
    Resolution.ABANDON: "abandoned",
}

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def list_inbox(visit: Reading) -> Response:
    """Show what waits for a person, oldest first."""
    query = Query(visit.request.query_params, ("kind", "limit", "cursor"))
    kinds = query.among("kind", InboxKind)
    found, following = await inbox_look.list_questions(
        visit.deps, visit.who, kinds=kinds, after=query.after(visit), limit=query.limit()
    )
    cursor = None if following is None else cursors.issue(visit.deps.sealer, query.bound_to(visit), following)
    kept = [("kind", ",".join(kinds))] if kinds else []
    return await page(
        visit,
        "inbox.html",
        title="Inbox",
        room="inbox",
        questions=found,
        quick=[
            (title, PATH if kind is None else f"{PATH}?kind={kind}", kinds == (() if kind is None else (kind,)))
            for title, kind in _QUICK
        ],
        first_page=f"{PATH}?{urlencode(kept)}" if kept else PATH,
        next_page=None if cursor is None else f"{PATH}?{urlencode([*kept, ('cursor', cursor)])}",
        is_first="cursor" not in visit.request.query_params,
        is_filtered=bool(kinds),
        commands=commands.list_inbox(str(visit.request.base_url)),
    )


@router.get(ONE)
async def show_question(item_id: UUID, visit: Reading) -> Response:
    """Show one question, with what is known and what may be decided."""
    Query(visit.request.query_params, ())
    found = await inbox_look.show_question(visit.deps, visit.who, item_id)
    return await page(visit, "question.html", title="Question", room="inbox", item=found)


@router.post(ONE + "/check")
async def check(item_id: UUID, visit: Operating) -> Response:
    """Look at its run at once."""
    await forms.read(visit.request)
    found = await inbox_look.show_question(visit.deps, visit.who, item_id)
    if found["run_id"] is None:
        raise Conflict("a wave in doubt has nothing to look at yet", code="not_watched")
    await operate.check_now(visit.deps, visit.who, UUID(found["run_id"]))
    return forms.done(visit.request, f"{PATH}/{item_id}", "It is looked at as soon as the rate allows.")


@router.post(ONE + "/decide")
async def decide(item_id: UUID, visit: Approving) -> Response:
    """Decide a doubt. It rests on what was shown, and is refused if that has changed."""
    form = await forms.read(visit.request)
    how = _how(form)
    found = await inbox_look.show_question(visit.deps, visit.who, item_id)
    came = await doubts.resolve_doubt(
        visit.deps,
        visit.who,
        UUID(found["doubt_id"]),
        how=how,
        reason=form.needed_reason(),
        seen=_seen(form, "seen"),
        **(_adopted(form) if how is Resolution.ADOPT else {}),
    )
    text = f"{counted(came['resolved'], 'run')} decided: {_MADE[how]}."
    if not found["doubts"]:
        return forms.done(visit.request, PATH, "Noted: you have seen it.")
    if came["left"]:
        return forms.done(visit.request, f"{PATH}/{item_id}", f"{text} {came['left']} of the wave are in doubt still.")
    return forms.done(visit.request, PATH, text)


@router.post(PATH + "/preview")
async def preview(visit: Approving) -> Response:
    """Show what one decision would take of what was ticked. Nothing is decided yet."""
    form = await forms.read(visit.request)
    how = _how(form, BULK_RESOLUTIONS)
    found = await inbox_look.show_questions(visit.deps, visit.who, _ticked(form))
    taken = [item for item in found if how in item["decisions"] and item["doubts"]]
    return await page(
        visit,
        "inbox_preview.html",
        title="Decide many",
        room="inbox",
        taken=taken,
        left=len(found) - len(taken),
        runs=sum(item["doubts"] for item in taken),
        how=how,
    )


@router.post(PATH + "/decide")
async def decide_many(visit: Approving) -> Response:
    """Decide each of what was previewed; what has changed since is left, and said."""
    form = await forms.read(visit.request)
    how, reason = _how(form, BULK_RESOLUTIONS), form.needed_reason()
    found = await inbox_look.show_questions(visit.deps, visit.who, _ticked(form))
    decided, refused = 0, []
    for item in found:
        try:
            came = await doubts.resolve_doubt(
                visit.deps,
                visit.who,
                UUID(item["doubt_id"]),
                how=how,
                reason=reason,
                seen=_seen(form, f"seen-{item['id']}"),
            )
            decided += came["resolved"]
        except (BadInput, Conflict, NotFound) as error:
            refused.append(error.message)
    text = f"{counted(decided, 'run')} decided: {_MADE[how]}."
    if refused:
        text += f" {counted(len(refused), 'question')} not: {refused[0]}{' – and others' if len(refused) > 1 else ''}."
    return forms.done(visit.request, PATH, text, tone="bad" if refused else "good")


def _how(form: forms.Form, allowed: tuple[Resolution, ...] = tuple(Resolution)) -> Resolution:
    how = form.needed("how")
    if how not in set(allowed):
        raise _wrong("how", "choose what is decided")
    return Resolution(how)


def _seen(form: forms.Form, name: str) -> str:
    """Return what the page was shown with: a decision of a page always rests on it."""
    return form.needed(name, max_chars=doubt_sight.MAX_SEEN_CHARS)


def _ticked(form: forms.Form) -> list[UUID]:
    given = form.every("id")
    if not 1 <= len(set(given)) <= MAX_TICKED or not all(run_filters.is_id(one) for one in given):
        raise _wrong("id", f"tick 1 to {MAX_TICKED} questions first")
    return [UUID(one) for one in dict.fromkeys(given)]


def _adopted(form: forms.Form) -> dict[str, Any]:
    """Return which executions are adopted: one id, or for a wave a CSV of them by index."""
    unverified = form.ticked("unverified")
    pasted = form.text("executions", max_chars=MAX_CSV_CHARS)
    if pasted is None:
        return {"execution_id": form.needed("execution_id"), "unverified": unverified}
    read = adopt_file.read(pasted.encode(), "the list of executions", skips_empty=True)
    return {"execution_ids": read.execution_ids, "unverified": unverified}


def _wrong(field: str, message: str) -> BadInput:
    return BadInput(message, problems=(Problem(message=message, code="field.value", field=field),))
