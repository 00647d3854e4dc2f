"""Writes the table of settings into `docs/operations.md`: `python -m tests.house.write_settings`."""

from __future__ import annotations

from enum import Enum
from typing import Any

from pydantic_core import PydanticUndefined

from orchestrator.settings import PREFIX, Settings
from tests.house.source import ROOT

PAGE = ROOT / "docs" / "operations.md"
BEGIN = "<!-- printed by `python -m tests.house.write_settings` -->\n"
END = "<!-- end -->"


def settings_table() -> str:
    """Return every setting, its default and its meaning as a Markdown table."""
    lines = ["| Setting | Default | What it is |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        lines.append(f"| `{PREFIX}{name.upper()}` | {_shown(field.default)} | {field.description} |")
    return "\n".join(lines) + "\n"


def with_table(page: str) -> str:
    """Return the page with the table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert rest and end, f"{PAGE.name} has the marks"
    return before + BEGIN + settings_table() + END + after


def _shown(default: Any) -> str:
    if default is None:
        return "unset"
    assert default is not PydanticUndefined, "every setting has a default"
    if isinstance(default, bool):
        return "`true`" if default else "`false`"
    if isinstance(default, Enum):
        return f"`{default.value}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def main() -> None:
    """Write the table."""
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
