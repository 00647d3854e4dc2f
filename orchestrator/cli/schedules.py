"""`orchestrator schedule …`: what is submitted again and again, and what became of each tick."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import output
from orchestrator.cli.connect import connected
from orchestrator.cli.inputs import read_input
from orchestrator.cli.options import ConnectionOption, LimitOption, OutputOption, ReasonOption, group
from orchestrator.cli.times import span_s
from orchestrator.errors import BadInput

if TYPE_CHECKING:
    from orchestrator.client import Client

app = group(
    "Schedules: what is submitted again and again.\n\nEvery tick leaves a row that says what became of it:"
    " orchestrator schedule fires NAME."
)

COLUMNS = ("name", "status", "when", "next_at", "last_fire.state", "last_fire.why")
FIELDS = (
    "name", "status", "when", "tz", "next_at", "workflow_id", "connection", "file", "input", "options", "overlap",
    "catch_up", "max_catch_up", "deadline_s", "allow_same_content", "paused_by", "paused_note", "last_fire.nominal_at",
    "last_fire.state", "last_fire.why", "last_fire.batch_id", "last_fire.run_id", "created_by", "created_at",
)  # fmt: skip
FIRE_COLUMNS = ("nominal_at", "state", "late_s", "why", "batch_id", "run_id", "asked_by", "path")
TICK_COLUMNS = ("local", "at", "file", "jump")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.")]
CronOption = Annotated[str | None, typer.Option("--cron", metavar="EXPR", help="Five fields, or @daily and the like.")]
EveryOption = Annotated[str | None, typer.Option("--every", metavar="SPAN", help="90m, 6h, 1d: instead of --cron.")]
ZoneOption = Annotated[str | None, typer.Option("--tz", metavar="ZONE", help="Such as Europe/Zurich; UTC by default.")]
FileOption = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="FILE|TEMPLATE",
        help="The file that each tick submits as a batch, in the server's folder of inputs (ORCH_INPUTS_DIR;"
        " `inputs` in the data folder): nightly.csv, or in/nightly-{date}.csv with the date of the tick in its zone."
        " Also {yesterday}, {time}, {year}, {month}, {day}, {hour}, {minute}, {week}.",
    ),
]
PairOption = Annotated[
    list[str] | None,
    typer.Option("--field", "-i", metavar="KEY=VALUE", help="Instead of a file: each tick submits one run. KEY:=JSON."),
]
BodyOption = Annotated[
    str | None, typer.Option("--file", "-f", metavar="FILE", help="The same, its input from a JSON file; - is stdin.")
]
OverlapOption = Annotated[
    str | None,
    typer.Option("--overlap", metavar="skip|queue|allow", help="While what the tick before submitted still runs."),
]
CatchUpOption = Annotated[
    str | None,
    typer.Option("--catch-up", metavar="none|latest|all", help="What becomes of ticks that nobody was there for."),
]
MaxCatchUpOption = Annotated[
    int | None, typer.Option("--max-catch-up", min=1, help="With all: at most so many, the latest ones.")
]
DeadlineOption = Annotated[
    str | None, typer.Option("--deadline", metavar="SPAN", help="How long a tick waits for its file and its turn: 1h.")
]
SameOption = Annotated[
    bool | None,
    typer.Option(
        "--allow-same-content/--refuse-same-content", help="Submit a file that is the same as at the tick before."
    ),
]
LevelOption = Annotated[str | None, typer.Option("--concurrency", metavar="low|medium|high")]
ColumnOption = Annotated[str | None, typer.Option("--external-id-column", metavar="C")]
WaveOption = Annotated[int | None, typer.Option("--wave-size", min=1)]
FailuresOption = Annotated[str | None, typer.Option("--max-failures", metavar="N|P%")]
SkipOption = Annotated[bool | None, typer.Option("--skip-invalid/--refuse-invalid", help="Of a batch's rows.")]


@app.command()
def create(
    name: Name,
    workflow: Annotated[str, typer.Option("--workflow", metavar="WORKFLOW_ID", help="What to run.")],
    connection: ConnectionOption,
    cron: CronOption = None,
    every: EveryOption = None,
    tz: ZoneOption = None,
    input_: FileOption = None,
    pair: PairOption = None,
    body: BodyOption = None,
    overlap: OverlapOption = None,
    catch_up: CatchUpOption = None,
    max_catch_up: MaxCatchUpOption = None,
    deadline: DeadlineOption = None,
    allow_same_content: SameOption = None,
    concurrency: LevelOption = None,
    external_id_column: ColumnOption = None,
    wave_size: WaveOption = None,
    max_failures: FailuresOption = None,
    skip_invalid: SkipOption = None,
    output_: OutputOption = None,
) -> None:
    """Make a schedule. Its first tick is the next one from now on."""
    _one_input(input_, pair, body)
    with connected() as client:
        made = client.schedules.create(
            name,
            workflow_id=workflow,
            connection=connection,
            cron=cron,
            every=every,
            tz=tz or "UTC",
            file=input_,
            input=_fixed(pair, body, schema=lambda: client.workflows.get(connection, workflow).get("input_schema")),
            **_choices(overlap, catch_up, max_catch_up, deadline, allow_same_content),
            **_of_a_batch(concurrency, external_id_column, wave_size, max_failures, skip_invalid),
        )
    output.brief(made, COLUMNS)
    output.say(f"Next: orchestrator schedule preview {name}")


@app.command("list")
def list_(output_: OutputOption = None) -> None:
    """List schedules, each with what its latest tick came to."""
    with connected() as client:
        output.rows(client.schedules.list(), COLUMNS, nothing="No schedules yet: orchestrator schedule create --help")


@app.command()
def show(name: Name, output_: OutputOption = None) -> None:
    """Show everything about a schedule."""
    with connected() as client:
        output.one(client.schedules.get(name), FIELDS)


@app.command()
def preview(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A schedule; or give --cron or --every.")] = None,
    count: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many ticks.")] = 10,
    cron: CronOption = None,
    every: EveryOption = None,
    tz: ZoneOption = None,
    output_: OutputOption = None,
) -> None:
    """Show the next ticks, in the zone and in UTC, and what the change of the clock does to them."""
    if (name is None) == (cron is None and every is None):
        raise BadInput("name a schedule, or give --cron or --every to try one")
    with connected() as client:
        if name is not None:
            found = client.schedules.preview(name, count=count)
        else:
            found = client.schedules.preview_rhythm(cron=cron, every=every, tz=tz or "UTC", count=count)
    output.say(found["when"])
    if output.is_for_programs():
        output.one(found)
    else:
        shown = [column for column in TICK_COLUMNS if any(tick.get(column) for tick in found["ticks"])]
        output.rows(found["ticks"], shown)


@app.command()
def fires(
    name: Name,
    state: Annotated[list[str] | None, typer.Option("--state", help="Only these; may be repeated.")] = None,
    limit: LimitOption = 50,
    output_: OutputOption = None,
) -> None:
    """List a schedule's ticks, latest first: fired, skipped, missed, merged, waiting, and why."""
    with connected() as client:
        found = client.schedules.fires(name, states=state or (), limit=limit)
        output.rows(found, FIRE_COLUMNS, nothing="It has not ticked yet.")


