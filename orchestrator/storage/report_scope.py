"""Which runs a report covers, as the condition that each of its queries carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class ScopeKind(StrEnum):
    """What narrows a report. Each kind has a plan of its own: one condition for all would be a bad plan for each."""

    BATCH = "batch"
    PERIOD = "period"
    WORKFLOW = "workflow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The runs of one batch, or those that were accepted in [since, until), perhaps of one workflow.

    Args:
        workflow: the provider's id of it, as users know it.
    """

    workspace: UUID
    batch: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    workflow: str | None = None

    @property
    def kind(self) -> ScopeKind:
        """Which conditions apply."""
        if self.batch is not None:
            return ScopeKind.BATCH
        return ScopeKind.PERIOD if self.workflow is None else ScopeKind.WORKFLOW

    def values(self) -> dict[str, Any]:
        """Return what the conditions bind."""
        if self.kind is ScopeKind.BATCH:
            return {"workspace": self.workspace, "batch": self.batch}
        asked = {"workspace": self.workspace, "since": self.since, "until": self.until}
        return asked if self.workflow is None else asked | {"workflow": self.workflow}


_OF_WORKFLOW = (
    "IN (SELECT f.id FROM workflows f WHERE f.workspace_id = CAST(:workspace AS uuid)"
    " AND f.remote_id = CAST(:workflow AS text))"
)

#: On runs as `r`.
RUNS: Mapping[ScopeKind, str] = {
    ScopeKind.BATCH: "r.workspace_id = CAST(:workspace AS uuid) AND r.batch_id = CAST(:batch AS uuid)",
    ScopeKind.PERIOD: "r.workspace_id = CAST(:workspace AS uuid) AND r.created_at >= :since AND r.created_at < :until",
    ScopeKind.WORKFLOW: "r.workspace_id = CAST(:workspace AS uuid) AND r.created_at >= :since AND"
    f" r.created_at < :until AND r.workflow_id {_OF_WORKFLOW}",
}

#: On batches as `b`. A batch and its runs are accepted in one transaction, so they fall into the same period.
BATCHES: Mapping[ScopeKind, str] = {
    ScopeKind.BATCH: "b.workspace_id = CAST(:workspace AS uuid) AND b.id = CAST(:batch AS uuid)",
    ScopeKind.PERIOD: "b.workspace_id = CAST(:workspace AS uuid) AND b.created_at >= :since AND b.created_at < :until",
    ScopeKind.WORKFLOW: "b.workspace_id = CAST(:workspace AS uuid) AND b.created_at >= :since AND"
    f" b.created_at < :until AND b.workflow_id {_OF_WORKFLOW}",
}


def fact(of: str, name: str) -> str:
    """Return the SQL of a fact of an event's data; NULL where somebody made it no JSON object.

    In a CASE, because only that is evaluated in order: a report must show a changed history, not fail on it.
    """
    return f"CASE WHEN {of}.data IS JSON OBJECT THEN {of}.data::json ->> '{name}' END"


# Of a batch the tick that submitted it; of a period the ticks whose nominal time lies in it.
FIRES = {
    ScopeKind.BATCH: "f.id = CAST(:batch AS uuid)",  # a tick's batch has its id
    ScopeKind.PERIOD: "f.nominal_at >= :since AND f.nominal_at < :until",
    ScopeKind.WORKFLOW: "f.nominal_at >= :since AND f.nominal_at < :until AND w.remote_id = CAST(:workflow AS text)",
}
TICKS_OF = {
    kind: f"""FROM fires f JOIN schedules s ON s.id = f.schedule_id JOIN workflows w ON w.id = s.workflow_id
    WHERE f.workspace_id = CAST(:workspace AS uuid) AND {where}"""
    for kind, where in FIRES.items()
}
