"""Both verifiers notice whatever is done to an export, say where, and say what can still be trusted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from orchestrator.domain import audit_export
from orchestrator.domain.checkpoints import read_body
from tests.audit.campaign import campaign
from tests.audit.judges import Answers, both
from tests.audit.mutations import Mutation, changed_checkpoint, cut_tail, forged_signature, rewritten_stream, tamper
from tests.audit.worlds import World, anchors_text, make_world, public, sealed


def _lines(world: World) -> list[bytes]:
    return world.files()[audit_export.EVENTS].splitlines(keepends=True)


def _is_sound(answers: Answers) -> bool:
    assert answers.ours.ok == (answers.alone_exit == 0), (answers.ours, answers.alone_text)
    return answers.ours.ok


@pytest.mark.parametrize("seed", range(12))
def test_an_untouched_export_is_sound_with_and_without_what_came_from_elsewhere(seed: int, tmp_path: Path) -> None:
    world = make_world(seed)
    unanchored = sum(e[-1].seq - world.anchored_seq(s) for s, e in world.exported().items())
    for key, anchors in ((None, None), (public(world.key), anchors_text(world))):
        # A copy goes through the same hands as what is tampered with.
        answers = both(world.copy().files(), tmp_path / "export", key=key, anchors=anchors)
        assert answers.ours.problem is None
        assert answers.alone_exit == 0, answers.alone_text
        assert answers.ours.unanchored_events == unanchored
        assert unanchored == 0 or f"not yet anchored: {unanchored} events" in answers.alone_text


def test_three_hundred_seeded_mutations_are_all_noticed_by_both(tmp_path: Path) -> None:
    tried, misses = campaign(count=300, seed=7, folder=tmp_path)
    assert not misses
    assert min(tried.values()) >= 33


@pytest.mark.parametrize("kind", [cut_tail, rewritten_stream, forged_signature])
def test_what_only_anchors_or_the_key_show_is_sound_without_them(kind: Mutation, tmp_path: Path) -> None:
    """Else the campaign would find these for another reason than the one that it is to prove."""
    seen = 0
    for number in range(60):
        random = Random(number)
        world = make_world(number % 12)
        tampered = tamper(world, kind, random)
        if tampered is not None and (tampered.needs_key or tampered.needs_anchors):
            assert _is_sound(both(tampered.files, tmp_path / "export")), tampered.says
            seen += 1
    assert seen > 5


def test_the_first_bad_place_and_what_can_be_trusted_are_named(tmp_path: Path) -> None:
    world = make_world(1)
    stream = next(s for s, e in world.exported().items() if world.anchored_seq(s) >= 4)
    changed = world.copy()
    event = changed.streams[stream][3]
    changed.streams[stream][3] = replace(event, actor="token:innocent")
    answers = both(changed.files(), tmp_path / "export")
    last = read_body(world.checkpoints[-1].body)
    vouched = max(h.seq for c in world.checkpoints for h in c.heads if h.stream == stream and h.seq < 4)
    assert answers.ours.problem == f"stream {stream}, event 4: does not match its hash"
    assert answers.ours.trusted == (
        f"checkpoints 1 to 8, of {last.at:%Y-%m-%dT%H:%M:%S.%f}Z, are sound; streams can be trusted up to their last "
        f"event in them, except stream {stream} (up to event {vouched})"
    )
    assert f"first bad place:  {answers.ours.problem}" in answers.alone_text
    assert f"can be trusted:   {answers.ours.trusted}" in answers.alone_text
    assert answers.ours.bad_streams == 1


def test_after_a_bad_checkpoint_what_came_before_it_can_still_be_trusted(tmp_path: Path) -> None:
    world = make_world(1)
    lines = _lines(world)
    world.checkpoints[4] = replace(world.checkpoints[4], signature=bytes(64))
    answers = both(sealed(world, lines), tmp_path / "export")
    at = read_body(world.checkpoints[3].body).at
    expected = (
        f"checkpoints 1 to 4, of {at:%Y-%m-%dT%H:%M:%S.%f}Z, are sound; streams that did not move after it can be "
        f"trusted up to there"
    )
    assert answers.ours.trusted == expected
    assert expected in answers.alone_text
    assert (answers.ours.problem or "").startswith("checkpoint 5: its signature")
    assert "first bad place:  checkpoint 5" in answers.alone_text


def test_history_written_anew_by_the_keys_holder_is_sound_up_to_where_the_anchors_agree(tmp_path: Path) -> None:
    world = make_world(4)
    for number in range(200):
        tampered = tamper(world, rewritten_stream, Random(number))
        if tampered is not None and tampered.needs_anchors:
            answers = both(tampered.files, tmp_path / "export", key=public(world.key), anchors=anchors_text(world))
            assert "anchored" in (answers.ours.problem or "")
            assert answers.ours.trusted in answers.alone_text
            return
    raise AssertionError("no such mutation was made")


def test_both_name_the_same_place_and_trust_the_same(tmp_path: Path) -> None:
    """Two readings of one description; where the words differ, the checkpoint or the stream does not."""
    for number in range(120):
        random = Random(f"same {number}")
        world = make_world(number % 12)
        kind = random.choice([changed_checkpoint, forged_signature, cut_tail, rewritten_stream])
        tampered = tamper(world, kind, random)
        if tampered is None:
            continue
        key = public(world.key) if tampered.needs_key else None
        answers = both(
            tampered.files,
            tmp_path / "export",
            key=key,
            anchors=anchors_text(world) if tampered.needs_anchors else None,
        )
        place = (answers.ours.problem or "").split(": ")[0]
        assert place.split(",")[0] in answers.alone_text, tampered.says
        assert f"can be trusted:   {answers.ours.trusted}\n" in answers.alone_text, tampered.says


def test_a_period_may_lack_streams_that_did_not_move_in_it_but_no_other(tmp_path: Path) -> None:
    world = next(w for w in map(make_world, range(2, 200, 3)) if set(w.streams) - w.required())
    kept = {s: e for s, e in world.exported().items() if s in world.required()}
    lines = [audit_export.event_line(event).encode() for events in kept.values() for event in events]
    assert _is_sound(both(sealed(world, lines), tmp_path / "export"))
    gone = next(iter(kept))
    lines = [audit_export.event_line(e).encode() for s, events in kept.items() if s != gone for e in events]
    answers = both(sealed(world, lines), tmp_path / "export")
    assert not _is_sound(answers)
    assert f"stream {gone}, is missing" in (answers.ours.problem or "")
    assert f"stream {gone}, is missing" in answers.alone_text


def test_the_workspace_of_another_history_is_not_taken(tmp_path: Path) -> None:
    world = make_world(3)
    other = replace(world, workspace=next(s for s in world.streams if s != world.workspace))
    assert not _is_sound(both(other.files(), tmp_path / "export"))


def test_a_trusted_key_that_has_signed_nothing_vouches_for_nothing(tmp_path: Path) -> None:
    world = replace(make_world(3), checkpoints=[], anchors=[])
    assert _is_sound(both(world.files(), tmp_path / "export"))
    assert not _is_sound(both(world.files(), tmp_path / "export", key=public(world.key)))
