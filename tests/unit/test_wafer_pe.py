"""Work of one PE by hand: SRAM ports and cache decide the rate of multiplications, starts of instructions add up."""

from __future__ import annotations

from functools import cache

import pytest
from operators import operator

from dieshot.chips.mapping.wafer.decode import Vectors, wavelets
from dieshot.chips.mapping.wafer.pe import PeModel, joined
from dieshot.chips.mapping.wafer.phase import AllReduce, Neighbour, Region, Work, X, Y
from dieshot.chips.mapping.wafer.prefill import Grid
from dieshot.chips.parameters.wafer import WaferParameters
from dieshot.simulator.studies.setup import set_up

START = 7
ONE = Region("layers", 1, 1)
REGION = Region("layers", 10, 20)


@cache
def pe(system: str, *sets: str) -> PeModel:
    parameters = set_up(system, sets).chip.parameters  # type: ignore[attr-defined]
    assert isinstance(parameters, WaferParameters)
    return PeModel.of(parameters)


def test_two_reads_and_a_write_of_16_bit_are_four_multiplications_a_cycle() -> None:
    # 12 rows of 12 weights: each a vector instruction of 12 MACs, a weight and a sum read and a sum written for each
    assert pe("cs2").matmul(ONE, 1, 12, 12, 4, 2) == Work(12 * (START + 3), 144, 0, 144 * 4)
    assert pe("cs2", "chip.pe.read_bandwidth=8 B/cycle").matmul(ONE, 1, 12, 12, 4, 2).cycles == 12 * (START + 6)


def test_the_shorter_loop_is_the_outer_one() -> None:
    for k, n in ((12, 80), (80, 12)):
        assert pe("cs2").matmul(ONE, 1, k, n, 4, 2).cycles == 12 * (START + 20)
    assert pe("cs2").matmul(ONE, 3, 12, 80, 4, 2).cycles == 3 * 12 * (START + 20)


@pytest.mark.parametrize(("length", "per_cycle"), [(256, 8), (264, 4)])
def test_sums_in_the_cache_leave_the_ports_to_the_weights(length: int, per_cycle: int) -> None:
    work = pe("cs3").matmul(ONE, 1, 4, length, 8, 2)
    assert work.cycles == 4 * (START + length // per_cycle)


def test_weights_of_a_byte_pass_twice_as_fast() -> None:
    assert pe("cs3").matmul(ONE, 1, 4, 256, 16, 1).cycles == 4 * (START + 16)


def test_amounts_are_those_of_all_pes() -> None:
    work = joined(pe("cs3").matmul(REGION, 1, 4, 16, 8, 2), pe("cs3").vector(REGION, 16, 3))
    assert work == Work(4 * (START + 2) + 3 * (START + 2), 200 * 64, 200 * 48, 200 * (64 * 2 + 48 * 6))


def test_wavelets_hold_two_elements_of_16_bit() -> None:
    assert [wavelets(n) for n in (1, 2, 3, 12)] == [1, 1, 2, 6]
    assert [wavelets(n, 1) for n in (1, 4, 5)] == [1, 1, 2]


def test_a_layer_of_separate_matrices_has_thirteen_sums() -> None:
    """Seven projections, scores and weighted values, two norms, largest and sum of the softmax."""
    vectors = Vectors(pe("cs3"), REGION, True)
    heads = {"heads": 8, "kv_heads": 2, "head_dim": 16}
    norm = operator("norm", {"tokens": 1, "hidden": 64, "residual": 1, "writes_residual": 1, "shift": 0}, "fp16")
    qkv = operator("gemm", {"M": 1, "N": 192, "K": 64, "bias": 0}, "fp16")
    rope = operator("rope_kv_append", {"tokens": 1, **heads, "qk_norm": 0}, "fp16", "fp16")
    scores = operator(
        "attention", {"batch": 1, "q_len": 1, "kv_len": 95, **heads, "causal": 1, "window": 0}, "fp16", "fp16"
    )
    out = operator("gemm", {"M": 1, "N": 64, "K": 128, "bias": 0}, "fp16")
    up = operator("gemm", {"M": 1, "N": 256, "K": 64, "bias": 0}, "fp16")
    act = operator("activation", {"tokens": 1, "ffn": 128, "gated": 1}, "fp16")
    phases, split = [], Y
    for one, parts in (
        (norm, ()), (qkv, (128, 32, 32)), (rope, ()), (scores, ()), (out, (64,)), (norm, ()), (up, (128, 128)),
        (act, ()), (out, (64,)),
    ):  # fmt: skip
        own, split = vectors.lower(one, split, parts)
        phases += own
    assert split == Y
    sums = [phase for phase in phases if isinstance(phase, AllReduce)]
    assert len(sums) == 13
    # 10 positions to a PE and 4 queries of a KV head: 40 scores on stretches of a row, one for each KV head
    assert [phase for phase in sums if phase.stretches > 1] == [AllReduce(X, 20, 2)]
    # keys and values of 2 features each move up a column
    assert [phase for phase in phases if isinstance(phase, Neighbour)] == [Neighbour(Y, 2)]


def test_tiles_of_a_prompt_go_round_once_and_are_aligned_before() -> None:
    grid = Grid(pe("cs3"), REGION, True, 30)
    gemm = operator("gemm", {"M": 65, "N": 200, "K": 100, "bias": 0}, "fp16")
    phases = grid.lower(gemm, (200,))
    assert grid.chunks(65) == [3, 3, 1]
    assert [getattr(phase, "steps", 0) for phase in phases] == [10, 20] * 3
    # 20 places of the ring, so 5 of 100 features at a time; a tile of 3 x 5 and one of 5 x 10
    assert [getattr(phase, "wavelets", 0) for phase in phases] == [8, 8 + 25, 8, 8 + 25, 3, 3 + 25]
    done = sum(getattr(phase, "macs", 0) * getattr(phase, "steps", 0) for phase in phases)
    assert done == (3 + 3 + 1) * 10 * 200 * 100
