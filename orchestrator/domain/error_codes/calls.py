"""Codes of calls to a provider, and to the host of a result file. Runs react to them by themselves."""

from __future__ import annotations

from orchestrator.domain.error_codes.entry import Entry, Kind, Repeat, Subject

PROVIDER = (
    Entry(
        "provider",
        Repeat.LATER,
        "A call to the provider failed.",
        "The message says how; `orchestrator connection test NAME` asks again.",
    ),
    Entry(
        "not_sent",
        Repeat.OURS,
        "Nothing reached the provider: no address, no connection, TLS failed.",
        "Look at the connection's base URL and the network; launches are tried again by themselves.",
    ),
    Entry(
        "address_refused",
        Repeat.MEND,
        "The address leads into a private network, or is no https: it is not called.",
        "Mend the connection's base URL.",
    ),
    Entry(
        "bad_url",
        Repeat.MEND,
        "The connection's URL cannot be called.",
        "`orchestrator connection set NAME` with another base URL.",
    ),
    Entry("bad_id", Repeat.MEND, "The id cannot be one of the provider's.", "Copy it from the provider's console."),
    Entry(
        "throttled",
        Repeat.OURS,
        "The provider asks us to slow down.",
        "Wait. If it stays: who else uses the key? Declare a lower limit.",
    ),
    Entry(
        "refused",
        Repeat.MEND,
        "The provider said no, in its own words.",
        "Read them; the same again gets the same answer.",
    ),
    Entry(
        "key_refused",
        Repeat.MEND,
        "The provider does not accept the key; launches stopped.",
        "`orchestrator connection rotate NAME --api-key-stdin`, then `orchestrator connection test NAME`.",
    ),
    Entry(
        "gone",
        Repeat.MEND,
        "The provider does not know this thing (404).",
        "Look for it in the provider's console; it may have been removed.",
    ),
    Entry(
        "misbehaved",
        Repeat.OURS,
        "The provider's answer breaks its own page.",
        "It is asked again. If it stays: is a proxy between? Tell the provider.",
    ),
    Entry(
        "outcome_unknown",
        Repeat.LOOK,
        "The request may or may not have been acted upon.",
        "A launch becomes a doubt: `orchestrator doubt list`. A read is made again.",
    ),
    Entry(
        "unreadable",
        Repeat.LOOK,
        "Our own code could not read the provider's answer.",
        "The worker's log has it; please report it. A launch becomes a doubt.",
    ),
    Entry(
        "unrecorded",
        Repeat.LOOK,
        "The answer of a launch came, and could not be written down.",
        "`orchestrator doubt list`; the worker's log has the answer.",
    ),
    Entry(
        "commit_in_question",
        Repeat.OURS,
        "Whether the intent of a launch was stored was not known, so nothing was sent.",
        "Nothing is to be done: the run is queued again.",
    ),
    Entry(
        "idempotency_key_conflict",
        Repeat.LOOK,
        "The key of a launch stands for another request: at the provider, or at our jobs door.",
        "At the provider the launch is a doubt: `orchestrator doubt list`. At the door: a new key for a new request.",
    ),
    Entry(
        "version_left",
        Repeat.LOOK,
        "A launch without an answer was sent with an API version that its connection left, and that is taken no more.",
        "The launch is a doubt: `orchestrator doubt list`.",
    ),
)

RESULTS = (
    Entry("file_cut", Repeat.OURS, "A result file ended before it was whole.", "It is fetched again."),
    Entry("file_slow", Repeat.OURS, "A result file came too slowly.", "It is fetched again; look at the network."),
    Entry(
        "file_empty",
        Repeat.OURS,
        "The host sent no byte of a result file.",
        "Believed only when several fresh URLs say the same; it is fetched again.",
    ),
    Entry(
        "file_unconfirmed",
        Repeat.OURS,
        "A file ended with its connection alone, so nothing says that it is whole.",
        "It is fetched again, and believed when two fetches are alike.",
    ),
    Entry(
        "file_too_large",
        Repeat.OURS,
        "A result file is larger than is taken.",
        "The limit (1 GiB) is fixed: fetch it from the provider by hand, or let the workflow make smaller files.",
    ),
    Entry(
        "file_too_long",
        Repeat.OURS,
        "More bytes of a file came than its host announced.",
        "It is fetched again; tell the provider if it stays.",
    ),
)

SUBJECTS = (
    Subject(title="Calls to a provider", kind=Kind.ERROR, entries=PROVIDER),
    Subject(title="Fetching result files", kind=Kind.ERROR, entries=RESULTS),
)
