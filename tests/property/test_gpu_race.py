"""The race of a library's candidates: its bound is one, and its winner is that of a full comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from dice import backlogs, kernels, timings
from hypothesis import given, settings
from hypothesis import strategies as st

from dieshot.chips.gpu import Gpu
from dieshot.chips.mapping.gpu.gemm_tiling import GemmShape, candidates
from dieshot.chips.mapping.gpu.library import duration_fs
from dieshot.chips.mapping.gpu.lower import gemm_kernels
from dieshot.chips.mapping.gpu.race import fastest
from dieshot.chips.mapping.gpu.weights import WeightLayout
from dieshot.chips.parts.gpu import die
from dieshot.chips.parts.gpu.tile_kernel import DieTiming, TileKernel
from dieshot.simulator.studies.setup import set_up

EXAMPLES = 60


@st.composite
def launches(draw: st.DrawFn) -> tuple[DieTiming, TileKernel, Any]:
    timing = draw(timings())
    return timing, draw(kernels()), draw(backlogs(timing))


@pytest.mark.kernels
@settings(max_examples=4 * EXAMPLES)
@given(launches(), st.integers(1, 5))
def test_no_kernel_is_faster_than_its_bound_at_any_time(launch: Any, leap: int) -> None:
    running = die.Die(*launch, record=False)
    bounds_fs = [running.least_duration_fs()]
    while not running.is_done:
        running.advance(leap)
        bounds_fs.append(running.least_duration_fs())
    assert max(bounds_fs) <= running.outcome().duration_fs == bounds_fs[-1]


@settings(max_examples=EXAMPLES)
@given(timings(), st.lists(st.lists(kernels(), min_size=1, max_size=2), min_size=1, max_size=4))
def test_the_winner_is_the_first_of_the_fastest(timing: DieTiming, choices: Sequence[Sequence[TileKernel]]) -> None:
    alternatives = [*choices, choices[0]]
    taken_fs = [duration_fs(timing, choice) for choice in alternatives]
    assert fastest(timing, alternatives) == taken_fs.index(min(taken_fs))


@pytest.mark.parametrize("shape", [(7, 512, 2048), (300, 1024, 512), (1500, 1536, 1024)])
def test_tilings_of_a_gemm_race_to_the_same_choice(shape: tuple[int, int, int]) -> None:
    chip = set_up("h100-sxm").chip
    assert isinstance(chip, Gpu)
    gemm = GemmShape((shape[0],), shape[1], shape[2], "fp8", WeightLayout("fp8", "fp8"), 2)
    choices = [gemm_kernels(chip.machine, gemm, tiling) for tiling in candidates(chip.machine, gemm)]
    taken_fs = [duration_fs(chip.timing, choice) for choice in choices]
    assert fastest(chip.timing, choices) == taken_fs.index(min(taken_fs))


def test_losers_are_not_simulated_to_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    chip = set_up("h100-sxm").chip
    assert isinstance(chip, Gpu)
    gemm = GemmShape((1500,), 1536, 1024, "fp8", WeightLayout("fp8", "fp8"), 2)
    choices = [gemm_kernels(chip.machine, gemm, tiling) for tiling in candidates(chip.machine, gemm)]
    whole_fs = sum(duration_fs(chip.timing, choice) for choice in choices)
    dies: list[die.Die] = []
    build = die.Die.__init__

    def noted(self: die.Die, *args: Any, **others: Any) -> None:
        build(self, *args, **others)
        dies.append(self)

    monkeypatch.setattr(die.Die, "__init__", noted)
    fastest(chip.timing, choices)
    assert sum(each.now_fs for each in dies) < 0.9 * whole_fs
    assert np.count_nonzero([each.is_done for each in dies]) < len(dies)
