"""A form with a file: taken as it comes, onto disk once it is large, and never whole in memory."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from pathlib import PurePosixPath

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from orchestrator.api import limits
from orchestrator.api.problems import RequestRefused
from orchestrator.engine.spool import CHUNK_BYTES, Spool
from orchestrator.web.forms import Form

MULTIPART = "multipart/form-data"
MAX_FIELDS = 40
#: What is pasted is held in memory.
MAX_PASTED_BYTES = 4 * 1024 * 1024
#: What stands around the file in the body.
ENVELOPE_BYTES = MAX_PASTED_BYTES + 64 * 1024
MAX_NAME_CHARS = 200


@dataclass(frozen=True, slots=True)
class Upload:
    """What came with a form. `filename` is the sender's, made fit to be shown; None when the text was pasted."""

    filename: str | None
    content_type: str | None


def turn(request: Request, size_bytes: int | None = None) -> AbstractAsyncContextManager[object]:
    """Return a turn for a large file, of which few are read at once; none is needed for a small one.

    Args:
        size_bytes: of the file; None: of the request's own body.
    """
    is_large = limits.is_large(request) if size_bytes is None else size_bytes > limits.LARGE_FROM_BYTES
    turns: limits.LargeBodies = request.app.state.large_bodies
    return turns if is_large else nullcontext()


async def read(request: Request, content: Spool) -> tuple[Form, Upload | None]:
    """Return the fields of a form, and what it brought: the file of its field `file`, else the text of `pasted`.

    Args:
        content: takes what it brought.

    Raises:
        TooLarge, RequestRefused: it is no such form, or too much.
    """
    limits.require_type(request, MULTIPART)
    coming = limits.chunks(request, max_bytes=limits.BATCH_BYTES + ENVELOPE_BYTES)
    parser = MultiPartParser(
        request.headers, coming, max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_PASTED_BYTES
    )
    try:
        found = await parser.parse()
    except MultiPartException as error:
        raise RequestRefused(400, f"the form cannot be read: {error.message}", code="bad_input") from None
    try:
        form = Form([(name, value) for name, value in found.multi_items() if isinstance(value, str)])
        file = next((one for one in found.values() if isinstance(one, UploadFile) and (one.filename or one.size)), None)
        if file is None:
            content.write((_pasted(form) or "").encode())
            return form, Upload(filename=None, content_type=None) if content.size_bytes else None
        while piece := await file.read(CHUNK_BYTES):
            content.write(piece)
        return form, Upload(filename=_shown(file.filename), content_type=file.content_type)
    finally:
        await found.close()


def _pasted(form: Form) -> str | None:
    return next((text for text in form.every("pasted") if text.strip()), None)


def _shown(filename: str | None) -> str | None:
    """Return the last part of a name, printable and not too long."""
    last = PurePosixPath((filename or "").replace("\\", "/")).name
    return "".join(one for one in last if one.isprintable())[:MAX_NAME_CHARS] or None
