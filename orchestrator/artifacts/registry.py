"""A store by its URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from orchestrator.artifacts.local import LocalStore
from orchestrator.errors import Misconfigured


def artifact_store(url_or_path: str | Path) -> LocalStore:
    """Return the store that a setting names: a folder, or a `file://` URL of one.

    Raises:
        Misconfigured: another kind of store, which this version does not have, or a folder that cannot be used.
    """
    text = str(url_or_path)
    scheme, found, _ = text.partition("://")
    if not found:
        return LocalStore(_folder(text))
    if scheme.lower() != "file":
        raise Misconfigured(
            f"artifact stores of the kind {scheme[:20]!r} are not in this version",
            code="artifacts.kind",
            hint="Name a folder, or a file:// URL. A mounted network folder works for several machines.",
        )
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost"):
        raise Misconfigured("a file:// URL names no other machine: file:///path", code="artifacts.host")
    return LocalStore(_folder(unquote(parts.path)))


def _folder(text: str) -> Path:
    if not text.strip() or "\0" in text:
        raise Misconfigured("the artifact store's folder is empty", code="artifacts.folder")
    return Path(text).expanduser()
