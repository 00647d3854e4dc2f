"""Which URLs and addresses we call, and what is kept of a hostile answer."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from orchestrator.errors import BadInput
from orchestrator.providers.addresses import check_base_url, is_public, parse_url
from orchestrator.providers.evidence import MAX_EVIDENCE_BYTES, evidence, one_line
from orchestrator.providers.retry_after import retry_after_s

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1",
        "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b:1::1",
        "2001::1", "2001:db8::1", "2002:7f00:1::", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1",
        "ff02::1", "100::1", "not an address", "",
    ],
)  # fmt: skip
def test_no_address_outside_the_public_internet_is_called(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "104.16.0.1", "2606:4700::1111", "2a00:1450:4001::1"])
def test_a_public_address_is_called(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "", "script.so/api", "//script.so", "ftp://script.so", "file:///etc/passwd", "https://", "https:///x",
        "http://script.so", "https://user:pass@script.so", "https://user@script.so", "https://a b.so",
        "https://script.so/\r\nX: 1", "https://script.so\\@evil", "https://script.so:0", "https://script.so:99999",
        "https://127.0.0.1", "https://[::1]", "https://[::ffff:10.0.0.1]", "https://localhost", "https://LOCALHOST.",
        "https://x.localhost", "https://db.internal", "https://printer.local", "https://0177.0.0.1",
        "https://0x7f000001", "https://2130706433", "https://127.1", "https://0", "https://①②⑦.⓪.⓪.①",
        "https://169.254.169.254/latest", "https://" + "x" * 9_000,
    ],
)  # fmt: skip
def test_a_url_that_we_never_call_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_url(url, allow_private_networks=False)
    if "//" in url:
        assert url.split("//")[1] not in error.value.message or len(url) < 10


@pytest.mark.parametrize(
    ("url", "stored"),
    [
        ("https://script.so/api/v1", "https://script.so/api/v1"),
        (" https://script.so/api/v1// ", "https://script.so/api/v1"),
        ("https://SCRIPT.so:443", "https://script.so"),
        ("https://script.so:8443/", "https://script.so:8443"),
        ("https://8.8.8.8/x", "https://8.8.8.8/x"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
    ],
)
def test_a_base_url_is_stored_in_one_form(url: str, stored: str) -> None:
    assert check_base_url(url, allow_private_networks=False).removesuffix("/") == stored


@pytest.mark.parametrize(
    "url", ["https://script.so/?a=1", "https://script.so/#x", "https://script.so?", "https://script.so#"]
)
def test_a_base_url_with_a_query_or_fragment_is_refused(url: str) -> None:
    with pytest.raises(BadInput):
        check_base_url(url, allow_private_networks=True)


def test_with_private_networks_allowed_a_stand_in_on_this_machine_can_be_called() -> None:
    assert (
        check_base_url("http://127.0.0.1:8701/api/v1/", allow_private_networks=True) == "http://127.0.0.1:8701/api/v1"
    )
    with pytest.raises(BadInput):
        check_base_url("http://user:pass@127.0.0.1/", allow_private_networks=True)


@pytest.mark.parametrize(
    "secret",
    [
        "https://h/x?sig=CANARY", "https:\\/\\/h\\/x?X-Amz-Signature=CANARY\\u0026b=CANARY", "/a?token=CANARY#x",
        "https://CANARY:CANARY@h/", '{"api_key": "CANARY"}', '{\\"apiKey\\":\\"CANARY\\"}', "x-api-key: CANARY",
        "Authorization: Bearer CANARY", "authorization=Basic CANARY", "password=CANARY&x", "client_secret: 'CANARY'",
        "bearer CANARY.CANARY", "scripe_sk_live_CANARY", "sk_test_CANARY", "eyJhbGciOiJI.CANARY.CANARY-_",
        "AKIA" + "CANARY" * 8, "my-own-CANARY-key", "Set-Cookie: session=CANARY; path=/",
        "<AWSAccessKeyId>AccessKey=CANARY",
    ],
)  # fmt: skip
def test_nothing_that_looks_like_a_secret_is_kept(secret: str) -> None:
    kept = evidence(f"before {secret} after".encode(), secrets=["my-own-CANARY-key"])
    assert kept is not None
    assert "CANARY" not in kept
    assert kept.startswith("before ")


def test_what_a_person_needs_to_read_is_kept() -> None:
    text = '{"error":"Workflow 550e8400-e29b-41d4-a716-446655440000 not found. Why? See https://script.so/docs/errors"}'
    assert evidence(text.encode()) == text
    assert evidence(b"") is None


def test_evidence_is_short_and_printable_and_never_ends_in_half_a_secret() -> None:
    kept = evidence(b"\x00\x1b[31m\xff\xfe" + "\u202eä".encode() * 4_000) or ""
    assert len(kept.encode()) <= MAX_EVIDENCE_BYTES
    assert not any(char in kept for char in "\x00\x1b\u202e")
    for cut_at in range(7_980, 8_001):
        body = b'"x" ' * (cut_at // 4) + b"z" * (cut_at % 4) + b" my-own-CANARY-key"
        assert "CANARY" not in (evidence(body, secrets=["my-own-CANARY-key"]) or "")
    filler = b"https://h/?a=" + b"b" * 3_900 + b" "
    assert "CANARY" not in (
        evidence(filler * 2 + b"my-own-CANARY-key" + b"x" * 99, secrets=["my-own-CANARY-key"]) or ""
    )


@pytest.mark.parametrize("unit", ["eyJ-", "session", "?a", "://a", 'token"', "sk_", "a_b_", "?" + "a" * 127, "bearer "])
def test_a_hostile_body_does_not_make_the_redaction_slow(unit: str) -> None:
    began = time.process_time()
    evidence((unit * 8_000)[:8_000].encode() * 2)
    assert time.process_time() - began < 0.25


def test_a_providers_words_become_one_line() -> None:
    assert one_line(" a\n b\u0007\tc\u202e", max_chars=99) == "a b c"
    assert one_line("x" * 39, max_chars=5) == "xxxxx"


@pytest.mark.parametrize(
    ("value", "date", "expected"),
    [
        (None, None, None),
        ("7", None, 7.0),
        (" 2.5 ", None, 2.5),
        ("0", None, 1.0),
        ("1000000000", None, 3_600.0),
        ("9" * 20, None, 3_600.0),
        ("-5", None, None),
        ("1e9", None, None),
        ("abc", None, None),
        ("", None, None),
        ("٣", None, None),
        ("7, 8", None, None),
        ("Thu, 01 Jan 2026 12:00:30 GMT", None, 30.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", "Thu, 01 Jan 2026 12:00:20 GMT", 10.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", "nonsense", 30.0),
        ("Thu, 01 Jan 2026 12:00:30 -0000", None, 30.0),
        ("Fri, 01 Jan 2126 12:00:30 GMT", None, 3_600.0),
        ("Wed, 21 Oct 1970 07:28:00 GMT", None, None),
        ("Thu, 99 Jan 99999 12:00:30 GMT", None, None),
    ],
)
def test_retry_after_is_read_in_both_forms_and_nonsense_is_ignored(
    value: str | None, date: str | None, expected: float | None
) -> None:
    assert retry_after_s(value, date=date, now=NOW) == expected
