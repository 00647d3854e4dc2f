"""The words around connections: what may be said of one, and how one is shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from orchestrator.domain.governor import launches_at_once
from orchestrator.engine.ports import Provider
from orchestrator.engine.shown import shown
from orchestrator.errors import BadInput, OrchestratorError
from orchestrator.storage.connections import ConnectionRow

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_CONSOLE_PARTS = re.compile(r"\{[^}]*\}")


def check_name(name: str) -> None:
    """Raise `BadInput` for a name that could not stand in a URL or a shell."""
    if not _NAME.fullmatch(name):
        raise BadInput("a connection's name is letters, digits, dot, dash, underscore, at most 63", code="field.value")


def in_range(what: str, given: int | None, otherwise: int, highest: int) -> int:
    """Return what was given, if it lies within bounds, else the default."""
    if given is None:
        return otherwise
    if not 1 <= given <= highest:
        raise BadInput(f"{what} lies between 1 and {highest}", code="field.range")
    return given


def version_of(provider: Provider, given: str | None) -> str | None:
    """Return the version of a provider's API that was given; None: none was.

    Raises:
        BadInput: it is no date, or the provider has no versions.
    """
    if given is None:
        return None
    if provider.capabilities.version is None:
        raise BadInput("this provider's API has no versions", code="field.value", hint="Leave --api-version out.")
    try:
        is_date = len(given) == len("2026-08-01") and date.fromisoformat(given) is not None
    except ValueError:
        is_date = False
    if not is_date:
        known = provider.capabilities.version
        hint = f"This program was written for {known}."
        raise BadInput("an API version is a date, YYYY-MM-DD", code="field.value", hint=hint)
    return given


def check_console(template: str | None) -> None:
    """Raise `BadInput` for a console URL that is none, or that holds names we do not fill in."""
    if template is None:
        return
    if not template.startswith(("https://", "http://")) or not template.isprintable() or len(template) > 2000:
        raise BadInput("the console URL starts with https:// or http://", code="field.value")
    unknown = set(_CONSOLE_PARTS.findall(template)) - {"{workflow_id}", "{execution_id}"}
    if unknown:
        raise BadInput(
            f"the console URL may hold {{workflow_id}} and {{execution_id}}, not {', '.join(sorted(unknown))}",
            code="field.value",
        )


def plan(found: ConnectionRow) -> list[str]:
    """Say in words how the connection's limits will be kept."""
    rate = found.requests_per_minute if found.told_limit is None else min(found.requests_per_minute, found.told_limit)
    told = f" (the provider says {found.told_limit}, you said {found.requests_per_minute})" if found.told_limit else ""
    return [
        f"at most {rate} requests in any 60 s for this key, launches, looks and tests together{told}",
        f"at most {found.max_concurrent} executions of a workflow alive at once of those launched one by one",
        f"at most {launches_at_once(rate)} launches on the wire at once",
        "a batch goes out in waves: 20 items first, then as many as about 20 minutes of work",
    ]


def hint(error: OrchestratorError) -> str | None:
    """Return what a person can do about a test that failed."""
    if error.hint:
        return error.hint
    return {
        "key_refused": "orchestrator connection rotate NAME --api-key-stdin",
        "version_unsupported": "orchestrator connection set NAME --api-version YYYY-MM-DD, or upgrade this program",
    }.get(error.code)


def view(row: ConnectionRow) -> dict[str, Any]:
    """Return how a connection is shown; its key never is."""
    status = "paused" if row.paused_at else row.launches_stopped or ("ok" if row.breaker == "closed" else "probing")
    return shown(
        {
            "id": row.id,
            "name": row.name,
            "provider": row.provider,
            "base_url": row.base_url,
            "key_hint": f"…{row.key_hint}",
            "limit_group": row.limit_group,
            "requests_per_minute": row.requests_per_minute,
            "told_limit": row.told_limit,
            "max_concurrent": row.max_concurrent,
            "console_url": row.console_url,
            "api_version": row.api_version,
            "api_version_ending": _ending(row),
            "status": status,
            "blocked_until": row.blocked_until,
            "paused_at": row.paused_at,
            "paused_by": row.paused_by,
            "checked_at": row.checked_at,
            "check_result": row.check_result,
            "created_at": row.created_at,
        }
    )


def _ending(row: ConnectionRow) -> dict[str, Any] | None:
    """Return what the provider says of the end of the version that is asked for; None where it says nothing."""
    if row.ending_told_at is None:
        return None
    return {
        "version": row.ending_version,
        "sunset_at": row.ending_sunset_at,
        "replacement": row.ending_replacement,
        "told_at": row.ending_told_at,
    }


def watch(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return how a watch is shown; None where there never was one."""
    if row is None:
        return None
    return shown(
        {
            "is_on": row["is_on"],
            "types": list(row["workflow_ids"]),
            "since": row["since"],
            "seen_to": row["walked_to"],
            "last_walk_at": row["walked_at"],
            "failure": row["failure"],
            "held_back": row["held"],
            "created_by": row["created_by"],
            "created_at": row["created_at"],
        }
    )
