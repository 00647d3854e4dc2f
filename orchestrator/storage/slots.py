"""How a workflow's slots are counted, in one place: by what is alive at the provider, not by a counter.

A single launch takes one, also while it is in doubt or was left alone and may still run. A wave takes as many as the
provider can be using for it: no more than its width, for what is watched and what of it is in doubt. Each is a
sub-select over a workflow `w`.
"""

from __future__ import annotations

SINGLE_SLOTS = """(SELECT count(*)::int FROM executions e WHERE e.workflow_id = w.id AND e.wave_id IS NULL
            AND (e.state IN ('launching', 'open') OR e.slot_until IS NOT NULL)
            AND (e.slot_until IS NULL OR e.slot_until > orch_now()))"""

# Doubts are counted only near a wave's end, where they can make a difference: its executions may be a thousand.
_DOUBTS = "(SELECT count(*)::int FROM executions e WHERE e.wave_id = v.id AND e.slot_until > orch_now())"

WAVE_SLOTS = f"""(SELECT COALESCE(sum(LEAST(v.width, CASE
                WHEN v.size - v.ended >= v.width OR v.state = 'launching' THEN v.size - v.ended
                WHEN v.state = 'open' THEN v.size - v.ended + {_DOUBTS}
                ELSE GREATEST(v.size - v.ended, {_DOUBTS}) END)), 0)::int
            FROM waves v WHERE v.workflow_id = w.id
            AND v.state IN ('launching', 'open', 'in_doubt')
            AND (v.state <> 'in_doubt' OR v.slots_until > orch_now()))"""  # noqa: S608 - our own words
