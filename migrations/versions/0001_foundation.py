"""The foundation: tenants, lanes, runs, the launch ledger, timers, history, artifacts, inbox, workers."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

CLOCK = """
-- The one clock. STABLE, so that an index condition may use it; a setting overrides it in simulation.
CREATE FUNCTION orch_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT COALESCE(NULLIF(current_setting('orch.now', true), '')::timestamptz, now()) $$;

-- A fence is new with every claim, so a late holder's token never matches again, even if a row was made anew.
CREATE SEQUENCE fences AS bigint CACHE 20;
"""

TENANTS = """
CREATE TABLE workspaces (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT orch_now(),
    event_seq bigint NOT NULL DEFAULT 0,
    event_hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex')
);

CREATE TABLE tokens (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    name text NOT NULL,
    hint text NOT NULL,
    digest bytea NOT NULL UNIQUE,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT orch_now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz
);

-- What is limited: a key, or a group that the user declared. It may span connections and workspaces.
CREATE TABLE lanes (
    id uuid PRIMARY KEY,
    limit_key text NOT NULL UNIQUE,
    requests_per_minute int NOT NULL CONSTRAINT lanes_rate_positive CHECK (requests_per_minute > 0),
    spent jsonb NOT NULL DEFAULT '[]',
    blocked_until timestamptz,
    launches_stopped text,
    launches_stopped_at timestamptz,
    breaker text NOT NULL DEFAULT 'closed'
        CONSTRAINT lanes_breaker CHECK (breaker IN ('closed', 'open', 'half_open')),
    breaker_probe_at timestamptz,
    breaker_trips int NOT NULL DEFAULT 0,
    launch_due_at timestamptz,
    poll_due_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT orch_now()
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);
-- A worker asks for lanes with due work; both columns are lower bounds that a claim corrects.
CREATE INDEX lanes_launch_due ON lanes (launch_due_at) WHERE launch_due_at IS NOT NULL;
CREATE INDEX lanes_poll_due ON lanes (poll_due_at) WHERE poll_due_at IS NOT NULL;

