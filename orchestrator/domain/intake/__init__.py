"""Intake: from what a user sends to rows that may be stored, or to a complete list of what is wrong.

    batch.py         read_batch, read_single, detect_format: the doors of this room
    pairs.py         `key=value` pairs                          preview.py       what a file looks like
    rows.py          Row, Refused, Intake: what the doors give       content.py     a file, in memory or not
    refusal.py       the complaint about a batch, and the file of refused rows to mend
    csv_table.py     a CSV table: columns, external ids              csv_header.py   its names, and what they fill
    csv_records.py   text -> records of cells
    csv_cells.py     one cell -> one JSON value, by the schema's type
    json_lines.py    one object a line                               json_array.py   one array of objects
    strict_json.py   JSON without the lenience of `json`             json_flaws.py   where the JSON is wrong
    schema.py        a workflow's input_schema                       schema_words.py what it says, in English
    patterns.py      which regular expressions we dare to run        flat_schema.py  the fast way for plain schemas

Inputs are kept as the bytes that came: numbers and their spelling never change.
"""
