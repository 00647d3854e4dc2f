"""Everything of the product on one machine: Postgres, the API and the workers, started, kept alive and stopped."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from pydantic import SecretStr

from orchestrator.embedded.children import Child
from orchestrator.embedded.claim import Claim
from orchestrator.embedded.datadir import DataDir
from orchestrator.embedded.environment import child_environment, secret_key_text
from orchestrator.embedded.leftovers import end_leftovers
from orchestrator.embedded.listening import answers, free_port, url_of
from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.embedded.postmaster import StopMode
from orchestrator.embedded.preparing import CLI, prepare
from orchestrator.errors import OrchestratorError, Unavailable
from orchestrator.runtime import STOP_PATIENCE_S
from orchestrator.settings import Settings

TICK_S = 0.1
POSTGRES_LOOK_EVERY_S = 2.0
#: A recovery that takes longer goes on by itself, and the next look waits on.
POSTGRES_RESTART_S = 15.0
LOGS_LOOK_EVERY_S = 10.0
READY_TIMEOUT_S = 90.0
READY_LOOK_EVERY_S = 0.1
KILL_PATIENCE_S = 5.0
#: The API holds nothing; a worker may have a launch on the wire.
API_GRACE_S = 2.0
WORKER_GRACE_S = 45.0
#: More deaths than this while nothing is ready yet is a fault, not bad luck.
MAX_EARLY_DEATHS = 3

Say = Callable[[str], None]


class Supervisor:
    """The product in one data folder, as a tree of processes below this one.

    If this process is killed, its children end by themselves, and Postgres goes on: the next supervisor takes it over.

    Args:
        workers: worker processes; None takes the setting.
        say: told what happens, a line at a time, for a person.
    """

    def __init__(self, settings: Settings, *, workers: int | None = None, say: Say) -> None:
        self._data = DataDir(settings.data_dir)
        self._settings = settings.model_copy(update={"data_dir": self._data.root})
        self._worker_count = settings.workers if workers is None else workers
        self._say = say
        self._claim: Claim | None = None
        self._postgres: EmbeddedPostgres | None = None
        self._lifeline: tuple[int, int] | None = None
        self._api: Child | None = None
        self._workers: list[Child] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._keeper: threading.Thread | None = None
        self.url = ""

    # -- life --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Return when the product answers and its workers work; leave nothing running when that fails.

        Raises:
            Conflict: another process runs the product in this folder, or the port is taken.
            Misconfigured, Unavailable: what else is in the way.
        """
        self._claim = self._data.claim()
        try:
            if end_leftovers(self._data.root, patience_s=WORKER_GRACE_S + KILL_PATIENCE_S):
                self._say("What a killed run had left here has ended")
            port = free_port(self._settings.host, self._settings.port)
            self.url = url_of(self._settings.host, port)
            environment = child_environment(self._start_database(port))
            prepare(environment, url=self.url)
            self._start_children(environment)
            self._await_ready()
        except BaseException:  # Ctrl-C too: whatever stops the start, nothing may be left behind
            self.stop(patience_s=KILL_PATIENCE_S)
            raise

    def wait(self) -> None:
        """Return when `ask_to_stop` was called."""
        while not self._stopping.wait(1.0):
            pass

    def ask_to_stop(self) -> None:
        """Let `wait` return; safe in a signal handler. Asked twice, the stop that follows does not wait."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    def stop(self, *, patience_s: float = STOP_PATIENCE_S) -> None:
        """End the children, those with unfinished work after `patience_s`, then Postgres. Twice is fine."""
        self._stopping.set()
        if self._keeper is not None:
            self._keeper.join()
            self._keeper = None
        self._end_children(patience_s)
        if self._lifeline is not None:
            for fd in self._lifeline:
                os.close(fd)
            self._lifeline = None
        if self._postgres is not None:
            self._postgres.stop(StopMode.FAST)
            self._postgres = None
        if self._claim is not None:
            self._claim.release()
            self._claim = None

    # -- the workers -------------------------------------------------------------------------------------------

    def worker_pids(self) -> list[int]:
        """Return the process ids of the workers that run now."""
        with self._lock:
            return [worker.pid for worker in self._workers if worker.pid is not None]

    def kill_workers(self) -> list[int]:
        """End every worker as a power cut would, and return their process ids. New ones are started at once."""
        with self._lock:
            pids = [worker.pid for worker in self._workers if worker.pid is not None]
            for worker in self._workers:
                worker.signal(signal.SIGKILL)
        return pids

    # -- steps of the start ------------------------------------------------------------------------------------

    def _start_database(self, port: int) -> Settings:
        """Return the settings that the children get, with a database that runs."""
        changes: dict[str, object] = {"port": port}
        if self._settings.secret_key is None:
            changes["secret_key"] = SecretStr(secret_key_text(self._data.secret_key()))
        if self._settings.database_url is None:
            self._postgres = EmbeddedPostgres(self._data.root)
            self._say("Starting PostgreSQL ..." if self._postgres.pid is None else "Taking over the running PostgreSQL")
            self._postgres.start()
            changes["database_url"] = SecretStr(self._postgres.dsn())
        return self._settings.model_copy(update=changes)

    def _start_children(self, environment: Mapping[str, str]) -> None:
        self._lifeline = os.pipe()
        self._api = self._child("api", ["serve"], environment, grace_s=API_GRACE_S)
        self._workers = [
            self._child(
                f"worker-{number}", ["worker", "--name", f"worker-{number}"], environment, grace_s=WORKER_GRACE_S
            )
            for number in range(1, self._worker_count + 1)
        ]
        for child in self._children():
            child.start()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._keeper.start()

    def _child(self, name: str, arguments: Sequence[str], environment: Mapping[str, str], *, grace_s: float) -> Child:
        assert self._lifeline is not None, "children hang on the lifeline"
        return Child(
            name,
            [CLI, *arguments],
            environment=environment,
            log=self._data.logs / f"{name}.log",
            lifeline_fd=self._lifeline[0],
            grace_s=grace_s,
        )

    def _await_ready(self) -> None:
        until = time.monotonic() + READY_TIMEOUT_S
        said = ""
        while time.monotonic() < until and not self._stopping.is_set():
            is_ready, said = answers(f"{self.url}/readyz")
            if is_ready:
                return
            with self._lock:
                for child in self._children():
                    if child.deaths >= MAX_EARLY_DEATHS:
                        raise Unavailable(
                            f"{child.name} does not stay up:\n{child.log_tail()}", hint=f"The whole log: {child.log}"
                        )
            time.sleep(READY_LOOK_EVERY_S)
        if self._stopping.is_set():
            raise KeyboardInterrupt
        raise Unavailable(
            f"The product is not ready after {READY_TIMEOUT_S:.0f} s: {said}", hint=f"See {self._data.logs}"
        )

    # -- keeping alive -----------------------------------------------------------------------------------------

    def _children(self) -> list[Child]:
        return [*([self._api] if self._api else []), *self._workers]

    def _keep(self) -> None:
        """Run until the stop: start again what died. Troubles are told, and tried again at the next turn."""
        next_postgres_s = next_logs_s = time.monotonic() + POSTGRES_LOOK_EVERY_S
        while not self._stopping.wait(TICK_S):
            try:
                self._keep_children()
                if time.monotonic() >= next_postgres_s:
                    next_postgres_s = time.monotonic() + POSTGRES_LOOK_EVERY_S
                    self._keep_postgres()
                if time.monotonic() >= next_logs_s:
                    next_logs_s = time.monotonic() + LOGS_LOOK_EVERY_S
                    for child in self._children():
                        child.rotate_log()
            except (OSError, OrchestratorError) as error:
                self._say(f"The supervisor is in trouble, and tries again: {error}")
                self._stopping.wait(POSTGRES_LOOK_EVERY_S)

    def _keep_children(self) -> None:
        with self._lock:
            news = [child.keep() for child in self._children()]
        for line in news:
            if line is not None:
                self._say(line)

    def _keep_postgres(self) -> None:
        if self._postgres is not None and not self._postgres.is_running():
            self._say("PostgreSQL ended; starting it again")
            self._postgres.start(POSTGRES_RESTART_S)

    def _end_children(self, patience_s: float) -> None:
        children = self._children()
        for child in children:
            child.signal(signal.SIGTERM)
        until = time.monotonic() + patience_s
        while not all(child.has_ended() for child in children) and time.monotonic() < until:
            if self._hurry.wait(TICK_S / 2):
                break
        for child in children:
            if not child.has_ended():
                self._say(f"{child.name} does not stop; ending it")
                child.signal(signal.SIGKILL)
        until = time.monotonic() + KILL_PATIENCE_S
        while not all(child.has_ended() for child in children) and time.monotonic() < until:
            time.sleep(TICK_S / 2)
        self._api, self._workers = None, []
