"""Codes of what is submitted: files, fields, and the workflow's schema. Nothing was stored."""

from __future__ import annotations

from orchestrator.domain.error_codes.entry import Entry, Kind, Repeat, Subject

FIELDS = (
    Entry(
        "input.invalid",
        Repeat.MEND,
        "The input does not fit the workflow's schema.",
        "Mend each field that `errors` names; `orchestrator workflow show ID --connection NAME` prints the schema.",
    ),
    Entry("invalid", Repeat.MEND, "One place of what was given is wrong.", "Its message says how."),
    Entry("field.missing", Repeat.MEND, "A field or parameter that is required is not there.", "Add it."),
    Entry(
        "field.unknown",
        Repeat.MEND,
        "There is no such field.",
        "Mend its name, or leave it out; the message guesses what was meant.",
    ),
    Entry(
        "field.type",
        Repeat.MEND,
        "A value is of another type than the schema says.",
        "Give the type that the message names: a number, true or false, a list.",
    ),
    Entry(
        "field.value",
        Repeat.MEND,
        "A value is not one of those that are taken.",
        "The message lists them, or says the form.",
    ),
    Entry("field.range", Repeat.MEND, "A number lies outside its bounds.", "The message names both."),
    Entry(
        "pair.syntax",
        Repeat.MEND,
        "An input on the command line is neither `key=value` nor `key:=json`.",
        "Write it as one of them, and quote it for the shell.",
    ),
    Entry("text.nul", Repeat.MEND, "A text holds a NUL character, which the database cannot store.", "Remove it."),
)

FILES = (
    Entry("batch.empty", Repeat.MEND, "The file is empty, or has a header only.", "Give it at least one row."),
    Entry(
        "batch.invalid_rows",
        Repeat.MEND,
        "Rows are invalid, so none was stored.",
        "Mend the rows that `errors` names, or submit the good ones with `--skip-invalid`.",
    ),
    Entry(
        "batch.too_many_rows",
        Repeat.MEND,
        "The file has more rows than a batch takes.",
        "Split it into several batches.",
    ),
    Entry("batch.duplicate_item_key", Repeat.MEND, "Two rows have the same external id.", "Give each row its own."),
    Entry(
        "row.too_large",
        Repeat.MEND,
        "One row is larger than an input may be.",
        "Shorten it; large content belongs behind a URL.",
    ),
    Entry("json.empty", Repeat.MEND, "There is no JSON here.", "Send a value; an empty body is none."),
    Entry("json.syntax", Repeat.MEND, "It is not JSON.", "Look at the line and column that the message names."),
    Entry("json.encoding", Repeat.MEND, "The bytes are not UTF-8.", "Save it as UTF-8."),
    Entry(
        "json.unicode",
        Repeat.MEND,
        "Half of a surrogate pair: no character of Unicode.",
        "Write the whole pair, or the character itself.",
    ),
    Entry(
        "json.number",
        Repeat.MEND,
        "A number is not one of JSON: NaN, Infinity, or too long.",
        "Write a JSON number, or a string.",
    ),
    Entry("json.depth", Repeat.MEND, "It is nested too deeply.", "Flatten it."),
    Entry(
        "json.duplicate_key",
        Repeat.MEND,
        "A key is there twice, and it would be a guess which one counts.",
        "Keep one.",
    ),
    Entry(
        "json.not_array",
        Repeat.MEND,
        "The file is JSON, but not an array of objects.",
        "Put `[` and `]` around the rows, or name the format `jsonl`.",
    ),
    Entry(
        "jsonl.not_lines",
        Repeat.MEND,
        "The file is not one JSON object a line.",
        "If it is one array, name the format `json`.",
    ),
    Entry("csv.encoding", Repeat.MEND, "The bytes are not UTF-8.", "Export it as CSV UTF-8."),
    Entry(
        "csv.quote",
        Repeat.MEND,
        "A quoted cell never ends, or goes on after its quote.",
        "Double the quotes within a cell, and close it; the message names the line that opened it.",
    ),
    Entry(
        "csv.ragged",
        Repeat.MEND,
        "A row has another number of cells than the header.",
        "Quote cells that hold the delimiter.",
    ),
    Entry("csv.empty_row", Repeat.MEND, "Every cell of a row is empty.", "Remove the row."),
    Entry("csv.columns", Repeat.MEND, "The header has too many columns.", "Keep those that the workflow takes."),
    Entry(
        "csv.no_header", Repeat.MEND, "The first line looks like data.", "Make the first line name the input's fields."
    ),
    Entry(
        "map.csv_only",
        Repeat.MEND,
        "Columns of a CSV can be mapped to fields; inputs in JSON are never changed.",
        "Rename the fields in the file, or send it as CSV.",
    ),
    Entry("map.pair", Repeat.MEND, "A mapping is COLUMN:FIELD, each column once.", "Mend it, or leave it away."),
    Entry("csv.column_unnamed", Repeat.MEND, "A column has no name.", "Name it, or remove it."),
    Entry("csv.column_doubled", Repeat.MEND, "Two columns have the same name.", "Keep one."),
    Entry(
        "csv.column_unknown",
        Repeat.MEND,
        "A column is no field of the workflow.",
        "Mend its name, or remove it; `orchestrator workflow show ID --connection NAME` prints the schema.",
    ),
    Entry(
        "csv.column_missing",
        Repeat.MEND,
        "A column is missing that is required, or that is to give the external id.",
        "Add it.",
    ),
)

