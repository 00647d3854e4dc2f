"""A filename from outside becomes a name, and nothing but a name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.filenames import MAX_NAME_BYTES, safe_name


@pytest.mark.parametrize(
    ("given_name", "safe"),
    [
        ("result.json", "result.json"),
        ("Bericht für Ölmühle 2026.pdf", "Bericht für Ölmühle 2026.pdf"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\system32\\x.dll", "x.dll"),
        ("/abs/olute.csv", "olute.csv"),
        ("..", "file-0"),
        (".", "file-0"),
        ("", "file-0"),
        (" . ", "file-0"),
        ("a/", "file-0"),
        (".bashrc", "bashrc"),
        ("-rf", "rf"),
        ("~root", "root"),
        ("a\x00b\x1b[31m.txt", "ab[31m.txt"),
        ("x\n.csv", "x.csv"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("zero\u200bwidth.txt", "zerowidth.txt"),
        ("half\ud800pair.txt", "half_pair.txt"),
        ('a:b*c?"d<e>f|g.txt', "a_b_c__d_e_f_g.txt"),
        ("CON", "_CON"),
        ("con.txt", "_con.txt"),
        ("Lpt1.tar.gz", "_Lpt1.tar.gz"),
        ("COM¹.txt", "_COM¹.txt"),
        ("name.txt. . .", "name.txt"),
        ("e\u0301.txt", "é.txt"),
    ],
)
def test_a_name_becomes_safe_and_stays_recognisable(given_name: str, safe: str) -> None:
    assert safe_name(given_name, "file-0", taken=set()) == safe


def test_a_long_name_is_cut_between_characters_and_keeps_its_extension() -> None:
    name = safe_name("ä" * 300 + ".tar.gz", "f", taken=set())
    assert name.endswith("ä.tar.gz")
    assert MAX_NAME_BYTES - 1 <= len(name.encode()) <= MAX_NAME_BYTES
    assert len(safe_name("x." + "y" * 300, "f", taken=set()).encode()) <= MAX_NAME_BYTES


def test_equal_names_get_numbers_and_case_does_not_make_them_differ() -> None:
    taken: set[str] = set()
    names = [safe_name(name, "f", taken=taken) for name in ("a.txt", "A.TXT", "x/a.txt", "a (2).txt", "", "")]
    assert names == ["a.txt", "A (2).TXT", "a (3).txt", "a (2) (2).txt", "f", "f (2)"]
    assert len({name.casefold() for name in names}) == 6


@given(st.lists(st.text(st.characters(), max_size=60), max_size=8))
def test_any_text_at_all_stays_inside_its_folder(names: list[str]) -> None:
    taken: set[str] = set()
    folder = Path("/folder")
    made = [safe_name(name, "file", taken=taken) for name in names]
    for name in made:
        assert (folder / name).parent == folder
        assert name not in (".", "..")
        assert name.isprintable() or not name.isascii()
        assert 0 < len(name.encode()) <= MAX_NAME_BYTES
        assert not set(name) & set('/\\:*?"<>|\x00\n')
    assert len({name.casefold() for name in made}) == len(names)
