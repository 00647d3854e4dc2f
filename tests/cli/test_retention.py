"""`orchestrator admin retention`: says what would go and why the rest stays, and changes nothing on a dry run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Cli, Product


@pytest.fixture
def here(product: Product, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A shell at the machine of the product, in an empty folder."""
    monkeypatch.setenv("ORCH_DATA_DIR", str(product.folder))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_a_limit_everything_is_kept(cli: Cli, here: Path) -> None:
    found = cli("admin", "retention", "--output", "json").json
    assert (found["keep_content_days"], found["keep_history_days"], found["months"]) == (None, None, [])
    assert found["done"] == {"batches": 0, "runs": 0, "months": [], "unproven": [], "is_cut": False}
    assert "kept for ever (ORCH_KEEP_HISTORY_DAYS is unset)" in cli("admin", "retention", "--dry-run").out


def test_a_dry_run_says_of_each_month_why_it_stays(cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_KEEP_HISTORY_DAYS", "31")
    monkeypatch.setenv("ORCH_KEEP_CONTENT_DAYS", "30")
    found = cli("admin", "retention", "--dry-run", "--output", "json").json
    assert found["months"]
    assert all(month["reasons"] and not month["goes"] for month in found["months"])
    assert found["done"] is None
    said = cli("admin", "retention", "--dry-run").out
    assert "less than 31 days ago" in said
    assert "A dry run: nothing was changed." in said
