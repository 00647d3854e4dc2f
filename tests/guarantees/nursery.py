"""Starts real processes of the product quickly: one parent has loaded every module, and each child is a fork of it.

A worker needs over a second of work to load its modules, and these tests kill dozens. What a child runs is what
`python -m tests.guarantees.faulty_worker` runs; nothing of the product is started, or read from the environment, before
the fork. The parent has one thread and no connections.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.guarantees.strikes import ELSEWHERE

CHECKOUT = Path(__file__).parents[2]

#: Everything that a worker or an API loads, but for `workers.app`, which reads its settings as it is loaded.
LOADED_BEFORE = (
    "celery.bin.celery", "celery.apps.worker", "celery.concurrency.thread", "celery.events.state",
    "celery.worker.consumer", "celery.worker.strategy", "celery.fixups.django", "kombu.transport.virtual",
    "workers.pgmq_transport", "workers.process", "workers.ringer", "workers.ticker", "orchestrator.cli.main",
    "orchestrator.cli.parts", "orchestrator.api.server", "uvicorn.lifespan.on", "uvicorn.loops.auto",
    "uvicorn.protocols.http.h11_impl", "psycopg_pool", "sqlalchemy.dialects.postgresql.psycopg",
    "tests.guarantees.strikes",
)  # fmt: skip


class Child:
    """A process of the product that a test started, and may end as it likes."""

    def __init__(self, nursery: Nursery, pid: int, log: Path, *, is_elsewhere: bool) -> None:
        self._nursery = nursery
        self.pid = pid
        self.log = log
        self.is_elsewhere = is_elsewhere
        self.code: int | None = None

    def poll(self) -> int | None:
        """Return its exit code, negative for a signal; None while it lives."""
        if self.code is None:
            self.code = self._nursery.ask({"reap": self.pid})["code"]
        return self.code

    def wait(self, *, limit_s: float) -> int:
        """Wait for its end."""
        ends_at = time.monotonic() + limit_s
        while (code := self.poll()) is None:
            if time.monotonic() > ends_at:
                raise TimeoutError(f"process {self.pid} lives; its log ends:\n{self.said()[-4000:]}")
            time.sleep(0.01)
        return code

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.wait(limit_s=10)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; one that is gone hears nothing."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def is_stopped(self) -> bool:
        """Tell whether it stands still (SIGSTOP)."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"

    def said(self) -> str:
        """Return what it wrote."""
        return self.log.read_text()


class Nursery:
    """The parent, as whoever uses it sees it. A context manager; what still lives at the end is killed."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.guarantees.nursery"],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._children: list[Child] = []

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], *, log: Path) -> Child:
        """Start `orchestrator ARGUMENTS` with these variables beside our own."""
        asked = {"start": [*arguments], "environment": {**environment}, "log": str(log)}
        child = Child(self, self.ask(asked)["pid"], log, is_elsewhere=bool(environment.get(ELSEWHERE)))
        self._children.append(child)
        return child

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Send one line and return the answer's."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            child.kill()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)
        assert self._process.stdout is not None
        self._process.stdout.close()


def _serve() -> None:
    """Load everything, then answer one line at a time until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a module prints as it is loaded is no answer
    for module in LOADED_BEFORE:
        importlib.import_module(module)
    gc.freeze()
    while line := sys.stdin.readline():
        asked = json.loads(line)
        if "start" in asked:
            answer: dict[str, Any] = {"pid": _fork(asked)}
        else:
            answer = {"code": _reap(asked["reap"])}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _fork(asked: Mapping[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        quiet = os.open(os.devnull, os.O_RDONLY)
        for old, new in ((quiet, 0), (log, 1), (log, 2)):
            os.dup2(old, new)
        os.closerange(3, 64)  # the way back to the test above all
        os.environ.update(asked["environment"])
        from tests.guarantees.strikes import run_struck

        code = run_struck(asked["start"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _reap(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


if __name__ == "__main__":
    _serve()
