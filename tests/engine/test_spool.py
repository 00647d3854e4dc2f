"""What waits on disk comes back as it came, and a file is read alike from there and from memory."""

from __future__ import annotations

import errno
import hashlib
from typing import Any

import pytest

from orchestrator.domain.intake.batch import read_batch
from orchestrator.engine import spool
from orchestrator.engine.spool import Spool
from orchestrator.errors import Unavailable

FILES: dict[str, bytes] = {
    "jsonl": b'\xef\xbb\xbf{"a":1}\r\n\n  {"a":"\xc3\xa9"}  \n[1]\n{"a":2}',
    "csv": b'a,b\n1,"x\ny"\n2,z\n3\n',
    "json": b'[{"a":1}, {"a":[2]},\n 7]',
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing stays in memory."""
    monkeypatch.setattr(spool, "IN_MEMORY_BYTES", 8)


def test_pieces_lines_and_the_whole_come_back_whatever_was_read_between() -> None:
    with Spool() as kept:
        first = kept.keep(b"one\ntwo\n")
        second = kept.keep(b"three")
        assert (second.read(), first.read()) == (b"three", b"one\ntwo\n")
        assert list(kept.lines()) == [b"one\n", b"two\n", b"three"]
        assert kept.whole() == b"".join(kept.chunks()) == b"one\ntwo\nthree"
        assert (kept.head(3), kept.size_bytes) == (b"one", 13)
        assert kept.sha256 == hashlib.sha256(kept.whole()).hexdigest()


def test_a_piece_knows_its_size_and_digest_and_lines_go_on_where_they_were() -> None:
    with Spool() as kept:
        piece = kept.keep(b"one\ntwo\n")
        assert (piece.size_bytes, piece.digest) == (8, hashlib.sha256(b"one\ntwo\n").digest())
        lines = kept.lines()
        assert next(lines) == b"one\n"
        kept.write(b"three\n")
        assert kept.read(4, 4) == b"two\n"
        kept.write(b"four")
        assert kept.read(8, 6) == b"three\n"
        assert kept.whole() == b"one\ntwo\nthree\nfour"


@pytest.mark.parametrize("format", FILES)
def test_a_file_on_disk_is_read_as_in_memory(format: Any) -> None:
    with Spool() as content, Spool() as kept:
        content.write(FILES[format])
        from_disk = read_batch(content, format=format, schema=None, keep=kept.keep)
        in_memory = read_batch(FILES[format], format=format, schema=None)
        assert from_disk.sha256 == in_memory.sha256
        assert from_disk.refused == in_memory.refused != ()
        for one, other in zip(from_disk.rows, in_memory.rows, strict=True):
            assert (one.input, one.index, one.row, one.line) == (other.input, other.index, other.row, other.line)


def test_rows_with_one_external_id_are_given_back_as_they_came() -> None:
    data = b"k,a\nx,1\nx,2\n"
    with Spool() as kept:
        found = read_batch(data, format="csv", schema=None, external_id_column="k", keep=kept.keep)
        assert [refused.raw for refused in found.refused] == [b"x,1", b"x,2"]


def test_a_full_disk_is_told_as_something_that_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    with Spool() as kept:

        def full(_: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(kept._file, "write", full, raising=False)
        with pytest.raises(Unavailable, match="No space left"):
            kept.write(b"x")
