"""`up` and `down`: the product on this machine, until Ctrl-C or until told."""

from __future__ import annotations

import json
import os
import signal
import time

from orchestrator.api.hosts import is_loopback
from orchestrator.cli import output
from orchestrator.cli.direct import on_database
from orchestrator.embedded.datadir import DataDir
from orchestrator.embedded.leftovers import end_leftovers
from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.embedded.supervisor import WORKER_GRACE_S, Supervisor
from orchestrator.engine.sessions import LINK_LIFE_S, make_link
from orchestrator.errors import Unavailable
from orchestrator.runtime import STOP_PATIENCE_S
from orchestrator.settings import Settings, load_settings

LOOK_EVERY_S = 0.1
#: The stop of `up` has its own bound for its children; then comes Postgres' last checkpoint.
DOWN_PATIENCE_S = STOP_PATIENCE_S + 75.0


def run_up(workers: int | None) -> None:
    """Run everything until SIGINT, SIGTERM or SIGHUP."""
    settings = load_settings()
    supervisor = Supervisor(settings, workers=workers, say=output.say)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: supervisor.ask_to_stop())
    supervisor.start()
    try:
        pids = supervisor.worker_pids()
        data_dir = str(DataDir(settings.data_dir).root)
        link = sign_in_link(settings, supervisor.url)
        if output.is_for_programs():
            output.one({"url": supervisor.url, "pid": os.getpid(), "worker_pids": pids, "data_dir": data_dir})
        output.flush()
        output.say(f"\nReady: {supervisor.url}   ({len(pids)} workers, data and logs in {data_dir})")
        if link is not None:
            output.say(f"Open {link}")
            output.say(f"  (signs one browser in, once, within {LINK_LIFE_S / 60:.0f} minutes)")
        output.say("Next, in another terminal here:")
        output.say("  orchestrator connection add NAME --provider script --base-url URL --api-key-stdin")
        output.say("  orchestrator batch submit FILE --workflow ID --connection NAME --watch")
        output.say("Ctrl-C stops it; work that is stored goes on at the next start.")
        supervisor.wait()
        output.say("\nStopping; work in flight may end first ...")
    finally:
        supervisor.stop()
    output.say("Stopped.")


def sign_in_link(settings: Settings, url: str) -> str | None:
    """Return a link that signs one browser in with this machine's own token, None where others could reach it too.

    The code stands behind the `#`: a browser sends it to nobody before a person clicks.
    """
    if not is_loopback(settings.host):
        return None
    token = json.loads(DataDir(settings.data_dir).client_file.read_bytes())["token"]
    printed = on_database(lambda deps: make_link(deps, token), settings)
    return f"{url}/sign-in#{printed}"


def run_down() -> None:
    """Ask the `up` of this data folder to stop and wait for it; then end a Postgres that none watches."""
    data = DataDir(load_settings().data_dir)
    holder = data.holder() if data.root.exists() else None
    if holder is not None and holder.pid is not None:
        output.say(f"Stopping {holder} ...")
        _stop(data, holder.pid)
    if data.root.exists():
        end_leftovers(data.root, patience_s=WORKER_GRACE_S)
    postgres = EmbeddedPostgres(data.root)
    orphan = postgres.pid if data.root.exists() else None
    if orphan is not None:
        output.say(f"Stopping PostgreSQL (process {orphan}) ...")
        postgres.stop()
    stopped = holder is not None or orphan is not None
    if output.is_for_programs():
        output.one({"stopped": stopped})
    output.say("Stopped." if stopped else f"Nothing runs in {data.root}.")


def _stop(data: DataDir, pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + DOWN_PATIENCE_S
    while (holder := data.holder()) is not None and holder.pid == pid:
        if time.monotonic() >= until:
            raise Unavailable(f"Process {pid} does not stop.", hint=f"End it with: kill -9 {pid}; nothing is lost.")
        time.sleep(LOOK_EVERY_S)