@app.command()
def update(
    name: Name,
    cron: CronOption = None,
    every: EveryOption = None,
    tz: ZoneOption = None,
    input_: FileOption = None,
    pair: PairOption = None,
    body: BodyOption = None,
    overlap: OverlapOption = None,
    catch_up: CatchUpOption = None,
    max_catch_up: MaxCatchUpOption = None,
    deadline: DeadlineOption = None,
    allow_same_content: SameOption = None,
    concurrency: LevelOption = None,
    external_id_column: ColumnOption = None,
    wave_size: WaveOption = None,
    max_failures: FailuresOption = None,
    skip_invalid: SkipOption = None,
    reason: ReasonOption = None,
    output_: OutputOption = None,
) -> None:
    """Change what is given; the rest stays. How batches are made is replaced as a whole, and so is an input."""
    _one_input(input_, pair, body)
    with connected() as client:
        changed = client.schedules.update(
            name,
            cron=cron,
            every=every,
            tz=tz,
            file=input_,
            reason=reason,
            input=_fixed(pair, body, schema=lambda: _schema(client, name)),
            **_choices(overlap, catch_up, max_catch_up, deadline, allow_same_content),
            **_of_a_batch(concurrency, external_id_column, wave_size, max_failures, skip_invalid),
        )
    output.brief(changed, COLUMNS)
    output.say(f"Next: orchestrator schedule preview {name}")


@app.command()
def pause(
    name: Name,
    note: Annotated[str, typer.Option("--note", help="Why, for whoever looks at it.")],
    output_: OutputOption = None,
) -> None:
    """Skip ticks from now on; each keeps its row."""
    with connected() as client:
        output.brief(client.schedules.pause(name, note), COLUMNS)
    output.say(f"Next: orchestrator schedule resume {name}")


@app.command()
def resume(name: Name, reason: ReasonOption = None, output_: OutputOption = None) -> None:
    """Fire again from now on. The ticks of the pause stay skipped."""
    with connected() as client:
        output.brief(client.schedules.resume(name, reason=reason), COLUMNS)


@app.command("run-now")
def run_now(
    name: Name,
    nominal_at: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="NOMINAL_TIME",
            help="A tick that was missed, skipped or merged: 2026-01-31T02:30.",
        ),
    ] = None,
    reason: ReasonOption = None,
    output_: OutputOption = None,
) -> None:
    """Fire once, now, paused or not; or carry out a tick after all, its file named by its own date."""
    with connected() as client:
        output.brief(client.schedules.run_now(name, reason=reason, nominal_at=nominal_at), COLUMNS)
    output.say(f"Next: orchestrator schedule fires {name} --limit 1")


@app.command()
def delete(name: Name, reason: ReasonOption = None) -> None:
    """Remove a schedule. What it submitted goes on, and its history stays."""
    with connected() as client:
        client.schedules.delete(name, reason=reason)
    output.say(f"Removed {name}")


def _one_input(file: str | None, pair: list[str] | None, body: str | None) -> None:
    if file is not None and (pair or body is not None):
        raise BadInput("--input names a file of a batch, -i and -f the input of a run: give one of them")


def _schema(client: Client, name: str) -> Any:
    found = client.schedules.get(name)
    return client.workflows.get(found["connection"], found["workflow_id"]).get("input_schema")


def _fixed(pair: list[str] | None, body: str | None, *, schema: Any) -> bytes | None:
    return read_input(pair or [], body, schema=schema) if pair or body is not None else None


def _choices(
    overlap: str | None, catch_up: str | None, max_catch_up: int | None, deadline: str | None, same: bool | None
) -> dict[str, Any]:
    return {
        "overlap": overlap,
        "catch_up": catch_up,
        "max_catch_up": max_catch_up,
        "deadline_s": None if deadline is None else span_s(deadline),
        "allow_same_content": same,
    }


def _of_a_batch(
    concurrency: str | None, column: str | None, wave_size: int | None, max_failures: str | None, skip: bool | None
) -> dict[str, Any]:
    return {
        "concurrency": concurrency,
        "external_id_column": column,
        "wave_size": wave_size,
        "max_failures": max_failures,
        "skip_invalid": skip,
    }
