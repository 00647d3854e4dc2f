"""Writes the tables of error codes into `docs/api.md`: `python -m tests.house.write_codes`."""

from __future__ import annotations

from orchestrator.domain.error_codes.catalogue import SUBJECTS
from orchestrator.domain.error_codes.entry import REPEAT_WORDS, Subject
from tests.house.source import ROOT

PAGE = ROOT / "docs" / "api.md"
BEGIN = "<!-- printed by `python -m tests.house.write_codes` -->\n"
END = "<!-- end -->"


def tables() -> str:
    """Return what the words of repeats mean, and a table of each subject's codes, as Markdown."""
    lines = ["| Repeat | Means |", "|---|---|"]
    lines += [f"| {word} | {meaning} |" for word, meaning in REPEAT_WORDS.items()]
    for subject in SUBJECTS:
        lines += ["", f"### {subject.title}", "", *_table(subject)]
    return "\n".join(lines) + "\n"


def with_tables(page: str) -> str:
    """Return the page with the tables between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert rest and end, f"{PAGE.name} has the marks"
    return before + BEGIN + tables() + END + after


def _table(subject: Subject) -> list[str]:
    lines = ["| Code | Means | Do | Repeat |", "|---|---|---|---|"]
    for entry in subject.entries:
        cells = (f"`{entry.code}`", entry.meaning, entry.cure, entry.repeat.value)
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return lines


def main() -> None:
    """Write the tables."""
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
