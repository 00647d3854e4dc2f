"""`orchestrator audit …`: exports of the history that prove themselves, and whether the history is what was signed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import audit_look, direct, output
from orchestrator.cli.exits import Exit
from orchestrator.cli.options import OutputOption, group
from orchestrator.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path
    from uuid import UUID

    from orchestrator.domain.checkpoint_chain import Period
    from orchestrator.domain.verification import Verdict
    from orchestrator.engine.deps import Deps

app = group(
    "The history: what people did, signed exports of it, and whether it is still what was signed.\n\nlist, chain,"
    " checkpoints and report ask the server. The others work on the database of this machine or cluster itself;"
    " verifying an export needs none. The exit code is 8 where something is not as it was signed. docs/audit-format.md"
    " has the format, and tools/verify_audit.py verifies an export without the product."
)
audit_look.register(app)

WorkspaceOption = Annotated[str, typer.Option("--workspace", metavar="NAME", help="Whose history.")]
KeyOption = Annotated[
    list[str] | None,
    typer.Option("--key", metavar="KEY", help="A public key that is believed: base64, or a file that holds it."),
]
AnchorsOption = Annotated[
    str | None, typer.Option("--anchors", metavar="FILE", help="The checkpoints that were kept outside, JSON lines.")
]

EXPORTED = ("folder", "events", "streams", "checkpoints", "events_sha256")
KEY_FIELDS = ("key_id", "public_key", "anchors")


@app.command()
def export(
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="What moved from then on: 7d, ISO.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="And before then.")] = None,
    to_dir: Annotated[str | None, typer.Option("--to-dir", metavar="DIR", help="A new folder for it.")] = None,
    workspace: WorkspaceOption = "default",
    output_: OutputOption = None,
) -> None:
    """Write the history, or that of a period, with all that proves it: events, checkpoints, keys, a manifest.

    Every stream that moved in the period is there, whole. Without --from and --to it is the whole history.
    """
    from pathlib import Path

    from orchestrator.artifacts.export_folder import ExportFolder
    from orchestrator.domain.checkpoint_chain import Period
    from orchestrator.engine import audit

    period = Period(since=_moment(since), until=_moment(until))
    folder = Path(to_dir or _default_name(period))

    async def act(deps: Deps) -> dict[str, object]:
        with ExportFolder(folder) as sink:
            manifest = await audit.export(
                deps, await direct.operator(deps, workspace), sink, period=period, progress=_tell
            )
        counts = {"events": manifest.events, "streams": manifest.streams, "checkpoints": manifest.checkpoints}
        return {"folder": str(folder), **counts, "events_sha256": manifest.files["events.jsonl"].sha256}

    output.brief(direct.on_database(act), EXPORTED)
    output.say(f"Verify it here: orchestrator audit verify {folder}; anywhere: python tools/verify_audit.py {folder}")


@app.command()
def verify(
    export_: Annotated[
        str | None, typer.Argument(metavar="EXPORT", help="The folder of an export; without it, the database.")
    ] = None,
    anchors: AnchorsOption = None,
    key: KeyOption = None,
    every_anchor: Annotated[
        bool, typer.Option("--every-anchor", help="Set none apart that is later than the export: all must be in it.")
    ] = False,
    retired: Annotated[
        list[str] | None,
        typer.Option("--retired", metavar="DIR", help="Where exports of retired months are, if they were moved."),
    ] = None,
    workspace: WorkspaceOption = "default",
    output_: OutputOption = None,
) -> None:
    """Look whether a history is what was signed: say the first bad place, and what can still be trusted.

    Of the database, this installation's own key and the anchors that it keeps are asked, unless others are given.
    Months that were retired are named, and their exports verified; of an export only if --retired says where they are.
    """
    from pathlib import Path

    keys = _keys(key)
    if export_ is None:
        verdict = _verify_database(workspace, keys, anchors)
    else:
        verdict = _verify_export(Path(export_), keys, anchors, every_anchor=every_anchor)
    verdict = _with_retired(verdict, keys, retired, is_database=export_ is None)
    if output.is_for_programs():
        from dataclasses import asdict
        from datetime import datetime

        found = asdict(verdict)
        found["retired"] = [{name: str(value) for name, value in month.items()} for month in found["retired"]]
        times = {name: value.isoformat() for name, value in found.items() if isinstance(value, datetime)}
        output.one({**found, **times})
    if not verdict.ok:
        raise typer.Exit(Exit.UNVERIFIED)


@app.command()
def key(output_: OutputOption = None) -> None:
    """Show the public key of this installation, to be kept elsewhere: with it a verifier need not trust an export."""
    import base64

    async def act(deps: Deps) -> dict[str, object]:
        assert deps.signer is not None, "an installation has a key"
        assert deps.anchors is not None, "and a place for anchors"
        public = base64.b64encode(deps.signer.public_key).decode()
        return {"key_id": deps.signer.key_id, "public_key": public, "anchors": deps.anchors.place}

    output.one(direct.on_database(act), KEY_FIELDS)


def _verify_export(
    folder: Path, keys: Mapping[str, bytes] | None, anchors: str | None, *, every_anchor: bool
) -> Verdict:
    from pathlib import Path

    from orchestrator.artifacts.export_folder import lines_in, lines_of
    from orchestrator.domain.export_verification import verify_export
    from orchestrator.storage.signing import is_signed

    outside = None if anchors is None else lines_in(Path(anchors))
    verdict = verify_export(
        lines_of(folder),
        verify_signature=is_signed,
        trusted_keys=keys,
        anchors=outside,
        every_anchor=every_anchor,
    )
    _say(verdict, anchors_given=outside is not None, keys_given=keys is not None)
    return verdict


def _with_retired(
    verdict: Verdict, keys: Mapping[str, bytes] | None, given: list[str] | None, *, is_database: bool
) -> Verdict:
    """Verify the exports of retired months too: of the database always, of an export where they were named."""
    from dataclasses import replace
    from pathlib import Path

    from orchestrator.cli import audit_retired

    if not verdict.ok or not verdict.retired or not (is_database or given):
        return verdict

    async def own(deps: Deps) -> tuple[dict[str, bytes], list[Path]]:
        own_keys = {} if deps.signer is None else {deps.signer.key_id: deps.signer.public_key}
        return own_keys, [] if deps.retired is None else [Path(deps.retired.place)]

    if is_database:
        own_keys, places = direct.on_database(own)
    else:
        own_keys, places = {}, []
    folders = [*map(Path, given or ()), *places]
    fault = audit_retired.first_fault(verdict.retired, folders, keys if keys is not None else own_keys or None)
    if fault is None:
        return verdict
    output.text(f"NOT AS IT WAS SIGNED. First bad place: {fault}")
    return replace(verdict, ok=False, problem=fault)


def _verify_database(workspace: str, keys: Mapping[str, bytes] | None, anchors: str | None) -> Verdict:
    """Copy the history into a folder of its own, and verify that: a database is no safer than its copy."""
    import tempfile
    from dataclasses import replace
    from pathlib import Path

    from orchestrator.artifacts.export_folder import ExportFolder, lines_in, lines_of
    from orchestrator.domain.export_verification import verify_export
    from orchestrator.engine import audit
    from orchestrator.storage.signing import is_signed

    with tempfile.TemporaryDirectory(prefix="orchestrator-audit-") as name:
        folder = Path(name) / "history"

        async def act(deps: Deps) -> tuple[str | None, Iterator[bytes] | None, dict[str, bytes]]:
            who = await direct.operator(deps, workspace)
            # Before the snapshot: what is anchored while it is read, it need not hold.
            kept = _kept(deps, who.workspace_id) if anchors is None else lines_in(Path(anchors))
            with ExportFolder(folder) as sink:
                loose = await audit.copy_history(deps, who, sink, progress=_tell)
            own = {} if deps.signer is None else {deps.signer.key_id: deps.signer.public_key}
            return loose, kept, own

        loose, kept, own = direct.on_database(act)
        trusted = own if keys is None else keys
        verdict = verify_export(
            lines_of(folder), verify_signature=is_signed, trusted_keys=trusted, anchors=kept, every_anchor=True
        )
    if verdict.ok and loose is not None:
        verdict = replace(verdict, ok=False, problem=loose)
    _say(verdict, anchors_given=kept is not None, keys_given=True)
    return verdict


def _kept(deps: Deps, workspace: UUID) -> Iterator[bytes] | None:
    """Return the anchors that this installation keeps, None where they are collected elsewhere."""
    anchors = deps.anchors
    return anchors.lines(workspace) if anchors is not None and anchors.can_be_read else None


def _keys(given: list[str] | None) -> dict[str, bytes] | None:
    """Return the public keys that are believed, by their ids; None when none is given."""
    import base64
    import binascii
    from pathlib import Path

    from orchestrator.domain.audit_export import read_keys
    from orchestrator.domain.checkpoints import PUBLIC_KEY_BYTES, Unreadable, key_id

    if not given:
        return None
    found: dict[str, bytes] = {}
    for text in given:
        path = Path(text)
        content = path.read_bytes() if path.is_file() else text.encode()
        try:
            public = content if len(content) == PUBLIC_KEY_BYTES else base64.b64decode(content.strip(), validate=True)
        except (binascii.Error, ValueError):
            public = b""
        try:
            found |= {key_id(public): public} if len(public) == PUBLIC_KEY_BYTES else read_keys(content)
        except Unreadable:
            raise BadInput(
                f"--key {text[:60]!r} is no public key", hint=f"{PUBLIC_KEY_BYTES} bytes in base64, or a file of them"
            ) from None
    return found


def _say(verdict: Verdict, *, anchors_given: bool, keys_given: bool) -> None:
    from orchestrator.domain.audit_words import verdict_lines

    for line in verdict_lines(verdict, anchors_given=anchors_given, keys_given=keys_given):
        output.text(line)


def _tell(done: int, of: int) -> None:
    """Tell of a long export, where somebody watches."""
    if of >= 20_000 and output.stderr_is_terminal():
        output.tell(f"{done:,} of {of:,} streams")


def _moment(text: str | None) -> datetime | None:
    from datetime import UTC, datetime

    from orchestrator.cli import times

    return None if text is None else datetime.fromisoformat(times.since(text, now=datetime.now(UTC)))


def _default_name(period: Period) -> str:
    bounds = [at.strftime("%Y%m%d") for at in (period.since, period.until) if at is not None]
    return "-".join(["audit", *bounds]) if bounds else "audit-full"
