"""Both verifiers, asked the same: the product's own, and the stand-alone one."""

from __future__ import annotations

import base64
import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

from orchestrator.domain.checkpoints import key_id
from orchestrator.domain.export_verification import verify_export
from orchestrator.domain.verification import Verdict
from tests.audit.worlds import verify_signature, write
from tools import verify_audit


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What both said."""

    ours: Verdict
    alone_exit: int
    alone_text: str


def ours(
    files: dict[str, bytes], *, key: bytes | None = None, anchors: bytes | None = None, every_anchor: bool = False
) -> Verdict:
    """Ask the product's verifier."""
    return verify_export(
        {name: io.BytesIO(text) for name, text in files.items()},
        verify_signature=verify_signature,
        trusted_keys=None if key is None else {key_id(key): key},
        anchors=None if anchors is None else io.BytesIO(anchors),
        every_anchor=every_anchor,
    )


def alone(
    files: dict[str, bytes],
    folder: Path,
    *,
    key: bytes | None = None,
    anchors: bytes | None = None,
    every_anchor: bool = False,
) -> tuple[int, str]:
    """Ask the stand-alone verifier; return its exit code and what it printed."""
    write(files, folder)
    arguments = [str(folder)]
    if key is not None:
        arguments += ["--key", base64.b64encode(key).decode()]
    if anchors is not None:
        outside = folder.with_suffix(".anchors")
        outside.write_bytes(anchors)
        arguments += ["--anchors", str(outside)]
    if every_anchor:
        arguments.append("--every-anchor")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = verify_audit.main(arguments)
    return code, printed.getvalue()


def both(files: dict[str, bytes], folder: Path, *, key: bytes | None = None, anchors: bytes | None = None) -> Answers:
    """Ask both."""
    code, text = alone(files, folder, key=key, anchors=anchors)
    return Answers(ours=ours(files, key=key, anchors=anchors), alone_exit=code, alone_text=text)
