"""The simulated GPU against measured kernels: the bar of each family, on shapes held back from every fit."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from accuracy import measured
from dieshot.simulator.studies.setup import set_up
from dieshot.traces.make import make_operator
from dieshot.traces.work import Formats

ALL_REDUCE = Path(__file__).parent.parent / "data" / "h100_all_reduce.csv"
BAR_PERCENT = 25.0
LARGEST_GEMM_MACS = 10**11
LARGEST_PREFILL_SCORES = 2**28
EVERY = 4


def _held_back(op: str, precision: str) -> list[measured.Row]:
    """Return a sample of the check half, small enough to simulate in seconds."""
    found = [row for row in measured.rows() if row.half == "check" and row.op == op and row.precision == precision]
    if op == "gemm":
        found = [row for row in found if row["M"] * row["N"] * row["K"] <= LARGEST_GEMM_MACS]
    else:
        found = [row for row in found if row["batch"] * row["heads"] * row["seqlen"] ** 2 <= LARGEST_PREFILL_SCORES]
    return found[::EVERY]


@pytest.mark.parametrize(
    ("op", "precision"),
    [
        ("gemm", "bfloat16"),
        ("attention_prefill_causal", "bfloat16/kv_bfloat16"),
        ("attention_prefill_causal", "bfloat16/kv_fp8"),
        ("attention_prefill_causal", "fp8/kv_fp8"),
        ("attention_decode", "bfloat16/kv_bfloat16"),
        ("attention_decode", "bfloat16/kv_fp8"),
    ],
)
def test_kernels_held_back_are_within_the_bar(op: str, precision: str) -> None:
    chosen = _held_back(op, precision)
    assert len(chosen) >= 5
    pairs = [pair for group in measured.errors(measured.gpu(), chosen).values() for pair in group]
    assert measured.mape(pairs) <= BAR_PERCENT


def test_all_reduce_is_within_the_bar_of_the_fastest_library() -> None:
    fastest: dict[tuple[int, int], float] = {}
    with ALL_REDUCE.open() as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            key = int(row["n_chips"]), int(row["bytes"])
            fastest[key] = min(fastest.get(key, float("inf")), float(row["latency_us"]))
    fabric = set_up("dgx-h100").placed(8, 1).fabric
    assert fabric is not None
    errors = []
    for (n_chips, size), latency_us in sorted(fastest.items())[::3]:
        dims = {"elements": size // 2, "group": n_chips}
        operator = make_operator("sum", "all_reduce", dims, Formats("bf16", None, "bf16"), "x")
        simulated_us = fabric.carry_out(operator, n_chips, record=False).duration_fs / measured.FS_PER_US
        errors.append(abs(simulated_us / latency_us - 1))
    assert 100 * sum(errors) / len(errors) <= BAR_PERCENT
