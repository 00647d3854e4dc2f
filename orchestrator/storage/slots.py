"""How a workflow's slots are counted, in one place: by what is alive at the provider, not by a counter.

A single launch takes one, also while it is in doubt or was left alone and may still run. A wave takes as many as the
provider can be using for it. Each is a sub-select over a workflow `w`.
"""

from __future__ import annotations

SINGLE_SLOTS = """(SELECT count(*)::int FROM executions e WHERE e.workflow_id = w.id AND e.wave_id IS NULL
            AND (e.state IN ('launching', 'open') OR e.slot_until IS NOT NULL)
            AND (e.slot_until IS NULL OR e.slot_until > orch_now()))"""

WAVE_SLOTS = """(SELECT COALESCE(sum(LEAST(v.width, v.size - v.ended)), 0)::int FROM waves v WHERE v.workflow_id = w.id
            AND v.state IN ('launching', 'open', 'in_doubt')
            AND (v.state <> 'in_doubt' OR v.slots_until > orch_now()))"""
