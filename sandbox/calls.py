"""Calls: what kind of request this is and what it concerns, said once for the routes, the faults and the log."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import unquote

from sandbox.hints import FIELD, HintError, Hints, hints_of
from sandbox.http import Request

PREFIX = "/api/v1/"
SCRIPE_PREFIX = "/v1/"


class Kind(StrEnum):
    """The kinds of requests that a fault rule can name."""

    LAUNCH = "launch"
    BATCH = "batch"
    LOOK = "look"
    LIST = "list"
    VIEW = "view"
    CANCEL = "cancel"
    FILE = "file"
    OTHER = "other"


class BadBody(ValueError):
    """A body that is not JSON."""


@dataclass(frozen=True, slots=True)
class HintedInput:
    """The hints of one input; `identity` tells it from others: its JSON, or the execution it became."""

    identity: str
    hints: Hints


@dataclass(slots=True)
class Call:
    """A request, understood as far as its path goes; the body is read when somebody needs it."""

    request: Request
    kind: Kind
    workflow_id: str = ""
    execution_id: str = ""
    _document: Any = None
    _was_read: bool = False

    def document(self) -> Any:
        """Return the JSON body.

        Raises:
            BadBody: it is none.
        """
        if not self._was_read:
            try:
                self._document = json.loads(self.request.body, parse_constant=_no_constant)
            except (ValueError, RecursionError) as error:
                raise BadBody("request body is not valid JSON") from error
            self._was_read = True
        return self._document

    def hints(self) -> list[HintedInput]:
        """Return the hinted inputs of a launch; hints that cannot be read are the route's to refuse."""
        if self.kind not in (Kind.LAUNCH, Kind.BATCH) or b'"sandbox"' not in self.request.body:
            return []
        try:
            document = self.document()
        except BadBody:
            return []
        if not isinstance(document, dict):
            return []
        field = "options" if self.request.path.startswith(SCRIPE_PREFIX) else "input"
        inputs = document.get("items") if self.kind is Kind.BATCH else [document.get(field)]
        found: list[HintedInput] = []
        for given in inputs if isinstance(inputs, list) else []:
            if isinstance(given, dict) and FIELD in given:
                try:
                    found.append(HintedInput(json.dumps(given, sort_keys=True), hints_of(given)))
                except HintError:
                    continue
        return found


def understand(request: Request) -> Call:
    """Say what kind of call a request to the API is."""
    if request.path.startswith(SCRIPE_PREFIX):
        return _understand_scripe(request)
    if not request.path.startswith(PREFIX):
        return Call(request, Kind.OTHER)
    parts = request.path[len(PREFIX) :].split("/")
    if "%" in request.path:
        parts = [unquote(part) for part in parts]
    match (request.method, parts):
        case ("GET", ["workflows", workflow_id, "executions", execution_id]):
            return Call(request, Kind.LOOK, workflow_id, execution_id)
        case ("POST", ["workflows", workflow_id, "executions"]):
            return Call(request, Kind.LAUNCH, workflow_id)
        case ("POST", ["workflows", workflow_id, "executions", "batch"]):
            return Call(request, Kind.BATCH, workflow_id)
        case ("GET", ["workflows"]):
            return Call(request, Kind.LIST)
        case ("GET", ["workflows", workflow_id]):
            return Call(request, Kind.VIEW, workflow_id)
    return Call(request, Kind.OTHER)


def _understand_scripe(request: Request) -> Call:
    """Say what kind of call a request to the Scripe API is; what it starts is named by its job type."""
    parts = [unquote(part) for part in request.path[len(SCRIPE_PREFIX) :].split("/")]
    match (request.method, parts):
        case ("GET", ["jobs"]):
            return Call(request, Kind.LIST)
        case ("GET", ["jobs", job_id]):
            return Call(request, Kind.LOOK, execution_id=job_id)
        case ("POST", ["jobs", job_id, "cancel"]):
            return Call(request, Kind.CANCEL, execution_id=job_id)
        case ("POST", ["posts", "generations"]):
            return Call(request, Kind.LAUNCH, workflow_id="POST_GENERATION")
    return Call(request, Kind.OTHER)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
