"""Every code that the product can say is in the catalogue with its cure, and the catalogue has no other."""

from __future__ import annotations

from collections import Counter

from orchestrator.domain.error_codes.catalogue import SUBJECTS
from orchestrator.domain.error_codes.entry import REPEAT_WORDS, Repeat
from tests.house import write_codes
from tests.house.codes_raised import NOT_READ, PASSED_ON, TABLES, raised
from tests.house.source import modules

CATALOGUE = [(subject.kind.value, entry.code) for subject in SUBJECTS for entry in subject.entries]


def test_every_code_that_can_be_said_has_its_cure() -> None:
    said = raised().places.items()
    missing = [f"{kind} {code}: {places[0]}" for (kind, code), places in said if (kind, code) not in CATALOGUE]
    assert not missing, "add to orchestrator/domain/error_codes/:\n" + "\n".join(sorted(missing))


def test_the_catalogue_has_no_code_that_nothing_says() -> None:
    unused = [f"{kind} {code}" for kind, code in CATALOGUE if (kind, code) not in raised().places]
    assert not unused, unused


def test_a_code_stands_in_the_catalogue_once() -> None:
    doubled = [code for code, count in Counter(CATALOGUE).items() if count > 1]
    assert not doubled, doubled


def test_a_code_that_is_computed_is_named_with_a_reason() -> None:
    assert not raised().unread, "\n".join(raised().unread)
    unneeded = (PASSED_ON.keys() | TABLES.keys()) - raised().used
    assert not unneeded, f"nothing computes these any more: {unneeded}"
    paths = [module.path for module in modules("orchestrator")]
    assert all(any(path.startswith(room) for path in paths) for room in NOT_READ)


def test_an_entry_is_a_sentence_and_an_act() -> None:
    entries = [entry for subject in SUBJECTS for entry in subject.entries]
    flat = [e.code for e in entries if not (e.meaning.endswith(".") and e.cure.endswith((".", "?")))]
    assert not flat, flat
    assert REPEAT_WORDS.keys() == set(Repeat) == {entry.repeat for entry in entries}


def test_the_tables_of_codes_are_printed_from_the_catalogue() -> None:
    page = write_codes.PAGE.read_text()
    assert write_codes.with_tables(page) == page, "run: python -m tests.house.write_codes"
