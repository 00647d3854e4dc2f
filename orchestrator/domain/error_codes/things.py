"""Codes of things that are not there, that are there already, or whose description is wrong."""

from __future__ import annotations

from orchestrator.domain.error_codes.entry import Entry, Kind, Repeat, Subject

NOT_FOUND = (
    Entry(
        "not_found",
        Repeat.MEND,
        "There is no such thing, or it belongs to another workspace.",
        "Look at the list of such things; a path must begin with `/api/v1`.",
    ),
    Entry("run_not_found", Repeat.MEND, "There is no such run in this workspace.", "`orchestrator run list`."),
    Entry("batch_not_found", Repeat.MEND, "There is no such batch in this workspace.", "`orchestrator batch list`."),
    Entry(
        "draft_not_found",
        Repeat.MEND,
        "The file that was uploaded to the pages does not wait here any more.",
        "Look at the batches: it may have been started. Else upload it again.",
    ),
    Entry("operation_not_found", Repeat.MEND, "There is no such bulk operation.", "`orchestrator operation list`."),
    Entry("doubt_not_found", Repeat.MEND, "There is no such run or wave.", "`orchestrator doubt list`."),
    Entry("inbox_not_found", Repeat.MEND, "There is no such question.", "`orchestrator inbox list`."),
    Entry(
        "connection_not_found", Repeat.MEND, "There is no connection of this name.", "`orchestrator connection list`."
    ),
    Entry(
        "workflow_not_found",
        Repeat.MEND,
        "The connection's provider has no such workflow, or it is not known here.",
        "`orchestrator workflow list --connection NAME`.",
    ),
    Entry("workspace_not_found", Repeat.MEND, "There is no such workspace.", "This version has one: `default`."),
    Entry("schedule_not_found", Repeat.MEND, "There is no schedule of this name.", "`orchestrator schedule list`."),
    Entry(
        "tick_not_found",
        Repeat.MEND,
        "The schedule has no tick at this time.",
        "`orchestrator schedule fires NAME` lists them; a time without a zone is on the schedule's clock.",
    ),
    Entry("webhook_not_found", Repeat.MEND, "There is no webhook of this name.", "`orchestrator webhook list`."),
    Entry(
        "delivery_not_found",
        Repeat.MEND,
        "The webhook was told no such thing, or it is forgotten by now.",
        "`orchestrator webhook deliveries NAME`.",
    ),
    Entry(
        "report_not_found",
        Repeat.MEND,
        "No report of this SHA-256 was made in this workspace, as far as its history was looked through.",
        "Is it the file as it was sent, unchanged? `orchestrator audit list --type report_made` names all.",
    ),
    Entry(
        "result_not_found",
        Repeat.MEND,
        "The run has no result of this number, or was started again since.",
        "`orchestrator run get ID` lists its results.",
    ),
    Entry(
        "result_not_stored",
        Repeat.LATER,
        "The file is offered by the provider, and not stored here yet.",
        "Wait for the run's end: `orchestrator run wait ID`.",
    ),
)

EXISTS = (
    Entry(
        "connection_exists",
        Repeat.MEND,
        "There is a connection of this name already.",
        "Take another name, or change the one that is there: `orchestrator connection set NAME`.",
    ),
    Entry(
        "schedule_exists",
        Repeat.MEND,
        "There is a schedule of this name already.",
        "Take another name, or change the one that is there.",
    ),
    Entry(
        "webhook_exists",
        Repeat.MEND,
        "There is a webhook of this name already.",
        "Take another name, or change the one that is there: `orchestrator webhook set NAME`.",
    ),
    Entry(
        "too_many_webhooks",
        Repeat.MEND,
        "The workspace has as many webhooks as it may.",
        "Remove one, or let one program tell the others.",
    ),
)

URLS = (
    Entry("provider.unknown", Repeat.MEND, "There is no provider of this name.", "The hint lists those that are."),
    Entry(
        "bad_key",
        Repeat.MEND,
        "An API key is printable ASCII without spaces.",
        "Copy it anew, without its line's end: `orchestrator connection rotate NAME --api-key-stdin`.",
    ),
    Entry("url.syntax", Repeat.MEND, "It is no URL.", "Write it as `https://host/path`."),
    Entry(
        "url.scheme",
        Repeat.MEND,
        "Only https is called.",
        "Begin it with `https://`, and name a host; for a server of your own without it, such as the sandbox, an "
        "operator may set `ORCH_ALLOW_PRIVATE_NETWORKS`.",
    ),
    Entry(
        "url.userinfo",
        Repeat.MEND,
        "The URL holds a user name or a password.",
        "Leave them out: a key is given by itself, and sealed.",
    ),
    Entry("url.port", Repeat.MEND, "The URL names a port that is none.", "1 to 65535, or leave it out."),
    Entry(
        "url.private",
        Repeat.MEND,
        "The URL leads into a private network.",
        "Use a public address; an operator may set `ORCH_ALLOW_PRIVATE_NETWORKS`.",
    ),
    Entry("url.query", Repeat.MEND, "A base URL holds a query or a fragment.", "Leave them out."),
    Entry(
        "url.fragment", Repeat.MEND, "A webhook's URL holds a fragment, which no receiver would see.", "Leave it out."
    ),
)

SCHEDULES = (
    Entry(
        "schedule.rhythm",
        Repeat.MEND,
        "A schedule has a cron expression or an interval: one of them.",
        "Give the one or the other.",
    ),
    Entry(
        "schedule.input",
        Repeat.MEND,
        "What a schedule submits is not well described.",
        "A file's name with a date, or a fixed input; the message says what is wrong.",
    ),
    Entry("cron.fields", Repeat.MEND, "A cron expression has five fields.", "Minute, hour, day, month, day of week."),
    Entry("cron.field", Repeat.MEND, "One field of the cron expression does not read.", "The hint says what it takes."),
    Entry(
        "cron.step",
        Repeat.MEND,
        "A step of the cron expression does not fit its field.",
        "Choose one that does; the hint shows how.",
    ),
    Entry("cron.macro", Repeat.MEND, "This @-word is not taken.", "Use one that the hint lists, or write five fields."),
    Entry("cron.never", Repeat.MEND, "The expression never fires.", "Look at the day and the month."),
    Entry(
        "cron.rare",
        Repeat.MEND,
        "The expression fires too rarely to be meant.",
        "Look at the day, the month and the day of week.",
    ),
    Entry("cron.too_long", Repeat.MEND, "The cron expression is too long.", "Shorten it, or make two schedules."),
    Entry("every.syntax", Repeat.MEND, "It is no interval.", "Write it as `15m`, `6h`, `1d`."),
    Entry("every.range", Repeat.MEND, "The interval is too short or too long.", "The message names the bound."),
    Entry("zone.unknown", Repeat.MEND, "There is no such time zone.", "Name it as `Europe/Berlin`."),
)

SUBJECTS = (
    Subject(title="What is not there", kind=Kind.ERROR, entries=NOT_FOUND),
    Subject(title="What is there already", kind=Kind.ERROR, entries=EXISTS),
    Subject(title="Connections and URLs", kind=Kind.ERROR, entries=URLS),
    Subject(title="Rhythms of schedules", kind=Kind.ERROR, entries=SCHEDULES),
)
