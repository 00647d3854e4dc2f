"""A history to report on: ended runs by the hundred thousand, made by SQL, with all that hangs on them.

Of each hundred runs two failed, one failed and finished when it was tried again, one was doubted and adopted, the
others finished; each has its executions, its file, its events. Everything adds up, as after true work. Only the hashes
are made up: a period's report does not check them. The runs lie over the last 20 days, in batches of up to 5,000.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import psycopg

BATCH_SIZE, WAVE_SIZE = 5_000, 500
#: Runs that are made by one statement.
AT_ONCE = 50_000

_PLAN = f"""
CREATE UNLOGGED TABLE plan_batches AS SELECT b, at, uuidv7(at - clock_timestamp()) AS batch FROM (
    SELECT b, date_trunc('milliseconds', now() - interval '20 days' + interval '19 days' * b / %(batches)s) AS at
    FROM generate_series(0, %(batches)s - 1) b) s;
CREATE UNLOGGED TABLE plan_waves AS SELECT w, p.b, p.batch, uuidv7(p.at - clock_timestamp()) AS wave,
        uuidv7(p.at - clock_timestamp()) AS intent, p.at + (w %% {BATCH_SIZE // WAVE_SIZE}) * interval '10 min' AS at,
        LEAST({WAVE_SIZE}, %(runs)s - w * {WAVE_SIZE}) AS size
    FROM generate_series(0, (%(runs)s - 1) / {WAVE_SIZE}) w JOIN plan_batches p ON p.b = w * {WAVE_SIZE} / {BATCH_SIZE};
CREATE UNLOGGED TABLE plan AS SELECT n, n %% {BATCH_SIZE} AS index, p.batch, p.at AS accepted, v.wave, v.intent,
        v.at + (n %% {WAVE_SIZE}) * interval '200 ms' AS launched, uuidv7(p.at - clock_timestamp()) AS run,
        uuidv7(p.at - clock_timestamp()) AS second_intent, 5 + n %% 61 AS took_s,
        CASE n %% 100 WHEN 17 THEN 'failed' WHEN 34 THEN 'failed' WHEN 51 THEN 'retried' WHEN 68 THEN 'doubted'
            ELSE 'plain' END AS kind
    FROM generate_series(0, %(runs)s - 1) n JOIN plan_batches p ON p.b = n / {BATCH_SIZE}
    JOIN plan_waves v ON v.w = n / {WAVE_SIZE};
CREATE INDEX ON plan (n);
CREATE UNLOGGED TABLE plan_steps (kind text, seq int, attempt int, type text, actor text, at text);
"""

#: kind -> its events: type, actor (o: the product itself, p: a person), when: `a` accepted, `l` launched, `e` ended.
_LIFE = (("accepted", "p", "a"), ("launching", "o", "l"))
_GOOD_END = (("finished_at_provider", "o", "e"), ("result_stored", "o", "e"), ("finished", "o", "e"))
_BAD_END = ("failed_at_provider", "o", "e")
STEPS = {
    "plain": (*_LIFE, ("launched", "o", "l"), *_GOOD_END),
    "failed": (*_LIFE, ("launched", "o", "l"), _BAD_END),
    "doubted": (*_LIFE, ("in_doubt", "o", "l"), ("adopted", "p", "l"), *_GOOD_END),
    "retried": (*_LIFE, ("launched", "o", "l"), _BAD_END, ("reopened", "p", "e"), ("launching", "o", "e"),
                ("launched", "o", "e"), *_GOOD_END),
}  # fmt: skip
_ACTORS = {"o": "orchestrator", "p": "token:bench"}

_FEW = f"""
INSERT INTO batches (id, workspace_id, connection_id, workflow_id, name, source_sha256, source_format, total,
        concurrency, created_by, created_at, ended_at, event_seq)
    SELECT p.batch, %(workspace)s, %(connection)s, %(workflow)s, 'batch ' || p.b, sha256(p.batch::text::bytea), 'csv',
        LEAST({BATCH_SIZE}, %(runs)s - p.b * {BATCH_SIZE}), 'medium', 'token:bench', p.at, p.at + interval '2 h', 1
    FROM plan_batches p;
INSERT INTO events (stream, seq, at, type, actor, data, hash) SELECT p.batch, 1, p.at, 'batch_accepted', 'token:bench',
    '{{"refused":0}}', sha256(p.batch::text::bytea) FROM plan_batches p;
INSERT INTO waves (id, batch_id, workflow_id, state, size, width, level, ended, created_at, launched_at)
    SELECT wave, batch, %(workflow)s, 'over', size, 10, 'medium', size, at, at FROM plan_waves;
INSERT INTO intents (id, lane_id, workflow_id, wave_id, worker_id, size, body_sha256, body_bytes, committed_at,
        send_deadline, outcome, outcome_at, http_status)
    SELECT intent, %(lane)s, %(workflow)s, wave, wave, size, sha256(intent::text::bytea), 100 * size, at, at,
        'accepted', at, 200 FROM plan_waves;
"""

_MANY = """
INSERT INTO runs (id, workspace_id, connection_id, workflow_id, batch_id, index, external_id, status, provider_status,
        results_state, attempt, execution_id, error_code, error_message, input_sha256, input_bytes, created_by,
        created_at, launched_at, status_at, ended_at, event_seq, event_hash)
    SELECT run, %(workspace)s, %(connection)s, %(workflow)s, batch, index, 'order-' || n,
        CASE kind WHEN 'failed' THEN 'error' ELSE 'finished' END, CASE kind WHEN 'failed' THEN 'error' ELSE 'finished'
        END, CASE kind WHEN 'failed' THEN 'none' ELSE 'stored' END, CASE kind WHEN 'retried' THEN 2 ELSE 1 END,
        gen_random_uuid()::text, CASE kind WHEN 'failed' THEN 'provider_error' END,
        CASE kind WHEN 'failed' THEN 'the provider says that the execution failed' END, sha256(run::text::bytea), 90,
        'token:bench', accepted, launched, launched + took_s * interval '1 s', launched + took_s * interval '1 s',
        (SELECT max(s.seq) FROM plan_steps s WHERE s.kind = p.kind), sha256(run::text::bytea)
    FROM plan p WHERE n BETWEEN %(first)s AND %(last)s;
INSERT INTO inputs (run_id, body) SELECT run, convert_to('{"customer_id":"C-' || n || '","amount":"' || n %% 1000 ||
    '.10","note":"Order, Café Zoë"}', 'UTF8') FROM plan WHERE n BETWEEN %(first)s AND %(last)s;
INSERT INTO intents (id, lane_id, workflow_id, run_id, worker_id, size, body_sha256, body_bytes, committed_at,
        send_deadline, outcome, outcome_at, http_status)
    SELECT second_intent, %(lane)s, %(workflow)s, run, run, 1, sha256(run::text::bytea), 100, launched, launched,
        'accepted', launched, 200 FROM plan WHERE kind = 'retried' AND n BETWEEN %(first)s AND %(last)s;
INSERT INTO executions (run_id, attempt, intent_id, connection_id, workflow_id, wave_id, position, state, remote_id,
        began_at, accepted_at, ended_at, looks)
    SELECT run, a, CASE a WHEN 1 THEN intent ELSE second_intent END, %(connection)s, %(workflow)s,
        CASE a WHEN 1 THEN wave END, CASE a WHEN 1 THEN index ELSE 0 END, 'ended', gen_random_uuid()::text, launched,
        launched, launched + took_s * interval '1 s', 1 + n %% 3
    FROM plan, generate_series(1, CASE kind WHEN 'retried' THEN 2 ELSE 1 END) a
    WHERE n BETWEEN %(first)s AND %(last)s;
INSERT INTO artifacts (run_id, attempt, n, filename, offered_at, size_bytes, sha256, store_key, stored_at)
    SELECT run, CASE kind WHEN 'retried' THEN 2 ELSE 1 END, 0, 'result.json', launched + took_s * interval '1 s', 300,
        sha256(run::text::bytea), run || '/0', launched + took_s * interval '1 s' + interval '300 ms'
    FROM plan WHERE kind <> 'failed' AND n BETWEEN %(first)s AND %(last)s;
INSERT INTO events (stream, seq, at, type, actor, data, hash)
    SELECT p.run, s.seq, CASE s.at WHEN 'a' THEN p.accepted WHEN 'l' THEN p.launched
            ELSE p.launched + p.took_s * interval '1 s' END, s.type, s.actor,
        CASE s.type
            WHEN 'accepted' THEN '{"batch":"' || p.batch || '","input_sha256":"' || encode(sha256('x'), 'hex') || '"}'
            WHEN 'launching' THEN '{"attempt":' || s.attempt || ',"intent":"' || p.intent || '","wave":"' || p.wave
                || '"}'
            WHEN 'in_doubt' THEN '{"attempt":1,"reason":"the connection broke while waiting for the answer"}'
            WHEN 'adopted' THEN '{"execution_id":"' || p.wave || '","reason":"looked up in the console"}'
            WHEN 'reopened' THEN '{"attempt":2,"reason":"the provider had a bad hour","was":"error"}'
            WHEN 'result_stored' THEN '{"n":0,"sha256":"' || encode(sha256('x'), 'hex') || '","size_bytes":300}'
            ELSE '{"attempt":' || s.attempt || ',"execution_id":"' || p.wave || '"}' END,
        sha256((p.run::text || s.seq)::bytea)
    FROM plan p JOIN plan_steps s ON s.kind = p.kind WHERE p.n BETWEEN %(first)s AND %(last)s;
"""


_TIDY = "DROP TABLE plan, plan_steps, plan_waves, plan_batches"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose runs they are to be."""

    workspace: UUID
    connection: UUID
    workflow: UUID
    lane: UUID


def owner(connection: psycopg.Connection) -> Owner:
    """Return the first workflow of the database, and what it belongs to."""
    row = connection.execute(
        "SELECT workspace_id, connection_id, id, lane_id FROM workflows ORDER BY remote_id LIMIT 1"
    ).fetchone()
    assert row is not None, "a connection was added"
    return Owner(workspace=row[0], connection=row[1], workflow=row[2], lane=row[3])


def fill(superuser: str, runs: int) -> None:
    """Make so many ended runs of the database's first workflow.

    Args:
        superuser: libpq's words for the database; one who may leave out the checks of references, which would take
            most of the time.
    """
    # The client binds: several statements go in one, and none is prepared.
    with psycopg.connect(superuser, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SELECT events_partition(now() - n * interval '1 day') FROM generate_series(0, 21) n")
        whose = owner(connection)
        words = {
            "workspace": whose.workspace, "connection": whose.connection, "workflow": whose.workflow,
            "lane": whose.lane, "runs": runs, "batches": -(-runs // BATCH_SIZE),
        }  # fmt: skip
        connection.execute(_PLAN, words)
        connection.cursor().executemany("INSERT INTO plan_steps VALUES (%s, %s, %s, %s, %s, %s)", _steps())
        connection.execute("ANALYZE plan; ANALYZE plan_steps")
        connection.execute(_FEW, words)
        for first in range(0, runs, AT_ONCE):
            connection.execute(_MANY, {**words, "first": first, "last": min(first + AT_ONCE, runs) - 1})
        connection.execute(_TIDY)
        # As a database that has lived: else autovacuum would do it while something is measured.
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def _steps() -> list[tuple[str, int, int, str, str, str]]:
    found = []
    for kind, life in STEPS.items():
        attempt = 1
        for seq, (type_, actor, at) in enumerate(life, start=1):
            attempt += type_ == "reopened"
            found.append((kind, seq, attempt, type_, _ACTORS[actor], at))
    return found
