"""Codes of the request as such: its framing, its token, its key of idempotency, its words."""

from __future__ import annotations

from orchestrator.domain.error_codes.entry import Entry, Kind, Repeat, Subject

REQUEST = (
    Entry(
        "bad_input",
        Repeat.MEND,
        "What was given is wrong; nothing of it was stored.",
        "Read the message and `errors`, mend what they name, send it again.",
    ),
    Entry(
        "too_large",
        Repeat.MEND,
        "The body, the file or the value is larger than is taken.",
        "Split it; the message names the limit.",
    ),
    Entry(
        "body.cut",
        Repeat.LATER,
        "The client went away before its body was whole.",
        "Send it again; with the same `Idempotency-Key` if it was a POST.",
    ),
    Entry("body.encoding", Repeat.MEND, "The body is compressed.", "Send it plain, without `Content-Encoding`."),
    Entry(
        "body.not_object",
        Repeat.MEND,
        "The body, or a row of the file, is not a JSON object.",
        "Send one `{…}`; in a file, one for each row.",
    ),
    Entry(
        "body.stalled",
        Repeat.LATER,
        "The body stopped coming, and was given up.",
        "Look at the network between, then send it again.",
    ),
    Entry(
        "body.type",
        Repeat.MEND,
        "The body's `Content-Type` is not one that this takes.",
        "Send one of the types that the message lists.",
    ),
    Entry(
        "header.repeated",
        Repeat.MEND,
        "A header that counts stands there twice.",
        "Send it once; look for a proxy that adds one.",
    ),
    Entry(
        "host.unknown",
        Repeat.MEND,
        "The server does not answer under the name in the `Host` header.",
        "Use its address, or list the name in `ORCH_ALLOWED_HOSTS`.",
    ),
    Entry("url.too_long", Repeat.MEND, "The URL is too long.", "Ask with fewer filters, page by page."),
    Entry(
        "method_not_allowed",
        Repeat.MEND,
        "The path is there, but not with this method.",
        "The `Allow` header lists those that are.",
    ),
    Entry(
        "http",
        Repeat.MEND,
        "The request breaks HTTP's own rules.",
        "Read the status; the routes are in `/api/v1/openapi.json`.",
    ),
    Entry(
        "cursor.invalid",
        Repeat.MEND,
        "The cursor is not one of this list, with these filters.",
        "Begin again without a cursor; keep the filters as they are from page to page.",
    ),
    Entry(
        "query.repeated",
        Repeat.MEND,
        "A parameter of the query is given twice.",
        "Give it once; a list is separated by commas.",
    ),
    Entry(
        "query.unknown",
        Repeat.MEND,
        "The query has a parameter that this does not know.",
        "Mend its spelling; a filter that is ignored would show too much.",
    ),
    Entry(
        "internal",
        Repeat.LOOK,
        "A bug of ours.",
        "Look whether it was done. The server's log has the reason under the `request_id`; please report it.",
    ),
)

ACCESS = (
    Entry(
        "unauthorized",
        Repeat.MEND,
        "There is no token, or it is not known, expired or revoked.",
        "`orchestrator token create NAME`, and send it as `Authorization: Bearer …`.",
    ),
    Entry("forbidden", Repeat.MEND, "The token is good, but not for this.", "Use a token that may do it."),
    Entry(
        "scope.missing",
        Repeat.MEND,
        "The token lacks the scope that this needs.",
        "`orchestrator token create NAME --scope SCOPE`; the message names it.",
    ),
    Entry(
        "origin.foreign",
        Repeat.MEND,
        "An act in the browser did not come from a page of this server; another site's page may have sent it.",
        "Open the page here and press the button again. Behind a proxy: `ORCH_PUBLIC_URL` names the address it shows.",
    ),
    Entry(
        "token.guessed",
        Repeat.LATER,
        "Too many wrong tokens came from this address.",
        "Send a good one: that is answered at once.",
    ),
    Entry(
        "token.in_url",
        Repeat.MEND,
        "A token stood in the URL, which is logged on its way.",
        "`orchestrator token revoke ID`, make another, and send it in the header.",
    ),
    Entry(
        "token.unbound",
        Repeat.MEND,
        "The key of a door is bound to no connection, or to one that was removed.",
        "`orchestrator token create NAME --connection CONNECTION`.",
    ),
    Entry(
        "link.expired",
        Repeat.MEND,
        "The signed URL of a result has expired.",
        "Ask for the run again: its answer has fresh URLs.",
    ),
    Entry(
        "link.invalid",
        Repeat.MEND,
        "The URL of a result is not one that was given out here.",
        "Take it whole, as it was given; ask for the run again.",
    ),
)

