"""Sensitivity indices: those of functions whose indices are known, from points that a document asks for."""

import math
from typing import Any

import pytest

from dieshot.simulator.errors import InputError
from dieshot.simulator.sweep.document import read_sweep
from dieshot.simulator.sweep.indices import Sensitivity
from dieshot.simulator.sweep.points import space_of

BASE: dict[str, Any] = {
    "system": "corsair-card",
    "model": "qwen3-0.6b",
    "prompt": 2,
    "generate": 1,
    "method": "sensitivity",
    "seed": 1,
}
THREE: dict[str, Any] = {
    "samples": 512,
    "figures": ["time_to_first_token_s"],
    "set": {
        name: {"factor": {"from": 0.5, "to": 2.5}}
        for name in ("chip.simd.transcendental_ops", "chip.simd.epilogue_ops", "chip.energy.dram")
    },
}


def space(**more: Any) -> Sensitivity:
    found = space_of(read_sweep(BASE | more))
    assert isinstance(found, Sensitivity)
    return found


def rows_of(found: Sensitivity, function: Any) -> list[dict[str, float] | None]:
    """Return the rows of a function of the three factors, as numbers from -pi to pi."""
    rows: list[dict[str, float] | None] = []
    for index in range(len(found)):
        values = found.values(index)
        across = [math.pi * (float(values[name]) - 1.5) for name in found.parameters]  # type: ignore[arg-type]
        rows.append({"time_to_first_token_s": function(*across)})
    return rows


def ishigami(a: float, b: float, c: float) -> float:
    """Return T. Ishigami and T. Homma's function, whose indices are known in closed form."""
    return math.sin(a) + 7 * math.sin(b) ** 2 + 0.1 * c**4 * math.sin(a)


def test_sobol_indices_of_a_function_with_known_ones() -> None:
    found = space(**THREE)
    assert len(found) == 512 * 5
    assert found.parameters == ("chip.simd.transcendental_ops", "chip.simd.epilogue_ops", "chip.energy.dram")
    indices = found.indices(rows_of(found, ishigami))["time_to_first_token_s"]
    first = [indices[name]["S1"] for name in found.parameters]
    total = [indices[name]["ST"] for name in found.parameters]
    assert first == pytest.approx([0.3139, 0.4424, 0], abs=0.06)
    assert total == pytest.approx([0.5576, 0.4424, 0.2437], abs=0.06)
    assert all(0 < indices[name]["ST_conf"] < 0.2 for name in found.parameters)


def test_morris_effects_of_a_plane_are_its_slopes() -> None:
    found = space(**THREE | {"analysis": "morris", "samples": 10})
    assert len(found) == 10 * 4
    indices = found.indices(rows_of(found, lambda a, b, c: 3 * a - 2 * b))["time_to_first_token_s"]
    slopes = [indices[name]["mu"] for name in found.parameters]
    assert slopes == pytest.approx([3 * 2 * math.pi, -2 * 2 * math.pi, 0], abs=1e-6)
    assert [indices[name]["mu_star"] for name in found.parameters] == pytest.approx([abs(each) for each in slopes])
    assert all(indices[name]["sigma"] < 1e-6 for name in found.parameters)


@pytest.mark.parametrize("analysis", ["sobol", "morris"])
def test_what_is_compared_with_a_failed_run_is_left_out(analysis: str) -> None:
    found = space(**THREE | {"analysis": analysis, "samples": 64})
    rows = rows_of(found, ishigami)
    whole = found.indices(rows)
    rows[0], rows[7] = None, {"time_to_first_token_s": math.nan}
    assert found.left_out(rows) in (5, 10, 8)
    assert found.indices(rows) != whole and found.indices(rows).keys() == whole.keys()
    assert found.indices([None] * len(found)) == {}


def test_a_figure_that_does_not_move_has_no_indices_but_zero() -> None:
    found = space(**THREE | {"samples": 4})
    indices = found.indices(rows_of(found, lambda a, b, c: 2.0))["time_to_first_token_s"]
    assert {value for each in indices.values() for value in each.values()} == {0.0}


def test_points_and_indices_follow_from_the_seed() -> None:
    one, other = space(**THREE | {"samples": 8}), space(**THREE | {"samples": 8})
    assert list(one.keys()) == list(other.keys())
    assert one.indices(rows_of(one, ishigami)) == other.indices(rows_of(other, ishigami))
    assert list(space(**THREE | {"samples": 8, "seed": 2}).keys()) != list(one.keys())


def test_the_assumed_parameters_that_a_run_reads_move_over_their_own_ranges() -> None:
    found = space(samples=2, set={"chip.simd.lanes": "*2"})
    assert "chip.dram.queue" in found.parameters and "chip.power.idle" in found.parameters
    assert "chip.simd.lanes" not in found.parameters  # fixed by the document
    assert not any(name.startswith("cost.") for name in found.parameters)
    assert len(found) == 2 * (len(found.parameters) + 2)
    named = space(samples=2, parameters=["chip.dram.queue", "dram.depth"])
    assert named.parameters == ("chip.dram.queue", "chip.dram.depth")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"samples": 3}, "samples: not a power of 2; expected as sobol, 2 or 4; got 3"),
        ({"samples": 2, "parameters": ["chip.simd.lane"]}, "parameters[0]: unknown parameter of "
         "configs/chips/corsair-capacity.yaml; expected a parameter's path; did you mean 'chip.simd.lanes'?"),
        ({"samples": 2, "parameters": ["chip.dimc.count"]}, "parameters[0]: "),
        ({"samples": 2, "parameters": ["chip.noc.hop"], "set": {"chip.noc.hop": "*2"}}, "parameters[0]: chip.noc.hop "
         "is given under set already; expected each once"),
        ({"samples": 2, "batch": 10**6}, "parameters: the first run is refused: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_line(more: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as refused:
        space(**more)
    assert says in str(refused.value) and "\n" not in str(refused.value)
