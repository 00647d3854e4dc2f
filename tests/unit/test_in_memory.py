"""Folders of tests are in memory only where memory is left for the processes that write into them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import in_memory
from tests.in_memory import is_enough

GIB = 1 << 30


@pytest.mark.parametrize(
    ("free", "available", "expected"),
    [(6, 10, True), (5.9, 10, False), (6, 9.9, False), (12, 16, True), (8, 4, False), (0, 64, False)],
)
def test_a_folder_is_in_memory_where_both_the_file_system_and_memory_have_room(
    free: float, available: float, expected: bool
) -> None:
    assert is_enough(6 * GIB, free_bytes=int(free * GIB), available_bytes=int(available * GIB)) is expected


def test_where_there_is_no_memory_file_system_there_is_no_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(in_memory, "LEFT_BYTES", 0)
    monkeypatch.setattr(in_memory, "MEMORY", tmp_path)
    assert in_memory.has_room(1)
    assert not in_memory.has_room(1 << 60)
    monkeypatch.setattr(in_memory, "MEMORY", tmp_path / "none")
    assert not in_memory.has_room(0)
