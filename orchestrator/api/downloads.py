"""A stored result file as an answer: byte for byte, to be saved and never shown as a page."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from orchestrator.domain.filenames import safe_name
from orchestrator.engine.reading import OpenResult


def attachment(opened: OpenResult, n: int) -> Response:
    """Stream a file under its own name, or what is safe of it."""
    name = safe_name(opened.filename, f"result-{n}", taken=set())
    plain = name.encode("ascii", "replace").decode().replace('"', "_").replace("\\", "_").replace("?", "_")
    digest = b64encode(bytes.fromhex(opened.sha256)).decode()
    return StreamingResponse(
        opened.chunks,
        media_type="application/octet-stream",
        headers={
            "Content-Length": str(opened.size_bytes),
            # Both forms (RFC 6266): the plain one for old readers, the other for the name as it is.
            "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Repr-Digest": f"sha-256=:{digest}:",
            "ETag": f'"{opened.sha256}"',
        },
    )
