"""The OS account under which Postgres runs when we are root: it refuses to be root itself.

An ordinary user needs none: Postgres then runs as that user.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import Misconfigured

#: Made when it is missing: an account that owns the database and nothing else.
DEDICATED = "pgserver"
#: Taken when no account can be made (a read-only or very small system): shared with others, but without rights.
FALLBACKS = ("nobody", "daemon")
USERADD_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user and group, by number: an account made in another container may have no name here."""

    uid: int
    gid: int


def account_for(folder: Path) -> Account | None:
    """Return who must run the Postgres of a folder, None for "whoever we are".

    A database that exists belongs to the account that made it, whatever its name is now: Postgres insists
    on owning its folder, and a volume outlives the container whose user list had the name.

    Raises:
        Misconfigured: the folder is another user's, or root finds no account without rights.
    """
    owner = folder.stat() if folder.exists() else None
    if os.geteuid() != 0:
        if owner is not None and owner.st_uid != os.geteuid():
            raise Misconfigured(
                f"The database in {folder} belongs to user {owner.st_uid}, and we are user {os.geteuid()}.",
                code="data_dir_unusable",
                hint="Run as that user (as root, if root made it), or name another folder with ORCH_DATA_DIR.",
            )
        return None
    if owner is not None and owner.st_uid != 0:
        return Account(uid=owner.st_uid, gid=owner.st_gid)
    return _unprivileged()


def own_tree(folder: Path, account: Account) -> None:
    """Give a folder and all in it to an account; links are given, not followed."""
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            os.chown(Path(parent) / name, account.uid, account.gid, follow_symlinks=False)
    os.chown(folder, account.uid, account.gid, follow_symlinks=False)


def _unprivileged() -> Account:
    found = _named(DEDICATED)
    if found is None:
        _add(DEDICATED)
    for name in (DEDICATED, *FALLBACKS):
        found = _named(name)
        if found is not None and found.uid != 0:
            return found
    raise Misconfigured(
        f"Postgres does not run as root, and neither {DEDICATED} nor {' nor '.join(FALLBACKS)} is a user here.",
        hint="Run as an ordinary user, or give ORCH_DATABASE_URL.",
    )


def _named(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


def _add(name: str) -> None:
    """Try to make the account. Whether it worked shows in the user list: another process may be at it too."""
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", name]
    try:
        subprocess.run(  # noqa: S603 -- fixed words
            command, check=False, timeout=USERADD_TIMEOUT_S, stdin=subprocess.DEVNULL, capture_output=True
        )
    except (OSError, subprocess.TimeoutExpired):
        return  # no useradd here, or it waits for a lock: the fallbacks are good enough
