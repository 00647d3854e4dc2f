"""What the Script API's answers must look like, read strictly; fields that we do not know are ignored.

The API drifts (an older edition of its page had other paths and other status words), so nothing is guessed: what
does not fit is `WrongShape`, and what that means depends on the call.

Source: the Script API's own page, and its reference pages for the nullable fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from orchestrator.domain.answers import (
    Accepted,
    Observation,
    OfferedFile,
    RemoteStatus,
    WaveAccepted,
    WorkflowPage,
    WorkflowSummary,
    WorkflowView,
)
from orchestrator.domain.intake import strict_json
from orchestrator.errors import BadInput
from orchestrator.providers.evidence import one_line, plain_word
from orchestrator.providers.reading import OwnError, WrongShape

MAX_ID_CHARS = 200
MAX_NAME_CHARS = 500
MAX_TEXT_CHARS = 4_000
MAX_FILENAME_CHARS = 1_024
MAX_URL_CHARS = 8_192
MAX_FILES = 1_000
MAX_PAGE_ITEMS = 1_000
MAX_WORD_CHARS = 64
_MAX_DEPTH = 32

STATUS_WORDS: Mapping[str, RemoteStatus] = MappingProxyType(
    {
        "initial": RemoteStatus.WAITING,
        "processing": RemoteStatus.RUNNING,
        "human_in_the_loop": RemoteStatus.HUMAN,
        "finished": RemoteStatus.FINISHED,
        "error": RemoteStatus.FAILED,
    }
)


def is_id(value: object) -> bool:
    """Return whether a value can stand in a URL's path as one part and in our tables as it is."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= MAX_ID_CHARS
        and value.isprintable()
        and not any(char in value for char in " /\\?#%")
        and value not in (".", "..")
    )


def document(body: bytes) -> dict[str, object]:
    """Return the JSON object that a body spells."""
    try:
        value = strict_json.parse(body, max_depth=_MAX_DEPTH)
    except BadInput as flaw:
        raise WrongShape(f"not strict JSON ({flaw.code})") from None
    if not isinstance(value, dict):
        raise WrongShape("not a JSON object")
    return value


def own_error(body: bytes) -> OwnError | None:
    """Return the provider's words when the body is in its own error shape: an object with a text `error`."""
    try:
        said = document(body).get("error")
    except WrongShape:
        return None
    return OwnError(said=said) if isinstance(said, str) else None


def accepted(body: bytes) -> Accepted:
    return Accepted(execution_id=_id(document(body), "execution_id"))


def wave_accepted(body: bytes, *, count: int) -> WaveAccepted:
    """Return the ids by index. Entries that contradict each other or the request are left out: they are doubts."""
    entries = document(body).get("executions")
    if not isinstance(entries, list):
        raise WrongShape("`executions` is not a list")
    ids_of: dict[int, set[str]] = {}
    indexes_of: dict[str, set[int]] = {}
    for entry in entries:
        if not isinstance(entry, dict):
            continue
        index, execution_id = entry.get("index"), entry.get("execution_id")
        if type(index) is int and 0 <= index < count and isinstance(execution_id, str) and is_id(execution_id):
            ids_of.setdefault(index, set()).add(execution_id)
            indexes_of.setdefault(execution_id, set()).add(index)
    ids = {index: next(iter(found)) for index, found in ids_of.items() if len(found) == 1}
    return WaveAccepted(execution_ids={index: id_ for index, id_ in ids.items() if len(indexes_of[id_]) == 1})


def observation(body: bytes, *, execution_id: str) -> Observation:
    seen = document(body)
    word = seen.get("status")
    if not isinstance(word, str):
        raise WrongShape("`status` is not a text")
    # An answer about another execution (a desynchronised proxy) must never end this one.
    if seen.get("id", execution_id) != execution_id:
        raise WrongShape("`id` is not the execution that was asked for")
    status = STATUS_WORDS.get(word, RemoteStatus.UNKNOWN)
    try:
        files = _files(seen.get("results"))
    except WrongShape:
        # Only a finished execution's results are taken; elsewhere an odd list must not hide the status.
        if status is RemoteStatus.FINISHED:
            raise
        files = None
    said = seen.get("error")
    return Observation(
        status=status,
        word=plain_word(word, max_chars=MAX_WORD_CHARS),
        files=files,
        error_message=one_line(said, max_chars=1_000) if isinstance(said, str) and said else None,
    )


def workflow_page(body: bytes) -> WorkflowPage:
    page = document(body)
    entries, cursor = page.get("data"), page.get("cursor")
    if not isinstance(entries, list) or len(entries) > MAX_PAGE_ITEMS:
        raise WrongShape("`data` is not a list of a bounded length")
    if not (cursor is None or (isinstance(cursor, str) and 0 < len(cursor) <= 2_000)):
        raise WrongShape("`cursor` is neither null nor a text")
    return WorkflowPage(workflows=tuple(_summary(entry) for entry in entries), cursor=cursor)


def workflow_view(body: bytes) -> WorkflowView:
    view = document(body)
    description, schema = view.get("description"), view.get("input_schema")
    if not (description is None or isinstance(description, str)):
        raise WrongShape("`description` is neither null nor a text")
    if not (schema is None or isinstance(schema, dict)):
        raise WrongShape("`input_schema` is neither null nor an object")
    return WorkflowView(
        remote_id=_id(view, "id"),
        name=_name(view),
        description=None if description is None else description[:MAX_TEXT_CHARS],
        input_schema=schema,
        created_at=_moment(view.get("created_at")),
        updated_at=_moment(view.get("updated_at")),
    )


def _summary(entry: object) -> WorkflowSummary:
    if not isinstance(entry, dict):
        raise WrongShape("an entry of `data` is not an object")
    return WorkflowSummary(
        remote_id=_id(entry, "id"),
        name=_name(entry),
        created_at=_moment(entry.get("created_at")),
        updated_at=_moment(entry.get("updated_at")),
    )


def _files(results: object) -> tuple[OfferedFile, ...] | None:
    if results is None:
        return None
    if not isinstance(results, list) or len(results) > MAX_FILES:
        raise WrongShape(f"`results` is neither null nor a list of at most {MAX_FILES:,}")
    return tuple(_file(entry) for entry in results)


def _file(entry: object) -> OfferedFile:
    if not isinstance(entry, dict):
        raise WrongShape("an entry of `results` is not an object")
    filename, url = entry.get("filename"), entry.get("url")
    if not isinstance(filename, str) or len(filename) > MAX_FILENAME_CHARS:
        raise WrongShape(f"`filename` is not a text of at most {MAX_FILENAME_CHARS:,} characters")
    if not isinstance(url, str) or len(url) > MAX_URL_CHARS or not url.isprintable() or " " in url:
        raise WrongShape(f"`url` is not a URL of at most {MAX_URL_CHARS:,} characters")
    if not url.lower().startswith(("https://", "http://")):
        raise WrongShape("`url` is not an http URL")
    return OfferedFile(filename=filename, url=url)


def _id(holder: Mapping[str, object], field: str) -> str:
    value = holder.get(field)
    if not isinstance(value, str) or not is_id(value):
        raise WrongShape(f"`{field}` is missing, or no id that can stand in a URL")
    return value


def _name(holder: Mapping[str, object]) -> str:
    name = holder.get("name")
    if not isinstance(name, str):
        raise WrongShape("`name` is not a text")
    return plain_word(name, max_chars=MAX_NAME_CHARS)


def _moment(value: object) -> datetime | None:
    """Return an aware moment, or None: it is shown, never decided on, so an odd one spoils nothing."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
