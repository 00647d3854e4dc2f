"""The codes of errors, of waiting runs and of alarms, each with what it means and what cures it."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.queries import Query
from orchestrator.domain.alarm_words import WORDS
from orchestrator.domain.error_codes import catalogue
from orchestrator.domain.error_codes.entry import REPEAT_WORDS, Kind
from orchestrator.errors import NotFound
from orchestrator.web.rendering import page
from orchestrator.web.visits import Reading

PATH = "/codes"

#: Where a code is read, for people.
KINDS = {
    Kind.ERROR: "an answer of the API, the command line or a page",
    Kind.RUN: "a run that ended otherwise",
    Kind.WAITING: "a run that waits",
    Kind.HELD: "launches that are held",
}
assert set(KINDS) == set(Kind), "every kind needs its words"

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def list_codes(visit: Reading) -> Response:
    """Show every code by its subject, or those that are spelled like what is looked for."""
    word = Query(visit.request.query_params, ("q",)).text("q") if visit.request.query_params.get("q") else None
    return await page(
        visit,
        "codes.html",
        title="Error codes",
        room="system",
        word=word,
        near=[] if word is None else catalogue.near(word, most=20),
        subjects=catalogue.SUBJECTS,
        alarms=WORDS,
    )


@router.get(PATH + "/{code}")
async def show_code(code: str, visit: Reading) -> Response:
    """Show what one code means and what to do."""
    Query(visit.request.query_params, ())
    found = list(catalogue.found(code))
    alarm = next((words for name, words in WORDS.items() if name == code), None)
    if not found and alarm is None:
        close = catalogue.near(code[:100])
        raise NotFound(
            f"there is no code {code[:100]!r}",
            hint=f"did you mean {', '.join(f'`{one}`' for one in close)}?" if close else "all of them: /codes",
        )
    return await page(
        visit,
        "code.html",
        title=code,
        room="system",
        code=code,
        found=found,
        alarm=alarm,
        ends_runs=any(subject.kind is Kind.RUN for subject, _ in found),
        kinds=KINDS,
        repeats=REPEAT_WORDS,
        siblings=[e.code for e in found[0][0].entries if e.code != code] if found else [],
    )
