"""Brings a database to the schema that this version needs. Any number of processes may call it at once."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, pool
from sqlalchemy.exc import OperationalError

from orchestrator.errors import Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaState:
    """Which revision a database has, and which this version needs. `current` is None for an empty database."""

    current: str | None
    needed: str

    @property
    def is_current(self) -> bool:
        """Whether nothing is left to migrate."""
        return self.current == self.needed


def migrate(database_url: str, *, revision: str = "head") -> SchemaState:
    """Migrate up to a revision; harmless when the database is there already.

    Raises:
        Unavailable: the database cannot be reached.
    """
    config = _config()
    engine = create_engine(database_url, poolclass=pool.NullPool, connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            if revision == "head" or not revision.startswith(("-", "base")):
                command.upgrade(config, revision)
            else:
                command.downgrade(config, revision)
    except OperationalError as error:
        raise Unavailable("the database cannot be reached", code="database_unavailable") from error
    finally:
        engine.dispose()
    return current_state(database_url)


def current_state(database_url: str) -> SchemaState:
    """Say where a database stands.

    Raises:
        Unavailable: the database cannot be reached.
    """
    needed = ScriptDirectory.from_config(_config()).get_current_head()
    assert needed is not None, "there is a migration"
    engine = create_engine(database_url, poolclass=pool.NullPool, connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
    except OperationalError as error:
        raise Unavailable("the database cannot be reached", code="database_unavailable") from error
    finally:
        engine.dispose()
    return SchemaState(current=current, needed=needed)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_migrations()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _migrations() -> Path:
    return Path(str(resources.files("migrations")))
