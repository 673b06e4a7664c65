"""Small random dies and kernels for property tests: a few SMs and memory channels, tiles of a few kilobytes."""

from __future__ import annotations

import functools
from dataclasses import fields, replace

import numpy as np
from hypothesis import strategies as st

from dieshot.chips.parts.activity import Rows
from dieshot.chips.parts.gpu.tile_kernel import DieTiming, TileKernel
from dieshot.chips.parts.memory.dram_channel import ControllerPolicy
from dieshot.chips.parts.memory.hbm import HbmDesign, hbm_design
from dieshot.kernels import sm
from dieshot.kernels.dram_timing import TIMING_NAMES
from dieshot.simulator.params import MemoryParameters, find_document, resolve

PERIOD_FS = 1000
MIB = 1 << 20


@functools.cache
def memory() -> MemoryParameters:
    """Return a small memory: two bank groups of two banks, a row of four bursts a group."""
    base = resolve(find_document("memories", "hbm3"), MemoryParameters).values
    geometry = replace(base.geometry, n_stack_ids=1, n_bank_groups=2, n_banks=2, n_columns=4, burst=64)
    return replace(base, geometry=geometry, bus=replace(base.bus, act=2))


@st.composite
def stacks(draw: st.DrawFn) -> HbmDesign:
    """Return up to five channels of one or two pseudo-channels, every rule a few cycles long."""
    few = st.integers(1, 6)
    t = {name: draw(few) for name in TIMING_NAMES}
    t |= {"nBL": 1, "nCCDS": 1, "nCCDL": draw(st.integers(1, 3)), "nCCDR": draw(st.sampled_from([0, 2])), "nPPD": 1}
    t["nRAS"] = t["nRTP"] + draw(few)
    t["nRTW"] += max(0, t["nCL"] + t["nBL"] - t["nCWL"])
    t["nRC"] = t["nRAS"] + t["nRP"]
    t |= {"nRRDL": t["nRRDS"] + 1, "nFAW": 4 * t["nRRDS"] + draw(few), "nWTRL": t["nWTRS"] + 1}
    t |= {"nRFC": draw(st.integers(5, 20)), "nREFI": draw(st.sampled_from([60, 300])), "nRFCpb": 5, "nREFIpb": 50}
    scale = draw(st.sampled_from([1, 2]))
    base = memory()
    timing = replace(base.timings, **t, tCK=scale * draw(st.sampled_from([1000, 1700, 4000])))
    bus = replace(base.bus, ticks_per_cycle=scale)
    geometry = replace(base.geometry, n_pseudo_channels=draw(st.sampled_from([1, 2])))
    policy = ControllerPolicy(
        draw(st.sampled_from(["frfcfs", "rowhit"])), draw(st.integers(4, 8)), n_channels=draw(st.integers(1, 5))
    )
    design = replace(base, timings=timing, bus=bus, geometry=geometry)
    path_fs, hold_fs = draw(st.integers(1, 100)) * PERIOD_FS, draw(st.sampled_from([0, 9_000, 200_000]))
    return hbm_design(design, policy, draw(st.sampled_from([128, 256])), path_fs, hold_fs)


@st.composite
def timings(draw: st.DrawFn) -> DieTiming:
    """Return a die of up to 4 SMs and 5 channels, every latency a whole number of cycles."""
    cycles = lambda low, high: draw(st.integers(low, high)) * PERIOD_FS  # noqa: E731
    return DieTiming(
        n_sms=draw(st.integers(1, 4)),
        period_fs=PERIOD_FS,
        send_fs=cycles(1, 40),
        lookup_fs=cycles(0, 40),
        respond_fs=cycles(1, 40),
        ingress_fs_per_mib=draw(st.integers(1, 40)) * MIB,
        l2_capacity_bytes=draw(st.sampled_from([2_000, 8_000, 1 << 30])),
        l2_fs_per_mib=draw(st.integers(1, 40)) * MIB,
        hbm=draw(stacks()),
        launch_fs=cycles(0, 50),
        dispatch_fs=cycles(1, 200),
        dispatch_interval_fs=cycles(0, 3),
        drain_fs=cycles(0, 20),
    )


