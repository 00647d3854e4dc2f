"""The Postgres under the simulated worlds: a throw-away cluster, and a fresh copy of a migrated database for each."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.storage.migrate import migrate
from tests.in_memory import MEMORY, has_room
from tests.simulation.world import EPOCH

#: In memory where there is room, for a simulated world outlives nothing.
_FOLDER_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Ground:
    """A running cluster. `dsn` leads to the migrated database that worlds are copied from."""

    server: EmbeddedPostgres

    def create(self, name: str) -> str:
        """Make a world's database; return its URL."""
        self.server.create_database(name, template="orchestrator")
        return self.server.dsn(name)

    def drop(self, name: str) -> None:
        """Remove a world's database."""
        self.server.drop_database(name)


@contextmanager
def ground() -> Iterator[Ground]:
    """Start a cluster for simulations, and remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="simulation-", dir=MEMORY if has_room(_FOLDER_BYTES) else None))
    # Housekeeping comes when it likes, and with it other plans: a world must not depend on it.
    server = EmbeddedPostgres(folder, durable=False, settings={"autovacuum": "off"})
    try:
        server.start()
        migrate(server.dsn())
        _open_partitions(server.dsn())
        _trust(folder)
        yield Ground(server)
    finally:
        server.stop(mode="immediate")
        shutil.rmtree(folder, ignore_errors=True)


def _open_partitions(dsn: str) -> None:
    """Make the partitions of the virtual months, as a living installation has them."""
    with psycopg.connect(dsn.replace("+psycopg", "")) as connection:
        for month in (EPOCH, EPOCH.replace(month=2)):
            connection.execute("SELECT events_partition(%s)", (month,))


def _trust(folder: Path) -> None:
    """Let everybody in without a password: worlds connect thousands of times, and a password's hash is slow."""
    (hba,) = folder.rglob("pg_hba.conf")
    hba.write_text("local all all trust\nhost all all 127.0.0.1/32 trust\n")
    postmaster = int((hba.parent / "postmaster.pid").read_text().splitlines()[0])
    os.kill(postmaster, signal.SIGHUP)
