"""The settings as a list for people and programs: each with its value, where that is from, and what it means."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from orchestrator.errors import Misconfigured
from orchestrator.settings import PREFIX, Settings, load_with_origins
from orchestrator.telemetry import redact


def listed(running: Settings | None = None) -> list[dict[str, Any]]:
    """Return every setting. A secret's value is not among them.

    Args:
        running: what this process began with. Where that is not what is read now, it was set by the program that
            started it, or the file has changed since.
    """
    try:
        read, origins = load_with_origins()
    except Misconfigured:
        if running is None:
            raise
        read, origins = None, {}
    settings = running or read
    assert settings is not None, "it runs, or it was read"
    return [
        {
            "name": PREFIX + name.upper(),
            "value": _shown(getattr(settings, name)),
            "origin": origins[name].value
            if read is not None and getattr(read, name) == getattr(settings, name)
            else "program",
            "meaning": field.description,
        }
        for name, field in Settings.model_fields.items()
    ]


def _shown(value: object) -> object:
    if isinstance(value, SecretStr):
        return "(set, not shown)"
    return value if value is None or isinstance(value, bool | int | float) else redact(str(value))