def with_quantum(timing: DieTiming, quantum_fs: int) -> DieTiming:
    """Return the same die advanced in windows of `quantum_fs`."""
    shorter = type("Windowed", (DieTiming,), {"quantum_fs": property(lambda self: quantum_fs)})
    return shorter(**{field.name: getattr(timing, field.name) for field in fields(DieTiming)})  # type: ignore[no-any-return]


@st.composite
def classes_of_ctas(draw: st.DrawFn, n: int) -> Rows:
    """Return `n` classes: streams, GEMM-like and attention-like ones."""
    rows = np.zeros((n, sm.N_CLASS), np.int64)
    for row in rows:
        row[sm.C_STEPS] = draw(st.integers(1, 5))
        for read, into in ((sm.C_READ, sm.C_IN), (sm.C_READ_LAST, sm.C_IN_LAST)):
            row[read] = draw(st.integers(1, 2000))
            row[into] = row[read] + draw(st.sampled_from([0, 500]))
        row[sm.C_ONCE] = draw(st.sampled_from([0, 0, 300]))
        for work, amount in ((sm.C_TENSOR1, sm.C_MACS1), (sm.C_SIMT, sm.C_OPS), (sm.C_TENSOR2, sm.C_MACS2)):
            row[work] = draw(st.sampled_from([0, 1, 7, 30])) * PERIOD_FS
            row[amount] = draw(st.integers(1, 100)) if row[work] else 0
        row[sm.C_EPILOGUE] = draw(st.sampled_from([0, 3, 20])) * PERIOD_FS
        row[sm.C_EPILOGUE_OPS] = 50 if row[sm.C_EPILOGUE] else 0
        row[sm.C_STORE] = draw(st.sampled_from([0, 64, 900]))
    return rows


@st.composite
def kernels(draw: st.DrawFn) -> TileKernel:
    """Return a kernel of up to 14 CTAs over up to 12 tiles, some of them resident from the start."""
    classes = draw(classes_of_ctas(draw(st.integers(1, 3))))
    most_steps = int(classes[:, sm.C_STEPS].max())
    n_tiles = most_steps + draw(st.integers(0, 8))
    n_ctas = draw(st.integers(1, 14))
    first_tile = st.integers(-1, n_tiles - most_steps)
    ctas = np.full((n_ctas, sm.N_CTA), -1, np.int64)
    for cta in ctas:
        cta[sm.K_CLASS] = draw(st.integers(0, len(classes) - 1))
        cta[sm.K_TILE_A], cta[sm.K_TILE_B] = draw(first_tile), draw(first_tile)
    resident = draw(st.lists(st.integers(0, n_tiles - 1), unique=True, max_size=3))
    return TileKernel(
        name="random",
        kind="gemm",
        classes=classes,
        ctas=ctas,
        tile_bytes=np.array(draw(st.lists(st.integers(1, 3000), min_size=n_tiles, max_size=n_tiles)), np.int64),
        resident=np.array(resident, np.int64),
        n_stages=draw(st.integers(1, 4)),
        n_groups=draw(st.integers(1, 2)),
        slots_per_sm=draw(st.integers(1, 3)),
        persistent=draw(st.booleans()),
        fj_per_amount={},
    )


def backlogs(timing: DieTiming) -> st.SearchStrategy[Rows]:
    """Return what earlier writes left in the channels: time and bytes of each, or nothing."""
    one = st.tuples(st.sampled_from([0, 5_000, 90_000]), st.integers(1, 4000)).map(
        lambda row: row if row[0] else (0, 0)
    )
    return st.lists(one, min_size=timing.hbm.n_pins, max_size=timing.hbm.n_pins).map(
        lambda rows: np.array(rows, np.int64)
    )
