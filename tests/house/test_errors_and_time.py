"""No error is swallowed, and nothing blocks the event loop."""

from __future__ import annotations

import ast

from tests.house.source import dotted, modules, nodes

BROAD = {"Exception", "BaseException"}

#: Where anything may come up, and must be turned into an answer: (file, function) -> why.
BOUNDARIES = {
    ("orchestrator/api/request_ids.py", "_logged"): "a request gets a problem object, whatever went wrong",
    ("orchestrator/engine/poison.py", "caught"): "one row's data may break our code; it is put off, and told of",
    ("orchestrator/cli/main.py", "_invoke"): "a program that calls us gets a problem object and an exit code",
    ("workers/ticker.py", "_tick_for_ever"): "a worker whose ticker died would look alive and do nothing",
    ("workers/ticker.py", "_work"): "a bug in one kind of work must not stop the others; it is logged, and met again",
    ("workers/ticker.py", "_repeat"): "a bug must not end the watch, the marks or the signing for good; it is logged",
    ("workers/ticker.py", "_beat_for_ever"): "a worker whose heart stopped would be taken for dead while it works",
    ("workers/ringer.py", "_ring_for_ever"): "a broker's library raises what it likes; work goes on without it",
}

BLOCKS = {"time.sleep", "subprocess.run", "subprocess.check_output", "os.system", "input", "requests.get"}


def test_a_broad_except_raises_again_or_stands_at_a_named_boundary() -> None:
    swallowed, used = [], set()
    for module in modules():
        for function in module.functions():
            for node in ast.walk(function):
                if not isinstance(node, ast.ExceptHandler) or not _is_broad(node) or _raises_again(node):
                    continue
                if (module.path, function.name) in BOUNDARIES:
                    used.add((module.path, function.name))
                else:
                    swallowed.append(f"{module.path}:{node.lineno} in {function.name}")
    assert not swallowed, "\n".join(swallowed)
    assert used == BOUNDARIES.keys(), f"boundaries that are none any more: {BOUNDARIES.keys() - used}"


def test_nothing_is_suppressed_broadly() -> None:
    found = [
        f"{module.path}:{node.lineno}"
        for module in modules()
        for node in nodes(module)
        if isinstance(node, ast.Call)
        and dotted(node.func).split(".")[-1] == "suppress"
        and any(dotted(argument) in BROAD for argument in node.args)
    ]
    assert not found, "\n".join(found)


def test_async_code_does_not_block() -> None:
    found = [
        f"{module.path}:{node.lineno} {dotted(node.func)} in async {function.name}"
        for module in modules()
        for function in module.functions()
        if isinstance(function, ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and dotted(node.func) in BLOCKS
    ]
    assert not found, "\n".join(found)


def _is_broad(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(dotted(one) in BROAD for one in caught)


def _raises_again(handler: ast.ExceptHandler) -> bool:
    return isinstance(handler.body[-1], ast.Raise)
