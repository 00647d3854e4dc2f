"""Celery carries doorbells: nothing of it that keeps facts, time or results is used."""

from __future__ import annotations

import ast

from tests.house.source import dotted, imports, modules, nodes
from workers.broker import EXPIRES_S, QUEUES

#: Words of a call that would let the broker decide when, how often, or in what order work is done.
KEEPS_TIME = {"eta", "countdown", "rate_limit", "retry_policy", "autoretry_for", "max_retries", "retry_backoff", "link"}
KEEPS_TIME |= {"link_error", "chord", "acks_late", "time_limit", "soft_time_limit"}
CANVAS = {"chain", "chord", "group", "chunks", "signature", "xmap", "xstarmap", "subtask"}
RESULTS = {"AsyncResult", "ResultSet", "GroupResult", "EagerResult"}
SENDS = {"send_task", "apply_async", "delay"}

#: The longest that a message may wait before it rings for nothing, seconds.
LONGEST_WAIT_S = 60

#: The product's side; the benchmarks also run plain Celery, to be compared with.
DOORBELLS = ("orchestrator", "workers")


def _calls() -> list[tuple[str, ast.Call]]:
    return [
        (f"{module.path}:{node.lineno}", node)
        for module in modules(*DOORBELLS)
        for node in nodes(module)
        if isinstance(node, ast.Call)
    ]


def test_no_message_is_sent_for_later_or_again() -> None:
    workers = [(at, call) for at, call in _calls() if at.startswith("workers/")]
    found = [f"{at} {word.arg}" for at, call in workers for word in call.keywords if word.arg in KEEPS_TIME]
    found += [at for at, call in workers if dotted(call.func).endswith((".retry", ".replace_with_retry"))]
    assert not found, "\n".join(found)


def test_no_canvas_and_no_results_are_used() -> None:
    found = []
    for module in modules(*DOORBELLS):
        for node in nodes(module):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("celery", "kombu")):
                names = {alias.name for alias in node.names}
                found += [f"{module.path}:{node.lineno} {name}" for name in names & (CANVAS | RESULTS)]
        found += [str(i) for i in imports(module) if i.name.startswith(("celery.canvas", "celery.result"))]
    assert not found, "\n".join(found)


def test_every_task_forgets_its_result_and_expires() -> None:
    tasks = [
        (f"{module.path}:{function.lineno}", decorator)
        for module in modules("workers")
        for function in module.functions()
        for decorator in function.decorator_list
        if isinstance(decorator, ast.Call) and dotted(decorator.func).endswith((".task", "shared_task"))
    ]
    assert len(tasks) == len(QUEUES), "a task for each queue"
    for at, decorator in tasks:
        given = {word.arg: ast.unparse(word.value) for word in decorator.keywords}
        assert given.get("ignore_result") == "True", at
        assert "expires" in given, at
        assert "bind" not in given, f"{at}: a doorbell knows nothing of itself"


def test_every_message_that_is_sent_expires_soon_and_is_sent_once() -> None:
    calls = [(at, call) for at, call in _calls() if at.startswith("workers/")]
    sent = [(at, call) for at, call in calls if dotted(call.func).split(".")[-1] in SENDS]
    assert sent, "somebody rings"
    for at, call in sent:
        given = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert given.get("expires") == "EXPIRES_S", at
        assert given.get("retry") == "False", f"{at}: a broker that is away must not hold the sender"
        assert "args" not in given and "kwargs" not in given and len(call.args) <= 1, f"{at}: a doorbell has no facts"
    assert 0 < EXPIRES_S <= LONGEST_WAIT_S


def test_the_app_keeps_no_results_and_acknowledges_at_once() -> None:
    (update,) = [call for at, call in _calls() if dotted(call.func) == "app.conf.update"]
    given = {word.arg: ast.unparse(word.value) for word in update.keywords}
    assert given["result_backend"] == "None"
    assert given["task_ignore_result"] == "True"
    assert given["task_acks_late"] == "False"
    assert given["accept_content"] == "['json']"
    assert not given.keys() & {"beat_schedule", "task_annotations", "task_default_rate_limit"}
