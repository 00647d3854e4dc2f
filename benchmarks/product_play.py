"""The product in virtual time, measured: its figures in a world."""

from __future__ import annotations

from typing import Any

from benchmarks.score import score
from orchestrator.domain.governor import CallKind
from orchestrator.rehearsal.virtual_launches import VirtualLaunches
from orchestrator.rehearsal.world import World


def measure(world: World) -> dict[str, Any]:
    """Run the product through a world; return its figures."""
    engine = VirtualLaunches(world)
    lane = engine.lane
    lane.time.run(until=lambda: lane.left == 0)
    executions = [e for a in engine.submitted for e in a.executions]
    return score(world, executions, looks=lane.sent[CallKind.LOOK], launches=lane.sent[CallKind.LAUNCH])
