"""Fetching result files into a folder: verified while they are written, resumable, and with a table of everything."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.client import Client, Interrupted, VerificationFailed
from orchestrator.client.received import appearing
from orchestrator.domain import result_files
from orchestrator.errors import BadInput

CHUNK_BYTES = 1024 * 1024


@dataclass(slots=True, kw_only=True)
class Fetched:
    """What a fetch came to."""

    runs: int = 0
    files: int = 0
    kept: int = 0
    without_results: int = 0
    erased: int = 0
    size_bytes: int = 0
    broken: list[str] = field(default_factory=list)


def fetch(client: Client, runs: Iterable[Mapping[str, Any]], folder: Path) -> Fetched:
    """Store the results of each run in a folder of its own, and `results.csv` over all of them.

    A file that is there already with the right bytes is kept, so a fetch that was broken off goes on where it was.
    Files that do not verify are left out and named in `broken`.
    """
    done = Fetched()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with appearing(folder / result_files.TABLE) as table:
            table.write(result_files.line(result_files.HEADER).encode())
            for run in runs:
                paths = _fetch_run(client, run, folder, done)
                table.write(result_files.line(result_files.row(run, paths)).encode())
                done.runs += 1
    except Interrupted as error:
        error.hint = "Run it again: the files that came are kept, and it goes on from there."
        raise
    except OSError as error:
        raise BadInput(f"cannot write to {folder}: {error.strerror or error}") from None
    return done


def _fetch_run(client: Client, run: Mapping[str, Any], folder: Path, done: Fetched) -> list[str]:
    offered = list(run.get("results") or [])
    if not offered:
        done.without_results += 1
        return []
    if run.get("erased_at"):
        done.erased += 1
        return []
    home = folder / result_files.folder_name(run)
    home.mkdir(exist_ok=True)
    stored: list[str] = []
    for n, (result, name) in enumerate(result_files.named(run)):
        path = home / name
        if _is_there(path, str(result["sha256"]), int(result["size_bytes"])):
            done.kept += 1
        else:
            try:
                client.runs.download(str(run["id"]), int(result.get("n", n)), path, sha256=str(result["sha256"]))
            except VerificationFailed as error:
                done.broken.append(error.message)
                continue
        done.files += 1
        done.size_bytes += int(result["size_bytes"])
        stored.append(f"{home.name}/{name}")
    return stored


def _is_there(path: Path, sha256: str, size_bytes: int) -> bool:
    if not path.is_file() or path.stat().st_size != size_bytes:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest() == sha256
