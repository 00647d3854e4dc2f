"""The processes that a supervisor keeps alive: the API and the workers, each with its own log file."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.embedded.restarts import Restarts

MAX_LOG_BYTES = 10_000_000
MAX_TAIL_BYTES = 2_000


class Child:
    """One program, started again whenever it ends. Not thread-safe: the supervisor's lock guards it.

    Args:
        grace_s: how long the program may take to stop when the supervisor is gone.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        lifeline_fd: int,
        grace_s: float,
    ) -> None:
        self.name = name
        self.log = log
        self._environment = dict(environment)
        self._lifeline_fd = lifeline_fd
        wrapper = [sys.executable, "-m", "orchestrator.embedded.child", str(lifeline_fd), str(grace_s)]
        self._command = [*wrapper, *command]
        self._restarts = Restarts()
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at_s = 0.0
        self._start_at_s = 0.0
        self.deaths = 0

    def start(self) -> None:
        """Start it, in a session of its own: Ctrl-C is for the supervisor, which then stops its children well."""
        fd = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._process = subprocess.Popen(  # noqa: S603 -- our own interpreter and modules
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=fd,
                stderr=fd,
                pass_fds=[self._lifeline_fd],
                start_new_session=True,
            )
        finally:
            os.close(fd)
        self._started_at_s = time.monotonic()

    @property
    def pid(self) -> int | None:
        """Its process id, None while it does not run."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    def keep(self) -> str | None:
        """Notice its end and start it again when that is due; return what to tell a person, if anything."""
        now_s = time.monotonic()
        if self._process is None:
            if now_s >= self._start_at_s:
                self.start()
            return None
        code = self._process.poll()
        if code is None:
            return None
        delay_s = self._restarts.next_delay_s(lived_s=now_s - self._started_at_s)
        self._process, self._start_at_s = None, now_s + delay_s
        self.deaths += 1
        if delay_s == 0:
            self.start()
        again = f"again as process {self.pid}" if delay_s == 0 else f"again in {delay_s:.0f} s; see {self.log}"
        return f"{self.name} {_ending(code)}; started {again}"

    def has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def rotate_log(self) -> None:
        """Keep the log in bounds. Its writer appends, so emptying the file under it is safe."""
        if self.log.exists() and self.log.stat().st_size > MAX_LOG_BYTES:
            shutil.copyfile(self.log, self.log.with_name(f"{self.log.name}.1"))
            os.truncate(self.log, 0)

    def log_tail(self) -> str:
        """Return the end of its log."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(self.log.stat().st_size - MAX_TAIL_BYTES, 0))
            return file.read(MAX_TAIL_BYTES).decode(errors="replace").strip()


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"
