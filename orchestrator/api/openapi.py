"""How routes describe themselves, and the whole description at `/api/v1/openapi.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from orchestrator.api.auth import Needs
from orchestrator.api.openapi_links import add_links
from orchestrator.api.queries import DEFAULT_LIMIT, MAX_LIMIT, MAX_VALUE_CHARS
from orchestrator.api.schema_words import DAY_OR_TIME, ID, TEXT, Schema, comma_list, many, one, view
from orchestrator.api.schemas import ANSWERS, BODIES
from orchestrator.domain.statuses import BatchStatus, RunStatus
from orchestrator.domain.watching import Origin
from orchestrator.engine.audit_look import SUBJECTS

DESCRIPTION = """Durable runs of remote workflows. Every route needs `Authorization: Bearer …`.

Lists are paged by an opaque `cursor`. Every POST takes an `Idempotency-Key`: a repeat with the same key and content
is told what the first request came to (`Idempotent-Replayed: true`); successes are kept for 7 days. Errors are
RFC 9457 problem documents with a stable `code`, a `hint` for people and the `request_id` of the server's log."""

_STRING: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_VALUE_CHARS}
_BYTES: Schema = {"type": "string", "format": "binary"}
_REPORT: Schema = {"type": "object"}
_WORDS: Schema = {"type": "string", "pattern": "^[^,]+(,[^,]+){0,49}$", "maxLength": MAX_VALUE_CHARS}
_PROBLEM = {"application/problem+json": {"schema": one("Problem")}}
_PROBLEMS = {
    "400": "the request, or its JSON, cannot be read",
    "401": "no token, or none of ours",
    "403": "the token may not do this",
    "404": "there is no such thing in this workspace",
    "409": "its state does not allow this, or the Idempotency-Key is in use",
    "413": "the body is too large",
    "414": "the URL is too long",
    "415": "the body is of another type",
    "422": "it can be read, but it is wrong; `errors` lists the places",
    "429": "too many wrong tokens came from this address; send a good one",
    "503": "something that is needed is away; nothing was stored, send it again after `Retry-After`",
}


#: Answers that are files, by the word for them: which types they may be of.
_FILES = {
    "bytes": ("application/octet-stream",),
    "zip": ("application/zip",),
    "csv": ("text/csv",),
    "jsonl": ("application/x-ndjson",),
    "report": ("text/html", "text/csv", "application/json"),
}


def parameter(name: str, type: str | Schema, words: str, *, required: bool = False, repeated: bool = False) -> Schema:
    """Return the description of a query parameter.

    Args:
        type: a schema, or the name of a JSON type; a string has 1 to 500 characters.
    """
    schema = _STRING if type == "string" else {"type": type} if isinstance(type, str) else type
    return {
        "name": name,
        "in": "query",
        "required": required,
        "description": words,
        "schema": many(schema) if repeated else schema,
    }


IF_MATCH: Schema = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "the tag of what was read: it is changed only if it is still so, else 412",
    "schema": {"type": "string"},
}
REASON = parameter("reason", "string", "why; kept in the history")
LIMIT = parameter(
    "limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}, "page size"
)
CURSOR = parameter("cursor", "string", "`next_cursor` of the page before, with the same filters")

_WAIT: Schema = {"type": "string", "pattern": "^([0-9]|[1-5][0-9]|60)s?$"}
FOLLOWING = (parameter("wait", _WAIT, "seconds to wait for news, up to 60, as in 30s; then 304 if there is none"),)

_MAKING = (
    parameter("workflow", "string", "the provider's id of the workflow"),
    parameter("connection", "string", "the connection's name"),
    parameter("dateFrom", DAY_OR_TIME, "created at or after"),
    parameter("dateTo", DAY_OR_TIME, "created at or before; a date means all of that day"),
    parameter("external_id", "string", "your own id"),
)

BATCH_FILTERS = (parameter("status", comma_list(BatchStatus), "a comma list of statuses"), *_MAKING)

BATCH_RUN_FILTERS = (
    parameter("status", comma_list(RunStatus), "a comma list of statuses"),
    *_MAKING,
    parameter("error_code", _WORDS, "a comma list of codes with which runs ended badly"),
    parameter("origin", {"type": "string", "enum": [*Origin]}, "submitted here, or observed: started by others"),
    parameter(
        "label",
        {"type": "string", "pattern": "^[^=]+=", "maxLength": MAX_VALUE_CHARS},
        "key=value; several must all be there",
        repeated=True,
    ),
)

RUN_FILTERS = (*BATCH_RUN_FILTERS, parameter("batch", ID, "the batch's id; its runs come in input order"))

AUDIT_FILTERS = (
    parameter("about", {"type": "string", "enum": [*SUBJECTS]}, "what was done to; with `type`, those of its kinds"),
    parameter("type", _WORDS, "a comma list of kinds of events, as in connection_added"),
    parameter("actor", "string", "who did it, as events say it: token:NAME"),
    parameter("words", "string", "what stands in its facts, however it is spelled in capitals"),
    parameter("dateFrom", DAY_OR_TIME, "done at or after"),
    parameter("dateTo", DAY_OR_TIME, "done at or before; a date means all of that day"),
)

