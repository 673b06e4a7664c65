"""Simulate measured kernels of one GPU and compare: `python tests/accuracy/measured.py` prints the table of the README,
in half an hour of one core (`--every 4`: of every fourth row; further arguments set parameters).

GEMM rows repeat one kernel with fresh weights, the activations stay in the L2 where they fit. Attention rows are one
layer: rotary embedding with the write to the KV cache, then attention; a small cache stays in the L2 between repeats.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dieshot.chips.gpu import Gpu
from dieshot.chips.mapping.gpu.library import duration_fs
from dieshot.simulator.studies.setup import set_up
from dieshot.traces import Operator
from dieshot.traces.make import make_operator
from dieshot.traces.work import Formats

DATA = Path(__file__).parent.parent / "data" / "h100_kernels.csv"
DTYPES = {"bfloat16": "bf16", "fp8": "fp8", "kv_bfloat16": "bf16", "kv_fp8": "fp8"}
FS_PER_US = 10**9


@dataclass(frozen=True)
class Row:
    """One measurement; `shape` is everything but library and value."""

    shape: tuple[tuple[str, str], ...]
    library: str
    half: str
    latency_us: float

    def __getitem__(self, key: str) -> int:
        return int(dict(self.shape)[key])

    @property
    def op(self) -> str:
        """gemm, attention_decode or attention_prefill_causal."""
        return dict(self.shape)["op"]

    @property
    def precision(self) -> str:
        """Number formats as the table writes them."""
        return dict(self.shape)["precision"]


def rows() -> Iterator[Row]:
    """Yield all rows of the table."""
    with DATA.open() as file:
        for record in csv.DictReader(line for line in file if not line.startswith("#")):
            half, library, value = record.pop("half"), record.pop("library"), record.pop("latency_us")
            yield Row(tuple(record.items()), library, half, float(value))


def gpu(sets: tuple[str, ...] = ()) -> Gpu:
    """Return the GPU of the table."""
    chip = set_up("h100-sxm", sets).chip
    assert isinstance(chip, Gpu)
    return chip


def simulate_us(chip: Gpu, row: Row) -> float:
    """Return the simulated time of a row's kernels."""
    chosen = [chip.library.choose(operator, resident) for operator, resident in _operators(chip, row)]
    return sum(duration_fs(chip.timing, kernels) for kernels in chosen) / FS_PER_US


def _operators(chip: Gpu, row: Row) -> list[tuple[Operator, int]]:
    """Return the operators of a row with their bytes that are in the L2 already."""
    capacity = chip.timing.l2_capacity_bytes
    if row.op == "gemm":
        dtype = DTYPES[row.precision]
        dims = {"M": row["M"], "N": row["N"], "K": row["K"], "bias": 0}
        gemm = make_operator("gemm", "gemm", dims, Formats(dtype, dtype, "bf16"), "x")
        return [(gemm, gemm.input_bytes if gemm.input_bytes < capacity // 2 else 0)]
    dtype, kv_dtype = (DTYPES[name] for name in row.precision.split("/"))
    tokens = row["batch"] * row["seqlen"]
    heads = {"heads": row["heads"], "kv_heads": row["kv_heads"], "head_dim": row["head_dim"]}
    rope_dims = {"tokens": tokens, **heads, "qk_norm": 0}
    rope = make_operator("rope", "rope_kv_append", rope_dims, Formats("bf16", None, dtype, kv_dtype), "qkv")
    sizes = {"batch": row["batch"], "q_len": row["seqlen"], "kv_len": row["kv_len"]}
    dims = {**sizes, **heads, "causal": 1, "window": 0}
    attention = make_operator("attention", "attention", dims, Formats(dtype, None, "bf16", kv_dtype), "rope")
    in_cache = attention.input_bytes if attention.input_bytes < capacity // 2 else 0
    if attention.input_bytes + attention.kv_read_bytes < capacity // 2:
        in_cache += attention.kv_read_bytes
    return [(rope, rope.input_bytes if rope.input_bytes < capacity else 0), (attention, in_cache)]


def errors(chip: Gpu, chosen: Iterable[Row]) -> dict[tuple[str, str, str], list[tuple[Row, float]]]:
    """Return relative errors (simulated / measured - 1) by operator, precision and half."""
    times: dict[tuple[tuple[str, str], ...], float] = {}
    groups: dict[tuple[str, str, str], list[tuple[Row, float]]] = {}
    for row in chosen:
        if row.shape not in times:
            times[row.shape] = simulate_us(chip, row)
        error = times[row.shape] / row.latency_us - 1
        groups.setdefault((row.op, row.precision, row.half), []).append((row, error))
    return groups


def mape(pairs: Iterable[tuple[Row, float]]) -> float:
    """Return the mean absolute percentage error."""
    return 100 * float(np.mean([abs(error) for _, error in pairs]))


def main(every: int, sets: tuple[str, ...]) -> None:
    """Print rows, MAPE, median, 90th percentile and bias by group, in percent."""
    chosen = list(rows())[::every]
    n = os.cpu_count() or 1
    with ProcessPoolExecutor(n) as pool:
        parts = pool.map(errors, [gpu(sets)] * n, [chosen[part::n] for part in range(n)])
        groups: dict[tuple[str, str, str], list[tuple[Row, float]]] = {}
        for part in parts:
            for key, pairs in part.items():
                groups.setdefault(key, []).extend(pairs)
    print("| operator | precision | half | rows | MAPE | median | p90 | bias |\n|---|---|---|---|---|---|---|---|")
    for (op, precision, half), pairs in sorted(groups.items()):
        error = 100 * np.array([error for _, error in pairs])
        size = np.abs(error)
        figures = (size.mean(), np.median(size), np.quantile(size, 0.9))
        cells = [op, precision, half, str(len(pairs)), *(f"{figure:.1f}" for figure in figures), f"{error.mean():+.1f}"]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("sets", nargs="*")
    arguments = parser.parse_args()
    main(arguments.every, tuple(arguments.sets))