-- Requests that were granted and are not recorded yet: their tokens are out.
CREATE TABLE grants (
    id uuid PRIMARY KEY,
    lane_id uuid NOT NULL REFERENCES lanes ON DELETE CASCADE,
    worker_id uuid NOT NULL,
    kind text NOT NULL CONSTRAINT grants_kind CHECK (kind IN ('launch', 'look', 'other')),
    count int NOT NULL CONSTRAINT grants_count CHECK (count > 0),
    granted_at timestamptz NOT NULL DEFAULT orch_now()
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
CREATE INDEX grants_lane ON grants (lane_id);

CREATE TABLE connections (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    lane_id uuid NOT NULL REFERENCES lanes,
    name text NOT NULL,
    provider text NOT NULL,
    base_url text NOT NULL,
    api_key bytea NOT NULL,
    key_hint text NOT NULL,
    limit_group text,
    max_concurrent int NOT NULL CONSTRAINT connections_slots CHECK (max_concurrent > 0),
    console_url text,
    paused_at timestamptz,
    paused_by text,
    checked_at timestamptz,
    check_result text,
    created_at timestamptz NOT NULL DEFAULT orch_now(),
    removed_at timestamptz
);
CREATE UNIQUE INDEX connections_name ON connections (workspace_id, name) WHERE removed_at IS NULL;
CREATE INDEX connections_lane ON connections (lane_id);

-- The lane of a workflow is its connection's; everything below finds its lane through its workflow, so that a key that
-- is rotated moves one column.
CREATE TABLE workflows (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    connection_id uuid NOT NULL REFERENCES connections,
    lane_id uuid NOT NULL REFERENCES lanes,
    remote_id text NOT NULL,
    name text NOT NULL,
    description text,
    -- The provider's own text; NULL where it defines no schema.
    input_schema text,
    fetched_at timestamptz,
    on_doubt text NOT NULL DEFAULT 'hold'
        CONSTRAINT workflows_on_doubt CHECK (on_doubt IN ('hold', 'relaunch', 'fail')),
    poll_initial_s double precision,
    poll_factor double precision,
    poll_cap_s double precision,
    poll_jitter double precision,
    durations_count int NOT NULL DEFAULT 0,
    durations_log_mean double precision NOT NULL DEFAULT 0,
    durations_log_var double precision NOT NULL DEFAULT 0,
    launches_blocked_until timestamptz,
    launches_blocked_because text,
    last_turn_at timestamptz,
    UNIQUE (connection_id, remote_id)
) WITH (fillfactor = 70);
CREATE INDEX workflows_lane ON workflows (lane_id);
"""

WORK = """
CREATE TABLE batches (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    connection_id uuid NOT NULL REFERENCES connections,
    workflow_id uuid NOT NULL REFERENCES workflows,
    name text,
    external_id text,
    source_sha256 bytea NOT NULL,
    source_format text NOT NULL,
    total int NOT NULL,
    refused int NOT NULL DEFAULT 0,
    concurrency text NOT NULL,
    wave_size int,
    -- Halved when the provider refuses a wave, doubled back as it accepts.
    wave_cap int,
    max_failures_count int,
    max_failures_percent double precision,
    -- What had ended, and failed, when a person resumed the batch: the failure rule begins anew.
    excused_endings int NOT NULL DEFAULT 0,
    excused_failures int NOT NULL DEFAULT 0,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT orch_now(),
    paused_at timestamptz,
    paused_because text,
    cancelled_at timestamptz,
    ended_at timestamptz,
    final_counts jsonb,
    event_seq bigint NOT NULL DEFAULT 0,
    event_hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex')
) WITH (fillfactor = 70);
CREATE INDEX batches_listed ON batches (workspace_id, id DESC);
CREATE UNIQUE INDEX batches_external ON batches (workspace_id, workflow_id, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX batches_same_file ON batches (workspace_id, source_sha256);
CREATE INDEX batches_open ON batches (id) WHERE ended_at IS NULL;

-- The runs launched by one provider batch request, and all that the planner needs to know of them.
CREATE TABLE waves (
    id uuid PRIMARY KEY,
    batch_id uuid NOT NULL REFERENCES batches,
    workflow_id uuid NOT NULL REFERENCES workflows,
    state text NOT NULL CONSTRAINT waves_state CHECK (state IN ('launching', 'open', 'in_doubt', 'not_sent', 'over')),
    size int NOT NULL,
    width int NOT NULL,
    level text NOT NULL,
    ended int NOT NULL DEFAULT 0,
    human int NOT NULL DEFAULT 0,
    frontier int NOT NULL DEFAULT 0,
    in_order boolean NOT NULL DEFAULT true,
    looks int NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT orch_now(),
    launched_at timestamptz,
    -- A doubted wave keeps its slots until then.
    slots_until timestamptz
) WITH (fillfactor = 50);
CREATE INDEX waves_live ON waves (workflow_id) WHERE state IN ('launching', 'open', 'in_doubt');
CREATE INDEX waves_batch ON waves (batch_id);

CREATE TABLE runs (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    connection_id uuid NOT NULL REFERENCES connections,
    workflow_id uuid NOT NULL REFERENCES workflows,
    batch_id uuid REFERENCES batches,
    index int,
    external_id text,
    status text NOT NULL CONSTRAINT runs_status CHECK (status IN ('queued', 'launching', 'in_doubt', 'processing',
        'human_in_the_loop', 'downloading', 'finished', 'error', 'result_lost', 'cancelled', 'abandoned')),
    provider_status text,
    results_state text NOT NULL DEFAULT 'none'
        CONSTRAINT runs_results CHECK (results_state IN ('none', 'offered', 'stored', 'empty', 'lost')),
    attempt int NOT NULL DEFAULT 1,
    execution_id text,
    error_code text,
    error_message text,
    cancel_requested boolean NOT NULL DEFAULT false,
    input_sha256 bytea NOT NULL,
    input_bytes int NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT orch_now(),
    launched_at timestamptz,
    status_at timestamptz NOT NULL DEFAULT orch_now(),
    ended_at timestamptz,
    event_seq bigint NOT NULL DEFAULT 0,
    event_hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex')
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX runs_listed ON runs (workspace_id, id DESC);
CREATE INDEX runs_of_batch ON runs (batch_id, status, index) WHERE batch_id IS NOT NULL;
-- Keeps "which runs are in doubt, waiting, downloading" small however many have ended.
CREATE INDEX runs_live ON runs (workspace_id, status, id)
    WHERE status NOT IN ('finished', 'error', 'result_lost', 'cancelled', 'abandoned');
CREATE UNIQUE INDEX runs_external ON runs (workspace_id, workflow_id, external_id)
    WHERE external_id IS NOT NULL AND batch_id IS NULL;
CREATE UNIQUE INDEX runs_external_in_batch ON runs (batch_id, external_id)
    WHERE external_id IS NOT NULL AND batch_id IS NOT NULL;

-- Inputs are the bytes that came, never re-serialised, apart from the rows that move.
CREATE TABLE inputs (
    run_id uuid PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
    body bytea NOT NULL
);

CREATE TABLE labels (
    run_id uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    key text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (run_id, key)
);
CREATE INDEX labels_found ON labels (workspace_id, key, value, run_id);

-- The launch ledger. An intent is committed before its request is sent.
CREATE TABLE intents (
    id uuid PRIMARY KEY,
    lane_id uuid NOT NULL REFERENCES lanes,
    workflow_id uuid NOT NULL REFERENCES workflows,
    run_id uuid REFERENCES runs,
    wave_id uuid REFERENCES waves,
    worker_id uuid NOT NULL,
    size int NOT NULL,
    body_sha256 bytea NOT NULL,
    body_bytes int NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT orch_now(),
    send_deadline timestamptz NOT NULL,
    outcome text CONSTRAINT intents_outcome CHECK (
        outcome IN ('accepted', 'partly_accepted', 'not_sent', 'refused', 'in_doubt')),
    outcome_at timestamptz,
    http_status int,
    detail text,
    CONSTRAINT intents_of_one CHECK ((run_id IS NULL) <> (wave_id IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX intents_run ON intents (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX intents_wave ON intents (wave_id) WHERE wave_id IS NOT NULL;

-- One attempt at the provider.
CREATE TABLE executions (
    run_id uuid NOT NULL REFERENCES runs,
    attempt int NOT NULL,
    intent_id uuid NOT NULL REFERENCES intents,
    connection_id uuid NOT NULL REFERENCES connections,
    workflow_id uuid NOT NULL REFERENCES workflows,
    wave_id uuid REFERENCES waves,
    position int NOT NULL DEFAULT 0,
    state text NOT NULL CONSTRAINT executions_state CHECK (
        state IN ('launching', 'open', 'in_doubt', 'not_sent', 'refused', 'ended', 'left')),
    remote_id text,
    began_at timestamptz NOT NULL DEFAULT orch_now(),
    accepted_at timestamptz,
    ended_at timestamptz,
    -- A single launch that is in doubt, or that nobody watches any more, keeps its slot until then.
    slot_until timestamptz,
    looks int NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, attempt)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
-- This index, not code, forbids a second open attempt of a run.
CREATE UNIQUE INDEX executions_one_open ON executions (run_id) WHERE state IN ('launching', 'open', 'in_doubt');
CREATE UNIQUE INDEX executions_remote ON executions (connection_id, remote_id) WHERE remote_id IS NOT NULL;
CREATE INDEX executions_slots ON executions (workflow_id)
    WHERE wave_id IS NULL AND (state IN ('launching', 'open') OR slot_until IS NOT NULL);
CREATE INDEX executions_intent ON executions (intent_id);
CREATE INDEX executions_wave ON executions (wave_id, position) WHERE wave_id IS NOT NULL;

-- The timer wheel: narrow, only what lives. `subject_id` is a run, a batch (to launch) or an intent (sending).
-- No index on lease or fence columns.
CREATE TABLE timers (
    subject_id uuid PRIMARY KEY,
    kind text NOT NULL CONSTRAINT timers_kind CHECK (kind IN ('launch', 'sending', 'poll', 'download')),
    lane_id uuid NOT NULL,
    workflow_id uuid NOT NULL,
    batch_id uuid,
    wave_id uuid,
    position int,
    due_at timestamptz,
    urgency smallint NOT NULL DEFAULT 2,
    fence bigint NOT NULL DEFAULT 0,
    worker_id uuid,
    tries int NOT NULL DEFAULT 0,
    looks int NOT NULL DEFAULT 0,
    refreshes int NOT NULL DEFAULT 0,
    stage smallint NOT NULL DEFAULT 0,
    entered_at timestamptz,
    looked_at timestamptz,
    gone_since timestamptz,
    deadline_at timestamptz
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
CREATE INDEX timers_poll ON timers (lane_id, urgency, due_at) WHERE kind = 'poll' AND due_at IS NOT NULL;
CREATE INDEX timers_launch ON timers (workflow_id, due_at) WHERE kind = 'launch';
CREATE INDEX timers_download ON timers (due_at) WHERE kind = 'download';
CREATE INDEX timers_sending ON timers (due_at) WHERE kind = 'sending';
CREATE INDEX timers_wave ON timers (wave_id, position) WHERE wave_id IS NOT NULL;

CREATE TABLE artifacts (
    run_id uuid NOT NULL REFERENCES runs,
    attempt int NOT NULL,
    n int NOT NULL,
    filename text NOT NULL,
    -- Sealed; cleared once the file is stored. Its expiry stands beside it in the open.
    url bytea,
    url_expires_at timestamptz,
    offered_at timestamptz NOT NULL DEFAULT orch_now(),
    size_bytes bigint,
    sha256 bytea,
    store_key text,
    stored_at timestamptz,
    failure text,
    PRIMARY KEY (run_id, attempt, n),
    CONSTRAINT artifacts_stored_whole CHECK (
        stored_at IS NULL OR (size_bytes IS NOT NULL AND sha256 IS NOT NULL AND store_key IS NOT NULL))
) WITH (fillfactor = 80);

CREATE TABLE inbox (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    kind text NOT NULL CONSTRAINT inbox_kind CHECK (kind IN ('human', 'doubt', 'overdue')),
    run_id uuid REFERENCES runs,
    wave_id uuid REFERENCES waves,
    batch_id uuid REFERENCES batches,
    title text NOT NULL,
    link text,
    opened_at timestamptz NOT NULL DEFAULT orch_now(),
    closed_at timestamptz,
    closed_because text,
    CONSTRAINT inbox_of_one CHECK ((run_id IS NULL) <> (wave_id IS NULL))
);
CREATE UNIQUE INDEX inbox_one_open_run ON inbox (run_id, kind) WHERE closed_at IS NULL AND run_id IS NOT NULL;
CREATE UNIQUE INDEX inbox_one_open_wave ON inbox (wave_id, kind) WHERE closed_at IS NULL AND wave_id IS NOT NULL;
CREATE INDEX inbox_open ON inbox (workspace_id, id) WHERE closed_at IS NULL;

CREATE TABLE workers (
    id uuid PRIMARY KEY,
    place text NOT NULL,
    pid int NOT NULL,
    version text NOT NULL,
    state text NOT NULL DEFAULT 'running'
        CONSTRAINT workers_state CHECK (state IN ('running', 'draining', 'stopped', 'dead')),
    started_at timestamptz NOT NULL DEFAULT orch_now(),
    heartbeat_at timestamptz NOT NULL DEFAULT orch_now(),
    ended_at timestamptz,
    -- Its leases and tokens were given back.
    buried_at timestamptz,
    units_in_tasks bigint NOT NULL DEFAULT 0,
    units_in_ticker bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE INDEX workers_alive ON workers (heartbeat_at) WHERE state IN ('running', 'draining');
CREATE INDEX workers_unburied ON workers (id) WHERE state IN ('stopped', 'dead') AND buried_at IS NULL;

CREATE TABLE idempotency_keys (
    workspace_id uuid NOT NULL REFERENCES workspaces,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    status int,
    body text,
    created_at timestamptz NOT NULL DEFAULT orch_now(),
    PRIMARY KEY (workspace_id, key)
);
CREATE INDEX idempotency_keys_old ON idempotency_keys (created_at);
"""

HISTORY = """
-- The append-only history. One stream per run, per batch and per workspace; the head lies on the owner's row.
-- Partitioned by stream: stream ids are UUIDv7, so old streams lie together and leave together.
CREATE TABLE events (
    stream uuid NOT NULL,
    seq bigint NOT NULL,
    at timestamptz NOT NULL,
    type text NOT NULL,
    actor text NOT NULL,
    data text NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (stream, seq)
) PARTITION BY RANGE (stream);

CREATE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'events are append-only' USING ERRCODE = '55000'; END $$;

-- ENABLE ALWAYS, or session_replication_role = replica walks past the trigger. TRUNCATE is refused on each partition
-- by itself, because a statement trigger is not inherited.
CREATE FUNCTION events_guard(partition regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON %s '
        'FOR EACH ROW EXECUTE FUNCTION events_refuse()', partition);
    EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %s EXECUTE FUNCTION events_refuse()', partition);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER no_change', partition);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER no_truncate', partition);
END $$;

-- The month's partition, by the time inside the UUIDv7. Harmless to call again.
CREATE FUNCTION events_partition(month timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first timestamptz := date_trunc('month', month AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
    next timestamptz := (date_trunc('month', month AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
    name text := 'events_' || to_char(month AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    IF to_regclass(name) IS NOT NULL THEN RETURN; END IF;
    -- Many sweepers come at the month's turn; one makes it, the others find it made.
    PERFORM pg_advisory_xact_lock(7205013);
    IF to_regclass(name) IS NOT NULL THEN RETURN; END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF events FOR VALUES FROM (%L) TO (%L)',
        name, events_bound(first), events_bound(next));
    PERFORM events_guard(name::regclass);
END $$;

CREATE FUNCTION events_bound(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT rpad(lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0'), 32, '0')::uuid
$$;

CREATE TABLE events_default PARTITION OF events DEFAULT;
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON events EXECUTE FUNCTION events_refuse();
ALTER TABLE events ENABLE ALWAYS TRIGGER no_truncate;
SELECT events_guard('events_default'::regclass);
SELECT events_partition(now());
SELECT events_partition(now() + interval '1 month');
"""

TABLES = (
    "events", "idempotency_keys", "workers", "inbox", "artifacts", "timers", "executions", "intents", "labels",
    "inputs", "runs", "waves", "batches", "workflows", "connections", "grants", "lanes", "tokens", "workspaces",
)  # fmt: skip


def upgrade() -> None:
    """Make everything. The one transaction of a migration holds it all, so a killed migration leaves nothing."""
    # By the driver itself: what stands between the quotes is plain SQL, percent signs included.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None, "an online migration has a connection"
    for part in (CLOCK, TENANTS, WORK, HISTORY):
        driver.execute(part)


def downgrade() -> None:
    """Remove everything, history included: only an empty or throw-away database should go down this far."""
    for table in TABLES:
        op.execute(f"DROP TABLE {table}")
    for function in ("events_partition(timestamptz)", "events_bound(timestamptz)", "events_guard(regclass)"):
        op.execute(f"DROP FUNCTION {function}")
    op.execute("DROP FUNCTION events_refuse()")
    op.execute("DROP SEQUENCE fences")
    op.execute("DROP FUNCTION orch_now() CASCADE")
