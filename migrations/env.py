"""How Alembic reaches the database: one migrator at a time, and never long in the way of running workers."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, create_engine, pool, text

#: Any number that no other program uses on this database: one migrator at a time.
ADVISORY_LOCK = 7_205_011


def run(connection: Connection) -> None:
    """Migrate in one transaction, holding the lock. Waiting for a table gives up after 5 s instead of blocking all."""
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
    try:
        connection.execute(text("SET lock_timeout = '5s'"))
        connection.commit()
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
        connection.commit()


def main() -> None:
    """Use the caller's connection, or make one from the settings when called by the `alembic` command."""
    given = context.config.attributes.get("connection")
    if given is not None:
        run(given)
        return
    from orchestrator.settings import load_settings

    engine = create_engine(load_settings().require_database_url(), poolclass=pool.NullPool)
    with engine.connect() as connection:
        run(connection)


main()
