"""Errors of input: one line whatever they carry, and the same after a trip to another process."""

import pickle

import pytest

from dieshot.simulator.errors import InputError, listed, nearest_name


def test_all_parts_in_order() -> None:
    error = InputError("unknown key", file="a.yaml", line=3, key="hbm.x", value="v", expected="y", nearest="z")
    assert str(error) == "a.yaml:3: hbm.x: unknown key; expected y; got 'v'; did you mean 'z'?"
    assert (error.file, error.line, error.key, error.value) == ("a.yaml", 3, "hbm.x", "v")
    assert (error.expected, error.nearest) == ("y", "z")
    assert isinstance(error, ValueError)


def test_parts_that_are_absent_leave_no_trace() -> None:
    assert str(InputError("wrong")) == "wrong"
    assert str(InputError("wrong", value=None)) == "wrong; got None"
    assert str(InputError("wrong", key="a")) == "a: wrong"


@pytest.mark.parametrize("hostile", ["a\nb", "a\r\x1b[31mb", "a\u2028b", "a\0b", "x" * 100_000])
def test_always_one_printable_line(hostile: str) -> None:
    text = str(InputError(hostile, file=hostile, key=hostile, value=hostile, expected=hostile, nearest=hostile))
    assert text.isprintable() and len(text.splitlines()) == 1 and len(text) < 1600


def test_a_place_is_added_but_not_replaced() -> None:
    error = InputError("wrong", key="inner", value=None).located(file="a", key="outer", line=2)
    assert str(error) == "a:2: inner: wrong; got None"


def test_survives_pickling() -> None:
    error = InputError("wrong", file="a", line=1, key="k", value="v", expected="e", nearest="n")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert not pickle.loads(pickle.dumps(InputError("wrong"))).has_value


def test_nearest_and_listed() -> None:
    assert nearest_name("DGX-h10", ["dgx-h100", "h200"]) == "dgx-h100"
    assert nearest_name("zzz", ["dgx-h100"]) is None
    assert listed([]) == "nothing (none exist)"
    assert listed(map(str, range(14))).endswith("11, ... (14 in all)")
