"""The data folder of one machine: its layout, its keys, and who may work in it.

<data folder>/            0700
    postgres/             the database (see `cluster.py`)
    artifacts/            stored results
    inputs/               files that other programs leave for schedules
    keys/                 the secret key and the database's passwords, 0600 each
    logs/
    anchors/              signed checkpoints of the history; keep a copy where nobody here can change it
    highwater/            how far the database had come, and what was launched lately: shows a restore
    run/                  locks; nothing in it is worth a backup
    client.json           how the command line reaches the API, 0600
"""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.embedded.claim import Claim, Holder, holder_of
from orchestrator.errors import Misconfigured, NotFound, OrchestratorError, Unavailable

SECRET_KEY_BYTES = 32
PASSWORD_BYTES = 32
PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600


class DataDir:
    """One data folder. Making the object touches nothing; `create` makes the folder."""

    def __init__(self, path: Path) -> None:
        #: Symbolic links are resolved once, so that two spellings are one folder.
        self.root = Path(path).expanduser().resolve()
        self.postgres = self.root / "postgres"
        self.artifacts = self.root / "artifacts"
        self.inputs = self.root / "inputs"
        self.keys = self.root / "keys"
        self.logs = self.root / "logs"
        self.anchors = self.root / "anchors"
        self.highwater = self.root / "highwater"
        self.run = self.root / "run"
        self.client_file = self.root / "client.json"

    def create(self) -> None:
        """Make what is missing. A folder that was there keeps its mode: it may be somebody's home.

        Raises:
            Misconfigured: the folder cannot be made or written.
            Unavailable: the disk is full.
        """
        with explained(f"make the data folder {self.root}"):
            self.root.parent.mkdir(parents=True, exist_ok=True)
            for folder in (self.root, self.postgres, self.artifacts, self.inputs, self.keys, self.logs, self.run):
                folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)

    def claim(self, command: str = "orchestrator up") -> Claim:
        """Make this process the only one that runs the product in this folder, for its life.

        Raises:
            Conflict: another process does; the message names it.
        """
        self.create()
        with explained(f"lock the data folder {self.root}"):
            return Claim(self._claim_file, command=command)

    def holder(self) -> Holder | None:
        """Return the process that runs the product in this folder, None when there is none."""
        with explained(f"look into the data folder {self.root}"):
            return holder_of(self._claim_file)

    @property
    def _claim_file(self) -> Path:
        return self.run / "supervisor.lock"

    def secret_key(self) -> bytes:
        """Return the key that encrypts stored secrets; the first call makes it."""
        path = self.keys / "secret.key"
        self.create()
        with explained(f"keep a key in {path}"):
            key = make_or_read(path, lambda: secrets.token_bytes(SECRET_KEY_BYTES))
        if len(key) != SECRET_KEY_BYTES:
            # Never made anew: what the lost key encrypted could not be read any more.
            raise Misconfigured(
                f"{path} holds {len(key)} bytes, not {SECRET_KEY_BYTES}.",
                code="secret_key_damaged",
                hint="Put the key back from a backup.",
            )
        return key

    def make_password(self, name: str) -> str:
        """Return the password of that name; the first call makes it."""
        path = self._password_file(name)
        with explained(f"keep a password in {path}"):
            return make_or_read(path, lambda: secrets.token_hex(PASSWORD_BYTES).encode()).decode()

    def password(self, name: str) -> str:
        """Return a password that exists.

        Raises:
            NotFound: there is none yet.
        """
        path = self._password_file(name)
        with explained(f"read {path}"):
            if not path.exists():
                raise NotFound(f"There is no {path}.", hint="`orchestrator up` makes it.")
            return path.read_text()

    def _password_file(self, name: str) -> Path:
        return self.keys / f"{name}.password"

    def write_client(self, settings: Mapping[str, str]) -> None:
        """Say how the command line reaches the API, in one piece: a reader sees the old words or the new."""
        with explained(f"write {self.client_file}"):
            draft = _draft_of(self.client_file)
            write_private(draft, json.dumps(dict(settings), indent=2).encode() + b"\n")
            draft.replace(self.client_file)
            sync_folder(self.root)


@contextmanager
def explained(act: str) -> Iterator[None]:
    """Turn what the system says of a folder into what a person can do about it."""
    try:
        yield
    except OSError as error:
        raise _explanation(error, act) from error


def _explanation(error: OSError, act: str) -> OrchestratorError:
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unavailable(
            f"Cannot {act}: the disk is full.",
            code="storage_full",
            hint="Free some space, or name a folder on another disk with ORCH_DATA_DIR.",
        )
    hint = "Name a folder that this user can write with ORCH_DATA_DIR."
    if os.geteuid() == 0:
        hint += " Where root may not become another user, as Postgres must, run as an ordinary user."
    return Misconfigured(f"Cannot {act}: {reason}.", code="data_dir_unusable", hint=hint)


def make_or_read(path: Path, make: Callable[[], bytes]) -> bytes:
    """Return what the file holds; where there is none, write it first, whole and on the disk, or not at all.

    A link gives the finished draft its name only if the name is free: of two processes one wins, both read
    the winner's bytes, and a process killed half way leaves no short key.
    """
    if not path.exists():
        draft = _draft_of(path)
        write_private(draft, make())
        try:
            with suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink()
        sync_folder(path.parent)
    return path.read_bytes()


def write_private(path: Path, content: bytes) -> None:
    """Write a new file that only its owner can read, down to the disk."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Bring a folder's names to the disk: a file's own fsync does not save its name."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _draft_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")
