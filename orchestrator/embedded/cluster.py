"""The folder in which one Postgres keeps everything: made whole or not at all, and never by another version.

postgres/
    data/           the cluster (PGDATA); Postgres' socket and log lie in it
    init-…/         a cluster being made; renamed to `data` when it is complete
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import BinaryIO

from orchestrator.embedded.account import Account, own_tree
from orchestrator.embedded.binaries import ENVIRONMENT, MAJOR, called_from_inside
from orchestrator.embedded.datadir import sync_folder
from orchestrator.embedded.processes import LOOK_EVERY_S, kill_all, name_of, processes_of
from orchestrator.embedded.serverlog import startup_error
from orchestrator.errors import Misconfigured, Unavailable

SUPERUSER = "postgres"
DRAFT_PREFIX = "init-"
REMOVE_PATIENCE_S = 5.0
#: The locale is Postgres' own C.UTF-8: an upgrade of the system's C library cannot reorder its indexes.
#: Passwords even on the socket: `trust` would let in whoever reaches it.
INITDB = (
    f"--username={SUPERUSER}",
    "--pwfile=/dev/stdin",
    "--auth-local=scram-sha-256",
    "--auth-host=scram-sha-256",
    "--data-checksums",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)


class Cluster:
    """The cluster below one `postgres/` folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / "data"

    @property
    def exists(self) -> bool:
        return (self.path / "PG_VERSION").exists()

    def check(self) -> None:
        """Refuse a cluster that these programs cannot open.

        Raises:
            Misconfigured: another major version made it, or it is no cluster.
        """
        if not self.exists:
            raise Misconfigured(
                f"{self.path} is not a PostgreSQL folder: it has no PG_VERSION.",
                code="data_dir_unusable",
                hint="Put it back from a backup, or move it away to begin anew.",
            )
        found = (self.path / "PG_VERSION").read_text()[:20].strip()
        if found != str(MAJOR):
            raise Misconfigured(
                f"The database in {self.path} was made by PostgreSQL {found}; this version runs {MAJOR}.",
                code="database_version",
                hint="Dump it with the version that made it and load it here, or name another ORCH_DATA_DIR.",
            )

    def make(
        self,
        *,
        programs: Path,
        account: Account | None,
        password: str,
        log: Path,
        is_durable: bool,
        deadline_s: float,
    ) -> None:
        """Make the cluster beside its place and move it there complete, so that a kill leaves nothing half made.

        initdb brings all files to the disk itself (measured: 0.2 s of 0.7 s; not worth saving with `--no-sync`
        and a `sync` of the whole machine after it); then the name follows.
        """
        self._sweep()
        if self.path.exists() and not any(self.path.iterdir()):
            self.path.rmdir()
        draft = Path(tempfile.mkdtemp(prefix=DRAFT_PREFIX, dir=self._folder))
        if account is not None:
            own_tree(draft, account)
        options = INITDB if is_durable else (*INITDB, "--no-sync")
        _run_initdb(
            [programs / "initdb", "-D", called_from_inside(draft), f"--set=cluster_name={name_of(draft)}", *options],
            draft,
            account,
            password,
            log,
            deadline_s,
        )
        draft.rename(self.path)
        sync_folder(self._folder)

    def adopt(self, account: Account | None) -> None:
        """Give a cluster that root put here (a restored backup) to the account that will run it."""
        if account is not None and self.path.stat().st_uid != account.uid:
            own_tree(self.path, account)

    def _sweep(self) -> None:
        """Remove what a killed process left half made."""
        for draft in self._folder.glob(f"{DRAFT_PREFIX}*"):
            kill_all(processes_of(draft))  # its initdb may still be at it
            _remove(draft)


def _remove(draft: Path) -> None:
    """Remove a draft, though the server that its initdb fed may be tidying up in it for its last moments."""
    until = time.monotonic() + REMOVE_PATIENCE_S
    while draft.exists():
        try:
            shutil.rmtree(draft)
        except OSError:
            if time.monotonic() >= until:
                raise
            time.sleep(LOOK_EVERY_S)


def _run_initdb(
    command: list[str | Path], draft: Path, account: Account | None, password: str, log: Path, deadline_s: float
) -> None:
    # The log is a file: a grandchild that lives on would keep a pipe open.
    with log.open("wb") as output, _password_pipe(password, account) as password_input:
        try:
            done = subprocess.run(  # noqa: S603 -- our own program
                command,
                cwd=draft,
                env=ENVIRONMENT,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                umask=0o077,
                start_new_session=True,
                stdin=password_input,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=deadline_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"initdb did not end in {deadline_s:.0f} s; see {log}.") from error
    if done.returncode != 0:
        _remove(draft)
        raise startup_error("PostgreSQL could not make its folder", log.read_text(errors="replace"))


def _password_pipe(password: str, account: Account | None) -> BinaryIO:
    """Return the reading end of a pipe with the password: it is in no file, environment or command line."""
    reading, writing = os.pipe()
    os.write(writing, password.encode() + b"\n")
    os.close(writing)
    if account is not None:
        os.fchown(reading, account.uid, account.gid)  # initdb opens it by name, which asks for the owner
    return os.fdopen(reading, "rb")
