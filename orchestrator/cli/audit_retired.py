"""Months of the history that were retired: whether their exports are what the history says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.cli import output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from orchestrator.domain.retention import Retired


def first_fault(months: Sequence[Retired], folders: Sequence[Path], keys: Mapping[str, bytes] | None) -> str | None:
    """Verify the export of each retired month; return the first thing that is wrong, None when all are sound.

    Args:
        folders: where exports are looked for, in this order.
        keys: the public keys that are believed; None: those of the exports themselves.
    """
    for month in months:
        fault = _fault(month, folders, keys)
        if fault is not None:
            return f"retired history, export {month.export}: {fault}"
        events = output.counted(month.events, "event")
        output.text(f"  export {month.export}: verified, {events}, all of what was retired")
    return None


def _fault(month: Retired, folders: Sequence[Path], keys: Mapping[str, bytes] | None) -> str | None:
    from orchestrator.artifacts.export_folder import lines_of
    from orchestrator.artifacts.retired import manifest_sha256
    from orchestrator.domain.audit_export import MANIFEST
    from orchestrator.engine.retired_proof import prove

    here = [folder / month.export for folder in folders if (folder / month.export / MANIFEST).is_file()]
    if not here:
        return f"is not in {', '.join(map(str, folders))}: name where it is with --retired DIR"
    if manifest_sha256(here[0]) != month.manifest_sha256:
        return "its manifest is not the one that was retired (SHA-256 differs)"
    proof = prove(lines_of(here[0]), keys=keys, first=month.first_stream, until=month.until_stream)
    if proof.problem is None and (proof.streams, proof.events) != (month.streams, month.events):
        return f"holds {proof.events:,} events, and {month.events:,} were retired"
    return proof.problem
