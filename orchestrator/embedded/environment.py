"""What the supervisor's children find in their environment: every setting spelled out, so that all parts agree.

Secrets travel here and not in arguments, which any user of the machine can list.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from pydantic import SecretStr

from orchestrator.settings import PREFIX, Settings

#: They name another place to read settings from, or another API; a child has all it needs.
NOT_FOR_CHILDREN = ("CONFIG", "URL", "TOKEN")


def child_environment(settings: Settings) -> dict[str, str]:
    """Return our own environment with these settings in place of whatever it said of them."""
    ours = {PREFIX + name for name in (*(field.upper() for field in Settings.model_fields), *NOT_FOR_CHILDREN)}
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    return {**inherited, "PYTHONUNBUFFERED": "1", **_spelled_out(settings)}


def secret_key_text(key: bytes) -> str:
    """Return a secret key as ORCH_SECRET_KEY takes it."""
    return base64.b64encode(key).decode()


def _spelled_out(settings: Settings) -> Mapping[str, str]:
    values = {PREFIX + name.upper(): getattr(settings, name) for name in Settings.model_fields}
    return {name: _text(value) for name, value in values.items() if value is not None}


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value.expanduser().absolute()) if isinstance(value, Path) else str(value)
