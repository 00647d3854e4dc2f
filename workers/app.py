"""The Celery app. Run it with `orchestrator worker`, or `celery -A workers.app worker` and the options below."""

from __future__ import annotations

import warnings
from typing import Any

from celery import Celery, bootsteps, signals
from celery.worker import state
from kombu import Queue  # type: ignore[attr-defined]

from orchestrator.errors import OrchestratorError
from orchestrator.runtime import DRAIN_S
from orchestrator.settings import load_settings
from orchestrator.telemetry import configure, get_logger
from workers.broker import EXPIRES_S, QUEUES, broker, prepare_if_possible
from workers.process import WorkerProcess
from workers.ringer import Ringer
from workers.ticker import Ticker

log = get_logger(__name__)

# Celery warns root because pickled messages could run code. Ours are JSON without arguments, and as root in a container
# or on a small machine is how many begin.
warnings.filterwarnings("ignore", message="(?s).*superuser privileges")

settings = load_settings()
_broker = broker(settings)

#: Threads: no fork, one event loop for all. More of them than kinds of work, so that none waits behind another.
CONCURRENCY = 8

#: What `celery -A workers.app worker` needs beside the configuration below.
WORKER_ARGUMENTS = (
    "worker",
    "--pool=threads",
    f"--concurrency={CONCURRENCY}",
    "--without-gossip",
    "--without-mingle",
    "--without-heartbeat",
    f"--loglevel={settings.log_level}",
    f"--queues={','.join(QUEUES)}",
)

app = Celery("orchestrator", broker=_broker.url)
app.conf.update(
    broker_transport_options=_broker.options,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_connection_timeout=4,
    broker_pool_acquire_timeout=2,
    task_queues=[Queue(name) for name in QUEUES],  # type: ignore[no-untyped-call]
    task_default_queue="sweep",
    task_routes={f"orchestrator.{kind}": {"queue": kind} for kind in QUEUES},
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    result_backend=None,
    task_serializer="json",
    accept_content=["json"],
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    worker_pool="threads",
    worker_concurrency=CONCURRENCY,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    task_send_sent_event=False,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
)

_process: WorkerProcess | None = None


def _run(kind: str) -> None:
    """Answer a doorbell: do whatever of a kind is due."""
    if _process is None:
        return
    try:
        _process.work(kind, in_task=True)
    except OrchestratorError as error:
        log.warning("work waits", kind=kind, code=error.code, why=error.message)


@app.task(name="orchestrator.launch", ignore_result=True, expires=EXPIRES_S)  # type: ignore[untyped-decorator]
def launch() -> None:
    """Launch what is due. Carries no facts, so it may be lost or doubled freely."""
    _run("launch")


@app.task(name="orchestrator.poll", ignore_result=True, expires=EXPIRES_S)  # type: ignore[untyped-decorator]
def poll() -> None:
    """Look at what is due."""
    _run("poll")


@app.task(name="orchestrator.download", ignore_result=True, expires=EXPIRES_S)  # type: ignore[untyped-decorator]
def download() -> None:
    """Fetch the results that are due."""
    _run("download")


@app.task(name="orchestrator.fire", ignore_result=True, expires=EXPIRES_S)  # type: ignore[untyped-decorator]
def fire() -> None:
    """Submit what schedules have due."""
    _run("fire")


@app.task(name="orchestrator.deliver", ignore_result=True, expires=EXPIRES_S)  # type: ignore[untyped-decorator]
def deliver() -> None:
    """Tell webhooks what is due."""
    _run("deliver")


@app.task(name="orchestrator.sweep", ignore_result=True, expires=EXPIRES_S)  # type: ignore[untyped-decorator]
def sweep() -> None:
    """Put right what dead workers left."""
    _run("sweep")


def send(kind: str) -> None:
    """Send one doorbell."""
    app.send_task(f"orchestrator.{kind}", queue=kind, expires=EXPIRES_S, ignore_result=True, retry=False)


class TickerStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Starts the process's loop and ticker with the worker, before and apart from the consumer."""

    requires = {"celery.worker.components:Pool"}  # noqa: RUF012 - Celery reads it as a class attribute

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self.ticker: Ticker | None = None

    def start(self, parent: Any) -> None:
        """Begin."""
        global _process
        prepare_if_possible(settings)
        _process = WorkerProcess(settings)
        _process.start()
        ringer = Ringer(send)
        self.ticker = Ticker(_process, ring=ringer.ring, busy=_process.in_hand.has_task, away_s=ringer.away_s)
        self.ticker.start()

    def stop(self, parent: Any) -> None:
        """End once nothing is in hand.

        Celery stops the consumer first and the pool last: its threads still wait for what runs on our loop.
        """
        # Longer than a launch. Downloads may take longer; they are cut off, and others begin them anew.
        self._end(limit_s=DRAIN_S)

    def terminate(self, parent: Any) -> None:
        """End at once; what was in hand is taken up by others."""
        self._end(limit_s=0)

    def _end(self, *, limit_s: float) -> None:
        if _process is None or self.ticker is None:
            return
        try:
            _process.drain(limit_s=limit_s, is_hurried=_is_cold)
        finally:  # a signal's handler may raise into the wait, and the pool must not be left waiting
            # The heart beats until here: a worker that drains is no dead one.
            self.ticker.stop()
            _process.stop()


def _is_cold() -> bool:
    """Tell whether Celery was asked for a cold shutdown, perhaps while a warm one waits."""
    return state.should_terminate is not None and state.should_terminate is not False


app.steps["worker"].add(TickerStep)


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _drain(**_: object) -> None:
    """Claim nothing more, launch nothing more; what is on the wire is awaited and recorded."""
    if _process is not None:
        _process.draining.set()


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _logging(**_: object) -> None:
    configure(log_format=settings.log_format, level=settings.log_level, program="worker")
