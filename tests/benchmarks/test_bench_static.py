"""Speed of the static compiler and of the replay: a decoder layer of Llama 3 70B on one of 16 chips."""

from __future__ import annotations

from typing import Any

from static_programs import layer, lpu_machine, programs

from dieshot.chips.parts.static.die import run_program
from dieshot.kernels.static_program import R_N

LAYER = layer(1, 8192, 1792, 4, 128, 1100, "w8a16", 16)


def test_compiling_a_layer(benchmark: Any) -> None:
    (program,) = benchmark(programs, lpu_machine(), LAYER)
    benchmark.extra_info |= {"rows": len(program.rows), "cycles": program.cycles}


def test_replaying_a_layer(benchmark: Any) -> None:
    (program,) = programs(lpu_machine(), LAYER)
    outcome = benchmark(run_program, lpu_machine(), program)
    turns = int(program.rows[:, R_N].sum())
    benchmark.extra_info |= {"instructions": turns, "ns_each": benchmark.stats["median"] / turns * 1e9}
    assert outcome.cycles == program.cycles
