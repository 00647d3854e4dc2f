"""What a form sent, and the answer to it: a redirect that says, on the page it leads to, what came of the act."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import parse_qsl
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.api import limits
from orchestrator.api.problems import RequestRefused
from orchestrator.errors import BadInput, Problem
from orchestrator.telemetry import redact
from orchestrator.web.visits import keep

FORM = "application/x-www-form-urlencoded"
MAX_FIELDS = 1_000
MAX_REASON_CHARS = 2_000
MAX_SAID_CHARS = 600


class Form:
    """The fields of a form. Text comes in as it is: it is escaped where it is shown."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs

    def text(self, name: str, *, max_chars: int = 500) -> str | None:
        """Return a field, None when it is empty or missing.

        Raises:
            BadInput: it is too long, or not printable.
        """
        value = next((v for n, v in self._pairs if n == name), "").strip()
        if len(value) > max_chars or "\x00" in value:
            raise _wrong(name, f"has more than {max_chars} characters")
        return value or None

    def needed(self, name: str, *, max_chars: int = 500) -> str:
        """Return a field that must be filled in."""
        value = self.text(name, max_chars=max_chars)
        if value is None:
            raise _wrong(name, "is needed")
        return value

    def reason(self) -> str | None:
        """Return why, None when nothing was said."""
        return self.text("reason", max_chars=MAX_REASON_CHARS)

    def needed_reason(self) -> str:
        """Return why, where that must be said."""
        return self.needed("reason", max_chars=MAX_REASON_CHARS)

    def ticked(self, name: str) -> bool:
        """Tell whether a box was ticked."""
        return self.text(name) is not None

    def whole(self, name: str, *, least: int, most: int) -> int | None:
        """Return a whole number, None when the field is empty or missing."""
        value = self.text(name, max_chars=20)
        if value is None:
            return None
        if not (value.isascii() and value.isdigit() and least <= int(value) <= most):
            raise _wrong(name, f"is a whole number from {least} to {most}")
        return int(value)

    def id(self, name: str) -> UUID:
        """Return the id that a field holds."""
        try:
            return UUID(self.needed(name, max_chars=40))
        except ValueError:
            raise _wrong(name, "is no id") from None

    def every(self, name: str) -> list[str]:
        """Return all values of a field that comes many times."""
        return [value for field, value in self._pairs if field == name]


async def read(request: Request, *, max_fields: int = MAX_FIELDS, max_bytes: int = limits.JSON_BYTES) -> Form:
    """Return the fields of a form.

    Raises:
        BadInput, TooLarge, RequestRefused: it is no form, or too much.
    """
    limits.require_type(request, FORM)
    content = await limits.read_body(request, max_bytes=max_bytes)
    try:
        pairs = parse_qsl(content.decode(), keep_blank_values=True, max_num_fields=max_fields, errors="strict")
    except ValueError:
        raise RequestRefused(400, "the form cannot be read", code="bad_input") from None
    return Form(pairs)


@dataclass(frozen=True, slots=True)
class Said:
    """What an act came to, shown once at the top of the next page."""

    COOKIE: ClassVar[str] = "orch_said"

    text: str
    tone: str = "good"


def done(request: Request, there: str, text: str, *, tone: str = "good") -> Response:
    """Answer a form: go there, and read what came of it."""
    response = Response(status_code=303, headers={"Location": there})
    told = json.dumps([redact(text)[:MAX_SAID_CHARS], tone])
    keep(response, request, Said.COOKIE, base64.urlsafe_b64encode(told.encode()).decode(), max_age_s=60)
    return response


def take_said(request: Request) -> Said | None:
    """Return what the last act came to; anything strange in the cookie is nothing."""
    try:
        text, tone = json.loads(base64.urlsafe_b64decode(request.cookies.get(Said.COOKIE, "")))
    except (ValueError, TypeError, binascii.Error):
        return None
    return Said(str(text)[:MAX_SAID_CHARS], "bad" if tone == "bad" else "good")


def wrong_fields(error: Exception | None) -> dict[str, str]:
    """Return what is wrong by the field that it is wrong with, to be said beside each."""
    problems = error.problems if isinstance(error, BadInput) else ()
    return {problem.field: redact(problem.message) for problem in problems if problem.field}


def _wrong(name: str, message: str) -> BadInput:
    return BadInput(f"{name} {message}", problems=(Problem(message=message, code="field.value", field=name),))
