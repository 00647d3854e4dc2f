"""What looks teach waves and workflows, in memory: as `storage/waves.py` and `storage/learning.py` write it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from orchestrator.domain import planner, windows
from orchestrator.domain.windows import WindowMove
from orchestrator.engine.deps import Deps
from orchestrator.rehearsal.virtual_state import Run, Timers, Wave
from orchestrator.storage.lanes import Lane
from orchestrator.storage.look_claims import LookResult


def teach_waves(deps: Deps, timers: Timers, lane: Lane, results: Sequence[tuple[Run, LookResult]]) -> list[float]:
    """Move the windows by what was seen, and look beyond them; return in how many seconds more is due."""
    opened_s: list[float] = []
    for wave in {id(run.wave): run.wave for run, _ in results if run.wave is not None}.values():
        seen = [r for run, r in results if run.wave is wave and r.wave_look is not None]
        looks = [r.wave_look for r in seen if r.wave_look is not None]
        before, wave.plan = wave.plan, windows.after_looks(wave.plan, looks)
        move = windows.moved(
            before,
            wave.plan,
            looks,
            age_s=_age_s(wave, lane.now),
            timing=seen[0].timing,
            looks_per_minute=lane.limit,
            unit=deps.sources.unit(),
        )
        _move_window(timers, wave, move, now=lane.now)
        opened_s += [] if move.next_due_s is None else [move.next_due_s]
        if before.in_order and not wave.plan.in_order:
            wave.runs[0].workflow.in_order = False
    return opened_s


def _age_s(wave: Wave, now: datetime) -> float:
    return (now - wave.launched_at).total_seconds() if wave.launched_at else 0.0


def _move_window(timers: Timers, wave: Wave, move: WindowMove, *, now: datetime) -> None:
    """Do what `storage/waves.py` does in MOVE_WINDOWS."""
    frontier = wave.plan.frontier
    for position in [*range(move.first, frontier), *sorted(p for p in wave.slept if p < frontier)]:
        run, place = wave.runs[position], position - move.first
        wave.slept.discard(position)
        if run.has_ended or run.entered_at is not None or run.is_leased:
            continue
        is_new = 0 <= place < len(move.began_ago_s)
        run.entered_at = now - timedelta(seconds=move.began_ago_s[place] if is_new else 0.0)
        timers.set(run, now + timedelta(seconds=move.due_in_s[place] if is_new else 0.0))
    for position in move.waiting:
        if wave.runs[position].entered_at is not None and not wave.runs[position].has_ended:
            wave.runs[position].entered_at = now
    stale = now - timedelta(seconds=windows.SWEPT_WITHIN_S)
    sample = [move.sample] if move.sample is not None else []
    for position in [*range(frontier, move.swept_to), *sample]:
        run = wave.runs[position]
        is_stale = position == move.sample or run.looked_at is None or run.looked_at < stale
        if run.due_at is None and not run.has_ended and is_stale:
            timers.set(run, now)


def teach_durations(results: Sequence[tuple[Run, LookResult]], *, now: datetime) -> None:
    """Let workflows learn from executions that were seen to end."""
    for run, result in results:
        if (took := result.took) is None:
            continue
        after_s, by_s = took.after_s, took.by_s
        if run.wave is not None and not run.wave.plan.in_order:
            after_s = by_s = windows.mean_by_throughput(run.wave.plan, age_s=_age_s(run.wave, now))
        run.workflow.durations = run.workflow.durations.learn_between(after_s, by_s)


def plan_anew(results: Sequence[tuple[Run, LookResult]], lane: Lane) -> bool:
    """Give batches their turn when slots came free or a wave drew to its end; tell whether there was cause to."""
    freed = {id(run.workflow): run.workflow for run, result in results if _makes_room(run, result, limit=lane.limit)}
    for workflow in freed.values():
        for subject in workflow.subjects:
            if subject.width is not None and subject.due_at > lane.now:
                subject.due_at = lane.now
    return bool(freed)


def _makes_room(run: Run, result: LookResult, *, limit: int) -> bool:
    if result.change.was == result.change.to:
        return False
    mean_s = run.workflow.durations.mean_s
    return run.wave is None or planner.makes_room(run.wave.plan, looks_per_minute=limit, mean_s=mean_s)
