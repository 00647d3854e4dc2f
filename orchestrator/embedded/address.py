"""The way to a Postgres socket: a folder name that every client can use.

The socket itself always lies in the database's own folder, private as that is. Its path may be too long for
the system (107 bytes on Linux, 103 on macOS) or hold characters that connection strings trip over (libpq
splits hosts at commas, and the broker's client does not quote spaces). Then clients go by a short symbolic
link in a temporary folder. A link, and not a socket there: it can be made anew at any time when a cleaner of
temporary files took it, and it opens nothing to anybody.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path

from orchestrator.errors import Misconfigured

#: Only part of the file's name: every database has a socket folder of its own, so one number serves all.
PORT = 5432
SOCKET_NAME = f".s.PGSQL.{PORT}"
#: The smallest limit of the systems we run on: 104 bytes on macOS, less the closing zero.
MAX_SOCKET_PATH_BYTES = 103
PLAIN = re.compile(r"/[A-Za-z0-9._/+-]+")
MAX_SWEPT_LINKS = 1000


def link_folders() -> Sequence[Path]:
    """Return where links may go, best first. /run is never swept; the others may be, see `Address.host`."""
    temporary = (Path(tempfile.gettempdir()), Path("/tmp"))  # noqa: S108 -- only links that we check lie there
    return (Path("/run"), *temporary) if os.geteuid() == 0 else temporary


class Address:
    """How clients reach the socket in `folder`."""

    def __init__(self, folder: Path, *, links: Sequence[Path] | None = None) -> None:
        self._folder = folder
        name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
        self._prefix = f"orch-{os.geteuid()}-"
        self._candidates = [home / f"{self._prefix}{name}" for home in links or link_folders()]

    @property
    def socket(self) -> Path:
        """Where the socket lies in truth."""
        return self._folder / SOCKET_NAME

    def host(self) -> str:
        """Return what to give as `host`; make the short way (again) where one is needed.

        Raises:
            Misconfigured: no short way can be made.
        """
        if _is_usable(self._folder):
            return str(self._folder)
        for link in self._candidates:
            if _is_usable(link) and self._point(link):
                return str(link)
        raise Misconfigured(
            f"The path {self._folder} is too long for a socket, and no short link to it can be made in "
            f"{' or '.join(str(link.parent) for link in self._candidates)}.",
            hint="Name a folder with a shorter path with ORCH_DATA_DIR.",
        )

    def forget(self) -> None:
        """Remove the short way of this folder, and those of folders that are no more."""
        for link in self._candidates:
            if _target(link) == str(self._folder):
                link.unlink(missing_ok=True)
            self._sweep(link.parent)

    def _point(self, link: Path) -> bool:
        """Make the link lead to our folder. False when the name is taken by something that is not ours."""
        if _target(link) == str(self._folder):
            return True
        if os.path.lexists(link) and _target(link) is None:
            return False
        draft = link.with_name(f"{link.name}.{secrets.token_hex(4)}")
        try:
            draft.symlink_to(self._folder)
            draft.replace(link)
        except OSError:
            draft.unlink(missing_ok=True)
            return False
        return True

    def _sweep(self, home: Path) -> None:
        if not home.is_dir():
            return
        for link in list(home.glob(f"{self._prefix}*"))[:MAX_SWEPT_LINKS]:
            if _target(link) is not None and not link.exists():
                link.unlink(missing_ok=True)


def _is_usable(folder: Path) -> bool:
    path = str(folder / SOCKET_NAME)
    return len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES and PLAIN.fullmatch(path) is not None


def _target(link: Path) -> str | None:
    """Return where a link of ours leads; None for what is not a link or not ours (anybody can write in /tmp)."""
    try:
        return str(link.readlink()) if link.lstat().st_uid == os.geteuid() else None
    except OSError:
        return None
