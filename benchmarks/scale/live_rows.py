"""Runs that live, by the hundred thousand, made by SQL: queued, at the provider, downloading, each with its timers.

Every lane has the same `RUNS_A_LANE`: a batch that waits to be launched, a few single runs that wait too, a wave that
is being watched, and runs whose files are on their way. Of ten lanes nine are throttled. Only the hashes are made up.
"""

from __future__ import annotations

RUNS_A_LANE = 200

#: How many of a lane's runs are what: the first so many wait in a batch, then single ones, then those of the wave.
IN_BATCH, SINGLE, IN_WAVE = 120, 10, 60

#: Of a wave so many are looked at, the rest sleeps until the window reaches it.
WINDOW = 20

#: Due downloads of the whole world: as many in a small one as in a large one.
DUE_DOWNLOADS = 50

PLACE = """
CREATE TEMP TABLE place AS
    SELECT row_number() OVER (ORDER BY n.name) - 1 AS l, n.workspace_id AS workspace, n.id AS connection,
        n.lane_id AS lane, w.id AS workflow, uuidv7(interval '-3 hours') AS waiting,
        uuidv7(interval '-2 hours') AS open, uuidv7(interval '-1 hour') AS wave, uuidv7(interval '-1 hour') AS intent
    FROM connections n JOIN workflows w ON w.connection_id = n.id WHERE n.name LIKE 'lane-%%';
"""

PLAN = f"""
CREATE TEMP TABLE live AS
    SELECT p.*, k, uuidv7(CASE WHEN k < {IN_BATCH} THEN interval '-3 hours' ELSE interval '-2 hours' END) AS run,
        uuidv7(interval '-1 hour') AS own_intent,
        CASE WHEN k < {IN_BATCH} THEN 'waiting' WHEN k < {IN_BATCH + SINGLE} THEN 'single'
            WHEN k < {IN_BATCH + SINGLE + IN_WAVE} THEN 'wave' ELSE 'download' END AS kind
    FROM place p, generate_series(0, {RUNS_A_LANE} - 1) k ORDER BY l, k;
ANALYZE live;
"""

THROTTLED = """
UPDATE lanes SET blocked_until = CASE WHEN l %% 10 > 0 THEN now() + interval '50 min' END,
    launch_due_at = now() + CASE WHEN l %% 10 > 0 THEN interval '50 min' ELSE interval '-1 s' END,
    poll_due_at = now() + CASE WHEN l %% 10 > 0 THEN interval '50 min' ELSE interval '-1 s' END
    FROM place WHERE id = lane;
"""

WORK = f"""
INSERT INTO batches (id, workspace_id, connection_id, workflow_id, name, source_sha256, source_format, total,
        concurrency, created_by, created_at, event_seq)
    SELECT b, workspace, connection, workflow, 'batch ' || l, sha256(b::text::bytea), 'csv', size, 'medium',
        'token:bench', now() - interval '3 hours', 1
    FROM place, LATERAL (VALUES (waiting, {IN_BATCH}), (open, {IN_WAVE})) v(b, size);
INSERT INTO waves (id, batch_id, workflow_id, state, size, width, level, frontier, created_at, launched_at)
    SELECT wave, open, workflow, 'open', {IN_WAVE}, 10, 'medium', {WINDOW}, now(), now() FROM place;
INSERT INTO runs (id, workspace_id, connection_id, workflow_id, batch_id, index, external_id, status, provider_status,
        results_state, execution_id, input_sha256, input_bytes, created_by, created_at, launched_at, event_seq)
    SELECT run, workspace, connection, workflow, CASE kind WHEN 'waiting' THEN waiting WHEN 'wave' THEN open END,
        CASE kind WHEN 'waiting' THEN k WHEN 'wave' THEN k - {IN_BATCH + SINGLE} END, 'order-' || l || '-' || k,
        CASE kind WHEN 'wave' THEN 'processing' WHEN 'download' THEN 'downloading' ELSE 'queued' END,
        CASE kind WHEN 'wave' THEN 'processing' WHEN 'download' THEN 'finished' END,
        CASE kind WHEN 'download' THEN 'offered' ELSE 'none' END,
        CASE WHEN kind IN ('wave', 'download') THEN gen_random_uuid()::text END, sha256(run::text::bytea), 90,
        'token:bench', now() - CASE kind WHEN 'waiting' THEN interval '3 hours' ELSE interval '2 hours' END,
        CASE WHEN kind IN ('wave', 'download') THEN now() END,
        CASE kind WHEN 'wave' THEN 3 WHEN 'download' THEN 4 ELSE 1 END
    FROM live;
INSERT INTO inputs (run_id, body) SELECT run, convert_to('{{"customer_id":"C-' || k || '","note":"Order, Café Zoë"}}',
    'UTF8') FROM live;
INSERT INTO labels (run_id, workspace_id, key, value) SELECT run, workspace, 'team', 'team-' || l FROM live
    WHERE kind = 'single';
"""

