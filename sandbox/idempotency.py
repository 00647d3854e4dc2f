"""Idempotency keys: the same key with the same body is answered from memory, with another body it is a conflict."""

import hashlib
import re
from dataclasses import dataclass, field, replace

from sandbox.http import Answer, Request

#: Keys of another shape are silently ignored, as the page says.
SHAPE = re.compile(r"[A-Za-z0-9_-]{1,64}")
LIFE_S = 24 * 3_600.0


class Conflict(Exception):
    """A key that was used with another body."""


@dataclass(slots=True)
class Remembered:
    """What was answered under a key."""

    body_sha256: bytes
    answer: Answer
    at: float


@dataclass(slots=True)
class Memory:
    """What was answered under the keys of one API; its scope is the workspace and the route."""

    answers: dict[tuple[str, str, str], Remembered] = field(default_factory=dict)

    def replay(self, request: Request, workspace: str, *, now: float) -> Answer | None:
        """Return the answer that was given before, marked as replayed; None for a first request, or one without a key.

        Raises:
            Conflict: the key came with another body before.
        """
        place = _place(request, workspace)
        known = self.answers.get(place) if place is not None else None
        if known is None or now - known.at >= LIFE_S:
            return None
        if known.body_sha256 != hashlib.sha256(request.body).digest():
            raise Conflict
        return replace(known.answer, headers=(*known.answer.headers, ("idempotent-replayed", "true")))

    def keep(self, request: Request, workspace: str, answer: Answer, *, now: float) -> None:
        """Remember what was answered, if it was a yes."""
        place = _place(request, workspace)
        if place is not None and 200 <= answer.status <= 299:
            self.answers[place] = Remembered(hashlib.sha256(request.body).digest(), answer, now)

    def clear(self) -> None:
        self.answers.clear()


def _place(request: Request, workspace: str) -> tuple[str, str, str] | None:
    key = request.headers.get("idempotency-key", "")
    return (workspace, f"{request.method} {request.path}", key) if SHAPE.fullmatch(key) else None