SCHEMA = (
    Entry(
        "schema.invalid",
        Repeat.MEND,
        "The workflow's input schema is no JSON Schema.",
        "Have its owner mend it at the provider.",
    ),
    Entry(
        "schema.pattern",
        Repeat.MEND,
        "The schema has a name pattern that cannot be run here.",
        "Have its owner write it more simply.",
    ),
    Entry(
        "schema.recursion",
        Repeat.MEND,
        "The schema refers to itself without an end.",
        "Have its owner mend it at the provider.",
    ),
    Entry(
        "schema.ref",
        Repeat.MEND,
        "The schema refers to what is not in it; other documents are not fetched.",
        "Have its owner put all of it into one document.",
    ),
    Entry(
        "schema.too_large",
        Repeat.MEND,
        "The schema has too many parts, or is nested too deeply.",
        "Have its owner make it smaller.",
    ),
    Entry(
        "schema_unavailable",
        Repeat.LATER,
        "The workflow's schema is not known here, and the provider did not give it.",
        "`orchestrator connection test NAME` says why; send it again when the provider answers.",
    ),
    Entry(
        "workflow.not_launchable",
        Repeat.MEND,
        "This job type is not launched through us.",
        "Use a type that `orchestrator workflow list --connection NAME` shows.",
    ),
)

FOLDER = (
    Entry(
        "input_missing",
        Repeat.OURS,
        "A schedule's file is not there yet.",
        "Write it into the folder of inputs before the tick's deadline.",
    ),
    Entry(
        "input_unsettled",
        Repeat.OURS,
        "A schedule's file is still being written.",
        "Write under another name, then rename: the file is whole at once.",
    ),
    Entry(
        "input_unreadable",
        Repeat.OURS,
        "A schedule's file cannot be read.",
        "Let the worker's user read it; the message has the system's reason.",
    ),
    Entry(
        "input.not_a_file",
        Repeat.MEND,
        "The schedule's name leads to a folder, or to no plain file.",
        "Put a plain file there.",
    ),
    Entry(
        "input.outside",
        Repeat.MEND,
        "The schedule's name leads out of the folder of inputs.",
        "Move the file below `ORCH_INPUTS_DIR`.",
    ),
    Entry(
        "inputs_folder",
        Repeat.OURS,
        "This process has no folder of inputs.",
        "Set `ORCH_INPUTS_DIR` to the same folder for all workers.",
    ),
)

SUBJECTS = (
    Subject(title="Inputs and fields", kind=Kind.ERROR, entries=FIELDS),
    Subject(title="Files", kind=Kind.ERROR, entries=FILES),
    Subject(title="The workflow's schema", kind=Kind.ERROR, entries=SCHEMA),
    Subject(title="Files of schedules", kind=Kind.ERROR, entries=FOLDER),
)
