"""`orchestrator doubt`: what is listed, how it is settled, and where a file is wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, Product

NOBODY = "0195a000-0000-7000-8000-000000000000"


def resolve(cli: Cli, doubt: str, *how: str | Path) -> tuple[int, str]:
    said = cli("doubt", "resolve", doubt, "--reason", "seen in the console", *how)
    return said.code, said.out + said.err


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("index,execution_id\n0,a\nx,b\n", "row 2, line 3, index: 'x' is no run's index: a whole number from 0"),
        ("index,execution_id\n0,a\n-1,b\n", "row 2, line 3, index: '-1' is no run's index: a whole number from 0"),
        ("index,execution_id\n0,a\n\n1,\n", "row 2, line 4, execution_id: is empty"),
        ("index,execution_id\n0,a\n1\n", "row 2, line 3, execution_id: is empty"),
        ("\ufeffexecution_id,index\na,7\nb,07\n", "row 2, line 3, index: 7 stands above already"),
        ("index,id\n0,a\n", "its header is index,execution_id; missing: execution_id"),
        ("index,execution_id\n", "it names no execution"),
        ("", "its header is index,execution_id; missing: index, execution_id"),
        ('index,execution_id\n0,"a\n', "not a CSV file in UTF-8"),
    ],
)
def test_a_wrong_line_of_the_file_is_named_before_anything_is_asked(
    bare: Cli, tmp_path: Path, content: str, where: str
) -> None:
    file = tmp_path / "found.csv"
    file.write_text(content)
    code, said = resolve(bare, NOBODY, "--adopt-file", file)
    assert code == 2
    assert where in said


def test_every_wrong_line_is_told_at_once(bare: Cli, tmp_path: Path) -> None:
    file = tmp_path / "found.csv"
    file.write_text("index,execution_id\nx,a\n0,\n1,c\n1,d\n")
    said = bare("doubt", "resolve", NOBODY, "--reason", "r", "--adopt-file", file, "-o", "json")
    assert [(p["row"], p["field"]) for p in said.problem["errors"]] == [(1, "index"), (2, "execution_id"), (4, "index")]


def test_verifying_is_skipped_for_adoptions_only(bare: Cli) -> None:
    assert resolve(bare, NOBODY, "--abandon", "--no-verify")[0] == 2


@pytest.fixture
def lane_is_mended(product: Product) -> Iterator[None]:
    """Two lost launches have a lane wait for minutes; a test of the connection ends that for whoever comes next."""
    yield
    product.client.connections.test("main")


def wait_for_doubt(cli: Cli) -> dict[str, object]:
    for _ in range(300):
        if found := cli("doubt", "list", "-o", "json").json:
            (doubt,) = found
            return dict(doubt)
        time.sleep(0.1)
    raise AssertionError("no doubt came")


@pytest.mark.usefixtures("lane_is_mended")
def test_a_doubted_wave_is_listed_and_adopted_from_a_file(cli: Cli, product: Product, tmp_path: Path) -> None:
    product.sandbox.faults([{"fault": "disconnect_after", "kind": "batch", "times": 1}])
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(json.dumps({"n": n}) for n in range(3)))
    workflow = product.sandbox.workflows["Free form"]
    before = {e["id"] for e in product.sandbox.truth()["executions"]}
    batch = cli("batch", "submit", rows, "--workflow", workflow, "--connection", "main", "-o", "json").json["id"]
    doubt = str(wait_for_doubt(cli)["id"])
    table = cli("doubt", "list")
    assert doubt in table.out and "wave" in table.out
    ids = {e["index"]: e["id"] for e in product.sandbox.truth()["executions"] if e["id"] not in before}
    file = tmp_path / "found.csv"
    file.write_text(f"index,execution_id\n0,{ids[0]}\n2,mistyped\n")
    code, said = resolve(cli, doubt, "--adopt-file", file)
    assert code == 2 and "row 2, line 3, execution_id: the provider knows no execution mistyped" in said
    file.write_text(f"index,execution_id\n0,{ids[0]}\n9,{ids[2]}\n")
    code, said = resolve(cli, doubt, "--adopt-file", file)
    assert code == 2 and "row 2, line 3, execution_id: no run of this index is in doubt here" in said
    file.write_text(f"index,execution_id\n0,{ids[0]}\n2,{ids[2]}\n")
    code, said = resolve(cli, doubt, "--adopt-file", file)
    assert code == 0 and "still in doubt of this wave: 1" in said
    (run,) = cli("run", "list", "--batch", batch, "--status", "in_doubt", "-o", "json").json
    assert resolve(cli, run["id"], "--adopt", ids[1])[0] == 0
    assert resolve(cli, run["id"], "--abandon")[0] == 5
    assert cli("batch", "wait", batch, "--timeout", "30").code == 0
    assert cli("doubt", "list", "-o", "json").json == []


@pytest.mark.usefixtures("lane_is_mended")
def test_many_doubts_are_named_by_options_counted_agreed_to_and_followed(
    cli: Cli, product: Product, tmp_path: Path
) -> None:
    product.sandbox.faults([{"fault": "disconnect_after", "kind": "batch", "times": 1}])
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(json.dumps({"n": n}) for n in range(3)))
    workflow = product.sandbox.workflows["Free form"]
    batch = cli("batch", "submit", rows, "--workflow", workflow, "--connection", "main", "-o", "json").json["id"]
    wait_for_doubt(cli)
    named = ("doubt", "resolve", "--workflow", workflow, "--batch", batch, "--abandon", "--reason", "nobody knows")
    seen = cli(*named, "--dry-run", "-o", "json").json
    # After the doubt before, the lane is tried with fewer.
    total = seen["total"]
    assert total > 0
    assert (seen["verb"], seen["how"], seen["filter"]["status"]) == ("resolve", "abandon", ["in_doubt"])
    assert cli(*named, "-o", "json").problem["code"] == "not_confirmed"
    done = cli(*named, "--yes", "--watch")
    assert done.code == 0, done.err
    assert f"{total} done" in done.err and f"finished  {total}/{total}" in done.err
    assert cli("batch", "get", batch, "-o", "json").json["counts"]["abandoned"] == total
    operation = cli("operation", "list", "--limit", "1", "-o", "json").json[0]["id"]
    assert cli("operation", "watch", operation).code == 0
    items = cli("operation", "items", operation, "--state", "done", "-o", "json").json
    assert sorted(item["run_id"] for item in items) == sorted(
        run["id"] for run in cli("run", "list", "--batch", batch, "--status", "abandoned", "-o", "json").json
    )


@pytest.mark.parametrize(
    "given",
    [
        ("--abandon",),
        (NOBODY, "--workflow", "w", "--abandon"),
        ("--workflow", "w", "--adopt", "x"),
        ("--workflow", "w", "--abandon", "--not-started"),
    ],
)
def test_one_doubt_or_a_filter_is_named_and_only_one_is_adopted(bare: Cli, given: tuple[str, ...]) -> None:
    assert bare("doubt", "resolve", "--reason", "r", "--yes", *given).code == 2
