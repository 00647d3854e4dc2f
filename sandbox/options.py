"""Every choice the sandbox can make, in one table: above all both readings of what the vendor's page leaves open."""

import difflib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any

DEFAULT_KEY = "sk-sandbox"
SCRIPE_KEY = "scripe_sk_test_sandbox"


class OptionError(ValueError):
    """An option that does not exist or cannot have that value; the text says which and what would do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key. Keys of one account share its workflows, executions and slots; each has its own rate."""

    secret: str
    name: str
    account: str


def _option(
    default: Any,
    says: str,
    *,
    choices: tuple[Any, ...] = (),
    at_least: float | None = None,
    nullable: bool = False,
    is_text: bool = False,
) -> Any:
    return field(
        default=default,
        metadata={"says": says, "choices": choices, "at_least": at_least, "nullable": nullable, "is_text": is_text},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the sandbox does where the page is silent, and how its workflows behave."""

    # The limits of the page.
    requests_per_minute: int = _option(100, "requests per 60 s and key; 0 = no limit", at_least=0)
    max_concurrent: int = _option(10, "live executions per workflow", at_least=1)
    execution_timeout_s: float = _option(900.0, "runtime after which an execution ends as error", at_least=0)
    max_body_bytes: int = _option(4_194_304, "largest request body (the other reading of 4 MB: 4000000)", at_least=1)
    max_batch_items: int = _option(10_000, "most items of a batch request", at_least=1)
    max_page_items: int = _option(100, "most items of a page, and the size of a page without `limit`", at_least=1)
    url_lifetime_s: float = _option(3600.0, "how long a result URL lives", at_least=0)

    # Both readings of what the page leaves open; the first choice is the default.
    rate_window: str = _option("sliding", "how the 60 s are counted", choices=("sliding", "fixed"))
    refused_count: bool = _option(False, "requests refused with 429 use up the rate too")
    downloads_count: bool = _option(False, "downloads of results use up the rate of the key they were shown to")
    retry_after: str = _option("none", "Retry-After on a 429 of the rate", choices=("none", "seconds", "date"))
    over_concurrent: str = _option(
        "queue",
        "a single launch over max_concurrent waits as initial, or is refused with 429",
        choices=("queue", "refuse"),
    )
    high_width: str = _option(
        "capped", "`high` (15) stays within max_concurrent, or goes beyond", choices=("capped", "exceeds")
    )
    batch_order: str = _option("index", "the order in which a batch starts its items", choices=("index", "random"))
    url_hour: str = _option(
        "look", "a URL's hour starts at each look (fresh URLs), or at the execution's end", choices=("look", "end")
    )
    human_holds_slot: bool = _option(True, "an execution that waits for a person keeps its slot")
    human_stops_clock: bool = _option(True, "the execution timeout stands still while a person is awaited")
    body_too_large: int = _option(400, "status for a body over max_body_bytes", choices=(400, 413))
    page_over_limit: str = _option(
        "clamp", "a `limit` over max_page_items is cut to it, or refused with 400", choices=("clamp", "refuse")
    )
    cursor_style: str = _option(
        "timestamp", "cursors as on the page, or opaque ones that need URL-encoding", choices=("timestamp", "opaque")
    )
    invalid_batch_item: str = _option(
        "refuse_all", "a batch with an invalid item is refused, or runs without it", choices=("refuse_all", "skip")
    )
    batch_error_names_item: bool = _option(True, "the 400 of a batch says which item is wrong")
    results_before_end: str = _option(
        "null", "`results` before the end is null, or not there at all", choices=("null", "absent")
    )
    extra_fields: bool = _option(False, "answers carry fields that no page mentions, as drifting APIs do")

    # The Scripe API: its limit, and both readings of what its page leaves open.
    scripe_requests_per_minute: int = _option(120, "Scripe: requests per 60 s and workspace; 0 = no limit", at_least=0)
    scripe_queued_s: float = _option(0.5, "Scripe: a job is QUEUED for so long", at_least=0)
    scripe_versions: str = _option(
        "2026-08-01", "Scripe: the API versions that it knows, comma-separated", is_text=True
    )
    scripe_deprecation: str = _option("", "Scripe: the Scripe-Deprecation header of every answer; empty = none",
                                      is_text=True)  # fmt: skip
    scripe_rate_headers: str = _option(
        "always", "Scripe: X-RateLimit headers on every answer, or only on a 429", choices=("always", "refused")
    )
    scripe_date_to: str = _option(
        "day", "Scripe: a date without a time as upper bound is its whole day, or its first moment",
        choices=("day", "midnight"),
    )  # fmt: skip
    scripe_unknown_filter: str = _option(
        "refuse", "Scripe: an unknown type or status in a filter is a 400, or matches nothing",
        choices=("refuse", "empty"),
    )  # fmt: skip

    # How executions behave, unless a workflow or the input's own hint says otherwise.
    duration_s: float = _option(5.0, "mean duration of an execution (lognormal)", at_least=0)
    duration_sigma: float = _option(0.5, "sigma of the lognormal; 0 = every execution takes the mean", at_least=0)
    error_share: float = _option(0.0, "share of executions that end as error, 0..1", at_least=0)
    human_share: float = _option(0.0, "share of executions that wait for a person, 0..1", at_least=0)
    approve_after_s: float | None = _option(
        None, "a person approves by itself after so long; null = never", at_least=0, nullable=True
    )
    answer_delay_s: float = _option(0.0, "every answer of the API takes so many real seconds", at_least=0)

    # Who may call, what there is to run, and the bounds of the sandbox itself.
    keys: tuple[Key, ...] = _option(
        (Key(secret=DEFAULT_KEY, name=DEFAULT_KEY, account="main"),),
        'further keys: {"sk-b": "account"} or {"sk-b": {"name": …, "account": …}}; {"sk-sandbox": null} removes it',
    )
    scripe_keys: tuple[Key, ...] = _option(
        (Key(secret=SCRIPE_KEY, name=SCRIPE_KEY, account="main"),),
        "Scripe: further keys, as above; account = workspace",
    )
    workflows: tuple[Mapping[str, Any], ...] = _option(
        (), "further workflows, as for POST /_sandbox/workflows (read at the start and at a reset)"
    )
    keep_alive_s: float = _option(75.0, "an idle connection is closed after so many real seconds", at_least=0.05)
    log_entries: int = _option(200_000, "so many requests are kept in the log", at_least=1)


class LiveOptions:
    """Hold the options in force; everything reads them here, so that a PATCH takes effect at once."""

    def __init__(self, options: Options) -> None:
        self._take(options)

    def change(self, document: object) -> Options:
        """Lay a JSON document over the options in force; an OptionError changes nothing."""
        self._take(parse_options(document, base=self.current))
        return self.current

    def _take(self, options: Options) -> None:
        self.current = options
        self.keys = {key.secret: key for key in options.keys}
        self.scripe_keys = {key.secret: key for key in options.scripe_keys}


def parse_options(document: object, *, base: Options | None = None) -> Options:
    """Lay the options of a JSON document over `base` (else over the defaults).

    Raises:
        OptionError: for an unknown name or an impossible value; nothing is applied then.
    """
    if not isinstance(document, dict):
        raise OptionError("options are a JSON object")
    base = base or Options()
    known = {option.name: option for option in fields(Options)}
    changes: dict[str, Any] = {}
    for name, value in document.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise OptionError(f"unknown option {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        changes[name] = _value(known[name], value, base)
    return replace(base, **changes)


def explain() -> list[dict[str, Any]]:
    """List every option with its default, choices and meaning; `--help` and GET /_sandbox/options print it."""
    return [
        {
            "name": option.name,
            "default": _plain(option.default),
            "choices": list(option.metadata["choices"]) or None,
            "says": option.metadata["says"],
        }
        for option in fields(Options)
    ]


def as_document(options: Options) -> dict[str, Any]:
    """Return the options as JSON."""
    return {option.name: _plain(getattr(options, option.name)) for option in fields(Options)}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple) and value and isinstance(value[0], Key):
        return {key.secret: {"name": key.name, "account": key.account} for key in value}
    return list(value) if isinstance(value, tuple) else value


def _value(option: "Field[Any]", value: Any, base: Options) -> Any:
    if option.name in ("keys", "scripe_keys"):
        return _keys(value, getattr(base, option.name))
    if option.name == "workflows":
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise OptionError("workflows is a list of objects")
        return tuple(value)
    meta = option.metadata
    if value is None and meta["nullable"]:
        return None
    if meta["is_text"]:
        if not isinstance(value, str) or not value.isprintable() or not value.isascii():
            raise OptionError(f"{option.name} is a text of printable ASCII")
        return value
    if meta["choices"]:
        if value not in meta["choices"] or isinstance(value, bool):
            raise OptionError(f"{option.name} is one of {', '.join(map(str, meta['choices']))}")
        return value
    if isinstance(option.default, bool):
        if not isinstance(value, bool):
            raise OptionError(f"{option.name} is true or false")
        return value
    return _number(option, value)


def _number(option: "Field[Any]", value: Any) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise OptionError(f"{option.name} is a number")
    if isinstance(option.default, int) and value != int(value):
        raise OptionError(f"{option.name} is a whole number")
    at_least = option.metadata["at_least"]
    if at_least is not None and value < at_least:
        raise OptionError(f"{option.name} is at least {at_least}")
    if option.name.endswith("_share") and value > 1:
        raise OptionError(f"{option.name} is a share from 0 to 1")
    return int(value) if isinstance(option.default, int) else float(value)


def _keys(document: Any, base: tuple[Key, ...]) -> tuple[Key, ...]:
    if not isinstance(document, dict):
        raise OptionError("keys is an object: the secret, and its account")
    keys = {key.secret: key for key in base}
    for secret, meaning in document.items():
        if meaning is None:
            keys.pop(secret, None)
            continue
        about = {"account": meaning} if isinstance(meaning, str) else meaning
        if not isinstance(about, dict) or not set(about) <= {"name", "account"}:
            raise OptionError(f"key {secret!r} needs an account, or an object with name and account")
        keys[secret] = Key(
            secret=secret, name=str(about.get("name", secret)), account=str(about.get("account", "main"))
        )
    return tuple(keys.values())