LEDGER = f"""
INSERT INTO intents (id, lane_id, workflow_id, run_id, wave_id, worker_id, size, body_sha256, body_bytes,
        send_deadline, outcome, http_status)
    SELECT intent, lane, workflow, NULL, wave, wave, {IN_WAVE}, sha256(intent::text::bytea), 100, now(), 'accepted', 200
    FROM place
    UNION ALL SELECT own_intent, lane, workflow, run, NULL, run, 1, sha256(run::text::bytea), 100, now(), 'accepted',
        200 FROM live WHERE kind = 'download';
INSERT INTO executions (run_id, attempt, intent_id, connection_id, workflow_id, wave_id, position, state, remote_id,
        accepted_at, ended_at)
    SELECT run, 1, CASE kind WHEN 'wave' THEN intent ELSE own_intent END, connection, workflow,
        CASE kind WHEN 'wave' THEN wave END, CASE kind WHEN 'wave' THEN k - {IN_BATCH + SINGLE} ELSE 0 END,
        CASE kind WHEN 'wave' THEN 'open' ELSE 'ended' END, gen_random_uuid()::text, now(),
        CASE kind WHEN 'download' THEN now() END
    FROM live WHERE kind IN ('wave', 'download');
INSERT INTO artifacts (run_id, attempt, n, filename, url, url_expires_at)
    SELECT run, 1, 0, 'result.json', 'sealed'::bytea, now() + interval '1 hour' FROM live WHERE kind = 'download';
"""

TIMERS = f"""
INSERT INTO timers (subject_id, kind, lane_id, workflow_id, batch_id, due_at)
    SELECT waiting, 'launch', lane, workflow, waiting, now() - interval '1 min' FROM place
    UNION ALL SELECT run, 'launch', lane, workflow, NULL, now() - interval '1 min' FROM live WHERE kind = 'single';
INSERT INTO timers (subject_id, kind, lane_id, workflow_id, batch_id, wave_id, position, due_at, entered_at)
    SELECT run, 'poll', lane, workflow, open, wave, k - {IN_BATCH + SINGLE},
        CASE WHEN k < {IN_BATCH + SINGLE + WINDOW} THEN now() - (k || ' s')::interval END,
        CASE WHEN k < {IN_BATCH + SINGLE + WINDOW} THEN now() - interval '1 hour' END
    FROM live WHERE kind = 'wave';
INSERT INTO timers (subject_id, kind, lane_id, workflow_id, due_at, deadline_at)
    SELECT run, 'download', lane, workflow, now() + CASE WHEN row_number() OVER (ORDER BY run) <= {DUE_DOWNLOADS}
        THEN interval '-1 min' ELSE interval '50 min' END, now() + interval '2 days'
    FROM live WHERE kind = 'download';
"""

EVENTS = """
INSERT INTO events (stream, seq, at, type, actor, data, hash)
    SELECT run, seq, now() - interval '1 hour',
        (ARRAY['accepted', 'launching', 'launched', 'finished_at_provider'])[seq],
        'orchestrator', '{"attempt":1,"batch":"' || waiting || '"}', sha256((run::text || seq)::bytea)
    FROM live, generate_series(1, CASE kind WHEN 'wave' THEN 3 WHEN 'download' THEN 4 ELSE 1 END) seq;
INSERT INTO events (stream, seq, at, type, actor, data, hash)
    SELECT b, 1, now() - interval '3 hours', 'batch_accepted', 'token:bench', '{"refused":0}', sha256(b::text::bytea)
    FROM place, LATERAL (VALUES (waiting), (open)) v(b);
"""

STEPS = (PLACE, PLAN, THROTTLED, WORK, LEDGER, TIMERS, EVENTS)
