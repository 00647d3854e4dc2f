"""Who asks: the workspace they belong to, the name under which their acts are recorded, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from orchestrator.domain.operator_decisions import Act

SCOPES = ("read", "submit", "operate", "approve", "admin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """An authenticated caller. `actor` is `token:<name>`."""

    workspace_id: UUID
    actor: str
    scopes: frozenset[str]

    def act(self, reason: str | None = None) -> Act:
        """Return an act of this caller."""
        return Act(actor=self.actor, reason=reason)
