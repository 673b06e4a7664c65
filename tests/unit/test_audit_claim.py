"""Tables of claims: what is read, and what is refused with file, line, column, value and what was expected."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.audit.catalogue import load_catalogue
from dieshot.simulator.studies.audit.claim import Claim, read_claims

HEAD = "id,system,metric,value,unit,model,chips,batch_or_users,precision,qualifier,article,section,note"
ROW = "x1,NVIDIA H100 SXM,tdp_W,700,W,,1,,,claimed,mine,,"


def read(folder: Path, *rows: str, head: str = HEAD) -> list[Claim]:
    file = folder / "claims.csv"
    file.write_text("\n".join((head, *rows)) + "\n")
    return read_claims(file, load_catalogue().units, "claims.csv")


def test_a_row_is_read_in_the_unit_of_its_metric(tmp_path: Path) -> None:
    row = '"x1",NVIDIA H100 SXM,tdp_W,0.7,kW,,8,3,FP8,measured,mine,,"at least; year 2024; 2048 in, 128 out"'
    (claim,) = read(tmp_path, row)
    assert (claim.value, claim.unit, claim.chips, claim.users) == (700, "W", 8, 3)
    assert (claim.year, claim.workload, claim.qualifier) == (2024, (2048, 128), "measured")


def test_columns_may_be_left_out_and_in_any_order(tmp_path: Path) -> None:
    (claim,) = read(tmp_path, "W,700,tdp_W,NVIDIA H100 SXM,x1", head="unit,value,metric,system,id")
    assert (claim.id, claim.model, claim.chips, claim.qualifier) == ("x1", "", None, "claimed")


@pytest.mark.parametrize(
    ("note", "low", "high"),
    [
        ("", 10, 10),
        ("at least", 10, 20),
        ("at most", 5, 10),
        ("range 10 to 15", 10, 15),
        ("worded 'dozens'", 10, 40),
        ("worded 'umpteen'", 10, 10),
    ],
)
def test_words_stand_for_intervals(note: str, low: float, high: float) -> None:
    claim = Claim("x", "y", "tdp_W", 10, "W", note=note)
    ends = claim.interval(load_catalogue().wordings)
    assert all(math.isclose(end, due) for end, due in zip(ends, (low, high), strict=True))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x1,NVIDIA H100 SXM,tdp_W,lots,W,,,,,,,,",
         "claims.csv:2: value: not a number; expected a number of at least 0, such as 0.58; got 'lots'"),
        ("x1,NVIDIA H100 SXM,tdp_W,-3,W,,,,,,,,",
         "claims.csv:2: value: not a number; expected a number of at least 0, such as 0.58; got '-3'"),
        ("x1,NVIDIA H100 SXM,tdp_W,nan,W,,,,,,,,",
         "claims.csv:2: value: not a number; expected a number of at least 0, such as 0.58; got 'nan'"),
        ("x1,NVIDIA H100 SXM,tdp_W,700,hp,,,,,,,,",
         "claims.csv:2: unit: wrong unit; expected one of W, kW; got 'hp'"),
        ("x1,NVIDIA H100 SXM,tdp_W,700,W,,many,,,,,,",
         "claims.csv:2: chips: not a count; expected a whole number of at least 1, or nothing; got 'many'"),
        ("x1,NVIDIA H100 SXM,tdp_W,700,W,,0,,,,,,",
         "claims.csv:2: chips: not a count; expected a whole number of at least 1, or nothing; got '0'"),
        ("x1,NVIDIA H100 SXM,tdp_W,700,W,,,,,claimd,,,",
         "claims.csv:2: qualifier: unknown qualifier; expected one of claimed, measured, estimated, projected; "
         "got 'claimd'; did you mean 'claimed'?"),
        ("x1,,tdp_W,700,W,,,,,,,,", "claims.csv:2: system: empty; expected the claim's system; got ''"),
        ("x1,NVIDIA H100 SXM,tdp_W,700", "claims.csv:2: wrong number of cells; expected one cell a column; got 4"),
    ],
)  # fmt: skip
def test_a_bad_row_is_one_line(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        read(tmp_path, row)
    assert str(refused.value) == message


def test_an_unknown_metric_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^claims.csv:2: metric: unknown metric; .* did you mean 'tdp_W'\?$"):
        read(tmp_path, ROW.replace("tdp_W", "tpd_W"))


def test_an_id_is_used_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^claims.csv:3: id: used before; expected an id of its own; got 'x1'$"):
        read(tmp_path, ROW, ROW)


def test_columns_are_checked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^claims.csv:1: unknown column; .* did you mean 'metric'\?$"):
        read(tmp_path, ROW, head=HEAD.replace("metric", "metrics"))
    with pytest.raises(InputError, match=r"^claims.csv:1: unit: missing column; expected columns id, system, metric"):
        read(tmp_path, "x1,NVIDIA H100 SXM,tdp_W,700", head="id,system,metric,value")


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "claims.csv"
    binary.write_bytes(b"id,\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8 text"):
        read_claims(binary, load_catalogue().units)
    with pytest.raises(InputError, match="cannot be read"):
        read_claims(tmp_path / "none.csv", load_catalogue().units)
    with pytest.raises(InputError, match="not CSV"):
        read(tmp_path, '"x1" y,NVIDIA H100 SXM,tdp_W,700,W,,,,,,,,')
