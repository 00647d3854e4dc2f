"""The map in `docs/architecture.md` is whole: each module is named once, in its own room, and nothing besides."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.house.source import PRODUCT, ROOT, modules

PAGE = ROOT / "docs" / "architecture.md"

_NAME = re.compile(r"`([a-z0-9_*]+(?:\.py|/))`")
_PATH = re.compile(r"`((?:[a-z0-9_]+/)+[a-z0-9_]+\.py)\b")


def test_each_module_is_named_once_in_the_row_of_its_room() -> None:
    named = Counter(path for row in _rows() for path in _named(*row))
    shipped = {module.path for module in modules() if not module.path.endswith("/__init__.py")}
    unnamed = sorted(shipped - named.keys())
    again = sorted(path for path, times in named.items() if times > 1)
    assert not unnamed, f"the map does not name {unnamed}"
    assert not again, f"the map names more than once {again}"


def test_the_map_names_nothing_that_does_not_exist() -> None:
    missing = []
    for rooms, names in _rows():
        missing += [room for room in rooms if not (ROOT / room).exists()]
        missing += [f"{rooms[0]}{name}" for name in names if not list(_home(rooms).glob(name.rstrip("/")))]
    assert not missing, missing


def test_every_room_of_the_house_has_one_row() -> None:
    rooms = [room for rooms, _ in _rows() for room in rooms if room.endswith("/")]
    tops = [f"{top}/" for top in (*PRODUCT, "tests") if top != "orchestrator"]
    inner = [f"orchestrator/{child.parent.name}/" for child in (ROOT / "orchestrator").glob("*/__init__.py")]
    assert Counter(rooms) == Counter({*tops, *inner, "orchestrator/api/doors/"})


def test_every_path_in_the_text_leads_to_a_file() -> None:
    paths = set(_PATH.findall(PAGE.read_text()))
    assert paths, "the text names files of the house"
    assert not [path for path in paths if not any((place / path).is_file() for place in (ROOT, ROOT / "orchestrator"))]


def _rows() -> Iterator[tuple[list[str], list[str]]]:
    """Yield each row of the map: the rooms it is of, by their paths, and the names in it."""
    house = PAGE.read_text().partition("\n## The house\n")[2].partition("\n## ")[0]
    for line in house.splitlines():
        cells = line.split("|")
        if len(cells) < 4 or "`" not in cells[1]:
            continue
        first, *more = re.findall(r"`([^`]+)`", cells[1])
        # Of several files of one folder, the first one alone says which.
        beside = [f"{first.rpartition('/')[0]}/{name}" for name in more]
        yield [first, *beside], _NAME.findall(cells[2])


def _home(rooms: list[str]) -> Path:
    room = ROOT / rooms[0]
    return room if room.is_dir() else room.parent


def _named(rooms: list[str], names: list[str]) -> Iterator[str]:
    """Yield the paths of the modules that a row names; a folder stands for all that is in it."""
    found = [ROOT / room for room in rooms if room.endswith(".py")]
    for name in names:
        for path in _home(rooms).glob(name.rstrip("/")):
            found += path.rglob("*.py") if path.is_dir() else [path]
    yield from (path.relative_to(ROOT).as_posix() for path in found if path.name != "__init__.py")
