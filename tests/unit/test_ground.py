"""The ground: ids, redaction, settings and where they came from, sealed secrets."""

from __future__ import annotations

import base64
import inspect
import io
import json
import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import runtime, telemetry
from orchestrator.engine.launch_orders import LONGEST_CALL_S
from orchestrator.errors import Misconfigured
from orchestrator.providers import script
from orchestrator.providers.http import ApiClient
from orchestrator.providers.script import ScriptProvider
from orchestrator.runtime import Sources, system_sources, uuid7
from orchestrator.settings import Origin, Settings, load_settings, load_with_origins
from orchestrator.storage.sealing import Sealer
from orchestrator.telemetry import redact
from tests.unit.facts import few

# --- ids


@few
@given(st.integers(0, 2**48 - 1), st.integers(0, 2**74 - 1))
def test_an_id_is_a_version_7_uuid_that_holds_its_millisecond_and_every_random_bit(ms: int, bits: int) -> None:
    made = uuid7(ms, bits)
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == ms
    assert (made.int >> 64 & 0xFFF) << 62 | made.int & (2**62 - 1) == bits


def test_ids_drawn_together_ascend_hold_their_millisecond_and_are_all_their_own() -> None:
    sources = Sources(bits=random.Random(3).getrandbits, unit=random.random, unix_ms=lambda: 1_700_000_000_000)
    ids = sources.new_ids(500)
    assert ids == sorted(set(ids))
    assert {(id.version, id.int >> 80) for id in ids} == {(7, 1_700_000_000_000)}
    assert sources.new_ids(0) == []
    # Every random bit is used: over so many ids each was seen both ways.
    bits = [(id.int >> 64 & 0xFFF) << 62 | id.int & (1 << 62) - 1 for id in ids]
    assert all(len({b >> n & 1 for b in bits}) == 2 for n in range(74))


@few
@given(st.integers(0, 2**48 - 2), st.integers(0, 2**74 - 1), st.integers(0, 2**74 - 1))
def test_an_id_of_a_later_millisecond_sorts_after_an_earlier_one(ms: int, one: int, other: int) -> None:
    assert uuid7(ms, one) < uuid7(ms + 1, other)


def test_the_same_seed_gives_the_same_ids() -> None:
    def sources(seed: int) -> Sources:
        draw = random.Random(seed)
        return Sources(bits=draw.getrandbits, unit=draw.random, unix_ms=lambda: 1_700_000_000_000)

    assert sources(1).new_id() == sources(1).new_id()
    assert sources(1).new_id() != sources(2).new_id()
    assert sources(1).utc_now() == datetime.fromtimestamp(1_700_000_000, tz=UTC)


def test_the_systems_own_bits_are_as_many_as_were_asked_for_and_its_ids_all_differ() -> None:
    real = system_sources()
    assert {real.bits(n) < 2**n for n in (1, 7, 8, 74) for _ in range(50)} == {True}
    assert any(real.bits(74) >> 73 for _ in range(50)), "the highest bit is drawn too"
    assert len({real.new_id() for _ in range(1000)}) == 1000


# --- redaction

SECRETS = [
    ("https://s3.host/b/k.csv?X-Amz-Signature=SECRET&X-Amz-Date=1", "https://s3.host/b/k.csv?[cut]"),
    ("got 'https://h/a?SECRET' and \"http://h/b?SECRET\"", "got 'https://h/a?[cut]' and \"http://h/b?[cut]\""),
    ("postgresql+psycopg://ann:SECRET@db:5432/x", "postgresql+psycopg://ann:[cut]@db:5432/x"),
    ("postgresql://db/x?user=ann&password=SECRET", "postgresql://db/x?[cut]"),
    ("redis://:SECRET@cache/0", "redis://:[cut]@cache/0"),
    ("amqp://u:SE@CR/ET@host//", "amqp://u:[cut]@host//"),
    ("token orch_live_SECRET-x_y is old", "token orch_live_[cut] is old"),
    ("orch_test_SECRET", "orch_test_[cut]"),
    ("sk-SECRET and sk_SECRET", "sk-[cut] and sk_[cut]"),
    ("scripe_sk_live_SECRET", "scripe_sk_live_[cut]"),
    ("whsec_SECRET+/SECRET==", "whsec_[cut]"),
    ("Authorization: Bearer SECRET", "Authorization: Bearer [cut]"),
    ("{'x-api-key': 'SECRET'}", "{'x-api-key': '[cut]'}"),
    ("X-Api-Key: SECRET", "X-Api-Key: [cut]"),
]


