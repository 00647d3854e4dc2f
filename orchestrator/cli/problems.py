"""An error in words: what, why, and the next command; or one problem object for programs."""

from __future__ import annotations

import json
from typing import Any

from orchestrator import client as api
from orchestrator.cli.output import harmless, is_for_programs, tell
from orchestrator.errors import BadInput, OrchestratorError

#: A person mends some rows and tries again; JSON has all of them.
MAX_SHOWN = 20


def report(error: Exception) -> None:
    """Print an error on stderr."""
    problem = as_problem(error)
    if is_for_programs():
        tell(json.dumps(problem, ensure_ascii=False))
        return
    tell(harmless(f"error: {problem['detail']}"))
    places = problem.get("errors", [])
    for place in places[:MAX_SHOWN]:
        tell(harmless(f"  {_in_words(place)}"))
    if len(places) > MAX_SHOWN:
        tell(f"  ... and {len(places) - MAX_SHOWN} more; `-o json` shows all")
    if problem.get("hint"):
        tell(harmless(f"  {problem['hint']}"))
    if problem.get("request_id"):
        tell(f"  request {problem['request_id']}, code {problem['code']}")


def as_problem(error: Exception) -> dict[str, Any]:
    """Return an error as a problem object (RFC 9457), in the words of whoever raised it."""
    problem: dict[str, Any] = {"code": "internal", "detail": str(error) or type(error).__name__}
    if isinstance(error, OrchestratorError):
        problem |= {"code": error.code, "detail": error.message, "hint": error.hint}
    if isinstance(error, BadInput):
        problem["errors"] = [
            {"row": one.row, "line": one.line, "field": one.field, "code": one.code, "message": one.message}
            for one in error.problems
        ]
    if isinstance(error, api.ClientError):
        problem |= {"code": _code(error), "detail": error.message, "hint": error.hint}
    if isinstance(error, api.ApiError):
        problem |= {"status": error.status, "request_id": error.request_id, "errors": list(error.problems)}
        problem["preview"] = error.preview
    return {name: value for name, value in problem.items() if value not in (None, [])}


def _code(error: api.ClientError) -> str:
    if isinstance(error, api.ApiError):
        return error.code
    return "verification_failed" if isinstance(error, api.VerificationFailed) else "not_configured"


def _in_words(place: Any) -> str:
    where = [f"row {place['row']}"] if place.get("row") is not None else []
    where += [f"line {place['line']}"] if place.get("line") is not None else []
    where += [str(place["field"])] if place.get("field") else []
    return f"{', '.join(where)}: {place['message']}" if where else str(place["message"])
