"""`orchestrator admin …`: acts of an operator on the database of this machine or cluster; no server is asked."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from orchestrator.cli import direct, output, retaining
from orchestrator.cli.options import NeededReason, OutputOption, group
from orchestrator.errors import BadInput

app = group("Operators' acts, directly on the database: the hold of all launches after a restore; retention.")

REASONS = ("since", "code", "because", "place", "folder")
LAUNCHES = ("run_id", "attempt", "execution_id", "workflow_id", "connection", "launched_at", "status", "fate")

#: What a fate means, before a release and after it.
FATES = {
    "adopt": ("is adopted: watched, not sent again", "adopted: watched, not sent again"),
    "settle_doubt": ("settles a doubt: watched", "settled a doubt: watched"),
    "doubt": ("becomes a doubt: a person decides", "in doubt: orchestrator doubt list"),
    "list": ("stays listed only: nothing here waits for it", "listed only: nothing here waits for it"),
}
UNKNOWN_RUN = "unknown here"


@app.command()
def held(output_: OutputOption = None) -> None:
    """Say whether launches are held after a restore, why, and what may run at the provider unknown here."""
    from orchestrator.engine import restore

    _print(direct.on_database(restore.held), is_done=False)


@app.command()
def release(
    reason: NeededReason,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what it would do, as `admin held`.")] = False,
    gone: Annotated[
        list[str] | None,
        typer.Option("--gone", metavar="FOLDER", help="A folder that holds launches and is gone for good."),
    ] = None,
    output_: OutputOption = None,
) -> None:
    """Let launches go again after a restore: what runs already is adopted or doubted, and is not launched again."""
    from uuid import UUID

    from orchestrator.cli.prepare import LOCAL_ACTOR
    from orchestrator.engine import restore

    try:
        folders = [UUID(folder) for folder in gone or ()]
    except ValueError:
        raise BadInput("--gone takes a folder's id", hint="orchestrator admin held") from None
    if dry_run:
        _print(direct.on_database(restore.held), is_done=False)
        return
    report = direct.on_database(lambda deps: restore.release(deps, actor=LOCAL_ACTOR, reason=reason, gone=folders))
    _print(report, is_done=True)


@app.command()
def retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go, and why the rest stays.")] = False,
    output_: OutputOption = None,
) -> None:
    """Let go what is older than it is to be kept, now: months of settled history, and the content of what ended.

    How long is set by ORCH_KEEP_HISTORY_DAYS and ORCH_KEEP_CONTENT_DAYS, here and for the workers, which do the same by
    themselves. Without them everything is kept. A month that goes is exported first (ORCH_RETIRED_DIR).
    """
    from orchestrator.engine import retention_plan

    report = direct.on_database(retention_plan.plan)
    done = None if dry_run else direct.on_database(retention_plan.carry_out)
    if output.is_for_programs():
        output.one({**report, "done": done})
    else:
        retaining.say_plan(report)
        retaining.say_done(done)
    retaining.refuse_unproven(done)


def _print(report: dict[str, Any], *, is_done: bool) -> None:
    """Print a report: reasons and launches as tables for people, one object for programs."""
    if output.is_for_programs():
        output.one(report)
        return
    for reason in report["reasons"]:
        output.say(f"Launches are held{' still' if is_done else ''}: {reason['because']}")
        output.say(f"  found in folder {reason['folder']}, {reason['place']}")
    launches = report["launches"]
    if launches:
        output.rows([{**one, "status": one["status"] or UNKNOWN_RUN} for one in launches], LAUNCHES)
        output.say(_summary(launches, is_done=is_done))
    elif report["held"] or is_done:
        output.say("No launch is written down outside that the database does not know.")
    _say_next(report, is_done=is_done)


def _summary(launches: list[dict[str, Any]], *, is_done: bool) -> str:
    counts = {fate: sum(one["fate"] == fate for one in launches) for fate in FATES}
    lines = [f"  {count:>6}  {fate}: {FATES[fate][is_done]}" for fate, count in counts.items() if count]
    return "\n".join([f"{len(launches)} launched, and unknown to the database:", *lines])


def _say_next(report: dict[str, Any], *, is_done: bool) -> None:
    if is_done and report["held"]:
        output.say("Released here. Release on the machines named above too, or name a folder that is gone with --gone.")
    elif is_done:
        output.say("Released: launches go again within 10 s.")
    elif report["held"]:
        output.say("Looks, downloads and the API go on. Compare with the provider's console; then:")
        output.say('  orchestrator admin release --reason "…"')
    else:
        output.say("Launches are not held.")
