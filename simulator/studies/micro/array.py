"""One GEMM on one PE array."""

from __future__ import annotations

import importlib
import math
import re
from typing import Any

import numpy as np

from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.studies.micro.core import CoreChoice, core_gemm

OVERLAPS = ("none", "folds")
KINDS = ("systolic", "bit_serial", "in_memory")
DATAFLOWS = ("ws", "os", "is")
MOST_RECORDED_CYCLES = 1 << 27
MOST_COLUMNS = 1 << 25
LARGEST_EXTENT = 1 << 40


def array(
    shape: str,
    gemm: str,
    dataflow: str = "ws",
    overlap: str = "none",
    density: str = "1",
    buffers: int = 2,
    switch_cycles: int = 1,
    kind: str = "systolic",
    operand_bits: int = 8,
    n_stored_tiles: int = 1,
    window: str | None = None,
    seed: int = 0,
    core: CoreChoice | None = None,
) -> dict[str, Any]:
    """Time a GEMM 'M,N,K' on an array 'RxC' with all operands in its scratchpad; return a JSON-ready record.

    cycles: the last cycle of work, counted from 0 (SCALE-Sim's figure); occupied_cycles: one more. density: '1', 'N:M'
    along K, or a share of weights kept at random (`seed`). window: 'START:STOP', cycles whose busy PEs are returned.
    core: run the GEMM from memory to memory too (see `CoreChoice`). InputError for anything that is not such.
    """
    refuse_unknown("dataflow", dataflow, DATAFLOWS)
    refuse_unknown("overlap", overlap, OVERLAPS)
    refuse_unknown("kind", kind, KINDS)
    rows, columns = whole_numbers("array", shape, "x", 2, "rows x columns, such as 128x128")
    extents = whole_numbers("gemm", gemm, ",", 3, "M,N,K, such as 512,512,512")
    refuse_outside("buffers", buffers, 1, 2)
    refuse_outside("switch", switch_cycles, 0, LARGEST_EXTENT)
    refuse_outside("bits", operand_bits, 1, 1024)
    refuse_outside("tiles", n_stored_tiles, 1, LARGEST_EXTENT)
    parts: Any = importlib.import_module("dieshot.chips.parts.core.array")
    folds: Any = importlib.import_module("dieshot.chips.parts.core.fold")
    built = parts.systolic(rows, columns, overlap, buffers, switch_cycles)
    if kind == "bit_serial":
        built = parts.bit_serial(built, operand_bits)
    elif kind == "in_memory":
        built = parts.digital_in_memory(built, operand_bits, n_stored_tiles)
    kept, group, share = parse_density(density)
    work = folds.Gemm(*extents, kept, group)
    if share is None:
        done = folds.time_gemm(built, work, dataflow)
        macs = work.M * work.N * work.n_kept
    else:
        done, nonzeros = _time_sparse(folds, built, work, dataflow, share, seed)
        macs = work.M * nonzeros
    if core is not None and share is not None:
        raise InputError("a core runs dense or N:M", key="density", value=density, expected="1 or N:M with --memory")
    record = {
        "array": f"{rows}x{columns}",
        "kind": kind,
        "gemm": {"M": work.M, "N": work.N, "K": work.K},
        "dataflow": dataflow,
        "overlap": overlap,
        "buffers": buffers if overlap == "folds" else None,
        "density": density,
        **_outcome(built, work, done, macs),
    }
    if core is not None:
        record["core"] = core_gemm(built, work, dataflow, record["words"], core)
    return record if window is None else record | {"busy_pes": busy_window(done, window)}


def _outcome(built: Any, work: Any, done: Any, macs: int) -> dict[str, Any]:
    capacity = built.n_pes * done.end_cycle
    outcome = {
        "cycles": max(0, done.end_cycle - 1),
        "occupied_cycles": done.end_cycle,
        "folds": done.n_folds,
        "macs": macs,
        "skipped_macs": work.macs - macs,
        "busy_pe_cycles": done.busy_pe_cycles,
        "utilization": done.busy_pe_cycles / capacity if capacity else 0.0,
    }
    if hasattr(done, "terms"):
        outcome |= {"fold_interval_cycles": done.interval, "cycles_by_term": done.terms, "words": done.words(work)}
    return outcome


