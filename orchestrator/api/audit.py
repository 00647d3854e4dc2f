"""Routes of the audit: who did what to what and why, whether it links up, what of it is signed, who was given what."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.answers import page, tagged
from orchestrator.api.auth import Reading
from orchestrator.api.openapi import AUDIT_FILTERS, described, listed
from orchestrator.api.queries import Query
from orchestrator.engine import audit_look

#: Of an event, in the words of a page: `data` says it too.
TOLD_TWICE = "facts"

router = APIRouter(prefix="/audit", tags=["audit"])


@router.get("", **listed("AuditEvent", *AUDIT_FILTERS))
async def list_audit(call: Reading) -> Response:
    """List what was done in the workspace, the latest first. What happened to a run or a batch is in its own events."""
    names = ("about", "type", "actor", "words", "dateFrom", "dateTo", "limit", "cursor")
    query = Query(call.request.query_params, names)
    found, following = await audit_look.list_events(
        call.deps,
        call.who,
        before=query.after(call),
        limit=query.limit(),
        types=audit_look.kinds_asked(query.text("about"), query.words("type")),
        actor=query.text("actor"),
        words=query.text("words"),
        since=query.since(),
        until=query.until(),
    )
    views = [{name: said for name, said in event.items() if name != TOLD_TWICE} for event in found]
    return page(call, query, views, following)


@router.get("/chain", **described("AuditChain"))
async def show_chain(call: Reading) -> Response:
    """Say whether the latest part of the workspace's history links up, and what of it is kept outside.

    All of it, runs and batches too, is verified by `orchestrator audit verify`.
    """
    Query(call.request.query_params, ())
    chain = await audit_look.chain_state(call.deps, call.who)
    return tagged(call, chain | {"anchors": await audit_look.anchor_state(call.deps, call.who)})


@router.get("/checkpoints", **listed("Checkpoint"))
async def list_checkpoints(call: Reading) -> Response:
    """List the signed checkpoints, the latest first, and whether each is signed by the key that it names."""
    query = Query(call.request.query_params, ("limit", "cursor"))
    found, following = await audit_look.list_checkpoints(
        call.deps, call.who, before=query.after(call), limit=query.limit()
    )
    return page(call, query, found, following)


@router.get("/reports/{sha256}", **described("ReportMade"))
async def show_report(sha256: str, call: Reading) -> Response:
    """Say to whom the report of this SHA-256 was given, and when."""
    Query(call.request.query_params, ())
    found = await audit_look.show_report(call.deps, call.who, sha256)
    return tagged(call, {"sha256": found["data"]["sha256"], **_made(found)})


def _made(event: dict[str, object]) -> dict[str, object]:
    return {name: event[name] for name in ("seq", "at", "actor", "target", "data", "hash")}
