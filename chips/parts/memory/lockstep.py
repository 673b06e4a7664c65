"""Bank groups in lockstep: one access opens the same row in the same bank of every group of a pseudo-channel, and its
bursts go round the groups, so that the pins never wait for a group. To the controller the groups are one wide bank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dieshot.kernels.dram_timing import TIMING_NAMES
from dieshot.simulator.params.memory import MemoryParameters, MemoryTimings


def burst_cycles(timings: MemoryTimings, n_groups: int) -> int:
    """Return the cycles between two bursts that go round `n_groups` bank groups."""
    return max(timings.nBL, timings.nCCDS, -(-timings.nCCDL // n_groups))


def in_lockstep(memory: MemoryParameters) -> MemoryParameters:
    """Return a memory with its bank groups as one; rules after a column command count from the last burst's.

    The groups' ACTs follow one another as the rules between groups and the window of four ACTs allow; a PRE, or the
    refresh of a bank, takes a slot of the row bus for every group.
    """
    n = memory.geometry.n_bank_groups
    t = {name: int(getattr(memory.timings, name)) for name in TIMING_NAMES}
    bus = memory.bus
    geometry = replace(memory.geometry, n_bank_groups=1, n_columns=memory.geometry.n_columns * n)
    timings = replace(memory.timings, **_timings(t, burst_cycles(memory.timings, n), n))
    wide = replace(bus, act=n * bus.act, row=n * bus.row)
    return replace(memory, geometry=geometry, timings=timings, bus=wide)


def _timings(t: Mapping[str, int], burst: int, n: int) -> dict[str, int]:
    last = (n - 1) * t["nRRDS"]  # from the first group's ACT to the last's
    late = (n - 1) * max(0, t["nRRDS"] - burst)  # by how much the last group's row opens later than its first burst
    window = -(-n * t["nFAW"] // 4)
    between = max(n * t["nRRDS"], window)
    return {
        "nCCDS": burst,
        "nCCDL": burst,
        "nCCDR": max(burst, t["nCCDR"]) if t["nCCDR"] else 0,
        "nRCDRD": t["nRCDRD"] + late,
        "nRCDWR": t["nRCDWR"] + late,
        "nRAS": t["nRAS"] + last,
        "nRC": max(t["nRC"], t["nRAS"] + last + t["nRP"]),
        "nRRDS": between,
        "nRRDL": between,
        "nFAW": 4 * between,
        "nWTRS": max(t["nWTRS"], t["nWTRL"] - (n - 1) * burst),
        "nWTRL": max(t["nWTRS"], t["nWTRL"] - (n - 1) * burst),
        "nPPD": n * t["nPPD"],
        "nRFCpb": t["nRFCpb"] + (n - 1) * t["nRREFD"],
        "nRREFD": n * t["nRREFD"],
        "nREFIpb": n * t["nREFIpb"],
    }
