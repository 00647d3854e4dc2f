"""The product with pages and a worker in threads, and a world to look at: statuses, doubts, people, hostile names."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import uvicorn
from sqlalchemy import text

from orchestrator import __version__
from orchestrator.api import server
from orchestrator.bootstrap import build
from orchestrator.client import Client
from orchestrator.engine import connections, drafts, pump, sweep, tokens
from orchestrator.engine.deps import Deps
from orchestrator.engine.spool import Spool
from orchestrator.engine.who import SCOPES, Who
from orchestrator.settings import Settings
from orchestrator.storage import due_work, workers
from orchestrator.web import batch_options
from orchestrator.web.installed import WebPages
from sandbox.control import Sandbox
from tests.web import hostile
from tests.web.hostile import HOSTILE

LONG = "a-name-that-nobody-would-choose-but-somebody-did-" * 4
T = TypeVar("T")
CONNECTIONS = ("main", "troubled", "second", "third", "fourth", "waved", "clerk")
KINDS = ("launch", "poll", "download", "fire")
#: A worker's sweep comes every few seconds; here something may wait for it.
TURNS_PER_SWEEP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A running product. `ids` names runs and batches by what they are there for."""

    url: str
    token: str
    stranger: str
    workspace: UUID
    settings: Settings
    sandbox: Sandbox
    ids: dict[str, str] = field(default_factory=dict)

    def client(self, token: str | None = None) -> Client:
        """Return a client of the API."""
        return Client(self.url, token or self.token)

    def new_token(self, *scopes: str) -> str:
        """Return a new token of the workspace with some scopes."""

        async def make() -> str:
            async with build(self.settings, program="test") as deps:
                made, _ = await tokens.create_token(deps, self.workspace, "-".join(scopes), scopes=scopes, actor="test")
                return made

        return finished(make())

    def sql(self, statement: str, **values: Any) -> None:
        """Change a row as no verb does."""

        async def change() -> None:
            async with build(self.settings, program="test") as deps:
                await deps.db.run(lambda connection: connection.execute(text(statement), values))

        finished(change())


#: Makes the world of a product through its API.
Fill = Callable[[Product, Client], None]