@pytest.mark.parametrize(("text", "_expected"), SECRETS)
def test_of_a_secret_that_a_limit_cut_off_nothing_is_left(text: str, _expected: str) -> None:
    whole = text.index("SE") + 6
    for end in range(whole - 2, len(text)):
        assert "SECR" not in redact(text[:end]), text[:end]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cannot reach https://ann:SECR", "cannot reach https://ann:[cut]"),
        ("cannot reach https://ann:1SECR", "cannot reach https://ann:[cut]"),
        ("https://s3.host/b/k.csv?X-Amz-Sig", "https://s3.host/b/k.csv?[cut]"),
        ("at http://127.0.0.1:87", "at http://127.0.0.1:87"),
        ("at http://127.0.0.1:8700/", "at http://127.0.0.1:8700/"),
        ("at http://[::1]:8700", "at http://[::1]:8700"),
    ],
)
def test_a_url_that_a_limit_cut_off_shows_no_password_and_keeps_its_port(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize(("text", "expected"), SECRETS)
def test_a_secret_is_cut_out_of_any_text(text: str, expected: str) -> None:
    assert redact(text) == expected
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "text",
    ["run 3 of 5: http://127.0.0.1:8700/api/v1/runs", "task-force and risk_free", "what? nothing", "ann@example.com"],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_a_long_text_without_secrets_is_read_in_no_time() -> None:
    began = time.process_time()
    for text in ("a" * 100_000, "/" * 100_000, "x-api-key" * 10_000, "http" * 20_000):
        redact(text)
    assert time.process_time() - began < 0.5


@contextmanager
def product_logs() -> Iterator[io.StringIO]:
    """Log as the product does, to a text that can be read, and put everything back as it was."""
    root, written = logging.getLogger(), io.StringIO()
    before = (root.handlers[:], root.level)
    with redirect_stderr(written):
        telemetry.configure(log_format="json", level="info", program="test")
        try:
            yield written
        finally:
            root.handlers[:], root.level = before
            structlog.contextvars.clear_contextvars()
            structlog.reset_defaults()


def test_a_log_line_is_one_json_object_without_any_secret() -> None:
    with product_logs() as written:
        log = telemetry.get_logger("tests.unit")
        try:
            raise ValueError("could not fetch https://h/f?sig=SECRET")
        except ValueError as error:
            log.warning(
                "went wrong with sk-SECRET1",
                api_key="SECRET",
                headers={"Authorization": "SECRET", "accept": "json"},
                urls=["https://h/f?SECRET", ("redis://:SECRET@h",)],
                deep=[[[[[[[[["SECRET"]]]]]]]]],
                error=error,
                secret_key=b"SECRET",
                n=3,
                token=None,
                exc_info=True,
            )
    line = written.getvalue()
    told = json.loads(line)
    assert "SECRET" not in line
    assert (told["level"], told["program"], told["n"], told["token"]) == ("warning", "test", 3, None)
    assert told["headers"] == {"Authorization": "[cut]", "accept": "json"}
    assert told["urls"] == ["https://h/f?[cut]", ["redis://:[cut]@h"]]
    assert "ValueError" in told["exception"]


def test_a_librarys_own_log_line_is_cut_too() -> None:
    with product_logs() as written:
        logging.getLogger("some.library").warning("GET %s", "https://h/f?sig=SECRET")
        logging.getLogger("httpx").info("HTTP Request: GET https://h/f")
    assert json.loads(written.getvalue())["event"] == "GET https://h/f?[cut]"


# --- settings


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without any setting of ours."""
    for name in ("CONFIG", *(field.upper() for field in Settings.model_fields)):
        monkeypatch.delenv(f"ORCH_{name}", raising=False)
    return monkeypatch


def test_a_setting_comes_from_the_environment_else_the_file_else_the_default(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "orch.toml"
    config.write_text('port = 9000\nworkers = 7\nhost = "::1"\n')
    environment.setenv("ORCH_CONFIG", str(config))
    environment.setenv("ORCH_WORKERS", "3")
    environment.setenv("ORCH_HOST", "")  # empty is unset
    settings, origins = load_with_origins()
    assert (settings.port, settings.workers, settings.host, settings.log_format) == (9000, 3, "::1", "console")
    assert (origins["port"], origins["workers"], origins["host"]) == (Origin.FILE, Origin.ENVIRONMENT, Origin.FILE)
    assert origins["log_format"] is Origin.DEFAULT
    assert set(origins) == set(Settings.model_fields)


def test_every_bad_value_is_named_at_once_with_its_place_and_never_repeated(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "orch.toml"
    config.write_text('port = 70000\nsecret = "x"\n')
    environment.setenv("ORCH_CONFIG", str(config))
    environment.setenv("ORCH_LEASE_S", "s3cret-ish")
    with pytest.raises(Misconfigured) as bad:
        load_settings()
    assert "ORCH_LEASE_S" in bad.value.message
    assert "port (in the file of ORCH_CONFIG)" in bad.value.message
    assert "secret (in the file" in bad.value.message
    assert "s3cret-ish" not in bad.value.message


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "86401"])
def test_a_time_that_is_no_positive_number_of_seconds_up_to_a_day_is_refused(
    environment: pytest.MonkeyPatch, value: str
) -> None:
    environment.setenv("ORCH_HEARTBEAT_S", value)
    with pytest.raises(Misconfigured):
        load_settings()


@pytest.mark.parametrize("content", [b"port = ", b"\xff\xfe", None])
def test_a_file_that_cannot_be_read_is_a_misconfiguration(
    environment: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    config = tmp_path / "orch.toml"
    if content is not None:
        config.write_bytes(content)
    environment.setenv("ORCH_CONFIG", str(config))
    with pytest.raises(Misconfigured, match="cannot be read"):
        load_settings()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_any_spelling_of_a_postgres_url_is_read_with_psycopg_and_never_shown(scheme: str) -> None:
    settings = Settings.model_validate({"database_url": f"{scheme}://u:hidden@h/d"})
    assert settings.require_database_url() == "postgresql+psycopg://u:hidden@h/d"
    assert "hidden" not in repr(settings)


def test_without_a_database_a_part_of_a_cluster_does_not_start() -> None:
    with pytest.raises(Misconfigured, match="no database"):
        Settings.model_validate({}).require_database_url()


def test_a_worker_is_dead_after_four_missed_heartbeats() -> None:
    assert Settings.model_validate({"heartbeat_s": 5}).dead_after_s == 20


# --- sealing

KEY = bytes(range(32))
ROW = UUID(int=1)


@few
@given(st.text(max_size=50))
def test_what_was_sealed_opens_to_the_same(plain: str) -> None:
    assert Sealer(KEY).open(Sealer(KEY).seal(plain, column="c", row=ROW), column="c", row=ROW) == plain


def test_the_same_secret_is_sealed_differently_each_time_and_does_not_show() -> None:
    one, other = (Sealer(KEY).seal("hush hush", column="c", row=ROW) for _ in range(2))
    assert one != other
    assert b"hush" not in one + other


@pytest.mark.parametrize(("column", "row"), [("other", ROW), ("c", UUID(int=2))])
def test_a_secret_moved_to_another_row_or_column_does_not_open(column: str, row: UUID) -> None:
    with pytest.raises(Misconfigured) as broken:
        Sealer(KEY).open(Sealer(KEY).seal("x", column="c", row=ROW), column=column, row=row)
    assert broken.value.code == "seal_broken"


def test_a_secret_of_which_any_byte_was_changed_or_cut_off_does_not_open() -> None:
    sealed = Sealer(KEY).seal("x", column="c", row=ROW)
    for n in range(len(sealed)):
        for bad in (sealed[:n] + bytes([sealed[n] ^ 1]) + sealed[n + 1 :], sealed[:n]):
            with pytest.raises(Misconfigured):
                Sealer(KEY).open(bad, column="c", row=ROW)


def test_another_key_is_told_apart_from_a_broken_seal() -> None:
    with pytest.raises(Misconfigured) as wrong:
        Sealer(bytes(32)).open(Sealer(KEY).seal("x", column="c", row=ROW), column="c", row=ROW)
    assert wrong.value.code == "wrong_secret_key"


@pytest.mark.parametrize("text", ["", "short", "AAAA", "ключ", base64.b64encode(bytes(31)).decode(), "*" * 44])
def test_a_key_that_is_not_32_bytes_of_base64_is_a_misconfiguration(text: str) -> None:
    with pytest.raises(Misconfigured):
        Sealer.from_base64(text)


def test_a_key_is_read_as_openssl_prints_it() -> None:
    sealed = Sealer.from_base64(base64.b64encode(KEY).decode() + "\n").seal("x", column="c", row=ROW)
    assert Sealer(KEY).open(sealed, column="c", row=ROW) == "x"


def test_a_fingerprint_is_equal_for_equal_parts_under_one_key_only() -> None:
    assert Sealer(KEY).fingerprint("a", "b") == Sealer(KEY).fingerprint("a", "b")
    assert len({Sealer(KEY).fingerprint(*p) for p in (("a", "b"), ("ab",), ("b", "a"), ("a", "b", ""))}) == 4
    assert Sealer(KEY).fingerprint("a") != Sealer(bytes(32)).fingerprint("a")


def test_the_deadline_for_sending_is_read_on_one_clock_that_runs_while_the_machine_sleeps() -> None:
    """A suspended machine cannot be had in a test; that the clock is the kernel's that counts its sleep can be seen."""
    assert runtime.Sources.__dataclass_fields__["monotonic"].default is runtime.since_boot_s
    for maker in (ScriptProvider, ApiClient):
        assert inspect.signature(maker).parameters["monotonic"].default is runtime.since_boot_s
    if hasattr(time, "CLOCK_BOOTTIME"):
        before = time.clock_gettime(time.CLOCK_BOOTTIME)
        assert before <= runtime.since_boot_s() <= time.clock_gettime(time.CLOCK_BOOTTIME)
    assert runtime.since_boot_s() >= time.monotonic() - 1.0


def test_whoever_waits_for_a_worker_waits_for_the_longest_launch() -> None:
    compose = (Path(__file__).parents[2] / "docker-compose.yml").read_text(encoding="utf-8")
    assert script.LONGEST_WAVE.whole_s == 290
    assert script.LONGEST_WAVE.whole_s < runtime.LONGEST_LAUNCH_S < runtime.DRAIN_S < runtime.STOP_PATIENCE_S
    assert runtime.LONGEST_LAUNCH_S < LONGEST_CALL_S, "nor is it taken for lost meanwhile"
    assert f"stop_grace_period: {runtime.STOP_PATIENCE_S:.0f}s" in compose
