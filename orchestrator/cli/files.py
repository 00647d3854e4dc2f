"""The file of a batch: which format it has, how it is read, and where its refused rows go."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Literal, TypeAlias, cast

from orchestrator.errors import BadInput

Format: TypeAlias = Literal["csv", "jsonl", "json"]

#: As the API takes it; read to the first byte over it, so that the refusal is exact.
MAX_FILE_BYTES = 64 * 1024 * 1024
EXTENSIONS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
}


def read(file: str) -> bytes:
    """Return the bytes of a file; `-` is stdin.

    Raises:
        BadInput: it cannot be read, or is larger than the API takes.
    """
    try:
        stream = sys.stdin.buffer if file == "-" else Path(file).open("rb")  # noqa: SIM115 -- closed below
        with stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror or error}") from None
    if len(data) > MAX_FILE_BYTES:
        raise BadInput(f"{file} has more than {MAX_FILE_BYTES:,} bytes", hint="Split the file.")
    return data


def format_of(file: str, data: bytes) -> Format:
    """Return the format that the name says, else the one that the content begins like."""
    if known := EXTENSIONS.get(Path(file).suffix.lower()):
        return known
    start = data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return cast(Format, {b"[": "json", b"{": "jsonl"}.get(start, "csv"))


def store_refused(file: str, format: Format, content: str) -> Path:
    """Write the refused rows beside the file and return where."""
    folder = Path() if file == "-" else Path(file).parent
    name = "refused" if file == "-" else f"{Path(file).name}.refused"
    path = folder / f"{name}.{'csv' if format == 'csv' else 'jsonl'}"
    path.write_bytes(base64.b64decode(content))
    return path