_MAP = parameter(
    "map",
    {"type": "string", "pattern": "^.+:[^:]*$", "maxLength": MAX_VALUE_CHARS},
    "for a CSV as body: column:field, which field a column fills; nothing behind the colon: it is left out",
    repeated=True,
)

SUBMISSION_OPTIONS = (
    *(
        parameter(name, type, f"for a file as body: {words}")
        for name, type, words in (
            ("connection", "string", "the connection's name"),
            ("workflow_id", "string", "the provider's id of the workflow"),
            ("format", "string", "csv, jsonl or json; else the Content-Type says"),
            ("concurrency", "string", "low, medium or high"),
            ("name", "string", "a name for people"),
            ("external_id", "string", "your own id of the batch, unique for ever per workflow"),
            ("external_id_column", "string", "the column that holds each row's own id"),
            ("wave_size", "integer", "items of a wave; 1 launches one by one"),
            ("max_failures", "string", "pause when more runs failed: 5, or 10%"),
            ("skip_invalid", "boolean", "store the good rows, give the bad ones back"),
            ("dry_run", "boolean", "check and plan, store nothing"),
        )
    ),
    _MAP,
)


def described(
    answer: str | None,
    *,
    body: str | None = None,
    status: int = 200,
    also: Mapping[int, str] | None = None,
    raw: Sequence[str] = (),
    parameters: Sequence[Schema] = (),
) -> dict[str, Any]:
    """Return a route's description, as keyword arguments of its decorator.

    Args:
        answer: the schema's name; one of `_FILES` for a file, None for no content.
        also: other statuses of success.
        raw: media types of a body that is a file.
    """
    shapes = {status: answer, **(also or {})}
    extra: dict[str, Any] = {}
    if body is not None:
        content: Schema = {kind: {"schema": TEXT} for kind in raw}
        schema = one(body) if not raw else {"anyOf": [one(body), many({"type": "object"})]}
        needed = bool(BODIES[body].get("required")) or bool(raw)
        extra["requestBody"] = {"required": needed, "content": {"application/json": {"schema": schema}} | content}
    if parameters:
        extra["parameters"] = [*parameters]
    return {
        "responses": {code: {"description": "done", "content": _content(shape)} for code, shape in shapes.items()},
        "openapi_extra": extra,
        "response_model": None,
    }


def listed(item: str, *parameters: Schema, paged: bool = True) -> dict[str, Any]:
    """Return the description of a list's route."""
    every = [*parameters, LIMIT, CURSOR] if paged else [*parameters]
    schema = view({"data": many(one(item)), "pagination": one("Pagination")})
    return {
        "responses": {200: {"description": "a page", "content": {"application/json": {"schema": schema}}}},
        "openapi_extra": {"parameters": every} if every else {},
        "response_model": None,
    }


def describe(app: FastAPI, routers: Sequence[APIRouter], prefix: str) -> dict[str, Any]:
    """Return the description of all routes, made once."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    whole = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
    # FastAPI's own shapes of its own validation, which never answers here.
    whole["components"] = {
        "schemas": BODIES | ANSWERS,
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
    }
    whole["security"] = [{"bearer": []}]
    scopes = scopes_of(routers, prefix)
    for path, operations in whole["paths"].items():
        for method, operation in operations.items():
            _complete(operation, method, scopes.get((path, method.upper())))
    add_links(whole["paths"])
    app.openapi_schema = whole
    return whole


def scopes_of(routers: Sequence[APIRouter], prefix: str) -> dict[tuple[str, str], str]:
    """Return which scope each route needs, by path and method. A route without one is not in it."""
    return {
        (prefix + route.path_format, method): dependency.call.scope.value
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
        for dependency in route.dependant.dependencies
        if isinstance(dependency.call, Needs)
    }


def _complete(operation: Schema, method: str, scope: str | None) -> None:
    """Add what every route shares: the problems, the key of a POST, the scope."""
    for status, words in _PROBLEMS.items():
        operation["responses"][status] = {"description": words, "content": _PROBLEM}
    if scope is not None:
        operation["x-scope"] = scope
    if method == "get":
        operation["responses"]["304"] = {"description": "it is as `If-None-Match` says"}
        tag = {"name": "If-None-Match", "in": "header", "required": False, "schema": {"type": "string"}}
        operation.setdefault("parameters", []).append(tag)
    if IF_MATCH in operation.get("parameters", ()):
        operation["responses"]["412"] = {"description": "it is not any more as `If-Match` says", "content": _PROBLEM}
    if method == "post":
        header = {"name": "Idempotency-Key", "in": "header", "required": False}
        operation.setdefault("parameters", []).append(header | {"schema": {"type": "string", "maxLength": 255}})


def _content(shape: str | None) -> Schema:
    if shape is None:
        return {}
    if shape in _FILES:
        return {kind: {"schema": _REPORT if kind == "application/json" else _BYTES} for kind in _FILES[shape]}
    return {"application/json": {"schema": one(shape)}}
