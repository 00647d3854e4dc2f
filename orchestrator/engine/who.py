"""Who asks: the workspace they belong to, the name under which their acts are recorded, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from orchestrator.domain.chain import NewEvent
from orchestrator.domain.operator_decisions import Act
from orchestrator.errors import BadInput

SCOPES = ("read", "submit", "operate", "approve", "admin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """An authenticated caller.

    Args:
        actor: `token:<name>`.
        connection: the one that the token is bound to, if it is.
        operation: the bulk operation that acts in their name, if one does.
    """

    workspace_id: UUID
    actor: str
    scopes: frozenset[str]
    connection: str | None = None
    operation: UUID | None = None

    def act(self, command: str, reason: str | None = None) -> Act:
        """Return an act of this caller: always with a reason, if only that none was given.

        Args:
            command: what was asked for, in the words of the command line, which the API shares.
            reason: why, in the caller's words.

        Raises:
            BadInput: the reason is empty.
        """
        if reason is not None and not reason.strip():
            raise BadInput("the reason is empty: say why, or leave it out", code="field.value")
        operation = None if self.operation is None else str(self.operation)
        return Act(actor=self.actor, reason=reason or unsaid(command), operation=operation)

    def tells(self, type: str, **data: object) -> NewEvent:
        """Return an event of what this caller had read and counted. It changes nothing, so it needs no reason."""
        return NewEvent(type=type, actor=self.actor, data={k: v for k, v in data.items() if v is not None})


def unsaid(command: str) -> str:
    """Return the reason of an act for which nobody gave one."""
    return f"asked for with `{command}`, no reason given"
