"""Codes of this machine: settings, data folder, exports, and the command line itself."""

from __future__ import annotations

from orchestrator.domain.error_codes.entry import Entry, Kind, Repeat, Subject

SETTINGS = (
    Entry(
        "misconfigured",
        Repeat.MEND,
        "A setting is missing, or makes no sense.",
        "`orchestrator config show` prints what is in force, and where it is from.",
    ),
    Entry(
        "address_taken",
        Repeat.MEND,
        "The API cannot listen on its address.",
        "Another server may run already; `ORCH_PORT` names another port.",
    ),
    Entry(
        "port_in_use",
        Repeat.MEND,
        "Another program listens on a port that is needed.",
        "Stop it, or name another with `ORCH_PORT`; 0 takes a free one.",
    ),
    Entry("not_started", Repeat.LATER, "The API did not start.", "The log above says why."),
    Entry(
        "no_token",
        Repeat.MEND,
        "No token exists yet, and the API would listen beyond this machine.",
        "`orchestrator token create NAME --local`, then serve again; or `ORCH_HOST=127.0.0.1`.",
    ),
    Entry(
        "artifacts.folder",
        Repeat.MEND,
        "The folder of results is empty by name, or cannot be used.",
        "Look at `ORCH_ARTIFACTS_URL`, and at who may write there.",
    ),
    Entry(
        "artifacts.host",
        Repeat.MEND,
        "A `file://` URL names another machine.",
        "Write it as `file:///path`; mount the folder.",
    ),
    Entry(
        "artifacts.kind",
        Repeat.MEND,
        "Artifact stores of this kind are not in this version.",
        "Name a folder; a mounted network folder works for several machines.",
    ),
    Entry(
        "anchors.kind",
        Repeat.MEND,
        "`ORCH_ANCHORS` names no place that is known.",
        "A folder, `stdout`, or `s3://bucket/prefix`.",
    ),
    Entry(
        "wrong_secret_key",
        Repeat.MEND,
        "A secret in the database was sealed with another key.",
        "Start with the `ORCH_SECRET_KEY`, or the data folder, that it was stored with.",
    ),
    Entry(
        "seal_broken",
        Repeat.MEND,
        "A sealed secret does not belong to its row: the database was changed by hand.",
        "Put the row back from a backup, or give the key anew: `orchestrator connection rotate NAME --api-key-stdin`.",
    ),
    Entry(
        "secret_key_damaged",
        Repeat.MEND,
        "The file of the secret key is damaged.",
        "Put it back from a backup; a new one cannot open what the old one sealed.",
    ),
)

FOLDER = (
    Entry(
        "data_dir_in_use",
        Repeat.MEND,
        "Another process runs in this data folder.",
        "`orchestrator down` stops it; `ORCH_DATA_DIR` names another folder.",
    ),
    Entry(
        "data_dir_unusable",
        Repeat.MEND,
        "The data folder cannot be used.",
        "The message says why: its owner, its rights, its file system.",
    ),
    Entry(
        "storage_full",
        Repeat.MEND,
        "The disk of the data folder is full.",
        "Free space, then start again; nothing was lost.",
    ),
    Entry(
        "database_password",
        Repeat.MEND,
        "The embedded Postgres does not take the password of the data folder.",
        "Put its folder `keys` back from the backup that the database is from.",
    ),
    Entry(
        "database_version",
        Repeat.MEND,
        "The data folder was made by another version of Postgres.",
        "Dump it with the version that made it and load it here, or name another `ORCH_DATA_DIR`.",
    ),
)

EXPORTS = (
    Entry(
        "export.folder",
        Repeat.MEND,
        "The export's folder is not empty, or cannot be written.",
        "Name a new folder with `--to-dir`.",
    ),
    Entry("export.missing", Repeat.MEND, "There is no such export.", "`orchestrator audit export` makes one."),
    Entry("anchors.missing", Repeat.MEND, "There is no such file of anchors.", "Name the one that was kept outside."),
)

COMMANDS = (
    Entry(
        "code_unknown",
        Repeat.MEND,
        "`orchestrator explain` knows no such code.",
        "It names those that are spelled alike; without a code it lists all.",
    ),
    Entry("usage", Repeat.MEND, "The words of the command do not fit.", "The command with `--help` says which do."),
    Entry(
        "not_confirmed",
        Repeat.MEND,
        "The act needs a yes, and nobody can be asked here.",
        "Add `--yes`; look with `--dry-run` before.",
    ),
    Entry(
        "adopt_file",
        Repeat.MEND,
        "The file of executions to adopt has mistakes.",
        "`errors` names each row; its columns are `index,execution_id`.",
    ),
    Entry(
        "not_configured",
        Repeat.MEND,
        "No server is named, or no token for it.",
        "`orchestrator up` on this machine; else set `ORCH_URL` and `ORCH_TOKEN`.",
    ),
    Entry(
        "unreachable",
        Repeat.LOOK,
        "The server did not answer.",
        "Is it running, and is `ORCH_URL` right? A submission is safe to repeat with its external id.",
    ),
    Entry(
        "download_interrupted",
        Repeat.LATER,
        "The server, or the way to it, stopped in the middle of a download; no file of that name was made or replaced.",
        "Fetch it again; into a folder (`--to`), what came before is kept.",
    ),
    Entry(
        "foreign_answer",
        Repeat.LOOK,
        "Something answered, but not as our API answers.",
        "Is `ORCH_URL` the address of an orchestrator, or of a proxy before it?",
    ),
    Entry(
        "verification_failed",
        Repeat.LATER,
        "The bytes that came are not those that the server vouched for; nothing was kept.",
        "Fetch it again; if it stays, the store or the network changes files.",
    ),
)

SUBJECTS = (
    Subject(title="Settings and start", kind=Kind.ERROR, entries=SETTINGS),
    Subject(title="The data folder", kind=Kind.ERROR, entries=FOLDER),
    Subject(title="Exports", kind=Kind.ERROR, entries=EXPORTS),
    Subject(title="The command line", kind=Kind.ERROR, entries=COMMANDS),
)
