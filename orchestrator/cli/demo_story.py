"""What the demo tells: lines, a picture of the progress, tables. Drawn on a terminal, plain text without one."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.cli import live, output

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

RULE = "=" * 78


class Story:
    """Tells it on stdout; says nothing when a program reads that."""

    def __init__(self) -> None:
        self._is_silent = output.is_for_programs()
        self._console = _console() if not self._is_silent and sys.stdout.isatty() else None
        self._live: Live | None = None
        self._last = ""

    def say(self, text: str = "") -> None:
        """Tell a line."""
        self._print(text, style=None)

    def loud(self, *lines: str) -> None:
        """Tell what nobody should miss."""
        self._print("\n".join(["", RULE, *(f"  {line}" for line in lines), RULE, ""]), style="bold yellow")

    def command(self, text: str) -> None:
        """Show what a person would have typed for what happens next."""
        self._print(f"$ {text}", style="bold")

    @contextlib.contextmanager
    def progress(self) -> Iterator[None]:
        """Keep a picture of the progress below the lines, where a terminal can show one."""
        if self._console is None:
            yield
            return
        from rich.live import Live

        with Live(console=self._console, refresh_per_second=8) as self._live:
            yield
        self._live = None

    def show(self, batch: Mapping[str, Any]) -> None:
        """Show how the batch stands now."""
        if self._live is not None:
            self._live.update(live.drawn(batch))
            return
        counts = "   ".join(f"{count} {status}" for status, count in live.ordered(batch["counts"]))
        if counts != self._last:
            self._last = counts
            forecast = live.forecast(batch)
            self.say(f"  {forecast:<45} {counts}")

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Show a small table."""
        cells = [[output.cell(str(value)) for value in row] for row in rows]
        widths = [max(len(row[place]) for row in [list(heads), *cells]) for place in range(len(heads))]
        for number, row in enumerate([list(heads), *cells]):
            line = "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip()
            self._print(f"  {line}", style="bold" if number == 0 else None)

    def _print(self, text: str, *, style: str | None) -> None:
        if self._is_silent:
            return
        text = output.harmless(text)
        if self._console is not None:
            self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
        else:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()


def _console() -> Console:
    from rich.console import Console

    return Console()
