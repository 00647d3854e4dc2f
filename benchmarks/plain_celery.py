"""What one would write with Celery alone: a task for each step, a row that each step updates, messages that carry ids.

`python -m benchmarks.plain_celery FILE.json` is its worker. Nothing here guards against a task that is lost, doubled or
run twice, a launch whose answer is lost, or a limit; that is the point of comparison.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from celery import Celery

from benchmarks.load import Load

QUEUE = "plain"
METADATA = sa.MetaData()
RUNS = sa.Table(
    "plain_runs",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("api_key", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False, index=True),
    sa.Column("execution_id", sa.Text),
    sa.Column("looks", sa.Integer, nullable=False, server_default="0"),
    sa.Column("url", sa.Text),
    sa.Column("sha256", sa.Text),
    sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), onupdate=sa.func.now()),
)
LEFT = "SELECT count(*) FROM plain_runs WHERE status <> 'finished'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All that a worker needs, as its file says it."""

    broker_url: str
    database_url: str
    api_url: str
    workflow_id: str
    folder: str
    load: Load
    broker_options: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write the file that `read` reads."""
        names = ("broker_url", "database_url", "api_url", "workflow_id", "folder", "broker_options")
        document = {name: getattr(self, name) for name in names} | {"load": self.load.as_json()}
        path.write_text(json.dumps(document))
        path.chmod(0o600)

    @staticmethod
    def read(path: Path) -> Config:
        """Read the file."""
        document = json.loads(path.read_text())
        return Config(**{**document, "load": Load(**document["load"])})


class Outside:
    """The database and the HTTP clients of one process, made at first use: after the fork."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._engine: sa.Engine | None = None
        self._local = threading.local()
        self._making = threading.Lock()

    @property
    def engine(self) -> sa.Engine:
        with self._making:
            if self._engine is None:
                size = self.config.load.celery_concurrency
                self._engine = sa.create_engine(
                    self.config.database_url, pool_size=size, connect_args={"application_name": "bench-celery"}
                )
        return self._engine

    @property
    def http(self) -> httpx.Client:
        if not hasattr(self._local, "client"):
            self._local.client = httpx.Client(timeout=30, trust_env=False)
        client: httpx.Client = self._local.client
        return client

    def read(self, run_id: int) -> Any:
        """Return a run's row."""
        with self.engine.connect() as connection:
            return connection.execute(sa.select(RUNS).where(RUNS.c.id == run_id)).one()

    def write(self, run_id: int, **values: Any) -> None:
        """Update a run's row."""
        with self.engine.begin() as connection:
            connection.execute(sa.update(RUNS).where(RUNS.c.id == run_id).values(**values))


def make_app(config: Config) -> Celery:
    """Return the app with its three tasks."""
    app = Celery("plain", broker=config.broker_url)
    app.conf.update(
        broker_transport_options=config.broker_options,
        broker_connection_retry_on_startup=True,
        task_ignore_result=True,
        task_default_queue=QUEUE,
        worker_prefetch_multiplier=4,
        worker_hijack_root_logger=False,
    )
    outside, load = Outside(config), config.load
    executions = f"{config.api_url}/workflows/{config.workflow_id}/executions"

    @app.task(name="plain.launch")  # type: ignore[untyped-decorator]
    def launch(run_id: int) -> None:
        run = outside.read(run_id)
        outside.write(run_id, status="launching")
        answer = outside.http.post(
            executions, headers={"x-api-key": run.api_key}, json={"input": json.loads(run.body)}
        ).raise_for_status()
        outside.write(run_id, status="processing", execution_id=answer.json()["execution_id"])
        poll.apply_async((run_id, 0), countdown=load.delay_s(0))

    @app.task(name="plain.poll")  # type: ignore[untyped-decorator]
    def poll(run_id: int, tries: int) -> None:
        run = outside.read(run_id)
        answer = outside.http.get(
            f"{executions}/{run.execution_id}", headers={"x-api-key": run.api_key}
        ).raise_for_status()
        seen = answer.json()
        if seen["status"] == "finished":
            outside.write(run_id, status="downloading", looks=tries + 1, url=seen["results"][0]["url"])
            download.delay(run_id)
        else:
            outside.write(run_id, looks=tries + 1)
            poll.apply_async((run_id, tries + 1), countdown=load.delay_s(tries + 1))

    @app.task(name="plain.download")  # type: ignore[untyped-decorator]
    def download(run_id: int) -> None:
        run = outside.read(run_id)
        body = outside.http.get(run.url).raise_for_status().content
        (Path(config.folder) / f"{run_id}.bin").write_bytes(body)
        outside.write(run_id, status="finished", sha256=hashlib.sha256(body).hexdigest())

    return app


def main(argv: list[str]) -> int:
    """Run the worker until it is told to stop."""
    config = Config.read(Path(argv[0]))
    app = make_app(config)
    app.worker_main(
        [
            "worker",
            f"--pool={config.load.celery_pool}",
            f"--concurrency={config.load.celery_concurrency}",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            "--loglevel=warning",
        ]
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
