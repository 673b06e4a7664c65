"""Drawn points: the same from the same seed, spread as asked for, whole where they must be."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.setup import set_up
from dieshot.simulator.sweep.document import read_sweep
from dieshot.simulator.sweep.points import space_of
from dieshot.simulator.sweep.sample import BLOCK_POINTS, shares
from dieshot.simulator.sweep.space import Space

BASE: dict[str, Any] = {"system": ["dgx-h100", "h100-sxm"], "model": "llama-3-8b", "seed": 3}
VARIED: dict[str, Any] = {
    "batch": {"from": 1, "to": 300},
    "prompt": {"from": 1, "to": 4096, "scale": "log"},
    "generate": {"from": 0, "to": 100, "step": 10},
    "set": {
        "chip.hbm.pin_rate": {"factor": {"from": 0.5, "to": 2, "scale": "log"}},
        "chip.sm.resident_ctas": "own",
        "chip.l2.capacity": {"from": 20, "to": 80, "unit": "MiB"},
    },
}
METHODS = ("random", "latin_hypercube")


def drawn(method: str, samples: int, **more: Any) -> Space:
    return space_of(read_sweep(BASE | VARIED | {"method": method, "samples": samples} | more))


def columns(space: Space) -> dict[str, list[Any]]:
    rows = [space.values(index) for index in range(len(space))]
    return {name: [row[name] for row in rows] for name in rows[0]}


@pytest.mark.parametrize("method", METHODS)
def test_values_lie_where_they_may(method: str) -> None:
    found = columns(drawn(method, 500))
    assert all(type(each) is int and 1 <= each <= 300 for each in found["batch"])
    assert set(found["generate"]) == set(range(0, 101, 10))
    assert set(found["chip.sm.resident_ctas"]) == set(range(4, 17))
    assert all(0.5 <= each <= 2 for each in found["chip.hbm.pin_rate"])
    assert all(20 <= each <= 80 for each in found["chip.l2.capacity"])
    assert set(found["seed"]) == {3}
    # half of a log scale lies below its geometric mean
    assert 0.4 < np.mean(np.array(found["prompt"]) < 64) < 0.6
    assert 0.4 < np.mean(np.array(found["chip.hbm.pin_rate"]) < 1) < 0.6
    assert 0.4 < Counter(found["system"])["dgx-h100"] / 500 < 0.6


@pytest.mark.parametrize("method", METHODS)
def test_a_point_follows_from_seed_and_number(method: str) -> None:
    one, other = drawn(method, 60), drawn(method, 60)
    backwards = [other.values(index) for index in reversed(range(60))]
    assert [one.values(index) for index in range(60)] == backwards[::-1]
    assert list(one.keys()) == list(other.keys())
    assert drawn(method, 60, seed=4).values(0) != one.values(0)


def test_random_points_stay_when_there_are_more() -> None:
    few, many = drawn("random", 10), drawn("random", BLOCK_POINTS + 10)
    assert [few.values(index) for index in range(10)] == [many.values(index) for index in range(10)]
    assert many.values(BLOCK_POINTS) != many.values(0)


def test_a_latin_hypercube_has_one_point_in_every_slice() -> None:
    n = BLOCK_POINTS + 200
    found = columns(drawn("latin_hypercube", n, batch={"from": 1, "to": n}))
    assert sorted(found["batch"]) == list(range(1, n + 1))
    slices = np.floor((np.array(found["chip.l2.capacity"]) - 20) / 60 * n).astype(int)
    assert len(set(slices.tolist())) > 0.999 * n  # a value at the edge of its slice may be rounded out of it
    assert abs(np.corrcoef(found["batch"], found["chip.l2.capacity"])[0, 1]) < 0.05
    assert Counter(found["system"]) == {"dgx-h100": n // 2, "h100-sxm": n // 2}


def test_every_drawn_value_can_be_set() -> None:
    space = drawn("random", 40, system="dgx-h100")
    for index in range(40):
        set_up("dgx-h100", space.request(index).sets)


def test_factors_keep_whole_numbers_whole() -> None:
    factor = {"factor": {"from": 0.5, "to": 2}}
    more = {"system": "corsair-card", "model": "qwen3-0.6b", "set": {"chip.dram.buffers": factor}}
    found = columns(drawn("random", 100, **more))["chip.dram.buffers"]
    assert {each * 16 for each in found} <= {float(each) for each in range(8, 33)}  # 16 as it is
    computed = {"factor": {"from": 0.5, "to": 2, "number": 4, "scale": "log"}}
    grid = space_of(read_sweep({**more, "set": {"chip.dram.buffers": computed}}))
    assert [grid.values(index)["chip.dram.buffers"] for index in range(4)] == [0.5, 0.8125, 1.25, 2]


def test_factors_of_different_whole_numbers_are_refused_where_they_are_drawn() -> None:
    factor = {"factor": {"from": 0.5, "to": 2}}
    with pytest.raises(InputError) as refused:
        drawn("random", 5, system=["corsair-card", "sohu-1"], set={"chip.power.idle": factor})
    assert str(refused.value) == (
        "sweep: set.chip.power.idle: the systems have different values, whole numbers of mW; expected factors written "
        "out, or values with a unit"
    )
    with pytest.raises(InputError, match=r"unknown parameter of configs/chips/sohu.yaml"):
        drawn("random", 5, system=["corsair-card", "sohu-1"], set={"chip.dram.buffers": factor})


def test_shares_are_philox_bits_whatever_the_version_of_numpy() -> None:
    expected = [[0.36654848046680033, 0.39989196903035706], [0.8479983815736046, 0.6735561521573398]]
    assert shares(7, 2, 2, 2).tolist() == expected
    assert len({float(each) for each in shares(7, 2, 1000, 3).reshape(-1)}) == 3000
