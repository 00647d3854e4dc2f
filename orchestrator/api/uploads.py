"""A batch's submission: rows and options, out of a JSON object, or out of a file and the query parameters."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from orchestrator.api import limits
from orchestrator.api.answers import Answer
from orchestrator.api.auth import Call
from orchestrator.api.bodies import Fields, member_bytes, read_object
from orchestrator.api.queries import Query
from orchestrator.engine import reading
from orchestrator.engine import submit as submitting
from orchestrator.engine.spool import Spool
from orchestrator.engine.submit import BatchSpec, SubmittedBatch

FORMATS = ("csv", "jsonl", "json")
LEVELS = ("low", "medium", "high")
OPTIONS = (
    "connection",
    "workflow_id",
    "concurrency",
    "name",
    "external_id",
    "external_id_column",
    "wave_size",
    "max_failures",
    "skip_invalid",
    "dry_run",
)

#: Names of media types that tools give to these formats; the first of each is the one we document.
TYPES: Mapping[str, str] = {
    limits.JSON: "json",
    "text/csv": "csv",
    "application/csv": "csv",
    "text/tab-separated-values": "csv",
    "application/x-ndjson": "jsonl",
    "application/jsonl": "jsonl",
    "application/ndjson": "jsonl",
    "application/json-lines": "jsonl",
    "application/x-jsonlines": "jsonl",
}
#: Says nothing of the format; good with `format=`.
BYTES = "application/octet-stream"

#: A file of refused rows that is longer is not kept for repeats under the same Idempotency-Key.
MAX_KEPT_FILE_CHARS = 128 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What a request asks to submit: `content` is its whole body, `rows` the part that holds the rows."""

    content: Spool
    rows: bytes | Spool
    spec: BatchSpec


async def read(call: Call, content: Spool) -> Upload:
    """Read the request.

    Args:
        content: takes the body as it comes.

    Raises:
        BadInput, TooLarge, RequestRefused: options or framing are wrong. The rows are not judged here.
    """
    request = call.request
    query = Query(request.query_params, (*OPTIONS, "format"), repeatable=frozenset({"map"}))
    kind = limits.require_type(request, *TYPES, *((BYTES,) if query.text("format") else ()))
    await limits.read_into(request, content.write, max_bytes=limits.BATCH_BYTES)
    if kind == limits.JSON and _is_object(content) and query.text("format") in (None, "json"):
        Query(request.query_params, ("format",))
        # Seconds of work for a body of many megabytes; other requests are answered meanwhile.
        return await asyncio.to_thread(_from_object, content)
    return _from_file(content, query, TYPES.get(kind, "csv"))


async def submit(call: Call, upload: Upload, *, id: UUID | None) -> Answer:
    """Store it, under this id if one is given, and answer with the batch and what was found on the way."""
    done = await submitting.submit_batch(call.deps, call.who, replace(upload.spec, id=id), upload.rows)
    file = None if done.refused_file is None else b64encode(done.refused_file).decode()
    view = await _view(call, upload.spec, done) | {"refused_file": file}
    kept = view if len(file or "") <= MAX_KEPT_FILE_CHARS else view | {"refused_file": None}
    if done.preview is not None:
        # Inputs do not lie about for a week in answers that nobody will ask for again.
        view, kept = view | {"preview": done.preview}, kept | {"preview": None}
    return Answer(view=view, status=201 if done.created else 200, kept=kept)


async def _view(call: Call, spec: BatchSpec, done: SubmittedBatch) -> dict[str, Any]:
    found: dict[str, Any] = {
        "created": done.created,
        "dry_run": done.id is None,
        "refused": done.refused,
        "warnings": [*done.warnings],
        "plan": done.plan,
    }
    if done.id is not None:
        return await reading.get_batch(call.deps, call.who, done.id) | found
    asked = {"workflow_id": spec.workflow_id, "connection": spec.connection, "name": spec.name}
    return {"id": None, "status": None, "total": done.total, "counts": {}, **asked, **found}


def _is_object(content: Spool) -> bool:
    return next((text[:1] == b"{" for chunk in content.chunks() if (text := chunk.lstrip(b" \t\r\n"))), False)


def _from_object(content: Spool) -> Upload:
    whole = content.whole()
    fields = Fields(read_object(whole, max_bytes=limits.BATCH_BYTES))
    fields.present("items", list, "an array of objects")
    spec = _spec(fields, format="json")
    return Upload(content=content, rows=member_bytes(whole, "items"), spec=spec)


def _from_file(content: Spool, query: Query, by_type: str) -> Upload:
    given: dict[str, Any] = {name: query.text(name) for name in OPTIONS}
    for name in ("skip_invalid", "dry_run"):
        given[name] = {"true": True, "false": False}.get(given[name], given[name])
    given["wave_size"] = query.whole("wave_size", least=1, most=1_000_000)
    fields = Fields(given | {"format": query.text("format")})
    format = fields.one_of_or_none("format", FORMATS) or by_type
    spec = replace(_spec(fields, format=format), mapping=query.pairs("map"))
    return Upload(content=content, rows=content, spec=spec)


def _spec(fields: Fields, *, format: str) -> BatchSpec:
    spec = BatchSpec(
        connection=fields.text("connection"),
        workflow_id=fields.text("workflow_id"),
        format=format,
        concurrency=fields.one_of_or_none("concurrency", LEVELS) or "medium",
        name=fields.text_or_none("name"),
        external_id=fields.text_or_none("external_id"),
        external_id_column=fields.text_or_none("external_id_column"),
        wave_size=fields.whole_or_none("wave_size", least=1, most=1_000_000),
        max_failures=fields.text_or_none("max_failures", max_chars=20),
        skip_invalid=fields.flag("skip_invalid"),
        dry_run=fields.flag("dry_run"),
    )
    fields.done()
    return spec
