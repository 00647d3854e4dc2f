"""Runs that have ended, made by SQL: as many as live, over the last sixty days, in batches that are over.

One in a hundred failed, and nobody kept their inputs.
With their events and those of the runs that live there are five for each run that lives.
"""

from __future__ import annotations

BATCH_SIZE = 500

PLAN = f"""
CREATE TEMP TABLE settled AS
    SELECT n, p.workspace, p.connection, p.lane, p.workflow, b.batch, b.at, n %% {BATCH_SIZE} AS index,
        uuidv7(b.at - clock_timestamp()) AS run, b.wave, b.intent, n %% 100 = 17 AS failed
    FROM (SELECT b, at, uuidv7(at - clock_timestamp()) AS batch, uuidv7(at - clock_timestamp()) AS wave,
            uuidv7(at - clock_timestamp()) AS intent FROM (
            SELECT b, date_trunc('milliseconds', now() - interval '60 days' + interval '59 days' * b / %(batches)s)
                AS at FROM generate_series(0, %(batches)s - 1) b) s) b
    JOIN place p ON p.l = b.b %% %(lanes)s
    JOIN generate_series(0, %(runs)s - 1) n ON n / {BATCH_SIZE} = b.b;
ANALYZE settled;
"""

WORK = f"""
INSERT INTO batches (id, workspace_id, connection_id, workflow_id, name, source_sha256, source_format, total,
        concurrency, created_by, created_at, ended_at, final_counts, event_seq)
    SELECT batch, workspace, connection, workflow, 'batch ' || n / {BATCH_SIZE}, sha256(batch::text::bytea),
        'csv', {BATCH_SIZE}, 'medium', 'token:bench', at, at + interval '1 h',
        jsonb_build_object('finished', {BATCH_SIZE}), 1
    FROM settled WHERE index = 0;
INSERT INTO runs (id, workspace_id, connection_id, workflow_id, batch_id, index, external_id, status, provider_status,
        results_state, execution_id, error_code, input_sha256, input_bytes, created_by, created_at, launched_at,
        status_at, ended_at, event_seq)
    SELECT run, workspace, connection, workflow, batch, index, 'old-' || n,
        CASE WHEN failed THEN 'error' ELSE 'finished' END, CASE WHEN failed THEN 'error' ELSE 'finished' END,
        CASE WHEN failed THEN 'none' ELSE 'empty' END, gen_random_uuid()::text,
        CASE WHEN failed THEN 'provider_error' END, sha256(run::text::bytea), 90, 'token:bench', at, at,
        at + interval '1 min', at + interval '1 min', 3 + (n %% 4 = 0)::int
    FROM settled;
"""

LEDGER = f"""
INSERT INTO waves (id, batch_id, workflow_id, state, size, width, level, ended, created_at, launched_at)
    SELECT wave, batch, workflow, 'over', {BATCH_SIZE}, 10, 'medium', {BATCH_SIZE}, at, at FROM settled WHERE index = 0;
INSERT INTO intents (id, lane_id, workflow_id, wave_id, worker_id, size, body_sha256, body_bytes, committed_at,
        send_deadline, outcome, outcome_at, http_status)
    SELECT intent, lane, workflow, wave, wave, {BATCH_SIZE}, sha256(intent::text::bytea), 100, at, at, 'accepted', at,
        200 FROM settled WHERE index = 0;
INSERT INTO executions (run_id, attempt, intent_id, connection_id, workflow_id, wave_id, position, state, remote_id,
        began_at, accepted_at, ended_at, looks)
    SELECT run, 1, intent, connection, workflow, wave, index, 'ended', gen_random_uuid()::text, at, at,
        at + interval '1 min', 2
    FROM settled;
"""

EVENTS = """
INSERT INTO events (stream, seq, at, type, actor, data, hash)
    SELECT run, seq, at, (ARRAY['accepted', 'launching', 'launched', 'finished'])[seq], 'orchestrator',
        '{"attempt":1,"batch":"' || batch || '"}', sha256((run::text || seq)::bytea)
    FROM settled, generate_series(1, 3 + (n %% 4 = 0)::int) seq;
"""

STEPS = (PLAN, WORK, LEDGER, EVENTS)
