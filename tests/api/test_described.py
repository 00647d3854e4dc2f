"""What is served is what is described: a slice of the requests that `python -m tests.api.described` makes."""

from __future__ import annotations

import pytest

from tests.api import described


@pytest.mark.timeout(300)
def test_every_answer_is_as_described_and_none_is_a_bug(capsys: pytest.CaptureFixture[str]) -> None:
    code = described.main(["--quiet", "--phases", "examples,coverage", "--examples", "1"])
    assert code == 0, capsys.readouterr().out
