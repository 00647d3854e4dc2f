"""A history that was changed in the database, by its superuser, is found out by both verifiers."""

from __future__ import annotations

import base64
from pathlib import Path

import psycopg.conninfo
import pytest
from pydantic import SecretStr

from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import Who
from orchestrator.settings import Settings
from tests.audit.in_database import SEED, campaign, exported, live
from tests.audit.judges import both
from tests.audit.mutations import MUTATIONS
from tests.engine.conftest import Office

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings with a key that a tamperer may have stolen."""
    return settings.model_copy(update={"signing_key": SecretStr(base64.b64encode(SEED).decode())})


async def test_tampering_with_the_tables_is_found_by_both_verifiers(
    deps: Deps, who: Who, office: Office, postgres: EmbeddedPostgres, database_url: str, tmp_path: Path
) -> None:
    await live(office)
    before = both(await exported(deps, who), tmp_path / "before")
    assert before.ours.ok, before.ours.problem
    assert before.alone_exit == 0, before.alone_text
    name = psycopg.conninfo.conninfo_to_dict(database_url.replace("+psycopg", ""))["dbname"]
    tried, missed = await campaign(
        deps, who, postgres.superuser_libpq(str(name)), count=6 * len(MUTATIONS), seed=7, folder=tmp_path
    )
    assert missed == []
    assert set(tried.values()) == {6}
    after = both(await exported(deps, who), tmp_path / "after")
    assert after.ours.ok, "what was put back is whole again"
