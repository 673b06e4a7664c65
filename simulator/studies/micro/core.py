"""A GEMM on one core: the array of `dieshot micro array` with its scratchpad filled from a memory."""

from __future__ import annotations

import importlib
import re
import time
from fractions import Fraction
from typing import Any

from dieshot.simulator.errors import InputError
from dieshot.simulator.params.unit import parse_unit

FEMTOSECONDS = 10**15
GRANULE_BYTES = 64
MOST_CHANNELS = 1 << 16
MOST_FOLDS = 1 << 20
MOST_BYTES = 1 << 38  # every granule is timed


def core_gemm(
    array: Any, gemm: Any, dataflow: str, memory: str, latency: str, scratchpad: str, clock: str
) -> dict[str, Any]:
    """Run a GEMM from memory to memory; return a JSON-ready record.

    memory: channels and the rate of each, such as '16x38.4GB/s'; latency: of a read, such as '100ns'; scratchpad: such
    as '32MiB'; clock: of the array, such as '1GHz'. Operands and stored sums have 2 bytes. InputError for anything
    else, and for dataflows other than 'ws'.
    """
    if dataflow != "ws":
        raise InputError("a core runs weight-stationary", key="dataflow", value=dataflow, expected="ws with --memory")
    channels, _, rate = memory.partition("x")
    if not re.fullmatch(r"\d{1,5}", channels) or not 1 <= int(channels) <= MOST_CHANNELS:
        raise InputError("not a memory", key="memory", value=memory, expected="CHANNELSxRATE, such as 16x38.4GB/s")
    n_folds = -(-gemm.n_kept // array.rows) * -(-gemm.N // array.columns)
    if n_folds > MOST_FOLDS:
        raise InputError("too many folds for one core", value=n_folds, expected=f"at most {MOST_FOLDS}")
    moved_bytes = 2 * (gemm.M * gemm.K * -(-gemm.N // array.columns) + gemm.n_kept * gemm.N + gemm.M * gemm.N)
    if moved_bytes > MOST_BYTES:
        raise InputError("moves too much for one core", value=f"{moved_bytes} B", expected=f"at most {MOST_BYTES} B")
    cores: Any = importlib.import_module("dieshot.chips.parts.core")
    memories: Any = importlib.import_module("dieshot.chips.parts.memory")
    cycle_fs = round(FEMTOSECONDS / in_base("clock", clock, "Hz", "1GHz", 1, FEMTOSECONDS))
    timing = cores.CoreTiming(array, cycle_fs, int(in_base("scratchpad", scratchpad, "B", "32MiB", 1, 1 << 50)))
    channel_bytes_per_s = int(in_base("memory", rate, "B/s", "16x38.4GB/s", 10**6, 10**15))
    latency_fs = int(in_base("latency", latency, "s", "100ns", 0, 1) * FEMTOSECONDS)
    behind = memories.RateMemory(int(channels), channel_bytes_per_s, latency_fs, GRANULE_BYTES)
    began = time.perf_counter()
    done = cores.run_gemm(timing, behind, gemm)
    return {
        "cycles": done.cycles,
        "array_cycles": done.array_cycles,
        "utilization": done.utilization,
        "batches": done.n_batches,
        "read_bytes": behind.read_bytes,
        "written_bytes": behind.written_bytes,
        "memory_utilization": (behind.read_bytes + behind.written_bytes)
        * FEMTOSECONDS
        / (int(channels) * channel_bytes_per_s * done.cycles * cycle_fs),
        "simulated_in_s": time.perf_counter() - began,
    }


def in_base(key: str, text: str, base: str, example: str, least: int, most: int) -> Fraction:
    """Return a quantity such as '38.4GB/s' in its base unit, exactly; InputError unless from `least` to `most`."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?) ?([A-Za-z]+(?:/s)?)", text.strip())
    if match is None:
        raise InputError("not a quantity", key=key, value=text, expected=f"such as {example}")
    unit, wanted = parse_unit(match[2]), parse_unit(base)
    value = Fraction(match[1]) * unit.scale / wanted.scale
    if unit.dimension != wanted.dimension or not least <= value <= most:
        raise InputError("not possible", key=key, value=text, expected=f"{least} to {most} {base}, such as {example}")
    return value