IDEMPOTENCY = (
    Entry(
        "idempotency.key",
        Repeat.MEND,
        "The `Idempotency-Key` is empty, too long, or not printable ASCII.",
        "Send a UUID.",
    ),
    Entry(
        "idempotency.mismatch",
        Repeat.MEND,
        "This `Idempotency-Key` came with another request before.",
        "A new key for a new request; the same key for a repeat only.",
    ),
    Entry(
        "idempotency.in_progress",
        Repeat.LATER,
        "The first request with this key is still at work.",
        "Send it again in a moment, with the same key.",
    ),
    Entry(
        "idempotency.interrupted",
        Repeat.LOOK,
        "An earlier request with this key was cut off; whether it was stored is not known.",
        "Look at the list. If it is not there, send it again with a new key.",
    ),
    Entry(
        "external_id.invalid",
        Repeat.MEND,
        "An external id is not 1 to 200 printable characters.",
        "Mend it, or leave it out.",
    ),
    Entry(
        "external_id_conflict",
        Repeat.MEND,
        "This external id names a run or batch with other content.",
        "Look at the one that the message names; new content needs a new external id.",
    ),
    Entry(
        "batch_repeated",
        Repeat.MEND,
        "There is a batch of this very file already, and nobody said that a second one is meant.",
        "Look at the one that the message names; if it is to be done twice, say so.",
    ),
)

DOORS = (
    Entry(
        "bad_pagination",
        Repeat.MEND,
        "The jobs door: `limit` or `cursor` is out of bounds.",
        "A `limit` of 1 to 200, and a cursor of the same list.",
    ),
    Entry(
        "invalid_request",
        Repeat.MEND,
        "The jobs door: a filter is not one that its page allows.",
        "Mend the parameter that the message names.",
    ),
    Entry(
        "version_unsupported",
        Repeat.MEND,
        "The version that was asked for is none: of the jobs door, or of the provider itself.",
        "At our door: mend the version's header. At the provider: `orchestrator connection set NAME --api-version D`.",
    ),
    Entry(
        "not_cancellable",
        Repeat.MEND,
        "The jobs door: the job is past what can be cancelled.",
        "Wait for its end, or `orchestrator run abandon ID --reason WHY`.",
    ),
    Entry(
        "execution_not_found",
        Repeat.MEND,
        "The workflows door: the key's connection has no such execution.",
        "Look at its id, and at the key that asks.",
    ),
    Entry(
        "internal_error",
        Repeat.LOOK,
        "The jobs door: a bug of ours.",
        "As `internal`: the server's log has the reason under the request's id.",
    ),
    Entry(
        "generation_not_served",
        Repeat.MEND,
        "The jobs door starts no jobs.",
        "Submit to the orchestrator's own API: `POST /api/v1/runs`.",
    ),
    Entry(
        "job_not_found",
        Repeat.MEND,
        "The jobs door: there is no such job.",
        "`orchestrator run list` shows those that are.",
    ),
)

SUBJECTS = (
    Subject(title="The request", kind=Kind.ERROR, entries=REQUEST),
    Subject(title="Tokens and access", kind=Kind.ERROR, entries=ACCESS),
    Subject(title="Repeats", kind=Kind.ERROR, entries=IDEMPOTENCY),
    Subject(title="At the doors", kind=Kind.ERROR, entries=DOORS),
)