def busy_window(done: Any, window: str) -> list[int]:
    """Return the PEs at work in the cycles of 'START:STOP'."""
    start, stop = whole_numbers("record", window, ":", 2, "START:STOP, in cycles, such as 0:1000", least=0)
    if stop <= start or stop - start > MOST_RECORDED_CYCLES:
        expected = f"START below STOP, at most {MOST_RECORDED_CYCLES} cycles"
        raise InputError("not a window", key="record", value=window, expected=expected)
    busy: list[int] = done.busy_pes(start, stop).tolist()
    return busy


def parse_density(text: str) -> tuple[int, int, float | None]:
    """Return weights kept of every group along K, and the share kept at random (None where the pattern is fixed)."""
    expected = "1, N:M such as 2:4, or a share such as 0.5"
    structured = re.fullmatch(r"(\d{1,4}):(\d{1,4})", text)
    if structured:
        kept, group = int(structured[1]), int(structured[2])
        if not 1 <= kept <= group:
            raise InputError("not a density", key="density", value=text, expected=expected)
        return kept, group, None
    share = float(text) if re.fullmatch(r"\d*\.?\d+|\d+\.", text) else 0.0
    if not 0.0 < share <= 1.0:
        raise InputError("not a density", key="density", value=text, expected=expected)
    return 1, 1, None if share == 1.0 else share


def _time_sparse(folds: Any, built: Any, work: Any, dataflow: str, share: float, seed: int) -> tuple[Any, int]:
    """Time a GEMM whose weights are kept with probability `share` each; return it with the number of them."""
    if dataflow != "is":
        nonzeros = draw_nonzeros(work.K, (work.N,), share, seed)
        return folds.time_packed_gemm(built, work, dataflow, nonzeros), int(nonzeros.sum())
    n_tiles = -(-work.K // built.rows)
    rest = work.K - (n_tiles - 1) * built.rows
    rows = np.array([[built.rows]] * (n_tiles - 1) + [[rest]]) if n_tiles <= MOST_COLUMNS else built.rows
    nonzeros = draw_nonzeros(rows, (n_tiles, work.N), share, seed)
    return folds.time_skipping_gemm(built, work, (nonzeros > 0).sum(axis=1)), int(nonzeros.sum())


def draw_nonzeros(n_weights: Any, shape: tuple[int, ...], share: float, seed: int) -> Any:
    """Draw how many of `n_weights` are kept (shape), each with probability `share`."""
    refuse_outside("gemm", math.prod(shape), 1, MOST_COLUMNS)
    refuse_outside("seed", seed, 0, LARGEST_EXTENT)
    drawn = np.random.default_rng(seed).binomial(n_weights, share, shape).astype(np.int64)
    if not drawn.any():
        raise InputError("no weight is left", key="density", value=share, expected="a larger share")
    return drawn


def refuse_unknown(key: str, value: str, names: tuple[str, ...]) -> None:
    """Raise InputError with the nearest name if `value` is none of `names`."""
    if value not in names:
        nearest = nearest_name(value, names)
        raise InputError(f"unknown {key}", key=key, value=value, expected=listed(names), nearest=nearest)


def refuse_outside(key: str, value: int, least: int, most: int) -> None:
    """Raise InputError if `value` is not from `least` to `most`."""
    if not least <= value <= most:
        raise InputError("out of range", key=key, value=value, expected=f"{least} to {most}")


def whole_numbers(key: str, text: str, between: str, n: int, expected: str, least: int = 1) -> list[int]:
    """Return the `n` whole numbers of at least `least` that `text` holds, or raise InputError."""
    words = text.lower().split(between)
    good = len(words) == n and all(re.fullmatch(r"\d{1,13}", word.strip()) for word in words)
    numbers = [int(word) for word in words] if good else []
    if not good or min(numbers) < least or max(numbers) > LARGEST_EXTENT:
        raise InputError("not possible", key=key, value=text, expected=expected)
    return numbers
