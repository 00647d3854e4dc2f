"""What must be in the database before the parts start, brought about by a process that does only that.

A process of its own: it needs everything that the supervisor, which lives long and does little, can do without.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping

from orchestrator.errors import Misconfigured, OrchestratorError, Unavailable

CLI = "orchestrator.cli"
TIMEOUT_S = 300.0
MAX_WORDS = 2_000


def prepare(environment: Mapping[str, str], *, url: str) -> None:
    """Bring schema, queues, workspace, the local token and client.json about.

    Args:
        url: where the API will answer.

    Raises:
        Misconfigured: it could not; the words are its own.
        Unavailable: it took too long.
    """
    try:
        done = subprocess.run(  # noqa: S603 -- our own module
            [sys.executable, "-m", CLI, "prepare", "--url", url, "--output", "json"],
            env=dict(environment),
            check=False,
            timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,  # Ctrl-C is for the supervisor, which then ends this
        )
    except subprocess.TimeoutExpired:
        raise Unavailable("The database could not be prepared in time.", hint="Start again.") from None
    if done.returncode != 0:
        raise _told(done.stderr)


def _told(stderr: str) -> OrchestratorError:
    """Turn what the process said at its end into an error of this one."""
    last = stderr.strip().splitlines()[-1:] or [""]
    try:
        problem = json.loads(last[0])
        return Misconfigured(str(problem["detail"]), code=str(problem["code"]), hint=problem.get("hint"))
    except (ValueError, KeyError, TypeError):
        return Misconfigured(f"The database could not be prepared:\n{stderr.strip()[-MAX_WORDS:]}")