def finished(work: Coroutine[Any, Any, T]) -> T:
    """Return what async work comes to, in a thread of its own: a driven browser has a loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@contextlib.contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """Serve API and pages in a thread; gives the URL."""
    made: uvicorn.Server = server.make_server(settings, pages=WebPages(settings))
    with server.bind(settings) as listener:
        thread = threading.Thread(target=made.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        until = time.monotonic() + 15
        while not made.started and thread.is_alive() and time.monotonic() < until:
            time.sleep(0.01)
        assert made.started, "the API did not start"
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            made.should_exit = True
            thread.join(20)


@contextlib.contextmanager
def working(settings: Settings) -> Iterator[None]:
    """Work as a worker does, in a thread: it asks what is due, for to claim what is not costs more than a page."""
    stop = threading.Event()

    async def work() -> None:
        async with build(settings, program="test-worker") as deps:
            worker = deps.sources.new_id()
            await deps.db.run(lambda c: workers.register(c, id=worker, place="test", pid=1, version=__version__))
            for turn in itertools.count():
                if stop.is_set():
                    return
                await deps.db.run(lambda c: workers.heartbeat(c, worker, draining=False, tasks=1, ticker=0))
                due = await deps.db.run(due_work.any_due)
                for kind in (kind for kind in KINDS if kind in due):
                    await pump.pump(deps, kind, worker=worker, should_stop=stop.is_set)
                if turn % TURNS_PER_SWEEP == 0:
                    await sweep.sweep(deps, self_id=worker)
                await asyncio.sleep(0.1)

    thread = threading.Thread(target=lambda: asyncio.run(work()), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


@contextlib.contextmanager
def product(
    database_url: str, data_dir: Path, *, names: Sequence[str] = CONNECTIONS, fill: Fill | None = None
) -> Iterator[Product]:
    """Run everything on an empty, migrated database, with connections of these names, and a world that `fill` makes."""
    settings = Settings.model_validate(
        {
            "database_url": database_url,
            "data_dir": data_dir,
            "port": 0,
            "allow_private_networks": True,
            "poll_min_interval_s": 0.05,
            "poll_max_interval_s": 1.0,
            "http_timeout_s": 5,
        }
    )
    options = {"duration_s": 0.1, "requests_per_minute": 0}
    with Sandbox(options=options) as sandbox, serving(settings) as url, working(settings):
        made = finished(_begin(settings, url, sandbox, names))
        with made.client() as client:
            (fill or _fill)(made, client)
        yield made


async def _begin(settings: Settings, url: str, sandbox: Sandbox, names: Sequence[str]) -> Product:
    async with build(settings, program="test") as deps:
        workspace = await tokens.ensure_workspace(deps)
        other = await tokens.ensure_workspace(deps, "elsewhere")
        token, _ = await tokens.create_token(deps, workspace, "Ada Operator", actor="test")
        stranger, _ = await tokens.create_token(deps, other, "Stranger", actor="test")
        who = Who(workspace_id=workspace, actor="token:test", scopes=frozenset(SCOPES))
        for name in names:
            await _connect(deps, who, name, sandbox)
    made = {"url": url, "token": token, "stranger": stranger, "workspace": workspace}
    return Product(settings=settings, sandbox=sandbox, **made)  # type: ignore[arg-type]


async def _connect(deps: Deps, who: Who, name: str, sandbox: Sandbox) -> None:
    await connections.add_connection(
        deps,
        who,
        name=name,
        provider="script",
        base_url=sandbox.api_url,
        api_key=sandbox.key,
        console_url=sandbox.console_url,
        requests_per_minute=600,
        limit_group=name,
    )


def _fill(made: Product, client: Client) -> None:
    """Make the world: everything that ends by itself first, then what waits, then a lane in trouble."""
    free = made.sandbox.workflows["Free form"]
    ids = made.ids
    ids["free"], ids["scored"] = free, made.sandbox.workflows["Score customer"]

    def submit(name: str, hints: str, *, on: str = "main", **options: Any) -> str:
        body = {"customer": name, "api_key": "sk-hidden-1234", "amount": 12345678901234567890, "sandbox": hints}
        ids[name] = str(client.runs.submit(on, free, body, **options)["id"])
        return ids[name]

    submit("finished", "files=2; filename=report.json; size_bytes=2000", external_id="invoice-2026-0001")
    submit("empty", "files=0", external_id="invoice-2026-0002")
    submit("hostile", f"files=1; size_bytes=300; filename={HOSTILE}", external_id=HOSTILE, labels={"env": HOSTILE})
    submit("failed", "outcome=error", external_id="invoice-2026-0003", labels={"env": "prod", "team": "billing"})
    submit("failed too", "outcome=error", external_id=LONG[:200])
    submit("in an act", "outcome=error", external_id="invoice-2026-0007", labels={"for": "act"})
    submit("in bulk", "outcome=error", external_id="invoice-2026-0006")
    submit("lost", "files=1", external_id="invoice-2026-0005")
    submit("human", "outcome=human_in_the_loop; human_after_s=0; duration_s=0.2", external_id="contract-77")
    submit("processing", "duration_s=3000", external_id="long-report")
    submit("abandoned", "duration_s=3000")
    _await(
        client, ids, finished=("finished", "empty", "hostile", "failed", "failed too", "in an act", "in bulk", "lost")
    )
    _await(client, ids, human_in_the_loop=("human",), processing=("processing", "abandoned"))
    client.runs.abandon(ids["abandoned"], reason="nobody needs it any more")
    rows = [{"n": n, "sandbox": "duration_s=0.1" if n < 30 else "duration_s=3000"} for n in range(36)]
    rows[3]["sandbox"] = "outcome=error"
    content = b"\n".join(json.dumps(row).encode() for row in rows)
    batch = client.batches.submit(
        content, "jsonl", connection="main", workflow_id=free, name="Statements for November", wave_size=18
    )
    ids["batch"] = str(batch["id"])
    client.schedules.create(
        "nightly", workflow_id=free, connection="main", cron="0 9 * * *", tz="Europe/Prague", input=b"{}"
    )
    _schedules(made, client, free)
    submit("doubt", "fault=500_after", on="troubled", external_id="payment-4711")
    submit("doubt decided", "fault=500_after", on="second", external_id="payment-4712")
    submit("doubt too", "fault=500_after", on="third", external_id="payment-4713")
    submit("doubt moved", "fault=500_after", on="fourth", external_id="payment-4714")
    made.sandbox.faults([{"fault": "disconnect_after", "kind": "batch", "times": 1}])
    items = b"\n".join(json.dumps({"n": n, "sandbox": "duration_s=0.1"}).encode() for n in range(5))
    wave = client.batches.submit(items, "jsonl", connection="waved", workflow_id=free, name="Payments " + HOSTILE)
    ids["wave batch"] = str(wave["id"])
    _await(client, ids, in_doubt=("doubt", "doubt decided", "doubt too", "doubt moved"))
    _await_questions(client, ids)
    submit("queued", "duration_s=1", on="troubled")
    submit("cancelled", "duration_s=1", on="troubled", external_id="never-sent")
    client.runs.cancel(ids["cancelled"], reason=HOSTILE)
    made.sql(
        "UPDATE runs SET status = 'result_lost', results_state = 'lost', error_code = 'url_expired',"
        " error_message = 'the URL died before the file was stored' WHERE id = :id",
        id=UUID(ids["lost"]),
    )
    submit("rejected", "duration_s=1", on="troubled", external_id="waits-for-its-turn")
    hostile.plant(made, client)
    ids.update(finished(_drafts(made)))


async def _drafts(made: Product) -> dict[str, str]:
    """Leave files to be looked at: one with mapped columns, a bad row and hostile cells; one that is refused."""
    column = '"' + HOSTILE.replace('"', '""') + '"'
    lines = [f"customer_id,Total,note,api_key,{column}", f"c-1,1.5,{HOSTILE},sk-hidden-1234,", f"c-2,{HOSTILE},plain,,"]
    lines += [f"c-{n},{n},row {n},," for n in range(3, 30)]
    begun = batch_options.begun("main", made.sandbox.workflows["Score customer"], "csv")
    mapped = begun | {"mapping": {"Total": "amount", "api_key": "", HOSTILE: ""}, "name": "Scores of November"}
    found: dict[str, str] = {}
    async with build(made.settings, program="test") as deps:
        who = Who(workspace_id=made.workspace, actor="token:Ada Operator", scopes=frozenset(SCOPES))
        for name, options in (("draft", mapped), ("draft refused", begun)):
            with Spool() as content:
                content.write("\n".join(lines).encode())
                filename = f"customers {HOSTILE}.csv"
                found[name] = str(await drafts.keep(deps, who, content, filename=filename, options=options))
    return found


def _schedules(made: Product, client: Client, workflow: str) -> None:
    """Make schedules: one that fired by hand and missed a tick, one that is paused, one whose clock changes soon."""
    common: dict[str, Any] = {"workflow_id": workflow, "connection": "main"}
    client.schedules.create("paused", every="6h", tz="UTC", file="in-{date}.csv", **common)
    client.schedules.pause("paused", HOSTILE)
    client.schedules.create("hourly", cron="30 1 * * 0", tz="America/New_York", input=b"{}", **common)
    client.schedules.run_now("nightly", reason="to see it work")
    made.sql(
        "INSERT INTO fires (id, schedule_id, workspace_id, nominal_at, state, why, deadline_at, decided_at)"
        " SELECT gen_random_uuid(), id, workspace_id, date_trunc('day', now()) - n * interval '1 day', s, w, now(),"
        " now() FROM schedules, (VALUES (1, 'missed', 'nobody was there to fire it (8 h late); catch-up is none'),"
        " (2, 'skipped', 'the schedule was paused: works'), (3, 'merged', 'merged into a later one')) v(n, s, w)"
        " WHERE name = 'nightly'"
    )
    until = time.monotonic() + 30
    while not (fired := client.schedules.fires("nightly", states=["fired"])):
        assert time.monotonic() < until, "the schedule did not fire"
        time.sleep(0.05)
    made.ids["by schedule"] = str(fired[0]["run_id"])


def _await_questions(client: Client, ids: dict[str, str]) -> None:
    """Wait for a wave in doubt; name the questions by what they are about."""
    until = time.monotonic() + 30
    while not any(item["wave_id"] for item in client.inbox.list()):
        assert time.monotonic() < until, "no wave is in doubt"
        time.sleep(0.05)
    names = {id: name for name, id in ids.items()}
    for item in client.inbox.list():
        about = "wave" if item["wave_id"] else names[str(item["run_id"])]
        ids[f"question {about}"] = item["id"]


def _await(client: Client, ids: dict[str, str], **wanted: tuple[str, ...]) -> None:
    """Wait until the runs stand so; `finished` means any ending."""
    until = time.monotonic() + 30
    for status, names in wanted.items():
        for name in names:
            while True:
                run = client.runs.get(ids[name])
                if run["status"] == status or (status == "finished" and run["finished_at"]):
                    break
                assert time.monotonic() < until, (name, status, run)
                time.sleep(0.05)
