"""Banked SRAM against its plain twin and pencil and paper."""

from __future__ import annotations

import math

import naive_sram
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dieshot.chips.parameters.sram import SramParameters, access_energy_fj
from dieshot.chips.parts.memory.sram import SramTiming, pattern_addresses, read_one_by_one, read_vectors
from dieshot.kernels.sram import LIMIT
from dieshot.simulator.errors import InputError
from dieshot.simulator.params import find_document, resolve

TIMINGS = st.builds(
    SramTiming,
    n_banks=st.integers(1, 9),
    width_bytes=st.integers(1, 8),
    n_ports=st.integers(1, 3),
    n_lanes=st.integers(1, 10),
    access_bytes=st.integers(1, 12),
    latency_cycles=st.integers(0, 5),
    merge=st.booleans(),
    rotate=st.booleans(),
)
ADDRESSES = st.lists(st.integers(0, 300), min_size=1, max_size=40)


@pytest.mark.nojit
@given(TIMINGS, ADDRESSES)
def test_vectors_act_as_their_plain_twin(sram: SramTiming, addresses: list[int]) -> None:
    done = read_vectors(sram, np.array(addresses, np.int64))
    finish, n_words, n_merged = naive_sram.read_vectors(sram, addresses)
    assert done.finish_cycles.tolist() == finish
    assert (done.cycles, done.n_words, done.n_merged) == (finish[-1], n_words, n_merged)
    assert done.conflict_cycles == finish[-1] - len(finish)


@pytest.mark.nojit
@given(TIMINGS, ADDRESSES, st.integers(0, 30), st.integers(0, 40))
def test_accesses_act_as_their_plain_twin(sram: SramTiming, addresses: list[int], spread: int, cut: int) -> None:
    arrivals = np.sort(np.random.default_rng(len(addresses)).integers(0, spread + 1, len(addresses)))
    ports, every = np.zeros((sram.n_banks, sram.n_ports), np.int64), np.array(addresses, np.int64)
    first = read_one_by_one(sram, ports, arrivals[:cut], every[:cut])
    then = read_one_by_one(sram, ports, arrivals[cut:], every[cut:])
    finish = first.finish_cycles.tolist() + then.finish_cycles.tolist()
    assert finish == naive_sram.read_one_by_one(sram, arrivals.tolist(), addresses)
    assert max(first.cycles, then.cycles) == max(finish)


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5, 8, 16, 31, 32, 33, 48, 64])
def test_a_stride_costs_its_common_divisor_with_the_banks(stride: int) -> None:
    sram = SramTiming(32, 4, n_lanes=32)
    done = read_vectors(sram, pattern_addresses("strided", 32 * 64, stride, 4, 0, 1 << 20))
    assert done.cycles == 64 * math.gcd(stride, 32)


@pytest.mark.parametrize("n_banks", [1, 2, 3, 7, 8, 12, 31, 32, 33, 64])
def test_any_stride_over_any_banks_and_ports_costs_the_common_divisor(n_banks: int) -> None:
    for stride in range(1, 2 * n_banks + 3):
        for n_ports in (1, 2, 3):
            for width_bytes in (1, 3, 4):
                sram = SramTiming(n_banks, width_bytes, n_ports, n_banks, width_bytes)
                addresses = pattern_addresses("strided", 5 * n_banks, stride, width_bytes, 0, 1 << 20)
                each = -(-math.gcd(stride, n_banks) // n_ports)
                done = read_vectors(sram, addresses)
                assert (done.cycles, done.conflict_cycles) == (5 * each, 5 * (each - 1))
                assert (done.n_words, done.n_merged) == (5 * n_banks, 0)


@pytest.mark.parametrize(("n_banks", "access", "width"), [(8, 16, 4), (32, 16, 4), (8, 4, 16), (6, 9, 3), (4, 64, 4)])
def test_accesses_wider_or_narrower_than_a_word_cost_the_words_they_touch(
    n_banks: int, access: int, width: int
) -> None:
    done = read_vectors(
        SramTiming(n_banks, width, 1, 4, access), pattern_addresses("strided", 400, 1, access, 0, 1 << 20)
    )
    words = -(-4 * access // width)  # of a vector, side by side
    assert done.cycles == 100 * -(-words // n_banks)
    assert done.n_words == 100 * words


@pytest.mark.parametrize(
    ("row", "rotate", "cycles_each"), [(32, False, 32), (33, False, 1), (32, True, 1), (64, True, 2)]
)
def test_a_transposed_read_is_cured_by_padding_or_by_rotation(row: int, rotate: bool, cycles_each: int) -> None:
    sram = SramTiming(32, 4, n_lanes=32, rotate=rotate)
    done = read_vectors(sram, pattern_addresses("transposed", row * 32, row, 4, 0, 1 << 20))
    assert (done.cycles == row * cycles_each) if row != 33 else (row <= done.cycles <= 2 * row)


def test_lanes_that_want_one_word_share_it() -> None:
    same = np.zeros(64, np.int64)
    assert read_vectors(SramTiming(32, 4), same).cycles == 2
    assert read_vectors(SramTiming(32, 4, merge=False), same).cycles == 64
    assert read_vectors(SramTiming(32, 4, n_ports=2, merge=False), same).cycles == 32


def test_random_reads_lose_what_balls_in_bins_say() -> None:
    n_vectors = 20_000
    done = read_vectors(SramTiming(32, 4), pattern_addresses("random", 32 * n_vectors, 1, 4, 3, 1 << 27))
    balls = np.random.default_rng(7).integers(0, 32, (n_vectors, 32))
    fullest = np.mean([np.bincount(each, minlength=32).max() for each in balls])
    assert done.cycles / n_vectors == pytest.approx(fullest, rel=0.01)


def test_out_of_range_is_an_error_that_names_the_access() -> None:
    sram = SramTiming(4, 4)
    read_vectors(sram, np.array([0, LIMIT], np.int64))
    for bad in (-1, LIMIT + 1, 2**63 - 1):
        with pytest.raises(InputError, match="access 1 has an address or cycle out of range"):
            read_vectors(sram, np.array([0, bad], np.int64))
        with pytest.raises(InputError, match="access 1 has an address or cycle out of range"):
            read_one_by_one(sram, np.zeros((4, 1), np.int64), np.array([0, bad], np.int64), np.zeros(2, np.int64))


def test_energy_is_the_published_one_at_its_capacities_and_between_them_elsewhere() -> None:
    sram = resolve(find_document("memories", "sram"), SramParameters).values
    for node, table in {"n45": (10, 20, 100), "n7": (7.5, 8.5, 14)}.items():
        for capacity, picojoules in zip((8 << 10, 32 << 10, 1 << 20), table, strict=True):
            assert access_energy_fj(sram, node, capacity, 8) == 1000 * picojoules
    at = [access_energy_fj(sram, "n7", capacity, 8) for capacity in range(4 << 10, 1 << 20, 4096)]
    assert at == sorted(at) and at[0] == 7500
    assert 800 <= access_energy_fj(sram, "n5", 64 << 10, 1) <= 1000  # 0.8 to 1.0 pJ/B of a 64 KiB bank at 5 nm
    with pytest.raises(InputError, match="unknown node; expected one of n45, n7, n5, n3; got 'n77'; did you mean 'n7'"):
        access_energy_fj(sram, "n77", 8192, 8)
    with pytest.raises(InputError, match="no energy known for a bank so large"):
        access_energy_fj(sram, "n7", (1 << 20) + 1, 8)
