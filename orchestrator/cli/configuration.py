"""The settings as a list for people and programs."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from orchestrator.settings import PREFIX, Settings, load_with_origins


def listed() -> list[dict[str, Any]]:
    """Return every setting with its value, where it came from and what it means."""
    settings, origins = load_with_origins()
    return [
        {
            "name": PREFIX + name.upper(),
            "value": _shown(getattr(settings, name)),
            "origin": origins[name].value,
            "meaning": field.description,
        }
        for name, field in Settings.model_fields.items()
    ]


def _shown(value: object) -> object:
    if isinstance(value, SecretStr):
        return "(set, not shown)"
    return value if value is None or isinstance(value, bool | int | float) else str(value)
