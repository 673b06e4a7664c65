"""Spaces against their definitions, and documents of all shapes: read, or refused in one line."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dieshot.simulator.errors import InputError
from dieshot.simulator.sweep.document import read_sweep
from dieshot.simulator.sweep.key import Keys
from dieshot.simulator.sweep.level import quantised, spaced, stepped
from dieshot.simulator.sweep.points import space_of

SYSTEM: dict[str, Any] = {"system": "corsair-card", "model": "qwen3-0.6b"}
FIELDS = {"batch": "batch", "prompt": "prompt", "tp": "tensor_parallel", "seed": "seed"}
PATHS = ("chip.simd.lanes", "chip.noc.hop", "chip.dram.queue")

axes = st.dictionaries(
    st.sampled_from([*FIELDS, *(f"set {path}" for path in PATHS)]),
    st.lists(st.integers(1, 50), min_size=1, max_size=3, unique=True),
    max_size=4,
)


def written(found: dict[str, list[int]]) -> dict[str, Any]:
    """Return axes as a document has them: parameters as factors, in the place of the first."""
    document: dict[str, Any] = dict(SYSTEM)
    for name, values in found.items():
        if name.startswith("set "):
            document.setdefault("set", {})[name.removeprefix("set ")] = {"factor": values}
        else:
            document[name] = values
    return document


@settings(max_examples=25)
@given(axes)
def test_a_grid_is_the_product_of_its_axes_in_the_order_written(found: dict[str, list[int]]) -> None:
    document = written(found)
    space = space_of(read_sweep(document))
    order = [
        (each, values)
        for key, node in document.items()
        if key not in SYSTEM
        for each, values in (
            [(path, factors["factor"]) for path, factors in node.items()] if key == "set" else [(FIELDS[key], node)]
        )
    ]
    expected = [
        SYSTEM | dict(zip((name for name, _ in order), point, strict=True))
        for point in itertools.product(*(values for _, values in order))
    ]
    assert [space.values(index) for index in range(len(space))] == expected
    for index, point in enumerate(expected):
        request = space.request(index)
        assert all(getattr(request, name) == value for name, value in point.items() if "." not in name)
        assert request.sets == tuple(f"{name}=*{value}" for name, value in point.items() if "." in name)
    key_of = Keys()
    assert list(space.keys()) == [key_of(space.request(index)) for index in range(len(space))]
    for outside in (-1, len(space)):
        with pytest.raises(IndexError):
            space.request(outside)


@given(st.integers(-100, 100), st.integers(0, 200), st.integers(1, 30))
def test_steps_are_those_of_range(low: int, span: int, step: int) -> None:
    levels = stepped(low, low + span, step)
    assert levels.n is not None
    assert [levels.at(index) for index in range(levels.n)] == list(range(low, low + span + 1, step))


@given(st.floats(0.01, 1e6), st.floats(1.001, 1e4), st.integers(2, 40), st.sampled_from(["linear", "log"]))
def test_a_number_of_values_reaches_both_ends_and_rises(low: float, times: float, n: int, scale: Any) -> None:
    levels = spaced(low, low * times, n, scale, None)
    assert levels.n is not None
    values = [levels.at(index) for index in range(levels.n)]
    assert (values[0], values[-1]) == (low, low * times) and len(values) == n
    assert all(a < b for a, b in itertools.pairwise(values))


@given(st.floats(1e-3, 1e6), st.sampled_from([1.0, 1e-3, 1e-9, 2.0**-20]))
def test_a_quantised_value_is_a_whole_multiple_as_far_as_digits_tell(value: float, quantum: float) -> None:
    found = quantised(value, quantum)
    assert abs(found - value) <= quantum / 2 + 1e-11 * value
    assert abs(found / quantum - round(found / quantum)) <= 1e-9 * max(1.0, value / quantum)


words = st.sampled_from(
    ["system", "model", "batch", "set", "points", "together", "method", "samples", "plot", "from", "to", "step", "unit",
     "number", "scale", "log", "factor", "range", "own", "values", "chip.noc.hop", "corsair-card", "qwen3-0.6b", "x",
     "random", "list", "sensitivity", "fabric", "tp", "seed", "objectives", "minimize", "cycles", "*2", "3cycle", ""]
)  # fmt: skip
scalars = words | st.integers(-3, 5) | st.floats(allow_nan=True) | st.booleans() | st.none() | st.text(max_size=3)
nodes = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.integers(), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300)
@given(st.dictionaries(words, nodes, max_size=4), st.booleans())
def test_a_document_of_any_shape_is_read_or_refused_in_one_line(node: dict[str, Any], is_whole: bool) -> None:
    node = {key: value for key, value in node.items() if not (key in SYSTEM and is_whole)}
    try:
        document = read_sweep(node | SYSTEM if is_whole else node)
        if document.method not in ("search", "sensitivity"):
            space = space_of(document)
            space.request(0)
            space.values(len(space) - 1)
    except InputError as refused:
        assert "\n" not in str(refused)


def test_what_is_no_document_is_refused() -> None:
    for odd in ({1: 2}, {"batch": {1, 2}}, {"batch": Path("x")}, {"note": b"x"}):
        with pytest.raises(InputError):
            read_sweep(SYSTEM | odd)  # type: ignore[arg-type]
