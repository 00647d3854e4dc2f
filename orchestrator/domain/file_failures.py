"""How a file's last failure is kept in one text column: its stable code first, then the words."""

from __future__ import annotations

import re

from orchestrator.errors import OrchestratorError

LONGEST = 500

_KEPT = re.compile(r"([a-z][a-z_.]*): (.*)", re.DOTALL)


def kept(failure: OrchestratorError) -> str:
    """Return what is kept of a failure."""
    return f"{failure.code}: {failure.message}"[:LONGEST]


def parted(text: str) -> tuple[str | None, str]:
    """Return a kept failure's code and words; no code for a text that has none."""
    found = _KEPT.fullmatch(text)
    return (None, text) if found is None else (found[1], found[2])
