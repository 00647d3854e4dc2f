"""Writes `docs/states.md`: `python -m tests.house.write_states`."""

from __future__ import annotations

from orchestrator.domain.states_page import states_page
from tests.house.source import ROOT

PAGE = ROOT / "docs" / "states.md"


def main() -> None:
    """Write the page."""
    PAGE.write_text(states_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
