"""What a user gets back for the rows that were refused: one error that lists them, and a file to mend."""

from __future__ import annotations

import csv
import io
from itertools import islice

from orchestrator.domain.intake.csv_records import Sheet
from orchestrator.domain.intake.csv_table import NOTE_COLUMNS, guarded, note_columns
from orchestrator.domain.intake.rows import FileFormat, Intake
from orchestrator.errors import BadInput

MAX_LISTED = 1_000


def refusal(intake: Intake) -> BadInput | None:
    """Return the error that lists what is wrong with the rows, None when all are good.

    At most a thousand problems are listed; the message says how many there are beyond.
    """
    if not intake.refused:
        return None
    every = [problem for refused in intake.refused for problem in refused.problems]
    beyond = len(every) - MAX_LISTED
    more = f"; {beyond:,} more problems are not listed" if beyond > 0 else ""
    are = "is" if len(intake.refused) == 1 else "are"
    return BadInput(
        f"{len(intake.refused):,} of {intake.total:,} rows {are} invalid{more}",
        code="batch.invalid_rows",
        hint="Mend the file and submit it again, or submit only the valid rows with --skip-invalid.",
        problems=tuple(islice(every, MAX_LISTED)),
    )


def refused_file(intake: Intake) -> bytes:
    """Return the refused rows in the file's own format, to be mended and submitted again.

    JSON and JSONL rows stand as they came. A CSV gets the columns `_row`, `_line` and `_problem` in front,
    where rows with too few or too many cells cannot shift them, and cells that a spreadsheet would run
    as formulas get an apostrophe; reading the file again takes both away.
    """
    rows = [refused.raw for refused in intake.refused]
    match intake.format:
        case FileFormat.JSONL:
            return b"".join(row + b"\n" for row in rows)
        case FileFormat.JSON:
            return b"[\n" + b",\n".join(rows) + b"\n]\n"
        case FileFormat.CSV:
            return _csv(intake)


def _csv(intake: Intake) -> bytes:
    assert intake.header is not None and intake.delimiter is not None, "a CSV intake knows its header"
    noted = note_columns(intake.header)
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=intake.delimiter, lineterminator="\r\n", quoting=csv.QUOTE_MINIMAL)
    writer.writerow([*NOTE_COLUMNS, *map(guarded, intake.header[noted:])])
    for refused in intake.refused:
        record = next(Sheet(refused.raw.decode(), intake.delimiter, refused.line).records())
        cells = record.cells[noted:] if noted else list(map(guarded, record.cells))
        said = "; ".join(f"{p.field}: {p.message}" if p.field else p.message for p in refused.problems)
        writer.writerow([refused.row, refused.line, guarded(said), *cells])
    return out.getvalue().encode()
