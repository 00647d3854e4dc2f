"""Where the contenders run, one after the other: one embedded Postgres, durable as in earnest, and one provider."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from benchmarks.costs import OBSERVER, POSTGRES_SETTINGS, Meter
from benchmarks.load import Load
from orchestrator.embedded.postgres import DATABASE, EmbeddedPostgres
from orchestrator.storage.migrate import migrate
from sandbox.control import Sandbox

CHECKOUT = Path(__file__).parents[1]

#: How often the benchmark looks whether a run is done.
LOOK_EVERY_S = 0.05

#: A run that takes longer is stuck.
LONGEST_RUN_S = 900.0
STOP_PATIENCE_S = 40.0


class Stuck(RuntimeError):
    """A run did not come to its end; the text says where its logs are."""


class Stage:
    """As a context manager: at its end nothing runs any more, and its folder is gone unless something failed.

    Args:
        durable: False only where the figures do not matter: in the test of the benchmark itself.
    """

    def __init__(self, load: Load, *, durable: bool = True) -> None:
        self.load = load
        self.folder = Path(tempfile.mkdtemp(prefix="bench-"))
        self.folder.chmod(0o755)  # Postgres may run as another account, and must find its own folder in here
        self.postgres = EmbeddedPostgres(self.folder / "postgres", durable=durable, settings=POSTGRES_SETTINGS)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.callback(self.postgres.stop)
        try:
            self.postgres.start()
            migrate(self.postgres.dsn())
            self.sandbox = self._stack.enter_context(Sandbox(options=self.load.sandbox_options()))
        except BaseException:  # Ctrl-C too: nothing may be left behind
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if isinstance(error, Exception):
            sys.stderr.write(f"throughput: the logs are in {self.folder}\n")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def create_database(self, name: str) -> None:
        """Make an empty, migrated database of a contender's own, and let all begin from the same checkpoint."""
        self.postgres.create_database(name, template=DATABASE)
        self.sandbox.reset()
        with psycopg.connect(self.postgres.superuser_libpq(), autocommit=True) as connection:
            connection.execute("CHECKPOINT")

    def meter(self, processes: Mapping[str, Sequence[int]]) -> Meter:
        """Return what reads the counters of a contender: its own processes, Postgres and the provider."""
        postgres_pid = self.postgres.pid
        assert postgres_pid is not None, "the stage is open"
        parts = {name: list(pids) for name, pids in processes.items()}
        return Meter(
            processes={**parts, "postgres": [postgres_pid], "provider": [self.sandbox.process.pid]},
            superuser=self.postgres.superuser_libpq(),
            logs=self.folder / "postgres" / "postgres" / "data" / "log",
        )

    def until_none(self, database: str, query: str) -> None:
        """Wait until a query that counts what is left says 0.

        Raises:
            Stuck: it never did.
        """
        ends_at = time.monotonic() + LONGEST_RUN_S
        superuser = self.postgres.superuser_libpq(database)
        with psycopg.connect(superuser, autocommit=True, application_name=OBSERVER) as connection:
            while (row := connection.execute(query.encode()).fetchone()) is None or row[0] > 0:
                if time.monotonic() > ends_at:
                    raise Stuck(f"{row} left of {database} after {LONGEST_RUN_S:.0f} s; its logs are in {self.folder}")
                time.sleep(LOOK_EVERY_S)

    def requests(self) -> int:
        """Return how many requests the provider's API has had since the last reset."""
        return sum(int(key["requests"]) for key in self.sandbox.limits()["keys"].values())


class Processes:
    """Child processes of a contender, each with its log in the stage's folder. At the end all are stopped."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            try:
                process.wait(timeout=STOP_PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
        """Start a process; return its id."""
        with (self._stage.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                list(command),
                env=dict(environment) if environment is not None else None,
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running.append(process)
        return process.pid

    def start_python(self, name: str, *words: str, environment: Mapping[str, str] | None = None) -> int:
        """Start a module of this environment."""
        return self.start(name, [sys.executable, "-m", *words], environment)
