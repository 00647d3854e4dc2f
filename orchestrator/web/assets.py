"""CSS and scripts by names that carry their hash: a browser keeps them for ever, and a new version has new names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.errors import NotFound

FOLDER = Path(__file__).parent / "assets"
PATH = "/assets"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_HASH_CHARS = 12


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, whole in memory."""

    content: bytes
    media_type: str


class Assets:
    """Every file of the folder, read once."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._by_url: dict[str, Asset] = {}
        self._urls: dict[str, str] = {}
        for file in sorted(folder.iterdir()):
            if file.suffix in _TYPES:
                content = file.read_bytes()
                named = f"{file.stem}.{hashlib.sha256(content).hexdigest()[:_HASH_CHARS]}{file.suffix}"
                self._urls[file.name] = f"{PATH}/{named}"
                self._by_url[named] = Asset(content, _TYPES[file.suffix])

    @property
    def urls(self) -> Mapping[str, str]:
        """The URL of each file, by its plain name."""
        return self._urls

    def find(self, named: str) -> Asset:
        """Return a file by the name that carries its hash.

        Raises:
            NotFound: there is none, or it is another version's.
        """
        found = self._by_url.get(named)
        if found is None:
            raise NotFound("there is no such file", hint="reload the page: it names those of this version")
        return found


ASSETS = Assets()

router = APIRouter(include_in_schema=False)


@router.get(PATH + "/{named}")
async def asset(named: str) -> Response:
    """Return a file that never changes under its name."""
    found = ASSETS.find(named)
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(found.content, media_type=found.media_type, headers=headers)
