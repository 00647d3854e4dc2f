"""What is secret stays hidden where a limit cut the text: in JSON that a page shows, and in evidence of an answer."""

from __future__ import annotations

import json

import pytest

from orchestrator.domain import redaction
from orchestrator.providers.evidence import evidence, one_line
from orchestrator.web.preview_rows import sample

SECRET = "open sesame, quickly: now"


@pytest.mark.parametrize("before", ["{", '{"a": 1, ', '{"deep": {"er": [', '{"note": "x\\"y", '])
def test_a_secret_that_the_end_of_a_preview_cuts_in_two_is_hidden_whole(before: str) -> None:
    text = before + '"password": ' + json.dumps(SECRET) + "}"
    begins = text.index(SECRET)
    for end in range(begins + 1, len(text)):
        for shown in (redaction.pretty(text[:end])[0], redaction.hidden(text[:end])):
            assert "(hidden)" in shown
            assert not any(word in shown for word in ("open", "sesame", "quickly", "now")), text[:end]


def test_what_is_no_secret_is_shown_as_far_as_it_came() -> None:
    shown, hidden = redaction.pretty('{"note": "half a sente')
    assert (shown, hidden) == ('{\n  "note": "half a sente', 0)


def test_a_row_that_could_not_be_read_shows_no_secret_and_a_nested_one_is_hidden_in_a_cell() -> None:
    broken = {"row": 1, "line": 1, "external_id": None, "input": None, "problems": ["x"]}
    whole = broken | {"row": 2, "input": {"login": {"password": SECRET, "user": "ann"}}, "problems": []}
    rows = sample({"sample": [broken | {"excerpt": '{"token": "open sesa\u2026'}, whole | {"excerpt": None}]}).rows
    assert rows[0]["excerpt"] == '{"token": "(hidden)"'
    assert rows[1]["cells"] == ['{"password": "(hidden)", "user": "ann"}']


@pytest.mark.parametrize(
    ("text", "half"),
    [
        ("see https://ann:half-a-pass", "half-a-pass"),
        ("see https://ann:half", "half"),
        ('{"api_key": "half of it', "half"),
        ("the key is orch_li", "orch_li"),
    ],
)
def test_an_answer_that_was_not_read_to_its_end_keeps_no_half_of_a_secret(text: str, half: str) -> None:
    kept = evidence(text.encode(), is_cut=True)
    assert kept is not None
    assert half not in kept


def test_a_secret_in_quotes_is_hidden_with_its_spaces() -> None:
    assert one_line('{"password": "open sesame now", "n": 1}', max_chars=200) == '{"password": "[redacted]", "n": 1}'


def test_words_are_cut_after_they_were_redacted() -> None:
    url = "https://bucket.example/results.csv?X-Amz-Signature=" + "a1" * 40
    for most in range(10, 120):
        assert "a1a1" not in one_line(f"cannot fetch {url}", max_chars=most)
