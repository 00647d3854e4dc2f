"""Every setting, its default and where its value came from. The only place that reads the environment.

A value comes from the environment (`ORCH_…`), else from the TOML file that `ORCH_CONFIG` names (lower-case names
without the prefix), else from the default here. `orchestrator config show` prints all three.
"""

from __future__ import annotations

import os
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from orchestrator.errors import Misconfigured

PREFIX = "ORCH_"


class LogFormat(StrEnum):
    """How log lines look: for a person, or one JSON object a line."""

    CONSOLE = "console"
    JSON = "json"


Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Settings(BaseModel):
    """What an operator can turn. Times are in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: SecretStr | None = Field(
        default=None, description="Postgres; unset: the embedded one in the data folder"
    )
    broker_url: SecretStr | None = Field(default=None, description="Celery's broker; unset: pgmq in the same Postgres")
    data_dir: Path = Field(default=Path(".orchestrator"), description="embedded Postgres, artifacts, keys, logs")
    artifacts_url: str | None = Field(default=None, description="where results are stored; unset: the data folder")
    inputs_dir: Path | None = Field(
        default=None, description="where schedules find their files; unset: `inputs` in the data folder"
    )
    secret_key: SecretStr | None = Field(
        default=None, description="seals secrets, 32 bytes base64; unset: in the data folder"
    )
    signing_key: SecretStr | None = Field(
        default=None, description="signs checkpoints of the history, 32 bytes base64; unset: made from the secret key"
    )
    anchors: str | None = Field(
        default=None,
        description="where checkpoints are kept: a folder, `stdout`, `s3://bucket/prefix`; unset: in the data folder",
    )
    keep_content_days: int | None = Field(
        default=None,
        ge=1,
        le=36_500,
        description="inputs, results and names are erased so many days after a batch or single run ended; unset: kept",
    )
    keep_history_days: int | None = Field(
        default=None,
        ge=31,
        le=36_500,
        description="settled history is exported and dropped so many days after a month's last event; unset: kept",
    )
    retired_dir: Path | None = Field(
        default=None, description="where retired history is exported to; unset: `retired` in the data folder"
    )
    host: str = Field(default="127.0.0.1", description="the address that the API listens on")
    port: int = Field(default=8700, ge=0, le=65535, description="its port; 0 takes a free one")
    allowed_hosts: str = Field(
        default="", description="names under which the API answers, beside its address: a comma list"
    )
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[!-~]+$",
        description="how clients reach the API, for URLs in its answers; unset: as each request names it",
    )
    workers: int = Field(default=2, ge=1, le=64, description="worker processes that `up` starts")
    log_format: LogFormat = Field(default=LogFormat.CONSOLE, description="console or json")
    log_level: str = Field(
        default="info", pattern="^(debug|info|warning|error)$", description="debug, info, warning, error"
    )
    allow_private_networks: bool = Field(
        default=False, description="let connections and results name private addresses"
    )
    lease_s: Seconds = Field(default=90.0, description="how long a claim on rows holds")
    heartbeat_s: Seconds = Field(
        default=5.0, description="how often a worker says that it lives; silent for 4 of them: dead"
    )
    sweep_interval_s: Seconds = Field(default=5.0, description="how often dead workers and stuck work are looked for")
    http_timeout_s: Seconds = Field(default=30.0, description="how long a provider may take to answer")
    poll_min_interval_s: Seconds = Field(default=1.0, description="no execution is looked at more often")
    poll_max_interval_s: Seconds = Field(
        default=300.0, description="no live execution is looked at more rarely, but for a human"
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, given: object) -> object:
        """Take INFO for info: elsewhere levels are written so."""
        return given.lower() if isinstance(given, str) else given

    @property
    def dead_after_s(self) -> float:
        """A worker that has been silent for so long is dead, and its leases are void."""
        return 4 * self.heartbeat_s

    def require_database_url(self) -> str:
        """Return the database's URL for SQLAlchemy, psycopg's dialect spelled out.

        Raises:
            Misconfigured: there is none, because the embedded Postgres is the default and is not started here.
        """
        if self.database_url is None:
            raise Misconfigured(
                "no database is named",
                hint="set ORCH_DATABASE_URL, or use `orchestrator up`, which starts one in the data folder",
            )
        url = self.database_url.get_secret_value()
        for plain in ("postgresql://", "postgres://"):
            if url.startswith(plain):
                return "postgresql+psycopg://" + url.removeprefix(plain)
        return url


class Origin(StrEnum):
    """Where a setting's value came from."""

    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


def load_settings() -> Settings:
    """Read the settings.

    Raises:
        Misconfigured: a value makes no sense; every bad one is named.
    """
    return load_with_origins()[0]


def load_with_origins() -> tuple[Settings, dict[str, Origin]]:
    """Read the settings, and say for each where it came from."""
    from_file = _read_file(os.environ.get(PREFIX + "CONFIG"))
    from_env = {
        name: os.environ[PREFIX + name.upper()]
        for name in Settings.model_fields
        if os.environ.get(PREFIX + name.upper(), "") != ""
    }
    try:
        settings = Settings.model_validate({**from_file, **from_env})
    except ValidationError as error:
        raise _explain(error, from_env) from None
    origins = dict.fromkeys(Settings.model_fields, Origin.DEFAULT)
    origins |= dict.fromkeys(from_file, Origin.FILE) | dict.fromkeys(from_env, Origin.ENVIRONMENT)
    return settings, origins


def _read_file(path: str | None) -> dict[str, object]:
    if not path:
        return {}
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misconfigured(f"ORCH_CONFIG names {path}, which cannot be read: {error}") from None


def _explain(error: ValidationError, from_env: dict[str, str]) -> Misconfigured:
    lines = []
    for fault in error.errors(include_input=False, include_url=False):
        name = str(fault["loc"][0])
        where = PREFIX + name.upper() if name in from_env else f"{name} (in the file of ORCH_CONFIG)"
        lines.append(f"{where}: {fault['msg'].lower()}")
    return Misconfigured("; ".join(lines), hint="`orchestrator config show` lists the settings and what they take")
