"""The words around webhooks: what may be asked for, how a secret is made, and how webhooks and deliveries are shown."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from orchestrator.domain.webhooks import PATTERNS, DeliveryState, WebhookAnswer
from orchestrator.engine.deliver import public_id
from orchestrator.engine.deps import Deps
from orchestrator.engine.shown import shown
from orchestrator.errors import BadInput
from orchestrator.storage.webhooks import WebhookRow

#: What signs: so many random bits, as the specification asks for.
_SECRET_BITS = 256

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def check_name(name: str) -> None:
    """Raise `BadInput` for a name that could not stand in a URL or a shell."""
    if not _NAME.fullmatch(name):
        raise BadInput("a webhook's name is letters, digits, dot, dash, underscore, at most 63", code="field.value")


def check_types(types: Sequence[str]) -> list[str]:
    """Return what is asked for, each once, or raise `BadInput`."""
    unknown = sorted(set(types) - set(PATTERNS))
    if unknown:
        raise BadInput(
            f"there is no such event: {', '.join(unknown)[:200]}",
            code="field.value",
            hint=f"known are {', '.join(PATTERNS)}",
        )
    return [name for name in PATTERNS if name in types]


def check_states(states: Sequence[str] | None) -> Sequence[str]:
    """Return the states of deliveries that are asked for, all when none is named."""
    known = tuple(str(state) for state in DeliveryState)
    unknown = sorted(set(states or ()) - set(known))
    if unknown:
        raise BadInput(f"state is a comma list of {', '.join(known)}", code="field.value")
    return states or known


def new_secret(deps: Deps) -> str:
    """Return a new secret, in the form of the specification."""
    return "whsec_" + base64.b64encode(deps.sources.bits(_SECRET_BITS).to_bytes(_SECRET_BITS // 8)).decode()


def host_of(url: str) -> str:
    """Return what of a URL the history keeps: its path may be a secret."""
    return urlsplit(url).netloc


def view(row: WebhookRow, *, now: datetime) -> dict[str, Any]:
    """Return how a webhook is shown; its secret never is."""
    status = "disabled" if row.disabled_at else "failing" if row.failing_since else "ok"
    return shown(
        {
            "id": row.id,
            "name": row.name,
            "url": row.url,
            "events": row.types,
            "status": status,
            "failing_since": row.failing_since,
            "rests_until": row.rests_until if row.rests_until and row.rests_until > now else None,
            "disabled_at": row.disabled_at,
            "disabled_because": row.disabled_because,
            "delivered_at": row.delivered_at,
            "old_secret_until": row.old_secret_until if row.old_secret_until and row.old_secret_until > now else None,
            "created_by": row.created_by,
            "created_at": row.created_at,
        }
    )


def delivery_view(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return how a delivery is shown, with its latest tries."""
    return shown(
        {
            "id": row["message_id"],
            "webhook_id": public_id(row["message_id"]),
            "type": row["type"],
            "created_at": row["at"],
            "state": row["state"],
            "tries": row["tries"],
            "next_at": row["due_at"],
            "delivered_at": row["delivered_at"],
            "last_status": row["last_status"],
            "last_error": row["last_error"],
            "payload": json.loads(row["body"]),
            "log": row["log"],
        }
    )


def answer_view(answer: WebhookAnswer) -> dict[str, Any]:
    """Return how the answer to a test is shown."""
    return {
        "ok": answer.error is None,
        "status": answer.status,
        "error": answer.error,
        "response": answer.response,
        "took_s": round(answer.took_s, 3),
    }
