"""A client of the control plane, without async: start a sandbox as a process, steer it, ask it for the truth."""

import json
import os
import select
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0
_CALL_TIMEOUT_S = 30.0
_ROOT = Path(__file__).resolve().parent.parent
#: Never through a proxy: the sandbox is on this machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ControlError(RuntimeError):
    """The sandbox refused, or did not start; the text is its own."""


class Sandbox:
    """A sandbox process; as a context manager it is stopped at the end.

    Args:
        options: as for `--options`; further arguments are those of `python -m sandbox`.
    """

    def __init__(
        self,
        *,
        options: Mapping[str, Any] | None = None,
        seed: int = 1,
        host: str = "127.0.0.1",
        port: int = 0,
        files_port: int = 0,
        time_scale: float = 1.0,
        start_at: str | None = None,
        exit_with_parent: bool = True,
    ) -> None:
        command = [sys.executable, "-m", "sandbox", "--host", host, "--port", str(port), "--seed", str(seed)]
        command += ["--files-port", str(files_port), "--time-scale", str(time_scale), "--options", "-"]
        if start_at is not None:
            command += ["--start-at", start_at]
        if exit_with_parent:
            command += ["--exit-with-parent", "--parent-pid", str(os.getpid())]
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        with tempfile.TemporaryFile("w+") as given:
            json.dump(dict(options or {}), given)
            given.seek(0)
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command,
                stdin=given,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C is for the starter, which may still need its provider to stop well
            )
        urls = self._ready()
        self.api_url: str = urls["api_url"]
        self.scripe_url: str = urls["scripe_url"]
        self.control_url: str = urls["control_url"]
        self.files_url: str = urls["files_url"]
        self.console_url: str = urls["console_url"]
        self.workflows: dict[str, str] = urls["workflows"]
        self.key: str = urls["keys"][0] if urls["keys"] else ""
        self.scripe_key: str = urls["scripe_keys"][0] if urls["scripe_keys"] else ""

    # -- the process -------------------------------------------------------------------------------------------

    def stop(self) -> int:
        """End it as a supervisor would (SIGTERM); return its exit code. Twice is fine."""
        if self.process.poll() is None:
            self.process.terminate()
        return self._gone()

    def kill(self) -> int:
        """End it at once (SIGKILL); return its exit code."""
        if self.process.poll() is None:
            self.process.kill()
        return self._gone()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- what is true ------------------------------------------------------------------------------------------

    def truth(self, *, workflow: str | None = None) -> dict[str, Any]:
        """Return `{"executions": […], "summary": {launches, executions, by_status, inputs_executed_twice}}`."""
        return self.call("GET", f"/truth?workflow={workflow}" if workflow else "/truth")

    def log(self, *, since: int = 0) -> list[dict[str, Any]]:
        """Return the requests after number `since`, oldest first."""
        entries: list[dict[str, Any]] = self.call("GET", f"/log?since={since}")["entries"]
        return entries

    def limits(self) -> dict[str, Any]:
        """Return `{"keys": {name: {requests, max_in_60_s, …}}, "workflows": [{workflow_id, max_concurrent, …}]}`."""
        return self.call("GET", "/limits")

    def executions(self, *, status: str | None = None) -> list[dict[str, Any]]:
        """Return the executions, those of one status if it is given."""
        found: list[dict[str, Any]] = self.call("GET", f"/executions?status={status}" if status else "/executions")[
            "executions"
        ]
        return found

    # -- what is turned ----------------------------------------------------------------------------------------

    def approve(self, execution_id: str) -> dict[str, Any]:
        return self.call("POST", f"/executions/{execution_id}:approve")

    def reject(self, execution_id: str) -> dict[str, Any]:
        return self.call("POST", f"/executions/{execution_id}:reject")

    def faults(self, rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Add fault rules; return them with their ids."""
        added: list[dict[str, Any]] = self.call("POST", "/faults", rules)["rules"]
        return added

    def clear_faults(self) -> None:
        self.call("DELETE", "/faults")

    def advance(self, seconds: float) -> None:
        """Turn the clock forward."""
        self.call("POST", "/clock", {"advance_s": seconds})

    def set_scale(self, scale: float) -> None:
        """Run the clock `scale` times as fast as real time; 0 holds it still."""
        self.call("POST", "/clock", {"scale": scale})

    def now_s(self) -> float:
        """Return the sandbox's time in seconds since the epoch."""
        return float(self.call("GET", "/clock")["now_s"])

    def options(self, **changes: Any) -> dict[str, Any]:
        """Change options; return all of them."""
        changed: dict[str, Any] = self.call("PATCH", "/options", changes)["options"]
        return changed

    def add_workflow(self, **workflow: Any) -> str:
        """Add a workflow (it needs a name); return its id."""
        return str(self.call("POST", "/workflows", workflow)["id"])

    def add_job(self, type: str, **job: Any) -> str:
        """Start a Scripe job as another program of the workspace would; return its id."""
        return str(self.call("POST", "/jobs", {"type": type, **job})["id"])

    def close_listener(self, seconds: float, *, port: str = "api") -> None:
        """Refuse connections on a port for so many real seconds, and cut the open ones."""
        self.call("POST", "/listener", {"close_s": seconds, "port": port})

    def reset(self) -> None:
        """Forget executions, log, counts and faults; the clock and the options stay."""
        self.call("POST", "/reset")

    def call(self, method: str, path: str, document: Any = None) -> dict[str, Any]:
        """Call a door of the control plane; it answers on the files port, which stays open when the API is shut.

        Raises:
            ControlError: the sandbox refused; OSError when it is not there.
        """
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(f"{self.files_url}/_sandbox{path}", data=body, method=method)  # noqa: S310
        try:
            with _OPENER.open(request, timeout=_CALL_TIMEOUT_S) as response:
                answer: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as refused:
            with refused:
                raise ControlError(f"{method} {path}: {refused.code} {refused.read().decode()}") from refused
        return answer

    def _ready(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], _START_TIMEOUT_S)
        line = self.process.stdout.readline() if readable else ""
        if not line:
            self.process.kill()
            raise ControlError(f"the sandbox did not start: exit code {self._gone()}")
        urls: dict[str, Any] = json.loads(line)
        return urls

    def _gone(self) -> int:
        code = self.process.wait(timeout=_STOP_TIMEOUT_S)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code
