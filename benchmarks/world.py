"""Worlds in files: `worlds/*.json`, checked as they are read."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.rehearsal.world import Batch, Kills, Outage, Pace, Singles, World

WORLDS = Path(__file__).parent / "worlds"

#: A world must end: more than this is not simulated.
MAX_EXECUTIONS = 200_000

#: What only rehearsals say of a world.
OURS = ("known", "polls", "drawn", "max_concurrent")

T = TypeVar("T")


class BadWorld(ValueError):
    """The file does not describe a world; the text says where."""


def load(path: Path) -> World:
    """Read a world from a file.

    Raises:
        BadWorld: it is none.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadWorld(f"{path}: {error}") from None
    return parse(document, name=path.stem)


def built_in() -> list[World]:
    """Return the worlds that come with the benchmark."""
    return [load(path) for path in sorted(WORLDS.glob("*.json"))]


def parse(document: Any, *, name: str = "world") -> World:
    """Read a world from a JSON document.

    Raises:
        BadWorld: a name is unknown, a figure is missing, or makes no sense.
    """
    if not isinstance(document, dict) or not isinstance(document.get("workflows"), dict):
        raise BadWorld("a world is an object with `workflows`")
    parts: dict[str, Any] = {
        "workflows": {key: _read(Pace, value, f"workflows.{key}") for key, value in document["workflows"].items()},
        "batches": _list(Batch, document.get("batches", []), "batches"),
        "singles": _list(Singles, document.get("singles", []), "singles"),
        "kills": _read(Kills, document["kills"], "kills") if document.get("kills") is not None else None,
        "outages": _list(Outage, document.get("outages", []), "outages"),
    }
    for ours in OURS:
        if ours in document:
            raise BadWorld(f"a world in a file has no {ours!r}")
    world = _read(World, {**document, **parts, "name": document.get("name", name)}, "world")
    _check(world)
    return world


def _list(kind: type[T], given: Any, where: str) -> tuple[T, ...]:
    if not isinstance(given, list):
        raise BadWorld(f"{where} is a list")
    return tuple(_read(kind, entry, f"{where}[{n}]") for n, entry in enumerate(given))


def _read(kind: type[T], given: Any, where: str) -> T:
    if not isinstance(given, dict):
        raise BadWorld(f"{where} is an object")
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(given.keys() - known.keys())
    needed = {name for name, f in known.items() if f.default is MISSING and f.default_factory is MISSING}
    missing = sorted(needed - given.keys())
    if unknown or missing:
        raise BadWorld(f"{where}: unknown {unknown}, missing {missing}")
    return kind(**given)


def _check(world: World) -> None:
    parts: tuple[Batch | Singles, ...] = (*world.batches, *world.singles)
    for part in parts:
        if part.workflow not in world.workflows:
            raise BadWorld(f"no workflow is named {part.workflow!r}")
        if part.n < 1:
            raise BadWorld(f"{part.workflow}: n is at least 1")
    if any(b.order not in ("index", "random") or b.width < 1 or b.arrive_s < 0 for b in world.batches):
        raise BadWorld("a batch has an order `index` or `random`, a width of at least 1 and a time from 0 on")
    if any(b.wave_size is not None and b.wave_size < 1 for b in world.batches):
        raise BadWorld("a batch's wave_size is at least 1")
    if any(s.per_min <= 0 or s.slots < 1 for s in world.singles):
        raise BadWorld("singles have `per_min` above 0 and at least one slot")
    if any(p.mean_s <= 0 or p.sigma < 0 for p in world.workflows.values()):
        raise BadWorld("durations have a mean above 0 and a sigma from 0 on")
    if world.url_hour not in ("look", "end"):
        raise BadWorld("url_hour is `look` or `end`")
    if world.rate_per_min < 2:
        raise BadWorld("rate_per_min is at least 2")
    if not 0 < world.executions <= MAX_EXECUTIONS:
        raise BadWorld(f"a world has 1 to {MAX_EXECUTIONS:,} executions")
