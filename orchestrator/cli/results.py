"""Fetching result files into a folder: verified while they are written, resumable, and with a table of everything."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.artifacts.filenames import safe_name
from orchestrator.client import Client, VerificationFailed
from orchestrator.errors import BadInput

CHUNK_BYTES = 1024 * 1024
#: How a spreadsheet begins a formula; a quote before it makes it text again.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
HEADER = (
    *("index", "run_id", "external_id", "status", "error_code", "error_message"),
    *("execution_id", "files", "sha256", "size_bytes", "paths"),
)


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
        part = folder / f".results.csv.{os.getpid()}.part"
        with part.open("w", encoding="utf-8", newline="") as opened:
            table = csv.writer(opened, lineterminator="\n")
            table.writerow(HEADER)
            for run in runs:
                table.writerow(_row(run, _fetch_run(client, run, folder, done)))
                done.runs += 1
        part.replace(folder / "results.csv")
    except OSError as error:
        raise BadInput(f"cannot write to {folder}: {error.strerror or error}") from None
    return done


def folder_name(run: Mapping[str, Any]) -> str:
    """Return the name of a run's folder: its index in the batch leads, a single run has none."""
    return str(run["id"]) if run.get("index") is None else f"{run['index']}-{run['id']}"


def _fetch_run(client: Client, run: Mapping[str, Any], folder: Path, done: Fetched) -> list[Path]:
    offered = list(run.get("results") or [])
    if not offered:
        done.without_results += 1
        return []
    if run.get("erased_at"):
        done.erased += 1
        return []
    home = folder / folder_name(run)
    home.mkdir(exist_ok=True)
    taken: set[str] = set()
    stored: list[Path] = []
    for number, result in enumerate(offered):
        n = int(result.get("n", number))
        path = home / safe_name(str(result["filename"]), f"result-{n}", taken=taken)
        if _is_there(path, str(result["sha256"]), int(result["size_bytes"])):
            done.kept += 1
        else:
            try:
                client.runs.download(str(run["id"]), n, path, sha256=str(result["sha256"]))
            except VerificationFailed as error:
                done.broken.append(error.message)
                continue
        done.files += 1
        done.size_bytes += int(result["size_bytes"])
        stored.append(path.relative_to(folder))
    return stored


def _is_there(path: Path, sha256: str, size_bytes: int) -> bool:
    if not path.is_file() or path.stat().st_size != size_bytes:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest() == sha256


def _row(run: Mapping[str, Any], stored: list[Path]) -> list[str]:
    error = run.get("error") or {}
    offered = run.get("results") or []
    is_erased = bool(run.get("erased_at"))
    values = [run.get("index"), run["id"], run.get("external_id"), run["status"]]
    values += [error.get("code"), error.get("message"), run.get("execution_id"), 0 if is_erased else len(offered)]
    values += [_joined(result["sha256"] for result in offered), _joined(result["size_bytes"] for result in offered)]
    values += ["erased" if is_erased else _joined(str(path) for path in stored)]
    return [_safe(value) for value in values]


def _joined(values: Iterable[Any]) -> str:
    """Put several values into one cell, as one line of CSV of their own: filenames may hold any separator."""
    line = io.StringIO()
    csv.writer(line, delimiter=";", lineterminator="").writerow(values)
    return line.getvalue() if line.getvalue() != '""' else ""


def _safe(value: Any) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
