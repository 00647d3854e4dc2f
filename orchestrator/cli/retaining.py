"""What `orchestrator admin retention` says: what goes, what stays and why."""

from __future__ import annotations

from typing import Any

from orchestrator.cli import output
from orchestrator.errors import Conflict

COLUMNS = ("partition", "goes", "events", "streams", "why")


def say_plan(report: dict[str, Any]) -> None:
    """Say what is kept for how long, and what that means today."""
    content, history = report["keep_content_days"], report["keep_history_days"]
    if content is None:
        output.text("Inputs, results and names are kept for ever (ORCH_KEEP_CONTENT_DAYS is unset).")
    else:
        output.text(f"Content is erased {content} days after its end: {_content(report['content'])}")
    if history is None:
        output.text("The history is kept for ever (ORCH_KEEP_HISTORY_DAYS is unset).")
        return
    going = [month for month in report["months"] if month["goes"]]
    output.text(f"A month of settled history goes {history} days after its last event: {len(going)} now.")
    output.rows([_row(month) for month in report["months"]], COLUMNS)
    output.text(f"Exports are kept in {report['retired_dir']}.")


def say_done(done: dict[str, Any] | None) -> None:
    """Say what was done; None: nothing, it was a dry run."""
    if done is None:
        output.text("A dry run: nothing was changed.")
        return
    output.text(f"Erased: {output.counted(done['batches'], 'batch')}, {output.counted(done['runs'], 'single run')}.")
    for month in done["months"]:
        output.text(
            f"Retired {month['partition']}: {output.counted(month['events'], 'event')}, exported as {month['export']}"
        )
        output.text(f"  SHA-256 of its manifest: {month['manifest_sha256']}")
    for why in done["unproven"]:
        output.text(f"Not retired: {why}")
    if done["is_cut"]:
        output.text("There is more, or somebody else is at it: the workers go on, or ask again.")


def _content(due: dict[str, int]) -> str:
    return f"{output.counted(due['batches'], 'batch')} and {output.counted(due['runs'], 'single run')} are due."


def _row(month: dict[str, Any]) -> dict[str, Any]:
    reasons = [*month["reasons"], *(["its export did not prove it when it was last tried"] * month["is_unproven"])]
    return {**month, "goes": "yes" if month["goes"] else "stays", "why": "; ".join(reasons)}


def refuse_unproven(done: dict[str, Any] | None) -> None:
    """End a command that left a month because it could not be proven as one that failed.

    Raises:
        Conflict: there was one.
    """
    if done is not None and done["unproven"]:
        raise Conflict(
            f"{len(done['unproven'])} months cannot be proven and stay: somebody changed the history, or an export",
            code="retention_unproven",
            hint="orchestrator audit verify",
        )
