"""The audit: who did what to what, what was before and after, and why; and whether it is what was signed."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.datastructures import QueryParams
from starlette.responses import Response

from orchestrator.api import cursors
from orchestrator.api.queries import Query
from orchestrator.engine import audit_look
from orchestrator.web.rendering import page
from orchestrator.web.visits import Reading

PATH = "/audit"

#: How a filter is called that is not called by its subject.
WORDS = {"operation": "Bulk acts", "audit": "Exports"}

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def list_events(visit: Reading) -> Response:
    """Show what was done in the workspace, the latest first."""
    given = visit.request.query_params
    params = QueryParams([(name, value) for name, value in given.multi_items() if value.strip()])
    query = Query(params, ("about", "actor", "words", "cursor", "limit"))
    about, actor, words = query.text("about"), query.text("actor"), query.text("words")
    found, following = await audit_look.list_events(
        visit.deps,
        visit.who,
        before=query.after(visit),
        limit=query.limit(),
        types=None if about is None else audit_look.kinds_of(about),
        actor=actor,
        words=words,
    )
    kept = [(name, value) for name, value in (("about", about), ("actor", actor), ("words", words)) if value]
    bound = Query(QueryParams([*kept]), ("about", "actor", "words")).bound_to(visit)
    cursor = None if following is None else cursors.issue(visit.deps.sealer, bound, following)
    return await page(
        visit,
        "audit.html",
        title="Audit",
        room="audit",
        events=found,
        sought={"about": about, "actor": actor, "words": words},
        is_filtered=bool(kept),
        quick=[
            ("Everything", f"{PATH}?{urlencode(_with(kept, None))}" if _with(kept, None) else PATH, about is None),
            *(
                (
                    WORDS.get(subject, f"{subject.capitalize()}s"),
                    f"{PATH}?{urlencode(_with(kept, subject))}",
                    about == subject,
                )
                for subject in audit_look.SUBJECTS
            ),
        ],
        chain=await audit_look.chain_state(visit.deps, visit.who),
        state=await audit_look.checkpoint_state(visit.deps, visit.who),
        next_page=None if cursor is None else f"{PATH}?{urlencode([*kept, ('cursor', cursor)])}",
        is_first="cursor" not in params,
        first_page=f"{PATH}?{urlencode(kept)}" if kept else PATH,
    )


def _with(kept: list[tuple[str, str]], about: str | None) -> list[tuple[str, str]]:
    """Return the filters with another subject."""
    return [*([] if about is None else [("about", about)]), *((n, v) for n, v in kept if n != "about")]
