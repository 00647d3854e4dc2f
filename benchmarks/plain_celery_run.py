"""Measures plain Celery: on Redis where a server is found, else on queues in the same Postgres."""

from __future__ import annotations

import os
import shutil
import time
from typing import Any

import psycopg
import redis
import sqlalchemy as sa
from pydantic import SecretStr

from benchmarks.load import WORKFLOW
from benchmarks.plain_celery import LEFT, METADATA, QUEUE, RUNS, Config, make_app
from benchmarks.stage import Processes, Stage, Stuck
from orchestrator.settings import Settings
from workers import broker

NAME = "plain_celery"
REDIS_STARTS_S = 10.0


def run(stage: Stage) -> dict[str, Any]:
    """Measure plain Celery; return its figures."""
    load = stage.load
    stage.create_database(NAME)
    engine = sa.create_engine(stage.postgres.dsn(NAME))
    METADATA.create_all(engine)
    with Processes(stage) as processes:
        url, options, broker_pids = _broker(stage, processes)
        files = stage.folder / NAME
        files.mkdir()
        config = Config(
            broker_url=url,
            broker_options=options,
            database_url=stage.postgres.dsn(NAME),
            api_url=stage.sandbox.api_url,
            workflow_id=stage.sandbox.workflows[WORKFLOW],
            folder=str(files),
            load=load,
        )
        path = stage.folder / "plain_celery.json"
        config.write(path)
        work = _Submitter(stage, config, engine)
        worker = processes.start_python(NAME, "benchmarks.plain_celery", str(path))
        work.submit(load.warm_up)
        parts = {"workers": [worker], "submitter": [os.getpid()]} | ({"broker": broker_pids} if broker_pids else {})
        meter = stage.meter(parts)
        stage.sandbox.reset()
        before = meter.read()
        work.submit(load.each)
        after = meter.read()
        figures = meter.cost(before, after, executions=load.total)
        requests = stage.requests()
    engine.dispose()
    return {
        "contender": NAME,
        "broker": "redis" if broker_pids else "pgmq",
        "workers": f"{load.celery_pool} x {load.celery_concurrency}",
        **figures,
        "api_requests_per_execution": round(requests / load.total, 2),
    }


def _broker(stage: Stage, processes: Processes) -> tuple[str, dict[str, Any], list[int]]:
    """Return the broker's URL, its transport's options, and the ids of its own processes."""
    program = shutil.which("redis-server")
    wanted = stage.load.celery_broker
    if wanted == "redis" and program is None:
        raise Stuck("no redis-server is found on this machine")
    if program is None or wanted == "pgmq":
        settings = Settings(database_url=SecretStr(stage.postgres.dsn(NAME)))
        broker.prepare(settings)
        # Made here: two processes that make the same queue at once trip over each other.
        with psycopg.connect(stage.postgres.libpq(NAME), autocommit=True) as connection:
            connection.execute("SELECT pgmq.create(%s)", [QUEUE])
        found = broker.broker(settings)
        # Without its doorbell: each child would set the queue's trigger anew, and they block each other in doing so.
        return found.url, found.options | {"use_notify": False, "polling_interval": 0.05}, []
    # On a socket in our own folder only, and without files: the quickest that it can be.
    socket = stage.folder / "redis.sock"
    words = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no"]
    pid = processes.start("redis", [program, *words])
    _await_redis(str(socket))
    return f"redis+socket://{socket}", {}, [pid]


def _await_redis(socket: str) -> None:
    ends_at = time.monotonic() + REDIS_STARTS_S
    with redis.Redis(unix_socket_path=socket) as client:
        while True:
            try:
                client.ping()
                return
            except redis.ConnectionError as error:
                if time.monotonic() > ends_at:
                    raise Stuck(f"redis-server did not start: {error}") from error
                time.sleep(0.05)


class _Submitter:
    """Stores rows and sends the first task of each, then waits until all are finished."""

    def __init__(self, stage: Stage, config: Config, engine: sa.Engine) -> None:
        self._stage = stage
        self._engine = engine
        self._launch = make_app(config).tasks["plain.launch"]
        self._next_id = 0

    def submit(self, each: int) -> None:
        """Do `each` executions on every connection."""
        rows = [
            {"id": self._take_id(), "api_key": key, "body": body.decode(), "status": "queued"}
            for key in self._stage.load.keys
            for body in self._stage.load.inputs(each)
        ]
        with self._engine.begin() as connection:
            connection.execute(sa.insert(RUNS), rows)
        for row in rows:
            self._launch.delay(row["id"])
        self._stage.until_none(NAME, LEFT)

    def _take_id(self) -> int:
        self._next_id += 1
        return self._next_id
