"""The copy outside goes on growing after an export was made: what is later is set apart, and nothing else is."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator.domain.audit_words import verdict_lines
from orchestrator.domain.checkpoints import read_body
from tests.audit.judges import alone, both, ours
from tests.audit.worlds import BEGIN, World, anchors_text, make_world, public, sign_next

MADE_AT = BEGIN + timedelta(days=1)  # what `with_manifest` says


@pytest.fixture
def later() -> tuple[World, dict[str, bytes], bytes]:
    """An honest export, and the anchors as they stand three checkpoints later."""
    world = make_world(3)
    files = world.files()
    for hours in (25, 26, 27):
        sign_next(world, at=BEGIN + timedelta(hours=hours))
    world.anchors = list(world.checkpoints)
    return world, files, anchors_text(world)


def test_later_anchors_are_set_apart_and_told(later: tuple[World, dict[str, bytes], bytes], tmp_path: Path) -> None:
    world, files, anchors = later
    found = both(files, tmp_path / "export", key=public(world.key), anchors=anchors)
    assert (found.ours.ok, found.alone_exit) == (True, 0), (found.ours.problem, found.alone_text)
    assert (found.ours.anchors, found.ours.later_anchors) == (len(world.checkpoints) - 3, 3)
    said = [line.strip() for line in verdict_lines(found.ours, anchors_given=True, keys_given=True)]
    words = "3 later anchors not compared: this export covers up to 2026-11-21T03:00:00.000000Z, as it says"
    assert words in said
    assert words in found.alone_text


def test_who_wants_every_anchor_gets_none_set_apart(
    later: tuple[World, dict[str, bytes], bytes], tmp_path: Path
) -> None:
    world, files, anchors = later
    strict = ours(files, key=public(world.key), anchors=anchors, every_anchor=True)
    code, text = alone(files, tmp_path / "export", key=public(world.key), anchors=anchors, every_anchor=True)
    assert (strict.ok, code) == (False, 8)
    assert f"checkpoint {len(world.checkpoints) - 2}" in (strict.problem or "")
    assert "its end was cut off" in text


def test_a_cut_tail_is_found_though_there_are_later_anchors_too(
    later: tuple[World, dict[str, bytes], bytes], tmp_path: Path
) -> None:
    world, _, anchors = later
    cut = world.copy()
    del cut.checkpoints[-4:]
    assert read_body(world.checkpoints[-4].body).at < MADE_AT
    found = both(cut.files(), tmp_path / "export", key=public(world.key), anchors=anchors)
    assert (found.ours.ok, found.alone_exit) == (False, 8)


def test_anchors_that_are_all_later_show_nothing(later: tuple[World, dict[str, bytes], bytes], tmp_path: Path) -> None:
    world, files, anchors = later
    only = b"".join(anchors.splitlines(keepends=True)[-3:])
    found = both(files, tmp_path / "export", key=public(world.key), anchors=only)
    assert (found.ours.ok, found.alone_exit) == (False, 8)
    assert "later than the export" in (found.ours.problem or "")
    assert "later than the export" in found.alone_text
